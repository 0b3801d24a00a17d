"""Progress of a fit: scikit-learn's callbacks where it has them, printed lines with `verbose`."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn older than 1.9

    class CallbackSupportMixin:
        """Stands in for scikit-learn's: no callbacks can be set."""

    def with_callbacks(method):
        """Stand in for scikit-learn's decorator: nothing to set up or tear down."""
        return method


class Progress:
    """Reports the epochs of one fit.

    Parameters
    ----------
    estimator : CallbackSupportMixin
    n_epochs : int
    X, y : array-like
        Handed on to callbacks.
    """

    def __init__(self, estimator, n_epochs, X, y):
        self.estimator, self.n_epochs, self.data = estimator, n_epochs, {"X": X, "y": y}
        self.every = max(1, n_epochs // (10 * estimator.verbose)) if estimator.verbose else 0
        self.context = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=n_epochs)

    def __enter__(self):
        if self.context is not None:
            self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return self

    def __exit__(self, *error):
        if self.context is not None and error[0] is None:
            self.context.call_on_fit_task_end(estimator=self.estimator, **self.data)

    def epoch(self, epoch, terms):
        """Report a finished epoch; True when a callback asks to stop."""
        if self.every and (epoch + 1) % self.every == 0:
            values = "  ".join(f"{name} {value:.4f}" for name, value in terms.items())
            print(f"[{type(self.estimator).__name__}] epoch {epoch + 1}/{self.n_epochs}  {values}")
        if self.context is None:
            return False
        task = self.context.subcontext(task_name="epoch")
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return task.call_on_fit_task_end(
            estimator=self.estimator, metadata={"losses": terms}, **self.data
        )
