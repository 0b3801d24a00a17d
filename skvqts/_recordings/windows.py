"""SlidingWindows: one long recording as a panel of series, and back."""

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._files.encoding import storable
from .._fitting.state import TorchStateMixin, unchanged_on_failure
from .._fitting.validation import (
    IntegerInterval,
    StrOptions,
    _fit_context,
    validate_parameter_constraints,
)
from .recording import as_recording, check_channels

_LONGEST_LOOK = 2**17  # points that the period is looked for in
_LEAST_CORRELATION = 0.2  # of a recording with itself a period later
_AS_HIGH = 0.9  # of the highest peak: multiples of a period have peaks as high as its own
_NEAR = 1.25  # times the lag of a peak, within which others belong to it
_OF_CHANCE = 3.0  # standard deviations of a correlation of white noise
_LEAST_PAIRS = 16  # of known values, that a correlation needs
_ROUNDING = 1e-9  # of the largest value of a channel
_SHORTEST, _LONGEST = 32, 512  # windows of automatic length
_LEAST_WINDOWS = 8  # that fit side by side into a recording
_WITHOUT_PERIOD = 128


@storable
class SlidingWindows(TransformerMixin, TorchStateMixin, BaseEstimator):
    """Windows of one long recording, as series that every other estimator takes.

    `transform` cuts a recording into windows of one length; `inverse_transform` puts windows
    together again, where they overlap by their weighted mean.

    Parameters
    ----------
    length : int or "auto", default="auto"
        Time points of a window. "auto": two dominant periods of the recording, but 32 to 512
        points; 128 if it has none. In any case eight windows fit into the recording side by side.

    stride : int or None, default=None
        Time points from the start of a window to that of the next. None: half of a window. The last
        window ends where the recording ends, so that it may begin earlier than a stride after the
        one before.

    Attributes
    ----------
    length_, stride_ : int
        Time points of a window, and between their starts.
    period_ : int or None
        The dominant period of the recording in time points: the shortest lag at which it correlates
        with itself nearly as well as at any other, by a local maximum of at least 0.2 of the
        autocorrelation, averaged over channels without their linear trend, up to a third of its
        length. None without one, or where `length` is given.
    n_channels_in_ : int
    n_timepoints_in_ : int
        Of the recording that was seen in `fit`.
    channel_names_ : list of str or None
        Of a table.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import SlidingWindows
    >>> recording = np.sin(np.arange(2000) * 2 * np.pi / 40)
    >>> windows = SlidingWindows().fit(recording)
    >>> X = windows.transform(recording)
    >>> windows.period_, X.shape
    (40, (49, 1, 80))
    >>> np.allclose(windows.inverse_transform(X), recording)
    True
    """

    _parameter_constraints = {
        "length": [IntegerInterval(2), StrOptions({"auto"})],
        "stride": [IntegerInterval(1), None],
    }

    def __init__(self, length="auto", *, stride=None):
        self.length = length
        self.stride = stride

    @_fit_context(prefer_skip_nested_validation=True)
    @unchanged_on_failure
    def fit(self, X, y=None):
        """Learn the length of a window, and the shape of the recording.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            One recording. A table has a row for each time and a column for each channel, and may
            have one column or index of dates. NaN stands for a missing value.
        y : ignored

        Returns
        -------
        self : SlidingWindows

        Raises
        ------
        ValueError
            If `X` is no recording, or shorter than a window.
        TypeError
            If it holds what is not a number.
        """
        recording = as_recording(X, "SlidingWindows")
        n_channels, n_timepoints = recording.values.shape
        length, period = self.length, None
        if length == "auto":
            period = dominant_period(recording.values)
            length = automatic_length(period, n_timepoints)
        stride = max(1, length // 2) if self.stride is None else self.stride
        self.length_, self.stride_, self.period_ = int(length), int(stride), period
        self.n_channels_in_, self.n_timepoints_in_ = n_channels, n_timepoints
        self.channel_names_ = recording.names
        self._starts(n_timepoints)  # says whether the recording is too short
        return self

    def transform(self, X):
        """Windows of a recording.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            A recording with as many channels as that of `fit`, of any length from a window on.

        Returns
        -------
        windows : float64 ndarray of shape (n_windows, c, length_)
        """
        check_is_fitted(self)
        recording = as_recording(X, "SlidingWindows")
        check_channels(recording, self.n_channels_in_, self.channel_names_, "SlidingWindows")
        starts = self._starts(recording.values.shape[1])
        views = np.lib.stride_tricks.sliding_window_view(recording.values, self.length_, axis=1)
        return views[:, starts].swapaxes(0, 1)

    def inverse_transform(self, X, n_timepoints=None):
        """The recording of windows.

        At each time point it is the mean of the windows over it, with weights that fall from the
        middle of a window to its ends and add up to 1.

        Parameters
        ----------
        X : array-like of shape (n_windows, c, length_)
            For a recording of one channel also of shape (n_windows, length_).
        n_timepoints : int or None, default=None
            Length of the recording. None: that of the recording seen in `fit`, which has so many
            windows.

        Returns
        -------
        recording : float64 ndarray of shape (t,) or (1, c, t)
            (t,) for one channel.

        Raises
        ------
        ValueError
            If the windows are not of the shape that `transform` gives, or are not those of a
            recording of that length.
        """
        check_is_fitted(self)
        X = np.asarray(X, dtype=np.float64)
        if X.ndim == 2:
            X = X[:, None]
        wanted = (self.n_channels_in_, self.length_)
        if X.ndim != 3 or X.shape[1:] != wanted:
            raise ValueError(
                f"SlidingWindows takes windows of shape (n, {wanted[0]}, {wanted[1]}) back, got "
                f"{X.shape}."
            )
        starts = self._starts_of(len(X), n_timepoints)
        recording = overlap_add(X, starts)
        return recording[0] if len(recording) == 1 else recording[None]

    def set_output(self, *, transform=None):
        """Change nothing: windows have three axes, and stay an array in a Pipeline of tables.

        Parameters
        ----------
        transform : ignored

        Returns
        -------
        self : SlidingWindows
        """
        return self

    def starts(self, X):
        """Where in a recording each window starts: int64 ``(n_windows,)``, in time points.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
        """
        check_is_fitted(self)
        return self._starts(as_recording(X, "SlidingWindows").values.shape[1])

    def _starts(self, n_timepoints):
        last = n_timepoints - self.length_
        if last < 0:
            raise ValueError(
                f"SlidingWindows has windows of {self.length_} time points, and the recording has "
                f"{n_timepoints}: give a smaller length."
            )
        starts = np.arange(0, last + 1, self.stride_)
        return starts if starts[-1] == last else np.append(starts, last)

    def _starts_of(self, n_windows, n_timepoints):
        """Starts of so many windows in a recording of some length, or that of `fit`."""
        if n_timepoints is None:
            n_timepoints = self.n_timepoints_in_
        validate_parameter_constraints(
            {"n_timepoints": [IntegerInterval(1)]},
            {"n_timepoints": n_timepoints},
            "inverse_transform",
        )
        starts = self._starts(n_timepoints)
        if len(starts) != n_windows:
            raise ValueError(
                f"A recording of {n_timepoints} time points has {len(starts)} windows, got "
                f"{n_windows}: give n_timepoints for a recording of another length."
            )
        return starts


def automatic_length(period, n_timepoints):
    """Time points of a window: two periods within limits, so that eight fit side by side."""
    wanted = _WITHOUT_PERIOD if period is None else np.clip(2 * period, _SHORTEST, _LONGEST)
    return int(max(2, min(wanted, n_timepoints // _LEAST_WINDOWS)))


def dominant_period(values):
    """The dominant period of a recording ``(c, t)`` in time points, or None; see SlidingWindows."""
    values = values[:, :_LONGEST_LOOK]
    n_timepoints = values.shape[1]
    correlations = [_autocorrelation(channel) for channel in values]
    correlations = [correlation for correlation in correlations if correlation is not None]
    if not correlations or n_timepoints // 3 < 4:
        return None
    inner = np.mean(correlations, axis=0)[1 : n_timepoints // 3]
    is_peak = (inner[1:-1] > inner[:-2]) & (inner[1:-1] >= inner[2:])
    peaks = np.flatnonzero(is_peak) + 1
    # A correlation that chance alone gives is not a period, nor is slow change that never returned.
    least = max(_LEAST_CORRELATION, _OF_CHANCE / np.sqrt(n_timepoints))
    lowest_before = np.minimum.accumulate(inner)
    peaks = peaks[(inner[peaks] >= least) & (lowest_before[peaks] < inner[peaks] - least)]
    if len(peaks) == 0:
        return None
    first = peaks[inner[peaks] >= _AS_HIGH * inner[peaks].max()][0]
    # Noise makes a broad peak into several: the highest near the first one.
    near = peaks[(peaks >= first) & (peaks <= _NEAR * first + 1)]
    return int(near[inner[near].argmax()]) + 1


def _autocorrelation(channel):
    """Autocorrelation ``(t,)`` of a channel without its linear trend, or None if it hardly varies.

    Missing values are skipped: each lag counts by the pairs that it has, and is 0 if they are few.
    """
    known = np.isfinite(channel)
    size = np.abs(channel[known]).max(initial=0.0)
    if known.sum() < 3 or size == 0:
        return None
    times = np.arange(len(channel), dtype=np.float64)
    scaled = np.where(known, np.nan_to_num(channel) / size, 0.0)
    trend = np.polynomial.Polynomial.fit(times[known], scaled[known], 1)
    rest = np.where(known, scaled - trend(times), 0.0)
    if np.abs(rest).max() < _ROUNDING:
        return None
    fast = next_fast_len(2 * len(channel), real=True)

    def sums_of_products(x):
        return irfft(np.abs(rfft(x, fast)) ** 2, fast)[: len(channel)]

    pairs = sums_of_products(known.astype(np.float64))
    enough = pairs >= max(pairs[1:].max() / 4, _LEAST_PAIRS)
    covariance = sums_of_products(rest) / np.maximum(pairs, 0.5)
    return np.where(enough, covariance / covariance[0], 0.0)


def overlap_add(windows, starts):
    """Series ``(c, t)`` of windows ``(n, c, w)`` that start at ``(n,)``: their weighted mean."""
    length = windows.shape[2]
    weights = triangle(length)
    total = np.zeros((windows.shape[1], starts[-1] + length))
    weight = np.zeros(total.shape[1])
    for window, start in zip(windows, starts, strict=True):
        total[:, start : start + length] += weights * window
        weight[start : start + length] += weights
    if (weight == 0).any():
        raise ValueError(
            "SlidingWindows with a stride above its length leaves gaps between windows."
        )
    return total / weight


def triangle(length):
    """Weights ``(length,)`` of the points of a window, which fall from its middle to its ends.

    All are above 0, so that the ends of a recording are covered.
    """
    return np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)).astype(np.float64)
