"""Autocorrelation and reconstruction against loops and known answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skvqts.metrics import autocorrelation_difference, reconstruction_error


def normal(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=shape) + shift


def autocorrelations_by_loops(X, n_lags):
    """Mean over series, for each channel and lag."""
    n, c, t = X.shape
    result = np.zeros((c, n_lags))
    for row in X:
        for channel, series in enumerate(row):
            x = series - series.mean()
            for lag in range(1, n_lags + 1):
                product = sum(x[i] * x[i + lag] for i in range(t - lag))
                result[channel, lag - 1] += product / sum(x * x) / n
    return result


@pytest.mark.parametrize(("t", "n_lags"), [(12, None), (12, 11), (13, 1), (13, None), (2, None)])
def test_autocorrelation_difference_equals_naive_loops(t, n_lags):
    X, Y = normal(4, 2, t).cumsum(2), normal(6, 2, t, seed=1, shift=3.0)
    lags = t // 2 if n_lags is None else n_lags
    expected = np.abs(autocorrelations_by_loops(X, lags) - autocorrelations_by_loops(Y, lags))
    result = autocorrelation_difference(X, Y, n_lags=n_lags)
    assert result == pytest.approx(expected.mean(), abs=1e-12)
    assert autocorrelation_difference(X, X) == 0
    flat = autocorrelation_difference(X[:, 0], Y[:, 0], n_lags=n_lags)
    assert flat == pytest.approx(expected[0].mean(), abs=1e-12)


def test_autocorrelations_of_an_autoregressive_process_are_powers_of_its_coefficient():
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
    half_exact = np.stack([X[:, 0], np.broadcast_to(mean[:, 1], (20, 8))], 1)
    assert reconstruction_error(X, half_exact) == pytest.approx(1 / 2)
    assert reconstruction_error(X, X + 0.5 * (mean - X)) == pytest.approx(1 / 4)


@pytest.mark.parametrize("level", [0.0, 2.0, 0.1, 1 / 3])
def test_a_constant_channel_counts_with_its_plain_squared_error(level):
    X = np.full((10, 7), level)
    assert reconstruction_error(X, X + 2) == pytest.approx(4)
    assert reconstruction_error(X, X.copy()) == 0
