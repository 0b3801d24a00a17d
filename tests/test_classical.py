"""Transformers without a network: the short-time Fourier transform, and codes of windows."""

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from skvqts import STFTTransformer, WindowCodes

from . import reference
from .conftest import two_shapes
from .estimators import stft, window_codes

X, Y = two_shapes(24)


# ---- STFTTransformer


@pytest.mark.parametrize(("n_fft", "step"), [(4, 11), (8, 1), (9, 11), (32, 11)])
def test_series_of_every_length_come_back(n_fft, step):
    rng = np.random.default_rng(0)
    for length in range(1, 301, step):
        series = rng.normal(size=(3, 2, length))
        transformer = STFTTransformer(n_fft).fit(series)
        again = transformer.inverse_transform(transformer.transform(series))
        assert np.abs(again - series).max() < 1e-5, length


def test_spectra_are_those_of_a_naive_transform():
    transformer = stft().fit(X)
    scaled = transformer.scaler_.transform(X[:, None])[:, 0].astype(float)
    spectra = transformer.transform(X).reshape(24, *transformer.spectrum_shape_)
    magnitudes = stft(output="magnitude").fit_transform(X).reshape(24, 5, -1)
    for row, found, sizes in zip(scaled[:3], spectra, magnitudes, strict=False):
        expected = reference.stft(row, 8)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(sizes, np.hypot(*expected), atol=1e-5)


def test_a_sine_is_strongest_at_its_frequency():
    wave = np.sin(2 * np.pi * np.arange(256) * 5 / 32)[None].repeat(2, 0)
    transformer = stft(n_fft=32, output="magnitude").fit(wave)
    _, n_frequencies, n_windows = transformer.spectrum_shape_
    magnitudes = transformer.transform(wave)[0].reshape(n_frequencies, n_windows)
    assert (magnitudes[:, 3:-3].argmax(0) == 5).all()


def test_what_has_no_phases_cannot_be_inverted():
    transformer = stft().fit(X)
    assert hasattr(transformer, "inverse_transform")
    transformer.set_params(output="magnitude")
    assert transformer.transform(X).shape == (24, len(transformer.get_feature_names_out()))
    with pytest.raises(AttributeError, match="no attribute 'inverse_transform'") as caught:
        transformer.inverse_transform(X)
    assert "output='magnitude' cannot be inverted" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match=r"inverse_transform of STFTTransformer\(output='parts'\)"):
        transformer.set_params(output="parts").inverse_transform(X)


# ---- WindowCodes


def test_tokens_are_the_nearest_codes_of_the_windows():
    codes = window_codes(window=5, stride=3).fit(X)
    scaled = codes.scaler_.transform(X[:, None])[:, 0].astype(float)
    tokens = codes.encode(X)
    starts = [*range(0, 27, 3), 27]
    assert tokens.shape == (24, len(starts)) == (24, codes.n_tokens_)
    for index, start in enumerate(starts):
        windows = scaled[:, start : start + 5]
        expected, _ = reference.nearest_code(windows, codes.codebook_)
        assert np.array_equal(tokens[:, index], expected)
    shares = np.stack([np.bincount(row, minlength=6) / len(starts) for row in tokens])
    np.testing.assert_allclose(codes.transform(X), shares, rtol=1e-6)
    np.testing.assert_allclose(codes.codebook_usage_, shares.mean(0))


def test_codes_are_where_scipys_k_means_stays():
    codes = window_codes(window=8, stride=8).fit(X)
    windows = codes.scaler_.transform(X[:, None]).reshape(-1, 8).astype(float)
    expected, _ = kmeans2(windows, codes.codebook_.astype(float), iter=10, minit="matrix")
    np.testing.assert_allclose(codes.codebook_, expected, atol=1e-5)


def test_decoded_series_are_the_means_of_overlapping_codes():
    panel = np.stack([X, -2 * X], axis=1)
    codes = window_codes(window=7, stride=2).fit(panel)
    tokens = codes.encode(panel)
    total, counts = np.zeros((24, 2, 32)), np.zeros(32)
    for index, start in enumerate([*range(0, 25, 2), 25]):
        total[:, :, start : start + 7] += codes.codebook_[tokens[:, index]].reshape(24, 2, 7)
        counts[start : start + 7] += 1
    expected = total / counts * codes.scaler_.scale_ + codes.scaler_.mean_
    np.testing.assert_allclose(codes.decode(tokens), expected, atol=1e-5)
    error = np.square((expected - panel) / codes.scaler_.scale_).mean()
    assert codes.score(panel) == pytest.approx(-error, rel=1e-5)


def test_more_codes_reconstruct_better_and_enough_of_them_exactly():
    scores = [window_codes(codebook_size=k, stride=4).fit(X).score(X) for k in (1, 4, 16, 64)]
    assert scores == sorted(scores)
    assert scores[0] > -1.01
    few = WindowCodes(codebook_size=64, window=8, stride=8, random_state=0).fit(np.tile(X[:4], 4))
    assert few.score(np.tile(X[:4], 4)) == pytest.approx(0.0, abs=1e-10)


def test_only_tokens_can_be_inverted():
    codes = window_codes(output="tokens").fit(X)
    assert np.array_equal(
        codes.inverse_transform(codes.transform(X)), codes.decode(codes.encode(X))
    )
    codes.set_params(output="bag_of_codes")
    with pytest.raises(AttributeError, match="no attribute 'inverse_transform'") as caught:
        codes.inverse_transform(X)
    assert "output='bag_of_codes' cannot be inverted" in str(caught.value.__cause__)
    with pytest.raises(ValueError, match=r"whole numbers in \[0, 6\)"):
        codes.decode(np.full((2, codes.n_tokens_), 6))


def test_the_window_is_an_eighth_of_a_series_and_never_longer_than_one():
    codes = window_codes().fit(X)
    assert (codes.window_, codes.stride_, codes.n_tokens_) == (4, 2, 15)
    with pytest.raises(ValueError, match="window=33 is longer than the series, 32 points"):
        window_codes(window=33).fit(X)
    gaps = window_codes(window=2, stride=20).fit(X)  # between windows nothing is known
    assert gaps.decode(gaps.encode(X))[:, 10:20] == pytest.approx(gaps.scaler_.mean_.item())
