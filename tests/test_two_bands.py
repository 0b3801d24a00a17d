"""Tokenizers and generators with separate tokens for low and high frequencies."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts._generation.sampling import TokenReader
from skvqts.functional.spectral import split_bands

from .conftest import two_shapes
from .estimators import fitted, fitted_generator, tokenizer

X, Y = two_shapes(24)
IDS = fitted("VQTokenizer two bands").encode(X)


@given(length=st.integers(1, 40), channels=st.integers(1, 3), seed=st.integers(0, 1000))
def test_bands_add_up_to_the_series(length, channels, seed):
    x = torch.randn(2, channels, length, generator=torch.Generator().manual_seed(seed))
    low, high = split_bands(x, 8)
    assert low.shape == high.shape == x.shape
    torch.testing.assert_close(low + high, x, rtol=0, atol=2 * torch.finfo().eps * 8)
    assert torch.isfinite(low).all()


def test_two_thirds_of_a_constant_series_are_in_the_low_band():
    """Hann windows have a mean of 1/2 and sum to 2, their squares sum to 3/2, as published."""
    low, high = split_bands(torch.full((1, 1, 40), 6.0), 8)
    torch.testing.assert_close(low[..., 8:-8], torch.full((1, 1, 24), 4.0))
    torch.testing.assert_close(high[..., 8:-8], torch.full((1, 1, 24), 2.0))


@pytest.mark.parametrize(
    ("frequency", "band", "times"), [(1 / 64, 0, 3), (0.25, 1, 10), (0.45, 1, 10)]
)
def test_slow_waves_are_in_the_low_band_and_fast_ones_in_the_high_band(frequency, band, times):
    x = torch.sin(2 * np.pi * frequency * torch.arange(64, dtype=torch.float64))[None, None]
    energy = [part[..., 8:-8].square().sum() for part in split_bands(x, 8)]
    assert energy[band] > times * energy[1 - band]


@pytest.mark.parametrize(
    ("length", "width", "low", "high"), [(32, 32, 8, 32), (32, 8, 2, 8), (64, 16, 4, 16)]
)
def test_the_low_band_has_a_quarter_of_the_tokens(length, width, low, high):
    series = two_shapes(6, length)[0]
    for frontend, rows in (("conv", 1), ("stft", 5)):
        small = {"n_bands": 2, "frontend": frontend, "downsampled_width": width, "max_epochs": 1}
        fitted_tokenizer = tokenizer(**small).fit(series)
        shape = fitted_tokenizer.token_shape_
        assert [r for r, _ in shape] == [rows, rows]
        if frontend == "conv":
            assert shape == ((1, low), (1, high))
        n_tokens = sum(r * c for r, c in shape)
        ids = fitted_tokenizer.encode(series)
        assert ids.shape == (6, n_tokens)
        n_low = shape[0][0] * shape[0][1]
        assert ids[:, :n_low].max() < 6 <= ids[:, n_low:].min()
        assert fitted_tokenizer.codebook_.shape == (12, 8)
        assert fitted_tokenizer.codebook_usage_.sum() == pytest.approx(1)


def test_a_codebook_is_too_large_for_the_tokens_of_its_own_band():
    few = X[:3]
    with pytest.warns(UserWarning, match="only 24 tokens for codebook_size=30"):
        tokenizer(n_bands=2, codebook_size=30).fit(few)


def test_codes_of_the_other_band_are_refused():
    two = fitted("VQTokenizer two bands")
    assert two.decode(IDS).shape == X.shape
    for position, code in ((8, 0), (39, 5), (0, 6), (7, 11), (8, 12), (0, -1)):
        wrong = IDS.copy()
        wrong[3, position] = code
        allowed = r"\[0, 6\)" if position < 8 else r"\[6, 12\)"
        message = f"in {allowed} in column {position}, and series 3 has {code} there"
        with pytest.raises(ValueError, match=message):
            two.decode(wrong)


@pytest.mark.parametrize("output", ["tokens", "one_hot", "quantized"])
def test_inverse_transform_decodes_the_tokens_of_both_bands(output):
    two = tokenizer(n_bands=2, output=output).fit(X)
    out = two.transform(X)
    if output == "one_hot":
        assert out.shape == (24, 40 * 6)
        codes = out.reshape(24, 40, 6).argmax(2)
        assert np.array_equal(codes + np.repeat([0, 6], [8, 32]), two.encode(X))
        wrong = out.copy().reshape(24, 40, 6)
        wrong[0, 39] = 0
        with pytest.raises(ValueError, match="at one of its codes"):
            two.inverse_transform(wrong.reshape(24, -1))
    expected = two.decode(two.encode(X))
    np.testing.assert_allclose(two.inverse_transform(out), expected, rtol=1e-4, atol=1e-5)


def test_noiseless_series_are_reconstructed_closely_with_two_bands():
    sizes = {"codebook_size": 16, "width": 16, "latent_dim": 16, "max_epochs": 80}
    series = two_shapes(40, noise=0.0)[0]
    two = tokenizer(n_bands=2, learning_rate=0.01, **sizes).fit(series)
    assert two.score(series) > -0.05
    assert two.perplexity_ > 4


def drawn(generator, ids, masks, classes, seed=0):
    """Tokens where those that are masked are drawn as `sample` draws them."""
    return TokenReader(generator).fill(ids, masks, classes, seed, generator._decodings())


def test_tokens_of_each_band_are_sampled_from_the_codes_of_the_band():
    generator = copy.deepcopy(fitted_generator("MaskedPriorGenerator two bands"))
    masks, classes = np.ones((50, 10), bool), np.zeros(50, np.int64)
    for order in ("low_discrepancy", "confidence", "random"):
        generator.set_params(order=order, n_steps=3)
        ids = drawn(generator, np.zeros((50, 10), np.int64), masks, classes)
        assert generator.module_.n_tokens == (2, 8)
        assert 0 <= ids[:, :2].min() <= ids[:, :2].max() < 6
        assert 6 <= ids[:, 2:].min() <= ids[:, 2:].max() < 12
        assert len(np.unique(ids, axis=0)) > 10
    assert generator.sample(5, random_state=0).shape == (5, 32)


def test_visible_tokens_are_kept_where_another_band_is_sampled():
    generator = fitted_generator("MaskedPriorGenerator two bands")
    ids = generator.tokenizer_.encode(X)
    masks = np.zeros(ids.shape, bool)
    masks[:, 2:] = True
    filled = drawn(generator, ids, masks, np.full(24, 2))
    assert np.array_equal(filled[:, :2], ids[:, :2])
    assert not np.array_equal(filled[:, 2:], ids[:, 2:])
    filled = drawn(generator, ids, ~masks, np.full(24, 2))
    assert np.array_equal(filled[:, 2:], ids[:, 2:])


@pytest.mark.parametrize("n_bands", [0, 3, True, 1.0, "2", None], ids=repr)
def test_invalid_n_bands_are_refused(n_bands):
    with pytest.raises(ValueError, match="The 'n_bands' parameter of VQTokenizer must be"):
        tokenizer(n_bands=n_bands).fit(X)
