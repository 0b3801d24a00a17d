"""Projectors of the self-supervised branch."""

import numpy as np
import pytest
import torch

from skvqts._nn.layers import build
from skvqts._nn.self_supervision import IterNorm, Projector


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def mixed(n, width, seed=0):
    g = generator(seed)
    mix = torch.eye(width) + 0.3 * torch.randn(width, width, generator=g) / width**0.5
    return 3 + torch.randn(n, width, generator=g) @ mix


@pytest.mark.parametrize(("width", "shape"), [(128, (2, 64)), (96, (2, 48)), (7, (1, 7))])
def test_iterative_normalisation_whitens_each_group(width, shape):
    make = lambda: IterNorm(width, n_iterations=12)  # noqa: E731 - 5 whiten large groups partly
    norm, x = build(make, generator()).train(), mixed(2000, width)
    assert norm.shape == shape
    white = norm(x).detach().unflatten(1, shape)
    np.testing.assert_allclose(white.mean(0), 0, atol=1e-4)
    covariance = torch.einsum("bgd,bge->gde", white, white) / len(x)
    assert (covariance - torch.eye(shape[1])).abs().max() < 0.1
    before = torch.einsum("bgd,bge->gde", *(2 * [(x - x.mean(0)).unflatten(1, shape)])) / len(x)
    assert (before - torch.eye(shape[1])).abs().max() > 0.2


def test_running_statistics_become_those_of_the_batch():
    norm, x = build(lambda: IterNorm(16), generator()).train(), mixed(500, 16)
    for _ in range(200):
        in_training = norm(x)
    np.testing.assert_allclose(norm.eval()(x).detach(), in_training.detach(), atol=1e-4)


def test_gradients_flow_through_the_whitening():
    norm = build(lambda: IterNorm(4), generator()).double().train()
    x = mixed(9, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: norm(x), x, nondet_tol=0.0)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize(("n_hidden", "size"), [(0, 6 * 8 + 8), (2, 6 * 8 + 8 + 2 * (72 + 16))])
def test_projectors_have_the_expected_number_of_parameters(n_hidden, size, whiten):
    make = lambda: Projector(6, 8, n_hidden=n_hidden, whiten=whiten)  # noqa: E731
    projector = build(make, generator()).train()
    assert sum(p.numel() for p in projector.parameters()) == size + 16 * whiten
    x = torch.randn(5, 6, generator=generator())
    assert projector(x).shape == (5, 8)
    assert torch.isfinite(projector(x[:1])).all()
    assert torch.isfinite(projector(torch.ones(4, 6))).all()


def test_the_number_of_parameters_is_the_published_one():
    with torch.device("meta"):
        plain, whitened = (Projector(128, 4096, whiten=whiten) for whiten in (False, True))
    assert sum(p.numel() for p in plain.parameters()) == 34_107_392
    assert sum(p.numel() for p in whitened.parameters()) == 34_107_392 + 8_192
