"""Estimators fitted to the same series, and their features, are computed once and kept in memory.

So a search does not train its referee, or read the real series through it, for every candidate.
"""

import threading
from collections import OrderedDict
from numbers import Integral

import joblib
import numpy as np
from sklearn.base import clone

from .state import TorchStateMixin

_N_BYTES = 2**27  # of all results that are kept


class Memory:
    """The latest results of computations, as long as they fit into a number of bytes.

    Parameters
    ----------
    n_bytes : int
        A result that is larger by itself is not kept.
    """

    def __init__(self, n_bytes):
        self.n_bytes = n_bytes
        self.n_used = 0
        self.lock = threading.Lock()
        self.results = OrderedDict()  # from the one used longest ago to the latest

    def get(self, key, compute, size):
        """The result of `key`: the one that is kept, or else that of ``compute()``.

        Parameters
        ----------
        key : hashable
            Stands for the computation and all of its data.
        compute : callable
        size : callable
            The number of bytes of a result.
        """
        with self.lock:
            if key in self.results:
                self.results.move_to_end(key)
                return self.results[key][0]
        result = compute()  # not under the lock: other threads need not wait
        with self.lock:
            if key not in self.results:
                self.results[key] = result, size(result)
                self.n_used += size(result)
            while self.n_used > self.n_bytes:
                _, (_, n_freed) = self.results.popitem(last=False)
                self.n_used -= n_freed
        return result


MEMORY = Memory(_N_BYTES)


def fitted_once(estimator, *data):
    """A clone of an estimator, fitted to data; the one from last time where it would be the same.

    That is known of estimators of this library whose `random_state` is a number.
    """
    seed = getattr(estimator, "random_state", None)
    if not (isinstance(estimator, TorchStateMixin) and isinstance(seed, Integral)):
        return clone(estimator).fit(*data)
    key = joblib.hash(("fit", estimator, data))
    return MEMORY.get(key, lambda: clone(estimator).fit(*data), _network_bytes)


def transformed_once(estimator, X):
    """The features that a fitted estimator gives of series, read-only; of other libraries, anew."""
    if not isinstance(estimator, TorchStateMixin):
        return estimator.transform(X)
    key = joblib.hash(("transform", estimator, X))
    return MEMORY.get(key, lambda: _read_only(estimator.transform(X)), _array_bytes)


def _network_bytes(estimator):
    return sum(value.nbytes for value in estimator.module_.state_dict().values())


def _array_bytes(features):
    # Outputs of another kind, such as DataFrames, are as large as their values.
    return np.asarray(features).nbytes


def _read_only(features):
    if isinstance(features, np.ndarray):
        features.setflags(write=False)
    return features
