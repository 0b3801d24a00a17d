"""Resampling of rows: extrapolation to infinite size, standard errors by halves and bootstrap."""

import numpy as np
from sklearn.utils import check_random_state


def extrapolated(score, samples, n_points, random_state):
    """Extrapolate a score to infinite sample size, by regression on the inverse size.

    Parameters
    ----------
    score : callable
        ``score(*samples)`` gives a float whose bias falls with the inverse of their size.
    samples : sequence of ndarray
        Every sample is reduced to the same share of its rows.
    n_points : int
        Number of shares, evenly spaced in their inverse from a half to all of the rows.
    random_state : int, RandomState instance or None

    Returns
    -------
    float
        The intercept of the regression line.
    """
    rng = check_random_state(random_state)
    shares = 1 / np.linspace(1, 2, n_points)
    values = []
    for share in shares:
        # at least two rows, as a covariance needs
        sizes = [max(2, round(share * len(sample))) for sample in samples]
        subsets = [
            sample[rng.permutation(len(sample))[:size]]
            for sample, size in zip(samples, sizes, strict=True)
        ]
        values.append(score(*subsets))
    _, intercept = np.polyfit(1 / shares, values, 1)
    return float(intercept)


def half_samples(score, real, generated, n_repeats, rng):
    """Evaluate a score at half the size: generated against real rows, and real against real.

    Over random halves without replacement the standard deviation of a score is its standard error
    at full size (delete-d jackknife [1]_), or more where both samples are of one distribution and
    scores like the Fréchet distance lie at their floor. A bootstrap would not do: rows drawn twice
    would be their own nearest neighbours.

    Parameters
    ----------
    score : callable
        ``score(real, generated)`` gives a float or an array.
    real, generated : ndarray
        At least as many real rows as generated ones.
    n_repeats : int
    rng : RandomState

    Returns
    -------
    at_half, real_at_half : ndarray of shape (n_repeats, ...)

    References
    ----------
    .. [1] Shao, Wu. "A general theory for jackknife variance estimation", 1989.
    """
    at_half = []
    real_at_half = []
    n_real = len(real) // 2
    n_generated = len(generated) // 2
    for _ in range(n_repeats):
        order = rng.permutation(len(real))
        reference = real[order[:n_real]]
        others = real[order[n_real : n_real + n_generated]]
        at_half.append(score(reference, generated[rng.permutation(len(generated))[:n_generated]]))
        real_at_half.append(score(reference, others))
    return np.array(at_half), np.array(real_at_half)


def bootstrap_error(score, rows, rng, n_repeats=200):
    """Standard error of ``score(rows)``, over resamples of the rows with replacement."""
    n = len(rows)
    values = [score(rows[rng.randint(n, size=n)]) for _ in range(n_repeats)]
    return float(np.std(values, ddof=1))
