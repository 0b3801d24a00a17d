"""Gaps in series: lines across them, and which tokens lie where in time."""

import numpy as np
import torch

from ..functional.gaps import bridged


def interpolated(series, known):
    """Series ``(n, c, t)`` with unknown values on straight lines, as `bridged` draws them."""
    return bridged(torch.from_numpy(np.where(known, series, np.nan))).numpy()


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
