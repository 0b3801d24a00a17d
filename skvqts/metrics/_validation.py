"""Validation of what score functions take: features, series, labels and distributions."""

from importlib import import_module
from importlib.util import find_spec
from inspect import Parameter, signature
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._fitting.validation import as_array_like, check_array, checked_labels

_CALLER = "skvqts.metrics"
_MAX_ABS = 1e150  # of values whose squares are summed
_MIN_ABS = 1e-150  # of the largest value of samples, below which squares of all vanish
_SUM_TOLERANCE = 1e-4  # rows of float32 probabilities add up to 1 within this


def validate_probabilities(p, ndim=None, name="probabilities"):
    """Float64 distributions ``(k,)`` or ``(n, k)``, with rows divided by their sums."""
    p = as_array_like(p, _CALLER, name)
    p = _checked(p, name, ensure_2d=False)
    if p.ndim not in ((1, 2) if ndim is None else (ndim,)):
        shapes = "(n, k) or (k,)" if ndim is None else "(n, k)"
        raise ValueError(f"{name} must have shape {shapes}, got {p.shape}.")
    total = p.sum(-1, keepdims=True)
    if p.min() < 0 or np.abs(total - 1).max() > _SUM_TOLERANCE:
        raise ValueError(
            f"{name} must be at least 0 and add up to 1 in every row; the least is "
            f"{p.min():.4g}, sums go from {total.min():.4g} to {total.max():.4g}."
        )
    return p / total


def validate_joint(joint):
    """A float64 joint distribution ``(k, m)``, divided by its sum."""
    joint = _checked(as_array_like(joint, _CALLER, "joint"), "joint")
    if joint.min() < 0 or np.abs(joint.sum() - 1) > _SUM_TOLERANCE:
        raise ValueError(
            "joint must be at least 0 and add up to 1 over all cells; the least is "
            f"{joint.min():.4g}, the sum {joint.sum():.4g}. Divide a table of counts by its sum."
        )
    return joint / joint.sum()


def _checked(X, name, **rules):
    """A finite float64 array, by the rules of scikit-learn's `check_array`."""
    try:
        return check_array(X, dtype=np.float64, input_name=name, **rules)
    except ValueError as error:
        if "array element with a sequence" not in str(error):
            raise
        raise ValueError(
            f"{name} holds whole series in its cells: numpy.stack makes an array of them."
        ) from None


def _validate_array(X, name, min_samples):
    """A finite float64 array ``(n, d)`` or ``(n, c, t)``."""
    array_like = as_array_like(X, _CALLER, name)
    if len(array_like.shape) == 0:
        raise ValueError(f"{name} must be an array of shape (n, d) or (n, c, t), got {X!r}.")
    # Of an argument "X" of an estimator scikit-learn's advice on NaN would be for classifiers.
    caller = None if name == "X" else name
    X = _checked(array_like, name, allow_nd=True, ensure_min_samples=min_samples, estimator=caller)
    if 0 in X.shape:
        raise ValueError(f"{name} has no time point: its shape is {X.shape}.")
    if np.abs(X).max() > _MAX_ABS:
        raise ValueError(f"{name} has values beyond {_MAX_ABS:.0e}, whose squares overflow.")
    return X


def validate_two_samples(X, Y, min_samples=2, names=("features_real", "features_gen")):
    """Two finite float64 samples ``(n, d)`` of features, or of series, flattened."""
    refuse_other_columns(X, Y, names)
    X = _drop_single_channel(_validate_array(X, names[0], min_samples))
    Y = _drop_single_channel(_validate_array(Y, names[1], min_samples))
    if X.shape[1:] != Y.shape[1:]:
        raise ValueError(
            f"{names[0]} has rows of shape {X.shape[1:]} and {names[1]} of shape {Y.shape[1:]}: "
            "they must be the same features."
        )
    _refuse_tiny(X, Y, names)
    return X.reshape(len(X), -1), Y.reshape(len(Y), -1)


def refuse_other_columns(X, Y, names):
    """Refuse two tables whose named columns differ, or are the same in another order."""
    in_one_order = f"{names[1]}[{names[0]}.columns]"
    _refuse_other_names(_column_names(X), _column_names(Y), names, in_one_order)


def refuse_columns_not_of_fit(estimator, X, name="X"):
    """Refuse a table whose columns are not those that an estimator was fitted to, in their order.

    Names are compared here where series go on without them, as those that are generated have none.
    """
    seen = getattr(estimator, "feature_names_in_", None)
    if seen is not None:
        names = (f"the training series of this {type(estimator).__name__}", name)
        in_one_order = f"{name}[generator.feature_names_in_]"
        _refuse_other_names(list(seen), _column_names(X), names, in_one_order)


def _refuse_other_names(first, second, names, in_one_order):
    if first is None or second is None or first == second:
        return
    if set(first) == set(second):
        raise ValueError(
            f"{names[0]} and {names[1]} have the same columns in another order: {in_one_order} has "
            "them in one."
        )
    unknown = [name for name in second if name not in set(first)] or sorted(set(first) - {*second})
    raise ValueError(
        f"{names[0]} and {names[1]} must have the same columns, and only one has {unknown[0]!r}."
    )


def _column_names(X):
    """Names of the columns of a table that are all strings, as scikit-learn compares them."""
    columns = getattr(X, "column_names", None)  # of pyarrow
    columns = list(getattr(X, "columns", [])) if columns is None else list(columns)
    return columns if columns and all(isinstance(name, str) for name in columns) else None


def validate_sample(X, name):
    """A finite float64 sample ``(n, d)`` of features, or of series, flattened."""
    X = _validate_array(X, name, min_samples=2)
    return X.reshape(len(X), -1)


def _refuse_tiny(X, Y, names):
    """Refuse two samples that are so small that their squares are 0, or have no digits."""
    largest = max(np.abs(X).max(), np.abs(Y).max())
    if 0 < largest < _MIN_ABS:
        raise ValueError(
            f"All values of {names[0]} and {names[1]} are below {_MIN_ABS:.0e}, so that their "
            "squares vanish: multiply both by a large number."
        )


def _drop_single_channel(X):
    """Series ``(n, 1, t)`` as ``(n, t)``; all others as they are."""
    return X[:, 0] if X.ndim == 3 and X.shape[1] == 1 else X


def validate_panel(X, name, min_samples=1):
    """Finite float64 series ``(n, c, t)``."""
    X = _validate_array(X, name, min_samples)
    return X[:, None] if X.ndim == 2 else X


def validate_two_panels(
    X, Y, min_samples=1, min_timepoints=1, paired=False, names=("X_real", "X_gen")
):
    """Two samples of series ``(n, c, t)`` of one shape, of one size if `paired`."""
    refuse_other_columns(X, Y, names)
    X = validate_panel(X, names[0], min_samples)
    Y = validate_panel(Y, names[1], min_samples)
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
    _refuse_tiny(X, Y, names)
    return X, Y


def restore_ndim(X, ndim):
    """Series ``(n, c, t)`` as ``(n, t)`` if the user's had 2 dimensions.

    A classifier or transformer of the user's may take only tables.
    """
    return X[:, 0] if ndim == 2 else X


def with_names_of_fit(estimator, X):
    """Series ``(n, t)`` as a table with the column names that an estimator was fitted to.

    Without, scikit-learn warns of an array that is our own doing. Other series, those for an
    estimator that knows no names, and tables remain what they are.
    """
    names = getattr(estimator, "feature_names_in_", None)
    is_table = hasattr(X, "columns")
    if names is None or is_table or X.ndim != 2 or X.shape[1] != len(names):
        return X
    for library in ("pandas", "polars"):  # whoever fits to a table has one of them
        if find_spec(library):
            frame = import_module(library).DataFrame
            columns = {"columns" if library == "pandas" else "schema": list(names)}
            return frame(np.ascontiguousarray(X), **columns)
    return X


def validate_referee(referee, *methods):
    """Raise if an estimator that is to judge samples lacks one of the methods for it."""
    for method in methods:
        if not hasattr(referee, method):
            raise TypeError(
                f"The referee must have {' and '.join(methods)}, as FCNClassifier has; "
                f"{type(referee).__name__} has no {method}."
            )


def validate_classifier(classifier):
    """Raise if what is to tell classes apart, unless it is None, is no classifier."""
    if classifier is not None and not is_classifier(clone(classifier)):
        raise TypeError(
            f"classifier must be a classifier, and {type(classifier).__name__} is none: what it "
            "predicts are no classes."
        )


def dense(features):
    """Features of a transformer, which may be sparse or a table, as an array."""
    return features.toarray() if issparse(features) else np.asarray(features)


def series_sampled(generator, n_samples, random_state, y=None):
    """Series that a fitted generator draws; only those of skvqts are asked for classes.

    `random_state` is handed on where ``sample`` knows it: GaussianMixture of scikit-learn draws
    by a seed of its own, and returns the components too.
    """
    arguments = {} if y is None else {"y": y}
    if _takes(generator.sample, "random_state"):
        arguments["random_state"] = random_state
    X = generator.sample(n_samples, **arguments)
    return X[0] if isinstance(X, tuple) else X


def _takes(function, argument):
    parameters = signature(function).parameters.values()
    return any(p.name == argument or p.kind is Parameter.VAR_KEYWORD for p in parameters)


def validate_labelled(X, y, name, min_samples=1):
    """Finite float64 series ``(n, c, t)`` and a label for each."""
    X = validate_panel(X, f"X_{name}", min_samples)
    if y is None:
        raise ValueError(f"y_{name} is needed, but it is None.")
    return X, checked_labels(y, len(X), f"y_{name}")


def validate_one_kind(y, other, names):
    """Raise if one of two sets of labels holds strings and the other does not."""
    first, second = (
        "strings" if isinstance(labels[0], str) else "no strings" for labels in (y, other)
    )
    if first != second:
        raise ValueError(f"{names[0]} holds {first} and {names[1]} {second}: use one kind.")


def validate_gaussian(mean, covariance, name):
    """A float64 mean ``(d,)`` and a root ``(d, d)`` of the covariance: ``root.T @ root``."""
    mean = check_array(mean, dtype=np.float64, ensure_2d=False, input_name="mean")
    covariance = check_array(covariance, dtype=np.float64, input_name=name)
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError(
            "A Gaussian has a mean of shape (d,) and a covariance of shape (d, d), got "
            f"{mean.shape} and {covariance.shape}."
        )
    # statistics are often computed or stored in single precision
    tolerance = 1e-6 * np.abs(covariance).max()
    if np.abs(covariance - covariance.T).max() > tolerance:
        raise ValueError(f"{name} must be symmetric.")
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    if values[0] < -tolerance:
        raise ValueError(f"{name} must have no negative eigenvalue; its least is {values[0]:.4g}.")
    return mean, (vectors * np.sqrt(np.maximum(values, 0.0))).T


def validate_integer(name, value, low, high):
    """Raise if a parameter is not an integer in [low, high]."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} must be an int in the range [{low}, {high}]. Got {value!r}.")


def validate_choice(name, value, choices):
    """Raise if a parameter is not one of a few names, among which None may be."""
    if not (value is None or isinstance(value, str)) or value not in choices:
        raise ValueError(f"{name} must be one of {sorted(choices, key=str)}. Got {value!r}.")


def is_fitted(estimator):
    """Whether an estimator can be used as it is."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True
