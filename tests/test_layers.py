"""Layers that several networks share."""

import itertools
import threading
from functools import partial

import numpy as np
import pytest
import torch

from skvqts._nn.encoders import make_encoder
from skvqts._nn.layers import BatchNorm2d, build
from skvqts._nn.quantizer import VectorQuantizer
from skvqts._nn.vqvae import make_vqvae

SIZES = {"width": 4, "latent_dim": 3, "n_blocks": 2, "downsampled_width": 8}
N_ACTIVATIONS = {"conv": 3, "stft": 6}


@pytest.mark.parametrize("frontend", N_ACTIVATIONS)
def test_activations_are_standardised_by_the_running_statistics(frontend):
    generator = torch.Generator().manual_seed(0)
    quantizer = partial(VectorQuantizer, codebook_size=5)
    make = partial(make_vqvae, quantizer, 1, 64, frontend=frontend, n_bands=1, **SIZES)
    network, x = build(make, generator).train(), torch.randn(16, 1, 64, generator=generator)
    for _ in range(200):  # until the running statistics are those of the batch
        network.encode(x)
    network.eval()
    activations = []
    network.encode(x, activations)
    assert {a.shape[2] for a in activations} == {4}
    assert len(activations) == N_ACTIVATIONS[frontend]
    for a in activations:
        assert a.shape[0] == 16
        np.testing.assert_allclose(a.mean((0, 1)).detach(), 0, atol=1e-2)
        np.testing.assert_allclose(a.std((0, 1)).detach(), 1, atol=1e-2)
    assert len(network.encode(x)) == 1
    assert len(activations) == N_ACTIVATIONS[frontend]  # nothing is recorded without a list
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(activations))


@pytest.mark.parametrize("frontend", ["conv", "multiscale", "patches", "stft"])
def test_recording_does_not_change_the_latents(frontend):
    generator = torch.Generator().manual_seed(0)
    encoder = build(partial(make_encoder, 1, 64, frontend=frontend, **SIZES), generator).eval()
    x, activations = torch.randn(3, 1, 64, generator=generator), []
    assert torch.equal(encoder(x, activations), encoder(x))
    assert activations


def test_the_activations_of_all_bands_are_recorded_in_order():
    """The low band has a stride of 32, halved twice after the patches, the high one of 8."""
    generator = torch.Generator().manual_seed(0)
    make = partial(make_encoder, 1, 64, frontend="conv", n_bands=2, **SIZES)
    encoder, x = build(make, generator).eval(), torch.randn(3, 1, 64, generator=generator)
    activations = []
    encoder(x, activations)
    assert [a.shape[1] for a in activations] == [8, 8, 4, 4, 2, 2, 2, 8, 8, 8]


@torch.no_grad()
def test_concurrent_threads_record_only_their_activations():
    """Both threads are held inside the network until the other one is there as well."""
    generator = torch.Generator().manual_seed(0)
    encoder = build(partial(make_encoder, 1, 64, frontend="conv", **SIZES), generator).eval()
    series = {name: torch.randn(2, 1, 64, generator=generator) for name in (1, 2)}
    expected = {name: [] for name in series}
    for name, x in series.items():
        encoder(x, expected[name])
    assert len(expected[1]) == N_ACTIVATIONS["conv"]

    found, barrier = {name: [] for name in series}, threading.Barrier(2, timeout=60)

    def wait(*_):
        barrier.wait()

    for layer in encoder.modules():
        if isinstance(layer, BatchNorm2d):
            layer.register_forward_hook(wait)

    def work(name):
        with torch.no_grad():
            encoder(series[name], found[name])

    threads = [threading.Thread(target=work, args=(name,)) for name in series]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in series:
        pairs = zip(found[name], expected[name], strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(found[1][0], found[2][0])
