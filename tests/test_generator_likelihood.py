"""Likelihoods of generators, of sequences of tokens and of series."""

import copy
import itertools

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import chisquare, norm

from skvqts._generation.sampling import TokenReader
from skvqts._tokenizer import code_ranges
from skvqts.functional.masking import masked_counts

from .conftest import two_shapes
from .estimators import GENERATORS, autoregressive_prior, fitted_generator, masked_prior
from .trained_generators import KINDS, bumps, fitted_to_bumps

X, Y = two_shapes(24)
each_generator = pytest.mark.parametrize("name", GENERATORS)
each_kind = pytest.mark.parametrize("kind", KINDS)
SMALL = {"codebook_size": 3, "downsampled_width": 4}
OF_SERIES = {"codebook_size": 2, "downsampled_width": 4, "n_series_tokens": 2}
TWO_BANDS = {"codebook_size": 2, "downsampled_width": 4, "n_bands": 2}


@pytest.fixture(scope="module")
def masked():
    """Four tokens of three codes: 81 sequences."""
    return masked_prior(SMALL, max_epochs=5).fit(X[:, ::2], Y)


@pytest.fixture(scope="module")
def two_bands():
    """One low token and four high ones of two codes: 32 sequences."""
    return masked_prior(TWO_BANDS, max_epochs=5).fit(X[:, ::2], Y)


@pytest.fixture(scope="module")
def of_series():
    """Two tokens of the whole series, each of two codes of its own, and four others: 64."""
    return masked_prior(OF_SERIES, max_epochs=5).fit(X[:, ::2], Y)


@pytest.fixture(scope="module")
def causal_of_series():
    return autoregressive_prior(OF_SERIES, max_epochs=5).fit(X[:, ::2], Y)


@pytest.fixture(scope="module")
def causal():
    return autoregressive_prior(SMALL, max_epochs=5).fit(X[:, ::2], Y)


@pytest.fixture(scope="module")
def causal_bands():
    return autoregressive_prior(TWO_BANDS, max_epochs=5).fit(X[:, ::2], Y)


def all_sequences(generator):
    """All possible sequences of tokens, in joint ids."""
    ranges = [range(*ends) for ends in code_ranges(generator.tokenizer_).tolist()]
    return np.array(list(itertools.product(*ranges)))


def probabilities(log_likelihoods, generator, c):
    """Probabilities of all sequences, given class `c`; 2 is the unconditional prior."""
    ids = all_sequences(generator)
    return np.exp(log_likelihoods(ids, np.full(len(ids), c)))


def drawn_counts(generator, c, n):
    """How often each sequence is sampled among `n`."""
    width = len(all_sequences(generator)[0])
    masks = np.ones((n, width), bool)
    ids = TokenReader(generator).fill(
        np.zeros((n, width), np.int64), masks, np.full(n, c), 0, generator._decodings()
    )
    index = {tuple(row): i for i, row in enumerate(all_sequences(generator).tolist())}
    return np.bincount([index[tuple(row)] for row in ids.tolist()], minlength=len(index))


def assert_frequencies(counts, p):
    """A chi-squared test that pools sequences of less than five expected samples."""
    expected = counts.sum() * p
    rare = expected < 5
    assert (~rare).sum() > 3
    pairs = [
        np.append(part[~rare], part[rare].sum() + extra)
        for part, extra in ((counts, 1e-9), (expected, 1e-9))
    ]
    assert chisquare(pairs[0], pairs[1] * pairs[0].sum() / pairs[1].sum()).pvalue > 1e-3


# ---- probabilities of all sequences


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 16])
@pytest.mark.parametrize("which", ["masked", "two_bands", "of_series"])
def test_exact_likelihoods_sum_to_one(which, n_steps, temperature, guidance, request):
    generator = copy.deepcopy(request.getfixturevalue(which))
    generator.set_params(n_steps=n_steps, temperature=temperature, guidance_scale=guidance)
    for c in (0, 1, 2):
        total = probabilities(generator._exact_log_likelihood, generator, c).sum()
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("which", ["causal", "causal_bands", "causal_of_series"])
def test_causal_likelihoods_sum_to_one(which, request):
    generator = request.getfixturevalue(which)
    for c in (0, 1, 2):
        total = probabilities(generator._log_likelihood, generator, c).sum()
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("n_steps", "temperature", "guidance"), [(1, 1.0, 1.0), (3, 0.5, 1.0), (16, 1.0, 3.0)]
)
@pytest.mark.parametrize("which", ["masked", "two_bands", "of_series"])
def test_sampling_frequencies_match_the_exact_likelihood(
    which, n_steps, temperature, guidance, request
):
    generator = copy.deepcopy(request.getfixturevalue(which))
    generator.set_params(n_steps=n_steps, temperature=temperature, guidance_scale=guidance)
    p = probabilities(generator._exact_log_likelihood, generator, 1)
    assert_frequencies(drawn_counts(generator, 1, 1500), p / p.sum())


@pytest.mark.parametrize("which", ["causal", "causal_bands", "causal_of_series"])
def test_sampling_frequencies_match_the_causal_likelihood(which, request):
    generator = request.getfixturevalue(which)
    p = probabilities(generator._log_likelihood, generator, 0)
    assert_frequencies(drawn_counts(generator, 0, 1500), p / p.sum())


# ---- the bound


def mean_over_orders(generator, ids, c):
    """Log of the mean likelihood and mean log-likelihood over all orders of four tokens."""
    reader, classes = TokenReader(generator), np.full(len(ids), c)
    per_order, n = [], ids.shape[1]
    for order in itertools.permutations(range(n)):
        total, hidden = 0.0, np.ones(n, bool)
        for position in order:
            (losses,) = reader.hidden_losses(ids, classes, [torch.tensor(hidden[None])])
            total = total - losses[:, 0, position].astype(float)
            hidden[position] = False
        per_order.append(total)
    return logsumexp(per_order, axis=0) - np.log(len(per_order)), np.mean(per_order, axis=0)


def test_the_bound_is_the_mean_log_likelihood_over_orders(masked):
    ids = all_sequences(masked)[::9]
    log_of_mean, mean_of_log = mean_over_orders(masked, ids, 1)
    bound = masked._log_likelihood(ids, np.full(len(ids), 1), 2000)
    np.testing.assert_allclose(bound, mean_of_log, atol=0.1)
    assert (bound < log_of_mean + 0.1).all()
    assert (bound - log_of_mean).mean() < 0
    few = masked._log_likelihood(ids, np.full(len(ids), 1), 4)
    assert np.abs(few - mean_of_log).mean() > np.abs(bound - mean_of_log).mean()


def test_the_bound_is_close_to_the_exact_likelihood_of_one_token_per_step():
    generator = copy.deepcopy(fitted_to_bumps("masked")).set_params(n_steps=64)
    n_tokens = generator.tokenizer_.encode(bumps(2)[0]).shape[1]
    left = [int(n) for n in masked_counts(torch.tensor([n_tokens]), 64, "cosine")]
    assert sorted(set(left)) == list(range(n_tokens))
    series = bumps(40, seed=1)[0]
    shares = generator.class_counts_ / generator.class_counts_.sum()
    bound = logsumexp(generator.class_log_likelihoods(series) + np.log(shares), axis=1)
    exact = generator.score_samples(series, method="exact")
    assert np.abs(bound.mean() - exact.mean()) < 0.1 * np.abs(exact.mean())


def test_exact_likelihoods_require_a_fixed_order_and_a_positive_temperature():
    generator = copy.deepcopy(fitted_generator("MaskedPriorGenerator"))
    for order in ("confidence", "random"):
        generator.set_params(order=order)
        with pytest.raises(ValueError, match=f"needs order='low_discrepancy'.*order='{order}'"):
            generator.score_samples(X, method="exact")
    generator.set_params(order="low_discrepancy", temperature=0)
    with pytest.raises(ValueError, match=r"a temperature above 0; got .*temperature=0"):
        generator.score_samples(X, method="exact")
    for wrong in ({"method": "Exact"}, {"n_masks": 0}, {"n_masks": 2.5}):
        with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter of score_sa"):
            generator.score_samples(X, **wrong)
    assert np.isfinite(generator.score_samples(X)).all()


# ---- likelihoods of series


@each_generator
def test_likelihoods_do_not_depend_on_other_series(name):
    generator = fitted_generator(name)
    whole = generator.score_samples(X)
    assert whole.shape == (24,)
    assert whole.dtype == np.float64
    assert (whole < 0).all()
    parts = [generator.score_samples(part) for part in (X[:1], X[1:])]
    assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(generator.score_samples(X), whole)
    by_class = generator.class_log_likelihoods(X)
    assert by_class.shape == (24, 2)
    assert np.array_equal(generator.class_log_likelihoods(X[:5]), by_class[:5])


@each_generator
def test_the_score_adds_the_density_of_the_residuals(name):
    generator = fitted_generator(name)
    tokenizer = generator.tokenizer_
    scaled, again = (Z / X.std() for Z in (X, tokenizer.decode(tokenizer.encode(X))))
    scale = generator.residual_scale_[0]
    assert scale == pytest.approx((again - scaled).std(), rel=1e-3)
    density = norm.logpdf(scaled, again, scale).sum(1)
    expected = generator.score_samples(X) + density
    found = generator.score_samples(X, include_reconstruction=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.02)
    assert generator.score(X) == pytest.approx(found.mean())


@each_kind
def test_real_series_are_more_likely_than_noise(kind):
    series, generator = bumps(30, seed=1)[0], fitted_to_bumps(kind)
    noise = np.random.default_rng(0).normal(series.mean(), series.std(), series.shape)
    for include in (False, True):
        real, other = (
            generator.score_samples(Z, include_reconstruction=include) for Z in (series, noise)
        )
        assert real.min() > other.max()
    assert generator.score(series) > generator.score(noise)


@each_kind
def test_class_log_likelihoods_classify_series(kind):
    series, labels = bumps(60, seed=1)
    generator = fitted_to_bumps(kind)
    best = generator.class_log_likelihoods(series).argmax(axis=1)
    assert (generator.classes_[best] == labels).mean() >= 0.9


@pytest.mark.parametrize("make", [masked_prior, autoregressive_prior])
def test_without_an_unconditional_prior_the_likelihood_is_of_a_mixture_of_classes(make):
    y = np.repeat(["a", "b", "c"], [4, 8, 12])
    generator = make(p_unconditional=0).fit(X, y)
    shares = np.log(np.array([4, 8, 12]) / 24)
    expected = logsumexp(generator.class_log_likelihoods(X) + shares, axis=1)
    np.testing.assert_allclose(generator.score_samples(X), expected, rtol=1e-6)
    if hasattr(generator, "n_steps"):
        ids = generator.tokenizer_.encode(X)
        given = [generator._exact_log_likelihood(ids, np.full(24, c)) for c in range(3)]
        expected = logsumexp(np.stack(given, 1) + shares, axis=1)
        np.testing.assert_allclose(generator.score_samples(X, method="exact"), expected, rtol=1e-6)


def test_the_exact_likelihood_is_of_a_mixture_of_classes():
    """Of a generator with labels `sample` draws the class first, also with guidance."""
    generator = copy.deepcopy(fitted_to_bumps("masked")).set_params(guidance_scale=2.0)
    series = bumps(10, seed=1)[0]
    ids = generator.tokenizer_.encode(series)
    given = [generator._exact_log_likelihood(ids, np.full(10, c)) for c in range(2)]
    expected = logsumexp(np.stack(given, 1) + np.log(0.5), axis=1)
    np.testing.assert_allclose(generator.score_samples(series, method="exact"), expected, rtol=1e-6)
