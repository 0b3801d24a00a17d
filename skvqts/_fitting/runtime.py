"""What surrounds a computation by torch: number of threads, gradient mode, precision."""

import os
import threading
from contextlib import contextmanager

import torch

_SMALL_WORK = 2**22  # time points seen in a training that need only one thread


def default_n_threads(n_points):
    """Threads for a training that sees `n_points` time points in all.

    Depends on the size of the work only, never on the process it runs in: small
    work is fastest on one thread and, being so everywhere, gives the same bits
    in the main process and in joblib's workers.
    """
    if n_points < _SMALL_WORK:
        return 1
    if hasattr(os, "sched_getaffinity"):
        return min(4, len(os.sched_getaffinity(0)))  # the cores that this process may run on
    return min(4, os.cpu_count() or 1)


@contextmanager
def computing(device, n_threads, *, training=False):
    """Run with our own number of threads, gradient mode and precision, then restore the user's."""
    # A caller may be inside `torch.no_grad()` or an autocast of their own.
    with (
        _pinned_threads(n_threads),
        torch.inference_mode(not training),
        torch.set_grad_enabled(training),
        torch.autocast(device.type, enabled=False),
    ):
        yield


class _ThreadPin:
    """Sets torch's number of threads while computations of ours run, then restores it.

    Torch keeps a number for each Python thread, and a new one starts with the number that was set
    last in any of them. So a thread that starts amid our computations is given the user's number,
    from before them. (A limit by threadpoolctl does not reach torch's matrix products: after
    `torch.set_num_threads`, MKL follows a number of its own.)
    """

    def __init__(self, most=None):
        self.most = most
        self.lock = threading.Lock()
        self.this_thread = threading.local()
        self.n_running = 0
        self.users_number = None
        self.last_set = None

    @contextmanager
    def __call__(self, n_threads):
        if self.most is not None:
            n_threads = min(n_threads, self.most)
        with self.lock:
            before = self._number_to_restore()
            self.n_running += 1
            self.this_thread.n_running = getattr(self.this_thread, "n_running", 0) + 1
            self._set(n_threads)
        try:
            yield
        finally:
            with self.lock:
                self.n_running -= 1
                self.this_thread.n_running -= 1
                self._set(before)

    def _number_to_restore(self):
        now = torch.get_num_threads()
        if self.n_running == 0:
            self.users_number = now
        elif not getattr(self.this_thread, "n_running", 0) and now == self.last_set:
            return self.users_number
        return now

    def _set(self, n_threads):
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)
            self.last_set = n_threads


_pins = {os.getpid(): _ThreadPin()}


def _pinned_threads(n_threads):
    """Hold torch to a number of threads, by the pin of this process.

    A forked child inherits the parent's pin, whose lock another thread may have held, and torch's
    pool of threads, which did not survive the fork and would be waited for without end. So it makes
    a pin of its own at its first computation, which allows one thread.
    """
    process = os.getpid()
    if process not in _pins:
        _pins.setdefault(process, _ThreadPin(most=1))  # two threads may arrive here at once
    return _pins[process](n_threads)
