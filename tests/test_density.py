"""Density, coverage and the kernel distance against slow, obvious versions and known answers."""

import math
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from skvqts.metrics import density_coverage, frechet_distance, kernel_distance


def normal(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=shape) + shift


def balls_by_loops(real, gen, k):
    hits = 0
    covered = 0
    for i, x in enumerate(real):
        radius = sorted(np.linalg.norm(x - z) for j, z in enumerate(real) if j != i)[k - 1]
        inside = sum(np.linalg.norm(x - y) <= radius for y in gen)
        hits += inside
        covered += inside > 0
    return hits / (k * len(gen)), covered / len(real)


@pytest.mark.parametrize("d", [1, 3, 20])
@pytest.mark.parametrize("k", [1, 5, 24])
def test_density_and_coverage_equal_naive_loops(d, k):
    real, gen = normal(25, d), normal(15, d, seed=1, shift=0.5)
    assert density_coverage(real, gen, n_neighbors=k) == pytest.approx(balls_by_loops(real, gen, k))


def test_density_and_coverage_of_samples_of_one_distribution():
    result = [
        density_coverage(normal(500, 4, seed=s), normal(500, 4, seed=s + 1)) for s in (0, 2, 4)
    ]
    density, coverage = np.mean(result, 0)
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_coverage_falls_with_diversity_and_density_with_fidelity():
    real, gen = normal(200, 4), normal(200, 4, seed=1)
    few = np.repeat(gen[:10], 20, axis=0)
    assert density_coverage(real, few).coverage < 0.4 < 0.9 < density_coverage(real, gen).coverage
    half_far = np.concatenate([gen[:100], gen[100:] + 100])
    assert density_coverage(real, gen + 100) == (0, 0)
    expected = density_coverage(real, gen[:100]).density / 2
    assert density_coverage(real, half_far).density == pytest.approx(expected)


@pytest.mark.parametrize("d", [5, 20])
def test_copies_on_the_edge_of_a_ball_count_as_inside(d):
    """Each real row's ball holds its copy and those of its k neighbours."""
    real = normal(40, d)
    assert density_coverage(real, real.copy()) == pytest.approx((6 / 5, 1))


# ---- kernels


def discrepancy_by_loops(X, Y, kernel):
    def mean(A, B, same):
        pairs = [(i, j) for i in range(len(A)) for j in range(len(B)) if not (same and i == j)]
        return sum(kernel(A[i], B[j]) for i, j in pairs) / len(pairs)

    return mean(X, X, True) + mean(Y, Y, True) - 2 * mean(X, Y, False)


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_kernel_distance_equals_naive_loops(shift):
    X, Y = normal(7, 3), normal(5, 3, seed=1, shift=shift)
    squares = [np.sum((X[i] - X[j]) ** 2) for i in range(7) for j in range(i)]
    width = math.sqrt(sum(squares) / 21)  # of 21 pairs
    kernels = {
        "polynomial": lambda x, y: (x @ y / 3 + 1) ** 3,
        "rbf": lambda x, y: math.exp(-np.sum((x - y) ** 2) / (2 * width**2)),
    }
    for name, kernel in kernels.items():
        result = kernel_distance(X, Y, kernel=name)
        assert result == pytest.approx(discrepancy_by_loops(X, Y, kernel), rel=1e-9)
    assert kernel_distance(X, Y) == kernel_distance(X, Y, kernel="polynomial")


@pytest.mark.parametrize("kernel", ["polynomial", "rbf"])
def test_kernel_distance_is_unbiased_and_larger_for_shifted_samples(kernel):
    rng = np.random.default_rng(2)
    null, shifted = [], []
    for _ in range(150):
        X, Y = rng.normal(size=(5, 4)), rng.normal(size=(6, 4))
        null.append(kernel_distance(X, Y, kernel=kernel))
        shifted.append(kernel_distance(X, Y + 1, kernel=kernel))
    error = np.std(null) / math.sqrt(len(null))
    assert abs(np.mean(null)) < 3 * error
    assert min(null) < 0
    assert np.mean(shifted) > np.mean(null) + 10 * error


def test_gaussian_kernel_distance_keeps_its_digits_far_from_the_origin():
    X, Y = normal(60, 4), 2 * normal(50, 4, seed=1)
    near, far = (kernel_distance(X + level, Y + level, kernel="rbf") for level in (0, 1e8))
    assert near > 0.05
    assert far == pytest.approx(near, rel=1e-5)


@pytest.mark.parametrize("level", [0.0, 3.0, 1e4, 1e8])
def test_polynomial_kernel_distance_equals_that_of_fractions_wherever_the_origin_is(level):
    X = np.round(4 * normal(6, 3)) / 4 + level
    Y = np.round(4 * normal(5, 3, seed=1, shift=0.5)) / 4 + level
    rows = [[[Fraction(value) for value in row] for row in sample] for sample in (X, Y)]

    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / 3 + 1) ** 3

    exact = float(discrepancy_by_loops(*rows, kernel))
    assert kernel_distance(X, Y) == pytest.approx(exact, rel=1e-6)


def test_what_overflows_or_underflows_is_refused():
    X, Y = normal(7, 3), normal(5, 3, seed=1)
    with pytest.raises(ValueError, match=r"overflows: standardise them, or use kernel='rbf'"):
        kernel_distance(1e100 * X, 1e100 * Y)
    for score in (kernel_distance, density_coverage, frechet_distance):
        with pytest.raises(ValueError, match="squares vanish: multiply both"):
            score(1e-200 * X, 1e-200 * Y)
    assert density_coverage(X, 1e-200 * Y) == density_coverage(X, 0 * Y)
    for factor in (1e-100, 1e100):
        expected = kernel_distance(X, Y, kernel="rbf")
        assert kernel_distance(factor * X, factor * Y, kernel="rbf") == pytest.approx(expected)


@pytest.mark.parametrize("kernel", ["polynomial", "rbf"])
def test_kernel_distance_in_blocks_does_not_depend_on_the_order_of_rows(kernel):
    """More rows than are read at a time, sorted or not."""
    X, Y = np.sort(normal(1100, 1), 0), normal(30, 1, seed=1, shift=1.0)
    shuffled = np.random.default_rng(3).permutation(X)
    result = kernel_distance(X, Y, kernel=kernel)
    assert result == pytest.approx(kernel_distance(shuffled, Y, kernel=kernel), rel=1e-9)


def test_a_column_of_whole_series_is_an_array_and_in_a_table_it_is_refused():
    X, Y = normal(6, 3), normal(6, 3) + 1
    column = pd.Series(X.tolist())
    assert frechet_distance(column, Y) == frechet_distance(X, Y)
    with pytest.raises(ValueError, match=r"features_real holds whole series .* numpy\.stack"):
        frechet_distance(column.to_frame(), Y)
