"""Entropies by hand, by loops, and the identities that tie them together."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skvqts.metrics import (
    cross_entropy,
    entropy,
    kl_divergence,
    mutual_information,
    perplexity,
)

seeds = st.integers(0, 2**32 - 1)
LOG2 = math.log(2)


def distribution(rng, shape, zeros=False):
    """Of values that add up to 1 along the last axis."""
    p = rng.gamma(0.5, size=shape) + 1e-6
    if zeros:
        p[rng.random(shape) < 0.4] = 0
        p[..., 0] += 1e-3
    return p / p.sum(-1, keepdims=True)


@st.composite
def pairs(draw, zeros=True):
    """Two arrays of distributions over the same outcomes, single or one a row."""
    rng = np.random.default_rng(draw(seeds))
    shape = (*draw(st.sampled_from([(), (1,), (4,)])), draw(st.integers(1, 9)))
    p = distribution(rng, shape, zeros=zeros and draw(st.booleans()))
    return p, distribution(rng, shape)


@st.composite
def joints(draw):
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    return distribution(rng, shape[0] * shape[1], zeros=draw(st.booleans())).reshape(shape)


def entropy_by_loop(p):
    return -sum(x * math.log(x) for x in p if x > 0)


def kl_by_loop(p, q):
    total = 0.0
    for x, y in zip(p, q, strict=True):
        if x > 0:
            total += math.inf if y == 0 else x * math.log(x / y)
    return total


def rowwise(function, *arrays):
    return [function(*rows) for rows in zip(*map(np.atleast_2d, arrays), strict=True)]


# ---- by hand


def test_entropy_by_hand():
    assert entropy([0.5, 0.5]) == pytest.approx(LOG2)
    assert entropy([0.5, 0.25, 0.25]) == pytest.approx(1.5 * LOG2)
    assert entropy([1.0, 0, 0]) == 0
    assert entropy([1.0]) == 0
    assert entropy(np.full(512, 1 / 512)) == pytest.approx(9 * LOG2)
    assert entropy([[1.0, 0], [0.5, 0.5]]) == pytest.approx([0, LOG2])


def test_perplexity_by_hand():
    assert perplexity(np.full(512, 1 / 512)) == pytest.approx(512)
    assert perplexity([0.5, 0.25, 0.25, 0]) == pytest.approx(2**1.5)
    assert perplexity([[1.0, 0, 0], [0, 0.5, 0.5]]) == pytest.approx([1, 2])


def test_divergence_of_one_hot_from_uniform_by_hand():
    sure, uniform = np.eye(32)[7], np.full(32, 1 / 32)
    assert kl_divergence(sure, uniform) == pytest.approx(3.4657, abs=5e-5)
    assert cross_entropy(sure, uniform) == pytest.approx(math.log(32))
    assert kl_divergence(uniform, sure) == math.inf
    assert cross_entropy(uniform, sure) == math.inf


def test_divergence_is_not_symmetric_by_hand():
    p, q = [0.5, 0.5], [0.25, 0.75]
    assert kl_divergence(p, q) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert kl_divergence(q, p) == pytest.approx(0.25 * math.log(1 / 2) + 0.75 * math.log(3 / 2))
    assert cross_entropy(p, q) == pytest.approx(0.5 * math.log(4) + 0.5 * math.log(4 / 3))


def test_mutual_information_by_hand():
    assert mutual_information([[0.5, 0], [0, 0.5]]) == pytest.approx(LOG2)
    assert mutual_information([[0.25, 0.25], [0.25, 0.25]]) == 0
    result = mutual_information([[0.4, 0.1], [0.1, 0.4]])
    assert result == pytest.approx(0.8 * math.log(1.6) + 0.2 * math.log(0.4))
    counts = np.array([[30, 10], [10, 30]])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert mutual_information(counts / counts.sum()) == pytest.approx(expected)


@pytest.mark.parametrize(
    "function", [entropy, perplexity, lambda p: kl_divergence(p, p), lambda p: cross_entropy(p, p)]
)
def test_a_distribution_gives_a_float_and_rows_an_array(function):
    p = distribution(np.random.default_rng(0), (4, 3))
    assert type(function(p[0])) is float
    assert function(p).shape == (4,)
    assert function(p).tolist() == pytest.approx([function(row) for row in p])


@pytest.mark.parametrize("function", [kl_divergence, cross_entropy])
def test_one_distribution_against_many(function):
    p = distribution(np.random.default_rng(1), (4, 3))
    q = distribution(np.random.default_rng(2), 3)
    assert function(p, q) == pytest.approx([function(row, q) for row in p])
    assert function(q, p) == pytest.approx([function(q, row) for row in p])
    assert function(q[None], p) == pytest.approx(function(q, p))


# ---- by loops, and identities


@given(pair=pairs())
def test_entropy_and_divergence_equal_naive_loops(pair):
    p, q = pair
    assert np.atleast_1d(entropy(p)) == pytest.approx(rowwise(entropy_by_loop, p))
    assert np.atleast_1d(kl_divergence(p, q)) == pytest.approx(rowwise(kl_by_loop, p, q), abs=1e-12)


@given(pair=pairs())
def test_cross_entropy_is_entropy_plus_divergence(pair):
    p, q = pair
    by_sum = [
        -sum(np.asarray(a) * np.log(b)) for a, b in zip(*map(np.atleast_2d, pair), strict=True)
    ]
    assert np.atleast_1d(cross_entropy(p, q)) == pytest.approx(by_sum, abs=1e-12)
    assert cross_entropy(p, q) == pytest.approx(entropy(p) + kl_divergence(p, q), abs=1e-12)
    assert cross_entropy(p, p) == pytest.approx(entropy(p), abs=1e-12)


@given(pair=pairs())
def test_values_stay_within_their_bounds(pair):
    p, q = pair
    k = p.shape[-1]
    assert np.all(entropy(p) >= 0)
    assert np.all(entropy(p) <= math.log(k) + 1e-12)
    assert np.all(perplexity(p) >= 1)
    assert np.all(perplexity(p) <= k * (1 + 1e-12))
    assert np.all(kl_divergence(p, q) >= 0)
    assert kl_divergence(p, p) == pytest.approx(0, abs=1e-12)
    # Pinsker: half the square of the absolute difference
    assert np.all(kl_divergence(p, q) >= np.abs(p - q).sum(-1) ** 2 / 2 - 1e-12)


@given(pair=pairs(zeros=False), seed=seeds)
def test_divergence_is_infinite_exactly_where_only_the_second_is_0(pair, seed):
    p, q = (np.atleast_2d(x) for x in pair)
    assume(p.shape[1] > 1)
    rng = np.random.default_rng(seed)
    holes = rng.random(len(p)) < 0.5
    column = rng.integers(p.shape[1])
    q[holes, column] = 0
    q /= q.sum(1, keepdims=True)
    assert np.array_equal(np.isinf(kl_divergence(p, q)), holes)
    assert np.array_equal(np.isinf(cross_entropy(p, q)), holes)
    p[:, column] = 0  # an outcome that neither has costs nothing
    p /= p.sum(1, keepdims=True)
    assert np.isfinite(kl_divergence(p, q)).all()


@given(joint=joints())
def test_mutual_information_is_what_the_entropies_share(joint):
    result = mutual_information(joint)
    first, second = joint.sum(1), joint.sum(0)
    shared = entropy(first) + entropy(second) - entropy(joint.ravel())
    assert result == pytest.approx(shared, abs=1e-12)
    assert result == pytest.approx(mutual_information(joint.T), abs=1e-12)
    assert 0 <= result <= min(entropy(first), entropy(second)) + 1e-12
    by_loop = kl_by_loop(joint.ravel(), np.outer(first, second).ravel())
    assert result == pytest.approx(by_loop, abs=1e-12)


@given(joint=joints(), seed=seeds)
def test_independent_and_determined_pairs(joint, seed):
    first, second = joint.sum(1), joint.sum(0)
    assert mutual_information(np.outer(first, second)) == pytest.approx(0, abs=1e-12)
    order = np.random.default_rng(seed).permutation(len(first))
    assert mutual_information(np.diag(first)[:, order]) == pytest.approx(entropy(first), abs=1e-12)


@given(joint=joints(), seed=seeds)
def test_order_of_outcomes_does_not_matter(joint, seed):
    rng = np.random.default_rng(seed)
    rows, columns = (rng.permutation(size) for size in joint.shape)
    renamed = joint[rows][:, columns]
    assert mutual_information(renamed) == pytest.approx(mutual_information(joint), abs=1e-12)
    assert entropy(renamed.ravel()) == pytest.approx(entropy(joint.ravel()), abs=1e-12)
