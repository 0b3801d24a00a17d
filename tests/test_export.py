"""Networks as exported programs, which run without this library."""

import numpy as np
import pytest
import torch
from torch import nn

from skvqts.functional.codebook import nearest_code

from .conftest import two_shapes
from .estimators import TRANSFORMERS, fitted

X = two_shapes(24)[0]
TOKENIZERS = [name for name in TRANSFORMERS if name.startswith("VQ")]


class Encode(nn.Module):
    """Scaled series ``(n, c, t)`` to token ids ``(n, N)``."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.tokens(self.network.encode(x))


@pytest.mark.slow
@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_exported_encoder_gives_the_tokens_of_encode(name):
    tokenizer = fitted(name)
    x = torch.from_numpy(tokenizer.scaler_.transform(X[:, None]))
    program = torch.export.export(Encode(tokenizer.module_), (x,))
    assert np.array_equal(program.module()(x).numpy(), tokenizer.encode(X))


@pytest.mark.parametrize("level", [0.0, 1e3])
def test_the_nearest_code_is_the_same_in_a_program_that_is_exported(level, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(50, 8, generator=generator) + level
    codebook[7] = codebook[3]  # a tie
    z = torch.cat([torch.randn(200, 8, generator=generator) + level, codebook])
    expected = nearest_code(z, codebook)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(nearest_code(z, codebook), expected)
    tokenizer = fitted("VQTokenizer")
    scaled = torch.from_numpy(tokenizer.scaler_.transform(X[:, None]))
    with torch.no_grad():
        tokens = Encode(tokenizer.module_)(scaled)
    assert np.array_equal(tokens.numpy(), tokenizer.encode(X))
