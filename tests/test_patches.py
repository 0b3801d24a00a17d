"""The front end of patches: what a token sees, series of any length, rows beside each other."""

from functools import partial

import numpy as np
import pytest
import torch

from skvqts import load
from skvqts._nn.conv import ConvEncoder
from skvqts._nn.encoders import make_encoder
from skvqts._nn.layers import build
from skvqts._nn.sequence.patches import PatchEncoder

from .conftest import two_shapes
from .estimators import autoencoder, extractor, tokenizer

X, Y = two_shapes(24)
SIZES = {"width": 8, "latent_dim": 6, "n_blocks": 1, "downsampled_width": 4}
make = partial(tokenizer, frontend="patches")


def encoder(n_channels=2, n_timepoints=32, kind=PatchEncoder, **sizes):
    generator = torch.Generator().manual_seed(0)
    network = build(partial(kind, n_channels, n_timepoints, **SIZES | sizes), generator)
    return network.eval()


def series(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_without_blocks_a_token_is_a_projected_patch():
    network = encoder(n_blocks=0)
    x = series(3, 2, 32)
    weight, bias = network.patches.weight.flatten(1), network.patches.bias
    with torch.no_grad():
        found = network(x)
        for index in range(4):
            patch = x[:, :, 8 * index : 8 * index + 8].flatten(1)
            row = (patch @ weight.T + bias)[..., None, None]
            expected = network.head(network.last_norm(network.norm(row)))[..., 0, 0]
            torch.testing.assert_close(found[:, index], expected)


@pytest.mark.parametrize("kind", [PatchEncoder, ConvEncoder])
def test_every_token_sees_the_whole_series_and_those_of_convolutions_a_part(kind):
    network = encoder(n_timepoints=256, kind=kind, downsampled_width=16)
    x = series(1, 2, 256)
    changed = x.clone()
    changed[..., :4] += 1
    with torch.no_grad():
        moved = (network(changed) != network(x)).any(2)[0]
    assert moved[0]
    assert moved.all() == (kind is PatchEncoder)


def test_attention_knows_where_a_patch_is():
    network = encoder()
    x = series(1, 2, 32)
    swapped = torch.cat([x[..., 8:16], x[..., :8], x[..., 16:]], dim=2)
    with torch.no_grad():
        before, after = network(x)[0], network(swapped)[0]
    assert not torch.allclose(before[0], after[1], atol=1e-4)


@pytest.mark.parametrize("length", [1, 2, 3, 5, 7, 9, 101])
def test_series_of_any_length(length):
    rows = two_shapes(8, length)[0]
    model = make(max_epochs=1, output="tokens", codebook_size=2).fit(rows)
    assert model.inverse_transform(model.transform(rows)).shape == rows.shape


@pytest.mark.parametrize("width", [1, 3, 40])
def test_widths_of_any_number_of_heads(width):
    assert encoder(width=width)(series(2, 2, 32)).shape == (2, 4, 6)


def test_results_do_not_depend_on_other_series():
    model = make().fit(X)
    rows = two_shapes(70, seed=3)[0]
    whole = model.transform(rows)
    order = np.random.default_rng(0).permutation(70)
    assert np.array_equal(model.transform(rows[order]), whole[order])
    assert np.array_equal(model.transform(rows[5:6]), whole[5:6])


def test_it_learns_to_reconstruct_and_features_that_tell_shapes_apart():
    learned = {"max_epochs": 80, "learning_rate": 0.005, "width": 16, "codebook_size": 32}
    model = make(**learned, downsampled_width=16).fit(X)
    assert model.loss_curve_["reconstruction"][-1] < 0.4 * model.loss_curve_["reconstruction"][0]
    of_encoder = extractor(frontend="patches", max_epochs=10, output="encoder_features")
    features = of_encoder.fit(X).transform(X)
    assert features.shape == (24, 5 * 3 * 8 + 14 * 2 * 4)  # latents, and two layers of width 4


@pytest.mark.parametrize(
    "parameters", [{}, {"n_bands": 2}, {"missing": "mask"}, {"ssl": "vicreg"}], ids=str
)
def test_options_and_files(parameters, tmp_path):
    model = make(**parameters).fit(X)
    model.save(tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").encode(X), model.encode(X))


def test_an_autoencoder_of_patches():
    model = autoencoder(frontend="patches", n_blocks=1).fit(X)
    assert model.inverse_transform(model.transform(X)).shape == X.shape


def test_a_head_has_sixteen_dimensions():
    network = make_encoder(1, 256, frontend="patches", **SIZES | {"width": 64})
    assert [block.attention.n_heads for block in network.blocks] == [4]
