"""Information of discrete distributions, in nats, and its exponential for classes: inception score.

The inception score of generated series is the exponential of the mutual information between a
series and its class, as a classifier sees it.
"""

import numpy as np
from scipy.special import entr, rel_entr

from .._resampling import extrapolated
from .._validation import validate_integer, validate_joint, validate_probabilities


def entropy(probabilities):
    """Entropy of discrete distributions [1]_.

    Parameters
    ----------
    probabilities : array-like of shape (k,) or (n, k)
        A distribution, or one in each row; not negative.

    Returns
    -------
    float, or ndarray of shape (n,)
        In nats: from 0 to log k.

    Raises
    ------
    ValueError
        If a distribution has negative values or does not add up to 1.

    References
    ----------
    .. [1] Shannon. "A mathematical theory of communication", 1948.
    """
    return _float_if_scalar(entr(validate_probabilities(probabilities)).sum(-1))


def perplexity(probabilities):
    """Exponential of the entropy: how many equally likely outcomes are as uncertain.

    Parameters
    ----------
    probabilities : array-like of shape (k,) or (n, k)
        A distribution, or one in each row; not negative.

    Returns
    -------
    float, or ndarray of shape (n,)
        From 1 to k.

    Raises
    ------
    ValueError
        If a distribution has negative values or does not add up to 1.
    """
    return _float_if_scalar(np.exp(entropy(probabilities)))


def kl_divergence(p, q):
    """Kullback-Leibler divergence of `q` from `p` [1]_.

    Parameters
    ----------
    p, q : array-like of shape (k,) or (n, k)
        Distributions over the same outcomes; shapes are broadcast.

    Returns
    -------
    float, or ndarray of shape (n,)
        In nats, not negative; infinite where `q` is 0 and `p` is not.

    Raises
    ------
    ValueError
        If a distribution has negative values or does not add up to 1, or widths differ.

    References
    ----------
    .. [1] Kullback, Leibler. "On information and sufficiency", 1951.
    """
    p = validate_probabilities(p, name="p")
    q = validate_probabilities(q, name="q")
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p and q must have the same outcomes, got {p.shape[-1]} and {q.shape[-1]}."
        )
    if p.ndim == q.ndim == 2 and len(p) != len(q) and 1 not in (len(p), len(q)):
        raise ValueError(f"p and q must have as many rows, got {len(p)} and {len(q)}.")
    # rounding can leave a sum of terms of either sign just below 0
    return _float_if_scalar(np.maximum(rel_entr(p, q).sum(-1), 0.0))


def cross_entropy(p, q):
    """Cross-entropy of `q` under `p`: the entropy of `p` plus the divergence of `q` from it.

    Parameters
    ----------
    p, q : array-like of shape (k,) or (n, k)
        Distributions over the same outcomes; shapes are broadcast.

    Returns
    -------
    float, or ndarray of shape (n,)
        In nats; infinite where `q` is 0 and `p` is not.

    Raises
    ------
    ValueError
        If a distribution has negative values or does not add up to 1, or widths differ.
    """
    return _float_if_scalar(entropy(p) + kl_divergence(p, q))


def mutual_information(joint):
    """Mutual information of two discrete variables [1]_.

    It is the Kullback-Leibler divergence of their product of marginals from their joint
    distribution.

    Parameters
    ----------
    joint : array-like of shape (k, m)
        Joint distribution; all values add up to 1. A table of counts, divided by its sum, will do.

    Returns
    -------
    float
        In nats: 0 for independent variables.

    Raises
    ------
    ValueError
        If `joint` is not 2-D, has negative values, or does not add up to 1.

    References
    ----------
    .. [1] Shannon. "A mathematical theory of communication", 1948.
    """
    p = validate_joint(joint)
    independent = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    return max(float(rel_entr(p, independent).sum()), 0.0)


def inception_score(probabilities, n_splits=1):
    """Inception score: how sure the classes are, and how many occur ([1]_, section 4).

    It is the exponential of the mutual information between a generated series and its class, by
    the probabilities of a classifier. As it sees no real series, compare it with their score.

    Parameters
    ----------
    probabilities : array-like of shape (n, k)
        Class probabilities of generated series, as of a classifier's ``predict_proba``.
    n_splits : int, default=1
        The score is the mean over that many parts of consecutive rows. With more than one the
        score of a small part is biased towards 1, and the order of rows matters; published scores
        often used 10.

    Returns
    -------
    float
        From 1 (all rows are the same) to k (always sure, and all classes equally frequent).

    Raises
    ------
    ValueError
        If a row has negative values or does not add up to 1, or there are more splits than rows.

    References
    ----------
    .. [1] Salimans et al. "Improved techniques for training GANs", 2016.
    """
    p = validate_probabilities(probabilities, ndim=2)
    validate_integer("n_splits", n_splits, 1, len(p))
    return float(np.mean([inception_score_of_rows(part) for part in np.array_split(p, n_splits)]))


def inception_score_of_rows(p):
    """`inception_score` of a valid float64 array ``(n, k)`` in one split."""
    mutual_information = rel_entr(p, p.mean(0)).sum(1).mean()  # of the row and its class
    return float(np.clip(np.exp(mutual_information), 1.0, p.shape[1]))


def inception_score_extrapolated(probabilities, *, n_points=15, random_state=None):
    """`inception_score` at infinitely many series [1]_.

    The score of random subsets is regressed on the inverse of their size, which is what its bias
    falls with, and extrapolated to 0.

    Parameters
    ----------
    probabilities : array-like of shape (n, k)
        Class probabilities of generated series.
    n_points : int, default=15
        At least 2 sizes of subsets, from half of the series to all.
    random_state : int, RandomState instance or None, default=None
        Seed of the subsets.

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
    validate_integer("n_points", n_points, 2, 1000)
    p = validate_probabilities(probabilities, ndim=2)
    value = extrapolated(inception_score_of_rows, [p], n_points, random_state)
    return float(np.clip(value, 1.0, p.shape[1]))


def _float_if_scalar(values):
    return float(values) if np.ndim(values) == 0 else values
