"""Tokens of the whole series: product quantisation of its features, and what takes such tokens."""

import copy
import functools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.svm import LinearSVC

from skvqts._nn.layers import build
from skvqts._nn.quantizer import SeriesQuantizer
from skvqts.functional import readout

from . import reference
from .conftest import two_shapes
from .estimators import fitted, masked_prior, tokenizer

X, Y = two_shapes(24)


def learned(features, n_tokens=3, codebook_size=4, dim=5, seed=0):
    """A quantiser of whole series that has learned from features."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (features.shape[1], n_tokens, codebook_size, dim)
    quantizer = build(functools.partial(SeriesQuantizer, *sizes), generator)
    quantizer.learn(torch.from_numpy(features), generator)
    return quantizer


def features_of(n=40, n_features=23, seed=0):
    rng = np.random.default_rng(seed)
    scales = 10.0 ** rng.uniform(-2, 2, n_features)
    features = rng.normal(size=(n, n_features)) * scales + 5 * scales
    return features.astype(np.float32)


# ---- the quantiser


def test_vectors_are_standardised_features_with_random_signs_in_random_places():
    features = features_of()
    features[:, 7] = 0.3  # a constant, of which nothing is left
    quantizer = learned(features)
    signs = np.sign(quantizer.weights.numpy())
    assert signs[7] == 0
    assert set(np.delete(signs, 7)) == {-1, 1}
    places = quantizer.places.tolist()
    assert sorted(np.bincount(places, minlength=15)) == [1] * 7 + [2] * 8  # 23 in 15 places
    standardised = (features - features.mean(0)) / np.where(signs, features.std(0), 1)
    expected = reference.hashed(standardised, places, signs, 15).reshape(-1, 3, 5)
    vectors = quantizer.vectors(torch.from_numpy(features)).numpy()
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-4)


def test_each_token_is_the_nearest_of_its_own_codes():
    quantizer = learned(features_of())
    new = torch.from_numpy(features_of(seed=1))
    quantized = quantizer(new)
    for token in range(3):
        own = quantizer.codebook[4 * token : 4 * token + 4]
        expected, _ = reference.nearest_code(quantized.vectors[:, token], own)
        assert quantized.ids[:, token].tolist() == (4 * token + expected).tolist()
        np.testing.assert_array_equal(quantized.codes[:, token], own[expected])


def test_codes_are_means_of_the_series_that_have_them():
    features = torch.from_numpy(features_of(300))
    quantizer = learned(features.numpy())
    quantized = quantizer(features)  # as many series as codes are learned from, or fewer
    for code in range(12):
        members = quantized.vectors[:, code // 4][quantized.ids[:, code // 4] == code]
        # Ten iterations leave k-means close to where it stays.
        mean = members.mean(0)
        assert (quantizer.codebook[code] - mean).norm() < 0.2 * (members - mean).norm(dim=1).mean()


# ---- the tokenizer


@pytest.fixture(scope="module")
def pair():
    """A tokenizer with tokens of whole series, and the same one without."""
    make = functools.partial(tokenizer, max_epochs=20)
    return make(n_series_tokens="auto").fit(X), make().fit(X)


def test_the_other_tokens_and_what_they_decode_to_are_as_without(pair):
    with_tokens, without = pair
    assert with_tokens.token_shape_ == ((32, 1), *without.token_shape_)
    tokens = with_tokens.encode(X)
    assert np.array_equal(tokens[:, 32:] - 32 * 6, without.encode(X))
    assert np.array_equal(with_tokens.decode(tokens), without.decode(without.encode(X)))
    assert with_tokens.score(X) == without.score(X)
    for output in ("features", "quantized", "continuous_pooled"):
        pair_of = [copy.deepcopy(model).set_params(output=output).transform(X) for model in pair]
        assert np.array_equal(*pair_of)


def test_tokens_of_the_series_have_codes_of_their_own_and_leave_the_decoded_series(pair):
    with_tokens, _ = pair
    tokens = with_tokens.encode(X)
    assert (tokens[:, :32] // 6 == np.arange(32)).all()
    assert with_tokens.codebook_.shape == (33 * 6, 8)
    assert with_tokens.codebook_usage_.sum() == pytest.approx(1)
    changed = tokens.copy()
    changed[:, :32] = 6 * np.arange(32)
    assert np.array_equal(with_tokens.decode(changed), with_tokens.decode(tokens))
    for position, code in ((0, 6), (1, 5), (31, 192), (32, 191), (40, 198)):
        wrong = tokens.copy()
        wrong[3, position] = code
        with pytest.raises(ValueError, match="token ids must be whole numbers"):
            with_tokens.decode(wrong)


@pytest.mark.parametrize("kind", [{}, {"n_bands": 2}, {"frontend": "stft"}])
def test_functions_of_tokens_know_nothing_but_the_ids(kind):
    model = tokenizer(n_series_tokens=4, output="positional_bag", **kind).fit(X)
    codes = torch.from_numpy(model.encode(X) % 6)
    whole = readout.one_hot(codes[:, :4], 6) / 2
    bags = reference.positional_bag(codes[:, 4:].numpy(), 6, model.token_shape_[1:])
    np.testing.assert_allclose(model.transform(X), np.hstack([whole, bags]), rtol=1e-6)
    model.set_params(output="one_hot")
    assert np.array_equal(model.transform(X), readout.one_hot(codes, 6).numpy())
    decoded = model.decode(model.encode(X))
    assert np.array_equal(model.inverse_transform(model.transform(X)), decoded)


def test_tokens_of_the_series_tell_classes_that_shares_of_codes_do_not():
    """Two classes differ in what comes first, which shares of codes do not show."""
    rng = np.random.default_rng(0)
    waves = [np.sin(np.linspace(0, f * np.pi, 16, endpoint=False)) for f in (2, 8)]
    series = np.array([np.concatenate(waves[::order]) for order in (1, -1)] * 40)
    series = series + rng.normal(scale=0.2, size=series.shape)
    y = np.tile([0, 1], 40)
    model = tokenizer(n_series_tokens=8, output="tokens", max_epochs=5).fit(series[:40])
    codes = torch.from_numpy(model.transform(series)[:, :8] % 6)
    whole = readout.one_hot(codes, 6).numpy()
    assert LinearSVC().fit(whole[:40], y[:40]).score(whole[40:], y[40:]) > 0.9


def test_a_warm_start_learns_them_anew():
    model = tokenizer(n_series_tokens=2, warm_start=True).fit(X)
    first = model.codebook_.copy()
    model.fit(X)
    assert model.token_shape_ == ((2, 1), (1, 32))
    assert not np.array_equal(model.codebook_, first)
    model.set_params(n_series_tokens=0).fit(X)
    assert model.token_shape_ == ((1, 32),)
    assert model.codebook_.shape == (6, 8)


def test_series_of_any_length_have_all_of_them():
    series = [x[: 9 + i] for i, x in enumerate(X)]
    model = tokenizer(n_series_tokens=3, missing="mask", downsampled_width=8).fit(series)
    tokens = model.encode(series)
    n_others = [-(-len(x) // 4) for x in series]
    assert [len(ids) for ids in tokens] == [3 + n for n in n_others]
    lengths = [len(x) for x in series]
    decoded = model.decode(tokens, lengths=lengths)
    assert [len(x) for x in decoded] == lengths
    with pytest.raises(ValueError, match="Series 0 has 2 tokens"):
        model.decode([tokens[0][:2]])
    # A series alone has the tokens that it has among others.
    assert np.array_equal(model.encode(series[:1])[0], tokens[0])
    bags = clone(model).set_params(output="positional_bag").fit(series).transform(series)
    assert np.isfinite(bags).all()


# ---- generators


@pytest.fixture(scope="module")
def generator():
    return masked_prior({"n_series_tokens": 3}, max_epochs=3, code_temperature=0.1).fit(X, Y)


def test_generators_draw_and_judge_tokens_of_the_series(generator):
    assert generator.module_.n_tokens == (3, 8)
    assert generator.sample(5, random_state=0).shape == (5, 32)
    assert (generator.score_samples(X) < 0).all()
    assert (generator.score_samples(X, method="exact") < 0).all()
    assert generator.class_log_likelihoods(X).shape == (24, 2)
    gappy = X.copy()
    gappy[:, 10:20] = np.nan
    filled = generator.impute(gappy, random_state=0)
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[:, :10], X[:, :10])


def test_anomalies_are_told_of_tokens_that_lie_in_time(generator):
    """What is told of the series without the window is the context, and is not judged itself."""
    scores = generator.anomaly_score(X, window=8)
    other = copy.deepcopy(generator)
    with torch.no_grad():
        other.module_.bands[0].bias.normal_(generator=torch.Generator().manual_seed(0))
    assert np.array_equal(other.anomaly_score(X, window=8), scores)
    assert not np.array_equal(other.score_samples(X), generator.score_samples(X))


def test_features_of_the_prior_are_means_of_its_states(generator):
    ids = torch.from_numpy(generator.tokenizer_.encode(X))
    nobody = torch.full((24,), 2)
    parts = []
    with torch.no_grad():
        for band, last in zip(generator.module_.bands, (3, 11), strict=True):
            (states,) = band.states(ids[:, :last], nobody)  # of one layer
            quarters = np.array_split(states.numpy(), min(4, states.shape[1]), axis=1)
            parts += [part.mean(1) for part in (states.numpy(), *quarters)]
    features = generator.transform(X)
    np.testing.assert_allclose(features, np.hstack(parts), rtol=1e-4, atol=1e-5)
    assert len(generator.get_feature_names_out()) == features.shape[1]
    assert np.array_equal(generator.transform(X[5:8]), features[5:8])


def test_features_of_the_prior_need_series_of_unknown_class():
    knowing = masked_prior(p_unconditional=0, max_epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match="p_unconditional above 0"):
        knowing.transform(X)


def test_estimators_of_all_suites_have_them():
    assert fitted("VQTokenizer tokens").token_shape_ == ((3, 1), (1, 32))
