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

    @property
    def shape(self):
        """Shape of the Tensor that these rows stand for."""
        return (len(self), *self[:1].shape[1:])

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


class SlicedSeries:
    """Series ``(n, c, t)`` in an array-like that slices and that is too large to be read at once.

    Such as a memory map of whole numbers, or a data set of HDF5 or zarr. Slices of it are float
    arrays; it is what estimators are handed in place of an array.

    Parameters
    ----------
    X : array-like of shape (n, t) or (n, c, t)
    """

    ndim = 3

    def __init__(self, X):
        self.X = X
        self.row_shape = tuple(X.shape[1:])
        n_channels = 1 if len(self.row_shape) == 1 else self.row_shape[0]
        self.shape = (int(X.shape[0]), int(n_channels), int(self.row_shape[-1]))
        exact = np.can_cast(X.dtype, np.float32, "safe")
        self.dtype = np.dtype(np.float32 if exact else np.float64)
        self.size = int(np.prod(self.shape, dtype=object))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, index):
        """The series of a slice or of an array of indices, or the one of an index."""
        if isinstance(index, np.ndarray) and not isinstance(self.X, np.ndarray):
            rows = np.stack([np.asarray(self.X[int(row)]) for row in index])
        elif isinstance(index, slice) and index.step not in (None, 1):
            return self[np.arange(len(self))[index]]
        else:
            rows = np.asarray(self.X[index])
        return rows.astype(self.dtype).reshape(*rows.shape[: -len(self.row_shape)], *self.shape[1:])

    def __array__(self, dtype=None, copy=None):
        return self[:] if dtype is None else self[:].astype(dtype)

    def blocks(self):
        """Slices of all series, each of a part of the values."""
        n_rows = max(1, _AT_ONCE // (8 * self.shape[1] * self.shape[2]))
        return [slice(start, start + n_rows) for start in range(0, len(self), n_rows)]


def is_sliced(X):
    """Whether `X` is an array-like that is read by slices: dense numbers, no array nor table."""
    if isinstance(X, np.ndarray):
        by_itself = isinstance(X, np.memmap) and X.dtype not in (np.float32, np.float64)
    else:
        by_itself = not (
            isinstance(X, (list, tuple, torch.Tensor))
            or any(hasattr(X, name) for name in ("columns", "iloc", "__dataframe__", "mask", "nnz"))
        )
    return (
        by_itself
        and hasattr(X, "__getitem__")
        and len(getattr(X, "shape", ())) in (2, 3)
        and getattr(getattr(X, "dtype", None), "kind", "") in ("b", "i", "u", "f")
    )


def is_large(X):
    """Whether the series of an array-like are too large to be read at once."""
    return 8 * int(np.prod(X.shape, dtype=object)) > _AT_ONCE
