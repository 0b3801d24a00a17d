"""Scores of features that assume no Gaussian: density and coverage, and the kernel distance."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel
from sklearn.utils import gen_batches

from ._validation import validate_choice, validate_integer, validate_two_samples

_BLOCK = 1024  # rows of a kernel or distance matrix that are held at a time
_ROUNDING = 1e-12  # of squared distances, relative to the largest


class DensityCoverage(NamedTuple):
    """What `density_coverage` gives.

    Attributes
    ----------
    density : float
        Fidelity: the mean number of balls around real rows that a generated row lies in, divided
        by the number of neighbours; about 1 for rows of the same distribution.
    coverage : float
        Diversity: the share of balls around real rows with a generated row inside, from 0 to 1.
    """

    density: float
    coverage: float


def density_coverage(features_real, features_gen, *, n_neighbors=5):
    """Density and coverage: the fidelity and the diversity of a generated sample [1]_.

    Around each real row lies a ball that reaches to its k-th nearest real neighbour. Density is the
    mean number of balls that a generated row lies in, divided by k; coverage is the share of balls
    with a generated row inside.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
        Features of real series.
    features_gen : array-like of shape (m, d)
        Features of generated series, by the same extractor.
    n_neighbors : int, default=5
        The k above, less than n.

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
    validate_integer("n_neighbors", n_neighbors, 1, len(real) - 1)
    return density_coverage_of_samples(real, gen, n_neighbors)


def density_coverage_of_samples(real, gen, n_neighbors=5):
    """`density_coverage` of valid float64 arrays; fewer neighbours if there are not as many."""
    k = min(n_neighbors, len(real) - 1)
    centre = real.mean(0)  # far from the origin distances would be lost in rounding
    real = real - centre
    gen = gen - centre
    # a copy of the k-th neighbour lies on the edge of the ball and must count as inside
    rounding = _ROUNDING * np.square(real).sum(1).max()
    counts = []  # of generated rows in each ball
    for rows in gen_batches(len(real), _BLOCK):
        distances = euclidean_distances(real[rows], real, squared=True)
        # exactly 0 from each row to itself, so that the k-th neighbour has index k
        distances[np.arange(len(distances)), np.arange(len(real))[rows]] = 0.0
        radii = np.partition(distances, k, axis=1)[:, k, None]
        inside = euclidean_distances(real[rows], gen, squared=True) <= radii + rounding
        counts.append(inside.sum(1))
    counts = np.concatenate(counts)
    return DensityCoverage(
        density=float(counts.sum() / (k * len(gen))), coverage=float((counts > 0).mean())
    )


def kernel_distance(features_real, features_gen, *, kernel="polynomial"):
    """Unbiased squared maximum mean discrepancy (MMD) of two samples ([1]_, Lemma 6).

    Unlike the Fréchet distance it is right on average whatever the number of samples.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
        Features of real series.
    features_gen : array-like of shape (m, d)
        Features of generated series, by the same extractor.
    kernel : {"polynomial", "rbf"}, default="polynomial"
        ``(x @ y / d + 1) ** 3``, which makes it the kernel inception distance (KID) [2]_; or a
        Gaussian whose width is the root mean squared distance of two real rows.

    Returns
    -------
    float
        About 0, above or below, for samples of one distribution.

    Raises
    ------
    ValueError
        If a sample has fewer than two rows, is not finite, or widths differ, or `kernel` is
        unknown, or the cubes of so large features overflow.

    References
    ----------
    .. [1] Gretton et al. "A kernel two-sample test", 2012.
    .. [2] Binkowski et al. "Demystifying MMD GANs", 2018.
    """
    validate_choice("kernel", kernel, ("polynomial", "rbf"))
    real, gen = validate_two_samples(features_real, features_gen)
    return squared_mmd(real, gen, _gaussian_kernel(real) if kernel == "rbf" else None)


def squared_mmd(real, gen, kernel=None):
    """Unbiased squared MMD of valid float64 arrays; ``kernel(x, y)`` gives a matrix.

    None is the polynomial kernel.
    """
    if kernel is None:
        centre = real.mean(0)
        real, gen = real - centre, gen - centre
        kernel = _polynomial_kernel_around(centre)
    with np.errstate(over="ignore", invalid="ignore"):  # judged by the result
        within = sum(_mean_off_diagonal(kernel, sample) for sample in (real, gen))
        across = sum(kernel(real[rows], gen).sum() for rows in gen_batches(len(real), _BLOCK))
        value = float(within - 2 * across / (len(real) * len(gen)))
    if not np.isfinite(value):
        raise ValueError(
            "The kernel of so large features overflows: standardise them, or use kernel='rbf'."
        )
    return value


def _mean_off_diagonal(kernel, sample):
    """Mean kernel of pairs of different rows, without the whole matrix in memory."""
    n = len(sample)
    total = 0.0
    for rows in gen_batches(n, _BLOCK):
        block = kernel(sample[rows], sample)
        total += block.sum() - block[np.arange(len(block)), np.arange(n)[rows]].sum()
    return total / (n * (n - 1))


def _polynomial_kernel_around(centre):
    """The polynomial kernel of ``centre + u`` and ``centre + v``, less terms of one of them alone.

    These cancel in an unbiased discrepancy: they have the same mean within samples and across. Far
    from the origin they are all that float64 would see of ``(x @ y / d + 1) ** 3``. With
    ``x @ y / d + 1 = a + b + g``, where ``b = b_u + b_v`` and ``g = u @ v / d``, what remains is

    ``g ((a + b)^2 + (a + b) (a + b + g) + (a + b + g)^2) + 3 b_u b_v (2 a + b)``.
    """
    d = len(centre)
    a = centre @ centre / d + 1

    def kernel(u, v):
        b_u, b_v = (u @ centre / d)[:, None], v @ centre / d
        b = b_u + b_v
        g = u @ v.T / d
        first, second = a + b, a + b + g
        return g * (first**2 + first * second + second**2) + 3 * b_u * b_v * (2 * a + b)

    return kernel


def _gaussian_kernel(real):
    squared_width = 2 * real.var(0, ddof=1).sum()  # mean squared distance of two real rows
    rounding = 10 * np.finfo(np.float64).eps * np.abs(real).max(0)
    if squared_width <= np.square(rounding).sum():  # all real rows are the same
        squared_width = 1.0
    centre = real.mean(0)  # far from the origin distances would be lost in rounding
    return lambda x, y: rbf_kernel(x - centre, y - centre, gamma=1 / (2 * squared_width))
