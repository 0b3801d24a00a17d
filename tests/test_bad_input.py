"""Invalid input raises a clear error of skvqts or scikit-learn and changes nothing."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.exceptions import NotFittedError

from .conftest import two_shapes
from .estimators import (
    CLASSIFIERS,
    COUNT_PARAMETER,
    TRANSFORMERS,
    UNSEEDED,
    fitted,
    fitted_classifier,
)
from .refusals import assert_refused

NAMES = list(TRANSFORMERS)
WITHOUT_GAPS = [name for name in NAMES if not name.endswith("with gaps")]
VALUE, TYPE = (ValueError,), (TypeError,)


def with_value(value):
    """A function that puts a value into a copy of series."""

    def change(X):
        X = X.copy()
        X[1, 2] = value
        return X

    return change


def _structured(X):
    return np.zeros(len(X), dtype=[("a", float), ("b", float)])


def _panel_frame(X):
    """sktime's long format: a row for each time point, indexed by series and time."""
    index = pd.MultiIndex.from_product([range(4), range(8)])
    return pd.DataFrame({"value": X[0]}, index=index)


def _nested_frame(X):
    """sktime's nested format: a whole series in each cell."""
    return pd.DataFrame({"dim_0": [pd.Series(row) for row in X]})


def _nullable(X):
    frame = pd.DataFrame(np.round(X)).astype("Int64")
    frame.iloc[1, 2] = pd.NA
    return frame


# Invalid series made from valid ones (24, 32), the error and its message, in fit and transform.
REFUSED = {
    "None": (lambda X: None, VALUE, "Expected 2D"),
    "scalar": (lambda X: 3.0, VALUE, "Expected 2D"),
    "one dimension": (lambda X: X[0], VALUE, "Expected 2D array, got 1D.*(?s:.)*Reshape"),
    "four dimensions": (lambda X: X[None, None], VALUE, "dim 4, while dim <= 3 is required"),
    "no series": (lambda X: X[:0], VALUE, "0 sample"),
    "panel without series": (lambda X: X[:0, None], VALUE, "0 sample"),
    "no time point": (lambda X: X[:, :0], VALUE, "0 feature"),
    "panel without channels": (lambda X: np.zeros((4, 0, 32)), VALUE, "0 channel"),
    "panel without time points": (lambda X: np.zeros((4, 1, 0)), VALUE, "0 time point"),
    "lists of unequal length": (lambda X: [list(X[0]), list(X[1, :9])], VALUE, "unequal length"),
    "panels of unequal length": (lambda X: [X[:1], X[:1, :9]], VALUE, "unequal length"),
    "object array of unequal length": (
        lambda X: np.array([X[0], X[1, :9]], dtype=object),
        VALUE,
        "unequal length",
    ),
    "nested tensor": (
        lambda X: torch.nested.nested_tensor([torch.zeros(4), torch.zeros(9)]),
        VALUE,
        "unequal length",
    ),
    "data frame with a text column": (
        lambda X: pd.DataFrame(X).assign(name="a"),
        (ValueError, TypeError),
        "could not convert|names|no numbers",
    ),
    "data frame with a missing value": (_nullable, VALUE, "NaN|missing"),
    "data frame with a MultiIndex": (_panel_frame, VALUE, r"\(n, c, t\)"),
    "data frame of nested series": (_nested_frame, VALUE, r"\(n, c, t\)"),
    "masked array": (lambda X: np.ma.masked_greater(X, 0), VALUE, "masked"),
    "sparse array": (sparse.csr_array, TYPE, "Sparse data was passed"),
    "sparse tensor": (lambda X: torch.tensor(X).to_sparse(), TYPE, "Sparse data was passed"),
    "generator": (lambda X: (row for row in X), TYPE, "must be array-like, got"),
    "iterator": (iter, TYPE, "must be array-like, got"),
    "dict": (lambda X: {"a": X}, TYPE, "must be array-like, got dict"),
    "set": (lambda X: {1.0, 2.0}, TYPE, "must be array-like, got"),
    "bytes": (lambda X: b"abc", TYPE, "must be array-like, got"),
    "file name": (lambda X: "series.csv", TYPE, "must be array-like, got"),
    "function": (lambda X: len, TYPE, "must be array-like, got"),
    "NaN": (with_value(np.nan), VALUE, "contains NaN: .* does not accept missing values"),
    "NaN in a panel": (lambda X: with_value(np.nan)(X)[:, None], VALUE, "contains NaN"),
    "infinity": (with_value(np.inf), VALUE, "contains infinity or a value too large"),
    "minus infinity": (with_value(-np.inf), VALUE, "contains infinity or a value too large"),
    "too large for float32": (with_value(1e300), VALUE, r"too large for dtype\('float32'\)"),
    "object array with None": (lambda X: with_value(None)(X.astype(object)), VALUE, "NaN"),
    "object array with pandas' NA": (
        lambda X: with_value(pd.NA)(X.astype(object)),
        VALUE,
        "contains NaN",
    ),
    "list with pandas' NA": (
        lambda X: with_value(pd.NA)(X.astype(object)).tolist(),
        VALUE,
        "contains NaN",
    ),
    "data frame of objects with pandas' NA": (
        lambda X: pd.DataFrame(with_value(pd.NA)(X.astype(object))),
        VALUE,
        "contains NaN",
    ),
    "object array with a dict": (
        lambda X: with_value({})(X.astype(object)),
        TYPE,
        "must be a string or a real number",
    ),
    "words": (lambda X: np.full((4, 32), "a"), VALUE, "could not convert string to float"),
    "complex array": (lambda X: X.astype(complex), VALUE, "Complex data not supported"),
    "complex tensor": (
        lambda X: torch.tensor(X.astype(complex)),
        VALUE,
        "Complex data not supported",
    ),
    "dates": (lambda X: X.astype("datetime64[s]"), TYPE, "dates or durations"),
    "durations": (lambda X: X.astype("timedelta64[s]"), TYPE, "dates or durations"),
    "structured array": (_structured, TYPE, "X holds records"),
}

# Series that only an estimator fitted to series (24, 32) refuses.
REFUSED_LATER = {
    "shorter": (lambda X: X[:, :16], "X has 16 features, but .* is expecting 32 features"),
    "longer": (lambda X: np.hstack([X, X]), "X has 64 features, but .* is expecting 32"),
    "shorter panel": (lambda X: X[:, None, :16], "X has 16 time points"),
    "more channels": (lambda X: np.stack([X, X], 1), "X has 2 channels, but .* is expecting 1"),
    "far from the training series": (lambda X: 1e38 * X, "1e.15 standard deviations away"),
}

MISSING = (
    "data frame with a missing value",
    "NaN",
    "NaN in a panel",
    "object array with None",
    "object array with pandas' NA",
    "list with pandas' NA",
    "data frame of objects with pandas' NA",
)
# What those that take missing values do not refuse.
GAPS = (
    *MISSING,
    "masked array",
    "lists of unequal length",
    "panels of unequal length",
    "object array of unequal length",
    "nested tensor",
)
REFUSED_BY = [(n, c) for n in NAMES for c in REFUSED if n in WITHOUT_GAPS or c not in GAPS]

PARAMETERS = [0, -1, 2.5, "8", True, float("nan"), None]


@pytest.fixture
def X():
    return two_shapes(24)[0]


@pytest.mark.parametrize(("name", "case"), REFUSED_BY)
def test_invalid_series_are_refused_in_fit_and_transform(name, case, X):
    make, types, message = REFUSED[case]
    transformer = fitted(name)
    state = transformer.__dict__.copy()
    assert_refused(lambda: transformer.transform(make(X)), types, message)
    assert vars(transformer) == state
    new = TRANSFORMERS[name]()
    assert_refused(lambda: new.fit(make(X)), types, message)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("case", REFUSED_LATER)
@pytest.mark.parametrize("name", NAMES)
def test_series_unlike_the_training_series_are_refused_in_transform(name, case, X):
    make, message = REFUSED_LATER[case]
    assert_refused(lambda: fitted(name).transform(make(X)), VALUE, message)


@pytest.mark.parametrize("name", NAMES)
def test_one_series_cannot_be_fitted(name, X):
    assert_refused(lambda: TRANSFORMERS[name]().fit(X[:1]), VALUE, "1 sample")


@pytest.mark.parametrize("name", NAMES)
def test_columns_in_another_order_are_refused(name, X):
    frame = pd.DataFrame(X, columns=[f"t{i}" for i in range(32)])
    transformer = TRANSFORMERS[name](max_epochs=1).fit(frame)
    assert_refused(
        lambda: transformer.transform(frame[frame.columns[::-1]]), VALUE, "feature names should"
    )


@pytest.mark.parametrize("value", PARAMETERS, ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_invalid_parameters_are_refused_in_fit_and_not_before(name, value, X):
    parameter = COUNT_PARAMETER[name.split()[0]]
    transformer = TRANSFORMERS[name](**{parameter: value})
    message = f"The '{parameter}' parameter of {name.split()[0]} must be an int in the range"
    assert_refused(lambda: transformer.fit(X), VALUE, message)


@pytest.mark.parametrize("name", NAMES)
def test_unknown_parameters_are_refused(name):
    make = TRANSFORMERS[name]
    assert_refused(lambda: make().set_params(codes=3), VALUE, "Invalid parameter")
    with pytest.raises(TypeError, match="codes"):
        make(codes=3)


@pytest.mark.parametrize(
    "value", [np.random.default_rng(0), "0", -1, 1.5], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNSEEDED])
def test_invalid_seeds_are_refused(name, value, X):
    transformer = TRANSFORMERS[name](random_state=value)
    assert_refused(lambda: transformer.fit(X), VALUE, "'random_state'|Seed")


@pytest.mark.parametrize("name", NAMES)
def test_methods_raise_before_fit(name, X):
    new = TRANSFORMERS[name]()
    methods = [m for m in ("transform", "encode", "decode", "score") if hasattr(new, m)]
    for method in methods:
        call = getattr(new, method)
        assert_refused(lambda c=call: c(X), (NotFittedError,), type(new).__name__)


@pytest.mark.parametrize("name", WITHOUT_GAPS)
@pytest.mark.parametrize("case", ["NaN", "one dimension", "no series"])
def test_a_failed_fit_leaves_the_previous_one_usable(name, case, X):
    transformer = TRANSFORMERS[name](max_epochs=1).fit(X)
    before = transformer.transform(X)
    make, types, message = REFUSED[case]
    assert_refused(lambda: transformer.fit(make(X)), types, message)
    assert np.array_equal(transformer.transform(X), before)


@pytest.mark.parametrize("name", WITHOUT_GAPS)
def test_errors_come_before_warnings_and_leave_the_input_unchanged(name, X):
    nan = with_value(np.nan)(X)
    before = nan.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_refused(lambda: fitted(name).transform(nan), VALUE, "contains NaN")
    assert np.array_equal(nan, before, equal_nan=True)


# ---- classifiers

# Invalid labels made from valid ones, the error and its message.
REFUSED_LABELS = {
    "too few labels": (lambda y: y[:-3], VALUE, r"inconsistent numbers of samples: \[24, 21\]"),
    "NaN": (lambda y: np.where(np.arange(24) == 3, np.nan, y), VALUE, "Input y contains NaN"),
    "infinity": (lambda y: np.where(np.arange(24) == 3, np.inf, y), VALUE, "infinity"),
    "None": (lambda y: [None, *y[1:].tolist()], VALUE, "None|NaN"),
    "NaN in a list of texts": (lambda y: [np.nan, *["a", "b"] * 11, "a"], VALUE, "NaN"),
    "a number in a list of texts": (lambda y: [1, *["a", "b"] * 11, "a"], TYPE, "mixes strings"),
    "masked labels": (lambda y: np.ma.masked_less(np.arange(24), 3) % 2, VALUE, "masked"),
    "a masked label in a list": (lambda y: [np.ma.masked, *y[1:]], VALUE, "masked|NaN"),
    "continuous labels": (lambda y: y + 0.25 * np.arange(24), VALUE, "Unknown label type"),
    "multilabel": (lambda y: np.eye(2, dtype=int)[y], VALUE, "1d array|multilabel"),
    "no labels": (lambda y: None, VALUE, "requires y to be passed, but the target y is None"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_refuse_invalid_series(name, case, X):
    make, types, message = REFUSED[case]
    classifier = fitted_classifier(name)
    assert_refused(lambda: classifier.predict(make(X)), types, message)
    new, y = CLASSIFIERS[name](), np.arange(24) % 2
    assert_refused(lambda: new.fit(make(X), y), types, message)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("case", REFUSED_LATER)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_refuse_series_of_another_shape(name, case, X):
    make, message = REFUSED_LATER[case]
    classifier = fitted_classifier(name)
    assert_refused(lambda: classifier.predict_proba(make(X)), VALUE, message)


@pytest.mark.parametrize("case", REFUSED_LABELS)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_refuse_invalid_labels(name, case, X):
    make, types, message = REFUSED_LABELS[case]
    new, y = CLASSIFIERS[name](), np.arange(24) % 2
    assert_refused(lambda: new.fit(X, make(y)), types, message)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_raise_before_fit_and_stay_usable_after_a_failed_fit(name, X):
    new = CLASSIFIERS[name]()
    assert_refused(lambda: new.predict(X), (NotFittedError,), type(new).__name__)
    classifier = CLASSIFIERS[name](max_epochs=1).fit(X, np.arange(24) % 2)
    before = classifier.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit(with_value(np.nan)(X), np.arange(24) % 3)
    assert np.array_equal(classifier.predict_proba(X), before)
