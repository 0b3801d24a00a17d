"""Self-supervised objectives against slow references, hand-worked numbers and properties."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional import objectives as ob

# References that compute one entry of a matrix, or one pair of views, at a time.


def correlation(a, b, unbiased_std=False):
    n = len(a)
    a, b = a - a.mean(), b - b.mean()
    if unbiased_std:
        return (a * b).sum() / n / (a.std() * b.std())
    return (a * b).sum() / (a.norm() * b.norm())


def pairs_off_diagonal(p):
    return [(i, j) for i in range(p) for j in range(p) if i != j]


def barlow_reference(z1, z2, weight):
    p = z1.shape[1]
    on = sum((1 - correlation(z1[:, i], z2[:, i], True)) ** 2 for i in range(p))
    off = sum(correlation(z1[:, i], z2[:, j], True) ** 2 for i, j in pairs_off_diagonal(p))
    return (on + weight * off) / p


def covariance_reference(z):
    n, p = z.shape
    z = z - z.mean(0)
    return sum(((z[:, i] * z[:, j]).sum() / (n - 1)) ** 2 for i, j in pairs_off_diagonal(p)) / p


def correlation_reference(z):
    p = z.shape[1]
    return sum(correlation(z[:, i], z[:, j]) ** 2 for i, j in pairs_off_diagonal(p)) / p**2


def hinge_reference(z):
    return sum(torch.relu(1 - (column.var() + 1e-4).sqrt()) for column in z.T) / z.shape[1]


def cosine(a, b):
    return (a * b).sum() / (a.norm() * b.norm())


def nt_xent_reference(z1, z2, temperature):
    views = [*z1, *z2]
    total = 0.0
    n = len(z1)
    for i, view in enumerate(views):
        others = [math.e ** (cosine(view, v) / temperature) for j, v in enumerate(views) if j != i]
        partner = math.e ** (cosine(view, views[(i + n) % (2 * n)]) / temperature)
        total = total - torch.log(partner / sum(others))
    return total / (2 * n)


def info_nce_reference(query, key, queue, temperature):
    total = 0.0
    for q, k in zip(query, key, strict=True):
        positive = math.e ** (cosine(q, k) / temperature)
        negative = sum(math.e ** (cosine(q, old) / temperature) for old in queue)
        total = total - torch.log(positive / (positive + negative))
    return total / len(query)


def byol_reference(p1, t2, p2, t1):
    one = sum(2 - 2 * cosine(p, t) for p, t in zip(p1, t2, strict=True)) / len(p1)
    return one + sum(2 - 2 * cosine(p, t) for p, t in zip(p2, t1, strict=True)) / len(p1)


QUEUE = F.normalize(torch.randn(7, 5, generator=torch.Generator().manual_seed(9)).double(), dim=1)
QUEUE_WIDE = F.normalize(torch.randn(7, 20).double(), dim=1)


def queue(z):
    return QUEUE if z.shape[1] == 5 else QUEUE_WIDE


CASES = {
    "barlow": (ob.barlow_twins, lambda a, b: barlow_reference(a, b, 0.005)),
    "barlow weighted": (
        lambda a, b: ob.barlow_twins(a, b, 0.5),
        lambda a, b: barlow_reference(a, b, 0.5),
    ),
    "vicreg": (
        ob.vicreg,
        lambda a, b: (
            25 * ((a - b) ** 2).mean()
            + 25 * (hinge_reference(a) + hinge_reference(b))
            + covariance_reference(a)
            + covariance_reference(b)
        ),
    ),
    "vibcreg": (
        ob.vibcreg,
        lambda a, b: (
            25 * ((a - b) ** 2).mean()
            + 25 * (hinge_reference(a) + hinge_reference(b))
            + 100 * (correlation_reference(a) + correlation_reference(b))
        ),
    ),
    "vcreg": (
        lambda a, b: ob.vcreg(a),
        lambda a, b: 25 * hinge_reference(a) + covariance_reference(a),
    ),
    "nt_xent": (ob.nt_xent, lambda a, b: nt_xent_reference(a, b, 0.5)),
    "nt_xent cold": (lambda a, b: ob.nt_xent(a, b, 0.1), lambda a, b: nt_xent_reference(a, b, 0.1)),
    "info_nce": (
        lambda a, b: ob.info_nce(a, b, queue(a)),
        lambda a, b: info_nce_reference(a, b.detach(), queue(a), 0.07),
    ),
    "byol": (
        lambda a, b: ob.byol(a, b, b, a),
        lambda a, b: byol_reference(a, b.detach(), b, a.detach()),
    ),
}


def views(n, p, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, p, generator=generator).double().requires_grad_() for _ in range(2)]


@pytest.mark.parametrize("shape", [(6, 5), (6, 20), (2, 5), (2, 20)], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_value_and_gradient_are_those_of_the_reference(name, shape):
    """With fewer rows than columns, the smaller of two equal products is computed."""
    ours, reference = CASES[name]
    z = views(*shape)
    value, expected = ours(*z), reference(*z)
    np.testing.assert_allclose(value.item(), expected.item(), rtol=1e-6)
    gradients = torch.autograd.grad(value, z, allow_unused=True)
    references = torch.autograd.grad(expected, z, allow_unused=True)
    for gradient, expected_gradient in zip(gradients, references, strict=True):
        if expected_gradient is None:
            assert gradient is None or not gradient.any()
        else:
            np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
@given(seed=st.integers(0, 2**31), n=st.integers(2, 12))
def test_a_loss_does_not_depend_on_the_order_of_the_batch(name, seed, n):
    a, b = views(n, 5, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    ours = CASES[name][0]
    np.testing.assert_allclose(ours(a, b).item(), ours(a[order], b[order]).item(), rtol=1e-9)


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("name", CASES)
def test_constant_projections_have_a_finite_loss_and_gradient(name, value):
    z = [torch.full((4, 5), value, dtype=torch.float32, requires_grad=True) for _ in range(2)]
    ours = CASES[name][0] if name != "info_nce" else lambda a, b: ob.info_nce(a, b, QUEUE.float())
    loss = ours(*z)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(part.grad).all() for part in z if part.grad is not None)


def test_barlow_twins_by_hand():
    z = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    assert ob.barlow_twins(z, z).item() == pytest.approx((1 / 4) ** 2)  # diagonal 3/4, rest 0
    same = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    # all four correlations are 1/2: ((1/2)^2 + (1/2)^2 + 2 w (1/2)^2) / 2
    assert ob.barlow_twins(same, same, 1.0).item() == pytest.approx(0.5)


@given(seed=st.integers(0, 1000), channels=st.integers(1, 3))
def test_masked_error_is_the_mean_squared_error_of_the_hidden_values(seed, channels):
    generator = torch.Generator().manual_seed(seed)
    reconstruction, x = torch.randn(2, 3, channels, 5, generator=generator).double()
    hidden = torch.rand(3, 1, 5, generator=generator) < 0.5
    hidden[0, 0, 0] = True
    reconstruction.requires_grad_()
    errors = [
        (reconstruction[i, c, t] - x[i, c, t]) ** 2
        for i, c, t in itertools.product(range(3), range(channels), range(5))
        if hidden[i, 0, t]
    ]
    error = ob.masked_error(reconstruction, x, hidden)
    expected = sum(errors) / len(errors)
    assert error.item() == pytest.approx(expected.item())
    gradients = [torch.autograd.grad(loss, reconstruction)[0] for loss in (error, expected)]
    np.testing.assert_allclose(*gradients, rtol=1e-9)


def test_vicreg_terms_by_hand():
    z = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])
    assert ob.invariance(z, -z).item() == pytest.approx(10.0)  # (4 + 16 + 4 + 16) / 4
    assert ob.covariance_penalty(z).item() == pytest.approx(16.0)  # covariance 4, both ways, / 2
    assert ob.correlation_penalty(z).item() == pytest.approx(0.5)  # correlation 1, twice, / 4
    assert ob.variance_hinge(z).item() == 0
    assert ob.variance_hinge(0 * z).item() == pytest.approx(1 - 0.01)


def test_contrastive_losses_and_byol_by_hand():
    eye = torch.eye(2)
    # partner at similarity 1, two others at 0
    expected = -math.log(math.e**2 / (math.e**2 + 2))
    assert ob.nt_xent(eye, 3 * eye).item() == pytest.approx(expected)
    expected = -math.log(math.e / (math.e + math.e**-1))
    key = torch.tensor([[1.0, 0.0]])
    queued = torch.tensor([[-1.0, 0.0]])
    assert ob.info_nce(key, key, queued, temperature=1.0).item() == pytest.approx(expected)
    assert ob.byol(eye, eye, eye, -eye).item() == pytest.approx(0 + 4)


def test_correlations_ignore_the_scale_of_columns_and_covariances_do_not():
    z = views(6, 5)[0].detach()
    scale = torch.arange(1, 6).double()
    assert ob.correlation_penalty(z).item() == pytest.approx(
        ob.correlation_penalty(z * scale).item()
    )
    assert ob.covariance_penalty(z * scale) > 2 * ob.covariance_penalty(z)


def test_targets_of_byol_and_keys_of_info_nce_have_no_gradient():
    a, b = views(4, 5)
    ob.byol(a, b, a, b).backward()
    assert b.grad is None
    ob.info_nce(a, b, QUEUE).backward()
    assert b.grad is None


def test_whitened_groups_have_unit_covariances():
    generator = torch.Generator().manual_seed(0)
    mix = torch.eye(4).double() + 0.1 * torch.randn(2, 4, 4, generator=generator).double()
    z = torch.einsum("bgd,gde->bge", torch.randn(500, 2, 4, generator=generator).double(), mix)
    z = z - z.mean(0)
    white = torch.einsum("bgd,gde->bge", z, ob.whitening_matrix(z, n_iterations=12, eps=0.0))
    covariance = torch.einsum("bgd,bge->gde", white, white) / len(z)
    np.testing.assert_allclose(covariance, torch.eye(4).expand(2, 4, 4), atol=1e-6)
    values, vectors = torch.linalg.eigh(z.transpose(0, 1).mT @ z.transpose(0, 1) / len(z))
    exact = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    np.testing.assert_allclose(ob.whitening_matrix(z, 12, 0.0), exact, rtol=1e-4, atol=1e-6)


def test_whitening_improves_with_every_iteration():
    z = (
        views(300, 4)[0].detach().view(300, 1, 4)
        @ torch.diag(torch.tensor([1.0, 2, 3, 4])).double()
    )
    z = z - z.mean(0)

    def distance(n_iterations):
        white = z[:, 0] @ ob.whitening_matrix(z, n_iterations)[0]
        return (white.T @ white / len(z) - torch.eye(4)).norm()

    distances = [distance(n) for n in range(1, 8)]
    assert all(later < earlier for earlier, later in itertools.pairwise(distances))
