"""What recorded series have to the bit, which no network learns: level and scale, repeats, steps.

Series are often standardised one by one; instruments round to steps and hold values. A classifier
recognises generated series by such traces at once.
"""

import numpy as np

from ..._files.encoding import storable

_ALIKE = 1e-4  # level and scale of all series agree within this share of their scale
_LEAST_REPEATS = 0.01  # share of values that repeat the one before, from which on repeats matter
_ROUNDING = 0.05  # of a step by which values may miss their multiple
_MOST_STEPS = 1000  # between the extremes of a series; finer steps cannot be seen
_FEW_LEVELS = 8  # different values, from which on being multiples of a step is no chance
_AT_ONCE = 1024  # series
_MOST_SERIES = 200  # that are looked at for steps


@storable
class Exactness:
    """What training series have in common exactly, and how drawn series are given it.

    Parameters
    ----------
    X : float ndarray of shape (n, c, t)
        The training series, in their own units.
    classes : int64 ndarray of shape (n,)

    Attributes
    ----------
    level, scale : float64 ndarray of shape (c, 1)
        Mean and standard deviation of each channel that all series share; NaN where they differ.
    whole : bool ndarray of shape (c, 1)
        The channels that hold whole numbers only.
    repeating : int64 ndarray
        The channels that often repeat their last value.
    steps, offsets : float64 ndarray of shape (m, c)
        Of up to 200 series, the step that the values of each channel are multiples of, counted
        from an offset; NaN where they are not, or where it is too small to be seen. Empty where no
        channel has one.
    step_classes : int64 ndarray of shape (m,)
        The classes of these series.
    """

    def __init__(self, X, classes):
        self.level, self.scale = common_moments(X)
        self.whole = np.all([(part == np.rint(part)).all(axis=(0, 2)) for part in parts_of(X)], 0)
        self.whole = self.whole[:, None]
        # Whole numbers would not be whole at another level, unless they never change.
        self.level = np.where(self.whole & (self.scale > 0), np.nan, self.level)
        n_repeats = sum(repeats_of(part).sum(axis=(0, 2)) for part in parts_of(X))
        self.repeating = np.flatnonzero(n_repeats / (len(X) * X.shape[2]) > _LEAST_REPEATS)
        seen = np.unique(np.linspace(0, len(X) - 1, _MOST_SERIES).astype(int))
        found = np.array([[step_of(channel) for channel in series] for series in X[seen]])
        self.steps, self.offsets = found[..., 0], found[..., 1]
        # A channel of which few series have steps has them by chance.
        by_chance = np.isnan(self.steps).mean(axis=0) > 0.5
        self.steps[:, by_chance] = np.nan
        self.step_classes = classes[seen]
        if by_chance.all():
            self.steps, self.offsets, self.step_classes = (
                part[:0] for part in (self.steps, self.offsets, self.step_classes)
            )

    def impose(self, X, repeats, classes, heights):
        """Give drawn series what training series have exactly.

        Parameters
        ----------
        X : float64 ndarray of shape (n, c, t)
            Drawn series, in the units of the training series.
        repeats : bool ndarray of shape (n, len(self.repeating), t)
            Values that are to repeat the one before.
        classes : int64 ndarray of shape (n,)
            A class that no training series has stands for any.
        heights : float64 ndarray of shape (n,)
            Numbers in [0, 1), by which each series gets the step of a training series of its class.

        Returns
        -------
        X : float64 ndarray of shape (n, c, t)
        """
        X = X.copy()
        X[:, self.repeating] = held(X[:, self.repeating], repeats)
        if len(self.steps):
            chosen = self._series_with_steps(classes, heights)
            X = rounded(X, self.steps[chosen, :, None], self.offsets[chosen, :, None])
        # Files from before have no such entry.
        X = np.where(getattr(self, "whole", False), np.rint(X), X)
        if self.level is None:  # of files from when it was of all channels or of none
            return X
        scale = X.std(axis=2, keepdims=True)
        centred = X - X.mean(axis=2, keepdims=True)
        levelled = centred / np.where(scale > 0, scale, 1.0) * self.scale + self.level
        return np.where(np.isnan(self.level), X, levelled)

    def impose_in_gaps(self, X, known):
        """Give what was drawn in the gaps of series constants, whole numbers and steps.

        The step is that of all training series, or if they differ that of the observed values of a
        series of which at least half were observed.

        Parameters
        ----------
        X : float64 ndarray of shape (n, c, t)
            In the units of the training series.
        known : bool ndarray of shape (n, c, t)
            What was observed, and stays as it is.

        Returns
        -------
        X : float64 ndarray of shape (n, c, t)
        """
        step, offset = np.full((2, *X.shape[:2]), np.nan)
        for channel in np.flatnonzero(~np.isnan(self.steps).all(axis=0)):
            shared = shared_step(self.steps[:, channel], self.offsets[:, channel])
            step[:, channel], offset[:, channel] = shared
            mostly_known = np.flatnonzero(known[:, channel].mean(axis=1) >= 0.5)
            for row in mostly_known if np.isnan(shared[0]) else ():
                own = step_of(X[row, channel, known[row, channel]])
                step[row, channel], offset[row, channel] = own
        drawn = rounded(X, step[..., None], offset[..., None])
        drawn = np.where(getattr(self, "whole", False), np.rint(drawn), drawn)
        if self.level is not None:
            drawn = np.where(self.scale == 0, self.level, drawn)
        return np.where(known, X, drawn)

    def _series_with_steps(self, classes, heights):
        """The index of a training series of each class, or of any."""
        chosen = np.empty(len(classes), dtype=np.int64)
        for label in np.unique(classes):
            of_class = np.flatnonzero(self.step_classes == label)
            if len(of_class) == 0:
                of_class = np.arange(len(self.step_classes))
            rows = classes == label
            chosen[rows] = of_class[(heights[rows] * len(of_class)).astype(int)]
        return chosen


def parts_of(X):
    """Series ``(n, c, t)`` some after the other, so that what is made of them is never large."""
    return (X[start : start + _AT_ONCE] for start in range(0, len(X), _AT_ONCE))


def common_moments(X):
    """Mean and standard deviation ``(c, 1)`` of each channel, or NaN where series differ in them.

    A channel that is constant, and the same in all series, has its value and 0.
    """
    means, scales = (
        np.concatenate([moment(part, axis=2, dtype=np.float64) for part in parts_of(X)])
        for moment in (np.mean, np.std)
    )
    level, scale = means.mean(axis=0), scales.mean(axis=0)
    alike = np.ptp(means, axis=0) <= _ALIKE * scale
    alike &= np.ptp(scales, axis=0) <= _ALIKE * scale
    first = X[:1][0, :, 0]
    constant = np.all([(part == first[:, None]).all(axis=(0, 2)) for part in parts_of(X)], axis=0)
    level = np.where(constant, first, np.where(alike, level, np.nan))
    scale = np.where(constant, 0.0, np.where(alike, scale, np.nan))
    return level[:, None], scale[:, None]


def repeats_of(X):
    """Where a value of series ``(n, c, t)`` equals the one before, bool."""
    repeats = np.zeros(X.shape, dtype=bool)
    repeats[..., 1:] = X[..., 1:] == X[..., :-1]
    return repeats


def held(X, repeats):
    """Series ``(n, c, t)`` with the mean of every run of repeats in its place."""
    starts = ~repeats
    starts[..., :1] = True
    runs = starts.cumsum(axis=None).ravel() - 1
    sums = np.bincount(runs, X.ravel())
    return (sums / np.bincount(runs))[runs].reshape(X.shape)


def rounded(X, step, offset):
    """Values at the nearest multiples of a step from an offset on; where it is NaN, as they are."""
    return np.where(np.isnan(step), X, np.round((X - offset) / step) * step + offset)


def shared_step(steps, offsets):
    """The step and offset that those of several series are multiples of; NaN where they differ."""
    known = np.flatnonzero(~np.isnan(steps))
    smallest = known[steps[known].argmin()]
    step, offset = steps[smallest], offsets[smallest]
    multiples = np.concatenate([steps[known], offsets[known] - offset]) / step
    misses = np.abs(multiples - np.round(multiples)).max()
    return (step, offset) if misses <= _ROUNDING else (np.nan, np.nan)


def step_of(values):
    """The step that values are multiples of, from an offset on; NaN for both if there is none."""
    levels = np.unique(values).astype(np.float64)
    span = levels[-1] - levels[0]
    # A few different values are multiples of something by chance.
    if span == 0 or _FEW_LEVELS > len(levels) > len(values) / 2:
        return np.nan, np.nan
    gaps = np.diff(levels)
    gaps = gaps[gaps > span / (2 * _MOST_STEPS)]
    if len(gaps) == 0:
        return np.nan, np.nan
    # Sums of whole gaps average the rounding of the smallest one.
    step = gaps.sum() / np.round(gaps / gaps.min()).sum()
    multiples = np.round((levels - levels[0]) / step)
    step = (levels - levels[0]) @ multiples / (multiples @ multiples)
    misses = np.abs((levels - levels[0]) / step - multiples).max()
    if misses > _ROUNDING or span / step > _MOST_STEPS:
        return np.nan, np.nan
    return step, levels[0] % step
