"""The quantiser, and a toy model that diverges without the commitment loss."""

import math

import pytest
import torch
import torch.nn.functional as F

from skvqts._nn.layers import build
from skvqts._nn.quantizer import VectorQuantizer
from skvqts.functional import codebook as cb


def make(generator=None, **parameters):
    generator = generator or torch.Generator().manual_seed(0)
    dim, size = parameters.pop("dim", 6), parameters.pop("codebook_size", 8)
    return build(lambda: VectorQuantizer(dim, size, **parameters), generator)


def latents(b=4, n=5, d=6, seed=1):
    return torch.randn(b, n, d, generator=torch.Generator().manual_seed(seed))


def test_forward_finds_the_nearest_code():
    quantizer = make()
    z = latents()
    q = quantizer(z)
    expected = torch.cdist(z.flatten(0, 1).double(), quantizer.codebook.double()).argmin(1)
    assert torch.equal(q.ids.flatten(), expected)
    torch.testing.assert_close(q.z_q, quantizer.codebook[q.ids])
    assert torch.equal(q.codes, quantizer.embed(q.ids))


def test_forward_leaves_the_codebook_unchanged():
    quantizer = make().train()
    before = quantizer.codebook.clone()
    quantizer(latents())
    assert torch.equal(quantizer.codebook, before)


def test_normalised_codes_of_lower_dimension():
    quantizer = make(code_dim=3, normalize_codes=True)
    q = quantizer(latents())
    assert q.z_q.shape == (4, 5, 6)
    assert q.codes.shape == (4, 5, 3)
    for vectors in (q.vectors, quantizer.codes()):
        torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(vectors.shape[:-1]))
    cosine = F.normalize(quantizer.project(latents()), dim=-1) @ quantizer.codes().T
    assert torch.equal(q.ids, cosine.argmax(-1))
    quantizer.update(q, torch.Generator())
    torch.testing.assert_close(quantizer.codebook.norm(dim=1), torch.ones(8))


def test_gradient_update_reaches_the_codes_and_ema_does_not():
    for update, moves in (("gradient", True), ("ema", False)):
        quantizer = make(update=update)
        terms = quantizer.losses(quantizer(latents().requires_grad_()))
        assert ("codebook" in terms) == moves
        sum(terms.values()).backward()
        assert (quantizer.codebook.grad is not None) == moves


def test_without_revival_an_unused_code_stays():
    quantizer = make(revival_threshold=0.0)
    with torch.no_grad():
        quantizer.codebook[3] = 1e3
    quantizer.update(quantizer(latents()), torch.Generator())
    assert torch.equal(quantizer.codebook[3], torch.full((6,), 1e3))


def test_unused_codes_are_revived():
    quantizer = make(codebook_size=16)
    with torch.no_grad():
        quantizer.codebook[1:] = 1e3
    generator = torch.Generator().manual_seed(0)
    z = latents(32, 8)
    for _ in range(150):
        quantizer.update(quantizer(z), generator)
    assert quantizer(z).ids.unique().numel() >= 14


def test_cluster_sizes_start_as_numbers_of_vectors_per_batch():
    quantizer = make()
    quantizer.start_at_centres(latents(20, 10), 50, torch.Generator().manual_seed(0))
    assert quantizer.cluster_size.sum().item() == pytest.approx(50)


def _train_toy_model(commitment_weight, n_steps=2000):
    """Train a linear encoder and a sigmoid decoder on data {0, 1} with fixed codes {-1, 1}.

    Returns the mean distance between encodings and their codes before and after.
    """
    x = torch.tensor([[0.0], [1.0]])
    codebook = torch.tensor([[-1.0], [1.0]])
    weight = torch.tensor([0.5, 0.0, 1.0, 0.0], requires_grad=True)  # encoder, decoder
    optimizer = torch.optim.Adam([weight], 0.05)
    distances = []
    for _ in range(n_steps):
        z = weight[0] * (2 * x - 1) + weight[1]
        z_q = codebook[cb.nearest_code(z, codebook)]
        x_hat = torch.sigmoid(weight[2] * cb.straight_through(z, z_q) + weight[3])
        loss = F.mse_loss(x_hat, x) + commitment_weight * cb.commitment_loss(z, z_q)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        distances.append((z - z_q).abs().mean().item())
    return distances[0], distances[-1]


def test_commitment_keeps_the_encoder_near_its_codes():
    start, diverged = _train_toy_model(0.0)
    assert start == pytest.approx(0.5)
    assert diverged > 5
    _, committed = _train_toy_model(0.25)
    assert committed < 0.05
    assert math.isfinite(diverged)
