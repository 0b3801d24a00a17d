"""The memorization score against loops, and what it says of copies."""

import numpy as np
import pytest

from skvqts.metrics import memorization_score


def normal(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=shape) + shift


def memorization_by_loops(gen, train, test):
    def mean(rows):
        return np.mean([min(np.linalg.norm(x - z) for z in train) for x in rows])

    return mean(gen) / mean(test)


@pytest.mark.parametrize("shape", [(6,), (40,), (2, 9)])
def test_memorization_score_equals_naive_loops(shape):
    gen, train, test = (normal(n, *shape, seed=n) for n in (7, 12, 9))
    result = memorization_score(gen, train, test)
    assert result == pytest.approx(memorization_by_loops(gen, train, test), rel=1e-9)
    assert result == pytest.approx(
        memorization_score(*(X.reshape(len(X), -1) for X in (gen, train, test)))
    )


@pytest.mark.parametrize("t", [6, 40])
def test_memorization_score_is_0_for_copies_1_for_new_series_and_between_for_a_mixture(t):
    train, test, new = (normal(300, t, seed=s) for s in range(3))
    for level in (0, 1e6, 1e9):
        assert memorization_score(train[:50] + level, train + level, test + level) == 0
    score = memorization_score(new, train, test)
    assert score == pytest.approx(1, abs=0.05)
    half = np.concatenate([new, train])
    assert memorization_score(half, train, test) == pytest.approx(score / 2, abs=1e-6)
    assert memorization_score(new + 100, train, test) > 10
