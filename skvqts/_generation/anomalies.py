"""How unlikely every time point is, given what lies outside a window around it."""

import numpy as np
import torch

from .imputation import column_of, tokens_at
from .sampling import TokenReader, checked_tokenizer, unconditional_classes


def anomaly_scores(estimator, ids, window):
    """Mean negative log-probability of hidden tokens, ``(n, t)``, over windows that slide along.

    Parameters
    ----------
    estimator : fitted generator
    ids : int64 ndarray of shape (n, N)
        Tokens of series.
    window : int
        Length of the windows in time points.
    """
    tokenizer = checked_tokenizer(estimator)
    masks, covered = window_masks(
        window, tokenizer.token_shape_, tokenizer.module_.strides, estimator.n_timepoints_in_
    )
    classes = unconditional_classes(estimator, len(ids))
    hidden = [torch.from_numpy(mask) for mask in masks]
    losses = TokenReader(estimator).hidden_losses(ids, classes, hidden)
    n_hidden = sum(mask.sum(1) for mask in masks)
    of_windows = sum(loss.sum(2, dtype=np.float64) for loss in losses) / n_hidden
    # This is not a matrix product, whose rounding would depend on the number of rows.
    pairs = zip(of_windows.T[:, :, None], covered, strict=True)
    return sum(of_window * points for of_window, points in pairs) / covered.sum(0)


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
