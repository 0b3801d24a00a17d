"""The inception score of generated series (eq. 22)."""

import numpy as np
from scipy.special import rel_entr

from ._resampling import extrapolated
from ._validation import validate_probabilities, validate_whole


def inception_score(probabilities, n_splits=1):
    """Inception score [1]_: how sure the classes are, and how many occur (eq. 22).

    It sees generated series only, through the eyes of a classifier: compare it with the score of
    real series.

    Parameters
    ----------
    probabilities : array-like of shape (n, k)
        Class probabilities of generated series, as of a classifier's ``predict_proba``.
    n_splits : int, default=1
        The mean over so many parts of consecutive rows. With more than one the score of a small
        part is biased towards 1, and the order of rows matters; published scores often used 10.

    Returns
    -------
    float
        From 1 (all alike, or never sure) to k (always sure, all classes as frequent).

    Raises
    ------
    ValueError
        If a row has negative values or does not add up to 1, or there are more splits than rows.

    References
    ----------
    .. [1] Salimans et al. "Improved techniques for training GANs", 2016.
    """
    p = validate_probabilities(probabilities, ndim=2)
    validate_whole("n_splits", n_splits, 1, len(p))
    return float(np.mean([score_of_rows(part) for part in np.array_split(p, n_splits)]))


def score_of_rows(p):
    """`inception_score` of a valid float64 array in one split."""
    divergence = rel_entr(p, p.mean(0)).sum(1).mean()
    return float(np.clip(np.exp(divergence), 1.0, p.shape[1]))


def inception_score_extrapolated(probabilities, *, n_points=15, random_state=None):
    """`inception_score` at infinitely many series [1]_.

    The score of random subsets is regressed on the inverse of their size, which is what its bias
    falls with, and extrapolated to 0.

    Parameters
    ----------
    probabilities : array-like of shape (n, k)
    n_points : int, default=15
        At least 2 sizes of subsets, from half of the series to all.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    float
        From 1 to k.

    Raises
    ------
    ValueError
        If a row has negative values or does not add up to 1.

    References
    ----------
    .. [1] Chong, Forsyth. "Effectively unbiased FID and Inception Score and where to find them",
       2020.
    """
    validate_whole("n_points", n_points, 2, 1000)
    p = validate_probabilities(probabilities, ndim=2)
    value = extrapolated(score_of_rows, [p], n_points, random_state)
    return float(np.clip(value, 1.0, p.shape[1]))
