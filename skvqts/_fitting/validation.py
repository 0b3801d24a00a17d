"""What judges the arrays, labels, tokens and devices that estimators are given.

It is also the only module that imports private names of scikit-learn; all others take them from
here. What scores are given is judged by `metrics/_validation.py`.
"""

import os
import threading
from collections.abc import Mapping
from functools import partial, wraps
from numbers import Integral, Number, Real

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import _fit_context as _fit_context
from sklearn.utils import _safe_indexing as _safe_indexing
from sklearn.utils import (
    assert_all_finite,
    check_random_state,
    class_weight,
    multiclass,
    validation,
)
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import _get_output_config as _get_output_config
from sklearn.utils.metaestimators import _BaseComposition as _BaseComposition
from sklearn.utils.validation import _check_feature_names

from ..exceptions import refuse_beyond_memory, warn_user
from .on_demand import SlicedSeries, is_large, is_sliced

# scikit-learn's checks change the filters of warnings for a moment. These belong to the process: of
# two threads in a check at once, one would put back what the other had changed.
_CHECKING = threading.RLock()
if hasattr(os, "register_at_fork"):  # in a child, the thread that holds it would not exist
    os.register_at_fork(
        before=_CHECKING.acquire,
        after_in_parent=_CHECKING.release,
        after_in_child=_CHECKING.release,
    )


def _one_at_a_time(check):
    """A check of scikit-learn that no two threads are in at once."""

    @wraps(check)
    def checked(*args, **kwargs):
        # An array of dask is computed in the check, by threads that may themselves come here.
        if any(hasattr(arg, "__dask_graph__") for arg in args):
            return check(*args, **kwargs)
        with _CHECKING:
            return check(*args, **kwargs)

    return checked


check_array = _one_at_a_time(validation.check_array)
validate_data = _one_at_a_time(validation.validate_data)
column_or_1d = _one_at_a_time(validation.column_or_1d)
check_classification_targets = _one_at_a_time(multiclass.check_classification_targets)
compute_sample_weight = _one_at_a_time(class_weight.compute_sample_weight)
_check_sample_weight = _one_at_a_time(validation._check_sample_weight)

# NaN may pass: the message of scikit-learn advises classifiers; `check_values` refuses it.
_SERIES = {"dtype": (np.float64, np.float32), "ensure_all_finite": "allow-nan"}
_WANTED = "{} takes an array of numbers of shape (n, t) or (n, c, t)."
_RECORDING = (
    "One long recording is cut into series by SlidingWindows, and read as a whole by "
    "WindowedEstimator."
)
# Beginnings of the names that pandas, polars and Arrow give to types that are no numbers.
_NO_NUMBERS = ("date", "time", "duration", "period", "interval", "struct", "list")
_TIMES = ("time", "times", "timestamp", "date", "datetime")
_TEXT = ("str", "large_str", "utf8", "categor", "enum")
_UNEQUAL = "{} holds series of unequal length, which {} does not accept: {}."
_INTERPOLATE = ", interpolate them"
_ONE_LENGTH = "pad or resample them to one length"
_CONTAINERS = ("shape", "__array__", "__dataframe__", "__array_interface__")


class _NumberInterval(Interval):
    """An interval of numbers, to which, unlike in scikit-learn's, True and False do not belong."""

    def __init__(self, kind, low, high=None, *, closed="left"):
        super().__init__(kind, low, high, closed=closed)

    def is_satisfied_by(self, value):
        return not isinstance(value, (bool, np.bool_)) and super().is_satisfied_by(value)


IntegerInterval = partial(_NumberInterval, Integral)
RealInterval = partial(_NumberInterval, Real)

# of every estimator that trains a network
TRAINING_CONSTRAINTS = {
    "batch_size": [IntegerInterval(1)],
    "max_epochs": [IntegerInterval(1), StrOptions({"auto"})],
    "learning_rate": [RealInterval(0, closed="neither")],
    "weight_decay": [RealInterval(0)],
    "early_stopping": ["boolean"],
    "validation_fraction": [RealInterval(0, 1, closed="neither")],
    "n_iter_no_change": [IntegerInterval(1)],
    "tol": [RealInterval(0)],
    "precision": [StrOptions({"auto", "float32", "bfloat16"})],
    "device": [str, torch.device],
    "n_threads": [IntegerInterval(1), None],
    "verbose": [IntegerInterval(0), "boolean"],
    "random_state": ["random_state"],
}


def validate_series(
    estimator,
    X,
    *,
    reset=False,
    min_samples=1,
    missing="refuse",
    n_timepoints=None,
    longer="refuse",
):
    """Series as a finite ``(n, c, t)`` array of float32 or float64, not copied without need.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n, t) or (n, c, t), or list of arrays
        With ``missing="mask"`` a list, tuple or object array of series (t_i,) or (c, t_i) of
        unequal length is taken too. They become an array in which NaN stands beyond their ends.
    reset : bool
        True: the estimator takes on the shape of `X`, as ``n_channels_in_``, ``n_timepoints_in_``,
        ``n_features_in_`` and ``feature_names_in_``. False: `X` must have that shape.
    min_samples : int
    missing : {"refuse", "mask", "any"}
        What is done about missing values, which are NaN or masked. "mask" lets them pass where
        every series has a known value and, with `reset`, every channel has one in some series;
        "any" lets them pass.
    n_timepoints : int or None
        Length that an array made of a list has with `reset`; None: that of the longest series.
    longer : {"refuse", "cut"}
        What is done about series of a list that are longer than those of `fit`. "cut" reads their
        beginnings and warns, as the folds of a cross-validation need it, of which one holds the
        longest series; those of more than twice the length are refused all the same.

    Raises
    ------
    ValueError
        If `X` is not 2-D or 3-D, empty, not finite in float32, or of another shape, or if values
        are missing that must not be, or if a series of a list is longer than those of `fit`.
    TypeError
        If `X` is sparse or not numeric.
    """
    name = type(estimator).__name__
    allowed = missing != "refuse"
    if isinstance(X, SlicedSeries):  # of a fit that this one is a part of
        X = X.X
    if is_sliced(X) and is_large(X):
        return _validate_slices(estimator, SlicedSeries(X), reset, min_samples, missing)
    X = _one_array(estimator, X, reset, missing, n_timepoints, longer)
    _refuse_one_series(X, name, min_samples)
    is_panel = len(X.shape) == 3
    X = _panel(estimator, X, reset, min_samples)
    check_values(X, estimator, reset, allowed)
    if missing == "mask":
        _refuse_unknown_series(X, name)
    if missing == "mask" and reset:
        _refuse_unknown_channels(np.fmax.reduce(X, axis=(0, 2)), name)
    if reset:
        _, estimator.n_channels_in_, estimator.n_timepoints_in_ = X.shape
        estimator._series_shape = X.shape[1:] if is_panel else X.shape[2:]
    else:
        _refuse_another_shape(estimator, X)
    return X


def _one_array(estimator, X, reset, missing, n_timepoints, longer):
    """An array, or a table, of what may be a list of series, a Tensor or an array-like."""
    name = type(estimator).__name__
    if is_sliced(X) and not isinstance(X, np.ndarray):
        X = np.asarray(X[:])
    if holds_series(X, missing):
        is_flat = all(np.ndim(series) == 1 for series in X)
        n_timepoints = n_timepoints if reset else estimator.n_timepoints_in_
        X = series_of_list(X, name)
        if longer == "cut":
            X = _cut_series(X, name, n_timepoints)
        X = padded_series(X, name, n_timepoints)
        if is_flat and (reset or len(estimator._series_shape) == 1):
            X = X[:, 0]
    advice = _advice(estimator, reset)
    array = as_array_like(X, name, missing=missing != "refuse", advice=advice)
    is_nested = missing == "mask" and isinstance(X, (list, tuple)) and len(array.shape) > 1
    if is_nested and not reset and array.shape[-1] != estimator.n_timepoints_in_:
        raise ValueError(
            f"X has {array.shape[-1]} time points, but {name} is expecting "
            f"{estimator.n_timepoints_in_} time points as input. Nested lists of one length are an "
            "array; give series of other lengths as a list of arrays."
        )
    return array


def _panel(estimator, X, reset, min_samples):
    """A float array ``(n, c, t)`` of an array or table, and the names of columns in `fit`."""
    name = type(estimator).__name__
    is_panel = len(X.shape) == 3
    rules = {**_SERIES, "ensure_min_samples": min_samples}
    try:
        if is_panel:
            X = check_array(X, estimator=estimator, input_name="X", allow_nd=True, **rules)
        elif reset or len(estimator._series_shape) == 1:
            X = validate_data(estimator, X, reset=reset, **rules)[:, None]
        else:  # series of one channel, fitted as a panel: X has no names of features
            X = check_array(X, estimator=estimator, input_name="X", **rules)[:, None]
    except ValueError as error:
        # NumPy says this of ragged lists, and of an object array with a series in each cell.
        if "array element with a sequence" not in str(error):
            raise
        raise ValueError(
            "X holds whole series in its cells, or series of unequal length. "
            + _WANTED.format(name)
        ) from None
    if 0 in X.shape:
        raise ValueError(
            f"Found array with {X.shape[1]} channel(s) and {X.shape[2]} time point(s) "
            f"(shape={X.shape}) while a minimum of 1 is required by {name}."
        )
    if reset and is_panel:
        _check_feature_names(estimator, X, reset=True)
        estimator.n_features_in_ = X.shape[1]
    return X


def _refuse_another_shape(estimator, X):
    """Refuse series ``(n, c, t)`` of other channels or time points than those of `fit`."""
    for given, expected, unit in (
        (X.shape[1], estimator.n_channels_in_, "channels"),
        (X.shape[2], estimator.n_timepoints_in_, "time points"),
    ):
        if given != expected:
            raise ValueError(
                f"X has {given} {unit}, but {type(estimator).__name__} is expecting {expected} "
                f"{unit} as input."
            )


def _validate_slices(estimator, X, reset, min_samples, missing):
    """Series of an array-like that slices, as `SlicedSeries`, judged slice by slice."""
    if reset:  # a few series have the shape of all
        few = np.zeros((min(len(X), min_samples), *X.row_shape))
        validate_series(estimator, few, reset=True, min_samples=min_samples)
    largest = np.full(X.shape[1], np.nan)  # of each channel; NaN until there is a known value
    for rows in X.blocks():
        part = X[rows]
        try:
            validate_series(estimator, part.reshape(-1, *X.row_shape), missing=missing)
        except ValueError as error:
            raise ValueError(f"In X[{rows.start}:{rows.start + len(part)}]: {error}") from None
        largest = np.fmax(largest, np.fmax.reduce(part, axis=(0, 2)))
    if reset:
        _refuse_unknown_channels(largest, type(estimator).__name__)
    return X


def _holds_lists(dtype):
    """Whether a column of pandas, polars or pyarrow may have lists in its cells."""
    return getattr(dtype, "kind", None) == "O" or str(dtype).lower().startswith(("list", "array"))


def holds_series(X, missing="mask"):
    """Whether `X` is a list, tuple or object array of series, where missing values are masked.

    In its cells it has arrays, or lists of unequal length. Lists of equal length are an array.
    """
    if isinstance(X, torch.Tensor) and X.is_nested:
        return missing == "mask"
    if hasattr(X, "to_numpy") and not hasattr(X, "columns"):  # a Series with arrays in its cells
        X = X.to_numpy()
    is_list = isinstance(X, (list, tuple)) or (
        isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1
    )
    if missing != "mask" or not is_list or len(X) == 0:
        return False
    if all(len(getattr(series, "shape", ())) in (1, 2) for series in X):
        return True
    if not all(isinstance(series, (list, tuple, np.ndarray)) for series in X):
        return False
    try:
        np.asarray(list(X))
    except ValueError as error:
        return "inhomogeneous" in str(error)
    return False


def series_of_list(X, name):
    """The float64 series ``(c, t_i)`` of a list, as long as they have known values.

    Raises
    ------
    ValueError
        If one is not of shape (t_i,) or (c, t_i), or they have different numbers of channels.
    TypeError
        If one is not numeric.
    """
    found = []
    for index, series in enumerate(X.unbind() if isinstance(X, torch.Tensor) else X):
        if hasattr(series, "columns"):
            raise TypeError(
                f"Series {index} of X is a table: {name} takes arrays of shape (t_i,) or (c, t_i)."
            )
        series = np.asarray(as_array_like(series, name, f"Series {index} of X", missing=True))
        if series.dtype.kind not in "biufO":
            raise TypeError(f"Series {index} of X holds {content_of(series)}, and no real numbers.")
        series = np.atleast_2d(series.astype(np.float64))
        if series.ndim != 2:
            raise ValueError(
                f"Series {index} of X has shape {series.shape}: {name} takes series of shape "
                "(t_i,) or (c, t_i)."
            )
        if found and len(series) != len(found[0]):
            raise ValueError(
                f"Series {index} of X has {len(series)} channels, and the first one has "
                f"{len(found[0])}: all series need the same channels."
            )
        known = np.flatnonzero(~np.isnan(series).all(axis=0))
        found.append(series[:, : known[-1] + 1 if known.size else 0])
    return found


def padded_series(series, name, n_timepoints=None):
    """An array ``(n, c, t)`` of series ``(c, t_i)``, with NaN beyond their ends.

    Parameters
    ----------
    series : list of ndarrays
    name : str
        Who takes them.
    n_timepoints : int or None
        The length t; None: that of the longest series.
    """
    lengths = [of_series.shape[1] for of_series in series]
    n_timepoints = max(1, *lengths) if n_timepoints is None else n_timepoints
    longest = int(np.argmax(lengths))
    if lengths[longest] > n_timepoints:
        raise ValueError(
            f"Series {longest} of X has {lengths[longest]} time points, and {name} was fitted to "
            f"series of at most {n_timepoints}: cut longer ones, or fit to some of that length."
        )
    X = np.full((len(series), len(series[0]), n_timepoints), np.nan)
    for row, of_series, length in zip(X, series, lengths, strict=True):
        row[:, :length] = of_series
    return X


def _cut_series(series, name, n_timepoints):
    """Series ``(c, t_i)`` without what is beyond the fitted length, unless that is most of one."""
    lengths = np.array([of_series.shape[1] for of_series in series])
    longest = int(lengths.argmax())
    if not n_timepoints < lengths[longest] <= 2 * n_timepoints:
        return series
    warn_user(
        f"{np.sum(lengths > n_timepoints)} series of X are longer than all that {name} was fitted "
        f"to: they are read up to time point {n_timepoints}, as series {longest} of "
        f"{lengths[longest]}. Fit to some as long if the rest matters."
    )
    return [of_series[:, :n_timepoints] for of_series in series]


def validate_lengths(estimator, lengths, n_series):
    """Lengths of series that were fitted or shorter, as an int64 array ``(n,)``."""
    longest = estimator.n_timepoints_in_
    lengths = plain_array(lengths, "lengths")
    whole = lengths.astype(np.int64) if lengths.dtype.kind in "iuf" else None
    if lengths.shape != (n_series,) or whole is None or not np.array_equal(whole, lengths):
        raise ValueError(f"lengths must hold a whole number for each of {n_series} series.")
    if whole.min() < 1 or whole.max() > longest:
        raise ValueError(
            f"lengths must lie between 1 and {longest}, the length of the longest series that "
            f"{type(estimator).__name__} was fitted to."
        )
    return whole


def _refuse_one_series(X, name, min_samples):
    """Say what to do with a recording where a set of series is needed."""
    kind = getattr(getattr(X, "dtype", None), "kind", None)
    if len(X.shape) == 1 and kind != "O":  # an array of objects may have a series in each cell
        raise ValueError(
            f"Expected 2D array, got 1D array instead. {_WANTED.format(name)} {_RECORDING} Reshape "
            "your data by X.reshape(1, -1) if it is a single series."
        )
    if len(X.shape) == 3 and X.shape[0] == 1 < min_samples:
        raise ValueError(
            f"Found array with 1 sample(s) (shape={tuple(X.shape)}) while a minimum of "
            f"{min_samples} is required by {name}. {_RECORDING}"
        )


def validate_beginnings(estimator, X, horizon):
    """Series that go on, as float64 windows ``(n, c, t)`` whose last `horizon` values are NaN.

    The end of a longer series is taken; of a shorter one the beginning of the window is NaN too.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like of shape (n, m) or (n, c, m)
        Of any length m; NaN stands for a missing value.
    horizon : int
        Below the length t of the series that the estimator was fitted to.

    Raises
    ------
    ValueError
        If `X` is not 2-D or 3-D, empty, not finite where it is not NaN, or of other channels.
    TypeError
        If `X` is sparse or not numeric.
    """
    X = as_array_like(X, type(estimator).__name__, missing=True)
    X = check_array(X, estimator=estimator, input_name="X", allow_nd=True, **_SERIES)
    X = X[:, None] if X.ndim == 2 else X
    n_before = estimator.n_timepoints_in_ - horizon
    windows = np.full((*X.shape[:2], estimator.n_timepoints_in_), np.nan)
    seen = X[..., -n_before:]
    windows[..., n_before - seen.shape[2] : n_before] = seen
    return validate_series(estimator, windows, missing="any")


def check_values(X, estimator, reset=False, missing=False):
    """Refuse infinite values and, unless they stand for missing ones, NaN."""
    name = type(estimator).__name__
    # The extremes tell without a mask of the size of X; fmin and fmax pass NaN over.
    lowest = (np.fmin if missing else np.minimum).reduce(X, axis=None)
    highest = (np.fmax if missing else np.maximum).reduce(X, axis=None)
    if np.isnan(lowest) and not missing:
        raise ValueError(
            f"Input X contains NaN: {name} does not accept missing values: "
            f"{_advice(estimator, reset) or 'interpolate them'} or leave those series out."
        )
    if max(-lowest, highest) > np.finfo(np.float32).max:
        raise ValueError(
            "Input X contains infinity or a value too large for dtype('float32'), "
            f"the precision of {name}."
        )


def _advice(estimator, reset):
    """What an estimator can do about missing values that it refuses, or None."""
    if hasattr(estimator, "impute"):
        return None if reset else "fill them with `impute`"
    if hasattr(estimator, "missing"):
        return "fit it with missing='mask'" + _INTERPOLATE
    if hasattr(estimator, "pretrained"):
        return "fit it with a `pretrained` that has missing='mask'" + _INTERPOLATE
    return None


def _advice_on_length(advice):
    """What can be done about series of unequal length, given what can about missing values."""
    if not advice or "missing='mask'" not in advice:
        return _ONE_LENGTH
    by_mask = advice.removesuffix(_INTERPOLATE)
    return f"{by_mask} (see skvqts.as_series_list), or {_ONE_LENGTH}"


def _refuse_unknown_series(X, name):
    """Refuse series without a known value."""
    # The least value passes NaN over: it is NaN where there is nothing else.
    unknown_series = np.isnan(np.fmin.reduce(X, axis=(1, 2))).nonzero()[0]
    if unknown_series.size:
        raise ValueError(
            f"All values of X[{unknown_series[0]}] are missing: {name} needs a known value in each "
            "series, leave that one out."
        )


def _refuse_unknown_channels(largest, name):
    """Refuse channels of which no series has a known value: their largest value is NaN."""
    unknown_channels = np.isnan(largest).nonzero()[0]
    if unknown_channels.size:
        raise ValueError(
            f"All values of X[:, {unknown_channels[0]}] are missing: {name} needs a known value of "
            "each channel, leave that one out."
        )


def as_array_like(X, name, argument="X", missing=False, advice=None):
    """Something with a shape; what scikit-learn would misread is refused, on behalf of `name`.

    Masked values become NaN where these stand for missing ones; else `advice` says what can be done
    besides filling them.
    """
    if isinstance(X, torch.Tensor) and X.is_nested:
        raise ValueError(_UNEQUAL.format(argument, name, _advice_on_length(advice)))
    if isinstance(X, torch.Tensor):
        return _array_of_tensor(X, name)
    if isinstance(X, (list, tuple)):
        X = _array_of_list(X, name, argument, _advice_on_length(advice))
    if missing and np.ma.is_masked(X):
        X = X.astype(np.float64).filled(np.nan)
    if np.ma.is_masked(X):
        raise ValueError(
            f"{argument} is a masked array with masked values, which {name} does not accept: "
            f"{f'{advice} or ' if advice else ''}fill them before ({argument}.filled(...))."
        )
    if not (X is None or isinstance(X, Number) or any(hasattr(X, a) for a in _CONTAINERS)):
        raise TypeError(
            f"{argument} must be array-like, got {type(X).__name__}. {_WANTED.format(name)}"
        )
    if hasattr(X, "to_list") and _holds_lists(X.dtype):  # a column of lists
        X = _array_of_list(X.to_list(), name, argument, _advice_on_length(advice))
    X = _without_na(X if hasattr(X, "shape") else np.asarray(X))
    _refuse_other_forms(X, name, argument)
    if hasattr(X, "columns"):
        _refuse_columns(X, name, argument)
    return X


def _without_na(X):
    """An array, or a table of pandas, whose objects are NaN where they were missing."""
    if isinstance(X, np.ndarray) and X.dtype == object:
        is_na = np.array([type(value).__name__ == "NAType" for value in X.flat], bool)
        return np.where(is_na.reshape(X.shape), np.nan, X) if is_na.any() else X
    dtypes = getattr(X, "dtypes", ()) if hasattr(X, "columns") else [getattr(X, "dtype", None)]
    if hasattr(X, "notna") and object in list(dtypes):
        return X.where(X.notna(), np.nan)
    return X


def refuse_arrow(table, name):
    """Refuse tables of Arrow where columns are asked for by their names."""
    if not hasattr(table, "dtypes"):
        raise TypeError(
            f"{name} takes tables of pandas or polars, got a {type(table).__module__} "
            f"{type(table).__name__}: pass its to_pandas(), or polars.from_arrow(...)."
        )


def _refuse_columns(table, name, argument):
    """Refuse a table with a column of times or of what is no number, and name it."""
    for column in table.columns:
        if str(column).lower() in _TIMES:
            raise ValueError(
                f"{argument} has a column {column!r}, so that its rows are times and not series. "
                f"{_WANTED.format(name)} {_RECORDING} A long table becomes series by "
                "as_series_list."
            )
    if not hasattr(table, "dtypes"):  # of pyarrow
        return
    for i, (column, dtype) in enumerate(zip(table.columns, table.dtypes, strict=True)):
        words = str(dtype).lower()
        is_text = False
        if words.startswith((*_TEXT, "object")):
            # By position: two columns may have one name.
            values = table.iloc[:, i] if hasattr(table, "iloc") else table[column]
            cells = (cell for cell in values if isinstance(cell, str))
            is_text = not all(map(_is_number, cells))
        if is_text or words.startswith(_NO_NUMBERS):
            raise TypeError(
                f"Column {column!r} of {argument} holds {dtype}, and no numbers: leave it out. "
                f"{_WANTED.format(name)} {_RECORDING}"
            )


def content_of(array):
    """The word for what an array holds in place of numbers."""
    words = {"U": "text", "S": "bytes", "M": "dates", "m": "durations", "c": "complex numbers"}
    return words.get(array.dtype.kind, f"values of dtype {array.dtype}")


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _refuse_other_forms(X, name, argument):
    if getattr(getattr(X, "index", None), "nlevels", 1) > 1:
        raise ValueError(
            f"{argument} has a hierarchical index, as a DataFrame with a row for each time point. "
            f"{_WANTED.format(name)} sktime's convert_to(X, 'numpy3D') makes one of such; where "
            f"each row is a series, pass {argument}.to_numpy()."
        )
    if len(X.shape) > 3:
        raise ValueError(
            f"Found array with dim {len(X.shape)}, while dim <= 3 is required by {name}."
        )
    kind = getattr(getattr(X, "dtype", None), "kind", None)
    if kind in ("m", "M"):
        raise TypeError(f"{argument} holds dates or durations, which {name} does not accept.")
    if kind == "V":
        raise TypeError(f"{argument} holds records. {_WANTED.format(name)}")


def _array_of_tensor(X, name):
    if X.layout != torch.strided or X.device.type == "meta":
        raise TypeError(f"Sparse data was passed or data without values; {name} needs dense data.")
    X = X.detach().cpu().resolve_conj().resolve_neg()
    return (X.float() if X.dtype == torch.bfloat16 else X).numpy()


def _array_of_list(X, name, argument, advice):
    X = [_array_of_tensor(x, name) if isinstance(x, torch.Tensor) else x for x in X]
    if any(np.ma.is_masked(x) for x in X):
        return np.ma.stack(X)
    try:
        return np.asarray(X)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise ValueError(_UNEQUAL.format(argument, name, advice)) from None


def plain_array(values, argument):
    """Labels, lengths or weights as an array, of any number of dimensions.

    Raises
    ------
    ValueError
        If they are lists of unequal length, or lists in lists without end, or some are masked.
    TypeError
        If they are a tensor without values.
    """
    if isinstance(values, torch.Tensor):
        return _array_of_tensor(values, argument)
    _refuse_masked(values, argument)
    try:
        return np.asarray(values)
    except (ValueError, RuntimeError, TypeError):
        raise ValueError(
            f"{argument} must be one value for each series, or one for all, got a "
            f"{type(values).__name__} of something else."
        ) from None


def _refuse_masked(values, argument):
    """Refuse labels, lengths or weights of which some are masked: an array would lose the mask."""
    if np.ma.is_masked(values):
        raise ValueError(
            f"{argument} has masked values: leave those series out, or fill them before "
            f"({argument}.filled(...))."
        )


def _array_if_many(y):
    """Labels as an array, one label as it is."""
    if issparse(y):
        raise TypeError("y is a sparse array: give labels as a dense one (y.toarray().ravel()).")
    if isinstance(y, (str, bytes, Mapping)) or not (hasattr(y, "__len__") or hasattr(y, "shape")):
        return y
    return plain_array(y, "y")


def validate_labels(estimator, y, n_samples):
    """Classes, sorted, and the index of the class of each series, int64.

    Raises
    ------
    ValueError
        If `y` is missing, not one label per series, or not of classes.
    """
    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None."
        )
    y = checked_labels(y, n_samples, "y", type(estimator).__name__)
    classes, indices = np.unique(y, return_inverse=True)
    return classes, indices.astype(np.int64)


def validate_weights(estimator, sample_weight, y):
    """Weights of training series, by themselves and by class: float32 of mean 1, or None.

    None where all weigh the same.

    Parameters
    ----------
    estimator : classifier
        With a parameter `class_weight`.
    sample_weight : array-like of shape (n,) or None
    y : ndarray of shape (n,)
        Valid labels.

    Raises
    ------
    ValueError
        If there is not one finite weight of at least 0 for each series, or all are 0 but those of
        one of several classes.
    """
    weights = compute_sample_weight(estimator.class_weight, y).astype(np.float64)
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            "class_weight must hold a finite weight of at least 0 for each class, got "
            f"{estimator.class_weight!r}."
        )
    if sample_weight is not None:
        if isinstance(sample_weight, Number):  # one weight for all, as scikit-learn has it
            sample_weight = np.full(len(y), sample_weight)
        sample_weight = plain_array(sample_weight, "sample_weight")
        if sample_weight.dtype.kind not in "biuf":
            try:
                sample_weight = sample_weight.astype(np.float64)
            except (ValueError, TypeError):
                raise ValueError("sample_weight must hold a number for each series.") from None
        weights = weights * _check_sample_weight(
            sample_weight, y, dtype=np.float64, ensure_non_negative=True
        )
    if len(np.unique(y[weights > 0])) < min(2, len(np.unique(y))):
        raise ValueError(
            f"{type(estimator).__name__} needs weights above 0 of two classes at least, or of all "
            "series if there is only one class."
        )
    if np.all(weights == weights[0]):
        return None
    return (weights / weights.mean()).astype(np.float32)


def checked_labels(y, n_samples, argument, name=None):
    """Labels ``(n,)``, one for each series, on behalf of `name`."""
    if isinstance(y, torch.Tensor):
        y = plain_array(y, argument)
    _refuse_masked(y, argument)
    # NumPy makes strings of all that a list holds where it holds one.
    one_by_one = y if isinstance(y, (list, tuple)) else ()
    y = column_or_1d(y, warn=True)
    one_by_one = y if y.dtype == object else one_by_one
    if any(map(is_missing, one_by_one)):
        raise ValueError(f"Input {argument} contains NaN or None: every series needs a label.")
    if len({isinstance(label, str) for label in one_by_one}) > 1:
        raise TypeError(f"{argument} mixes strings with other labels.")
    y = plain_labels(y)
    assert_all_finite(y, estimator_name=name, input_name=argument)
    if len(y) != n_samples:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {[n_samples, len(y)]}"
        )
    check_classification_targets(y)
    return y


def plain_labels(y):
    """Labels as they are, but objects, as tables hold, as the numbers or truth values they are."""
    labels = np.asarray(y)
    if labels.dtype != object or labels.ndim != 1:
        return y
    if all(isinstance(label, (bool, np.bool_)) for label in labels):
        return labels.astype(bool)
    if any(isinstance(label, (bool, np.bool_)) for label in labels):
        return y
    if all(isinstance(label, Integral) for label in labels):
        return labels.astype(np.int64) if all(abs(int(n)) < 2**63 for n in labels) else y
    return labels.astype(np.float64) if all(isinstance(n, Real) for n in labels) else y


def is_missing(label):
    """None, NaN, or what compares to neither true nor false, as pandas' NA."""
    try:
        return label is None or label is np.ma.masked or bool(label != label)
    except TypeError:
        return True


def validate_known_classes(estimator, y, n_series):
    """Indices of classes that `fit` of a generator saw: a label for each series, or one for all."""
    name = type(estimator).__name__
    y = _array_if_many(y)
    if isinstance(y, Mapping):
        raise TypeError(
            "y holds a label for each series, and not numbers of series by label: "
            "numpy.repeat(list(y), list(y.values())) makes these."
        )
    if not hasattr(estimator, "classes_"):
        raise ValueError(f"y is for a {name} fitted with labels; this one was fitted without.")
    y = np.asarray([y] * n_series) if np.ndim(y) == 0 else y
    y = checked_labels(y, n_series, "y", name)
    unseen = sorted(set(y.tolist()) - set(estimator.classes_.tolist()))
    if unseen:
        raise ValueError(
            f"y contains unseen label: {unseen[0]!r}; this {name} has learned "
            f"{estimator.classes_.tolist()}."
        )
    return np.searchsorted(estimator.classes_, y)


def validate_n_samples(n_samples, y, n_values, name):
    """The number of series to sample: a positive integer that `y` agrees with, and memory holds.

    Parameters
    ----------
    n_samples : int or None
        None means one for each label of `y`, or one.
    y : label, array-like or None
    n_values : int
        Number of float32 values that each series takes.
    name : str
        Who asks.
    """
    y = _array_if_many(y)
    if n_samples is None:
        if np.ndim(y) and len(y) == 0:
            raise ValueError("y holds no label: one is needed for each series to sample.")
        n_samples = len(y) if np.ndim(y) else 1
    validate_parameter_constraints(
        {"n_samples": [IntegerInterval(1)]}, {"n_samples": n_samples}, name
    )
    if np.ndim(y) and len(y) != n_samples:
        raise ValueError(
            f"n_samples={n_samples} contradicts y, which holds {len(y)} labels: leave n_samples "
            "out, or give one label for all."
        )
    refuse_beyond_memory(
        4 * int(n_samples) * int(n_values),
        f"n_samples={n_samples} series need",
        "sample in parts, each with a random_state of its own",
    )
    return n_samples


def validate_request(estimator, n_samples, y, return_y, n_values):
    """What `sample` of a fitted estimator is asked for.

    Parameters
    ----------
    estimator : fitted generator
        Its ``architecture_["n_classes"]`` is 0 after a fit without labels.
    n_samples, y, return_y
        The arguments of `sample`.
    n_values : int
        Number of float32 values that each series takes; 0 if not all are in memory at once.

    Returns
    -------
    n_samples : int
    classes : int64 ndarray of shape (n_samples,) or None
        Indices of the classes; None where these are to be drawn.

    Raises
    ------
    ValueError
        If `n_samples` is no positive whole number or contradicts `y`, `y` holds a class that `fit`
        did not see, or classes are to be returned where there are none.
    MemoryError
        If the memory does not hold as many series.
    """
    name = type(estimator).__name__
    validate_parameter_constraints({"return_y": ["boolean"]}, {"return_y": return_y}, name)
    n_samples = validate_n_samples(n_samples, y, n_values, name)
    classes = None if y is None else validate_known_classes(estimator, y, n_samples)
    if return_y and estimator.architecture_["n_classes"] == 0:
        raise ValueError(f"return_y=True needs a {name} fitted with labels.")
    return n_samples, classes


def random_seed(random_state):
    """One integer from a scikit-learn `random_state`, for all generators of a call."""
    if isinstance(random_state, Integral) and not 0 <= random_state < 2**32:
        raise ValueError(f"random_state must be in [0, 2**32), got {random_state}.")
    return int(check_random_state(random_state).randint(2**31 - 1))


def generator_from(random_state):
    """A CPU generator seeded from a scikit-learn `random_state`."""
    return torch.Generator("cpu").manual_seed(random_seed(random_state))


def resolve_device(device):
    """The torch device that ``device="auto" | "cpu" | "cuda" | "cuda:1" | "mps"`` means here.

    Raises
    ------
    ValueError
        If the name is unknown or this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        resolved = None
    if resolved is None or resolved.type not in ("cpu", "cuda", "mps"):
        raise ValueError(
            "device must be 'auto', 'cpu', 'cuda', 'cuda:<index>', 'mps' or a torch.device "
            f"of these. Got {device!r} instead."
        )
    present = {
        "cpu": True,
        "mps": torch.backends.mps.is_available(),
        # "cuda" without an index is the first device.
        "cuda": (resolved.index or 0) < torch.cuda.device_count(),
    }
    if not present[resolved.type]:
        raise ValueError(
            f"device={device!r} requested but torch reports no such device; "
            "use device='cpu' or 'auto'."
        )
    return resolved


def resolve_precision(precision, device):
    """The precision, "float32" or "bfloat16", that "auto" means for trainings on a device.

    "auto" is bfloat16 on processors with instructions for it, where every network here trains
    faster with it; others emulate it, ten times as slowly. On other devices it was not measured
    and is float32.
    """
    if precision != "auto":
        return precision
    has_bfloat16 = device.type == "cpu" and not {"avx512_bf16", "amx_bf16"}.isdisjoint(
        name for name, present in cpu_capabilities().items() if present
    )
    return "bfloat16" if has_bfloat16 else "float32"


def cpu_capabilities():
    """What this processor can do, by name; nothing where torch cannot tell."""
    tell = getattr(torch.cpu, "get_capabilities", dict)  # a recent addition to torch
    return tell()


def validate_tokens(estimator, ids, ranges):
    """Token ids as an int64 ``(n, N)`` array, each in its range: ``ranges`` is ``(N, 2)``."""
    name = type(estimator).__name__
    n_tokens = len(ranges)
    ids = check_array(
        as_array_like(ids, name), dtype=None, estimator=estimator, input_name="token ids"
    )
    if ids.dtype == object and all(isinstance(value, Real) for value in ids.flat):
        ids = ids.astype(np.float64)  # tables hold objects
    if ids.dtype.kind not in "biuf":
        raise ValueError(f"token ids must be whole numbers, got {content_of(ids)}.")
    if ids.shape[1] != n_tokens:
        raise ValueError(
            f"X has {ids.shape[1]} tokens per series, but {name} is expecting {n_tokens}."
        )
    whole = ids.astype(np.int64)
    wrong = (whole != ids) | (whole < ranges[:, 0]) | (whole >= ranges[:, 1])
    if wrong.any():
        series, token = np.argwhere(wrong)[0]
        first, stop = ranges[token].tolist()
        raise ValueError(
            f"token ids must be whole numbers in [{first}, {stop}) in column {token}, and series "
            f"{series} has {ids[series, token]} there."
        )
    return whole


def validate_read_out(estimator, X, n_columns):
    """A float ``(n, n_columns)`` read-out to be inverted."""
    X = as_array_like(X, type(estimator).__name__)
    X = check_array(X, dtype=np.float32, estimator=estimator, input_name="X")
    if X.shape[1] != n_columns:
        output = f"output={estimator.output!r}" if hasattr(estimator, "output") else ""
        raise ValueError(
            f"X has {X.shape[1]} columns, but inverse_transform of "
            f"{type(estimator).__name__}({output}) is expecting {n_columns}."
        )
    return X


def validate_one_hot(estimator, X, ranges):
    """Ids ``(n, N)`` of a one-hot ``(n, N * K)`` matrix of the K codes in the range of each."""
    n_tokens = len(ranges)
    n_codes = int(ranges[0, 1] - ranges[0, 0])
    cells = validate_read_out(estimator, X, n_tokens * n_codes).reshape(len(X), n_tokens, n_codes)
    codes = cells.argmax(2)
    if not np.array_equal(cells, np.arange(n_codes) == codes[..., None]):
        raise ValueError("X must hold exactly one 1 per token, at one of its codes, and 0 else.")
    return codes + ranges[:, 0]
