"""What surrounds a computation by torch: number of threads, gradient mode, precision."""

import math
import os
import threading
from contextlib import contextmanager

import joblib
import torch

# Parts of what torch says, as a RuntimeError or a kind of it.
_OUT_OF_MEMORY = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "could not create a primitive",
)


def allowed_threads(n_threads):
    """How many of the CPU threads that a user asked for a computation may use now.

    Parameters
    ----------
    n_threads : int or None
        None asks for one.

    Returns
    -------
    n_threads : int
        At most the user's `torch.get_num_threads()`, `OMP_NUM_THREADS` and the number of CPUs.
    """
    return _pin().allowed(1 if n_threads is None else int(n_threads))


@contextmanager
def computing(device, n_threads, *, training=False):
    """Run with our own number of threads, gradient mode and precision, then restore the user's.

    Of `n_threads`, only those are used that are allowed here and now: an estimator may have been
    fitted on a larger machine or outside of a worker.
    """
    # A caller may be inside `torch.no_grad()` or an autocast of their own.
    with (
        _pin()(n_threads),
        torch.inference_mode(not training),
        torch.set_grad_enabled(training),
        torch.autocast(device.type, enabled=False),
        _out_of_memory_told(training),
    ):
        yield


@contextmanager
def _out_of_memory_told(training):
    """Raise a MemoryError that says what to do where torch lacks memory."""
    try:
        yield
    except RuntimeError as error:
        if not any(words in str(error) for words in _OUT_OF_MEMORY):
            raise
        advice = "a smaller network, such as a smaller width, needs less"
        if training:
            advice = f"a smaller batch_size, or {advice}"
        told = str(error).strip().split("\n")[0]
        raise MemoryError(f"There is not enough memory: {advice}. Torch said: {told}") from error


class _ThreadPin:
    """Sets torch's number of threads while computations of ours run, then restores it.

    Torch keeps a number for each Python thread, and a new one starts with the number that was set
    last in any of them. So a thread that starts amid our computations is given the user's number,
    from before them. That is also the most that any computation uses, nested ones included. (A
    limit by threadpoolctl does not reach torch's matrix products: after `torch.set_num_threads`,
    MKL follows a number of its own.)
    """

    def __init__(self, most=math.inf):
        self.most = most
        self.lock = threading.Lock()
        self.this_thread = _ThreadState()
        self.n_running = 0
        self.users_number = None
        self.last_set = None

    @contextmanager
    def __call__(self, n_threads):
        n_threads = self._allowed_by_process(n_threads)
        with self.lock:
            before = torch.get_num_threads()
            if self.this_thread.n_running == 0:
                before = self.this_thread.users_number = self._users_number()
            if self.n_running == 0:
                self.users_number = before
            self.n_running += 1
            self.this_thread.n_running += 1
            self._set(min(n_threads, self.this_thread.users_number))
        try:
            yield
        finally:
            with self.lock:
                self.n_running -= 1
                self.this_thread.n_running -= 1
                self._set(before)

    def allowed(self, n_threads):
        """The number that a computation started now is held to if it asks for `n_threads`."""
        n_threads = self._allowed_by_process(n_threads)
        with self.lock:
            return min(n_threads, self._users_number())

    def _allowed_by_process(self, n_threads):
        """At most what the process is limited to, read anew, as users can change it."""
        if n_threads == 1:  # the default need not wait for joblib, which reads files
            return 1
        return min(n_threads, self.most, _openmp_threads(), joblib.cpu_count())

    def _users_number(self):
        """Torch's number for this thread, as it was before computations of ours."""
        if self.this_thread.n_running > 0:
            return self.this_thread.users_number
        now = torch.get_num_threads()  # from now on the thread has a number of its own
        if self.n_running > 0 and not self.this_thread.is_known and now == self.last_set:
            now = self.users_number
            self._set(now)
        self.this_thread.is_known = True
        return now

    def _set(self, n_threads):
        if torch.get_num_threads() != n_threads:
            torch.set_num_threads(n_threads)
            self.last_set = n_threads


class _ThreadState(threading.local):
    """What a pin knows of a Python thread: its number of torch's threads, nested computations."""

    is_known = False  # whether torch's number is the thread's own, not one that it started with
    n_running = 0
    users_number = None


def _openmp_threads():
    """The number in `OMP_NUM_THREADS`, which joblib sets for its workers; infinite without one.

    Of a list, which has a number for each level of nested parallel regions, it is the first.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else math.inf


_pins = {os.getpid(): _ThreadPin()}


def _pin():
    """The pin of this process.

    A forked child inherits the parent's pin, whose lock another thread may have held, and torch's
    pool of threads, which did not survive the fork and would be waited for without end. So it makes
    a pin of its own at its first computation, which allows one thread.
    """
    process = os.getpid()
    if process not in _pins:
        _pins.setdefault(process, _ThreadPin(most=1))  # two threads may arrive here at once
    return _pins[process]
