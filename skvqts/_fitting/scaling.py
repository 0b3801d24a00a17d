"""Scaling of series before they reach a network."""

from functools import partial

import numpy as np
from sklearn.utils import gen_batches

from .._files.encoding import storable
from ..exceptions import DivergedError, warn_user

_EPS = np.finfo(np.float64).eps
_DISTANCE = 5.0  # of series from their mean, in the space of scaled features
_FARTHEST = 1e15  # standard deviations from the training series
_DETAIL = 1e-4  # of a standard deviation, by which float32 may round series
_SUSPECT = 8  # standard deviations, from which a value may be far from all others
_WIDTH = 4.1  # standard deviations of normal values between the quantiles of 2 and 98 %
_ALONE = 100  # standard deviations of most values
_FLOAT32 = np.finfo(np.float32)
_TINY = 1e-140  # values whose squares are at the lower end of float64
_LARGER = 2.0**500  # brings them to where they are not
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
            _warn_of_one_value(X, self.mean_, self.scale_)
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

    @property
    def dtype(self):
        """Of series in the units of the training set: float32 or, where it loses detail, float64.

        It does far from the origin, and at either end of what it can represent.
        """
        spacing = _FLOAT32.eps * np.abs(self.mean_)
        largest = np.abs(self.mean_) + self.scale_ / _DETAIL
        fits = (spacing <= _DETAIL * self.scale_) & (largest <= _FLOAT32.max)
        fits &= self.scale_ >= _FLOAT32.tiny / _DETAIL
        return np.dtype(np.float32 if fits.all() else np.float64)

    def inverse(self, X):
        """Series in the units of the training set, of the `dtype` that they need."""
        series = np.empty(X.shape, self.dtype)
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


def _warn_of_one_value(X, mean, scale):
    """Warn where values far from all others, such as a sentinel, leave these next to no scale.

    A sentinel widens the standard deviation, so that it is compared with the range of nearly all
    values of its channel.
    """
    lowest, highest = (
        reduce.reduce([reduce.reduce(X[rows], axis=(0, 2)) for rows in _blocks(X)])
        for reduce in (np.fmin, np.fmax)
    )
    for channel, center in enumerate(mean.ravel()):
        deviation = scale[0, channel, 0]
        if max(center - lowest[channel], highest[channel] - center) < _SUSPECT * deviation:
            continue
        # At most a block of values, of series that are spread over all.
        of_channel = X[:: -(-len(X) * X.shape[2] // _BLOCK)][:, channel]
        low, middle, high = np.nanquantile(of_channel, (0.02, 0.5, 0.98))
        width = (high - low) / _WIDTH
        value = max(lowest[channel], highest[channel], key=lambda end: abs(end - middle))
        if abs(value - middle) > _ALONE * width > 0:
            place = f" in channel {channel}" if len(lowest) > 1 else ""
            warn_user(
                f"Some value of X is {value:.6g}{place}, which is "
                f"{abs(value - middle) / width:.0f} standard deviations away from most others: "
                "beside it these look alike. If it stands for a missing value, make it NaN."
            )


class ColumnMoments:
    """Means and sums of squared deviations of the columns of a matrix that comes in parts.

    So the matrix, which can be far larger than the series it was computed from, is never whole in
    memory. The update is that of Chan, Golub and LeVeque (1979), in float64.
    """

    def __init__(self):
        self.n_rows = 0
        self.mean = self.squares = 0.0

    def add(self, X):
        """Take the next rows ``(m, d)`` into account."""
        n_rows = self.n_rows + len(X)
        with np.errstate(invalid="ignore", over="ignore"):  # features of a diverged network
            mean = X.mean(0, dtype=np.float64)
            shift = mean - self.mean
            within = np.square(X - mean).sum(0)
            self.squares = self.squares + within + shift**2 * (self.n_rows * len(X) / n_rows)
            self.mean = self.mean + shift * (len(X) / n_rows)
        self.n_rows = n_rows


@storable
class ColumnScaler:
    """Give the columns of a float32 feature matrix mean 0 and one common variance.

    The variances of all columns add up to 25 if none is constant: series lie at about distance 5
    from their mean, where ``C=1`` suits linear and RBF kernels whatever the number
    of columns. Constant columns become 0.
    """

    def fit(self, moments):
        """Learn from the moments of the features of the training set.

        Parameters
        ----------
        moments : ColumnMoments

        Raises
        ------
        DivergedError
            If the features are not finite: they are those of a network that has just been trained.
        """
        mean, scale = moments.mean[None], np.sqrt(moments.squares[None] / moments.n_rows)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise DivergedError(
                "Training diverged: features of the training series are not finite. Try a smaller "
                "learning_rate."
            )
        self.mean_ = mean
        scale = _not_of_rounding(mean, scale, np.finfo(np.float32).eps)
        self.scale_ = scale * (np.sqrt(scale.size) / _DISTANCE)
        return self

    def scale(self, X):
        """Scale float32 features in place, in float64, without a copy of a large matrix."""
        np.subtract(X, self.mean_, out=X, casting="same_kind")
        np.divide(X, self.scale_, out=X, casting="same_kind")
        return X


def _moments(X, axis):
    """Mean and standard deviation; where nothing varies beyond rounding, 1 or the rounding."""
    mean, scale = _plain_moments(X, axis)
    tiny = (np.abs(mean) < _TINY) & (scale < _TINY)
    if tiny.any() and any(np.any(X[rows], where=_of_rows(tiny, rows)) for rows in _blocks(X)):
        larger = np.multiply(X, _LARGER, where=tiny, out=np.zeros(X.shape))
        for moment, of_larger in zip((mean, scale), _plain_moments(larger, axis), strict=True):
            moment[tiny] = of_larger[tiny] / _LARGER
    return mean, _not_of_rounding(mean, scale, _EPS)


def _of_rows(moments, rows):
    """Moments of some series, where each has its own; else those of all."""
    return moments if len(moments) == 1 else moments[rows]


def _not_of_rounding(mean, scale, eps):
    """Standard deviations; 1 or the rounding of the mean where that is all that varies."""
    # A constant deviates by the rounding of its mean; dividing by that would turn noise into data.
    rounding = 10 * eps * np.abs(mean)
    return np.where(scale <= rounding, np.maximum(1.0, rounding), scale)


def _plain_moments(X, axis):
    """Mean and standard deviation, whose squares underflow where values are tiny."""
    if any(np.isnan(X[rows].min()) for rows in _blocks(X)):
        return _known_moments(X, axis)
    sums = [_part(X, rows).sum(axis, keepdims=True, dtype=np.float64) for rows in _blocks(X)]
    if 0 in np.atleast_1d(axis):
        mean = sum(sums) / (X.size / sums[0].size)
    else:
        mean = np.concatenate(sums) / X.shape[axis]
    return mean, _deviation(X, axis, mean)


def _known_moments(X, axis):
    """Mean and standard deviation of what is not missing, NaN where nothing is known."""
    over_rows = 0 in np.atleast_1d(axis)
    blocks = list(_blocks(X))
    sums = partial(np.nansum, axis=axis, keepdims=True, dtype=np.float64)
    join = sum if over_rows else np.concatenate
    n_known = join([(~np.isnan(X[b])).sum(axis, keepdims=True) for b in blocks])
    with np.errstate(invalid="ignore"):
        mean = join([sums(_part(X, b)) for b in blocks]) / n_known
        centred = (_part(X, b) - (mean if over_rows else mean[b]) for b in blocks)
        return mean, np.sqrt(join([sums(np.square(part)) for part in centred]) / n_known)


def _deviation(X, axis, mean):
    """Standard deviation over one or several axes, in blocks of rows."""
    if 0 in np.atleast_1d(axis):
        squares = sum(np.square(_part(X, b) - mean).sum(axis, keepdims=True) for b in _blocks(X))
        return np.sqrt(squares / (X.size / mean.size))
    of_blocks = [_part(X, b).std(axis, keepdims=True, dtype=np.float64) for b in _blocks(X)]
    return np.concatenate(of_blocks)


def _part(X, rows):
    """Some rows, in the one order of values in memory in which sums round alike."""
    return np.ascontiguousarray(X[rows])


def _blocks(X):
    """Slices of so many rows that their values fit a block."""
    return gen_batches(len(X), max(1, _BLOCK // max(1, X[0].size)))
