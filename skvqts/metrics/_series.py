"""Scores of the series themselves: their autocorrelation, and the error of reconstructions."""

import numpy as np

from ._validation import validate_integer, validate_two_panels

_ROUNDING = 10 * np.finfo(np.float64).eps


def autocorrelation_difference(X_real, X_gen, *, n_lags=None):
    """Mean absolute difference of the mean autocorrelations of two samples of series [1]_.

    Parameters
    ----------
    X_real, X_gen : array-like of shape (n, t) or (n, c, t)
        Real and generated series.
    n_lags : int or None, default=None
        Lags from 1 to `n_lags`; None: up to half of the series.

    Returns
    -------
    float
        From 0 to 2. Constant series have autocorrelation 0.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, shapes differ, series have a single time point, or
        `n_lags` is not in [1, t).

    References
    ----------
    .. [1] Ang et al. "TSGBench: time series generation benchmark", 2023.
    """
    real, gen = validate_two_panels(X_real, X_gen, min_timepoints=2)
    if n_lags is not None:
        validate_integer("n_lags", n_lags, 1, real.shape[2] - 1)
    return difference_of_means(autocorrelations(real, n_lags), autocorrelations(gen, n_lags))


def difference_of_means(real, gen):
    """Mean absolute difference of the means over rows."""
    return float(np.abs(real.mean(0) - gen.mean(0)).mean())


def autocorrelations(X, n_lags=None):
    """Autocorrelation of each series and channel ``(n, c, t)``, by a Fourier transform.

    Parameters
    ----------
    X : ndarray of shape (n, c, t)
    n_lags : int or None
        None: up to half of the series.

    Returns
    -------
    ndarray of shape (n, c, n_lags)
        At lags 1 to `n_lags`; divided by the variance, so that it would be 1 at lag 0.
    """
    n_timepoints = X.shape[2]
    n_lags = max(1, n_timepoints // 2) if n_lags is None else n_lags
    centred = X - X.mean(2, keepdims=True)
    # zeros as long as the series keep its end from being multiplied with its start
    power = np.abs(np.fft.rfft(centred, 2 * n_timepoints)) ** 2
    autocovariances = np.fft.irfft(power)[..., :n_timepoints]
    variances = autocovariances[..., :1]
    varies = variances > _ROUNDING**2 * np.square(X).sum(2, keepdims=True)
    values = np.where(varies, autocovariances / np.where(varies, variances, 1.0), 0.0)
    return values[..., 1 : n_lags + 1]


def reconstruction_error(X, X_reconstructed):
    """Mean squared error of reconstructions, as a share of the variance of each channel.

    Parameters
    ----------
    X, X_reconstructed : array-like of shape (n, t) or (n, c, t)
        Series and their reconstructions, row by row.

    Returns
    -------
    float
        0 for exact reconstructions, 1 for those no better than the mean. A channel that does not
        vary counts with its plain squared error.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, or shapes differ.
    """
    X, X_reconstructed = validate_two_panels(
        X, X_reconstructed, paired=True, names=("X", "X_reconstructed")
    )
    return float(relative_squared_errors(X, X_reconstructed).mean())


def relative_squared_errors(X, X_reconstructed):
    """Mean squared error of each series ``(n, c, t)``, as a share of the channels' variance."""
    deviations = X.std((0, 2))
    varies = deviations > _ROUNDING * np.abs(X).max((0, 2))
    errors = np.square(X - X_reconstructed).mean(2)
    return (errors / np.where(varies, deviations, 1.0) ** 2).mean(1)
