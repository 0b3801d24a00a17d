"""Whatever an estimator has been through, it is one that was made anew and fitted once."""

import functools
import pickle
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skvqts import load

from .conftest import two_shapes
from .estimators import extractor, fcn, fine_tuned, masked_prior, random_convolutions, tokenizer

_SMALL = {"max_epochs": 1, "batch_size": 64}
MAKERS = {
    "VQTokenizer": functools.partial(tokenizer, width=2, latent_dim=2, **_SMALL),
    "SSLFeatureExtractor": functools.partial(extractor, width=2, latent_dim=2, **_SMALL),
    "RandomConvolutionExtractor": functools.partial(random_convolutions, n_kernels=4),
    "FCNClassifier": functools.partial(fcn, width=2, **_SMALL),
    "FineTunedClassifier": functools.partial(
        fine_tuned, pretrained=extractor(width=2, latent_dim=2, **_SMALL), **_SMALL
    ),
    "MaskedPriorGenerator": functools.partial(
        masked_prior,
        tokenizer=tokenizer(width=2, latent_dim=2, downsampled_width=4, **_SMALL),
        decoder=None,
        n_layers=0,
        batch_size=1024,
    ),
}
# Values to choose from: of parameters that take effect at once after a fit, and of others.
VALUES = {
    "VQTokenizer": (
        {"output": ["features", "tokens"]},
        {"codebook_size": [3, 5], "n_bands": [1, 2]},
    ),
    "SSLFeatureExtractor": ({"output": ["features", "latents"]}, {"objective": ["vicreg", "moco"]}),
    "RandomConvolutionExtractor": ({}, {"n_kernels": [3, 4]}),
    "FCNClassifier": ({}, {"width": [2, 3], "class_weight": [None, {0: 3.0}]}),
    "FineTunedClassifier": ({}, {"train_encoder": [True, False], "pretrained__width": [2, 3]}),
    "MaskedPriorGenerator": (
        {"temperature": [1.0, 0.5]},
        {"width": [4, 8], "tokenizer__codebook_size": [3, 4]},
    ),
}
SEEDS = {"random_state": [0, 1]}
DATA = [two_shapes(12, 16, seed=0), two_shapes(10, 20, seed=1)]


def result_of(estimator, X):
    """What an estimator says of series, as an array, or None if it is not fitted."""
    for method in ("predict_proba", "transform", "score_samples"):
        if hasattr(estimator, method):
            try:
                result = getattr(estimator, method)(X)
            except NotFittedError:
                return None
            if hasattr(estimator, "sample"):
                sample = estimator.sample(2, random_state=3)
                result = np.concatenate([result.ravel(), sample.ravel()])
            return result
    raise AssertionError("nothing to ask it")


@functools.cache
def fresh_result(name, at_fit, now, data):
    """The result of an estimator that is made and fitted once."""
    estimator = clone(MAKERS[name]()).set_params(**pickle.loads(at_fit)).fit(*DATA[data])
    return result_of(estimator.set_params(**pickle.loads(now)), DATA[data][0])


class LifeCycle(RuleBasedStateMachine):
    """An estimator, and what is known of it: its parameters, and those and the data of its fit."""

    name = None

    @initialize()
    def make(self):
        self.estimator = clone(MAKERS[self.name]())  # makers share their parts
        self.params = {}
        self.fit(0)

    @rule(data=st.data())
    def set_params(self, data):
        choices = {**VALUES[self.name][0], **VALUES[self.name][1], **SEEDS}
        name = data.draw(st.sampled_from(sorted(choices)))
        value = data.draw(st.sampled_from(choices[name]))
        self.estimator.set_params(**{name: value})
        self.params[name] = value

    @rule(data=st.sampled_from(range(len(DATA))))
    def fit(self, data):
        self.estimator.fit(*DATA[data])
        self.fitted = dict(self.params), data  # those of the last fit

    @rule()
    def fail_to_fit(self):
        with pytest.raises(ValueError, match="NaN"):
            self.estimator.fit(np.full((4, 9), np.nan), [0, 1, 0, 1])

    @rule()
    def copy(self):
        self.estimator = deepcopy(self.estimator)

    @rule()
    def make_a_clone(self):
        self.estimator = clone(self.estimator)
        self.fitted = None

    @rule()
    def go_through_a_pickle(self):
        self.estimator = pickle.loads(pickle.dumps(self.estimator))

    @rule()
    def go_through_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            if self.fitted is None:
                with pytest.raises(NotFittedError):
                    self.estimator.save(path)
                return
            self.estimator.save(path)
            self.estimator = load(path)

    @invariant()
    def equals_a_fresh_estimator(self):
        if self.fitted is None:
            assert result_of(self.estimator, DATA[0][0]) is None
            return
        at_fit, data = self.fitted
        effective = {
            name: self.params[name] for name in VALUES[self.name][0] if name in self.params
        }
        expected = fresh_result(self.name, pickle.dumps(at_fit), pickle.dumps(effective), data)
        assert np.array_equal(result_of(self.estimator, DATA[data][0]), expected)
        now = {name: self.estimator.get_params()[name] for name in self.params}
        assert now == self.params


def run(name, n_examples):
    machine = type(name, (LifeCycle,), {"name": name})
    few = settings(
        max_examples=n_examples,
        stateful_step_count=10,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=few)


@pytest.mark.parametrize(
    "name",
    # The tokenizer and the other classifier are the quick form of the two.
    [
        pytest.param(name, marks=pytest.mark.slow)
        if name in ("SSLFeatureExtractor", "FineTunedClassifier")
        else name
        for name in MAKERS
    ],
)
def test_a_life_in_any_order_equals_a_fresh_estimator(name):
    run(name, 8)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_many_lives_in_any_order(name):
    run(name, 150)
