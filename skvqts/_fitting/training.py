"""The one optimiser loop of the library. It knows no model and no estimator."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from ..exceptions import DivergedError

_DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)
_DIVERGED = 1e4  # times the loss of the first batch


@dataclass(frozen=True)
class TrainingPlan:
    """How long and how fast to train.

    Parameters
    ----------
    n_epochs, batch_size : int
    least_batch : int
        Batches are made larger than `batch_size` where they would have fewer samples than this.
    learning_rate : float
        Peak of a cosine schedule that is warmed up over the first 5 % of the
        steps and ends at 2 % of the peak.
    weight_decay : float
        AdamW's, on the weights of linear and convolution layers only.
    max_grad_norm : float
        Gradients are scaled down to this norm.
    n_iter_no_change : int
        With a validation set: stop after so many epochs without an improvement
        of more than `tol` in the validation loss, and keep the best epoch's weights.
    tol : float
    bfloat16 : bool
        Run the network's matrix products in bfloat16.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    n_iter_no_change: int = 10
    tol: float = 1e-4
    least_batch: int = 1
    bfloat16: bool = False

    def n_batches(self, n_samples):
        """Batches of almost equal size that an epoch is made of."""
        return max(1, min(math.ceil(n_samples / self.batch_size), n_samples // self.least_batch))

    def with_least(self, n_steps, n_samples):
        """The plan with as many epochs of `n_samples` as make so many steps, or its own if more."""
        n_epochs = math.ceil(n_steps / self.n_batches(n_samples))
        return replace(self, n_epochs=max(self.n_epochs, n_epochs))


@dataclass
class TrainingRecord:
    """What happened: one value per finished epoch and term; why it ended."""

    losses: dict = field(default_factory=dict)
    n_epochs: int = 0
    interrupt: KeyboardInterrupt | None = None

    def append(self, terms):
        for name, value in terms.items():
            self.losses.setdefault(name, []).append(value)
        self.n_epochs += 1


def train(
    module,
    data,
    step_losses,
    weights,
    plan,
    generator,
    *,
    rates=(),
    after_step=None,
    validation=None,
    on_epoch_end=None,
):
    """Minimise a weighted sum of loss terms by AdamW.

    Parameters
    ----------
    module : nn.Module
        Left in evaluation mode, with the weights of the last epoch or, with a
        validation set, of the best.
    data : tuple of Tensors sharing their first axis
        The training set, on the device of `module`.
    step_losses : callable
        ``step_losses(*batch)`` returns a dict of unweighted scalar terms. Called
        in training and, for the validation loss, in evaluation mode.
    weights : dict
        Weight of each term; 1 where a term is not named.
    generator : torch.Generator
        On the CPU; the order of the samples is drawn from it.
    rates : sequence of (nn.Module, float)
        Parts of `module` that learn at another rate: a factor of the plan's.
    after_step : callable or None
        ``after_step()`` is called after each optimiser step, for what is learned
        without gradients.
    validation : tuple of Tensors or None
    on_epoch_end : callable or None
        ``on_epoch_end(epoch, terms)`` is called after each epoch; the training
        stops when it returns True.

    Returns
    -------
    record : TrainingRecord
        A Ctrl-C after the first epoch ends the training with the weights of the
        last finished epoch, or of the best; it is kept in `record.interrupt` to be raised again.

    Raises
    ------
    DivergedError
        If the mean loss of an epoch is not finite or 10,000 times that of the first batch.
    """
    record, best = TrainingRecord(), _Best(plan)
    groups = _parameter_groups(module, plan.weight_decay, dict(rates))
    step = _Step(module, groups, step_losses, weights, plan, len(data[0]), after_step)
    finished = None
    try:
        for epoch in range(plan.n_epochs):
            module.train()
            terms = step.epoch(data, generator)
            module.eval()
            _check_divergence(epoch, terms["loss"], step.first_loss)
            if validation is not None:
                terms["validation"] = step.evaluate(validation)
            record.append(terms)
            finished = _snapshot(module)
            stop = validation is not None and best.is_last(terms["validation"], finished)
            if (on_epoch_end is not None and on_epoch_end(epoch, terms)) or stop:
                break
    except KeyboardInterrupt as interrupt:
        if finished is None:
            raise
        record.interrupt = interrupt
    module.load_state_dict(best.state or finished)
    module.zero_grad(set_to_none=True)
    module.eval()
    return record


class _Step:
    """Optimiser, schedule and precision of one training."""

    def __init__(self, module, groups, step_losses, weights, plan, n_samples, after_step):
        self.module, self.step_losses, self.weights = module, step_losses, weights
        self.plan, self.after_step = plan, after_step or (lambda: None)
        self.n_batches = plan.n_batches(n_samples)
        self.n_steps, self.taken, self.first_loss = plan.n_epochs * self.n_batches, 0, None
        self.device = next(module.parameters()).device
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=True)

    def epoch(self, data, generator):
        """One pass over the data in random order; the mean of each term."""
        sums = {}
        order = torch.randperm(len(data[0]), generator=generator, device="cpu").to(self.device)
        for picks in order.tensor_split(self.n_batches):
            terms = self._losses([part[picks] for part in data])
            if self.first_loss is None:
                self.first_loss = terms["loss"].item()
            self._descend(terms["loss"])
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.detach()
        return {name: float(value) / self.n_batches for name, value in sums.items()}

    @torch.no_grad()
    def evaluate(self, data):
        """Mean loss in evaluation mode."""
        total, n_samples = 0.0, len(data[0])
        n_batches = self.plan.n_batches(n_samples)
        for batch in zip(*(part.tensor_split(n_batches) for part in data), strict=True):
            total += self._losses(batch)["loss"].item() * len(batch[0])
        return total / n_samples

    def _losses(self, batch):
        with self._precision():
            terms = self.step_losses(*batch)
        total = sum(self.weights.get(name, 1.0) * value for name, value in terms.items())
        return {"loss": total} | terms

    def _descend(self, loss):
        rate = self.plan.learning_rate * learning_rate_factor(self.taken, self.n_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = group["factor"] * rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), self.plan.max_grad_norm)
        self.optimizer.step()
        self.after_step()
        self.taken += 1

    def _precision(self):
        if self.plan.bfloat16:
            # inside another autocast context, cached weights would stay those of the first step
            return torch.autocast(self.device.type, dtype=torch.bfloat16, cache_enabled=False)
        return nullcontext()


class _Best:
    """The best validation loss so far, its weights, and when to stop waiting for a better."""

    def __init__(self, plan):
        self.plan, self.loss, self.state, self.waited = plan, np.inf, None, 0

    def is_last(self, loss, state):
        self.waited = 0 if loss < self.loss - self.plan.tol else self.waited + 1
        if loss < self.loss:
            self.loss, self.state = loss, state
        return self.waited >= self.plan.n_iter_no_change


def learning_rate_factor(step, n_steps, warmup=0.05, floor=0.02):
    """Share of the peak rate: linear warm-up, then a cosine to `floor`."""
    n_warmup = max(1, math.ceil(warmup * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    progress = (step - n_warmup) / max(1, n_steps - n_warmup)
    return floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2


def _parameter_groups(module, weight_decay, rates):
    """Parameters by whether they decay and by the factor of their learning rate."""
    decayed = {id(m.weight) for m in module.modules() if isinstance(m, _DECAYED)}
    factors = {id(p): factor for part, factor in rates.items() for p in part.parameters()}
    groups = {}
    for parameter in module.parameters():
        decay = weight_decay if id(parameter) in decayed else 0.0
        groups.setdefault((factors.get(id(parameter), 1.0), decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in groups.items()
    ]


def _snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def _check_divergence(epoch, loss, first_loss):
    if not loss <= _DIVERGED * max(first_loss, 1.0):
        raise DivergedError(
            f"Training diverged: the mean loss of epoch {epoch + 1} is {loss:.4g}, "
            f"that of the first batch was {first_loss:.4g}. Try a smaller learning_rate."
        )
