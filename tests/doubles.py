"""A generator with known faults that needs no training, for scores to judge."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state


class ResamplingGenerator(BaseEstimator):
    """Draws training series again.

    It samples from copies of its own, so that it still does after `X_fit_` and `y_fit_` are gone,
    as they are in a generator that was loaded from a file.

    Parameters
    ----------
    noise : float
        Standard deviation of noise added, in units of the training set's.
    n_dropped : int
        The last classes are never drawn; series of the first stand in for them.
    n_copies : int or None
        Number of different series that are ever drawn; None: all.
    """

    def __init__(self, noise=0.0, n_dropped=0, n_copies=None):
        self.noise = noise
        self.n_dropped = n_dropped
        self.n_copies = n_copies

    def fit(self, X, y=None):
        self.X_fit_ = np.asarray(X)
        self.y_fit_ = None if y is None else np.asarray(y)
        if y is not None:
            self.classes_, self.class_counts_ = np.unique(y, return_counts=True)
        self._X = self.X_fit_.copy()
        self._y = None if y is None else self.y_fit_.copy()
        return self

    def sample(self, n_samples, *, y=None, random_state=None):
        rng = check_random_state(random_state)
        if y is None:
            indices = rng.choice(self._pool(None), n_samples)
        else:
            indices = np.array([rng.choice(self._pool(label)) for label in np.asarray(y)])
        X = self._X[indices]
        return X + self.noise * self._X.std() * rng.normal(size=X.shape)

    def _pool(self, label):
        """Indices of training series that are drawn for a class, or for none in particular."""
        pool = np.arange(len(self._X))
        if self.n_dropped:
            kept = self.classes_[: -self.n_dropped]
            pool = pool[np.isin(self._y, kept)]
            label = kept[0] if label is not None and label not in kept else label
        if self.n_copies is not None:
            pool = np.random.RandomState(0).permutation(pool)[: self.n_copies]
        of_label = pool if label is None else pool[self._y[pool] == label]
        return of_label if len(of_label) else pool
