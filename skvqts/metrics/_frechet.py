"""Fréchet distance between feature distributions, taken as Gaussian (FID; eqs. 23 and 24).

The trace of the root of the product of two covariances is the nuclear norm of the product of their
roots, and a root of a sample covariance is the matrix of centred samples itself: so it is a sum of
singular values, real and exact, also with fewer samples than features.
"""

import numpy as np
from scipy import linalg

from ..exceptions import FidelityWarning, warn_user
from ._resampling import extrapolated
from ._validation import validate_gaussian, validate_two_samples, validate_whole


def frechet_distance(features_real, features_gen):
    """Squared Fréchet distance of two samples, as Gaussians: the FID [1]_ (eq. 24).

    It is biased upwards, more so for fewer samples: compare only at equal sizes, and see
    `frechet_distance_extrapolated`. It is a number of the feature extractor as well: never compare
    across extractors.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
    features_gen : array-like of shape (m, d)

    Returns
    -------
    float
        Not negative; 0 for the same sample twice, up to rounding.

    Raises
    ------
    ValueError
        If a sample has fewer than two rows, is not finite, or widths differ.

    Warns
    -----
    FidelityWarning
        If a sample has no more rows than features.

    References
    ----------
    .. [1] Heusel et al. "GANs trained by a two time-scale update rule converge to a local Nash
       equilibrium", 2017.
    """
    samples = validate_two_samples(features_real, features_gen)
    _warn_of_few(*samples)
    return distance_of_samples(*samples)


def _warn_of_few(real, gen):
    least, width = min(len(real), len(gen)), real.shape[1]
    if least <= width:
        warn_user(
            f"n={least} <= d={width}: with so few samples of so many features the Fréchet "
            "distance is mostly bias, and not one that falls with their number; compare it with "
            "that of real against real at equal sizes.",
            FidelityWarning,
        )


def distance_of_samples(real, gen):
    """`frechet_distance` of valid float64 arrays."""
    return _distance(real.mean(0), _root(real), gen.mean(0), _root(gen))


def frechet_distance_from_statistics(mean_real, covariance_real, mean_gen, covariance_gen):
    """Squared Fréchet distance of two Gaussians (eq. 24).

    Parameters
    ----------
    mean_real, mean_gen : array-like of shape (d,)
    covariance_real, covariance_gen : array-like of shape (d, d)

    Returns
    -------
    float
        Not negative.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, or a covariance is not symmetric with
        eigenvalues of at least 0.
    """
    real = validate_gaussian(mean_real, covariance_real, "covariance_real")
    gen = validate_gaussian(mean_gen, covariance_gen, "covariance_gen")
    if real[0].shape != gen[0].shape:
        raise ValueError(
            f"Both Gaussians must have the same number of features, got {len(real[0])} and "
            f"{len(gen[0])}."
        )
    return _distance(real[0], real[1].T, gen[0], gen[1].T)


def frechet_distance_extrapolated(features_real, features_gen, *, n_points=15, random_state=None):
    """`frechet_distance` at infinitely many samples [1]_.

    The distance of random subsets of both samples is regressed on the inverse of their size,
    which is what its bias falls with, and extrapolated to 0.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
    features_gen : array-like of shape (m, d)
    n_points : int, default=15
        At least 2 sizes of subsets, from half of the samples to all of them.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    float
        Not negative. Its spread is larger than that of `frechet_distance`.

    Raises
    ------
    ValueError
        If a sample has fewer than four rows, is not finite, or widths differ.

    Warns
    -----
    FidelityWarning
        If a sample has no more rows than features: the bias does not fall with the inverse of
        their number then, and the result means nothing.

    References
    ----------
    .. [1] Chong, Forsyth. "Effectively unbiased FID and Inception Score and where to find them",
       2020. Only the generated sample is reduced there; the bias of the real one then remains.
    """
    validate_whole("n_points", n_points, 2, 1000)
    samples = validate_two_samples(features_real, features_gen, min_samples=4)
    _warn_of_few(*samples)
    return max(extrapolated(distance_of_samples, samples, n_points, random_state), 0.0)


def _root(sample):
    """A matrix ``R`` with ``R.T @ R`` the unbiased covariance, of at most d rows."""
    centred = (sample - sample.mean(0)) / np.sqrt(len(sample) - 1)
    if len(sample) <= sample.shape[1]:
        return centred
    return linalg.qr(centred, mode="r", overwrite_a=True, check_finite=False)[0][: sample.shape[1]]


def _distance(mean, root, other_mean, other_root):
    shift = np.square(mean - other_mean).sum()
    spread = np.square(root).sum() + np.square(other_root).sum()
    shared = linalg.svdvals(root @ other_root.T, check_finite=False).sum()
    return max(float(shift + spread - 2 * shared), 0.0)
