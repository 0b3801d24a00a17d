"""Subsets of samples: extrapolation to infinite size, standard errors."""

import numpy as np
from sklearn.utils import check_random_state


def extrapolated(score, samples, n_points, random_state):
    """Value of a score at infinite sample size, by regression on the inverse size.

    Parameters
    ----------
    score : callable
        ``score(*samples)`` gives a float whose bias falls with the inverse of their size.
    samples : sequence of ndarray
        All are reduced to the same share of their rows.
    n_points : int
        Shares of rows, from a half to all.
    random_state : int, RandomState instance or None
    """
    rng = check_random_state(random_state)
    shares = 1 / np.linspace(1, 2, n_points)
    values = [score(*(_subset(sample, share, rng) for sample in samples)) for share in shares]
    _, intercept = np.polyfit(1 / shares, values, 1)
    return float(intercept)


def _subset(sample, share, rng):
    return sample[rng.permutation(len(sample))[: max(2, round(share * len(sample)))]]


def half_samples(score, real, gen, n_repeats, rng):
    """A score at half the size: of generated against real rows, and of real against real.

    Over random halves without replacement the standard deviation of a score is its standard error
    at full size, or more where both samples are of one law and scores like the Fréchet distance
    lie at their floor. Drawn with replacement, rows would be their own nearest neighbours.

    Parameters
    ----------
    score : callable
        ``score(real, gen)`` gives a float or an array.
    real, gen : ndarray
        At least as many real rows as generated ones.
    n_repeats : int
    rng : RandomState

    Returns
    -------
    found, floor : ndarray of shape (n_repeats, ...)
    """
    found, floor = [], []
    n, m = len(real) // 2, len(gen) // 2
    for _ in range(n_repeats):
        order = rng.permutation(len(real))
        found.append(score(real[order[:n]], gen[rng.permutation(len(gen))[:m]]))
        floor.append(score(real[order[:n]], real[order[n : n + m]]))
    return np.array(found), np.array(floor)


def bootstrap_error(score, rows, rng, n_repeats=200):
    """Standard error of a score of rows, over samples with replacement."""
    n = len(rows)
    return float(np.std([score(rows[rng.randint(n, size=n)]) for _ in range(n_repeats)], ddof=1))
