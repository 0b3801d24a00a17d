"""What score functions take: samples of features, series and labels, distributions."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_array

from .._fitting.validation import as_array_like, checked_labels

_US = "skvqts.metrics"
_LARGEST = 1e150
_SUM = 1e-4  # rows of float32 probabilities add up to 1 within this


def validate_probabilities(p, ndim=None, name="probabilities"):
    """A float64 distribution ``(k,)`` or one a row ``(n, k)``, each divided by its sum."""
    p = as_array_like(p, _US, name)
    p = check_array(p, dtype=np.float64, ensure_2d=False, input_name=name)
    if p.ndim != ndim if ndim else p.ndim not in (1, 2):
        raise ValueError(
            f"{name} must have shape (n, k){'' if ndim else ' or (k,)'}, got {p.shape}."
        )
    total = p.sum(-1, keepdims=True)
    if p.min() < 0 or np.abs(total - 1).max() > _SUM:
        raise ValueError(
            f"{name} must be at least 0 and add up to 1 in every row; the least is "
            f"{p.min():.4g}, sums go from {total.min():.4g} to {total.max():.4g}."
        )
    return p / total


def validate_joint(joint):
    """A float64 joint distribution ``(k, m)``, divided by its sum."""
    joint = check_array(as_array_like(joint, _US, "joint"), dtype=np.float64, input_name="joint")
    if joint.min() < 0 or np.abs(joint.sum() - 1) > _SUM:
        raise ValueError(
            "joint must be at least 0 and add up to 1 over all cells; the least is "
            f"{joint.min():.4g}, the sum {joint.sum():.4g}. Divide a table of counts by its sum."
        )
    return joint / joint.sum()


def _validate_array(X, name, min_samples):
    """A finite float64 array ``(n, d)`` or ``(n, c, t)``."""
    given, X = X, as_array_like(X, _US, name)
    if len(X.shape) == 0:
        raise ValueError(f"{name} must be an array of shape (n, d) or (n, c, t), got {given!r}.")
    X = check_array(
        X,
        dtype=np.float64,
        allow_nd=True,
        ensure_min_samples=min_samples,
        estimator=name,
        input_name=name,
    )
    if 0 in X.shape:
        raise ValueError(f"{name} has no time point: its shape is {X.shape}.")
    if np.abs(X).max() > _LARGEST:
        raise ValueError(f"{name} has values beyond {_LARGEST:.0e}, whose squares overflow.")
    return X


def validate_two_samples(X, Y, min_samples=2, names=("features_real", "features_gen")):
    """Two finite float64 samples ``(n, d)`` of features, or of series, flattened."""
    X, Y = (_validate_array(Z, name, min_samples) for Z, name in zip((X, Y), names, strict=True))
    width, other = (Z.shape[2:] if Z.ndim == 3 and Z.shape[1] == 1 else Z.shape[1:] for Z in (X, Y))
    if width != other:
        raise ValueError(
            f"{names[0]} has rows of shape {width} and {names[1]} of shape {other}: they must be "
            "the same features."
        )
    return X.reshape(len(X), -1), Y.reshape(len(Y), -1)


def validate_panel(X, name, min_samples=1):
    """Finite float64 series ``(n, c, t)``."""
    X = _validate_array(X, name, min_samples)
    return X[:, None] if X.ndim == 2 else X


def validate_two_panels(
    X, Y, min_samples=1, min_timepoints=1, paired=False, names=("X_real", "X_gen")
):
    """Two samples of series ``(n, c, t)`` of one shape; `paired`: as many of either."""
    X, Y = (validate_panel(Z, name, min_samples) for Z, name in zip((X, Y), names, strict=True))
    if X.shape[1:] != Y.shape[1:]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have series of one shape, got {X.shape[1:]} and "
            f"{Y.shape[1:]} (channels, time points)."
        )
    if paired and len(X) != len(Y):
        raise ValueError(
            f"{names[0]} and {names[1]} must have as many series, got {len(X)} and {len(Y)}."
        )
    if X.shape[2] < min_timepoints:
        raise ValueError(
            f"{names[0]} has series of {X.shape[2]} time point(s); at least {min_timepoints} are "
            "needed."
        )
    return X, Y


def as_given(X, n_dims):
    """Series ``(n, c, t)`` with as many dimensions as the user's: estimators of tables need two."""
    return X[:, 0] if n_dims == 2 else X


def validate_labelled(X, y, name, min_samples=1):
    """Finite series ``(n, c, t)`` and a label for each."""
    X = validate_panel(X, f"X_{name}", min_samples)
    if y is None:
        raise ValueError(f"y_{name} is needed, but it is None.")
    return X, checked_labels(y, len(X), f"y_{name}")


def validate_one_kind(y, other, names):
    """Labels of two sets can be compared: strings both, or neither."""
    kinds = [isinstance(labels[0], str) for labels in (y, other)]
    if kinds[0] != kinds[1]:
        first, second = ("strings" if kind else "no strings" for kind in kinds)
        raise ValueError(f"{names[0]} holds {first} and {names[1]} {second}: use one kind.")


def validate_gaussian(mean, covariance, name):
    """A float64 mean ``(d,)`` and a root ``(d, d)`` of a covariance: ``root @ root.T``."""
    mean = check_array(mean, dtype=np.float64, ensure_2d=False, input_name="mean")
    covariance = check_array(covariance, dtype=np.float64, input_name=name)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            "A Gaussian has a mean of shape (d,) and a covariance of shape (d, d), got "
            f"{mean.shape} and {covariance.shape}."
        )
    size = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > 1e-6 * size:
        raise ValueError(f"{name} must be symmetric.")
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] < -1e-6 * size:
        raise ValueError(f"{name} must have no negative eigenvalue; its least is {values[0]:.4g}.")
    return mean, vectors * np.sqrt(np.maximum(values, 0.0))


def validate_whole(name, value, low, high):
    """A whole number in [low, high]."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be an int in the range [{low}, {high}]. Got {value!r}.")


def validate_choice(name, value, choices):
    """One of a few names."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices)}. Got {value!r}.")
