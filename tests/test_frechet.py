"""Fréchet distance against textbook formulas, its properties as a metric, and extrapolation."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg

from skvqts import FidelityWarning
from skvqts.metrics import (
    frechet_distance,
    frechet_distance_extrapolated,
    frechet_distance_from_statistics,
)

seeds = st.integers(0, 2**32 - 1)
few_rows = pytest.mark.filterwarnings("ignore::skvqts.FidelityWarning")


def correlated(n, d, seed=0, shift=0.0, rank=None):
    rng = np.random.default_rng(seed)
    rank = d if rank is None else rank
    return rng.normal(size=(n, rank)) @ rng.normal(size=(rank, d)) + shift


def statistics(X):
    return X.mean(0), np.atleast_2d(np.cov(X, rowvar=False))


def traces(*samples):
    return sum(float(X.var(0, ddof=1).sum()) for X in samples)


def by_sqrtm(A, B):
    """The published formula, term by term."""
    (m, S), (w, T) = statistics(A), statistics(B)
    return np.sum((m - w) ** 2) + np.trace(S) + np.trace(T) - 2 * np.trace(linalg.sqrtm(S @ T))


def by_eigh(A, B):
    """The trace of the root of ``S^1/2 T S^1/2``, which is symmetric."""
    (m, S), (w, T) = statistics(A), statistics(B)
    values, vectors = np.linalg.eigh(S)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ T @ root).clip(0)
    return np.sum((m - w) ** 2) + np.trace(S) + np.trace(T) - 2 * np.sqrt(inner).sum()


def in_the_plane(A, B):
    """For two features: ``tr root(M)`` is ``root(tr M + 2 root(det M))``."""
    (m, S), (w, T) = statistics(A), statistics(B)
    determinants = max(np.linalg.det(S) * np.linalg.det(T), 0.0)
    shared = np.sqrt(np.trace(S @ T) + 2 * np.sqrt(determinants))
    return np.sum((m - w) ** 2) + np.trace(S) + np.trace(T) - 2 * shared


@st.composite
def samples(draw, n_samples=2):
    """Samples of one width, some wider than long, some constant or duplicated features."""
    rng = np.random.default_rng(draw(seeds))
    d = draw(st.integers(1, 12))
    mixing = rng.normal(size=(d, d)) * 10 ** draw(st.floats(-5, 5))
    if draw(st.booleans()):
        mixing[:, rng.integers(d)] = 0.0
    if draw(st.booleans()):
        mixing[:, -1] = mixing[:, 0]
    offset = draw(st.sampled_from([0, 1, -100])) * np.abs(mixing).max()
    return [
        rng.normal(size=(draw(st.integers(2, 30)), d)) @ mixing * rng.uniform(0.2, 5) + offset
        for _ in range(n_samples)
    ]


# ---- references


@pytest.mark.parametrize(("d", "shift"), [(1, 0), (2, 1), (7, 0), (20, 3)])
def test_many_samples_agree_with_the_published_formula(d, shift):
    A, B = correlated(600, d, 1), correlated(500, d, 2, shift)
    expected = by_sqrtm(A, B)
    assert frechet_distance(A, B) == pytest.approx(expected.real, rel=1e-9)


def test_one_feature_by_hand():
    # means 2 and 7, standard deviations 2 and 1 (unbiased)
    assert frechet_distance([[0.0], [2], [4]], [[6.0], [7], [8]]) == pytest.approx(25 + 1)


def test_independent_features_by_hand():
    result = frechet_distance_from_statistics(
        [0.0, 1, 2], np.diag([1.0, 4, 9]), [3.0, 1, -2], np.diag([4.0, 1, 9])
    )
    assert result == pytest.approx((9 + 0 + 16) + (1 + 1 + 0))


def test_distance_of_a_gaussian_to_a_point_by_hand():
    cov = [[2.0, 1], [1, 3]]
    assert frechet_distance_from_statistics([0, 0], cov, [1, 1], np.zeros((2, 2))) == pytest.approx(
        2 + 5
    )


@few_rows
@given(pair=samples())
def test_statistics_give_the_same_as_samples(pair):
    A, B = pair
    result = frechet_distance_from_statistics(*statistics(A), *statistics(B))
    assert result == pytest.approx(frechet_distance(A, B), rel=1e-6, abs=1e-6 * traces(A, B))


# ---- fewer samples than features


@few_rows
@pytest.mark.parametrize("n", [3, 5, 20])
def test_few_rows_in_a_plane_of_many_features_equal_the_closed_form(n):
    """The answer is that of the plane, which has a closed form."""
    A, B = correlated(n, 2, 3), correlated(n + 1, 2, 4, shift=1.0)
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(64, 2)))[0]
    result = frechet_distance(A @ basis.T, B @ basis.T)
    assert result == pytest.approx(in_the_plane(A, B), rel=1e-10)


@few_rows
def test_exact_for_few_rows_where_the_matrix_root_is_not():
    A, B = correlated(5, 40, 6), correlated(5, 40, 7)
    by_product = by_sqrtm(A, A)
    assert abs(by_product) > 1e-10 * traces(A, A)
    assert np.iscomplexobj(by_product) or by_product < 0
    assert abs(frechet_distance(A, A)) <= 1e-13 * traces(A, A)
    assert frechet_distance(A, B) == pytest.approx(by_eigh(A, B), rel=1e-6)


@few_rows
@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (2, 2, 3), (2, 50, 8), (5, 9, 40), (8, 8, 8)])
def test_few_rows_equal_the_symmetric_formula(n, m, d):
    A, B = correlated(n, d, 8), correlated(m, d, 9, shift=0.5)
    result = frechet_distance(A, B)
    assert type(result) is float
    assert result == pytest.approx(by_eigh(A, B), rel=1e-5)


def test_two_rows_by_hand():
    # covariances are 2 e1 e1' and 8 e2 e2', which share nothing
    A, B = [[1.0, 0, 0], [-1, 0, 0]], [[0.0, 2, 0], [0, -2, 0]]
    with pytest.warns(FidelityWarning):
        assert frechet_distance(A, B) == pytest.approx(10)


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 3), (20, 90, 64), (90, 20, 64), (8, 9, 8)])
def test_warning_of_few_rows_points_to_the_line_of_the_caller(n, m, d):
    with pytest.warns(FidelityWarning, match=f"n={min(n, m)} <= d={d}") as caught:
        frechet_distance(correlated(n, d), correlated(m, d))
    assert [warning.filename for warning in caught] == [__file__]


def test_no_warning_with_more_rows_than_features():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(correlated(9, 8), correlated(10, 8))


# ---- properties


@few_rows
@given(pair=samples())
def test_not_negative_and_symmetric(pair):
    A, B = pair
    result = frechet_distance(A, B)
    assert result >= 0
    assert result == pytest.approx(frechet_distance(B, A), rel=1e-9, abs=1e-10 * traces(A, B))


@few_rows
@given(pair=samples(), seed=seeds)
def test_rotation_and_order_of_rows_do_not_matter(pair, seed):
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(pair[0].shape[1],) * 2))[0]
    A, B = (rng.permutation(X) @ rotation for X in pair)
    size = traces(A, B) + np.square(A.mean(0)).sum()
    assert frechet_distance(A, B) == pytest.approx(
        frechet_distance(*pair), rel=1e-9, abs=1e-10 * size
    )


@few_rows
@given(pair=samples(), seed=seeds)
def test_a_shifted_copy_is_the_squared_shift_away(pair, seed):
    A = pair[0]
    shift = np.random.default_rng(seed).normal(size=A.shape[1]) * (1 + np.abs(A).max())
    expected = np.square(shift).sum()
    size = traces(A) + np.square(A.mean(0)).sum() + expected
    assert frechet_distance(A, A + shift) == pytest.approx(expected, abs=1e-10 * size)


@few_rows
@given(pair=samples(1))
def test_distance_of_a_sample_to_itself_is_0(pair):
    A = pair[0]
    assert frechet_distance(A, A.copy()) <= 1e-10 * traces(A, A)


@given(seed=seeds, d=st.integers(1, 8), rank=st.integers(1, 8))
def test_root_of_the_distance_obeys_the_triangle_inequality(seed, d, rank):
    rng = np.random.default_rng(seed)
    gaussians = []
    for _ in range(3):
        root = rng.normal(size=(d, rank)) * rng.uniform(0.1, 3)
        gaussians.append((rng.normal(size=d), root @ root.T))

    def distance(i, j):
        return np.sqrt(frechet_distance_from_statistics(*gaussians[i], *gaussians[j]))

    for i, j, k in itertools.permutations(range(3)):
        assert distance(i, k) <= distance(i, j) + distance(j, k) + 1e-6


@few_rows
def test_constant_and_float32_features_far_from_0():
    features = np.random.default_rng(0).integers(0, 8, (16, 6)).astype(np.float32) + 1000
    features[:, 2] = 1000.1
    shifted = features + np.float32(0.25)
    assert frechet_distance(features, shifted) == pytest.approx(6 * 0.25**2, rel=1e-3)


# ---- extrapolation


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0.0), (0.5, 2.0)])
def test_extrapolation_reduces_the_bias(shift, expected):
    plain, extrapolated = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        A, B = rng.normal(size=(60, 8)), rng.normal(size=(60, 8)) + shift
        plain.append(frechet_distance(A, B))
        extrapolated.append(frechet_distance_extrapolated(A, B, random_state=seed))
    assert min(extrapolated) >= 0
    assert abs(np.mean(extrapolated) - expected) < 0.3 * abs(np.mean(plain) - expected)
    errors = [np.abs(np.subtract(values, expected)).mean() for values in (extrapolated, plain)]
    assert errors[0] < errors[1]


@few_rows
def test_extrapolation_from_two_sizes_by_hand():
    """From two sizes it is twice the value of all less that of some half of the rows."""
    A, B = correlated(4, 2, 1), correlated(4, 2, 2, shift=5.0)
    halves = [list(rows) for rows in itertools.combinations(range(4), 2)]
    possible = [
        2 * frechet_distance(A, B) - frechet_distance(A[i], B[j]) for i in halves for j in halves
    ]
    result = [frechet_distance_extrapolated(A, B, n_points=2, random_state=s) for s in range(5)]
    assert all(np.isclose(value, possible, rtol=1e-9).any() for value in result)
    assert len(set(result)) > 1


def test_extrapolation_is_deterministic_with_a_seed():
    A, B = correlated(40, 4, 1), correlated(50, 4, 2)
    first, second, other = (
        frechet_distance_extrapolated(A, B, random_state=seed) for seed in (3, 3, 4)
    )
    assert first == second != other
