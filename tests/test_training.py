"""The training loop, with models of a few lines."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import skvqts
from skvqts import MaskedPriorGenerator
from skvqts._fitting import training
from skvqts._fitting.training import (
    TrainingPlan,
    automatic_epochs,
    hold_out,
    learning_rate_factor,
    train,
    training_plan,
)
from skvqts._generation.stages import default_tokenizer, n_epoch_rows, prior_plan
from skvqts.exceptions import DivergedError

from .conftest import two_shapes
from .estimators import CLASSIFIERS, GENERATORS, TRANSFORMERS, UNTRAINED, tokenizer


class Step(nn.Module):
    """A model, a function that gives the terms of its loss, and what else a step can have."""

    def __init__(self, model, losses, **options):
        super().__init__()
        self.model = model
        self.losses = losses
        for name, value in options.items():
            setattr(self, name, value)

    def forward(self, *batch):
        return self.losses(*batch)


class Report:
    """Progress that calls a function after each epoch, inside its context only."""

    def __init__(self, function):
        self.function = function
        self.entered = self.left = 0

    def __enter__(self):
        self.entered += 1
        return self

    def __exit__(self, *_):
        self.left += 1

    def step(self, n_taken, n_steps):
        pass

    def epoch(self, epoch, terms):
        assert (self.entered, self.left) == (1, 0)
        return self.function(epoch, terms)


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


def run(model, data, losses, changes=None, validation=None, progress=None, **options):
    step, generator = Step(model, losses, **options), torch.Generator().manual_seed(1)
    return train(step, data, changes or plan(), generator, validation, progress)


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
    assert sorted(batch_sizes[:-1]) == sizes  # the last one judges the last step
    batch_sizes.clear()
    run(model, (torch.arange(4),), losses, least, validation=(torch.arange(3),))
    assert batch_sizes[:-1] == [2, 2, 3]


def test_parts_of_a_model_may_have_other_learning_rates():
    parts = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])
    with torch.no_grad():
        for parameter in parts.parameters():
            parameter.zero_()

    def losses(x):
        return {"error": sum((part(x) - 1).square().mean() for part in parts)}

    x = torch.ones(4, 3)
    run(parts, (x,), losses, plan(n_epochs=1, weight_decay=0.0), learning_rates=[(parts[1], 0.1)])
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
    factors = [learning_rate_factor(step, 100, 0.05, 0.02) for step in range(100)]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[5] == pytest.approx(1.0)
    assert sorted(factors[5:], reverse=True) == factors[5:]
    middle = 5 + 95 / 2
    assert learning_rate_factor(middle, 100, 0.05, 0.02) == pytest.approx(0.02 + 0.98 / 2)
    assert factors[-1] == pytest.approx(0.02, abs=1e-3)


def test_gradients_are_clipped_before_the_step(monkeypatch):
    """The gradients are looked at because AdamW is invariant to their scale."""
    model, data, losses = regression()
    norms, adamw = [], training.adamw

    def watched(parameters, gradients, *arguments, **options):
        norms.append(gradients[0].norm().item())
        return adamw(parameters, gradients, *arguments, **options)

    monkeypatch.setattr(training, "adamw", watched)
    run(model, data, lambda x, y: {"e": 1e4 * losses(x, y)["error"]}, plan(max_grad_norm=0.5))
    assert len(norms) == 5 * 6
    assert max(norms) <= 0.5 + 1e-5


class Mixture(nn.Module):
    """Parameters of every kind: with and without decay, slow, frozen, and not in every loss."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)
        self.slow = nn.Conv1d(1, 2, 3)
        self.now_and_then = nn.Linear(3, 1)
        self.frozen = nn.Linear(3, 1).requires_grad_(False)
        self.never = nn.Parameter(torch.ones(2))

    def forward(self, x, y):
        error = self.second(torch.tanh(self.norm(self.first(x))))[:, 0] - y + self.frozen(x)[:, 0]
        terms = {"error": error.square().mean(), "slow": self.slow(x[:, None]).square().mean()}
        if x[0, 0] > 0:
            terms["now_and_then"] = (self.now_and_then(x)[:, 0] - 5).square().mean()
        return terms


def train_by_torch(model, data, plan, generator):
    """What `train` says it does, with the optimiser of torch; the losses of all steps."""
    slow = list(model.slow.parameters())
    decayed = [model.first.weight, model.second.weight, model.now_and_then.weight]
    decayed.append(model.frozen.weight)
    others = [model.first.bias, *model.norm.parameters(), model.second.bias]
    others += [model.now_and_then.bias, model.frozen.bias, model.never]
    groups = [
        {"params": decayed, "weight_decay": plan.weight_decay, "factor": 1.0},
        {"params": others, "weight_decay": 0.0, "factor": 1.0},
        {"params": slow[:1], "weight_decay": plan.weight_decay, "factor": 0.3},
        {"params": slow[1:], "weight_decay": 0.0, "factor": 0.3},
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)
    n_batches = math.ceil(len(data[0]) / plan.batch_size)
    n_steps = plan.n_epochs * n_batches
    n_warmup = math.ceil(0.05 * n_steps)
    losses = []
    for _ in range(plan.n_epochs):
        order = torch.randperm(len(data[0]), generator=generator)
        for rows in order.tensor_split(n_batches):
            if len(losses) < n_warmup:
                rate = plan.learning_rate * ((len(losses) + 1) / n_warmup)
            else:
                angle = math.pi * ((len(losses) - n_warmup) / (n_steps - n_warmup))
                rate = plan.learning_rate * (0.02 + 0.98 * (1 + math.cos(angle)) / 2)
            for group in optimizer.param_groups:
                group["lr"] = group["factor"] * rate
            terms = model.train()(*(part[rows] for part in data))
            loss = terms["error"] + 0.5 * terms["slow"] + terms.get("now_and_then", 0.0)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), plan.max_grad_norm)
            optimizer.step()
            losses.append(loss.item())
    return losses


def test_training_gives_bit_for_bit_what_the_optimiser_of_torch_gives():
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(22, 3, generator=generator), torch.randn(22, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Mixture()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    changes = plan(n_epochs=9, weight_decay=0.1, max_grad_norm=0.7)
    steps = []
    options = {"weights": {"slow": 0.5}, "learning_rates": [(model.slow, 0.3)]}
    record = run(model, data, model, changes, after_step=steps.append, **options)
    found = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(start)
    losses = train_by_torch(model, data, changes, torch.Generator().manual_seed(1))
    assert steps == list(range(1, len(losses) + 1)) == list(range(1, 9 * 6 + 1))
    for name, expected in model.state_dict().items():
        assert torch.equal(found[name], expected), name
        if not name.startswith(("frozen", "never")):
            assert not torch.equal(found[name], start[name]), name
    means = torch.tensor(losses).view(9, 6).mean(1).tolist()
    assert record.losses["loss"] == pytest.approx(means, rel=1e-5)


def test_a_first_fit_does_not_import_the_compiler_of_torch():
    """Its import takes seconds, and is left broken if a signal arrives meanwhile."""
    code = """
import sys
from tests.estimators import *

def loaded():
    return [name for name in ("torch._dynamo", "sympy") if name in sys.modules]

X, y = two_shapes(24)
print("no fit", loaded())
for name, make in (TRANSFORMERS | CLASSIFIERS | GENERATORS).items():
    make(max_epochs=1).fit(X, y)
    print(name, loaded())
tokenizer(ssl="moco", early_stopping=True, precision="bfloat16").fit(X)
print("options", loaded())
"""
    root = Path(__file__).parents[1]
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True
    )
    names = ["no fit", *TRANSFORMERS, *CLASSIFIERS, *GENERATORS, "options"]
    assert process.stdout.splitlines() == [f"{name} []" for name in names]


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
    given = []

    def stop_after_the_second(epoch, terms):
        given.append((epoch, terms["error"]))
        return epoch == 1

    report = Report(stop_after_the_second)
    record = run(model, data, losses, progress=report)
    assert record.n_epochs == 2
    assert record.interrupted is False
    assert given == list(enumerate(record.losses["error"]))
    assert (report.entered, report.left) == (1, 1)


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
        progress=Report(lambda *_: finished.append(model.weight.detach().clone())),
    )
    assert record.interrupted is True
    assert record.n_epochs == 2
    assert torch.equal(model.weight, finished[-1])


def test_ctrl_c_in_the_first_epoch_is_raised():
    model, data, _ = regression()

    def interrupted(x, y):
        raise KeyboardInterrupt

    report = Report(None)
    with pytest.raises(KeyboardInterrupt):
        run(model, data, interrupted, progress=report)
    assert (report.entered, report.left) == (1, 1)


def test_equal_seeds_give_equal_weights():
    weights = []
    for _ in range(2):
        model, data, losses = regression()
        run(model, data, losses)
        weights.append(model.weight.detach().clone())
    assert torch.equal(*weights)


def test_after_step_comes_after_every_step_of_the_optimiser_and_no_validation():
    model, data, losses = regression(8)
    weights = []

    def after_step(n_taken):
        assert model.training
        weights.append(model.weight.detach().clone())

    held_out = [part[:4] for part in data]
    run(model, data, losses, validation=held_out, after_step=after_step)
    assert len(weights) == 5 * 2
    assert torch.equal(weights[-1], model.weight)
    assert len(torch.stack(weights).unique(dim=0)) == 10


@pytest.mark.parametrize(
    ("fraction", "n_held_out"), [(0.25, 10), (0.5, 20), (0.75, 30), (0.99, 38)]
)
def test_as_many_series_are_held_out_as_asked_for(fraction, n_held_out):
    model = tokenizer(early_stopping=True, validation_fraction=fraction)
    model.n_timepoints_in_ = 32
    made = training_plan(model, 40, least_steps=1, most_points=10**9, least_batch=2)
    assert made.n_held_out == n_held_out


def test_rows_are_held_out_at_random_and_stay_together():
    data = torch.arange(30), 100 + torch.arange(30)
    generator = torch.Generator().manual_seed(0)
    splits = [hold_out(data, plan(n_held_out=6), generator) for _ in range(2)]
    for training_, held_out in splits:
        assert (len(training_[0]), len(held_out[0])) == (24, 6)
        assert torch.equal(torch.cat([training_[0], held_out[0]]).sort().values, data[0])
        assert all(torch.equal(100 + ids, others) for ids, others in (training_, held_out))
    assert not torch.equal(splits[0][1][0], splits[1][1][0])
    assert hold_out(data, plan(), generator) == (list(data), None)


def test_an_equal_share_of_every_class_is_held_out():
    classes = torch.tensor([0] * 30 + [1] * 15 + [2] * 15)
    data = torch.arange(60), classes
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        _, (ids, held_out) = hold_out(data, plan(n_held_out=20), generator, classes)
        assert held_out.bincount().tolist() == [10, 5, 5]
        assert torch.equal(classes[ids], held_out)


# ---- the budget of max_epochs="auto"


@pytest.mark.parametrize(
    ("n_points", "n_batches", "expected"),
    [
        (1000, 1, 100),  # as many epochs as make the steps
        (1000, 3, 34),
        (1000, 50, 8),  # not below the least number of epochs
        (10_000, 1, 10),  # not more points than allowed: 10 epochs, fewer steps than wanted
        (90_000, 50, 1),  # ... also where the least number of epochs is more
        (10**9, 5, 1),  # but one epoch is always made
    ],
)
@pytest.mark.filterwarnings("ignore:max_epochs")
def test_automatic_budgets_are_bounded_by_work(n_points, n_batches, expected):
    assert automatic_epochs(n_points, n_batches, 100, 8, 100_000) == expected


@pytest.mark.parametrize(("n_points", "warns"), [(1000, False), (1001, True)])
def test_a_budget_of_fewer_steps_than_usual_warns(n_points, warns):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        automatic_epochs(n_points, 1, 100, 8, 100_000)
    assert [w for w in caught if "Set max_epochs" in str(w.message)] == caught
    assert bool(caught) == warns


@pytest.mark.parametrize("n_epochs", ["auto", 7])
@pytest.mark.filterwarnings("ignore:max_epochs")
@pytest.mark.parametrize("name", TRANSFORMERS | CLASSIFIERS | GENERATORS)
def test_every_estimator_bounds_its_automatic_budget(name, n_epochs, monkeypatch):
    """Only where the user has not said how long to train."""
    if name in UNTRAINED:
        return
    monkeypatch.setattr(training, "automatic_epochs", lambda *_: 3)
    X, y = two_shapes(24)
    estimator = (TRANSFORMERS | CLASSIFIERS | GENERATORS)[name](max_epochs=n_epochs).fit(X, y)
    assert estimator.n_iter_ == (3 if n_epochs == "auto" else 7)


MOST_POINTS = {
    "VQTokenizer": 100_000_000,
    "SSLFeatureExtractor": 100_000_000,
    "FineTunedClassifier": 100_000_000,
    "SeriesAutoencoder": 100_000_000,
    "SeriesVAE": 100_000_000,
    "FCNClassifier": 25_000_000,
}


@pytest.mark.parametrize("name", MOST_POINTS)
@pytest.mark.filterwarnings("ignore:max_epochs")
def test_the_bound_of_long_series_is_the_documented_one(name, monkeypatch):
    budgets = []

    def record(*budget):
        budgets.append((automatic_epochs(*budget), budget))
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "automatic_epochs", record)
    X = np.zeros((20, 1, 100_000), np.float32)
    with pytest.raises(KeyboardInterrupt):
        (TRANSFORMERS | CLASSIFIERS)[name](max_epochs="auto").fit(X, np.arange(20) % 2)
    (n_epochs, (n_points, *_)), *_ = budgets
    assert n_points == X.size
    assert n_epochs == MOST_POINTS[name] // X.size
    million = f"{MOST_POINTS[name] // 10**6} million"
    assert million in getattr(skvqts, name).__doc__


@pytest.mark.filterwarnings("ignore:max_epochs")
def test_the_default_tokenizer_of_a_generator_and_its_prior_are_bounded_too():
    assert default_tokenizer(20, 1, 20_000).max_epochs == 250
    tokens = np.zeros((20, 5000), np.int64)
    plan = prior_plan(MaskedPriorGenerator(), tokens, 1)
    assert plan.n_epochs * n_epoch_rows(20) * 5000 <= 10_000_000
