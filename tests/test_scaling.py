"""Scaling of series, in blocks of rows."""

import tracemalloc

import numpy as np
import pytest

from skvqts._fitting import scaling as _scaling
from skvqts._fitting.scaling import SeriesScaler


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(_scaling, "_BLOCK", 2**8)


def series(n=40, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 2, 30)) * [[3.0], [0.01]]
    return X + np.array([[-7.0], [1e4]])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("per_series", [False, True])
def test_scaling_in_blocks_matches_the_formula(per_series, dtype):
    X = series().astype(dtype)
    scaler, axis = SeriesScaler(per_series).fit(X), 2 if per_series else (0, 2)
    mean, std = (f(X.astype(np.float64), axis, keepdims=True) for f in (np.mean, np.std))
    scaled = scaler.transform(X)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, (X - mean) / std, atol=1e-6, rtol=1e-6)
    again = scaler.inverse(scaled)
    expected = scaled * std.mean(0) + mean.mean(0) if per_series else X
    np.testing.assert_allclose(again, expected, rtol=1e-6, atol=2e-6)


def test_results_do_not_depend_on_the_block_size(monkeypatch):
    X = series()
    at_once = SeriesScaler().fit(X)
    monkeypatch.setattr(_scaling, "_BLOCK", 2**8)
    in_blocks = SeriesScaler().fit(X)
    np.testing.assert_allclose(in_blocks.scale_, at_once.scale_, rtol=1e-12)
    assert np.array_equal(at_once.transform(X), at_once.transform(X[::-1])[::-1])


@pytest.mark.usefixtures("small_blocks")
def test_constant_channels_are_not_amplified():
    X = series()
    X[:, 1] = 1e4 + 0.1
    scaler = SeriesScaler().fit(X)
    assert scaler.scale_[0, 1, 0] == 1
    assert np.abs(scaler.transform(X)[:, 1]).max() < 1e-6


@pytest.mark.parametrize("per_series", [False, True])
def test_scaling_large_arrays_needs_little_additional_memory(per_series, monkeypatch):
    monkeypatch.setattr(_scaling, "_BLOCK", 2**14)
    X = np.zeros((4000, 1, 500), np.float32)
    X[:, :, ::2] = 1
    tracemalloc.start()
    try:
        SeriesScaler(per_series).fit(X).transform(X)
        assert tracemalloc.get_traced_memory()[1] < 1.2 * X.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("number", [1, 12])
@pytest.mark.parametrize("sentinel", [-9999.0, 1e6])
def test_a_sentinel_among_the_values_gets_a_word(sentinel, number, dtype):
    X = series().astype(dtype)
    X[:number, 1, 5] = sentinel
    with pytest.warns(UserWarning, match=r"is -?[0-9e+]+ in channel 1, which is .* make it NaN"):
        SeriesScaler().fit(X)


@pytest.mark.filterwarnings("error")
def test_ordinary_series_get_no_word():
    rng = np.random.default_rng(0)
    for X in (
        series(),
        rng.standard_t(3, size=(100, 1, 50)),
        np.zeros((5, 1, 9)),
        np.eye(100)[:, None] * 1e5,  # a spike in each series, and nothing else
        np.exp(rng.normal(size=(100, 1, 50))),
    ):
        SeriesScaler().fit(X)
        SeriesScaler(per_series=True).fit(X)
    X[0, 0, 0] = np.nan
    SeriesScaler().fit(X)


@pytest.mark.parametrize("missing", [False, True])
def test_the_order_of_values_in_memory_has_no_part_in_the_scale(missing):
    X = np.random.default_rng(0).normal(size=(50, 3, 40))
    if missing:
        X[X > 2] = np.nan
    for per_series in (False, True):
        plain = SeriesScaler(per_series=per_series).fit(X)
        other = SeriesScaler(per_series=per_series).fit(np.asfortranarray(X))
        np.testing.assert_array_equal(other.transform(np.asfortranarray(X)), plain.transform(X))
        if not per_series:
            np.testing.assert_array_equal(other.mean_, plain.mean_)
            np.testing.assert_array_equal(other.scale_, plain.scale_)
