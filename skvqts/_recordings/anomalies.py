"""How unlike the rest of a recording each of its points is, and the stretches that are most so."""

from copy import copy
from typing import NamedTuple

import numpy as np

from .._generation.sampling import checked_tokenizer

_MOST_KNOWN = 4096  # windows that others are compared with
_STRIDES = 16  # of a window, between windows that are looked at
_N_NEIGHBOURS = 4
_BLOCK = 256  # windows whose distances are computed at once


class Stretch(NamedTuple):
    """A part of a recording, ``start <= time < stop``, and the highest score in it."""

    start: int
    stop: int
    score: float


def known_windows(estimator, recording, length):
    """What later windows are compared with: windows of the recording of a fit.

    Parameters
    ----------
    estimator : VQTokenizer, SSLFeatureExtractor, RandomConvolutionExtractor or generator
        Fitted to windows of this length.
    recording : float ndarray of shape (c, t)
        Finite, of one window at least.
    length : int
        Time points of a window.

    Returns
    -------
    features : float32 ndarray of shape (m, d)
        Of at most 4,096 windows, evenly spread.
    starts : int64 ndarray of shape (m,)
    """
    starts = _starts(recording.shape[1], length)
    starts = starts[np.linspace(0, len(starts) - 1, min(len(starts), _MOST_KNOWN)).astype(int)]
    return _features(estimator, recording, length, starts), starts


def anomaly_curve(estimator, recording, length, known):
    """How unlike the windows of the recording of the fit those around each point are.

    A window is described by the features that the estimator gives of it, of a generator those of
    its tokenizer. Its score is the mean distance to its four nearest windows in the recording of
    the fit: the distance to nearest neighbours (Ramaswamy et al. 2000), in a learned space (as in
    PatchCore, Roth et al. 2022). Neighbours do not overlap each other. So a window of that
    recording, whose nearest is itself, is compared with three others that it has no point in common
    with, as in the matrix profile (Yeh et al. 2016); and a fault that happened twice is found.

    Each point has the score of the window that it is the middle of, with straight lines between
    the windows that were looked at, a sixteenth of a window apart.

    Parameters
    ----------
    estimator : fitted estimator
    recording : float ndarray of shape (c, t)
        That of the fit, a part of it or another one; finite, of one window at least.
    length : int
        Time points of a window.
    known : pair of ndarrays
        What `known_windows` returned at the fit.

    Returns
    -------
    scores : float64 ndarray of shape (t,)
        Higher is less like the recording of the fit.

    References
    ----------
    Ramaswamy, Rastogi, Shim. "Efficient algorithms for mining outliers from large data sets", 2000.
    Yeh et al. "Matrix profile I: all pairs similarity joins for time series", 2016.
    Roth et al. "Towards total recall in industrial anomaly detection", 2022.
    """
    features, known_starts = known
    starts = _starts(recording.shape[1], length)
    scores = np.empty(len(starts))
    for first in range(0, len(starts), _BLOCK):
        block = slice(first, first + _BLOCK)
        distances = _distances(_features(estimator, recording, length, starts[block]), features)
        scores[block] = _mean_of_nearest(distances, known_starts, length)
    return np.interp(np.arange(recording.shape[1]), starts + (length - 1) / 2, scores)


def _starts(n_timepoints, length):
    """Starts of windows a sixteenth of their length apart; the last ends with the recording."""
    last = n_timepoints - length
    starts = np.arange(0, last + 1, max(1, length // _STRIDES))
    return starts if starts[-1] == last else np.append(starts, last)


def _features(estimator, recording, length, starts):
    """Features ``(n, d)`` of windows of a recording ``(c, t)`` that start at ``(n,)``."""
    views = np.lib.stride_tricks.sliding_window_view(recording, length, axis=1)
    windows = views[:, starts].swapaxes(0, 1)
    is_generator = hasattr(estimator, "tokenizer_")
    transformer = copy(checked_tokenizer(estimator) if is_generator else estimator)
    if hasattr(transformer, "output"):
        transformer.set_params(output="features")
    return transformer.transform(windows)


def _distances(a, b):
    """Euclidean distances ``(n, m)`` between rows ``(n, d)`` and ``(m, d)``."""
    squares = np.square(a).sum(1)[:, None] - 2 * a @ b.T + np.square(b).sum(1)
    return np.sqrt(np.maximum(squares, 0))


def _mean_of_nearest(distances, starts, length):
    """Mean distance ``(n,)`` to the nearest windows of a recording that do not overlap each other.

    Parameters
    ----------
    distances : float ndarray of shape (n, m)
        To windows of that recording; overwritten.
    starts : int64 ndarray of shape (m,)
        Of those windows.
    length : int
        Time points of a window.
    """
    nearest_ones = []
    for _ in range(_N_NEIGHBOURS):
        nearest = distances.argmin(1)
        nearest_ones.append(np.take_along_axis(distances, nearest[:, None], 1)[:, 0])
        distances[np.abs(starts[nearest, None] - starts) < length] = np.inf
    # A short recording may have no more windows side by side.
    return np.ma.masked_invalid(nearest_ones).mean(0).filled(np.nan)


def top_stretches(scores, n, length):
    """The n stretches with the highest scores, which do not overlap, the highest first.

    Each is a window around the highest point whose window does not overlap those before it.

    Parameters
    ----------
    scores : float ndarray of shape (t,)
    n : int
    length : int
        Time points of a window; stretches at the ends of the recording are shorter.

    Returns
    -------
    list of Stretch
        Fewer than n where no room is left.
    """
    left = np.array(scores, dtype=np.float64)
    before = length // 2
    stretches = []
    while len(stretches) < n and left.max() > -np.inf:
        top = int(left.argmax())
        start, stop = max(0, top - before), min(len(left), top - before + length)
        stretches.append(Stretch(start, stop, float(left[top])))
        # Windows of these points would begin before the stop and end after the start.
        left[max(0, start - length + before + 1) : stop + before] = -np.inf
    return stretches
