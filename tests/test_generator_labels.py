"""Labels and numbers of samples that generators accept and refuse."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator

from .conftest import two_shapes
from .estimators import GENERATORS, fitted_generator, masked_prior, tokenizer
from .refusals import assert_refused
from .test_bad_input import REFUSED_LABELS, VALUE

X, Y = two_shapes(24)
BOTH = ["MaskedPriorGenerator", "AutoregressivePriorGenerator"]
each_generator = pytest.mark.parametrize("name", GENERATORS)
both_priors = pytest.mark.parametrize("name", BOTH)


def changed(name, **parameters):
    """A fitted generator with other sampling parameters."""
    return copy.deepcopy(fitted_generator(name)).set_params(**parameters)


@pytest.fixture(scope="module")
def fitted_without_labels():
    return masked_prior().fit(X)


# ---- labels in fit

KINDS = {
    "strings": ["saw", "sine"],
    "objects": np.array(["saw", "sine"], dtype=object),
    "booleans": [False, True],
    "negative": [-5, -1],
    "gaps": [3, 7],
    "floats": [0.0, 10.0],
    "small integers": np.array([0, 255], np.uint8),
}


@both_priors
@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_dtype_are_returned_unchanged(name, kind):
    labels = np.asarray(KINDS[kind])
    y = labels[Y]
    generator = GENERATORS[name]().fit(X, y.tolist() if kind == "strings" else y)
    assert generator.classes_.tolist() == labels.tolist()
    assert generator.class_counts_.tolist() == [12, 12]
    assert np.array_equal(generator.y_fit_, y)
    found, drawn = generator.sample(20, random_state=0, return_y=True)
    assert drawn.dtype == generator.classes_.dtype
    assert set(drawn.tolist()) == set(labels.tolist())
    again, same = generator.sample(y=drawn, random_state=0, return_y=True)
    assert np.array_equal(found, again)
    assert np.array_equal(drawn, same)
    first = labels[0].item() if hasattr(labels[0], "item") else labels[0]
    one = generator.sample(20, y=first, random_state=0)
    assert np.array_equal(one[drawn == first], found[drawn == first])
    plain = fitted_generator(name).sample(y=np.searchsorted(labels, drawn), random_state=0)
    assert np.array_equal(found, plain)


@both_priors
@pytest.mark.filterwarnings("error")
def test_labels_may_be_in_any_container(name):
    expected = fitted_generator(name).sample(y=[1, 0, 1], random_state=0)
    for y in ((1, 0, 1), np.array([1.0, 0.0, 1.0]), pd.Series([1, 0, 1]), [True, False, True]):
        found = fitted_generator(name).sample(3, y=y, random_state=0)
        assert np.array_equal(found, expected), type(y)
    fitted = GENERATORS[name]().fit(X, pd.Series(Y))
    assert np.array_equal(fitted.sample(3, y=[1, 0, 1], random_state=0), expected)


@pytest.mark.parametrize("case", [case for case in REFUSED_LABELS if case != "no labels"])
@both_priors
def test_invalid_labels_are_refused_in_fit(name, case):
    make, types, message = REFUSED_LABELS[case]
    new = GENERATORS[name]()
    assert_refused(lambda: new.fit(X, make(Y)), types, message)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


def test_a_column_of_labels_warns():
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        generator = masked_prior().fit(X, Y[:, None])
    expected = fitted_generator("MaskedPriorGenerator").sample(3, random_state=0)
    assert np.array_equal(generator.sample(3, random_state=0), expected)


@both_priors
def test_a_single_class_is_enough(name):
    generator = GENERATORS[name]().fit(X, ["only"] * 24)
    assert generator.classes_.tolist() == ["only"]
    assert generator.sample(3, return_y=True)[1].tolist() == ["only"] * 3
    assert generator.class_log_likelihoods(X).shape == (24, 1)


@both_priors
def test_a_class_may_have_a_single_series(name):
    y = np.where(np.arange(24) == 5, "rare", "common")
    generator = GENERATORS[name]().fit(X, y)
    assert generator.class_counts_.tolist() == [23, 1]
    assert generator.sample(2, y="rare").shape == (2, 32)


@each_generator
def test_labels_are_optional_for_sampling_and_scoring(name):
    generator = GENERATORS[name]().fit(X)
    assert not [a for a in ("classes_", "class_counts_", "y_fit_") if hasattr(generator, a)]
    assert generator.sample(2).shape == (2, 32)
    assert np.isfinite(generator.score_samples(X)).all()


def test_conditional_methods_require_labels_in_fit(fitted_without_labels):
    calls = {
        "return_y=True needs a MaskedPriorGenerator fitted with labels": lambda: (
            fitted_without_labels.sample(2, return_y=True)
        ),
        "y is for a MaskedPriorGenerator fitted with labels": lambda: fitted_without_labels.sample(
            2, y=[0, 1]
        ),
        "class_log_likelihoods needs a MaskedPriorGenerator fitted with labels": lambda: (
            fitted_without_labels.class_log_likelihoods(X)
        ),
        "y is for a Masked": lambda: fitted_without_labels.impute(X, y=Y),
    }
    for message, call in calls.items():
        assert_refused(call, VALUE, message)


def test_refitting_replaces_the_classes():
    generator = masked_prior().fit(X, Y)
    generator.fit(X, np.arange(24) % 3)
    assert generator.classes_.tolist() == [0, 1, 2]
    assert generator.sample(y=[2]).shape == (1, 32)
    generator.fit(X)
    assert not [a for a in ("classes_", "class_counts_", "y_fit_") if hasattr(generator, a)]
    assert_refused(lambda: generator.sample(y=[2]), VALUE, "fitted without")


# ---- labels and numbers of samples


@each_generator
@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", True, float("nan"), [3]], ids=repr)
def test_invalid_n_samples_are_refused(name, n_samples):
    message = "The 'n_samples' parameter of .* must be an int in the range"
    generator = fitted_generator(name)
    assert_refused(lambda: generator.sample(n_samples), VALUE, message)
    assert_refused(lambda: generator.sample(n_samples, y=0), VALUE, message)
    either = f"{message}|n_samples=.* contradicts y, which holds 2 labels"
    assert_refused(lambda: generator.sample(n_samples, y=[0, 1]), VALUE, either)


@each_generator
def test_n_samples_may_be_left_out(name):
    generator = fitted_generator(name)
    seed = {"random_state": 0}
    three = generator.sample(y=[0, 1, 0], **seed)
    assert three.shape == (3, 32)
    assert np.array_equal(generator.sample(3, y=[0, 1, 0], **seed), three)
    assert np.array_equal(generator.sample(None, y=[0, 1, 0], **seed), three)
    assert np.array_equal(generator.sample(3, y=1, **seed), generator.sample(y=[1] * 3, **seed))
    assert np.array_equal(generator.sample(y=1, **seed), generator.sample(1, y=1, **seed))
    assert generator.sample(**seed).shape == (1, 32)
    assert np.array_equal(generator.sample(**seed), generator.sample(5, **seed)[:1])


@each_generator
@pytest.mark.parametrize("n_samples", [1, 2, 4])
@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series])
def test_n_samples_must_agree_with_the_number_of_labels(name, n_samples, make):
    generator = fitted_generator(name)
    message = f"n_samples={n_samples} contradicts y, which holds 3 labels"
    for call in (
        lambda: generator.sample(n_samples, y=make([0, 1, 0])),
        lambda: generator.sample(n_samples, y=make([0, 1, 0]), return_y=True),
    ):
        assert_refused(call, VALUE, message)


@each_generator
@pytest.mark.parametrize("y", [None, 1], ids=repr)
def test_more_samples_than_memory_holds_are_refused(name, y):
    generator = fitted_generator(name)
    assert_refused(lambda: generator.sample(10**12, y=y), (MemoryError,), "series need [0-9]+ GiB")


@each_generator
@pytest.mark.parametrize("y", [2, 99, -1, "1", [0, 1, 2], ["0", "1", "0"]], ids=repr)
def test_unseen_classes_are_refused(name, y):
    """The id after the last class, which priors use for "unconditional", is no label either."""
    generator = fitted_generator(name)
    message = "y contains unseen label: .*has learned .0, 1."
    assert_refused(lambda: generator.sample(3, y=y), VALUE, message)
    if hasattr(generator, "impute"):
        assert_refused(lambda: generator.impute(X[:3], y=y), VALUE, message)


def test_invalid_labels_are_refused_in_sample():
    generator = fitted_generator("MaskedPriorGenerator")
    for y, message in {
        "NaN": ([0, np.nan, 1], "Input y contains NaN"),
        "None": ([0, None, 1], "NaN or None"),
        "continuous": ([0, 0.5, 1], "Unknown label type: continuous"),
        "two-dimensional": (np.zeros((3, 2), int), "1d array"),
    }.values():
        assert_refused(lambda given=y: generator.sample(3, y=given), VALUE, message)


@each_generator
def test_empty_labels_are_refused(name):
    generator = fitted_generator(name)
    assert_refused(lambda: generator.sample(y=[]), VALUE, "y holds no label")
    message = "contradicts y, which holds 0 labels"
    assert_refused(lambda: generator.sample(2, y=[]), VALUE, message)
    if hasattr(generator, "impute"):
        message = r"inconsistent numbers of samples: \[24, 0\]"
        assert_refused(lambda: generator.impute(X, y=[]), VALUE, message)


@each_generator
@pytest.mark.parametrize("n_labels", [2, 4])
def test_there_must_be_as_many_labels_as_samples(name, n_labels):
    generator = fitted_generator(name)
    labels = [0] * n_labels
    message = f"n_samples=3 contradicts y, which holds {n_labels} labels"
    assert_refused(lambda: generator.sample(3, y=labels), VALUE, message)
    message = rf"inconsistent numbers of samples: \[3, {n_labels}\]"
    if hasattr(generator, "impute"):
        assert_refused(lambda: generator.impute(X[:3], y=labels), VALUE, message)


@each_generator
@pytest.mark.parametrize("n_channels", [1, 2])
def test_series_may_be_a_single_token(name, n_channels):
    series = np.stack([X[:, :4]] * n_channels, axis=1)
    nested = GENERATORS[name]().tokenizer.set_params(downsampled_width=1)
    generator = GENERATORS[name](tokenizer=nested).fit(series, Y)
    columns = [shape[1] for shape in generator.tokenizer_.token_shape_]
    assert columns == [1] * len(columns)
    assert generator.sample(3).shape == (3, *series.shape[1:])
    scores = generator.score_samples(series)
    assert np.isfinite(scores).all()
    assert (scores <= 0).all()
    if hasattr(generator, "impute"):
        hidden = np.where(series > 0.5, np.nan, series)
        assert np.isfinite(generator.impute(hidden)).all()
        assert np.isfinite(generator.anomaly_score(series)).all()


@pytest.mark.parametrize("value", [0, -1, 2.5, "8", True, None, float("nan")], ids=repr)
def test_invalid_n_steps_are_refused(value):
    message = "The 'n_steps' parameter of MaskedPriorGenerator must be an int in the range"
    generator = changed("MaskedPriorGenerator", n_steps=value)
    assert_refused(lambda: generator.sample(2), VALUE, message)
    new = masked_prior(n_steps=value)
    assert_refused(lambda: new.fit(X), VALUE, message)


@pytest.mark.parametrize("order", ["low_discrepancy", "confidence", "random"])
@pytest.mark.parametrize("name", list(GENERATORS)[:3])
def test_n_steps_may_exceed_the_number_of_tokens(name, order):
    generator = changed(name, n_steps=1000, order=order)
    found = generator.sample(40, random_state=0)
    assert np.isfinite(found).all()
    assert len(np.unique(found, axis=0)) > 20


@each_generator
def test_temperature_zero_always_takes_the_most_probable_token(name):
    """All samples of a class have then equal means, which do not depend on the seed."""
    generator, cool = changed(name, temperature=0), changed(name, temperature=1e-6)
    generator.decoder_ = cool.decoder_ = None
    found = generator.sample(5, y=1, random_state=0)
    assert (found == found[0]).all()
    assert np.array_equal(generator.sample(5, y=1, random_state=7), found)
    assert np.array_equal(cool.sample(5, y=1, random_state=3), found)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, -0.1, "1", None, True], ids=repr)
@pytest.mark.parametrize("parameter", ["temperature", "choice_temperature"])
@both_priors
def test_invalid_temperatures_are_refused(name, parameter, value):
    if parameter == "choice_temperature" and name != "MaskedPriorGenerator":
        name = "MaskedPriorGenerator two bands"
    message = f"The '{parameter}' parameter of .* must be a float in the range"
    generator = changed(name, **{parameter: value})
    assert_refused(lambda: generator.sample(2), VALUE, message)
    new = GENERATORS[name](**{parameter: value})
    assert_refused(lambda: new.fit(X), VALUE, message)


OPTIONS = {
    "mask_schedule": {"cosine", "linear", "square", "likelihood"},
    "order": {"confidence", "low_discrepancy", "random"},
}


@pytest.mark.parametrize("parameter", OPTIONS)
def test_errors_for_misspelt_options_list_the_valid_ones(parameter):
    for wrong in ("cosin", "", None, "COSINE"):
        generator = changed("MaskedPriorGenerator", **{parameter: wrong})
        for call in (lambda g=generator: g.sample(2), lambda g=generator: g.fit(X)):
            assert_refused(call, VALUE, f"The '{parameter}' parameter of Masked")
            with pytest.raises(ValueError, match="must be a str among") as error:
                call()
            named = str(error.value).split("{")[1].split("}")[0]
            assert {word.strip(" '") for word in named.split(",")} == OPTIONS[parameter]


@both_priors
def test_a_frozen_tokenizer_that_was_refitted_is_refused(name):
    inside = tokenizer(downsampled_width=8, max_epochs=1).fit(X)
    generator = GENERATORS[name](tokenizer=FrozenEstimator(inside)).fit(X, Y)
    before = generator.sample(3, random_state=0)
    for change in ({"codebook_size": 4}, {"downsampled_width": 4}, {"n_bands": 2}):
        other = tokenizer(**{"downsampled_width": 8, "max_epochs": 1} | change)
        inside.set_params(**other.get_params()).fit(X)  # in place
        message = f"tokenizer of this {name} has been fitted anew since"
        assert_refused(lambda: generator.sample(3), VALUE, message)
        assert_refused(lambda: generator.score_samples(X), VALUE, message)
        if hasattr(generator, "impute"):
            assert_refused(lambda: generator.impute(X), VALUE, message)
    inside.set_params(**tokenizer(downsampled_width=8, max_epochs=1).get_params()).fit(X)
    assert np.array_equal(generator.sample(3, random_state=0), before)


@each_generator
def test_missing_values_are_refused(name):
    hidden = np.where(X > 0.9, np.nan, X)
    generator = fitted_generator(name)
    for call in (GENERATORS[name]().fit, generator.score_samples, generator.score):
        assert_refused(lambda c=call: c(hidden), VALUE, "Input X contains NaN")


@each_generator
def test_few_samples_are_the_first_of_many(name):
    generator = fitted_generator(name)
    many, labels = generator.sample(70, random_state=3, return_y=True)
    for n in (1, 5, 31, 33):
        few, few_labels = generator.sample(n, random_state=3, return_y=True)
        assert np.array_equal(few, many[:n])
        assert np.array_equal(few_labels, labels[:n])
    assert np.array_equal(generator.sample(5, y=labels[:5], random_state=3), many[:5])


def test_mostly_unique_labels_do_not_warn():
    """scikit-learn warns about mostly unique labels, which are usual for samples."""
    y = np.repeat(np.arange(12), 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generator = masked_prior().fit(X, y)
        assert len(generator.sample(y=np.arange(12))) == 12


@each_generator
def test_numbers_of_series_by_label_are_refused_with_what_makes_labels(name):
    generator = fitted_generator(name)
    assert_refused(lambda: generator.sample(y={1: 5}), (TypeError,), r"numpy.repeat\(list\(y\)")


@each_generator
@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_seeds_out_of_range_are_refused(name, seed):
    generator = fitted_generator(name)
    assert_refused(lambda: generator.sample(2, random_state=seed), VALUE, "random_state must be in")


def test_sparse_labels_of_samples_are_refused():
    generator = fitted_generator("MaskedPriorGenerator")
    assert_refused(lambda: generator.sample(y=csr_array([[0, 1]])), (TypeError,), "sparse array")
