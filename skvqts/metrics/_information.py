"""Entropies of discrete distributions (eqs. 1 to 4), in nats."""

import numpy as np
from scipy.special import entr, rel_entr

from ._validation import validate_joint, validate_probabilities


def entropy(probabilities):
    """Entropy of discrete distributions (eq. 1).

    Parameters
    ----------
    probabilities : array-like of shape (k,) or (n, k)
        Not negative; a distribution, or one a row.

    Returns
    -------
    float, or ndarray of shape (n,)
        In nats: from 0 to log k.

    Raises
    ------
    ValueError
        If a distribution has negative values or does not add up to 1.
    """
    return _unboxed(entr(validate_probabilities(probabilities)).sum(-1))


def perplexity(probabilities):
    """Exponential of the entropy: how many equally likely outcomes are as uncertain.

    Parameters
    ----------
    probabilities : array-like of shape (k,) or (n, k)

    Returns
    -------
    float, or ndarray of shape (n,)
        From 1 to k.

    Raises
    ------
    ValueError
        If a distribution has negative values or does not add up to 1.
    """
    return _unboxed(np.exp(entropy(probabilities)))


def kl_divergence(p, q):
    """Kullback-Leibler divergence of `q` from `p` (eq. 3).

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
    """
    p, q = _same_outcomes(p, q)
    return _unboxed(np.maximum(rel_entr(p, q).sum(-1), 0.0))


def cross_entropy(p, q):
    """Cross-entropy of `q` under `p`: entropy of `p` and their divergence (eq. 4).

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
    return _unboxed(entropy(p) + kl_divergence(p, q))


def mutual_information(joint):
    """Mutual information of two discrete variables: the divergence of independence.

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
    """
    p = validate_joint(joint)
    independent = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    return max(float(rel_entr(p, independent).sum()), 0.0)


def _same_outcomes(p, q):
    p, q = validate_probabilities(p, name="p"), validate_probabilities(q, name="q")
    if p.shape[-1] != q.shape[-1]:
        raise ValueError(
            f"p and q must have the same outcomes, got {p.shape[-1]} and {q.shape[-1]}."
        )
    if p.ndim == q.ndim == 2 and len(p) != len(q) and 1 not in (len(p), len(q)):
        raise ValueError(f"p and q must have as many rows, got {len(p)} and {len(q)}.")
    return p, q


def _unboxed(values):
    return float(values) if np.ndim(values) == 0 else values
