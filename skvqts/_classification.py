"""What classifiers of series share: labels, predictions, hold-out by class."""

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ._base import SeriesEstimator, Task, held_out_by_class
from ._fitting.reading import Reader
from ._fitting.validation import validate_labels, validate_series
from ._nn.classifier import cross_entropy

_LEAST_HELD_OUT = 10


class SeriesClassifier(ClassifierMixin, SeriesEstimator):
    """Base of classifiers whose network has ``represent(x)`` and a ``head`` that gives logits."""

    def fit(self, X, y):
        """Learn from labelled series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,)
            Their classes, of any kind that can be sorted.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, or `device` is not present.
        TypeError
            If `X` is sparse or not numeric.
        DivergedError
            If the loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; after the first epoch of training the estimator is fitted all the same.
        """
        return super().fit(X, y)

    def predict(self, X):
        """The most probable class of each series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        ndarray of shape (n,)
        """
        best = self._logits(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        float64 ndarray of shape (n, n_classes)
            In the order of `classes_`; rows add up to 1.
        """
        return softmax(self._logits(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        float64 ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        return log_softmax(self._logits(X), axis=1)

    def decision_function(self, X):
        """Logits of the classes, or of two classes the log-odds of the second.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        float64 ndarray of shape (n, n_classes), or (n,) for two classes
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _logits(self, X):
        return self._read(X, "logits").astype(np.float64)

    def _read(self, X, output):
        check_is_fitted(self)
        return self._reader(_ClassifierReader).read(validate_series(self, X), output)[0]

    def _targets(self, y, series, warm):
        self.classes_, indices = validate_labels(self, y, len(series))
        return (indices,)

    def _n_held_out(self, n_series):
        """None of tiny sets, where the loss on so few would say little."""
        n = super()._n_held_out(n_series)
        return n if n >= max(_LEAST_HELD_OUT, len(self.classes_)) else 0

    def _held_out_first(self, targets, n_series, generator):
        """Of every class a like share; classes of a single series last."""
        return held_out_by_class(targets[0], generator)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


class ClassificationTask(Task):
    """Supervised risk (eq. 11)."""

    def losses(self, x, classes):
        return cross_entropy(self.module(x), classes)


class _ClassifierReader(Reader):
    """Logits of series, and the features that the last layer sees."""

    def _encoded(self, x):
        return self.network.represent(x)

    @property
    def outputs(self):
        return {"logits": self.network.head, "features": lambda features: features}
