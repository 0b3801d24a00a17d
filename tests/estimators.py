"""Every estimator of the library in a size for tests; a new estimator joins all suites here."""

import functools

from skvqts import (
    AutoregressivePriorGenerator,
    FCNClassifier,
    FineTunedClassifier,
    FlowDecoder,
    GenerativeOverSampler,
    MaskedPriorGenerator,
    RandomConvolutionExtractor,
    SeriesAutoencoder,
    SeriesVAE,
    SSLFeatureExtractor,
    STFTTransformer,
    VQTokenizer,
    WindowCodes,
)

from .conftest import two_shapes

_SMALL_TOKENIZER = {
    "codebook_size": 6,
    "width": 8,
    "latent_dim": 8,
    "n_blocks": 1,
    "max_epochs": 3,
    "random_state": 0,
}
_SMALL_EXTRACTOR = {
    "n_codebooks": 8,
    "width": 4,
    "latent_dim": 8,
    "n_blocks": 1,
    "max_epochs": 3,
    "random_state": 0,
}
_SMALL_AUTOENCODER = {
    "latent_dim": 3,
    "width": 4,
    "n_blocks": 0,
    "max_epochs": 3,
    "random_state": 0,
}
_EIGHT_TOKENS = {"downsampled_width": 8, "max_epochs": 15, "learning_rate": 0.01}
_SMALL_FLOW = {"width": 4, "batch_size": 256, "max_epochs": 1, "random_state": 0}
_SMALL_PRIOR = {
    "width": 8,
    "n_layers": 1,
    "n_heads": 2,
    "dropout": 0.1,
    "batch_size": 256,
    "max_epochs": 1,
    "random_state": 0,
}


def tokenizer(**parameters):
    """A small VQTokenizer."""
    return VQTokenizer(**_SMALL_TOKENIZER | parameters)


def extractor(**parameters):
    """A small SSLFeatureExtractor."""
    return SSLFeatureExtractor(**_SMALL_EXTRACTOR | parameters)


def autoencoder(**parameters):
    """A small SeriesAutoencoder."""
    return SeriesAutoencoder(**_SMALL_AUTOENCODER | parameters)


def vae(**parameters):
    """A small SeriesVAE."""
    return SeriesVAE(**_SMALL_AUTOENCODER | parameters)


def random_convolutions(max_epochs=None, **parameters):
    """A small RandomConvolutionExtractor, which has no epochs."""
    return RandomConvolutionExtractor(**{"n_kernels": 20} | parameters)


def stft(max_epochs=None, **parameters):
    """An STFTTransformer, which has no epochs."""
    return STFTTransformer(**parameters)


def window_codes(max_epochs=None, **parameters):
    """A small WindowCodes, which has no epochs."""
    return WindowCodes(**{"codebook_size": 6, "random_state": 0} | parameters)


def fcn(**parameters):
    """A small FCNClassifier."""
    return FCNClassifier(**{"width": 8, "max_epochs": 3, "random_state": 0} | parameters)


def fine_tuned(**parameters):
    """A small FineTunedClassifier."""
    small = {"pretrained": extractor(), "max_epochs": 3, "random_state": 0}
    return FineTunedClassifier(**small | parameters)


def flow_decoder(**parameters):
    """A small FlowDecoder of a small tokenizer, which holds no series out."""
    small = {"tokenizer": tokenizer(**_EIGHT_TOKENS), "n_steps": 1, "early_stopping": False}
    return FlowDecoder(**_SMALL_FLOW | small | parameters)


def masked_prior(nested=None, **parameters):
    """A small MaskedPriorGenerator; its tokenizer has eight tokens and `nested` parameters."""
    parts = {"tokenizer": tokenizer(**_EIGHT_TOKENS | (nested or {})), "decoder": flow_decoder()}
    return MaskedPriorGenerator(**parts | _SMALL_PRIOR | parameters)


def autoregressive_prior(nested=None, **parameters):
    """A small AutoregressivePriorGenerator with the tokenizer of `masked_prior`, and no decoder."""
    parts = {"tokenizer": tokenizer(**_EIGHT_TOKENS | (nested or {})), "decoder": None}
    return AutoregressivePriorGenerator(**parts | _SMALL_PRIOR | parameters)


def over_sampler(**parameters):
    """A small GenerativeOverSampler, whose generator has no decoder and no layers."""
    small = {"generator": masked_prior(decoder=None, n_layers=0), "random_state": 0}
    return GenerativeOverSampler(**small | parameters)


TRANSFORMERS = {
    "VQTokenizer": tokenizer,
    "VQTokenizer tokens": functools.partial(tokenizer, output="tokens", n_series_tokens=3),
    "VQTokenizer stft": functools.partial(tokenizer, frontend="stft"),
    "VQTokenizer two bands": functools.partial(tokenizer, n_bands=2),
    "VQTokenizer with gaps": functools.partial(tokenizer, missing="mask"),
    "SSLFeatureExtractor": extractor,
    "SSLFeatureExtractor with gaps": functools.partial(extractor, missing="mask"),
    "RandomConvolutionExtractor": random_convolutions,
    "SeriesAutoencoder": autoencoder,
    "SeriesVAE": vae,
    "STFTTransformer": stft,
    "WindowCodes": window_codes,
}
CLASSIFIERS = {"FCNClassifier": fcn, "FineTunedClassifier": fine_tuned}
GENERATORS = {
    "MaskedPriorGenerator": masked_prior,
    "MaskedPriorGenerator two bands": functools.partial(masked_prior, {"n_bands": 2}),
    "MaskedPriorGenerator stft": functools.partial(
        masked_prior, {"frontend": "stft", "downsampled_width": 4}
    ),
    "AutoregressivePriorGenerator": autoregressive_prior,
}

# Estimators of a class that comes without any setting, too, which is the quick form of these in
# tests of all estimators; `pytest_collection_modifyitems` marks them as slow there.
VARIANTS = frozenset(
    [
        "VQTokenizer tokens",
        "VQTokenizer stft",
        "VQTokenizer two bands",
        "VQTokenizer with gaps",
        "SSLFeatureExtractor with gaps",
        "MaskedPriorGenerator two bands",
        "MaskedPriorGenerator stft",
    ]
)
QUICK_VARIANTS = ("test_generator.py",)  # files where they are not marked

# Transformers without a training loop, of which one has nothing random either.
UNTRAINED = ("RandomConvolutionExtractor", "STFTTransformer", "WindowCodes")
UNSEEDED = ("STFTTransformer",)

# A parameter of each transformer that counts something.
COUNT_PARAMETER = {
    "VQTokenizer": "codebook_size",
    "SSLFeatureExtractor": "width",
    "RandomConvolutionExtractor": "n_kernels",
    "SeriesAutoencoder": "latent_dim",
    "SeriesVAE": "latent_dim",
    "STFTTransformer": "n_fft",
    "WindowCodes": "codebook_size",
}


@functools.cache
def fitted(name):
    """A transformer fitted to 24 series of 32 points; not to be changed."""
    return TRANSFORMERS[name]().fit(two_shapes(24)[0])


@functools.cache
def fitted_classifier(name):
    """A classifier fitted to the same series and their two labels; not to be changed."""
    return CLASSIFIERS[name]().fit(*two_shapes(24))


@functools.cache
def fitted_generator(name):
    """A generator fitted to the same series and their two labels; not to be changed."""
    return GENERATORS[name]().fit(*two_shapes(24))
