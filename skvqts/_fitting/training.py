"""How networks are trained: the plan, the series held out, the one optimiser loop.

Nothing here knows a model: a training step is a module that is called with a batch and returns the
terms of its loss by name (see `train`).
"""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.optim.adamw import adamw

from ..exceptions import DivergedError, ModelFileError, warn_user
from .on_demand import subset
from .runtime import allowed_threads
from .validation import resolve_device, resolve_precision

_DECAYED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
MOST_POINTS = 100_000_000  # time points that max_epochs="auto" sees at most, by default
_DIVERGED = 1e4  # times the loss of the first batch
_SHORT = 16  # time points of series that are trained on in float32


@dataclass(frozen=True)
class TrainingPlan:
    """How long, how fast and where to train.

    Parameters
    ----------
    n_epochs, batch_size : int
    learning_rate : float
        Peak of a cosine schedule.
    warmup : float
        Share of the steps over which the rate rises to its peak.
    floor : float
        Where the rate ends, as a share of the peak; without warm-up and with a floor of 1 it is
        constant.
    beta2 : float
        AdamW's, of the mean of squared gradients. The usual 0.999 averages over 1,000 steps, about
        as many as a whole fit takes.
    weight_decay : float
        AdamW's, on the weights of linear and convolution layers only.
    max_grad_norm : float
        Gradients are scaled down to this norm.
    n_iter_no_change : int
        With a validation set: stop after so many epochs without an improvement
        of more than `tol` in the validation loss, and keep the best epoch's weights.
    tol : float
    least_batch : int
        Batches are made larger than `batch_size` where they would have fewer samples than this.
    n_held_out : int
        Number of series that the validation loss is measured on instead of being trained on.
    precision : {"float32", "bfloat16"}
        Of the network's matrix products.
    device : torch.device
    n_threads : int
        CPU threads.
    """

    n_epochs: int
    batch_size: int
    learning_rate: float
    warmup: float = 0.05
    floor: float = 0.02
    beta2: float = 0.99
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    n_iter_no_change: int = 10
    tol: float = 1e-4
    least_batch: int = 1
    n_held_out: int = 0
    precision: str = "float32"
    device: torch.device | str = "cpu"
    n_threads: int = 1

    def n_batches(self, n_samples):
        """Number of batches, of almost equal size, that make an epoch of so many samples."""
        # As many batches as `batch_size` asks for, but none smaller than `least_batch`.
        return max(1, min(math.ceil(n_samples / self.batch_size), n_samples // self.least_batch))


def training_plan(
    estimator,
    n_series,
    *,
    least_steps,
    least_epochs=8,
    most_points=MOST_POINTS,
    least_batch=1,
    least_held_out=1,
    least_useful_held_out=1,
    n_rows=lambda n_series: n_series,
    row_length=None,
):
    """The plan that the training parameters of an estimator stand for.

    Parameters
    ----------
    estimator : estimator
        With the parameters from `batch_size` to `n_threads`, and the shape of its series.
    n_series : int
    least_steps, least_epochs, most_points : int
        What ``max_epochs="auto"`` means, as for `automatic_epochs`.
    least_batch : int
        Number of series that a training step needs.
    least_held_out : int
        Number of series that early stopping holds out at least, where there are twice as many.
    least_useful_held_out : int
        Nothing is held out where fewer would be, as the loss on them would say too little.
    n_rows : callable
        Number of rows of an epoch for a number of training series.
    row_length : int or None
        Time points, or tokens, of a row; None for those of a series.

    Returns
    -------
    plan : TrainingPlan

    Raises
    ------
    ValueError
        If this machine has no such device.
    """
    n_held_out = 0
    if estimator.early_stopping:
        n_held_out = _n_to_hold_out(
            n_series,
            estimator.validation_fraction,
            least_batch,
            least_held_out,
            least_useful_held_out,
        )
    device = resolve_device(estimator.device)
    # Of kernels wider than the series bfloat16 has wrong gradients on processors with AMX.
    is_short = row_length is None and estimator.n_timepoints_in_ < _SHORT
    plan = TrainingPlan(
        n_epochs=least_epochs,
        batch_size=int(estimator.batch_size),
        learning_rate=estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        n_iter_no_change=estimator.n_iter_no_change,
        tol=estimator.tol,
        least_batch=least_batch,
        n_held_out=n_held_out,
        precision="float32" if is_short else resolve_precision(estimator.precision, device),
        device=device,
        n_threads=allowed_threads(estimator.n_threads),
    )
    if estimator.max_epochs == "auto":
        n_trained = n_rows(n_series - n_held_out)
        n_epochs = automatic_epochs(
            n_trained * (row_length or estimator.n_timepoints_in_),
            plan.n_batches(n_trained),
            least_steps,
            least_epochs,
            most_points,
        )
    else:
        n_epochs = int(estimator.max_epochs)
    return replace(plan, n_epochs=n_epochs)


def automatic_epochs(n_points, n_batches, least_steps, least_epochs, most_points):
    """Number of epochs that ``max_epochs="auto"`` stands for, bounded by the work that they are.

    Parameters
    ----------
    n_points, n_batches : int
        Time points, or tokens, and training steps of an epoch.
    least_steps, least_epochs : int
        At least so many of both are made, within `most_points`.
    most_points : int
        Most time points or tokens that they see in all, about ten minutes' work of a slow core. One
        epoch is always made.

    Warns
    -----
    UserWarning
        If that leaves fewer than `least_steps`.
    """
    n_epochs = max(least_epochs, math.ceil(least_steps / n_batches))
    affordable = max(1, most_points // n_points)
    if affordable * n_batches < least_steps:
        warn_user(
            f"max_epochs='auto' trains for {affordable} epochs instead of {n_epochs}, as these "
            "series are long and more would take many minutes. Set max_epochs to train longer."
        )
    return min(n_epochs, affordable)


def _n_to_hold_out(n_series, fraction, least_batch, least, least_useful):
    """Number of series for early stopping; it warns where they are too few to hold any out."""
    asked = round(fraction * n_series)
    # `least` holds out half of them at most; at least one batch is left to train on.
    wanted = max(asked, min(least, max(least_batch, n_series // 2)))
    n_held_out = min(wanted, n_series - least_batch)
    if n_held_out >= max(least_batch, least_useful):
        return n_held_out
    warn_user(
        f"early_stopping=True, but {n_series} series are too few for validation_fraction="
        f"{fraction} to hold any out: all epochs are trained."
    )
    return 0


def hold_out(tensors, plan, generator, classes=None):
    """Split training data into what is trained on and what the validation loss is measured on.

    Parameters
    ----------
    tensors : sequence of Tensors, or RowsOnDemand, sharing their first axis
    plan : TrainingPlan
    generator : torch.Generator
        On the CPU; which rows are held out is drawn from it.
    classes : int64 Tensor of shape (n,) or None
        An equal share of every class is held out; None holds out any rows.

    Returns
    -------
    training : list of Tensors
    held_out : list of Tensors or None
        None where the plan holds nothing out.
    """
    if plan.n_held_out == 0:
        return list(tensors), None
    n_rows = len(tensors[0])
    if classes is None:
        order = torch.randperm(n_rows, generator=generator, device="cpu")
    else:
        order = order_by_class(classes, generator)
    order = order.to(tensors[0].device)
    held_out, training = order[: plan.n_held_out], order[plan.n_held_out :]
    return tuple([subset(tensor, rows) for tensor in tensors] for rows in (training, held_out))


def hold_out_labelled(x, classes, weights, plan, generator):
    """Training data of a classifier, as of `hold_out`: series, classes and, if given, weights.

    Parameters
    ----------
    x : Tensor of shape (n, C, T), or RowsOnDemand
    classes : int64 ndarray of shape (n,)
        An equal share of each is held out.
    weights : ndarray of shape (n,) or None
    plan : TrainingPlan
    generator : torch.Generator
    """
    columns = [classes] if weights is None else [classes, weights]
    data = [x, *(torch.from_numpy(column).to(plan.device) for column in columns)]
    return hold_out(data, plan, generator, data[1])


def order_by_class(classes, generator):
    """A random order of rows in which any first part holds an equal share of every class.

    Classes of a single row come last, so that they are not held out.

    Parameters
    ----------
    classes : int64 Tensor of shape (n,)
    generator : torch.Generator
        On the CPU.
    """
    order = torch.randperm(len(classes), generator=generator, device="cpu")
    classes = classes.cpu()[order]
    # The i-th row of a class with n rows is due at (i + 0.5) / n of the way through the order.
    due = torch.empty(len(classes), dtype=torch.float64, device="cpu")
    for label in classes.unique():
        rows = (classes == label).nonzero()[:, 0]
        steps = torch.arange(len(rows), dtype=torch.float64, device="cpu")
        due[rows] = (steps + 0.5) / len(rows) if len(rows) > 1 else 1.0
    return order[due.argsort(stable=True)]


@dataclass
class TrainingRecord:
    """What happened: the mean of each term in each finished epoch, and whether Ctrl-C ended it."""

    losses: dict = field(default_factory=dict)
    n_epochs: int = 0
    interrupted: bool = False

    def append(self, terms):
        """Add the terms of a finished epoch."""
        for name, value in terms.items():
            self.losses.setdefault(name, []).append(value)
        self.n_epochs += 1


def train(step, data, plan, generator, validation=None, progress=None, checkpoint=None):
    """Minimise a weighted sum of loss terms by AdamW.

    Parameters
    ----------
    step : nn.Module
        ``step(*batch)`` returns a dict of unweighted scalar terms. It is called in training mode
        and, for the validation loss, in evaluation mode. It is left in evaluation mode, with
        the weights of the last epoch or, with a validation set, of the best. All that it learns is
        in its ``state_dict()``. It can have

        - ``weights``, a dict: the weight of each term, 1 where a term is not named;
        - ``learning_rates``, pairs of (nn.Module, float): parts of it that learn at another rate,
          a factor of the plan's;
        - ``after_step(n_taken)``, called after each step of the optimiser with their number so far,
          for what is learned without gradients.
    data : sequence of Tensors, or RowsOnDemand, sharing their first axis
        The training set, on the device of `step`.
    plan : TrainingPlan
    generator : torch.Generator
        On the CPU; the order of the samples is drawn from it.
    validation : sequence of Tensors or None
    progress : Progress or None
        ``progress.step(n_taken, n_steps)`` is called after each step, and
        ``progress.epoch(epoch, terms)`` after each epoch; the training stops when that is True.
    checkpoint : Checkpoint or None
        Where the training goes on, if it was begun before, and where its state is kept.

    Returns
    -------
    record : TrainingRecord
        A Ctrl-C after the first epoch ends the training with the weights of the last finished
        epoch, or of the best, and is noted in `record.interrupted`; an earlier one is raised.

    Raises
    ------
    DivergedError
        If the mean loss of an epoch is not finite or 10,000 times that of the first batch, or
        10,000 where that is below 1, or if that of a batch is so, or weights are not finite, at the
        end.
    """
    n_batches = plan.n_batches(len(data[0]))
    training = _Training(step, plan, n_batches, generator)
    kept = None if checkpoint is None else checkpoint.begin()
    if kept is not None:
        try:
            training.restore(kept)
        except Exception as error:
            raise ModelFileError(f"The checkpoint does not fit this training: {error}") from error
    record = training.record
    with progress or nullcontext():
        try:
            while not training.is_done:
                step.train()
                terms = training.run_epoch(data, progress, checkpoint)
                step.eval()
                _check_divergence(record.n_epochs, terms["loss"], training.first_loss)
                if validation is not None:
                    terms["validation"] = _mean_loss(training.loss_terms, validation, plan)
                training.finish_epoch(terms)
                if progress is not None and progress.epoch(record.n_epochs - 1, terms):
                    training.is_done = True
        except KeyboardInterrupt:
            if training.finished is None:
                raise
            record.interrupted = True
    # There is no best epoch without validation, nor where no validation loss was finite.
    step.load_state_dict(training.best or training.finished)
    step.zero_grad(set_to_none=True)
    _check_last_step(training, data)
    step.eval()
    if checkpoint is not None and checkpoint.path is not None and not record.interrupted:
        checkpoint.finish(training.state())
    return record


class _Training:
    """All that changes while a network is trained: what a checkpoint of a training holds.

    Parameters
    ----------
    step : nn.Module
    plan : TrainingPlan
    n_batches : int
        Of an epoch.
    generator : torch.Generator

    Attributes
    ----------
    record : TrainingRecord
    is_done : bool
        Whether there are no more epochs.
    first_loss : float or None
        Loss of the first batch.
    finished, best : dict of str to Tensor, or None
        State of the step after the last finished epoch, where a Ctrl-C in the next one leads back
        to, and after the one with the least validation loss.
    best_loss : float
    n_waited : int
        Number of epochs without an improvement of the validation loss.
    order : Tensor or None
        Of the samples in the epoch under way.
    sums : dict of str to Tensor
        Of the terms over the batches of that epoch so far.
    """

    def __init__(self, step, plan, n_batches, generator):
        self.step = step
        self.plan = plan
        self.n_batches = n_batches
        self.generator = generator
        self.loss_terms = partial(_weighted_terms, step, plan.precision)
        factors = dict(getattr(step, "learning_rates", ()))
        self.optimizer = _AdamW(step, plan, plan.n_epochs * n_batches, factors)
        self.record = TrainingRecord()
        self.is_done = plan.n_epochs == 0
        self.first_loss = self.finished = self.best = self.order = None
        self.best_loss, self.n_waited = math.inf, 0
        self.sums = {}

    def run_epoch(self, data, progress, checkpoint):
        """One pass over the data in random order, or the rest of one: the mean of each term."""
        optimizer = self.optimizer
        after_step = getattr(self.step, "after_step", None)
        if self.order is None:
            self.order = torch.randperm(len(data[0]), generator=self.generator, device="cpu")
            self.sums = {}
        n_done = optimizer.n_taken - self.record.n_epochs * self.n_batches
        for rows in self.order.to(data[0].device).tensor_split(self.n_batches)[n_done:]:
            terms = self.loss_terms([tensor[rows] for tensor in data])
            if self.first_loss is None:
                self.first_loss = terms["loss"].item()
            optimizer.descend(terms["loss"])
            if after_step is not None:
                after_step(optimizer.n_taken)
            for name, value in terms.items():
                self.sums[name] = self.sums.get(name, 0.0) + value.detach()
            if progress is not None:
                progress.step(optimizer.n_taken, optimizer.n_steps)
            if checkpoint is not None and checkpoint.is_due():
                checkpoint.write(self.state())
        self.order = None
        return {name: float(value) / self.n_batches for name, value in self.sums.items()}

    def finish_epoch(self, terms):
        """Note the terms of an epoch, keep its weights, and decide whether it was the last."""
        self.record.append(terms)
        self.finished = {name: value.clone() for name, value in self.step.state_dict().items()}
        if "validation" in terms:
            # An improvement below `tol` is kept, but does not prolong the training.
            improved = terms["validation"] < self.best_loss - self.plan.tol
            self.n_waited = 0 if improved else self.n_waited + 1
            if terms["validation"] < self.best_loss:
                self.best, self.best_loss = self.finished, terms["validation"]
        is_last = self.record.n_epochs == self.plan.n_epochs
        self.is_done = is_last or self.n_waited >= self.plan.n_iter_no_change

    def state(self):
        """All of it; once the training is done, only what it has led to."""
        losses = {name: np.array(values) for name, values in self.record.losses.items()}
        state = {
            "is_done": self.is_done,
            "generator": self.generator.get_state(),
            "losses": losses,
            "n_epochs": self.record.n_epochs,
            "step": {name: value.cpu().clone() for name, value in self.step.state_dict().items()},
        }
        if self.is_done:
            return state | {"finished": state["step"]}
        return state | {
            "finished": self.finished,
            "best": self.best,
            "best_loss": self.best_loss,
            "n_waited": self.n_waited,
            "first_loss": self.first_loss,
            "order": self.order,
            "sums": self.sums,
            "optimizer": self.optimizer.state(),
        }

    def restore(self, state):
        """Go back to a state."""
        if not 0 <= state["n_epochs"] <= self.plan.n_epochs:
            raise ValueError(f"it has {state['n_epochs']} epochs.")
        self.is_done = state["is_done"]
        self.generator.set_state(state["generator"])
        self.record.losses = {name: values.tolist() for name, values in state["losses"].items()}
        self.record.n_epochs = state["n_epochs"]
        self.step.load_state_dict(state["step"])
        self.finished = state["finished"]
        if self.is_done:
            return
        for name in ("best", "best_loss", "n_waited", "first_loss", "order"):
            setattr(self, name, state[name])
        device = next(self.step.parameters()).device
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.optimizer.restore(state["optimizer"])


def set_trained(estimator, network, plan, record):
    """Set the fitted attributes that every trained estimator has."""
    estimator.module_ = network
    estimator.device_ = str(plan.device)
    estimator.n_threads_ = plan.n_threads
    estimator.precision_ = plan.precision
    estimator.n_iter_ = record.n_epochs
    estimator.interrupted_ = record.interrupted
    estimator.loss_curve_ = {name: np.array(values) for name, values in record.losses.items()}


@torch.no_grad()
def _mean_loss(loss_terms, data, plan):
    """Mean loss over rows, in evaluation mode."""
    total = 0.0
    rows = torch.arange(len(data[0]), device="cpu")
    for part in rows.tensor_split(plan.n_batches(len(rows))):
        batch = [tensor[int(part[0]) : int(part[-1]) + 1] for tensor in data]
        total += loss_terms(batch)["loss"].item() * len(batch[0])
    return total / len(data[0])


def _weighted_terms(step, precision, batch):
    """The terms of a step's loss on a batch, and their weighted sum as "loss"."""
    products = nullcontext()
    if precision == "bfloat16":
        # Inside another autocast context, cached weights would stay those of the first step.
        products = torch.autocast(batch[0].device.type, dtype=torch.bfloat16, cache_enabled=False)
    with products:
        terms = step(*batch)
    weights = getattr(step, "weights", {})
    return {"loss": sum(weights.get(name, 1.0) * value for name, value in terms.items())} | terms


class _AdamW:
    """AdamW (Loshchilov and Hutter 2019) with clipped gradients and a scheduled rate.

    It calls torch's functional form. The class `torch.optim.AdamW` imports torch's compiler when
    it is first used, which takes seconds and is left broken if a signal arrives meanwhile.
    """

    def __init__(self, module, plan, n_steps, factors):
        self.plan = plan
        self.n_steps = n_steps
        self.n_taken = 0
        self.parameters = list(module.parameters())  # a walk over all modules costs in every step
        self.groups = _parameter_groups(module, plan.weight_decay, factors)
        self.state_of = {
            parameter: (
                torch.zeros_like(parameter, memory_format=torch.preserve_format),
                torch.zeros_like(parameter, memory_format=torch.preserve_format),
                torch.zeros((), dtype=torch.float32, device=parameter.device),
            )
            for parameter in self.parameters
            if parameter.requires_grad
        }

    def state(self):
        """Number of steps, and the running means, for `restore`."""
        return {"n_taken": self.n_taken, "means": [list(part) for part in self.state_of.values()]}

    def restore(self, state):
        """Go back to a state."""
        self.n_taken = state["n_taken"]
        for own, kept in zip(self.state_of.values(), state["means"], strict=True):
            for tensor, value in zip(own, kept, strict=True):
                tensor.copy_(value)

    def descend(self, loss):
        """One step against the gradient of a loss."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, self.plan.max_grad_norm)
        rate = self.plan.learning_rate * learning_rate_factor(
            self.n_taken, self.n_steps, self.plan.warmup, self.plan.floor
        )
        for (factor, weight_decay), parameters in self.groups.items():
            self._update(parameters, factor * rate, weight_decay)
        self.n_taken += 1

    @torch.no_grad()
    def _update(self, parameters, rate, weight_decay):
        parameters = [parameter for parameter in parameters if parameter.grad is not None]
        if not parameters:
            return
        states = [self.state_of[parameter] for parameter in parameters]
        means, squares, steps = map(list, zip(*states, strict=True))
        gradients = [parameter.grad for parameter in parameters]
        adamw(
            parameters,
            gradients,
            means,
            squares,
            [],  # maxima of AMSGrad, which is off
            steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=self.plan.beta2,
            lr=rate,
            weight_decay=weight_decay,
            eps=1e-8,
            maximize=False,
        )


def _parameter_groups(module, weight_decay, factors):
    """Parameters by the factor of their learning rate and by their weight decay."""
    decayed = {id(m.weight) for m in module.modules() if isinstance(m, _DECAYED)}
    factor_of = {id(p): factor for part, factor in factors.items() for p in part.parameters()}
    groups = {}
    for parameter in module.parameters():
        decay = weight_decay if id(parameter) in decayed else 0.0
        groups.setdefault((factor_of.get(id(parameter), 1.0), decay), []).append(parameter)
    return groups


def learning_rate_factor(step, n_steps, warmup, floor):
    """Share of the peak rate: linear warm-up, then a cosine to `floor`."""
    n_warmup = max(1, math.ceil(warmup * n_steps))
    if step < n_warmup:
        return (step + 1) / n_warmup
    share = (step - n_warmup) / max(1, n_steps - n_warmup)
    return floor + (1 - floor) * (1 + math.cos(math.pi * share)) / 2


def _check_divergence(epoch, loss, first_loss):
    # Not `loss > ...`: NaN, for which no comparison holds, has to fail as well.
    if not loss <= _DIVERGED * max(first_loss, 1.0):
        raise DivergedError(
            f"Training diverged: the mean loss of epoch {epoch + 1} is {loss:.4g}, "
            f"that of the first batch was {first_loss:.4g}. Try a smaller learning_rate."
        )


@torch.no_grad()
def _check_last_step(training, data):
    """Judge the weights that the last step has left, as a loss is that of before its step."""
    step, generator = training.step, training.generator
    is_finite = all(value.isfinite().all() for value in step.state_dict().values())
    loss = math.nan
    if is_finite and training.first_loss is not None:  # a finished checkpoint was judged before
        # On a batch, and leaving no trace: views and masks are drawn, statistics and queues move.
        before = {name: value.clone() for name, value in step.state_dict().items()}
        drawn = generator.get_state()
        step.train()
        n_rows = min(max(training.plan.batch_size, training.plan.least_batch), len(data[0]))
        loss = training.loss_terms([tensor[:n_rows] for tensor in data])["loss"]
        generator.set_state(drawn)
        step.load_state_dict(before)
        is_finite = loss <= _DIVERGED * max(training.first_loss, 1.0)
    if not is_finite:
        raise DivergedError(
            f"Training diverged in its last step: the loss is {float(loss):.4g} after it. Try a "
            "smaller learning_rate."
        )
