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


def _tokenizer(**parameters):
    return VQTokenizer(**_SMALL_TOKENIZER | parameters)


def _extractor(**parameters):
    small = {"width": 4, "latent_dim": 8, "n_blocks": 1, "max_epochs": 3, "random_state": 0}
    return SSLFeatureExtractor(**small | parameters)


TRANSFORMERS = {
    "VQTokenizer": _tokenizer,
    "VQTokenizer tokens": functools.partial(_tokenizer, output="tokens"),
    "VQTokenizer stft": functools.partial(_tokenizer, frontend="stft"),
    "VQTokenizer ssl": functools.partial(_tokenizer, ssl="vicreg"),
    "SSLFeatureExtractor": _extractor,
}

# a parameter of each with a value outside its constraints, besides what scikit-learn tries
COUNTS = {"VQTokenizer": "codebook_size", "SSLFeatureExtractor": "width"}


@functools.cache
def fitted(name):
    """A transformer fitted to 24 series of 32 points; not to be changed."""
    return TRANSFORMERS[name]().fit(two_shapes(24)[0])
