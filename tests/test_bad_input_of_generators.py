"""Invalid input to generators raises a clear error and changes nothing.

The series are those of `test_bad_input`; labels are tested in `test_generator_labels`.
"""

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.svm import SVC

from skvqts import VQTokenizer

from .conftest import two_shapes
from .estimators import GENERATORS, fitted_generator
from .refusals import assert_refused
from .test_bad_input import MISSING, REFUSED, REFUSED_LATER, VALUE, with_value

READING = ("score_samples", "score", "class_log_likelihoods", "anomaly_score", "impute")
PRIOR_PARAMETERS = {
    "tokenizer": ["small", SVC(), VQTokenizer],
    "width": [0, 2.5, "8", True],
    "n_layers": [-1, 1.0, None],
    "n_heads": [0, "auto"],
    "head_dim": [0, "all"],
    "feedforward": [0, "all"],
    "dropout": [-0.1, 1, float("nan")],
    "p_unconditional": [-0.1, 1.0, True],
    "ema_decay": [-0.1, 1, None],
    "code_temperature": [-1, float("inf")],
    "guidance_scale": [-1, float("nan")],
}


@pytest.fixture
def X():
    return two_shapes(24)[0]


def methods_taking_series(generator, case=None):
    """Names of methods that take series, without `impute` where a case has missing values."""
    names = [name for name in READING if hasattr(generator, name)]
    return [name for name in names if name != "impute" or case not in (*MISSING, "masked array")]


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_refuse_invalid_series(name, case, X):
    make, types, message = REFUSED[case]
    generator = fitted_generator(name)
    state = vars(generator).copy()
    for method in methods_taking_series(generator, case):
        call = getattr(generator, method)
        assert_refused(lambda c=call: c(make(X)), types, message, method)
    assert vars(generator) == state
    new, y = GENERATORS[name](), np.arange(24) % 2
    assert_refused(lambda: new.fit(make(X), y), types, message)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("case", REFUSED_LATER)
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_refuse_series_of_another_shape(name, case, X):
    make, message = REFUSED_LATER[case]
    generator = fitted_generator(name)
    for method in methods_taking_series(generator):
        call = getattr(generator, method)
        assert_refused(lambda c=call: c(make(X)), VALUE, message, method)


@pytest.mark.parametrize("parameter", PRIOR_PARAMETERS)
@pytest.mark.parametrize("name", ["MaskedPriorGenerator", "AutoregressivePriorGenerator"])
def test_generators_refuse_invalid_parameters(name, parameter, X):
    for value in PRIOR_PARAMETERS[parameter]:
        new = GENERATORS[name](**{parameter: value})
        message = f"The '{parameter}' parameter of {name} must be"
        assert_refused(lambda n=new: n.fit(X), VALUE, message, value)
        assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_refuse_invalid_parameters_of_the_tokenizer(name, X):
    new = GENERATORS[name](tokenizer=VQTokenizer(codebook_size=0))
    message = "The 'codebook_size' parameter of VQTokenizer must be"
    assert_refused(lambda: new.fit(X), VALUE, message)
    assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_raise_before_fit_and_stay_usable_after_a_failed_fit(name, X):
    new, unfitted = GENERATORS[name](), (NotFittedError,)
    for method in methods_taking_series(new):
        call = getattr(new, method)
        assert_refused(lambda c=call: c(X), unfitted, type(new).__name__)
    assert_refused(lambda: new.sample(2), unfitted, type(new).__name__)
    generator = GENERATORS[name]().fit(X, np.arange(24) % 2)
    before, state = generator.sample(3, random_state=0), vars(generator).copy()
    bad = with_value(np.nan)(X[:, :9]), np.arange(24) % 3
    assert_refused(lambda: generator.fit(*bad), VALUE, "contains NaN")
    assert_refused(lambda: generator.fit(X, X[:, 0]), VALUE, "Unknown label")
    assert vars(generator) == state
    assert np.array_equal(generator.sample(3, random_state=0), before)


@pytest.mark.parametrize("name", GENERATORS)
def test_one_series_cannot_be_fitted(name, X):
    assert_refused(lambda: GENERATORS[name]().fit(X[:1], [0]), VALUE, "1 sample")
