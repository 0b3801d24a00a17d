"""Scaling of series before they reach a network."""

from functools import partial

import numpy as np
from sklearn.utils import gen_batches

from .._files.encoding import storable

_EPS = np.finfo(np.float64).eps
_DISTANCE = 5.0  # of series from their mean, in the space of scaled features
_FARTHEST = 1e15  # standard deviations from the training series
_BLOCK = 2**20  # values scaled at a time, so that large arrays need little memory besides


@storable
class SeriesScaler:
    """Standardise series; statistics in float64, results in float32.

    Missing values are NaN: they have no part in the statistics, and stay missing. Fitted, it has
    `mean_` and `scale_`, float64 arrays of shape (1, c, 1).

    Parameters
    ----------
    per_series : bool
        False: mean and standard deviation per channel over the training set.
        True: of each series and channel; level and scale are then lost, and
        `inverse` gives back the average level and scale of the training set.
    """

    def __init__(self, per_series=False):
        self.per_series = per_series

    def fit(self, X):
        """Learn from series ``(n, c, t)``."""
        if self.per_series:
            mean, scale = _moments(X, axis=2)
            # A channel of which a series has no value has no moments there.
            self.mean_ = np.nanmean(mean, 0, keepdims=True)
            self.scale_ = np.nanmean(scale, 0, keepdims=True)
        else:
            self.mean_, self.scale_ = _moments(X, axis=(0, 2))
        return self

    def transform(self, X):
        """Standardised float32 series ``(n, c, t)``."""
        scaled = np.empty(X.shape, np.float32)
        for rows in _blocks(X):
            scaled[rows] = self._standardised(X[rows])
        return scaled

    def _standardised(self, X):
        mean, scale = _moments(X, axis=2) if self.per_series else (self.mean_, self.scale_)
        with np.errstate(over="ignore"):
            scaled = ((X - mean) / scale).astype(np.float32)
        # fmin and fmax pass NaN over.
        if max(-np.fmin.reduce(scaled, None), np.fmax.reduce(scaled, None)) > _FARTHEST:
            raise ValueError(
                f"X lies more than {_FARTHEST:.0e} standard deviations away from the training "
                "series, where float32 loses all detail."
            )
        return scaled

    def inverse(self, X):
        """Series in the units of the training set, float32."""
        series = np.empty(X.shape, np.float32)
        for rows in _blocks(X):
            series[rows] = X[rows] * self.scale_ + self.mean_
        return series

    def inverse_like(self, X, series, known):
        """Undo the scaling of `X` with the level and scale of other `series`, in float64.

        With `per_series`, a channel without a `known` value gets the level of the training set, and
        one that is constant its scale.
        """
        mean, scale = self.mean_, self.scale_
        if self.per_series:
            own_mean, own_scale = _moments(series, axis=2)
            mean = np.where(known.any(axis=2, keepdims=True), own_mean, mean)
            scale = np.where(np.ptp(series, axis=2, keepdims=True) > 0, own_scale, scale)
        return X * scale + mean


@storable
class ColumnScaler:
    """Give the columns of a float32 feature matrix mean 0 and one common variance.

    The variances of all columns add up to 25 if none is constant: series lie at about distance 5
    from their mean, where ``C=1`` suits linear and RBF kernels whatever the number
    of columns. Constant columns become 0.
    """

    def fit(self, X):
        """Learn from the features of the training set ``(n, d)``."""
        self.mean_, scale = _moments(X, axis=0, eps=np.finfo(np.float32).eps)
        self.scale_ = scale * (np.sqrt(X.shape[1]) / _DISTANCE)
        return self

    def scale(self, X):
        """Scale float32 features in place, in float64, without a copy of a large matrix."""
        np.subtract(X, self.mean_, out=X, casting="same_kind")
        np.divide(X, self.scale_, out=X, casting="same_kind")
        return X


def _moments(X, axis, eps=_EPS):
    """Mean and standard deviation; where nothing varies beyond rounding, 1 or the rounding."""
    if np.isnan(X.min()):
        mean, scale = _known_moments(X, axis)
    else:
        mean = X.mean(axis, keepdims=True, dtype=np.float64)
        scale = _deviation(X, axis, mean)
    # A constant deviates by the rounding of its mean; dividing by that would turn noise into data.
    rounding = 10 * eps * np.abs(mean)
    return mean, np.where(scale <= rounding, np.maximum(1.0, rounding), scale)


def _known_moments(X, axis):
    """Mean and standard deviation of what is not missing, NaN where nothing is known."""
    over_rows = 0 in np.atleast_1d(axis)
    blocks = list(_blocks(X))
    sums = partial(np.nansum, axis=axis, keepdims=True, dtype=np.float64)
    join = sum if over_rows else np.concatenate
    n_known = join([(~np.isnan(X[b])).sum(axis, keepdims=True) for b in blocks])
    with np.errstate(invalid="ignore"):
        mean = join([sums(X[b]) for b in blocks]) / n_known
        centred = (X[b] - (mean if over_rows else mean[b]) for b in blocks)
        return mean, np.sqrt(join([sums(np.square(part)) for part in centred]) / n_known)


def _deviation(X, axis, mean):
    """Standard deviation over one or several axes, in blocks of rows."""
    if 0 in np.atleast_1d(axis):
        squares = sum(np.square(X[b] - mean).sum(axis, keepdims=True) for b in _blocks(X))
        return np.sqrt(squares / (X.size / mean.size))
    of_blocks = [X[b].std(axis, keepdims=True, dtype=np.float64) for b in _blocks(X)]
    return np.concatenate(of_blocks)


def _blocks(X):
    """Slices of so many rows that their values fit a block."""
    return gen_batches(len(X), max(1, _BLOCK // max(1, X[0].size)))
