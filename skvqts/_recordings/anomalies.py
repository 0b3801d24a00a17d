"""How unlike the rest of a recording each of its points is, and the stretches that are most so."""

from copy import copy
from inspect import signature
from typing import NamedTuple

import numpy as np
from sklearn.utils import gen_batches

from .._files.encoding import storable
from .._generation.sampling import checked_tokenizer

_PARTS = (1, 2, 4)  # windows are compared whole, and halves and quarters of them
_SHORTEST = 8  # time points of such a part
_STRIDES = 8  # of a part, between those that are looked at
_MOST_KNOWN = 2048  # parts of each length that others are compared with
_N_NEIGHBOURS = 2
_BLOCK = 256  # parts whose distances are computed at once


class Stretch(NamedTuple):
    """A part of a recording, ``start <= time < stop``, and the highest score in it."""

    start: int
    stop: int
    score: float


@storable
class NearestWindows:
    """How far each point of a recording is from anything in the recording of a fit.

    A window is described by the features that an estimator gives of it, of a generator those of
    its tokenizer. It is as anomalous as it is far from the nearest windows of the recording of the
    fit: the mean distance to its nearest neighbours [1]_, in a learned space as in PatchCore [2]_.
    There are two, which do not overlap each other; so what happened twice is still found. As in the
    matrix profile [3]_, a window of the recording of the fit is not compared with itself, nor with
    windows that overlap it.

    A short fault hardly moves a long window, and a long one may have nothing strange in any short
    window. So it is done for whole windows, halves and quarters of them, which are stretched to the
    length that the estimator takes. Distances of each length are standardised by their median and
    their median absolute deviation over the recording of the fit, and the three are averaged. A
    point has the score of the windows that it is in the middle of; up to an end, that of the first
    or last one.

    Features that are pooled over a window know little of the order in it. So a stretch that runs
    backwards, or a piece that is missing, may go unnoticed. How likely a generator finds the tokens
    has no say: its prior was trained on the faults as well.

    Parameters
    ----------
    length : int
        Time points of a window: those of the series that the estimator was fitted to.

    Attributes
    ----------
    features_ : list of float32 ndarray of shape (m, d)
        Of windows of the recording of the fit, at most 2,048 of each length, evenly spread.
    starts_ : list of int64 ndarray of shape (m,)
    centres_, spreads_ : list of float
        Median and median absolute deviation of their distances.

    References
    ----------
    .. [1] Ramaswamy, Rastogi, Shim. "Efficient algorithms for mining outliers from large data
       sets", 2000.
    .. [2] Roth et al. "Towards total recall in industrial anomaly detection", 2022.
    .. [3] Yeh et al. "Matrix profile I: all pairs similarity joins for time series", 2016.
    """

    def __init__(self, length):
        self.length = length

    def fit(self, estimator, recording):
        """Keep windows of a recording, and how far they are from each other.

        Parameters
        ----------
        estimator : VQTokenizer, SSLFeatureExtractor, RandomConvolutionExtractor or generator
            Fitted to windows of `length` time points.
        recording : float ndarray of shape (c, t)
            Finite, of one window at least.

        Returns
        -------
        self : NearestWindows
        """
        transformer = reader_of_features(estimator)
        self.features_, self.starts_, self.centres_, self.spreads_ = [], [], [], []
        for length in part_lengths(self.length):
            starts = part_starts(recording.shape[1], length)
            kept = np.linspace(0, len(starts) - 1, min(len(starts), _MOST_KNOWN)).astype(int)
            starts = starts[kept]
            features = self._features(transformer, recording, length, starts)
            nearest = [
                mean_of_nearest(features[rows], starts[rows], features, starts, length)
                for rows in gen_batches(len(starts), _BLOCK)
            ]
            centre, spread = robust_scale(np.concatenate(nearest))
            self.features_.append(features)
            self.starts_.append(starts)
            self.centres_.append(centre)
            self.spreads_.append(spread)
        return self

    def score(self, estimator, recording, is_known):
        """How far the windows around each point are from those of the recording of the fit.

        Parameters
        ----------
        estimator : fitted estimator
            That of `fit`.
        recording : float ndarray of shape (c, t)
            That of `fit`, that one continued, its beginning, or another one; finite, of one window
            at least.
        is_known : bool
            Whether it is not another one, so that its windows are where they are in that of `fit`.

        Returns
        -------
        scores : float64 ndarray of shape (t,)
            Higher is more anomalous; 0 is usual in the recording of the fit, and 1 is a median
            absolute deviation above that.
        """
        transformer = reader_of_features(estimator)
        n_timepoints = recording.shape[1]
        lengths = part_lengths(self.length)
        scales = zip(self.centres_, self.spreads_, strict=True)
        total = np.zeros(n_timepoints)
        for length, known, known_starts, (centre, spread) in zip(
            lengths, self.features_, self.starts_, scales, strict=True
        ):
            starts = part_starts(n_timepoints, length)
            # Where the windows are in the recording of the fit: those of another one are nowhere.
            places = starts if is_known else np.full(len(starts), np.inf)
            nearest = []
            for rows in gen_batches(len(starts), _BLOCK):
                features = self._features(transformer, recording, length, starts[rows])
                nearest.append(mean_of_nearest(features, places[rows], known, known_starts, length))
            middles = starts + (length - 1) / 2
            of_points = np.interp(np.arange(n_timepoints), middles, np.concatenate(nearest))
            total += (of_points - centre) / spread
        return total / len(lengths)

    def _features(self, transformer, recording, length, starts):
        """Features ``(n, d)`` of parts of a recording ``(c, t)``, stretched to whole windows."""
        views = np.lib.stride_tricks.sliding_window_view(recording, length, axis=1)
        windows = views[:, starts].swapaxes(0, 1) @ stretching(length, self.length)
        return np.asarray(transformer.transform(windows))  # it may be set to give tables


def reader_of_features(estimator):
    """A copy of a transformer, or of a generator's tokenizer, with its default output: features."""
    is_generator = hasattr(estimator, "tokenizer_")
    transformer = copy(checked_tokenizer(estimator) if is_generator else estimator)
    if hasattr(transformer, "output"):
        default = signature(type(transformer)).parameters["output"].default
        transformer.set_params(output=default)
    return transformer


def part_lengths(length):
    """Time points of whole windows, halves and quarters, without those that are too short."""
    shortest = min(length, _SHORTEST)
    return [length // parts for parts in _PARTS if length // parts >= shortest]


def part_starts(n_timepoints, length):
    """Where parts of a recording start, an eighth of their length apart; the last ends with it."""
    last = n_timepoints - length
    starts = np.arange(0, last + 1, max(1, length // _STRIDES))
    return starts if starts[-1] == last else np.append(starts, last)


def stretching(length, longer):
    """Matrix ``(length, longer)`` that interpolates series ``(..., length)`` linearly."""
    times = np.linspace(0, length - 1, longer)
    return np.stack([np.interp(times, np.arange(length), row) for row in np.eye(length)])


def mean_of_nearest(features, places, known, starts, length):
    """Mean distance ``(n,)`` of windows to the two nearest that are apart from them and each other.

    Parameters
    ----------
    features : float32 ndarray of shape (n, d)
    places : ndarray of shape (n,)
        Where those windows start in the recording of the fit; infinite for those of another one.
    known : float32 ndarray of shape (m, d)
        Features of windows of the recording of the fit.
    starts : int64 ndarray of shape (m,)
        Where these start; the first and the last one are those of the recording.
    length : int
        Time points of a window.
    """
    # Squared distances without the squares of `features`, which all of a row have in common.
    order = np.square(known).sum(1) - 2 * features @ known.T
    # In a recording of few windows those half of it away are taken, so that each has one.
    order[np.abs(places[:, None] - starts) < min(length, starts[-1] // 2)] = np.inf
    rows = np.arange(len(features))
    total, count = np.zeros((2, len(features)))
    for _ in range(_N_NEIGHBOURS):
        nearest = order.argmin(1)
        is_left = np.isfinite(order[rows, nearest])
        # Small differences of large squares are rounded: the distance itself is measured anew.
        total += np.where(is_left, np.linalg.norm(features - known[nearest], axis=1), 0)
        count += is_left
        order[np.abs(starts[nearest, None] - starts) < length] = np.inf
    return total / count


def robust_scale(values):
    """Median and median absolute deviation of values ``(n,)``; 1 where most are equal."""
    centre = float(np.median(values))
    return centre, float(np.median(np.abs(values - centre))) or 1.0


def top_stretches(scores, n, length):
    """The n stretches with the highest scores, which do not overlap, the highest first.

    Each is a window around the highest point whose window does not overlap those before it.

    Parameters
    ----------
    scores : float ndarray of shape (t,)
        NaN where there is none.
    n : int
    length : int
        Time points of a window; stretches at the ends of the recording are shorter.

    Returns
    -------
    list of Stretch
        Fewer than n where no room is left.
    """
    left = np.where(np.isnan(scores), -np.inf, scores)
    before = length // 2
    stretches = []
    while len(stretches) < n and left.max() > -np.inf:
        top = int(left.argmax())
        start, stop = max(0, top - before), min(len(left), top - before + length)
        stretches.append(Stretch(start, stop, float(left[top])))
        # Windows of these points would begin before the stop and end after the start.
        left[max(0, start - length + before + 1) : stop + before] = -np.inf
    return stretches
