"""Fréchet distance between feature distributions, taken as Gaussian (FID).

For Gaussians the squared distance is ``|m - w|^2 + tr S + tr T - 2 tr (S T)^(1/2)`` (Dowson and
Landau, 1982; eq. 6 of Heusel et al., 2017). The trace of the root of the product of two covariances
is the nuclear norm of the product of their roots, and a root of a sample covariance is the matrix
of centred samples itself. So it is a sum of singular values, real and exact, also with fewer
samples than features.
"""

from copy import deepcopy

import numpy as np
from scipy import linalg

from .._files.encoding import storable
from .._files.models import content_digest, save_model
from .._fitting.validation import as_array_like
from ..exceptions import FidelityWarning, warn_user
from ._resampling import extrapolated
from ._validation import (
    is_fitted,
    validate_gaussian,
    validate_integer,
    validate_sample,
    validate_two_samples,
    with_names_of_fit,
)


def frechet_distance(features_real, features_gen):
    """Squared Fréchet distance of two samples, as Gaussians: the FID ([1]_, eq. 6).

    It is biased upwards, more so for fewer samples: compare only at equal sizes, and see
    `frechet_distance_extrapolated`. It depends on the feature extractor as much as on the series:
    never compare across extractors.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
        Features of real series.
    features_gen : array-like of shape (m, d)
        Features of generated series, by the same extractor.

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
    real, gen = validate_two_samples(features_real, features_gen)
    _warn_of_few_samples(real, gen)
    return frechet_distance_of_samples(real, gen)


def _warn_of_few_samples(real, gen):
    n_samples = min(len(real), len(gen))
    n_features = real.shape[1]
    if n_samples <= n_features:
        warn_user(
            f"n={n_samples} <= d={n_features}: with so few samples of so many features the Fréchet "
            "distance is mostly bias, and not one that falls with their number; compare it with "
            "that of real against real at equal sizes.",
            FidelityWarning,
        )


def frechet_distance_of_samples(real, gen):
    """`frechet_distance` of valid float64 arrays, without a warning."""
    return _distance(real.mean(0), _covariance_root(real), gen.mean(0), _covariance_root(gen))


def frechet_distance_from_statistics(mean_real, covariance_real, mean_gen, covariance_gen):
    """Squared Fréchet distance of two Gaussians [1]_.

    Parameters
    ----------
    mean_real, mean_gen : array-like of shape (d,)
        Means of real and of generated features.
    covariance_real, covariance_gen : array-like of shape (d, d)
        Their covariances.

    Returns
    -------
    float
        Not negative.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, or a covariance is not symmetric with
        eigenvalues of at least 0.

    References
    ----------
    .. [1] Dowson, Landau. "The Fréchet distance between multivariate normal distributions", 1982.
    """
    mean_real, root_real = validate_gaussian(mean_real, covariance_real, "covariance_real")
    mean_gen, root_gen = validate_gaussian(mean_gen, covariance_gen, "covariance_gen")
    if mean_real.shape != mean_gen.shape:
        raise ValueError(
            f"Both Gaussians must have the same number of features, got {len(mean_real)} and "
            f"{len(mean_gen)}."
        )
    return _distance(mean_real, root_real, mean_gen, root_gen)


def frechet_distance_extrapolated(features_real, features_gen, *, n_points=15, random_state=None):
    """`frechet_distance` at infinitely many samples [1]_.

    The distance of random subsets of both samples is regressed on the inverse of their size,
    which is what its bias falls with, and extrapolated to 0.

    Parameters
    ----------
    features_real : array-like of shape (n, d)
        Features of real series.
    features_gen : array-like of shape (m, d)
        Features of generated series, by the same extractor.
    n_points : int, default=15
        At least 2 sizes of subsets, from half of the samples to all of them.
    random_state : int, RandomState instance or None, default=None
        Seed of the subsets.

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
    validate_integer("n_points", n_points, 2, 1000)
    real, gen = validate_two_samples(features_real, features_gen, min_samples=4)
    _warn_of_few_samples(real, gen)
    value = extrapolated(frechet_distance_of_samples, (real, gen), n_points, random_state)
    return max(value, 0.0)


@storable
class ReferenceStatistics:
    """A referee and the mean and covariance of its features of real series, for a file.

    Whoever opens the file compares generated series with the same real ones, through the same
    network, without having either: a Fréchet distance means nothing beside one of another referee.

    Parameters
    ----------
    name : str
        Of the reference set, such as "ECG200, test".
    referee : transformer
        A fitted one of this library, such as `FCNClassifier` or `RandomConvolutionExtractor`.
    X : array-like of shape (n, t) or (n, c, t)
        The real series, at least two. They are not kept.

    Raises
    ------
    TypeError
        If `name` is no text, or the referee, or a part of it, is not of this library.
    ValueError
        If the referee is not fitted, or there are fewer than two series.

    Attributes
    ----------
    name : str
    referee : transformer
    mean_ : float64 ndarray of shape (d,)
    covariance_ : float64 ndarray of shape (d, d)
    n_series_ : int
    digest : str
        Sixteen digits of a hash of referee and statistics: numbers that were measured with
        references of the same digest can be compared.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import RandomConvolutionExtractor
    >>> from skvqts.metrics import ReferenceStatistics
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(50)[:, None])
    >>> referee = RandomConvolutionExtractor(10).fit(X)
    >>> reference = ReferenceStatistics("sines", referee, X)
    >>> reference.frechet_distance(X) < 1e-6
    True
    """

    def __init__(self, name, referee, X):
        if not isinstance(name, str):
            raise TypeError(f"The name of a reference must be a str, got {type(name).__name__}.")
        if not is_fitted(referee) or not hasattr(referee, "transform"):
            raise ValueError("ReferenceStatistics needs a fitted referee with a method transform.")
        content_digest(referee)  # raises a TypeError if no file can hold it
        self.name = name
        self.referee = deepcopy(referee)  # a user may fit theirs anew
        features = validate_sample(referee.transform(X), "features_real")
        self.mean_ = features.mean(0)
        root = _covariance_root(features)
        self.covariance_ = root.T @ root
        self.n_series_ = len(features)

    @property
    def digest(self):
        """Sixteen digits of a hash of referee and statistics."""
        return content_digest(self)[:16]

    def frechet_distance(self, X_gen):
        """Squared Fréchet distance of generated series to the reference set, by its referee.

        Parameters
        ----------
        X_gen : array-like of shape (m, t) or (m, c, t)
            At least two. The distance is biased upwards, more so for fewer: compare at equal
            numbers.

        Returns
        -------
        float
            Not negative.
        """
        X_gen = as_array_like(X_gen, "ReferenceStatistics", "X_gen")
        X_gen = with_names_of_fit(self.referee, X_gen)
        features = validate_sample(self.referee.transform(X_gen), "features_gen")
        root_real = validate_gaussian(self.mean_, self.covariance_, "covariance_real")[1]
        return _distance(self.mean_, root_real, features.mean(0), _covariance_root(features))

    def save(self, path):
        """Keep it in a file that `skvqts.load` opens; see `FCNClassifier.save`.

        Parameters
        ----------
        path : str, bytes or os.PathLike

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        save_model(self, path)

    def __setstate__(self, state):
        mean, _ = validate_gaussian(state["mean_"], state["covariance_"], "covariance_")
        if not hasattr(state["referee"], "transform") or not isinstance(state["name"], str):
            raise ValueError("a reference in it has no referee or no name.")
        if len(mean) != len(state["covariance_"]) or not isinstance(state["n_series_"], int):
            raise ValueError("a reference in it has no statistics.")
        vars(self).update(state)

    def __repr__(self):
        return f"ReferenceStatistics({self.name!r}, {self.referee!r}, {self.n_series_} series)"


def _covariance_root(sample):
    """A matrix ``R`` of at most d rows, with ``R.T @ R`` the unbiased covariance ``(d, d)``."""
    n, d = sample.shape
    centred = (sample - sample.mean(0)) / np.sqrt(n - 1)
    if n <= d:
        return centred
    # the triangle of a QR decomposition has the same product and d rows in place of n
    return linalg.qr(centred, mode="r", overwrite_a=True, check_finite=False)[0][:d]


def _distance(mean, root, other_mean, other_root):
    """Squared distance of two Gaussians with covariances ``root.T @ root``."""
    squared_shift = np.square(mean - other_mean).sum()
    traces = np.square(root).sum() + np.square(other_root).sum()
    nuclear_norm = linalg.svdvals(root @ other_root.T, check_finite=False).sum()
    # rounding can leave a distance of 0 just below it
    return max(float(squared_shift + traces - 2 * nuclear_norm), 0.0)
