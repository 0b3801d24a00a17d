"""Layers that several networks share."""

import itertools
import threading
from functools import partial

import numpy as np
import pytest
import torch

from skvqts._nn.layers import BatchNorm2d, build, recorded_activations
from skvqts._nn.vqvae import front_end_size, make_vqvae


@pytest.mark.parametrize("frontend", ["conv", "stft"])
def test_activations_are_standardised_by_the_running_statistics(frontend):
    size = front_end_size(frontend, width=4, latent_dim=3, n_blocks=2, downsampled_width=8)
    quantizer = {"codebook_size": 5}
    generator = torch.Generator().manual_seed(0)
    make = partial(make_vqvae, 1, 64, frontend=frontend, size=size, quantizer=quantizer, n_bands=1)
    network, x = build(make, generator).train(), torch.randn(16, 1, 64, generator=generator)
    for _ in range(200):  # until the running statistics are those of the batch
        network.encode(x)
    network.eval()
    _, activations = network.encode_and_record(x)
    assert {a.shape[2] for a in activations} == {4}
    assert len(activations) == {"conv": 3, "stft": 6}[frontend]
    for a in activations:
        assert a.shape[0] == 16
        np.testing.assert_allclose(a.mean((0, 1)).detach(), 0, atol=1e-2)
        np.testing.assert_allclose(a.std((0, 1)).detach(), 1, atol=1e-2)
    assert len(network.encode(x)) == 1  # nothing is recorded otherwise
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(activations))


def test_concurrent_threads_record_only_their_activations():
    layer, found = BatchNorm2d(2).eval(), {}

    def work(name):
        with recorded_activations() as activations:
            barrier.wait()
            layer(torch.full((1, 2, 1, 3), float(name)))
            barrier.wait()
        found[name] = [a[0, 0, 0, 0].item() for a in activations]

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(name,)) for name in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: len(values) for name, values in found.items()} == {1: 1, 2: 1}
    np.testing.assert_allclose([found[1][0], found[2][0]], [1, 2], rtol=1e-4)
