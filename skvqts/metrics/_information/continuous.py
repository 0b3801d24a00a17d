"""Entropy, divergence and mutual information of continuous variables, in nats.

Of normal distributions they have closed forms. Of samples of any distribution they are estimated
from distances to nearest neighbours, which show how dense the samples are.
"""

import math

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, gammaln

from .._validation import (
    validate_gaussian,
    validate_integer,
    validate_sample,
    validate_two_samples,
)

# One that nobody takes: noise of the seed that data were made with would be those data again.
_SEED_OF_TIES = 0x9E3779B97F4A7C15


def gaussian_entropy(covariance):
    """Differential entropy of a normal distribution ([1]_, theorem 8.4.1).

    Parameters
    ----------
    covariance : array-like of shape (d, d)
        Symmetric, without negative eigenvalues.

    Returns
    -------
    float
        In nats: ``log det(2 pi e covariance) / 2``, of any sign; minus infinity if the covariance
        is singular.

    Raises
    ------
    ValueError
        If `covariance` is not such a matrix.

    References
    ----------
    .. [1] Cover, Thomas. "Elements of information theory", 2006.
    """
    size = np.atleast_2d(covariance).shape[0]
    validate_gaussian(np.zeros(size), covariance, "covariance")
    return float((size * math.log(2 * math.pi * math.e) + _log_determinant(covariance)) / 2)


def gaussian_kl_divergence(mean_p, covariance_p, mean_q, covariance_q):
    """Kullback-Leibler divergence of a normal distribution q from another one p ([1]_, section 9).

    Parameters
    ----------
    mean_p, mean_q : array-like of shape (d,)
    covariance_p, covariance_q : array-like of shape (d, d)
        Symmetric, without negative eigenvalues; that of q not singular.

    Returns
    -------
    float
        In nats, not negative; infinite if that of p is singular.

    Raises
    ------
    ValueError
        If a covariance is not such a matrix, or shapes differ.

    References
    ----------
    .. [1] Kullback. "Information theory and statistics", 1959.
    """
    mean_p, _ = validate_gaussian(mean_p, covariance_p, "covariance_p")
    mean_q, _ = validate_gaussian(mean_q, covariance_q, "covariance_q")
    if len(mean_p) != len(mean_q):
        raise ValueError(f"p and q must have one dimension, got {len(mean_p)} and {len(mean_q)}.")
    determinant_p, determinant_q = _log_determinant(covariance_p), _log_determinant(covariance_q)
    if determinant_q == -math.inf:
        raise ValueError("covariance_q must not be singular: p is nowhere dense under such a q.")
    # In units of q, so that no dimension is lost beside a larger one.
    unit = np.sqrt(np.diag(covariance_q))
    roots = []
    for covariance in (covariance_p, covariance_q):
        scaled = np.asarray(covariance, dtype=np.float64) / unit / unit[:, None]
        roots.append(validate_gaussian(mean_p, scaled, "covariance")[1])
    # In the coordinates in which q is standard normal.
    shift = (mean_p - mean_q) / unit
    whitened = np.linalg.lstsq(roots[1].T, np.column_stack([roots[0].T, shift]))[0]
    squares = np.square(whitened).sum() - len(mean_p)
    return float(max((squares - determinant_p + determinant_q) / 2, 0.0))


def differential_entropy(X, *, n_neighbors=3):
    """Differential entropy of what a sample is drawn from, by nearest neighbours [1]_ [2]_.

    ``digamma(n) - digamma(k)`` plus the mean logarithm of the volumes of the balls that reach from
    each row to its k-th neighbour (equation 20 of [2]_, with Euclidean balls).

    Parameters
    ----------
    X : array-like of shape (n, d)
    n_neighbors : int, default=3
        The k above, less than n. Fewer have less bias, more have less variance.

    Returns
    -------
    float
        In nats, of any sign; minus infinity if a row occurs more than k times. Its bias for 1,000
        rows of a standard normal distribution is below 0.06 in 1 to 3 dimensions, 0.1 in 5 and
        0.2 in 10: balls in many dimensions reach to where the density is another.

    Raises
    ------
    ValueError
        If `X` is not finite, or `n_neighbors` not in [1, n).

    References
    ----------
    .. [1] Kozachenko, Leonenko. "Sample estimate of the entropy of a random vector", 1987.
    .. [2] Kraskov, Stogbauer, Grassberger. "Estimating mutual information", 2004.
    """
    X = validate_sample(X, "X")
    validate_integer("n_neighbors", n_neighbors, 1, len(X) - 1)
    n_rows, n_dims = X.shape
    log_unit_ball = n_dims / 2 * math.log(math.pi) - gammaln(n_dims / 2 + 1)
    log_volumes = log_unit_ball + n_dims * _log(_neighbour_distances(X, n_neighbors))
    return float(digamma(n_rows) - digamma(n_neighbors) + log_volumes.mean())


def kl_divergence_of_samples(X, Y, *, n_neighbors=3):
    """Kullback-Leibler divergence of what `Y` is drawn from, from what `X` is ([1]_, equation 5).

    ``log(m / (n - 1))`` plus d times the mean logarithm of how much farther the k-th neighbour of a
    row of `X` is among the rows of `Y` than among the others of `X`.

    Parameters
    ----------
    X : array-like of shape (n, d)
    Y : array-like of shape (m, d)
    n_neighbors : int, default=3
        The k above, less than n, and at most m.

    Returns
    -------
    float
        In nats; on average about 0, of either sign, for samples of one distribution, and too small
        for distributions far apart in many dimensions. For 1,000 rows each of normal distributions
        whose means are one standard deviation apart, where 0.5 is right, the bias is below 0.07 in
        1 to 3 dimensions, 0.12 in 5 and 0.16 in 10. Infinite where a row of `X` repeats more
        than k times, or NaN if one of them occurs as often in `Y`.

    Raises
    ------
    ValueError
        If a sample is not finite, widths differ, or `n_neighbors` is not such a number.

    References
    ----------
    .. [1] Wang, Kulkarni, Verdu. "Divergence estimation for multidimensional densities via
       k-nearest-neighbor distances", 2009.
    """
    X, Y = validate_two_samples(X, Y, names=("X", "Y"))
    validate_integer("n_neighbors", n_neighbors, 1, min(len(X) - 1, len(Y)))
    centre = X.mean(0)  # far from the origin distances would be lost in rounding
    within = _neighbour_distances(X, n_neighbors)
    across = cKDTree(Y - centre).query(X - centre, [n_neighbors])[0][:, 0]
    with np.errstate(invalid="ignore"):
        ratios = X.shape[1] * (_log(across) - _log(within)).mean()
    return float(ratios + math.log(len(Y) / (len(X) - 1)))


def mutual_information_of_samples(X, Y, *, n_neighbors=3):
    """Mutual information of two continuous variables, by nearest neighbours ([1]_, equation 8).

    Parameters
    ----------
    X : array-like of shape (n, d)
    Y : array-like of shape (n, e)
        Row by row what was observed together with `X`. Both should have one scale, as distances in
        both are compared; standardise them if not.
    n_neighbors : int, default=3
        Less than n.

    Returns
    -------
    float
        In nats; on average about 0, of either sign, for independent variables. Its bias for 1,000
        pairs of normal variables is below 0.03 up to a correlation of 0.9. Where values repeat, as
        rounded ones do, all get noise far below their precision, always the same; rounding to a
        tenth of a standard deviation then moves the estimate by less than 0.1.

    Raises
    ------
    ValueError
        If a sample is not finite, they have different numbers of rows, or `n_neighbors` is not in
        [1, n).

    References
    ----------
    .. [1] Kraskov, Stogbauer, Grassberger. "Estimating mutual information", 2004.
    """
    X, Y = validate_sample(X, "X"), validate_sample(Y, "Y")
    if len(X) != len(Y):
        raise ValueError(f"X and Y must have as many rows, got {len(X)} and {len(Y)}.")
    validate_integer("n_neighbors", n_neighbors, 1, len(X) - 1)
    X, Y = _without_ties(X - X.mean(0), Y - Y.mean(0))
    both = np.hstack([X, Y])
    distances = cKDTree(both).query(both, [n_neighbors + 1], p=np.inf)[0][:, 0]
    closer = np.nextafter(distances, 0)  # neighbours are counted that are closer than the k-th
    of_x, of_y = (
        cKDTree(part).query_ball_point(part, closer, p=np.inf, return_length=True)
        for part in (X, Y)
    )
    # A row counts itself: these are the numbers of its neighbours plus 1.
    marginals = digamma(of_x) + digamma(of_y)
    return float(digamma(n_neighbors) + digamma(len(X)) - marginals.mean())


def _without_ties(*samples):
    """Samples ``(n, d)``, with noise of 1e-10 of their scale in a column in which values repeat.

    Neighbours at equal distances would be counted as if they were nearer or farther.
    """
    rng = np.random.default_rng(_SEED_OF_TIES)
    told_apart = []
    for sample in samples:
        repeats = [len(np.unique(column)) < len(column) for column in sample.T]
        scale = 1e-10 * np.abs(sample).mean(0) * repeats
        told_apart.append(sample + scale * rng.normal(size=sample.shape))
    return told_apart


def _neighbour_distances(X, n_neighbors):
    """Distance ``(n,)`` of each row to its k-th nearest other row."""
    X = X - X.mean(0)
    return cKDTree(X).query(X, [n_neighbors + 1])[0][:, 0]  # the nearest row is the row itself


def _log_determinant(covariance):
    """Logarithm of the determinant; minus infinity where it is singular up to rounding."""
    covariance = np.asarray(covariance, dtype=np.float64)
    deviations = np.sqrt(np.diag(covariance))
    if (deviations == 0).any():
        return -math.inf
    # Of the correlations, as rounding knows nothing of the units of a dimension.
    values = np.linalg.eigvalsh(covariance / deviations / deviations[:, None])
    if values[0] <= values[-1] * 10 * len(values) * np.finfo(np.float64).eps:
        return -math.inf
    return float(2 * np.log(deviations).sum() + np.log(values).sum())


def _log(distances):
    with np.errstate(divide="ignore"):
        return np.log(distances)
