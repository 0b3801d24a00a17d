"""A generator that needs no training, for scores to judge."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state


class ResamplingGenerator(BaseEstimator):
    """Draws training series again.

    Parameters
    ----------
    noise : float
        Standard deviation of noise added, in units of the training set's.
    n_dropped : int
        The last classes are never drawn; series of the first stand in for them.
    n_copies : int or None
        Only so many series are ever drawn.
    """

    def __init__(self, noise=0.0, n_dropped=0, n_copies=None):
        self.noise = noise
        self.n_dropped = n_dropped
        self.n_copies = n_copies

    def fit(self, X, y=None):
        self.X_fit_, self.y_fit_ = np.asarray(X), y
        if y is not None:
            self.y_fit_ = np.asarray(y)
            self.classes_, self.class_counts_ = np.unique(y, return_counts=True)
        return self

    def sample(self, n_samples, *, y=None, random_state=None):
        rng = check_random_state(random_state)
        if y is None:
            picks = rng.choice(self._pool(None), n_samples)
        else:
            picks = np.array([rng.choice(self._pool(label)) for label in np.asarray(y)])
        noise = (
            self.noise * self.X_fit_.std() * rng.normal(size=(len(picks), *self.X_fit_.shape[1:]))
        )
        return self.X_fit_[picks] + noise

    def _pool(self, label):
        """Indices of training series that are drawn for a class, or for none in particular."""
        pool = np.arange(len(self.X_fit_))
        if self.n_dropped:
            kept = self.classes_[: -self.n_dropped]
            pool = pool[np.isin(self.y_fit_, kept)]
            label = kept[0] if label is not None and label not in kept else label
        if self.n_copies is not None:
            pool = np.random.RandomState(0).permutation(pool)[: self.n_copies]
        mine = pool if label is None else pool[self.y_fit_[pool] == label]
        return mine if len(mine) else pool
