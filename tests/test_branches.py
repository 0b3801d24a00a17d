"""Branches of self-supervised objectives: their losses and their momentum encoders."""

import numpy as np
import pytest
import torch
from torch import nn

from skvqts import objectives as public
from skvqts._nn.layers import build
from skvqts._nn.self_supervision import (
    BYOLBranch,
    JointBranch,
    MaskedBranch,
    MoCoBranch,
    Projector,
    View,
    mean_and_maximum,
)
from skvqts.functional import objectives as ob


class Encoder(nn.Module):
    """An encoder with one token for every four time points, and batch normalisation."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)

    def forward(self, x):
        z = self.linear(x.unflatten(2, (-1, 4)).squeeze(1))
        return self.norm(z.transpose(1, 2)).transpose(1, 2)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def encoder():
    return build(Encoder, generator()).train()


def series(n=6, seed=0):
    return torch.randn(n, 1, 12, generator=generator(seed))


def view(encoder, n=6, seed=0):
    x = series(n, seed)
    return View(x, encoder(x))


def change(encoder):
    """Give an encoder other weights and other running statistics."""
    other = build(Encoder, generator(7)).train()
    other(series(seed=5))
    encoder.load_state_dict(other.state_dict())


def test_pooled_latents_are_the_mean_beside_the_maximum():
    z = torch.tensor([[[1.0, 5.0], [3.0, -1.0]]])
    assert mean_and_maximum(z).tolist() == [[2, 2, 3, 5]]


def test_joint_projects_both_views_with_one_projector(encoder):
    projector = build(lambda: Projector(6, 4), generator())
    branch = JointBranch(projector, lambda a, b: (a - b).abs().sum())
    first = view(encoder)
    assert branch(first, first).item() == 0
    assert branch(first, view(encoder, seed=1)).item() > 0


@pytest.mark.parametrize("name", sorted(set(public.OBJECTIVES) - {"masked"}))
def test_every_branch_has_a_gradient_in_the_encoder(encoder, name):
    branch = build(lambda: public.OBJECTIVES[name]().make_branch(6, 50), generator()).train()
    if name in ("byol", "moco"):
        branch.start(encoder, None)
    branch(view(encoder), view(encoder, seed=1)).backward()
    assert encoder.linear.weight.grad.abs().sum() > 0
    if name in ("byol", "moco"):
        branch.update_momentum_copies(encoder)
    slow = [getattr(branch, copy, None) for copy in ("momentum_encoder", "momentum_projector")]
    assert all((module is not None) == (name in ("byol", "moco")) for module in slow)
    for module in slow:
        assert module is None or not [p for p in module.parameters() if p.requires_grad]


def byol(momentum=0.75):
    def make():
        projector, predictor = Projector(6, 4, n_hidden=1), Projector(4, 4, n_hidden=1)
        return BYOLBranch(projector, predictor, momentum)

    return build(make, generator(1)).train()


def test_the_momentum_encoder_is_a_moving_average_with_copied_statistics(encoder):
    branch = byol()
    branch.start(encoder, None)
    before = encoder.linear.weight.detach().clone()
    change(encoder)
    branch.update_momentum_copies(encoder)
    expected = 0.75 * before + 0.25 * encoder.linear.weight
    np.testing.assert_allclose(
        branch.momentum_encoder.linear.weight, expected.detach(), rtol=1e-5, atol=1e-7
    )
    assert torch.equal(branch.momentum_encoder.norm.running_mean, encoder.norm.running_mean)
    assert torch.equal(branch.momentum_encoder.norm.running_var, encoder.norm.running_var)


def test_byol_compares_each_prediction_with_the_target_of_the_other_view(encoder):
    branch = byol().eval()
    branch.start(encoder, None)
    first, second = view(encoder), view(encoder, seed=1)
    predictions = [
        branch.predictor(branch.projector(mean_and_maximum(v.latents))) for v in (first, second)
    ]
    targets = [
        branch.momentum_projector(mean_and_maximum(branch.momentum_encoder(v.series)))
        for v in (first, second)
    ]
    crossed = ob.byol(predictions[0], targets[1], predictions[1], targets[0])
    same = ob.byol(predictions[0], targets[0], predictions[1], targets[1])
    loss = branch(first, second).item()
    assert loss == pytest.approx(crossed.item())
    assert abs(loss - same.item()) > 1e-3


def moco(queue_size):
    make = lambda: MoCoBranch(Projector(6, 4, n_hidden=1), 4, 0.9, 0.5, queue_size)  # noqa: E731
    return build(make, generator(1)).train()


def test_the_queue_holds_the_latest_keys_first(encoder):
    branch = moco(queue_size=8)
    assert torch.allclose(branch.queue.norm(dim=1), torch.ones(8))
    branch.start(encoder, None)
    old = branch.queue.clone()
    first, second = view(encoder, n=3), view(encoder, n=3, seed=1)
    branch(first, second)
    assert torch.equal(branch.queue[6:], old[:2])
    assert torch.allclose(branch.queue.norm(dim=1), torch.ones(8))
    keys = nn.functional.normalize(branch.momentum_projection(first), dim=1)
    assert torch.allclose(branch.queue[:3], keys, atol=1e-5)
    kept = branch.queue.clone()
    branch.eval()(first, second)
    assert torch.equal(branch.queue, kept)


def test_the_queue_is_no_longer_than_the_training_set():
    for n_series, size in ((20, 20), (9000, 512)):
        branch = build(lambda n=n_series: public.MoCo().make_branch(6, n), generator())
        assert len(branch.queue) == size


def test_the_loss_of_moco_is_the_mean_of_both_directions(encoder):
    branch = moco(queue_size=5).eval()
    branch.start(encoder, None)
    first, second = view(encoder), view(encoder, seed=1)
    queries = [branch.projector(mean_and_maximum(v.latents)) for v in (first, second)]
    keys = [branch.momentum_projection(v) for v in (first, second)]
    one = ob.info_nce(queries[0], keys[1], branch.queue, 0.5)
    other = ob.info_nce(queries[1], keys[0], branch.queue, 0.5)
    assert branch(first, second).item() == pytest.approx((one + other).item() / 2)


def test_only_masked_values_count_in_masked_modelling():
    x, hidden = series(2), torch.zeros(2, 1, 12, dtype=torch.bool)
    hidden[0, 0, 3] = hidden[1, 0, 5] = True
    branch, error = MaskedBranch(), torch.zeros(2, 1, 12)
    error[0, 0, 3], error[1, 0, 5], error[1, 0, 6] = 2.0, 4.0, 100.0
    branch.start(None, lambda z: x + error)
    assert branch(View(x, None), View(x, None, hidden)).item() == pytest.approx((4 + 16) / 2)
    nothing = torch.zeros_like(hidden)
    assert branch(View(x, None), View(x, None, nothing)).item() == 0
