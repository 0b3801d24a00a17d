"""Training in bfloat16 learns what training in float32 does."""

import numpy as np
import pytest

from .conftest import two_shapes
from .estimators import CLASSIFIERS, GENERATORS, extractor, tokenizer

X, Y = two_shapes(24)
TRAINED = {
    "VQTokenizer": tokenizer,
    "VQTokenizer Barlow Twins": lambda **more: tokenizer(ssl="barlow_twins", **more),
    "SSLFeatureExtractor": extractor,
    **CLASSIFIERS,
    **GENERATORS,
}


@pytest.mark.parametrize("name", TRAINED)
def test_training_in_bfloat16_follows_training_in_float32(name):
    curves = [
        TRAINED[name](max_epochs=8, learning_rate=0.01, precision=precision)
        .fit(X, Y)
        .loss_curve_["loss"]
        for precision in ("float32", "bfloat16")
    ]
    assert not np.array_equal(*curves)
    change = np.ptp(curves[0])
    np.testing.assert_allclose(curves[1], curves[0], atol=0.2 * change, rtol=0)
