"""Scores of samples and series against slow, obvious versions and known answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier

from skvqts import FidelityWarning
from skvqts.metrics import (
    autocorrelation_difference,
    classification_accuracy_score,
    classifier_two_sample_test,
    density_coverage,
    kernel_distance,
    memorization_score,
    reconstruction_error,
)

from .conftest import two_shapes

NEAREST = KNeighborsClassifier(1)


def normal(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=shape) + shift


# ---- kernels


def discrepancy_by_loops(X, Y, kernel):
    def mean(A, B, same):
        pairs = [(i, j) for i in range(len(A)) for j in range(len(B)) if not (same and i == j)]
        return sum(kernel(A[i], B[j]) for i, j in pairs) / len(pairs)

    return mean(X, X, True) + mean(Y, Y, True) - 2 * mean(X, Y, False)


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_kernel_distance_against_loops(shift):
    X, Y = normal(7, 3), normal(5, 3, seed=1, shift=shift)
    squares = [np.sum((X[i] - X[j]) ** 2) for i in range(7) for j in range(i)]
    width = math.sqrt(sum(squares) / 21)  # of 21 pairs
    kernels = {
        "polynomial": lambda x, y: (x @ y / 3 + 1) ** 3,
        "rbf": lambda x, y: math.exp(-np.sum((x - y) ** 2) / (2 * width**2)),
    }
    for name, kernel in kernels.items():
        found = kernel_distance(X, Y, kernel=name)
        assert found == pytest.approx(discrepancy_by_loops(X, Y, kernel), rel=1e-9)
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


def test_gaussian_kernel_distance_is_the_same_far_from_the_origin():
    X, Y = normal(60, 4), 2 * normal(50, 4, seed=1)
    near, far = (kernel_distance(X + level, Y + level, kernel="rbf") for level in (0, 1e8))
    assert near > 0.05
    assert far == pytest.approx(near, rel=1e-5)


@pytest.mark.parametrize("kernel", ["polynomial", "rbf"])
def test_kernel_distance_of_many_rows_in_any_order(kernel):
    """More rows than are read at a time, sorted or not."""
    X, Y = np.sort(normal(1100, 1), 0), normal(30, 1, seed=1, shift=1.0)
    shuffled = np.random.default_rng(3).permutation(X)
    found = kernel_distance(X, Y, kernel=kernel)
    assert found == pytest.approx(kernel_distance(shuffled, Y, kernel=kernel), rel=1e-9)


# ---- density, coverage, memorization


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
def test_density_and_coverage_against_loops(d, k):
    real, gen = normal(25, d), normal(15, d, seed=1, shift=0.5)
    assert density_coverage(real, gen, n_neighbors=k) == pytest.approx(balls_by_loops(real, gen, k))


def test_density_and_coverage_of_one_law():
    found = [
        density_coverage(normal(500, 4, seed=s), normal(500, 4, seed=s + 1)) for s in (0, 2, 4)
    ]
    density, coverage = np.mean(found, 0)
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_coverage_falls_with_variety_and_density_with_fidelity():
    real, gen = normal(200, 4), normal(200, 4, seed=1)
    few = np.repeat(gen[:10], 20, axis=0)
    assert density_coverage(real, few).coverage < 0.4 < 0.9 < density_coverage(real, gen).coverage
    half_far = np.concatenate([gen[:100], gen[100:] + 100])
    assert density_coverage(real, gen + 100) == (0, 0)
    expected = density_coverage(real, gen[:100]).density / 2
    assert density_coverage(real, half_far).density == pytest.approx(expected)


@pytest.mark.parametrize("d", [5, 20])
def test_copies_lie_on_the_edge_of_balls_and_count(d):
    """Each real row's ball holds its copy and those of its k neighbours."""
    real = normal(40, d)
    assert density_coverage(real, real.copy()) == pytest.approx((6 / 5, 1))


def memorization_by_loops(gen, train, test):
    def mean(rows):
        return np.mean([min(np.linalg.norm(x - z) for z in train) for x in rows])

    return mean(gen) / mean(test)


@pytest.mark.parametrize("shape", [(6,), (40,), (2, 9)])
def test_memorization_against_loops(shape):
    gen, train, test = (normal(n, *shape, seed=n) for n in (7, 12, 9))
    found = memorization_score(gen, train, test)
    assert found == pytest.approx(memorization_by_loops(gen, train, test), rel=1e-9)
    assert found == pytest.approx(
        memorization_score(*(X.reshape(len(X), -1) for X in (gen, train, test)))
    )


@pytest.mark.parametrize("t", [6, 40])
def test_memorization_is_0_for_copies_1_for_fresh_and_between_for_some(t):
    train, test, fresh = (normal(300, t, seed=s) for s in range(3))
    for level in (0, 1e6, 1e9):
        assert memorization_score(train[:50] + level, train + level, test + level) == 0
    score = memorization_score(fresh, train, test)
    assert score == pytest.approx(1, abs=0.05)
    half = np.concatenate([fresh, train])
    assert memorization_score(half, train, test) == pytest.approx(score / 2, abs=1e-6)
    assert memorization_score(fresh + 100, train, test) > 10


# ---- autocorrelation, reconstruction


def autocorrelations_by_loops(X, n_lags):
    """Mean over series, for each channel and lag."""
    n, c, t = X.shape
    found = np.zeros((c, n_lags))
    for row in X:
        for channel, series in enumerate(row):
            x = series - series.mean()
            for lag in range(1, n_lags + 1):
                product = sum(x[i] * x[i + lag] for i in range(t - lag))
                found[channel, lag - 1] += product / sum(x * x) / n
    return found


@pytest.mark.parametrize(("t", "n_lags"), [(12, None), (12, 11), (13, 1), (13, None), (2, None)])
def test_autocorrelation_against_loops(t, n_lags):
    X, Y = normal(4, 2, t).cumsum(2), normal(6, 2, t, seed=1, shift=3.0)
    lags = t // 2 if n_lags is None else n_lags
    expected = np.abs(autocorrelations_by_loops(X, lags) - autocorrelations_by_loops(Y, lags))
    found = autocorrelation_difference(X, Y, n_lags=n_lags)
    assert found == pytest.approx(expected.mean(), abs=1e-12)
    assert autocorrelation_difference(X, X) == 0
    flat = autocorrelation_difference(X[:, 0], Y[:, 0], n_lags=n_lags)
    assert flat == pytest.approx(expected[0].mean(), abs=1e-12)


def test_white_noise_and_an_autoregressive_process():
    """Whose autocorrelations are powers of its coefficient."""
    noise, rho = normal(40, 1000), 0.8
    process = noise.copy()
    for i in range(1, 1000):
        process[:, i] = rho * process[:, i - 1] + noise[:, i]
    expected = np.mean([rho**lag for lag in range(1, 6)])
    white = normal(40, 1000, seed=1)
    assert autocorrelation_difference(process, white, n_lags=5) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6 + 0.1])
def test_constant_series_have_no_autocorrelation(level):
    wave = np.tile([1.0, -1], (3, 15))
    expected = np.mean([(30 - lag) / 30 for lag in range(1, 16)])
    constant = np.full((2, 30), level)  # whose mean is rounded
    assert autocorrelation_difference(constant, wave) == pytest.approx(expected)
    assert autocorrelation_difference(constant, constant + 1) == 0


@given(seed=st.integers(0, 2**32 - 1), power=st.floats(-25, 25), offset=st.floats(-10, 10))
def test_level_and_scale_do_not_change_autocorrelations(seed, power, offset):
    X = normal(5, 20, seed=seed).cumsum(1)
    assert autocorrelation_difference(X, (X + offset) * 10**power) == pytest.approx(0, abs=1e-9)


def test_reconstruction_error_by_hand():
    X = np.array([[1.0, 3], [1, 3]])  # variance 1
    assert reconstruction_error(X, X.copy()) == 0
    assert reconstruction_error(X, np.full((2, 2), 2.0)) == pytest.approx(1)
    assert reconstruction_error(X, [[1.0, 3], [2, 5]]) == pytest.approx((1 + 4) / 4)


@pytest.mark.parametrize("scales", [(1, 1), (1e-3, 1e6)])
def test_reconstruction_error_is_a_share_of_the_variance_of_each_channel(scales):
    X = normal(20, 2, 8) * np.array(scales)[:, None]
    mean = X.mean((0, 2), keepdims=True)
    assert reconstruction_error(X, np.broadcast_to(mean, X.shape)) == pytest.approx(1)
    again = np.stack([X[:, 0], np.broadcast_to(mean[:, 1], (20, 8))], 1)
    assert reconstruction_error(X, again) == pytest.approx(1 / 2)
    assert reconstruction_error(X, X + 0.5 * (mean - X)) == pytest.approx(1 / 4)


@pytest.mark.parametrize("level", [0.0, 2.0, 0.1, 1 / 3])
def test_a_channel_that_does_not_vary_counts_with_its_plain_error(level):
    X = np.full((10, 7), level)
    assert reconstruction_error(X, X + 2) == pytest.approx(4)
    assert reconstruction_error(X, X.copy()) == 0


# ---- classifiers

X, INDICES = two_shapes(80, 24, noise=0.5)
LABELS = np.array(["saw", "sine"])[1 - INDICES]
SPLIT = X[:50], LABELS[:50], X[50:], LABELS[50:]


@pytest.mark.parametrize("classifier", [NEAREST, KNeighborsClassifier(7)])
def test_accuracy_is_that_of_a_clone_trained_on_generated_series(classifier):
    X_gen, y_gen, X_test, y_test = SPLIT
    expected = clone(classifier).fit(X_gen, y_gen).score(X_test, y_test)
    assert 0.5 < expected < 1
    found = classification_accuracy_score(*SPLIT, classifier=classifier)
    assert found == pytest.approx(expected)
    assert not hasattr(classifier, "classes_")


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 5))
def test_accuracy_is_a_share_and_names_of_classes_do_not_matter(seed, n_classes):
    rng = np.random.default_rng(seed)
    y_gen, y_test = np.arange(30) % n_classes, rng.integers(n_classes, size=20)
    X_gen, X_test = rng.normal(size=(30, 6)) + y_gen[:, None], rng.normal(size=(20, 6))
    found = classification_accuracy_score(X_gen, y_gen, X_test, y_test, classifier=NEAREST)
    assert 0 <= found <= 1
    names = rng.permutation(["a", "b", "c", "d", "e"])
    renamed = names[y_gen], X_test, names[y_test]
    assert classification_accuracy_score(X_gen, *renamed, classifier=NEAREST) == found
    order = rng.permutation(20)
    shuffled = X_gen, y_gen, X_test[order], y_test[order]
    assert classification_accuracy_score(*shuffled, classifier=NEAREST) == pytest.approx(found)


def test_a_class_that_was_never_generated_counts_as_wrong():
    X_gen = np.repeat([[0.0, 0], [9, 9]], 3, axis=0)
    y_gen = np.repeat(["a", "b"], 3)
    X_test, y_test = [[0.0, 1], [9, 8], [4, 4], [5, 5]], ["a", "b", "c", "d"]
    with pytest.warns(FidelityWarning, match=r"\['c', 'd'\] of y_test are missing") as caught:
        found = classification_accuracy_score(X_gen, y_gen, X_test, y_test, classifier=NEAREST)
    assert found == 1 / 2
    assert [warning.filename for warning in caught] == [__file__]


def test_the_default_classifier_tells_two_easy_classes():
    X, y = two_shapes(40, 24)
    y = np.array(["saw", "sine"])[1 - y]
    assert classification_accuracy_score(X[:30], y[:30], X[30:], y[30:]) == 1
    swapped = np.where(y == "saw", "sine", "saw")
    assert classification_accuracy_score(X[:30], swapped[:30], X[30:], y[30:]) == 0


@pytest.mark.parametrize("classifier", [NEAREST, None])
def test_two_samples_of_one_law_cannot_be_told_apart(classifier):
    found = [
        classifier_two_sample_test(
            normal(90, 16, seed=s),
            normal(90, 16, seed=s + 9),
            classifier=classifier,
            random_state=s,
        )
        for s in range(5)
    ]
    accuracy, p_value = np.median(found, 0)
    assert accuracy == pytest.approx(0.5, abs=0.05)
    assert p_value > 0.1


@pytest.mark.parametrize("classifier", [NEAREST, None])
def test_two_samples_of_different_laws_are_told_apart(classifier):
    accuracy, p_value = classifier_two_sample_test(
        normal(40, 16), normal(60, 16, seed=1, shift=3.0), classifier=classifier, random_state=0
    )
    assert accuracy > 0.95
    assert p_value < 1e-12


@pytest.mark.parametrize("sizes", [(30, 30), (20, 45), (45, 20)])
@pytest.mark.parametrize("said", [0, 1])
def test_one_answer_for_all_is_right_for_half(sizes, said):
    """Also with samples of unequal size."""
    dummy = DummyClassifier(strategy="constant", constant=said)
    found = classifier_two_sample_test(*(normal(n, 4) for n in sizes), classifier=dummy)
    assert found == (0.5, 0.5)


@pytest.mark.parametrize("sizes", [(32, 32), (20, 45)])
def test_p_value_by_hand_and_folds_from_a_seed(sizes):
    """A binomial share of n coin flips has standard deviation ``1 / 2 root(n)``."""
    real, gen = normal(sizes[0], 4), normal(sizes[1], 4, seed=1, shift=0.5)
    tests = [
        classifier_two_sample_test(real, gen, classifier=NEAREST, random_state=seed, n_splits=n)
        for seed, n in ((0, 5), (0, 5), (1, 5), (2, 5), (0, 2))
    ]
    assert tests[0] == tests[1]
    assert len(set(tests)) > 2
    flips = 2 * min(sizes)
    for accuracy, p_value in tests:
        assert accuracy * flips == pytest.approx(round(accuracy * flips))
        deviations = (accuracy - 0.5) * 2 * math.sqrt(flips)
        assert p_value == pytest.approx(math.erfc(deviations / math.sqrt(2)) / 2)
