"""The training loop, with models of a few lines."""

import math

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from skvqts._fitting.training import TrainingPlan, learning_rate_factor, train
from skvqts.exceptions import DivergedError


def plan(**changes):
    return TrainingPlan(**({"n_epochs": 5, "batch_size": 4, "learning_rate": 0.05} | changes))


def regression(n=22, seed=0):
    """A linear model, data that it can fit and the squared error."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, generator=generator)
    y = x @ torch.tensor([1.0, -2.0, 0.5])
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    return model, (x, y), lambda x, y: {"error": (model(x)[:, 0] - y).square().mean()}


def run(model, data, losses, changes=None, weights=None, **options):
    return train(
        model,
        data,
        losses,
        weights or {},
        changes or plan(),
        torch.Generator().manual_seed(1),
        **options,
    )


def test_training_minimises_the_loss():
    model, data, losses = regression()
    record = run(model, data, losses, plan(n_epochs=100))
    assert record.n_epochs == 100
    assert record.losses["error"][-1] < 1e-3 < record.losses["error"][0]
    torch.testing.assert_close(model.weight[0], torch.tensor([1.0, -2.0, 0.5]), atol=0.05, rtol=0)
    assert not model.training


def test_every_epoch_uses_every_sample_once_in_batches_of_similar_size():
    model, (x, _), _ = regression(22)
    batches = []

    def losses(index):
        batches.append(index)
        return {"error": model(x[index]).square().mean()}

    run(model, (torch.arange(22),), losses, plan(n_epochs=2))
    assert sorted(torch.cat(batches[:6]).tolist()) == list(range(22))
    assert {len(batch) for batch in batches} == {3, 4}
    assert not torch.equal(torch.cat(batches[:6]), torch.cat(batches[6:]))


@pytest.mark.parametrize(("n", "sizes"), [(3, [3]), (5, [2, 3]), (2, [2]), (8, [2, 2, 2, 2])])
def test_no_batch_is_smaller_than_least_batch(n, sizes):
    model, (x, _), _ = regression(8)
    batch_sizes = []

    def losses(index):
        batch_sizes.append(len(index))
        return {"error": model(x[index]).square().mean()}

    least = plan(n_epochs=1, batch_size=2, least_batch=2)
    run(model, (torch.arange(n),), losses, least)
    assert sorted(batch_sizes) == sizes
    batch_sizes.clear()
    run(model, (torch.arange(4),), losses, least, validation=(torch.arange(3),))
    assert batch_sizes == [2, 2, 3]


def test_parts_of_a_model_may_have_other_learning_rates():
    parts = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.zero_()

    def losses(x):
        return {"error": sum((part(x) - 1).square().mean() for part in parts)}

    x = torch.ones(4, 3)
    run(parts, (x,), losses, plan(n_epochs=1, weight_decay=0.0), rates=[(parts[1], 0.1)])
    for fast, slow in zip(parts[0].parameters(), parts[1].parameters(), strict=True):
        torch.testing.assert_close(slow, 0.1 * fast)
        assert (fast > 0).all()


def test_terms_are_weighted_in_the_loss_and_recorded_unweighted():
    model, data, _ = regression()
    terms = {"a": 2.0, "b": 3.0}

    def losses(x, y):
        return {name: value + 0 * model.weight.sum() for name, value in terms.items()}

    record = run(model, data, losses, weights={"b": 10.0})
    assert record.losses["a"] == [2.0] * 5
    assert record.losses["loss"] == pytest.approx([32.0] * 5)


def test_the_learning_rate_warms_up_and_then_follows_a_cosine():
    factors = [learning_rate_factor(step, 100) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5] == pytest.approx(1.0)
    assert sorted(factors[5:], reverse=True) == factors[5:]
    middle = 5 + 95 / 2
    assert learning_rate_factor(middle, 100) == pytest.approx(0.02 + 0.98 / 2)
    assert factors[-1] == pytest.approx(0.02, abs=1e-3)


def test_gradients_are_clipped_before_the_step():
    """The gradients are looked at because AdamW is invariant to their scale."""
    model, data, losses = regression()
    norms = []
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: norms.append(
            optimizer.param_groups[0]["params"][0].grad.norm().item()
        )
    )
    try:
        run(model, data, lambda x, y: {"e": 1e4 * losses(x, y)["error"]}, plan(max_grad_norm=0.5))
    finally:
        hook.remove()
    assert norms
    assert max(norms) <= 0.5 + 1e-5


def test_early_stopping_keeps_the_best_weights():
    model, data, losses = regression()
    values = iter([3.0, 1.0, 2.0, 2.5, 2.2, 9.0])
    weights = []

    def scripted(*batch):
        if model.training:
            return losses(*batch)
        weights.append(model.weight.detach().clone())
        return {"error": torch.tensor(next(values))}

    record = run(
        model,
        data,
        scripted,
        plan(n_epochs=50, n_iter_no_change=3),
        validation=[t[:2] for t in data],
    )
    assert record.losses["validation"] == pytest.approx([3.0, 1.0, 2.0, 2.5, 2.2])
    assert torch.equal(model.weight, weights[1])


def test_weight_decay_spares_biases_and_norms():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    zero = lambda x: {"error": 0.0 * sum(p.sum() for p in model.parameters())}  # noqa: E731
    run(model, (torch.randn(8, 3),), zero, plan(weight_decay=0.5))
    assert (model[0].weight < 1).all()
    assert (model[0].bias == 1).all()
    assert (model[1].weight == 1).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e9])
def test_divergence_raises(bad):
    model, data, losses = regression()
    factor = iter([1.0] * 6 + [bad] * 100)
    with pytest.raises(DivergedError, match=r"epoch 2 .*learning_rate"):
        run(model, data, lambda x, y: {"error": next(factor) * (1 + losses(x, y)["error"])})


def test_a_callback_stops_the_training():
    model, data, losses = regression()
    record = run(model, data, losses, on_epoch_end=lambda epoch, terms: epoch == 1)
    assert record.n_epochs == 2
    assert record.interrupt is None


def test_ctrl_c_keeps_the_last_finished_epoch():
    model, data, losses = regression()
    finished, calls = [], iter(range(1000))

    def interrupted(x, y):
        if next(calls) == 15:  # in the third epoch of six batches
            raise KeyboardInterrupt
        return losses(x, y)

    record = run(
        model,
        data,
        interrupted,
        on_epoch_end=lambda *_: finished.append(model.weight.detach().clone()),
    )
    assert isinstance(record.interrupt, KeyboardInterrupt)
    assert record.n_epochs == 2
    assert torch.equal(model.weight, finished[-1])


def test_ctrl_c_in_the_first_epoch_is_raised():
    model, data, _ = regression()

    def interrupted(x, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(model, data, interrupted)


def test_equal_seeds_give_equal_weights():
    weights = []
    for _ in range(2):
        model, data, losses = regression()
        run(model, data, losses)
        weights.append(model.weight.detach().clone())
    assert torch.equal(*weights)
