"""scikit-learn's public checks, and eleven more that it runs on its own estimators."""

import functools

import pytest
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from skvqts import (
    FineTunedClassifier,
    Quantizer,
    SeriesAutoencoder,
    SSLFeatureExtractor,
    VQTokenizer,
)

from .estimators import (
    autoencoder,
    autoregressive_prior,
    extractor,
    fcn,
    fine_tuned,
    masked_prior,
    over_sampler,
    random_convolutions,
    stft,
    tokenizer,
    vae,
    window_codes,
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


# The checks set the seeds themselves.
SMALL = {"width": 4, "max_epochs": 1, "random_state": None}
make_tokenizer = functools.partial(tokenizer, codebook_size=4, latent_dim=4, **SMALL)
make_extractor = functools.partial(extractor, latent_dim=4, **SMALL | {"width": 2})
PRIOR = {
    "tokenizer": make_tokenizer(downsampled_width=4),
    "n_heads": 1,
    "dropout": "auto",
    "batch_size": 1024,
    **SMALL,
}
CLASSIFIER = {"max_epochs": 12, "random_state": None}

TRANSFORMERS = [
    *(make_tokenizer(output=output) for output in OUTPUTS),
    make_tokenizer(frontend="stft"),
    make_tokenizer(n_bands=2, downsampled_width=4),
    make_tokenizer(ssl="barlow_twins"),
    make_tokenizer(missing="mask"),
    make_tokenizer(quantizer=Quantizer("gradient", code_dim=2)),
    make_extractor(),
    make_extractor(missing="mask"),
    random_convolutions(n_kernels=5),
    autoencoder(**SMALL | {"width": 2}),
    vae(**SMALL | {"width": 2}),
    stft(),
    window_codes(random_state=None),
]
CLASSIFIERS = [
    fine_tuned(pretrained=make_extractor(width=8), learning_rate=0.05, **CLASSIFIER),
    fine_tuned(
        pretrained=make_extractor(width=8, missing="mask"), learning_rate=0.05, **CLASSIFIER
    ),
    fcn(learning_rate=0.02, **CLASSIFIER),
]
GENERATORS = [
    masked_prior(n_layers=0, decoder=None, **PRIOR),
    masked_prior(n_layers=0, **PRIOR),
    autoregressive_prior(n_layers=1, **PRIOR),
]
OVER_SAMPLERS = [over_sampler(generator=GENERATORS[0], random_state=None)]
ESTIMATORS = TRANSFORMERS + CLASSIFIERS + GENERATORS + OVER_SAMPLERS
# Of each kind the others are the quick form of these.
_LATER_OUTPUTS = set(OUTPUTS) - {"features", "tokens"}
LATER = [
    *(e for e in TRANSFORMERS if isinstance(e, VQTokenizer) and e.output in _LATER_OUTPUTS),
    *(e for e in TRANSFORMERS if getattr(e, "frontend", None) == "stft"),
    *(e for e in TRANSFORMERS if getattr(e, "ssl", None) is not None),
    *(e for e in TRANSFORMERS if getattr(e, "missing", None) == "mask"),
    *(e for e in TRANSFORMERS if getattr(e, "n_bands", 1) == 2),
    *(e for e in TRANSFORMERS if getattr(e, "quantizer", None) is not None),
    *(e for e in TRANSFORMERS if isinstance(e, SeriesAutoencoder)),
    *CLASSIFIERS[:2],
    *GENERATORS[1:],
    *OVER_SAMPLERS,
]
SOONER = [e for e in ESTIMATORS if not any(e is later for later in LATER)]

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


def expected_failed_checks(estimator):
    """Checks that an estimator cannot pass, with the reason."""
    if not hasattr(estimator, "class_weight"):
        return {}
    reason = "Batches are drawn of the series: a weight is a repetition on average, not to the bit."
    failed = {"check_sample_weight_equivalence_on_dense_data": reason}
    if isinstance(estimator, FineTunedClassifier):
        failed["check_class_weight_classifiers"] = (
            "Its encoder tells the rows of weight apart, and leaves the others where they were."
        )
    return failed


@parametrize_with_checks(SOONER, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(LATER, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_check_of_others(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", MORE_CHECKS)
@pytest.mark.parametrize(
    "estimator",
    [
        # An extractor answers for tables as a tokenizer does.
        pytest.param(e, marks=pytest.mark.slow)
        if isinstance(e, SSLFeatureExtractor) or not any(e is sooner for sooner in SOONER)
        else e
        for e in TRANSFORMERS
    ],
    ids=str,
)
def test_further_check_of_transformers(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)


@pytest.mark.slow  # a generator as a transformer is its quick form
@pytest.mark.parametrize("check", MORE_CHECKS[3:])
def test_further_check_of_fcn_classifier_as_a_transformer(check):
    getattr(estimator_checks, check)("FCNClassifier", CLASSIFIERS[-1])


@pytest.mark.parametrize("check", MORE_CHECKS[3:6])
def test_further_check_of_a_generator_as_a_transformer(check):
    getattr(estimator_checks, check)("MaskedPriorGenerator", GENERATORS[0])


@pytest.mark.parametrize("check", MORE_CHECKS[:3])
@pytest.mark.parametrize("estimator", CLASSIFIERS + GENERATORS + OVER_SAMPLERS, ids=str)
def test_further_check_of_classifiers_generators_and_over_samplers(estimator, check):
    getattr(estimator_checks, check)(type(estimator).__name__, estimator)
