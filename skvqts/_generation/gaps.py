"""Gaps in series: lines across them, and which tokens lie where in time."""

import numpy as np


def interpolated(series, known):
    """Series ``(n, c, t)`` with unknown values on straight lines between their neighbours.

    Beyond the first and the last known value of a channel those are repeated; a channel without any
    becomes 0. Known values stay as they are.
    """
    filled = np.where(known, series, 0.0)
    times = np.arange(series.shape[2])
    for row, channel in np.argwhere(~known.all(axis=2)):
        seen = known[row, channel]
        if seen.any():
            values = np.interp(times[~seen], times[seen], series[row, channel, seen])
            filled[row, channel, ~seen] = values
    return filled


def tokens_at(points, grid, strides):
    """Tokens ``(n, N)`` whose share of time holds any of the points ``(n, t)``.

    Parameters
    ----------
    points : bool ndarray of shape (n, t)
    grid : sequence of (int, int)
        Rows and columns of the tokens of each band.
    strides : sequence of int
        Time points from one column to the next, of each band.
    """
    parts = []
    for (rows, columns), stride in zip(grid, strides, strict=True):
        hit = np.zeros((len(points), columns), dtype=bool)
        series, times = points.nonzero()
        hit[series, column_of(times, columns, stride)] = True
        parts.append(np.tile(hit, (1, rows)))
    return np.concatenate(parts, axis=1)


def column_of(times, n_columns, stride):
    """The column of tokens that time points belong to; the last one has what is left over."""
    return np.minimum(times // stride, n_columns - 1)
