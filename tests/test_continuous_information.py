"""Entropy, divergence and mutual information of continuous variables, and what tokens tell."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.special import digamma, gamma
from torch.distributions import MultivariateNormal, kl_divergence

from skvqts.metrics import (
    code_length,
    differential_entropy,
    gaussian_entropy,
    gaussian_kl_divergence,
    kl_divergence_of_samples,
    mutual_information,
    mutual_information_of_samples,
    token_label_information,
)

from .conftest import two_shapes
from .estimators import fitted, fitted_generator, masked_prior, tokenizer

X, Y = two_shapes(24)
REPEATS = 40
N_ROWS = 1000


def covariance(rng, size):
    root = rng.normal(size=(size, size + 2))
    return root @ root.T


# ---- normal distributions


def test_the_entropy_of_a_normal_variable_by_hand():
    assert gaussian_entropy([[1.0]]) == pytest.approx(1.4189385332)
    assert gaussian_entropy([[4.0]]) == pytest.approx(1.4189385332 + math.log(2))
    assert gaussian_entropy([[1.0, 1.0], [1.0, 1.0]]) == -math.inf


@pytest.mark.parametrize("size", [1, 2, 5])
def test_closed_forms_are_those_of_torch(size):
    rng = np.random.default_rng(size)
    means, matrices = rng.normal(size=(2, size)), [covariance(rng, size) for _ in range(2)]
    p, q = (
        MultivariateNormal(torch.from_numpy(mean), torch.from_numpy(matrix))
        for mean, matrix in zip(means, matrices, strict=True)
    )
    assert gaussian_entropy(matrices[0]) == pytest.approx(float(p.entropy()))
    found = gaussian_kl_divergence(means[0], matrices[0], means[1], matrices[1])
    assert found == pytest.approx(float(kl_divergence(p, q)))
    assert gaussian_kl_divergence(means[0], matrices[0], means[0], matrices[0]) < 1e-12


def test_singular_covariances_and_wrong_shapes():
    line = np.ones((2, 2))
    assert gaussian_kl_divergence(np.zeros(2), line, np.zeros(2), np.eye(2)) == math.inf
    with pytest.raises(ValueError, match="covariance_q must not be singular"):
        gaussian_kl_divergence(np.zeros(2), np.eye(2), np.zeros(2), line)
    with pytest.raises(ValueError, match="p and q must have one dimension, got 2 and 1"):
        gaussian_kl_divergence(np.zeros(2), np.eye(2), [0.0], [[1.0]])
    with pytest.raises(ValueError, match="negative eigenvalue"):
        gaussian_entropy([[-1.0]])


@pytest.mark.parametrize("seed", range(40))
def test_rank_deficient_covariances_are_singular_and_others_are_not(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 12))
    root = rng.normal(size=(d, int(rng.integers(1, d))))
    singular = root @ root.T
    assert gaussian_entropy((singular + singular.T) / 2) == -math.inf
    with pytest.raises(ValueError, match="covariance_q must not be singular"):
        gaussian_kl_divergence(np.zeros(d), np.eye(d), np.zeros(d), singular)
    # Units of a dimension do not matter, nor that they differ from one to the next.
    root = rng.normal(size=(d, 3 * d))
    units = 10.0 ** rng.uniform(-9, 9, size=d)
    regular = root @ root.T
    _, expected = np.linalg.slogdet(2 * math.pi * math.e * regular)
    in_units = regular * units * units[:, None]
    expected = expected / 2 + np.log(units).sum()
    assert gaussian_entropy(in_units) == pytest.approx(expected, abs=1e-6)
    mean = rng.normal(size=d)
    plain = gaussian_kl_divergence(mean, np.eye(d), np.zeros(d), regular)
    found = gaussian_kl_divergence(mean * units, np.diag(units**2), np.zeros(d), in_units)
    assert found == pytest.approx(plain, rel=1e-6)
    assert gaussian_kl_divergence(mean, in_units, mean, in_units) < 1e-6


# ---- samples


def naive_distances(X, Y):
    return np.sqrt(np.square(X[:, None] - Y[None]).sum(2))


def test_entropy_and_divergence_of_samples_by_loops():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(30, 2)), 3 + 2 * rng.normal(size=(20, 2))
    within, across = naive_distances(first, first), naive_distances(first, second)
    entropy = ratio = 0.0
    for i in range(30):
        others = sorted(within[i, j] for j in range(30) if j != i)
        entropy += math.log(math.pi * others[3] ** 2) / 30
        ratio += 2 * math.log(sorted(across[i])[3] / others[3]) / 30
    found = differential_entropy(first, n_neighbors=4)
    assert found == pytest.approx(entropy + digamma(30) - digamma(4))
    found = kl_divergence_of_samples(first, second, n_neighbors=4)
    assert found == pytest.approx(ratio + math.log(20 / 29))


@pytest.mark.parametrize("correlation", [0.0, 0.9])
@pytest.mark.parametrize("step", [0.1, 0.25])
def test_mutual_information_of_rounded_values(correlation, step):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1))
    y = correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=(1000, 1))
    rounded = [np.round(part / step) * step for part in (x, y)]
    expected = -math.log(1 - correlation**2) / 2
    assert mutual_information_of_samples(*rounded) == pytest.approx(expected, abs=0.1)
    assert mutual_information_of_samples(*rounded) == mutual_information_of_samples(*rounded)


def test_mutual_information_of_two_values_is_their_entropy():
    x = np.repeat([0.0, 1.0], 500)[:, None]
    assert mutual_information_of_samples(x, x) == pytest.approx(math.log(2), abs=0.05)


def test_mutual_information_of_samples_by_loops():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(25, 2))
    y = x[:, :1] + rng.normal(size=(25, 1))
    total = 0.0
    for i in range(25):
        of_x = [max(abs(x[i] - x[j])) for j in range(25) if j != i]
        of_y = [abs(y[i, 0] - y[j, 0]) for j in range(25) if j != i]
        reach = sorted(map(max, of_x, of_y))[2]
        counts = (sum(d < reach for d in distances) for distances in (of_x, of_y))
        total += sum(digamma(count + 1) for count in counts) / 25
    expected = digamma(3) + digamma(25) - total
    assert mutual_information_of_samples(x, y) == pytest.approx(expected)


@pytest.mark.parametrize(("size", "bound"), [(1, 0.06), (2, 0.06), (3, 0.06), (5, 0.1), (10, 0.2)])
def test_the_bias_of_the_entropy_is_below_the_stated_one(size, bound):
    rng = np.random.default_rng(size)
    expected = gaussian_entropy(np.eye(size))
    errors = [
        differential_entropy(rng.normal(size=(N_ROWS, size))) - expected for _ in range(REPEATS)
    ]
    assert abs(np.mean(errors)) < bound
    assert f"{bound:.2g}" in differential_entropy.__doc__


@pytest.mark.parametrize(
    ("size", "bound"), [(1, 0.07), (2, 0.07), (3, 0.07), (5, 0.12), (10, 0.16)]
)
def test_the_bias_of_the_divergence_is_below_the_stated_one(size, bound):
    rng = np.random.default_rng(size)
    mean = np.eye(size)[0]
    assert gaussian_kl_divergence(np.zeros(size), np.eye(size), mean, np.eye(size)) == 0.5
    n_repeats = REPEATS if size < 10 else 10
    pairs = [rng.normal(size=(2, N_ROWS, size)) for _ in range(n_repeats)]
    errors = [kl_divergence_of_samples(x, y + mean) - 0.5 for x, y in pairs]
    assert abs(np.mean(errors)) < bound
    same = [kl_divergence_of_samples(x, y) for x, y in pairs]
    assert abs(np.mean(same)) < 4 * np.std(same) / np.sqrt(n_repeats) + 0.01
    assert f"{bound:.2f}" in kl_divergence_of_samples.__doc__


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_the_bias_of_the_mutual_information_is_below_the_stated_one(correlation):
    rng = np.random.default_rng(3)
    expected = -np.log(1 - correlation**2) / 2
    errors = []
    for _ in range(REPEATS):
        x, noise = rng.normal(size=(2, N_ROWS, 1))
        y = correlation * x + np.sqrt(1 - correlation**2) * noise
        errors.append(mutual_information_of_samples(x, y) - expected)
    assert abs(np.mean(errors)) < 0.03


def test_units_and_places_change_the_entropy_as_they_should():
    rng = np.random.default_rng(4)
    sample, other = rng.normal(size=(200, 3)), rng.normal(size=(100, 3))
    before = differential_entropy(sample)
    assert differential_entropy(8 * sample + 1e6) == pytest.approx(before + 3 * math.log(8))
    divergence = kl_divergence_of_samples(sample, other)
    moved = kl_divergence_of_samples(8 * sample + 1e6, 8 * other + 1e6)
    assert moved == pytest.approx(divergence, rel=1e-6)


def test_the_entropy_of_a_uniform_cube_and_the_volume_of_a_ball():
    sample = np.random.default_rng(5).uniform(size=(4000, 2))
    assert differential_entropy(sample) == pytest.approx(0.0, abs=0.06)
    # Two rows at distance 2: a ball of radius 2 in five dimensions.
    two = np.zeros((2, 5))
    two[1, 0] = 2.0
    expected = math.log(math.pi**2.5 / gamma(3.5) * 2**5) + digamma(2) - digamma(1)
    assert differential_entropy(two, n_neighbors=1) == pytest.approx(expected)


def test_rows_that_repeat_have_no_density():
    repeated = np.repeat(np.arange(6.0), 5)[:, None]
    assert differential_entropy(repeated) == -math.inf
    assert kl_divergence_of_samples(repeated, repeated + 0.5) == math.inf
    assert math.isnan(kl_divergence_of_samples(repeated, repeated))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: differential_entropy(np.zeros((3, 1)), n_neighbors=3), r"range \[1, 2\]"),
        (lambda: differential_entropy([[np.nan], [1.0]]), "NaN"),
        (lambda: kl_divergence_of_samples(np.eye(5), np.eye(5)[:2]), r"range \[1, 2\]"),
        (lambda: kl_divergence_of_samples(np.eye(5), np.eye(4)), "must be the same features"),
        (lambda: mutual_information_of_samples(np.eye(5), np.eye(4)), "as many rows, got 5 and 4"),
    ],
)
def test_what_samples_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---- tokens


def test_what_tokens_tell_about_labels_by_hand():
    y = np.array(["a", "a", "b", "b"] * 25)
    tokens = np.column_stack([np.array([3, 3, 7, 7] * 25), np.array([0, 1, 0, 1] * 25), y == "c"])
    plain = token_label_information(tokens.astype(int), y, correction=None)
    np.testing.assert_allclose(plain, [math.log(2), 0, 0], atol=1e-12)
    # Pairs that occur, less ids, less labels, plus 1: 2 - 2 - 2 + 1 = -1, then 4 - 4 + 1 and 0.
    corrected = token_label_information(tokens.astype(int), y)
    np.testing.assert_allclose(corrected - plain, [1 / 200, -1 / 200, 0], atol=1e-12)


def test_the_correction_removes_the_bias_of_independent_tokens():
    rng = np.random.default_rng(6)
    tokens, y = rng.integers(0, 6, (200, 400)), np.arange(200) % 3
    plain = token_label_information(tokens, y, correction=None)
    assert plain.mean() == pytest.approx(5 * 2 / 400, rel=0.15)
    assert abs(token_label_information(tokens, y).mean()) < 0.002


def test_the_information_is_that_of_the_table_of_frequencies():
    rng = np.random.default_rng(7)
    tokens, y = rng.integers(0, 3, (50, 2)), rng.integers(0, 2, 50)
    table = np.zeros((3, 2))
    for token, label in zip(tokens[:, 1], y, strict=True):
        table[token, label] += 1 / 50
    found = token_label_information(tokens, y, correction=None)[1]
    assert found == pytest.approx(mutual_information(table))


@pytest.mark.parametrize(
    ("tokens", "y", "message"),
    [
        ([[0.5], [1.0]], [0, 1], "whole numbers"),
        ([[0], [1]], [0], "inconsistent numbers"),
        ([[0], [np.nan]], [0, 1], "NaN"),
    ],
)
def test_what_tokens_are_refused(tokens, y, message):
    with pytest.raises(ValueError, match=message):
        token_label_information(tokens, y)


CODED = {
    "two bands": lambda: fitted_generator("MaskedPriorGenerator two bands"),
    "causal": lambda: fitted_generator("AutoregressivePriorGenerator"),
    "tokens of the series": lambda: masked_prior(tokenizer=tokenizer(n_series_tokens=3)).fit(X, Y),
}


@pytest.mark.parametrize("name", CODED)
def test_code_lengths_by_loops(name):
    generator = CODED[name]()
    tokens, usage = generator.tokenizer_.encode(X), generator.tokenizer_.codebook_usage_
    found = code_length(generator, X)
    assert found.uniform == pytest.approx(tokens.shape[1] * math.log(6))
    total = 0.0
    for row in tokens:
        for token in row:
            band = usage[6 * (token // 6) :][:6]
            total -= math.log(usage[token] / band.sum())
    assert found.usage == pytest.approx(total / 24)
    assert found.usage < found.uniform
    assert found.learned == pytest.approx(-generator.score_samples(X).mean())


def test_code_lengths_of_series_of_unequal_length_are_those_of_their_tokens():
    series = [row[: 32 - index % 9] for index, row in enumerate(X)]
    generator = masked_prior(tokenizer=tokenizer(missing="mask"), decoder=None).fit(series, Y)
    n_tokens = [len(tokens) for tokens in generator.tokenizer_.encode(series)]
    assert len(set(n_tokens)) > 1
    found = code_length(generator, series)
    assert found.uniform == pytest.approx(np.mean(n_tokens) * math.log(6))
    padded = np.full((24, 32), np.nan)
    for row, of_series in zip(padded, series, strict=True):
        row[: len(of_series)] = of_series
    assert code_length(generator, padded) == found


def test_a_code_that_never_occurred_cannot_be_written_by_its_frequency():
    generator = copy.deepcopy(fitted_generator("AutoregressivePriorGenerator"))
    token = generator.tokenizer_.encode(X)[0, 0]
    usage = generator.tokenizer_.codebook_usage_.copy()
    usage[token] = 0.0
    generator.tokenizer_.codebook_usage_ = usage
    assert code_length(generator, X).usage == math.inf
    with pytest.raises(TypeError, match="takes a fitted generator over tokens"):
        code_length(fitted("VQTokenizer"), X)
