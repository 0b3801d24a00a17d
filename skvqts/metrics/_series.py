"""Scores of series themselves: autocorrelation and reconstruction."""

import numpy as np

from ._validation import validate_two_panels, validate_whole

_ROUNDING = 10 * np.finfo(np.float64).eps


def autocorrelation_difference(X_real, X_gen, *, n_lags=None):
    """Mean absolute difference of the mean autocorrelations of two samples of series.

    Parameters
    ----------
    X_real, X_gen : array-like of shape (n, t) or (n, c, t)
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
        validate_whole("n_lags", n_lags, 1, real.shape[2] - 1)
    return difference_of_means(*(autocorrelations(part, n_lags) for part in (real, gen)))


def difference_of_means(real, gen):
    """Mean absolute difference of the means over rows."""
    return float(np.abs(real.mean(0) - gen.mean(0)).mean())


def autocorrelations(X, n_lags=None):
    """Of each series and channel at lags 1 to `n_lags`, ``(n, c, n_lags)``; by a Fourier transform.

    None: up to half of the series.
    """
    n_timepoints = X.shape[2]
    n_lags = max(1, n_timepoints // 2) if n_lags is None else n_lags
    centred = X - X.mean(2, keepdims=True)
    power = np.abs(np.fft.rfft(centred, 2 * n_timepoints)) ** 2
    products = np.fft.irfft(power)[..., :n_timepoints]
    norms = products[..., :1]
    varies = norms > _ROUNDING**2 * np.square(X).sum(2, keepdims=True)
    found = np.where(varies, products / np.where(varies, norms, 1.0), 0.0)
    return found[..., 1 : n_lags + 1]


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
    X, again = validate_two_panels(X, X_reconstructed, paired=True, names=("X", "X_reconstructed"))
    return float(squared_errors(X, again).mean())


def squared_errors(X, again):
    """Mean squared error of each series ``(n, c, t)``, as a share of the channels' variance."""
    deviations = X.std((0, 2))
    varies = deviations > _ROUNDING * np.abs(X).max((0, 2))
    errors = np.square(X - again).mean(2)
    return (errors / np.where(varies, deviations, 1.0) ** 2).mean(1)
