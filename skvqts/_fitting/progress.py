"""Progress: how far a computation is and how long it will take.

What is told goes to the logger "skvqts", or is printed where `verbose` is above 0.
"""

import logging
import time

_LONG = 60.0  # seconds; what will take longer says so once its first steps have shown it
_PAUSE = 30.0  # seconds after which a long computation says again how far it is
_SAMPLE = 1.0  # seconds of steps that an estimate rests on

logger = logging.getLogger("skvqts")


def tell(message, verbose=0, level=logging.INFO):
    """Print a line if `verbose` is above 0, or else log it."""
    if verbose:
        print(message, flush=True)
    else:
        logger.log(level, message)


class Pace:
    """Says how long a computation of many equal steps will take, and then how far it is.

    Its first steps tell how long it will take. If that is more than a minute it is said at once, at
    level WARNING, which Python shows even where nobody has set up logging. From then on there is a
    word at least every half minute, at level INFO.

    Parameters
    ----------
    name : str
        What is computed.
    verbose : int
        Above 0 all of it is printed instead.
    """

    def __init__(self, name, verbose=0):
        self.name = name
        self.verbose = verbose
        self.first_step = None  # its time and number: a training may go on where one was killed
        self.last_word = None
        self.seconds_left = None

    def step(self, n_taken, n_steps):
        """Note that so many steps of so many are done."""
        now = time.monotonic()
        if self.first_step is None:  # it is slower, and does not count
            self.first_step = now, n_taken
            return
        began, n_before = self.first_step
        seconds = now - began
        self.seconds_left = seconds / (n_taken - n_before) * (n_steps - n_taken)
        left = duration(self.seconds_left)
        if self.last_word is None and seconds >= _SAMPLE:
            self.last_word = now
            if self.seconds_left > _LONG:
                message = f"[{self.name}] {n_steps} steps will take about {left}"
                tell(message, self.verbose, logging.WARNING)
        elif self.last_word is not None and now - self.last_word >= _PAUSE:
            self.last_word = now
            tell(f"[{self.name}] step {n_taken}/{n_steps}, about {left} left", self.verbose)


class TrainingPace(Pace):
    """The pace of a training that belongs to no estimator, so that no callback follows it."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def epoch(self, epoch, terms):
        """Never stop early."""
        return False


def duration(seconds):
    """A rounded duration in words."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    if seconds < 100 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


class Progress:
    """Reports a training: how long it takes, its epochs, and both to scikit-learn's callbacks.

    Parameters
    ----------
    estimator : estimator
        With a parameter `verbose`.
    plan : TrainingPlan
    X, y : array-like
        The training series and labels, which are handed on to callbacks.
    """

    def __init__(self, estimator, plan, X, y=None):
        self.estimator = estimator
        self.name = type(estimator).__name__
        self.n_epochs = plan.n_epochs
        self.pace = Pace(self.name, estimator.verbose)
        self.data = {"X": X, "y": y}
        self.epochs_per_line = 0
        if estimator.verbose:
            self.epochs_per_line = max(1, plan.n_epochs // (10 * estimator.verbose))
        self.context = None
        if hasattr(estimator, "_init_callback_context"):  # scikit-learn 1.9 or later
            self.context = estimator._init_callback_context(max_subtasks=plan.n_epochs)

    def __enter__(self):
        if self.context is not None:
            self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return self

    def __exit__(self, error, *_):
        if self.context is not None and error is None:
            self.context.call_on_fit_task_end(estimator=self.estimator, **self.data)

    def step(self, n_taken, n_steps):
        """Note that so many steps of the optimiser are done of all."""
        self.pace.step(n_taken, n_steps)

    def epoch(self, epoch, terms):
        """Report a finished epoch; True when a callback asks to stop."""
        if self.epochs_per_line and (epoch + 1) % self.epochs_per_line == 0:
            values = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
            tell(f"[{self.name}] epoch {epoch + 1}/{self.n_epochs}  {values}", verbose=1)
        if self.context is None:
            return False
        task = self.context.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return task.call_on_fit_task_end(
            estimator=self.estimator,
            metadata={"losses": terms, "seconds_left": self.pace.seconds_left},
            **self.data,
        )
