"""Reading from a fitted network: a function of tensors, applied to arrays chunk by chunk."""

import numpy as np
import torch

from .progress import Pace
from .runtime import computing

_CHUNK_POINTS = 2**13  # values of one chunk on the CPU
_MAX_CHUNK = 64
_FEW_POINTS = 2**14  # values of series that are read after a Ctrl-C


def read_series(estimator, function, X, sink=None):
    """Apply a function of scaled series to series in the user's units.

    Parameters
    ----------
    estimator : fitted estimator
        With `scaler_`, `device_` and `n_threads_`.
    function : callable
        From a float32 Tensor ``(b, c, t)`` of scaled series on the estimator's device to a list of
        Tensors of b rows.
    X : ndarray of shape (n, c, t)
    sink : callable or None
        Takes the results of each chunk, as for `in_chunks`.

    Returns
    -------
    list of ndarrays of n rows, or None with a `sink`
    """
    return read_rows(estimator, function, X, estimator.scaler_.transform, sink)


def read_rows(estimator, function, rows, prepare=None, sink=None):
    """Apply a function of tensors to the rows of an array, such as tokens or latents.

    Parameters
    ----------
    estimator : fitted estimator
        With `device_`, `n_threads_` and the shape of its series, which decides the size of chunks.
    function : callable
        From a Tensor of b rows on the estimator's device to a list of Tensors of b rows.
    rows : ndarray of n rows
    prepare : callable or None
        What is done to a chunk, an array, before it becomes a Tensor.
    sink : callable or None
        Takes the results of each chunk, as for `in_chunks`.

    Returns
    -------
    list of ndarrays of n rows, or None with a `sink`
    """
    device = torch.device(estimator.device_)

    def read_chunk(chunk):
        chunk = chunk if prepare is None else prepare(chunk)
        results = function(torch.from_numpy(chunk).to(device))
        return [result.cpu().numpy() for result in results]

    chunk_rows = chunk_size(estimator.n_channels_in_ * estimator.n_timepoints_in_)
    with computing(device, estimator.n_threads_):
        return in_chunks(read_chunk, rows, chunk_rows, type(estimator).__name__, sink)


def in_form_of_fit(estimator, X):
    """Series ``(n, c, t)`` as `fit` was given them: ``(n, t)`` or ``(n, c, t)``."""
    return X.reshape(len(X), *estimator._series_shape)


def series_of_scaled(estimator, x):
    """Series in the user's units, and in the form that `fit` saw, of scaled ones ``(n, c, t)``."""
    return in_form_of_fit(estimator, estimator.scaler_.inverse(x))


def reconstruction_errors(estimator, reconstruct, X):
    """Mean squared errors ``(n,)`` of series ``(n, c, t)``, in units of the scaled series.

    Parameters
    ----------
    estimator : fitted estimator
    reconstruct : callable
        From a Tensor of scaled series to as many.
    X : ndarray of shape (n, c, t)
        NaN where a value is missing, which has no part in the error.
    """

    def errors(x):
        residuals = (reconstruct(x) - x).cpu().numpy()  # not every device has float64
        squares = np.square(residuals, dtype=np.float64)
        return [torch.from_numpy(np.nanmean(squares, axis=(1, 2)))]

    return read_series(estimator, errors, X)[0]


def read_at_the_end(X, record):
    """The training series ``(n, c, t)`` that a fit reads once its network is trained.

    After a Ctrl-C the user waits: it reads a few of them then, evenly spaced.

    Parameters
    ----------
    X : ndarray or Tensor of shape (n, c, t)
    record : TrainingRecord
    """
    if not record.interrupted:
        return X
    n_read = max(2, _FEW_POINTS // (X.shape[1] * X.shape[2]))
    return X[:: -(-len(X) // n_read)]


def scaled_chunks(estimator, X):
    """Scaled series on the estimator's device, a chunk at a time, as `read_series` sees them."""
    rows = chunk_size(X[0].size)
    for start in range(0, len(X), rows):
        chunk = np.asarray(X[start : start + rows])
        yield torch.from_numpy(estimator.scaler_.transform(chunk)).to(estimator.device_)


def chunk_size(n_values_per_row):
    """Rows of an inference chunk: depends on the row's size only."""
    # The largest power of two of rows whose values fit a chunk.
    fitting = max(1, _CHUNK_POINTS // n_values_per_row)
    return min(_MAX_CHUNK, 2 ** (fitting.bit_length() - 1))


def in_chunks(function, X, rows, name, sink=None):
    """Apply `function` to chunks of exactly `rows` rows, the last one padded with zeros.

    Convolution and matrix kernels round by the shape of the batch; with one
    shape, the result of a row does not depend on the rows beside it.

    Parameters
    ----------
    function : callable
        From an array of `rows` rows to a list of arrays of as many rows.
    X : ndarray
    rows : int
    name : str
        Who reads, for the word on time that more than a minute of it gets.
    sink : callable or None
        ``sink(start, results)`` takes the results of each chunk, which begins at row `start`, so
        that they are never all in memory. None: they are collected.

    Returns
    -------
    list of ndarray, or None with a `sink`
    """
    collected = None if sink else Collected(len(X))
    sink = sink or collected.add
    pace = Pace(name)
    for start in range(0, len(X), rows):
        chunk = np.array(X[start : start + rows], order="C")  # torch wants one it may write to
        n = len(chunk)
        if n < rows:
            chunk = np.concatenate([chunk, np.zeros((rows - n, *X.shape[1:]), chunk.dtype)])
        sink(start, [result[:n] for result in as_memory_allows(function, chunk)])
        pace.step(start // rows + 1, -(-len(X) // rows))
    return None if collected is None else collected.arrays


def as_memory_allows(function, rows):
    """The arrays that `function` makes of rows, of half of them at a time where a GPU lacks memory.

    Raises
    ------
    torch.OutOfMemoryError
        If there is not enough memory for a single row.
    """
    try:
        return function(rows)
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            raise
    # Outside of the handler, whose traceback would keep the tensors of the failed try alive.
    torch.cuda.empty_cache()
    parts = [as_memory_allows(function, half) for half in np.array_split(rows, 2)]
    return [np.concatenate(results) for results in zip(*parts, strict=True)]


def read_output(estimator, function, X, out, finish=np.asarray):
    """What `transform` returns of series in the user's units: an array of n rows, or `out`.

    Parameters
    ----------
    estimator, function, X
        As for `read_series`.
    out : array-like of n rows or None
        Where it is written, chunk by chunk.
    finish : callable
        From the results of a chunk to rows.
    """
    if out is None:
        return finish(*read_series(estimator, function, X))
    read_series(estimator, function, X, WrittenTo(out, len(X), finish))
    return out


class WrittenTo:
    """A sink that writes what a function makes of the results of chunks into a given array.

    Parameters
    ----------
    out : array-like
        Of n rows, such as a memory map; anything that slices can be assigned to.
    n_rows : int
    finish : callable
        From the results of a chunk to rows of `out`.
    """

    def __init__(self, out, n_rows, finish):
        self.out = out
        self.n_rows = n_rows
        self.finish = finish

    def __call__(self, start, results):
        rows = self.finish(*results)
        if start == 0:
            self.check(rows)
        self.out[start : start + len(rows)] = rows

    def check(self, rows):
        """Refuse an array of another shape, or that would lose what is written to it."""
        if isinstance(self.out, torch.Tensor) or hasattr(self.out, "columns"):
            raise TypeError(
                f"out must be an array, such as a memory map, and is a {type(self.out).__name__}."
            )
        wanted = (self.n_rows, *rows.shape[1:])
        shape = tuple(getattr(self.out, "shape", ()))
        if shape != wanted:
            raise ValueError(f"out must have shape {wanted}, and has {shape}.")
        if not np.can_cast(rows.dtype, self.out.dtype, "safe"):
            raise TypeError(f"out must hold {rows.dtype}, and is of {self.out.dtype}.")


class Collected:
    """The results of all chunks, in arrays of `n_rows` rows."""

    def __init__(self, n_rows):
        self.n_rows = n_rows
        self.arrays = None

    def add(self, start, results):
        """Put the results of a chunk in their place."""
        if self.arrays is None:
            self.arrays = [np.empty((self.n_rows, *r.shape[1:]), r.dtype) for r in results]
        for array, result in zip(self.arrays, results, strict=True):
            array[start : start + len(result)] = result
