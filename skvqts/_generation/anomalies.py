"""How unlikely every time point is, given what lies outside a window around it."""

import numpy as np
import torch

from .gaps import column_of, interpolated, tokens_at
from .sampling import TokenReader, checked_tokenizer, unconditional_classes


def anomaly_scores(estimator, X, ids, window):
    """Mean negative log-probability of hidden tokens, ``(n, t)``, over windows that slide along.

    What is told of a window is told from tokens that have not seen it: those of the series with a
    straight line across the window.

    Parameters
    ----------
    estimator : fitted generator
    X : float ndarray of shape (n, c, t)
    ids : int64 ndarray of shape (n, N)
        Their tokens.
    window : int
        Length of the windows in time points.
    """
    tokenizer = checked_tokenizer(estimator)
    masks, covered = window_masks(
        window, tokenizer.token_shape_, tokenizer.module_.strides, estimator.n_timepoints_in_
    )
    if tokenizer.module_.n_series_tokens:
        masks[0][:] = False  # of the series without the window they are told, not judged
    classes = unconditional_classes(estimator, len(X))
    reader = TokenReader(estimator)
    total = np.zeros((len(X), estimator.n_timepoints_in_))
    for index, points in enumerate(covered):
        hidden = [of_band[[index]] for of_band in masks]
        context = tokenizer.encode(interpolated(X, np.broadcast_to(~points, X.shape)))
        given = np.where(np.concatenate(hidden, axis=1), ids, context)
        losses = reader.hidden_losses(given, classes, [torch.from_numpy(mask) for mask in hidden])
        n_hidden = sum(mask.sum() for mask in hidden)
        of_window = sum(loss.sum((1, 2), dtype=np.float64) for loss in losses) / n_hidden
        total += of_window[:, None] * points
    return total / covered.sum(0)


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
    # A token of a coarser band is hidden as soon as the window touches it.
    bands = zip(grid, strides, strict=True)
    return [tokens_at(covered, [shape], [stride]) for shape, stride in bands], covered
