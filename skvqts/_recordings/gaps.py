"""Gaps of recordings: short ones bridged by lines, all of them filled by a generator."""

import numpy as np

from .._fitting.validation import random_seed
from .._generation.gaps import interpolated

_SHORT = 8  # a gap of a window over this hardly shows


def bridged(values, longest=None):
    """A recording ``(c, t)`` whose gaps are bridged by straight lines.

    Parameters
    ----------
    values : float ndarray of shape (c, t)
    longest : int or None
        Gaps of more points are left, and those at the ends. None: all are bridged; at the ends, the
        first and the last known value is repeated, and a channel without any becomes 0.
    """
    if longest is None:
        return interpolated(values[None], ~np.isnan(values[None]))[0]
    filled = values.copy()
    for channel, lines in zip(filled, bridged(values), strict=True):
        for start, end in runs(np.isnan(channel)):
            if end - start <= longest and start > 0 and end < len(channel):
                channel[start:end] = lines[start:end]
    return filled


def near_long_gaps(values, length):
    """Points ``(t,)`` of a recording ``(c, t)`` less than half a window away from a long gap.

    Long is one of more than an eighth of a window of `length` points, in any channel.
    """
    near = np.zeros(values.shape[1], dtype=bool)
    for start, end in runs(np.isnan(values).any(axis=0)):
        if end - start > length // _SHORT:
            near[max(0, start - length // 2) : end + length // 2] = True
    return near


def runs(is_in):
    """Start and end, int64 ``(n, 2)``, of the stretches in which a bool array ``(t,)`` is True."""
    edges = np.diff(np.concatenate([[False], is_in, [False]]).astype(np.int8))
    return np.column_stack([np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)])


def filled_recording(generator, values, length, n_draws, random_state):
    """Draws ``(n_draws, c, t)`` of a recording ``(c, t)`` whose missing values are filled.

    A gap of up to half a window is filled in a window around its middle. A longer one is filled
    from the left, half a window at a time, given what was filled before, until the rest of it is
    short enough to be filled given both sides.

    Parameters
    ----------
    generator : fitted generator
        With `impute`, of windows.
    values : float64 ndarray of shape (c, t)
        NaN where they are missing.
    length : int
        Of a window; at most t.
    n_draws : int
    random_state : RandomState instance
    """
    draws = values[None]
    while np.isnan(draws[0]).any():
        starts, wanted = windows_of_gaps(np.isnan(draws[0]).any(axis=0), length)
        times = starts[:, None] + np.arange(length)
        windows = draws[:, :, times].swapaxes(1, 2)  # (m, n, c, w)
        filled = _imputed(generator, windows, n_draws, random_state)
        if len(draws) < n_draws:  # up to here all draws were the recording itself
            draws = np.repeat(draws, n_draws, axis=0)
        for window, time, is_wanted in zip(filled.swapaxes(0, 1), times, wanted, strict=True):
            draws[:, :, time[is_wanted]] = window[:, :, is_wanted]
    return draws if len(draws) == n_draws else np.repeat(draws, n_draws, axis=0)


def windows_of_gaps(missing, length):
    """Windows in which gaps are filled next, and the points that each fills.

    Parameters
    ----------
    missing : bool ndarray of shape (t,)
    length : int

    Returns
    -------
    starts : int64 ndarray of shape (n,)
    wanted : bool ndarray of shape (n, length)
        No point is filled by two windows.
    """
    gaps = runs(missing)
    taken = np.zeros(len(missing), dtype=bool)
    starts, wanted = [], []
    for gap_start, gap_end in gaps:
        if taken[gap_start]:
            continue
        is_short = gap_end - gap_start <= length // 2
        middle = (gap_start + gap_end) // 2 if is_short else gap_start
        start = int(np.clip(middle - length // 2, 0, len(missing) - length))
        # Other gaps that lie in the window as a whole are filled with this one.
        is_inside = (gaps[:, 0] >= start) & (gaps[:, 1] <= start + length)
        fills = np.zeros(len(missing), dtype=bool)
        for first, last in [*gaps[is_inside], (gap_start, min(gap_end, start + length))]:
            fills[first:last] = True
        fills &= ~taken
        taken |= fills
        starts.append(start)
        wanted.append(fills[start : start + length])
    return np.array(starts), np.array(wanted)


def _imputed(generator, windows, n_draws, random_state):
    """Draws ``(n_draws, n, c, w)`` of windows ``(m, n, c, w)``, m being 1 or `n_draws`."""
    seed = random_seed(random_state)
    if len(windows) == 1:
        return generator.impute(windows[0], n_draws=n_draws, random_state=seed)
    filled = generator.impute(windows.reshape(-1, *windows.shape[2:]), random_state=seed)
    return filled.reshape(windows.shape)
