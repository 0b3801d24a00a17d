"""The memorization score: whether generated series are copies of training series."""

import numpy as np
from sklearn.neighbors import NearestNeighbors

from ._validation import validate_two_samples


def memorization_score(X_gen, X_train, X_test):
    """Distance of generated series to the training series, relative to held-out real series.

    The mean distance of a generated series to its nearest training series, divided by that of a
    held-out real one: about 1 for series as new as held-out ones, near 0 for copies, above 1 for
    series that lie far from all real ones. A share of copies lowers it by that share. The same
    distances, compared by their ranks, are the test for copies of [1]_.

    Parameters
    ----------
    X_gen, X_train, X_test : array-like of shape (n, t), (n, c, t) or (n, d)
        Series, compared by Euclidean distance, or features of them.

    Returns
    -------
    float
        Not negative.

    Raises
    ------
    ValueError
        If a sample is empty or not finite, shapes differ, or all held-out series are copies
        of training series.

    References
    ----------
    .. [1] Meehan, Chaudhuri, Dasgupta. "A non-parametric test to detect data-copying in generative
       models", 2020.
    """
    train, gen = validate_two_samples(X_train, X_gen, min_samples=1, names=("X_train", "X_gen"))
    train, test = validate_two_samples(X_train, X_test, min_samples=1, names=("X_train", "X_test"))
    test_distances = nearest_distances(train, test)
    if not test_distances.any():
        raise ValueError(
            "All held-out series are copies of training series: there is nothing to compare with."
        )
    return distance_ratio(test_distances, nearest_distances(train, gen))


def capped_memorization_score(X_gen, X_train, X_test):
    """`memorization_score`, at most 1: series farther away than real ones are no better."""
    return min(memorization_score(X_gen, X_train, X_test), 1.0)


def distance_ratio(real_distances, gen_distances):
    """Mean nearest distance of generated series, relative to that of held-out real series."""
    return float(gen_distances.mean() / real_distances.mean())


def nearest_distances(train, rows):
    """Euclidean distance of each row ``(n, d)`` to its nearest training row ``(m, d)``."""
    return _neighbor_distances(train, rows, n_neighbors=1)


def leave_one_out_distances(train, rows):
    """`nearest_distances` of rows that are training rows, each without itself."""
    # the nearest of the two is the row itself, or a copy of it
    return _neighbor_distances(train, rows, n_neighbors=2)


def _neighbor_distances(train, rows, n_neighbors):
    """Distance of each row to the farthest of its nearest training rows."""
    centre = train.mean(0)  # far from the origin distances would be lost in rounding
    train = train - centre
    rows = rows - centre
    index = NearestNeighbors(n_neighbors=n_neighbors).fit(train)
    neighbors = train[index.kneighbors(rows, return_distance=False)]
    # computed anew, as scikit-learn's shortcut for distances does not give exactly 0 for copies
    return np.linalg.norm(rows[:, None] - neighbors, axis=2).max(1)
