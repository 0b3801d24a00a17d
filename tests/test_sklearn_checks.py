"""scikit-learn's own checks, and the eleven more that it runs on its own estimators."""

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvqts import (
    AutoregressivePriorGenerator,
    FCNClassifier,
    FineTunedClassifier,
    MaskedPriorGenerator,
    RandomConvolutionExtractor,
    SSLFeatureExtractor,
    VQTokenizer,
)

OUTPUTS = [
    "features",
    "tokens",
    "one_hot",
    "bag_of_codes",
    "quantized",
    "quantized_pooled",
    "continuous",
    "continuous_pooled",
]


def tiny(**parameters):
    small = {"codebook_size": 4, "width": 4, "latent_dim": 4, "n_blocks": 1, "max_epochs": 1}
    return VQTokenizer(**small | parameters)


def tiny_extractor(**parameters):
    small = {"width": 2, "latent_dim": 4, "n_blocks": 1, "max_epochs": 1}
    return SSLFeatureExtractor(**small | parameters)


def tiny_generator(kind, **parameters):
    small = {"width": 4, "n_heads": 1, "batch_size": 1024, "max_epochs": 1}
    return kind(tiny(downsampled_width=4), **small | parameters)


TRANSFORMERS = [
    *(tiny(output=output) for output in OUTPUTS),
    tiny(frontend="stft"),
    tiny(n_bands=2, downsampled_width=4),
    tiny(ssl="barlow_twins"),
    tiny_extractor(),
    RandomConvolutionExtractor(n_kernels=5),
]
CLASSIFIERS = [
    FineTunedClassifier(tiny_extractor(width=8), learning_rate=0.05, max_epochs=12),
    FCNClassifier(width=8, learning_rate=0.02, max_epochs=12),
]
GENERATORS = [
    tiny_generator(MaskedPriorGenerator, n_layers=0),
    tiny_generator(AutoregressivePriorGenerator, n_layers=1),
]
ESTIMATORS = TRANSFORMERS + CLASSIFIERS + GENERATORS

MORE_CHECKS = [
    "check_dataframe_column_names_consistency",
    "check_param_validation",
    "check_inplace_ensure_writeable",
    "check_get_feature_names_out_error",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", MORE_CHECKS)
@pytest.mark.parametrize("estimator", TRANSFORMERS, ids=str)
def test_further_check(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


@pytest.mark.parametrize("check", MORE_CHECKS[3:])
def test_further_check_of_the_classifier_that_transforms(check):
    getattr(estimator_checks, check)("FCNClassifier", CLASSIFIERS[1])


@pytest.mark.parametrize("check", MORE_CHECKS[:3])
@pytest.mark.parametrize("estimator", CLASSIFIERS + GENERATORS, ids=str)
def test_further_check_of_others(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)
