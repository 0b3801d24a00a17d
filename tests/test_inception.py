"""Inception score against sums by hand, its bounds, and extrapolation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skvqts.metrics import inception_score, inception_score_extrapolated

seeds = st.integers(0, 2**32 - 1)


@st.composite
def rows(draw):
    """Probabilities (n, k): soft, sharp, or with zeros."""
    rng = np.random.default_rng(draw(seeds))
    n, k = draw(st.integers(1, 30)), draw(st.integers(1, 8))
    p = rng.gamma(draw(st.sampled_from([0.01, 0.3, 1, 100])), size=(n, k)) + 1e-300
    if draw(st.booleans()):
        p[rng.random((n, k)) < 0.5] = 0
        p[np.arange(n), rng.integers(k, size=n)] += 1
    return p / p.sum(1, keepdims=True)


def by_loops(p):
    n, k = len(p), len(p[0])
    mean = [sum(row[j] for row in p) / n for j in range(k)]
    total = 0.0
    for row in p:
        for j in range(k):
            if row[j] > 0:
                total += row[j] * (math.log(row[j]) - math.log(mean[j]))
    return math.exp(total / n)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_identical_rows_score_1(k):
    p = np.random.default_rng(0).dirichlet(np.ones(k))
    assert inception_score(np.tile(p, (20, 1))) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 32])
def test_sure_and_balanced_rows_score_the_number_of_classes(k):
    assert inception_score(np.tile(np.eye(k), (3, 1))) == pytest.approx(k, rel=1e-12)


def test_inception_score_by_hand():
    # one-hot, three to one: exp of the entropy of (3/4, 1/4)
    expected = math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert inception_score(np.eye(2)[[0, 0, 0, 1]]) == pytest.approx(expected)
    # rows (3/4, 1/4) and (1/4, 3/4): their mean is even
    expected = math.exp(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert inception_score([[0.75, 0.25], [0.25, 0.75]]) == pytest.approx(expected)


@given(p=rows())
def test_inception_score_equals_naive_loops(p):
    assert inception_score(p) == pytest.approx(by_loops(p), rel=1e-9)


@given(p=rows(), n_splits=st.integers(1, 30))
def test_between_1_and_the_number_of_classes(p, n_splits):
    result = inception_score(p, min(n_splits, len(p)))
    assert type(result) is float
    assert 1 <= result <= p.shape[1]


@given(p=rows(), seed=seeds, n_splits=st.integers(1, 4))
def test_order_of_classes_does_not_matter(p, seed, n_splits):
    n_splits = min(n_splits, len(p))
    order = np.random.default_rng(seed).permutation(p.shape[1])
    assert inception_score(p[:, order], n_splits) == pytest.approx(
        inception_score(p, n_splits), rel=1e-12
    )


@given(p=rows(), seed=seeds)
def test_order_of_rows_does_not_matter_in_one_split(p, seed):
    shuffled = np.random.default_rng(seed).permutation(p)
    assert inception_score(shuffled) == pytest.approx(inception_score(p), rel=1e-12)


@given(p=rows(), n_splits=st.integers(1, 12))
def test_splits_are_consecutive_and_of_even_size(p, n_splits):
    n = len(p)
    n_splits = min(n_splits, n)
    values, start = [], 0
    for part in range(n_splits):
        size = n // n_splits + (part < n % n_splits)
        values.append(by_loops(p[start : start + size]))
        start += size
    assert start == n
    assert inception_score(p, n_splits) == pytest.approx(sum(values) / n_splits, rel=1e-9)


def test_sorted_rows_lose_their_variety_in_splits():
    p = np.repeat(np.eye(4), 5, axis=0)
    assert inception_score(p) == pytest.approx(4)
    assert inception_score(p, 4) == pytest.approx(1)
    assert inception_score(p, n_splits=2) == pytest.approx(2)


# ---- extrapolation


def test_extrapolation_reduces_the_bias():
    """Rows are drawn from six known ones with equal probability: the true score is known."""
    kinds = 0.88 * np.eye(6) + 0.02
    truth = by_loops(kinds)
    plain, extrapolated = [], []
    for seed in range(300):
        p = kinds[np.random.default_rng(seed).integers(6, size=20)]
        plain.append(inception_score(p))
        extrapolated.append(inception_score_extrapolated(p, random_state=seed))
    assert np.mean(plain) < truth - 0.1
    assert abs(np.mean(extrapolated) - truth) < 0.5 * abs(np.mean(plain) - truth)


def test_extrapolation_from_two_sizes_by_hand():
    """From two sizes it is twice the value of all less that of some half of the rows."""
    p = np.random.default_rng(3).dirichlet(np.ones(5), size=4)
    possible = [2 * by_loops(p) - by_loops(p[list(i)]) for i in itertools.combinations(range(4), 2)]
    possible = np.clip(possible, 1, 5)
    result = [inception_score_extrapolated(p, n_points=2, random_state=s) for s in range(8)]
    assert all(np.isclose(value, possible, rtol=1e-9).any() for value in result)
    assert len(set(result)) > 1


@given(p=rows(), seed=seeds, n_points=st.integers(2, 20))
def test_extrapolation_stays_between_1_and_the_number_of_classes(p, seed, n_points):
    first, second = (
        inception_score_extrapolated(p, n_points=n_points, random_state=seed) for _ in range(2)
    )
    assert first == second
    assert 1 <= first <= p.shape[1]
