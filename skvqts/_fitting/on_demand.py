"""Training series that are scaled when a batch asks for them, where all at once are too large."""

import numpy as np
import torch

_AT_ONCE = 2**26  # bytes of a float32 Tensor, from which on its rows are made when they are wanted
_PART = 2**10  # rows that are looked at together


class RowsOnDemand:
    """Rows that a function makes of those of an array, as indexing asks for them.

    To a training it is a Tensor: it has a length and a device, and indices give Tensors. So a fit
    from a memory map holds a batch of series, not all.

    Parameters
    ----------
    X : array-like of n rows
    prepare : callable
        From rows of `X`, an array, to as many rows of a Tensor or array. What it makes of a row
        does not depend on the others.
    device : torch.device
    rows : int64 ndarray or None
        Which rows of `X` these are; None: all.
    """

    def __init__(self, X, prepare, device, rows=None):
        self.X = X
        self.prepare = prepare
        self.device = device
        self.rows = rows

    def __len__(self):
        return len(self.X if self.rows is None else self.rows)

    def __getitem__(self, index):
        """The rows of a slice or an int64 Tensor, as a Tensor."""
        if isinstance(index, torch.Tensor):
            index = index.cpu().numpy()
        index = index if self.rows is None else self.rows[index]
        return torch.as_tensor(self.prepare(np.asarray(self.X[index])), device=self.device)

    def subset(self, index):
        """The rows of an int64 Tensor, still to be made."""
        index = index.cpu().numpy()
        rows = index if self.rows is None else self.rows[index]
        return RowsOnDemand(self.X, self.prepare, self.device, rows)

    def mapped(self, function):
        """Rows of which a function of Tensors makes others."""
        return RowsOnDemand(
            self.X,
            lambda X: function(torch.as_tensor(self.prepare(X), device=self.device)),
            self.device,
            self.rows,
        )


def rows_of(X, prepare, device):
    """``prepare(X)`` as a Tensor on a device or, where that is large, as `RowsOnDemand`."""
    rows = RowsOnDemand(X, prepare, device)
    return rows[:] if _is_small(rows) else rows


def subset(tensor, index):
    """Rows of a Tensor, or of `RowsOnDemand`, which few of them are no longer."""
    if isinstance(tensor, torch.Tensor):
        return tensor[index]
    rows = tensor.subset(index)
    return rows[:] if _is_small(rows) else rows


def mapped(tensor, function):
    """A function that treats each row by itself, of a Tensor or `RowsOnDemand`."""
    return function(tensor) if isinstance(tensor, torch.Tensor) else tensor.mapped(function)


def parts_of(tensor):
    """A Tensor, or Tensors of some rows after the other of `RowsOnDemand`."""
    if isinstance(tensor, torch.Tensor):
        yield tensor
        return
    for start in range(0, len(tensor), _PART):
        yield tensor[start : start + _PART]


def _is_small(rows):
    return 4 * len(rows) * rows[:1].numel() <= _AT_ONCE
