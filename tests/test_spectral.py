"""The STFT against a naive transform, and the published sizes that follow from it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts._nn.encoders import resolved_sizes
from skvqts._nn.stft import STFTDecoder, STFTEncoder
from skvqts.functional.spectral import istft, n_frames, stft

from . import reference

# Length of the series, columns of the STFT and columns of tokens, for data sets of the UCR archive
# with the settings of NC-VQVAE.
PUBLISHED = [
    (140, 71, 8),
    (96, 49, 12),
    (500, 251, 15),
    (1024, 513, 8),
    (512, 257, 8),
    (70, 36, 9),
    (65, 33, 8),
    (398, 200, 12),
    (128, 65, 8),
    (945, 473, 14),
    (152, 77, 9),
]


AUTO = dict.fromkeys(("latent_dim", "n_blocks", "downsampled_width"), "auto")
SIZE = resolved_sizes("stft", width=64, **AUTO)


def _size(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("length", "columns", "token_columns"), PUBLISHED)
def test_published_shapes(length, columns, token_columns):
    x = torch.randn(2, 1, length, generator=torch.Generator().manual_seed(0))
    u = stft(x, 8)
    assert u.shape == (2, 2, 5, columns)
    encoder = STFTEncoder(1, length, **SIZE)
    assert encoder.grid == (5, token_columns)
    z = encoder(x)
    assert z.shape == (2, 5 * token_columns, 64)
    assert STFTDecoder(1, length, encoder.grid, **SIZE)(z).shape == x.shape


@pytest.mark.parametrize(
    ("length", "encoder_size", "decoder_size"),
    [(96, 216_448, 215_796), (140, 265_792, 265_140), (1024, 413_824, 413_172)],
)
def test_published_parameter_counts(length, encoder_size, decoder_size):
    encoder = STFTEncoder(1, length, **SIZE)
    assert _size(encoder) == encoder_size
    assert _size(STFTDecoder(1, length, encoder.grid, **SIZE)) == decoder_size


def test_tokens_are_in_row_major_order():
    encoder = STFTEncoder(1, 140, **SIZE).eval()
    u = stft(torch.randn(1, 1, 140), 8)
    z = encoder.encode_spectrum(u)
    grid = encoder.blocks(encoder.down(u))
    assert torch.equal(z[0, 2 * 8 + 3], grid[0, :, 2, 3])


@pytest.mark.parametrize("length", [5, 8, 33, 64])
def test_stft_matches_a_naive_transform(length):
    x = np.random.default_rng(length).normal(size=(2, length))
    got = stft(torch.tensor(x)[None], 8)[0].numpy().reshape(2, 2, 5, -1)
    for channel in range(2):
        np.testing.assert_allclose(got[channel], reference.stft(x[channel], 8), atol=1e-12)


@given(length=st.integers(5, 70), channels=st.integers(1, 3), seed=st.integers(0, 1000))
def test_istft_gives_every_length_back(length, channels, seed):
    x = torch.randn(2, channels, length, generator=torch.Generator().manual_seed(seed))
    u = stft(x, 8)
    assert u.shape[-1] == n_frames(length, 8)
    for n_fft in (7, 9):
        assert stft(x, n_fft).shape[-1] == n_frames(length, n_fft)
    torch.testing.assert_close(istft(u, length, 8), x, rtol=1e-4, atol=1e-5)
