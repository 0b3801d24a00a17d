"""Scores of two samples of features that assume no Gaussian: kernels and nearest neighbours."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances, polynomial_kernel, rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches

from ._validation import validate_choice, validate_two_samples, validate_whole

_BLOCK = 1024  # rows of a kernel matrix at a time
_ROUNDING = 1e-12  # of squared distances


def kernel_distance(features_real, features_gen, *, kernel="polynomial"):
    """Squared maximum mean discrepancy of two samples, unbiased [1]_.

    Unlike the Fréchet distance it is right on average whatever the number of samples.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
    features_gen : array-like of shape (m, d)
    kernel : {"polynomial", "rbf"}, default="polynomial"
        ``(x @ y / d + 1) ** 3``, which makes it the KID [2]_; or a Gaussian whose width is the
        root mean squared distance of two real rows.

    Returns
    -------
    float
        About 0, above or below, for samples of one distribution.

    Raises
    ------
    ValueError
        If a sample has fewer than two rows, is not finite, or widths differ, or `kernel` is
        unknown.

    References
    ----------
    .. [1] Gretton et al. "A kernel two-sample test", 2012.
    .. [2] Binkowski et al. "Demystifying MMD GANs", 2018.
    """
    validate_choice("kernel", kernel, ("polynomial", "rbf"))
    return mean_discrepancy(*validate_two_samples(features_real, features_gen), kernel=kernel)


def mean_discrepancy(real, gen, kernel="polynomial"):
    """`kernel_distance` of valid float64 arrays."""
    function = polynomial_kernel if kernel == "polynomial" else _gaussian_kernel(real)
    within = sum(_mean_of_pairs(function, sample) for sample in (real, gen))
    across = sum(function(real[rows], gen).sum() for rows in gen_batches(len(real), _BLOCK))
    return float(within - 2 * across / (len(real) * len(gen)))


def _mean_of_pairs(function, sample):
    """Mean kernel of pairs of different rows."""
    n, total = len(sample), 0.0
    for rows in gen_batches(n, _BLOCK):
        block = function(sample[rows], sample)
        total += block.sum() - block[np.arange(len(block)), np.arange(n)[rows]].sum()
    return total / (n * (n - 1))


def _gaussian_kernel(real):
    width = 2 * real.var(0, ddof=1).sum()  # mean squared distance of two real rows
    rounding = 10 * np.finfo(np.float64).eps * np.abs(real).max(0)
    if width <= np.square(rounding).sum():
        width = 1.0
    centre = real.mean(0)  # far from the origin distances would be lost in rounding
    return lambda x, y: rbf_kernel(x - centre, y - centre, gamma=1 / (2 * width))


class DensityCoverage(NamedTuple):
    """What `density_coverage` gives."""

    density: float
    coverage: float


def density_coverage(features_real, features_gen, *, n_neighbors=5):
    """Fidelity and diversity of a generated sample, apart [1]_.

    Around each real row lies a ball that reaches to its k-th nearest real neighbour. Density is the
    mean number of balls a generated row lies in, divided by k; coverage is the share of balls
    with a generated row inside.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
    features_gen : array-like of shape (m, d)
    n_neighbors : int, default=5
        k, less than n.

    Returns
    -------
    density : float
        About 1 for samples of one distribution; it can be larger.
    coverage : float
        From 0 to 1; for samples of one distribution and size about ``1 - 2 ** -k``.

    Raises
    ------
    ValueError
        If a sample has fewer than two rows, is not finite, widths differ, or `n_neighbors`
        is not in [1, n).

    References
    ----------
    .. [1] Naeem et al. "Reliable fidelity and diversity metrics for generative models", 2020.
    """
    real, gen = validate_two_samples(features_real, features_gen)
    validate_whole("n_neighbors", n_neighbors, 1, len(real) - 1)
    return balls_hit(real, gen, n_neighbors)


def balls_hit(real, gen, n_neighbors=5):
    """`density_coverage` of valid float64 arrays."""
    k = min(n_neighbors, len(real) - 1)
    real, gen = real - real.mean(0), gen - real.mean(0)
    rounding = _ROUNDING * np.square(real).sum(1).max()  # so that ties are ties
    inside = []
    for rows in gen_batches(len(real), _BLOCK):
        within = euclidean_distances(real[rows], real, squared=True)
        within[np.arange(len(within)), np.arange(len(real))[rows]] = 0.0  # the nearest is itself
        radii = np.partition(within, k, axis=1)[:, k, None]
        across = euclidean_distances(real[rows], gen, squared=True)
        inside.append((across <= radii + rounding).sum(1))
    inside = np.concatenate(inside)
    return DensityCoverage(float(inside.sum() / (k * len(gen))), float((inside > 0).mean()))


def memorization_score(X_gen, X_train, X_test):
    """How far generated series lie from the training series, as held-out real series do.

    The mean distance of a generated series to its nearest training series, divided by that of
    a held-out real one: about 1 is fresh, near 0 is copied, above 1 lies far from all real
    series. A share of copies lowers it by that share.

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
    """
    train, gen = validate_two_samples(X_train, X_gen, min_samples=1, names=("X_train", "X_gen"))
    train, test = validate_two_samples(X_train, X_test, min_samples=1, names=("X_train", "X_test"))
    fresh, found = nearest_distances(train, test).mean(), nearest_distances(train, gen).mean()
    if fresh == 0:
        raise ValueError(
            "All held-out series are copies of training series: there is nothing to compare with."
        )
    return float(found / fresh)


def nearest_distances(train, rows, among=False):
    """Distance of each row to the nearest training row; of rows `among` them, to another one."""
    centre = train.mean(0)  # far from the origin distances would be lost in rounding
    train, rows = train - centre, rows - centre
    nearest = NearestNeighbors(n_neighbors=1 + among).fit(train)
    places = nearest.kneighbors(rows, return_distance=False)
    return np.linalg.norm(rows[:, None] - train[places], axis=2).max(1)  # exactly 0 for copies
