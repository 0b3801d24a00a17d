"""Missing values in series, and which tokens lie where in time."""

import numpy as np


def interpolated(series, known):
    """Series ``(n, c, t)`` with unknown values on straight lines between their neighbours.

    Beyond the first and the last known value of a channel those are repeated; a channel without any
    becomes 0. Known values stay as they are.
    """
    filled = np.where(known, series, 0.0)
    places = np.arange(series.shape[2])
    for row, channel in np.argwhere(~known.all(axis=2)):
        seen = known[row, channel]
        if seen.any():
            values = np.interp(places[~seen], places[seen], series[row, channel, seen])
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
        series, places = points.nonzero()
        hit[series, column_of(places, columns, stride)] = True
        parts.append(np.tile(hit, (1, rows)))
    return np.concatenate(parts, axis=1)


def column_of(places, n_columns, stride):
    """The column of tokens that time points belong to; the last one has what is left over."""
    return np.minimum(places // stride, n_columns - 1)


def window_masks(window, grid, strides, n_timepoints):
    """Masks of all windows of about `window` time points, and which points each covers.

    A window is a run of columns of the finest band, and covers all points of them.

    Returns
    -------
    masks : list of bool ndarray of shape (M, rows * columns), one per band
        The tokens of each window; all bands have the same M windows.
    covered : bool ndarray of shape (M, n_timepoints)
        Every point is in one at least.
    """
    finest, stride = max((columns, s) for (_, columns), s in zip(grid, strides, strict=True))
    columns = column_of(np.arange(n_timepoints), finest, stride)
    width = min(finest, max(1, round(window / stride)))
    starts = np.arange(finest - width + 1)[:, None]
    covered = (columns >= starts) & (columns < starts + width)
    covered = covered[covered.any(axis=1)]
    bands = zip(grid, strides, strict=True)
    return [tokens_at(covered, [shape], [stride]) for shape, stride in bands], covered
