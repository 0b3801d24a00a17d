"""Every transformer of the library, small enough for a test; a new one joins all suites here."""

import functools

from skvqts import SSLFeatureExtractor, VQTokenizer

from .conftest import two_shapes

_SMALL_TOKENIZER = {
    "codebook_size": 6,
    "width": 8,
    "latent_dim": 8,
    "n_blocks": 1,
    "max_epochs": 3,
    "random_state": 0,
}


def tokenizer(**parameters):
    """A small VQTokenizer."""
    return VQTokenizer(**_SMALL_TOKENIZER | parameters)


def extractor(**parameters):
    """A small SSLFeatureExtractor."""
    small = {"width": 4, "latent_dim": 8, "n_blocks": 1, "max_epochs": 3, "random_state": 0}
    return SSLFeatureExtractor(**small | parameters)


TRANSFORMERS = {
    "VQTokenizer": tokenizer,
    "VQTokenizer tokens": functools.partial(tokenizer, output="tokens"),
    "VQTokenizer stft": functools.partial(tokenizer, frontend="stft"),
    "SSLFeatureExtractor": extractor,
}

# a parameter of each with a value outside its constraints, besides what scikit-learn tries
COUNTS = {"VQTokenizer": "codebook_size", "SSLFeatureExtractor": "width"}


@functools.cache
def fitted(name):
    """A transformer fitted to 24 series of 32 points; not to be changed."""
    return TRANSFORMERS[name]().fit(two_shapes(24)[0])
