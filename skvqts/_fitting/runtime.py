"""What surrounds a computation: threads, gradient mode, precision; inference in chunks."""

import importlib
import os
import signal
import sys
import threading
from contextlib import contextmanager

import numpy as np
import torch

_SMALL_WORK = 2**22  # time points seen in a training that need only one thread
_CHUNK_POINTS = 2**13  # values of one inference chunk on the CPU
_MAX_CHUNK = 64


def default_n_threads(n_points):
    """Threads for a training that sees `n_points` time points in all.

    Depends on the size of the work only, never on the process it runs in: small
    work is fastest on one thread and, being so everywhere, gives the same bits
    in the main process and in joblib's workers.
    """
    return 1 if n_points < _SMALL_WORK else min(4, _n_cores())


def _n_cores():
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_the_rest_of_torch():
    """Import what torch imports with its first optimiser: sympy and more, seconds of it.

    A Ctrl-C in the midst would leave half of it, and no later fit in the process would work; so it
    is kept until all is there.
    """
    name, before = "torch._dynamo", signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if name in sys.modules or not main or before is None:  # signals meet the main thread only
        importlib.import_module(name)
        return
    pressed = []
    signal.signal(signal.SIGINT, lambda *arguments: pressed.append(arguments))
    try:
        importlib.import_module(name)
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        signal.raise_signal(signal.SIGINT)


class _ThreadPin:
    """Sets torch's thread count while a computation of ours runs, then restores it.

    Torch has a count for each thread; a thread starts with the last one that was set in any. So
    one that starts amid computations of ours is given back the count from before them.

    In a forked child, torch's thread pool is gone and would be waited for without end:
    there everything runs on one thread.
    """

    def __init__(self):
        self._lock, self._mine, self._forked = threading.Lock(), threading.local(), False
        self._n_running, self._users, self._last = 0, None, None

    @contextmanager
    def __call__(self, n_threads):
        with self._lock:
            before = self._to_restore()
            self._n_running += 1
            self._mine.n_running = getattr(self._mine, "n_running", 0) + 1
            self._set(n_threads)
        try:
            yield
        finally:
            with self._lock:
                self._n_running -= 1
                self._mine.n_running -= 1
                self._set(before)

    def _to_restore(self):
        now = torch.get_num_threads()
        if self._n_running == 0:
            self._users = now
        elif not getattr(self._mine, "n_running", 0) and now == self._last:
            return self._users
        return now

    def start_anew_on_one_thread(self):
        """In a forked child, before anything of torch runs."""
        self.__init__()
        self._forked = True
        torch.set_num_threads(1)

    def _set(self, n_threads):
        n_threads = 1 if self._forked else n_threads
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)
            self._last = n_threads


_pinned_threads = _ThreadPin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pinned_threads.start_anew_on_one_thread)


@contextmanager
def computing(device, n_threads, *, training=False):
    """Run with our own threads, gradient mode and precision; the user's are restored."""
    with (
        _pinned_threads(n_threads),
        torch.inference_mode(not training),
        torch.set_grad_enabled(training),
        torch.autocast(device.type, enabled=False),
    ):
        yield


def chunk_size(n_values_per_row):
    """Rows of an inference chunk: depends on the row's size only."""
    fitting = max(1, _CHUNK_POINTS // n_values_per_row)
    return min(_MAX_CHUNK, 2 ** (fitting.bit_length() - 1))


def in_chunks(function, X, rows):
    """Apply `function` to chunks of exactly `rows` rows, the last one padded with zeros.

    Convolution and matrix kernels round by the shape of the batch; with one
    shape, the result of a row does not depend on the rows beside it.

    Parameters
    ----------
    function : callable
        From an array of `rows` rows to a list of arrays of as many rows.
    X : ndarray
    rows : int

    Returns
    -------
    list of ndarray
    """
    outs = None
    for start in range(0, len(X), rows):
        chunk = np.array(X[start : start + rows], order="C")  # torch wants one it may write to
        n = len(chunk)
        if n < rows:
            chunk = np.concatenate([chunk, np.zeros((rows - n, *X.shape[1:]), chunk.dtype)])
        results = function(chunk)
        if outs is None:
            outs = [np.empty((len(X), *result.shape[1:]), result.dtype) for result in results]
        for out, result in zip(outs, results, strict=True):
            out[start : start + n] = result[:n]
    return outs
