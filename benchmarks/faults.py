"""Recordings made of test series end to end, and faults that are planted in them."""

from typing import NamedTuple

import numpy as np

N_TIMEPOINTS = 5000
_MARGIN = 300  # time points at both ends that have no fault
_NOISE = 0.5  # standard deviations of the recording
_SPIKE = 3.0
_FACTOR = 2.0  # by which amplitudes grow or shrink
_SLOWER = 1.5  # as long
_TOLERANCE = 100  # time points beside a stretch in which it still counts as found


class Planted(NamedTuple):
    """A recording with one fault.

    Attributes
    ----------
    values : float64 ndarray of shape (t,)
    start, stop : int
        The stretch that is faulty.
    """

    values: np.ndarray
    start: int
    stop: int

    def is_hit_by(self, point):
        """Whether a time point lies in the stretch or as near to it as 100 points or its length."""
        beside = max(_TOLERANCE, self.stop - self.start)
        return bool(self.start - beside <= point < self.stop + beside)


# A fault is a function of a stretch (l,), its recording's standard deviation, a piece (l,) of a
# recording of another set, and a random generator. It returns what stands there instead, which
# may be longer or shorter.


def foreign(stretch, scale, other, rng):
    """A piece of another set, with the mean and standard deviation of what was there."""
    return (other - other.mean()) / other.std() * stretch.std() + stretch.mean()


def reversed_in_time(stretch, scale, other, rng):
    """The stretch backwards."""
    return stretch[::-1].copy()


def flattened(stretch, scale, other, rng):
    """The first value held."""
    return np.full_like(stretch, stretch[0])


def noise(stretch, scale, other, rng):
    """White noise added, of half the standard deviation of the recording."""
    return stretch + _NOISE * scale * rng.normal(size=len(stretch))


def spike(stretch, scale, other, rng):
    """One point, in the middle, moved by three standard deviations of the recording."""
    faulty = stretch.copy()
    faulty[len(stretch) // 2] += rng.choice([-1, 1]) * _SPIKE * scale
    return faulty


def missing_piece(stretch, scale, other, rng):
    """The middle half is cut out, and the recording goes on behind it."""
    quarter = len(stretch) // 4
    return np.concatenate([stretch[:quarter], stretch[3 * quarter :]])


def amplitude(stretch, scale, other, rng):
    """Deviations from the mean of the stretch doubled or halved."""
    factor = rng.choice([1 / _FACTOR, _FACTOR])
    return stretch.mean() + factor * (stretch - stretch.mean())


def stretched_time(stretch, scale, other, rng):
    """One and a half times as long."""
    times = np.linspace(0, len(stretch) - 1, round(_SLOWER * len(stretch)))
    return np.interp(times, np.arange(len(stretch)), stretch)


KINDS = {
    "foreign": foreign,
    "reversed": reversed_in_time,
    "flattened": flattened,
    "noise": noise,
    "spike": spike,
    "missing piece": missing_piece,
    "amplitude": amplitude,
    "stretched time": stretched_time,
}


def recording_of(X, rng, n_timepoints):
    """Series ``(n, 1, t)`` in random order end to end, each once: float64 ``(n_timepoints,)``.

    They begin anew, in another order, where there are not enough.
    """
    n_series = -(-n_timepoints // X.shape[2])
    n_rounds = -(-n_series // len(X))
    rows = np.concatenate([rng.permutation(len(X)) for _ in range(n_rounds)])[:n_series]
    return X[rows, 0].astype(np.float64).reshape(-1)[:n_timepoints]


def plant(kind, sound, start, length, other, rng):
    """Put a fault of a kind into a recording ``(t,)``, which may become longer or shorter by it.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    sound : float64 ndarray of shape (t,)
    start, length : int
        Of the stretch.
    other : ndarray of shape (length,)
        A piece of another set, for the kind "foreign".
    rng : numpy.random.Generator

    Returns
    -------
    Planted
    """
    stretch = sound[start : start + length]
    faulty = KINDS[kind](stretch, sound.std(), other, rng)
    values = np.concatenate([sound[:start], faulty, sound[start + length :]])
    if len(faulty) != length:
        return Planted(values, start, start + len(faulty))
    first, last = np.flatnonzero(faulty != stretch)[[0, -1]]
    return Planted(values, int(start + first), int(start + last + 1))


def planted(kind, X, others, seed):
    """A recording of 5,000 points, made of series, with one fault of a kind.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    X : ndarray of shape (n, 1, t)
        The series. The stretch is as long as half of one to a whole one.
    others : ndarray of shape (m, 1, u)
        Series of another set, for the kind "foreign".
    seed : int or sequence of int

    Returns
    -------
    Planted
    """
    rng = np.random.default_rng(seed)
    series_length = X.shape[2]
    sound = recording_of(X, rng, N_TIMEPOINTS + series_length)  # as a fault may shorten it
    length = int(rng.integers(series_length // 2, series_length + 1))
    start = int(rng.integers(_MARGIN, N_TIMEPOINTS - _MARGIN - 2 * series_length))
    values, first, last = plant(kind, sound, start, length, recording_of(others, rng, length), rng)
    return Planted(values[:N_TIMEPOINTS], first, last)
