"""Missing values in series: which tokens lie where in time, and gaps filled with drawn tokens."""

import numpy as np

from .sampling import checked_tokenizer, decode_scaled


def impute_series(estimator, fill, X, known, classes, seed):
    """Series ``(n, c, t)``, float64, whose gaps are filled with what drawn tokens decode to.

    The error of the decoded series on either side of a gap is interpolated across the gap and
    added, so that the filled part joins on without a jump.

    Parameters
    ----------
    estimator : fitted generator
    fill : callable
        ``fill(ids, masks, classes, seed)`` draws masked tokens.
    X : float64 ndarray of shape (n, c, t)
    known : bool ndarray of shape (n, c, t)
        Where `X` was observed.
    classes : int64 ndarray of shape (n,)
    seed : int
    """
    tokenizer = checked_tokenizer(estimator)
    # An encoder takes no NaN; the tokens that it makes of gaps are masked and drawn below.
    bridged = interpolated(X, known)
    # Tokens are of all channels at once: a gap in one hides the token of all.
    gaps = ~known.all(axis=1)
    masks = tokens_at(gaps, tokenizer.token_shape_, tokenizer.module_.strides)
    ids = fill(tokenizer.encode(bridged), masks, classes, seed)
    scaled = decode_scaled(estimator, ids)
    decoded = tokenizer.scaler_.inverse_like(scaled, bridged, known)
    return np.where(known, X, decoded + interpolated(X - decoded, known))


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
