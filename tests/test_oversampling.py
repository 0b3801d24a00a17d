"""Rare classes filled up with generated series, beside the samplers of imbalanced-learn itself."""

import doctest
import pickle
from functools import partial

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.base import is_sampler
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.utils import check_sampling_strategy, estimator_checks
from scipy import sparse
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score

from skvqts import GenerativeOverSampler, MaskedPriorGenerator, load
from skvqts._generation import oversampling
from skvqts._generation.oversampling import as_type, n_missing

from .conftest import two_shapes
from .estimators import (
    autoregressive_prior,
    masked_prior,
    over_sampler,
    random_convolutions,
    tokenizer,
)
from .refusals import assert_refused
from .test_docstrings import documented
from .test_global_state import global_state
from .trained_generators import bumps, fitted_to_bumps

X = two_shapes(24)[0]
Y = np.array([0, 1, 1] * 8)
THREE = np.array(["a"] * 12 + ["b"] * 7 + ["c"] * 5)
FRAME = pd.DataFrame(X).add_prefix("t")


# ---- the strategy, as imbalanced-learn understands it

LABELS = {
    "integers": lambda y: y,
    "text": lambda y: np.array(["dog", "ant", "cow", "bee"])[y],
    "objects": lambda y: np.array(["dog", "ant", "cow", "bee"], dtype=object)[y],
    "floats": lambda y: y * 2.0 - 3,
}
NAMES = ["auto", "minority", "not minority", "not majority", "all"]


def outcome(count, strategy, y):
    """What a strategy asks for, or that it is refused."""
    try:
        found = count(strategy, y)
    except ValueError:
        return "refused"
    return [(label, int(number)) for label, number in found.items()]


def of_imbalanced_learn(strategy, y):
    return check_sampling_strategy(strategy, y, "over-sampling")


@pytest.mark.parametrize("kind", ["i1", "u1", "i4", "u4", "i8", "u8"])
def test_numbers_beyond_a_type_are_its_limits(kind):
    low, high = as_type(np.array([-1e30, 1e30]), np.dtype(kind)).tolist()
    limits = np.iinfo(kind)
    assert low == limits.min
    assert limits.max - 2**11 < high <= limits.max


@given(
    y=st.lists(st.integers(0, 3), min_size=1, max_size=40).map(np.array),
    strategy=st.sampled_from(NAMES) | st.floats(0.01, 1),
    kind=st.sampled_from(list(LABELS)),
)
@settings(max_examples=300)
def test_names_and_shares_ask_for_what_they_do_in_imbalanced_learn(y, strategy, kind):
    y = LABELS[kind](y)
    assert outcome(n_missing, strategy, y) == outcome(of_imbalanced_learn, strategy, y)


@given(
    y=st.lists(st.integers(0, 2), min_size=1, max_size=20).map(np.array),
    numbers=st.dictionaries(st.integers(0, 3), st.integers(-1, 25), max_size=4),
    kind=st.sampled_from(list(LABELS)),
)
@settings(max_examples=300)
def test_dicts_and_callables_ask_for_what_they_do_in_imbalanced_learn(y, numbers, kind):
    labels = LABELS[kind](np.array(list(numbers), dtype=int)).tolist()
    strategy = dict(zip(labels, numbers.values(), strict=True))
    y = LABELS[kind](y)
    expected = outcome(of_imbalanced_learn, strategy, y)
    assert outcome(n_missing, strategy, y) == expected
    assert outcome(n_missing, lambda labels: strategy, y) == expected


def test_a_callable_is_given_the_labels():
    seen = []

    def ten_of_the_last(y):
        seen.append(y)
        return {"c": 10}

    X_resampled, y_resampled = over_sampler(sampling_strategy=ten_of_the_last).fit_resample(
        X, pd.Series(THREE)
    )
    np.testing.assert_array_equal(seen[0], THREE)
    assert y_resampled[24:].tolist() == ["c"] * 5
    assert len(X_resampled) == 29


@pytest.mark.parametrize(
    ("strategy", "error", "match"),
    [
        (0.5, ValueError, "float for two classes only, and y has 3"),
        ({"d": 9}, ValueError, "names the class d, which is not in y; there are a, b, c"),
        ({"a": 11}, ValueError, "must give the class a, which has 12, .* Got 11"),
        ({"b": 9.5}, ValueError, "a whole number of at least as many. Got 9.5"),
        (lambda y: 7, TypeError, "must return a dict of class to number of series, got int"),
        ("majority", ValueError, "'sampling_strategy' parameter of GenerativeOverSampler"),
        (True, ValueError, "'sampling_strategy' parameter of GenerativeOverSampler"),
        (1.5, ValueError, "'sampling_strategy' parameter of GenerativeOverSampler"),
    ],
)
def test_a_strategy_that_cannot_be_met_is_refused_before_anything_is_learned(
    strategy, error, match
):
    sampler = over_sampler(generator=None, sampling_strategy=strategy)
    for call in (sampler.fit, sampler.fit_resample):
        assert_refused(partial(call, X, THREE), (error,), match)
    assert vars(sampler) == vars(clone(sampler))


def test_a_share_that_is_there_already_is_refused():
    with pytest.raises(ValueError, match="class 0 has 8 series and the class 1 has 16: sampling_"):
        over_sampler(sampling_strategy=0.5).fit(X, Y)


# ---- what is returned


@pytest.mark.parametrize("strategy", [*NAMES, {"c": 9, "a": 14}, {"b": 7}])
@pytest.mark.parametrize("label", [str, np.str_], ids=["objects", "text"])
def test_labels_are_those_of_random_over_sampling(strategy, label):
    y = np.array([label(name) for name in THREE], dtype=object if label is str else None)
    sampler = over_sampler(sampling_strategy=strategy)
    X_resampled, y_resampled = sampler.fit_resample(X, y)
    reference = RandomOverSampler(sampling_strategy=strategy)
    expected = reference.fit_resample(X, y)[1]
    np.testing.assert_array_equal(y_resampled, expected)
    assert y_resampled.dtype == expected.dtype
    assert len(X_resampled) == len(y_resampled)
    assert sampler.sampling_strategy_ == reference.sampling_strategy_


@pytest.mark.parametrize(
    "form",
    [
        lambda X: X,
        lambda X: X.astype(np.float32),
        lambda X: X.astype(np.float16),
        lambda X: X.astype(">f8"),
        lambda X: np.rint(50 * X).astype(np.int8),
        lambda X: np.stack([X, -X], axis=1),
        lambda X: X[:, None],
    ],
    ids=["float64", "float32", "float16", "big-endian", "int8", "two channels", "panel"],
)
def test_arrays_are_followed_by_new_series_of_their_type(form):
    given = form(X)
    before = given.copy()
    resampled, _ = over_sampler().fit_resample(given, Y)
    assert resampled.dtype == given.dtype
    assert resampled.shape == (32, *given.shape[1:])
    np.testing.assert_array_equal(resampled[:24], before)
    np.testing.assert_array_equal(given, before)
    new = resampled[24:].astype(float)
    assert np.isfinite(new).all()
    assert new.std() > 0.1 * before.astype(float).std()
    assert not np.shares_memory(resampled, given)


def test_whole_numbers_are_rounded_and_stay_in_their_range():
    given = np.rint(127 * np.sign(np.sin(np.arange(32) + np.arange(24)[:, None]))).astype(np.int8)
    exact = GenerativeOverSampler(masked_prior(decoder=None), random_state=0)
    floats = exact.fit_resample(given.astype(float), Y)[0][24:]
    whole = exact.fit_resample(given, Y)[0][24:]
    np.testing.assert_array_equal(whole, np.rint(floats).clip(-128, 127))


@pytest.mark.parametrize(
    "form", [torch.tensor, lambda X: pl.DataFrame(X), lambda X: X.astype(str), tuple]
)
def test_other_forms_become_arrays(form):
    resampled, _ = over_sampler().fit_resample(form(X), Y)
    expected, _ = over_sampler().fit_resample(X, Y)
    assert type(resampled) is np.ndarray
    np.testing.assert_array_equal(resampled, expected)


def test_lists_become_lists():
    for series in (X, X[:, None]):
        resampled, labels = over_sampler().fit_resample(series.tolist(), Y.tolist())
        expected, expected_labels = over_sampler().fit_resample(series, Y)
        assert resampled == expected.tolist()
        assert labels == expected_labels.tolist()


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("dtype", ["float64", "float32", "Float64", "int16", "Int32"])
def test_tables_are_as_imbalanced_learn_returns_them(dtype):
    frame = pd.DataFrame(np.rint(20 * X)).add_prefix("t").astype(dtype)
    frame["t3"] = frame["t3"].astype("float32")
    frame.index = np.arange(24) * 3 + 5
    y = pd.Series(Y, index=frame.index, name="class").astype("category")
    resampled, labels = over_sampler().fit_resample(frame, y)
    expected, expected_labels = RandomOverSampler().fit_resample(frame, y)
    pd.testing.assert_frame_equal(resampled[:24], expected[:24])
    pd.testing.assert_series_equal(labels, expected_labels)
    assert resampled.index.equals(expected.index)
    assert resampled.dtypes.equals(expected.dtypes)
    assert not resampled.isna().any(axis=None)
    of_labels = over_sampler().fit_resample(frame, y.to_frame())[1]
    pd.testing.assert_frame_equal(of_labels, expected_labels.to_frame())


def test_columns_that_hold_numbers_in_another_way_become_floats():
    frame = FRAME.assign(t0=FRAME["t0"].astype(str), t1=FRAME["t1"].astype("category"))
    resampled, _ = over_sampler().fit_resample(frame, Y)
    expected, _ = over_sampler().fit_resample(X, Y)
    np.testing.assert_array_equal(resampled.to_numpy(), expected)
    assert resampled.columns.equals(frame.columns)
    assert set(resampled.dtypes) == {np.dtype(float)}


# ---- what is generated


@pytest.mark.parametrize("kind", ["masked", pytest.param("autoregressive", marks=pytest.mark.slow)])
def test_generated_series_are_of_the_class_that_lacks_them(kind):
    series, labels = bumps(80, seed=5)
    rows = np.flatnonzero((labels == "late") | (np.arange(80) < 12))
    sampler = over_sampler(generator=FrozenEstimator(fitted_to_bumps(kind)))
    resampled, new_labels = sampler.fit_resample(series[rows], labels[rows])
    new = resampled[len(rows) :]
    assert new_labels[len(rows) :].tolist() == ["early"] * 34
    assert (new.argmax(1) < 20).mean() > 0.9
    distances = np.linalg.norm(new[:, None] - resampled[None, : len(rows)], axis=2)
    assert (distances > 0).all()  # none is a copy
    assert sampler.generator_ is fitted_to_bumps(kind)


def test_the_generator_learns_the_series_of_all_classes_and_their_labels():
    sampler = over_sampler()
    sampler.fit_resample(X, THREE)
    np.testing.assert_array_equal(sampler.generator_.X_fit_, X)
    np.testing.assert_array_equal(sampler.generator_.y_fit_, THREE)
    assert sampler.generator is not sampler.generator_
    assert not hasattr(sampler.generator, "module_")


def test_the_default_is_a_masked_prior(monkeypatch):
    fitted = []

    def fit(generator, X, y):
        fitted.append((type(generator), generator.get_params(deep=False)))
        raise NotFittedError

    monkeypatch.setattr(MaskedPriorGenerator, "fit", fit)
    with pytest.raises(NotFittedError):
        GenerativeOverSampler().fit_resample(X, Y)
    ((kind, parameters),) = fitted
    seed = parameters.pop("random_state")
    assert kind is MaskedPriorGenerator
    assert isinstance(seed, int)
    defaults = MaskedPriorGenerator().get_params(deep=False)
    assert parameters == {name: defaults[name] for name in parameters}


@pytest.mark.parametrize("strategy", ["auto", {}, {0: 12}])
def test_where_no_series_are_missing_nothing_is_learned(strategy):
    y = np.arange(24) % 2
    sampler = over_sampler(sampling_strategy=strategy)
    resampled, labels = sampler.fit_resample(FRAME, y)
    pd.testing.assert_frame_equal(resampled, FRAME)
    np.testing.assert_array_equal(labels, y)
    assert sampler.generator_ is None


def test_a_seed_decides_everything_and_no_global_state_is_touched():
    before = global_state()
    first = over_sampler(random_state=3).fit_resample(X, Y)[0]
    unseeded = over_sampler(generator=masked_prior(decoder=None, random_state=None), random_state=3)
    results = [unseeded.fit_resample(X, Y)[0] for _ in range(2)]
    assert global_state() == before
    np.testing.assert_array_equal(over_sampler(random_state=3).fit_resample(X, Y)[0], first)
    np.testing.assert_array_equal(*results)
    assert unseeded.generator_.random_state is not None
    other = over_sampler(random_state=4).fit_resample(X, Y)[0]
    assert not np.array_equal(other, first)  # of one generator, which has a seed of its own
    by_object = [
        over_sampler(random_state=np.random.RandomState(3)).fit_resample(X, Y)[0] for _ in range(2)
    ]
    np.testing.assert_array_equal(*by_object)


# ---- as a part of other things


def pipeline(classifier):
    return Pipeline(
        [("sampler", over_sampler()), ("features", random_convolutions()), ("end", classifier)]
    )


def test_in_the_pipeline_of_imbalanced_learn_training_series_are_resampled_and_others_are_not():
    model = pipeline(DummyClassifier(strategy="prior")).fit(X, Y)
    assert model["end"].class_prior_.tolist() == [0.5, 0.5]
    assert model.predict(X[:5]).shape == (5,)
    resampled = model[:1].fit_resample(X, Y)
    np.testing.assert_array_equal(resampled[0], over_sampler().fit_resample(X, Y)[0])


def test_it_can_be_searched_and_cross_validated():
    model = pipeline(RidgeClassifier())
    scores = cross_val_score(model, X, Y, cv=2, scoring="balanced_accuracy", error_score="raise")
    assert np.isfinite(scores).all()
    grid = {"sampler__sampling_strategy": [0.8, "all"], "sampler__generator__temperature": [0.5]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise").fit(FRAME, Y)
    sampler = search.best_estimator_["sampler"]
    assert sampler.generator_.temperature == 0.5
    assert sampler.feature_names_in_.tolist() == FRAME.columns.tolist()


def test_parameters_of_the_generator_are_reached():
    sampler = clone(over_sampler().set_params(generator__tokenizer__codebook_size=5))
    assert sampler.get_params()["generator__tokenizer__codebook_size"] == 5
    sampler.fit_resample(X, Y)
    assert len(sampler.generator_.tokenizer_.codebook_) == 5
    assert is_sampler(sampler)


@pytest.mark.parametrize("strategy", ["auto", {"b": 9, "c": 6}])
def test_a_file_or_pickle_holds_the_generator(tmp_path, strategy):
    sampler = over_sampler(sampling_strategy=strategy)
    sampler.fit_resample(FRAME, THREE)
    sampler.save(tmp_path / "sampler")
    for same in (load(tmp_path / "sampler"), pickle.loads(pickle.dumps(sampler))):
        new = [s.generator_.sample(5, random_state=0) for s in (same, sampler)]
        np.testing.assert_array_equal(*new)
        assert same.sampling_strategy_ == sampler.sampling_strategy_
        assert not hasattr(same.generator_, "X_fit_")
        again = same.fit_resample(FRAME, THREE)[0]
        pd.testing.assert_frame_equal(again, sampler.fit_resample(FRAME, THREE)[0])


def test_a_function_cannot_be_kept_in_a_file(tmp_path):
    sampler = over_sampler(sampling_strategy=lambda y: {1: 20}).fit(X, Y)
    with pytest.raises(TypeError, match="sampling_strategy is a builtins"):
        sampler.save(tmp_path / "sampler")


CHECKS = [name for name in dir(estimator_checks) if name.startswith("check_")]
NOT_FOR_SERIES = {  # or not for this library
    "check_samplers_nan": "series have no missing values",
    "check_samplers_string": "series hold numbers",
    "check_samplers_sparse": "series are dense",
    "check_samplers_pandas_sparse": "series are dense",
    "check_samplers_multiclass_ova": "labels are no matrix of indicators",
    "check_samplers_sample_indices": "asks for a tag that only its own samplers have",
    "check_classifier_on_multilabel_or_multioutput_targets": "of classifiers",
    "check_classifiers_with_encoded_labels": "of classifiers",
}


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
@pytest.mark.parametrize("name", sorted(set(CHECKS) - set(NOT_FOR_SERIES)))
def test_check_of_imbalanced_learn(name):
    nested = {"max_epochs": 1, "downsampled_width": 4, "codebook_size": 4}
    generator = masked_prior(nested, decoder=None, n_layers=0, batch_size=1024)
    check = getattr(estimator_checks, name)
    check("GenerativeOverSampler", over_sampler(generator=generator))


# ---- frozen generators, and faults


def test_a_frozen_generator_has_to_fit():
    def resample(generator, y=Y, series=X):
        return lambda: over_sampler(generator=FrozenEstimator(generator)).fit_resample(series, y)

    fitted = masked_prior(decoder=None).fit(X, Y)
    value, unfitted = (ValueError,), (NotFittedError,)
    assert_refused(resample(masked_prior()), unfitted, "not fitted yet")
    wrong = "`generator` must hold a fitted MaskedPriorGenerator or .*, got VQTokenizer"
    assert_refused(resample(tokenizer()), (TypeError,), wrong)
    assert_refused(resample(fitted, series=X[:, :30]), value, "X has 30 time points, but the M")
    assert_refused(resample(fitted, Y + 5), value, "unseen label: 5; .* has learned")
    without = masked_prior(decoder=None).fit(X)
    assert_refused(resample(without), value, "fitted with labels; this one was fitted without")
    of_lengths = masked_prior(tokenizer=tokenizer(missing="mask"), decoder=None)
    of_lengths.fit([*X[:1], *(series[: 20 + row % 8] for row, series in enumerate(X[1:]))], Y)
    one_length = "Over-sampling needs a MaskedPriorGenerator that was fitted to series of one len"
    assert_refused(resample(of_lengths), value, one_length)
    resampled, _ = resample(fitted)()
    assert len(resampled) == 32
    panel, _ = resample(fitted, series=X[:, None])()
    np.testing.assert_array_equal(panel, resampled[:, None])


@pytest.mark.parametrize(
    ("series", "labels", "types", "match"),
    [
        (X, None, ValueError, "requires y to be passed"),
        (X, Y[1:], ValueError, r"inconsistent numbers of samples: \[24, 23\]"),
        (X, np.zeros(24), ValueError, "more than one class, and y has one class"),
        (X, np.eye(3)[Y], ValueError, "1d array"),
        (X, np.linspace(0, 1, 24), ValueError, "Unknown label type"),
        (X[0], Y, ValueError, "Expected 2D array, got 1D"),
        (X * np.nan, Y, ValueError, "NaN: GenerativeOverSampler does not accept missing values"),
        (sparse.csr_array(X), Y, TypeError, "[Ss]parse"),
        ("series", Y, TypeError, "must be array-like"),
    ],
)
def test_bad_series_and_labels_are_refused(series, labels, types, match):
    for call in (over_sampler().fit, over_sampler().fit_resample):
        assert_refused(partial(call, series, labels), (types,), match)


def test_fit_checks_and_learns_nothing():
    sampler = over_sampler()
    sampler.fit_resample(FRAME, Y)
    attributes = {a for a in vars(sampler) if a.endswith("_") and not a.startswith("_")}
    assert set(documented(GenerativeOverSampler, "Attributes")) == attributes
    assert sampler.fit(FRAME, Y) is sampler
    assert {a for a in vars(sampler) if a.endswith("_")} == attributes - {"generator_"}
    assert sampler.sampling_strategy_ == {0: 8}


def test_the_example_of_the_docstring_runs():
    found = doctest.testmod(oversampling)
    assert found.failed == 0
    assert found.attempted > 5


@pytest.mark.usefixtures("ctrl_c_in_the_third_epoch")
def test_ctrl_c_leaves_the_sampler_as_it_was():
    sampler = over_sampler(generator=autoregressive_prior()).fit(X, Y)
    before = dict(vars(sampler))
    with pytest.raises(KeyboardInterrupt):
        sampler.fit_resample(X[:, :20], THREE)
    assert vars(sampler) == before
