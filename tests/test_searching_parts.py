"""Parameters of parts that stand for a default, as None or a name, can be set and searched."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from skvqts import (
    AutoregressivePriorGenerator,
    FineTunedClassifier,
    FlowDecoder,
    GenerativeOverSampler,
    MaskedPriorGenerator,
    SSLFeatureExtractor,
    VQTokenizer,
)

from .conftest import two_shapes
from .estimators import masked_prior

PARTS = [
    (MaskedPriorGenerator(), "tokenizer__codebook_size", 5),
    (MaskedPriorGenerator(), "tokenizer__quantizer__update", "gradient"),
    (MaskedPriorGenerator(), "decoder__n_steps", 2),
    (AutoregressivePriorGenerator(), "tokenizer__codebook_size", 5),
    (AutoregressivePriorGenerator(), "decoder__n_steps", 2),
    (FlowDecoder(), "tokenizer__width", 5),
    (GenerativeOverSampler(), "generator__tokenizer__width", 5),
    (FineTunedClassifier(), "pretrained__objective__weight", 0.3),
    (SSLFeatureExtractor(), "objective__weight", 0.3),
    (SSLFeatureExtractor(augmentation="gauss"), "augmentation__scale", 0.3),
    (VQTokenizer(ssl="vicreg"), "ssl__weight", 0.3),
    (VQTokenizer(), "quantizer__ema_decay", 0.3),
]


@pytest.mark.parametrize(("estimator", "name", "value"), PARTS)
def test_parameter_of_a_default_part_can_be_set(estimator, name, value):
    before = estimator.get_params(deep=False)
    changed = clone(estimator).set_params(**{name: value})
    assert clone(changed).get_params()[name] == value
    assert estimator.get_params(deep=False) == before
    others = changed.get_params(deep=False)
    part = name.split("__")[0]
    assert {key for key in others if others[key] is not before[key]} == {part}


def test_a_part_that_is_set_at_the_same_time_is_the_one_whose_parameter_is_set():
    generator = MaskedPriorGenerator(n_threads=2)
    generator.set_params(tokenizer=VQTokenizer(width=7), tokenizer__codebook_size=5)
    assert (generator.tokenizer.width, generator.tokenizer.codebook_size) == (7, 5)
    generator.set_params(tokenizer=None, tokenizer__codebook_size=6, n_threads=3)
    tokenizer = generator.tokenizer
    assert (tokenizer.width, tokenizer.codebook_size, tokenizer.n_threads) == (64, 6, 3)


def test_parts_that_are_left_out_and_unknown_parameters_are_refused():
    with pytest.raises(ValueError, match="ssl=None of this VQTokenizer has no parameters"):
        VQTokenizer().set_params(ssl__weight=1)
    with pytest.raises(ValueError, match="decoder=None of this MaskedPriorGenerator"):
        MaskedPriorGenerator(decoder=None).set_params(decoder__n_steps=1)
    with pytest.raises(ValueError, match="Invalid parameter 'size' for estimator VQTokenizer"):
        MaskedPriorGenerator().set_params(tokenizer__size=1)


def test_a_search_sets_parameters_of_the_default_tokenizer():
    generator = masked_prior(tokenizer=None, decoder=None)
    grid = {
        "tokenizer__codebook_size": [2, 4],
        "tokenizer__max_epochs": [1],
        "tokenizer__width": [4],
    }
    X = two_shapes(12)[0]
    search = GridSearchCV(generator, grid, cv=2, error_score="raise").fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    n_codes = search.best_params_["tokenizer__codebook_size"]
    assert len(search.best_estimator_.tokenizer_.codebook_) == n_codes
