"""What score functions take: samples of features, series and labels, distributions."""

from numbers import Integral

import numpy as np
from sklearn.utils import assert_all_finite, check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

_SUM = 1e-4  # rows of float32 probabilities add up to 1 within this


def validate_probabilities(p, ndim=None):
    """A float64 distribution ``(k,)`` or one a row ``(n, k)``, each divided by its sum."""
    p = check_array(p, dtype=np.float64, ensure_2d=False, input_name="probabilities")
    if p.ndim != ndim if ndim else p.ndim not in (1, 2):
        raise ValueError(
            f"probabilities must have shape (n, k){'' if ndim else ' or (k,)'}, got {p.shape}."
        )
    total = p.sum(-1, keepdims=True)
    if p.min() < 0 or np.abs(total - 1).max() > _SUM:
        raise ValueError(
            "probabilities must be at least 0 and add up to 1 in every row; the least is "
            f"{p.min():.4g}, sums go from {total.min():.4g} to {total.max():.4g}."
        )
    return p / total


def validate_sample(X, name, min_samples=2):
    """A finite float64 sample ``(n, d)`` of features, or of series, flattened."""
    X = check_array(
        X,
        dtype=np.float64,
        allow_nd=True,
        ensure_min_samples=min_samples,
        estimator=name,
        input_name=name,
    )
    if X.ndim > 3:
        raise ValueError(f"{name} must have shape (n, d), (n, t) or (n, c, t), got {X.shape}.")
    return X.reshape(len(X), -1)


def validate_two_samples(X, Y, min_samples=2, names=("features_real", "features_gen")):
    """Two samples as `validate_sample` gives them, of one width."""
    X, Y = (validate_sample(Z, name, min_samples) for Z, name in zip((X, Y), names, strict=True))
    if X.shape[1] != Y.shape[1]:
        raise ValueError(
            f"{names[0]} has {X.shape[1]} columns and {names[1]} {Y.shape[1]}: they must be the "
            "same features."
        )
    return X, Y


def validate_panel(X, name, min_samples=1):
    """Finite float64 series ``(n, c, t)``."""
    X = check_array(
        X,
        dtype=np.float64,
        allow_nd=True,
        ensure_min_samples=min_samples,
        estimator=name,
        input_name=name,
    )
    if X.ndim > 3 or 0 in X.shape:
        raise ValueError(f"{name} must have shape (n, t) or (n, c, t), got {X.shape}.")
    return X[:, None] if X.ndim == 2 else X


def validate_two_panels(X, Y, min_samples=1, min_timepoints=1, paired=False):
    """Two samples of series ``(n, c, t)`` of one shape; `paired`: as many of either."""
    X, Y = (
        validate_panel(X, "the first X", min_samples),
        validate_panel(Y, "the second X", min_samples),
    )
    if X.shape[1:] != Y.shape[1:] or (paired and len(X) != len(Y)):
        raise ValueError(f"Both samples must have one shape, got {X.shape} and {Y.shape}.")
    if X.shape[2] < min_timepoints:
        raise ValueError(f"Series of at least {min_timepoints} time points are needed.")
    return X, Y


def validate_labelled(X, y, name):
    """Finite series ``(n, c, t)`` and a label for each."""
    X = validate_panel(X, f"X_{name}")
    if y is None:
        raise ValueError(f"y_{name} is needed, but it is None.")
    y = column_or_1d(y, warn=True)
    if y.dtype == object and any(label is None for label in y):
        raise ValueError(f"y_{name} contains None: every series needs a label.")
    assert_all_finite(y, input_name=f"y_{name}")
    if len(X) != len(y):
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {[len(X), len(y)]}"
        )
    check_classification_targets(y)
    return X, y


def validate_gaussian(mean, covariance):
    """A float64 mean ``(d,)`` and a root ``(d, d)`` of a covariance: ``root @ root.T``."""
    mean = check_array(mean, dtype=np.float64, ensure_2d=False, input_name="mean")
    covariance = check_array(covariance, dtype=np.float64, input_name="covariance")
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            "A Gaussian has a mean of shape (d,) and a covariance of shape (d, d), got "
            f"{mean.shape} and {covariance.shape}."
        )
    size = np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > 1e-6 * size:
        raise ValueError("A covariance must be symmetric.")
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] < -1e-6 * size:
        raise ValueError(
            f"A covariance has no negative eigenvalue; the least here is {values[0]:.4g}."
        )
    return mean, vectors * np.sqrt(np.maximum(values, 0.0))


def validate_whole(name, value, low, high):
    """A whole number in [low, high]."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be an int in the range [{low}, {high}]. Got {value!r}.")


def validate_choice(name, value, choices):
    """One of a few names."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices)}. Got {value!r}.")
