"""Quantizer, the parameter object of VQTokenizer."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone

from skvqts import Quantizer

from .conftest import two_shapes
from .estimators import masked_prior, tokenizer
from .refusals import assert_refused

CHANGED = {
    "update": "gradient",
    "init": "normal",
    "code_dim": 3,
    "normalize_codes": True,
    "ema_decay": 0.5,
    "revival_threshold": 0.9,
    "commitment_weight": 2.0,
}
INVALID = {
    "update": ["sgd", None, 1],
    "init": ["k-means", None, True],
    "code_dim": [0, -1, 2.5, True, "auto"],
    "normalize_codes": [None, "yes", 2],
    "ema_decay": [-0.1, 1.1, float("nan"), None, "a", True],
    "revival_threshold": [-0.1, 1, float("nan"), None, "a", True],
    "commitment_weight": [-0.1, float("nan"), None, "a", True],
}
X = two_shapes(24)[0]


def test_no_quantizer_means_the_default_one():
    plain, default = (tokenizer(quantizer=quantizer).fit(X) for quantizer in (None, Quantizer()))
    assert np.array_equal(plain.codebook_, default.codebook_)
    assert np.array_equal(plain.transform(X), default.transform(X))
    assert plain.quantizer_.get_params() == Quantizer().get_params()


@pytest.mark.parametrize("name", CHANGED)
def test_every_parameter_changes_the_codes(name):
    plain = tokenizer(codebook_size=24).fit(X)
    changed = tokenizer(codebook_size=24, quantizer=Quantizer(**{name: CHANGED[name]})).fit(X)
    assert not np.array_equal(plain.codebook_, changed.codebook_)
    assert changed.codebook_.shape == (24, 3 if name == "code_dim" else 8)


def test_the_commitment_weight_is_its_weight_in_the_loss():
    curve = tokenizer(quantizer=Quantizer(commitment_weight=3.0)).fit(X).loss_curve_
    expected = curve["reconstruction"] + 3 * curve["commitment"]
    np.testing.assert_allclose(curve["loss"], expected, rtol=1e-5)


def test_parameters_can_be_read_set_cloned_pickled_and_shown():
    assert list(inspect.signature(Quantizer).parameters) == list(CHANGED)
    assert set(Quantizer().get_params()) == set(CHANGED)
    changed = Quantizer().set_params(**CHANGED)
    for copy in (changed, clone(changed), pickle.loads(pickle.dumps(changed))):
        assert copy.get_params() == CHANGED
    assert repr(Quantizer()) == "Quantizer()"
    assert repr(Quantizer("gradient", code_dim=3)) == "Quantizer(code_dim=3, update='gradient')"
    assert "quantizer=Quantizer(code_dim=3)" in repr(tokenizer(quantizer=Quantizer(code_dim=3)))


def test_its_parameters_are_nested_ones_of_tokenizers_and_generators():
    outer = tokenizer(quantizer=Quantizer())
    copy = clone(outer).set_params(quantizer__update="gradient")
    assert copy.get_params()["quantizer__update"] == "gradient"
    assert outer.get_params()["quantizer__update"] == "ema"
    generator = masked_prior({"quantizer": Quantizer()})
    generator.set_params(tokenizer__quantizer__code_dim=2)
    assert generator.tokenizer.quantizer.code_dim == 2


@pytest.mark.parametrize("name", INVALID)
def test_invalid_parameters_are_refused_in_fit_and_not_before(name):
    for value in INVALID[name]:
        new = tokenizer(quantizer=Quantizer(**{name: value}))
        message = f"The '{name}' parameter of Quantizer must be"
        assert_refused(lambda t=new: t.fit(X), (ValueError,), message, value)
        assert not [attribute for attribute in vars(new) if attribute.endswith("_")]


@pytest.mark.parametrize("value", ["ema", Quantizer, {"update": "ema"}, tokenizer()], ids=repr)
def test_other_objects_as_a_quantizer_are_refused(value):
    message = "The 'quantizer' parameter of VQTokenizer must be an instance of .*Quantizer"
    assert_refused(lambda: tokenizer(quantizer=value).fit(X), (ValueError,), message)


def test_a_tokenizer_learns_with_a_copy_of_its_quantizer():
    mine = Quantizer(ema_decay=0.9)
    fitted = tokenizer(quantizer=mine).fit(X)
    before = fitted.transform(X)
    assert fitted.quantizer is mine
    assert vars(mine) == vars(Quantizer(ema_decay=0.9))
    assert fitted.quantizer_ is not mine
    assert fitted.quantizer_.get_params() == mine.get_params()
    mine.set_params(**CHANGED)
    assert fitted.quantizer_.ema_decay == 0.9
    for opened in (fitted, pickle.loads(pickle.dumps(fitted))):
        assert np.array_equal(opened.transform(X), before)
        assert opened.decode(opened.encode(X)).shape == X.shape
    assert np.array_equal(fitted.fit(X).codebook_, tokenizer(quantizer=mine).fit(X).codebook_)
    assert fitted.quantizer_.get_params() == CHANGED
