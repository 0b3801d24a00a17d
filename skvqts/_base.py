"""What all estimators with a trained network share: parameters of training, and fit."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)

from ._fitting.progress import CallbackSupportMixin, Progress, with_callbacks
from ._fitting.runtime import computing, default_n_threads, load_the_rest_of_torch
from ._fitting.scaling import SeriesScaler
from ._fitting.state import TorchStateMixin, unchanged_on_failure
from ._fitting.training import TrainingPlan, train
from ._fitting.validation import (
    IntegerInterval,
    RealInterval,
    StrOptions,
    _fit_context,
    generator_from,
    resolve_device,
    validate_series,
)
from ._nn.initialise import build
from ._nn.vqvae import FRONT_ENDS, front_end_size
from .exceptions import warn_user

_SIZE = ("width", "latent_dim", "n_blocks", "downsampled_width")  # parameters of an encoder


class SeriesEstimator(TorchStateMixin, CallbackSupportMixin, BaseEstimator):
    """Base of estimators that train a network on series.

    A subclass says what is trained: ``_prepare(series, warm, generator)`` sets ``_scaler`` and what
    ``_module_constructor()`` needs, and gives what ``_network(origin, generator)`` starts from;
    ``_task(network, data, plan, generator, warm)`` is what a training step does, and
    ``_describe(series)`` sets the fitted attributes that the trained network gives.
    """

    _auto_steps, _auto_epochs = 600, 8  # max_epochs="auto" makes at least so many of both

    _parameter_constraints = {
        "batch_size": [IntegerInterval(1)],
        "max_epochs": [IntegerInterval(1), StrOptions({"auto"})],
        "learning_rate": [RealInterval(0, closed="neither")],
        "weight_decay": [RealInterval(0)],
        "early_stopping": ["boolean"],
        "validation_fraction": [RealInterval(0, 1, closed="neither")],
        "n_iter_no_change": [IntegerInterval(1)],
        "tol": [RealInterval(0)],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str, torch.device],
        "n_threads": [IntegerInterval(1), None],
        "verbose": [IntegerInterval(0), "boolean"],
        "random_state": ["random_state"],
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Learn from training series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : ignored

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X` or a parameter is not valid, or `device` is not present.
        TypeError
            If `X` is sparse or not numeric.
        DivergedError
            If the loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; after the first epoch of training the estimator is fitted all the same.
        """
        with unchanged_on_failure(self):
            record = self._fit(X, y)
        if record.interrupt is not None:
            raise record.interrupt
        return self

    @with_callbacks
    def _fit(self, X, y):
        warm = getattr(self, "warm_start", False) and hasattr(self, "module_")
        series = validate_series(self, X, reset=not warm, min_samples=2)
        targets = self._targets(y, series, warm)
        device, generator = resolve_device(self.device), generator_from(self.random_state)
        plan = self._plan(len(series))
        load_the_rest_of_torch()
        origin = self._prepare(series, warm, generator)
        n_threads = self.n_threads or default_n_threads(self._work(plan, series))
        with (
            computing(device, n_threads, training=True),
            Progress(self, plan.n_epochs, X, y) as progress,
        ):
            network = self._network(origin, generator).to(device)
            data, held_out = self._split(series, targets, device, generator)
            task = self._task(network, data, plan, generator, warm)
            record = train(
                task.module,
                task.inputs(*data),
                task.losses,
                task.weights,
                plan,
                generator,
                rates=task.rates,
                after_step=task.after_step,
                validation=held_out and task.inputs(*held_out),
                on_epoch_end=progress.epoch,
            )
            task.finish(*data)
        self.module_, self.device_, self.n_threads_ = network, str(device), n_threads
        self.n_iter_, self.interrupted_ = record.n_epochs, record.interrupt is not None
        self.loss_curve_ = {name: np.array(values) for name, values in record.losses.items()}
        self._describe(series)
        return record

    _least_held_out = 1  # series that a validation loss needs to mean something

    @property
    def _least_batch(self):
        """Series that a training step needs."""
        return 1

    def _work(self, plan, series):
        """Time points that training sees, which decides the number of threads."""
        return plan.n_epochs * len(series) * series.shape[2]

    def _n_rows(self, n_series):
        """Rows of an epoch."""
        return n_series

    def _plan(self, n_series):
        plan = TrainingPlan(
            n_epochs=self._auto_epochs,
            batch_size=int(self.batch_size),
            least_batch=self._least_batch,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            n_iter_no_change=self.n_iter_no_change,
            tol=self.tol,
            bfloat16=self.precision == "bfloat16",
        )
        if self.max_epochs != "auto":
            return replace(plan, n_epochs=int(self.max_epochs))
        n_rows = self._n_rows(n_series - self._n_held_out(n_series))
        return plan.with_least(self._least_steps(n_series), n_rows)

    def _least_steps(self, n_series):
        """Steps that max_epochs="auto" makes at least."""
        return self._auto_steps

    def _n_held_out(self, n_series):
        """Series held out for early stopping; none where they are too few to be split."""
        if not self.early_stopping:
            return 0
        least = self._least_batch
        n = max(self._least_held_out, round(self.validation_fraction * n_series))
        n = min(n, max(least, n_series // 2), n_series - least)
        return n if n >= least else 0

    def _warn_of_no_early_stopping(self, n_series):
        if self.early_stopping:
            warn_user(
                f"early_stopping=True, but {n_series} series are too few for validation_fraction="
                f"{self.validation_fraction} to hold any out: all epochs are trained."
            )

    def _targets(self, y, series, warm):
        """What is learned besides the series, one array per target; nothing without labels."""
        return ()

    def _split(self, series, targets, device, generator):
        """Scaled training series and targets on the device, and those held out or None."""
        arrays = self._scaler.transform(series), *targets
        data = [torch.from_numpy(array).to(device) for array in arrays]
        n_held_out = self._n_held_out(len(series))
        if not n_held_out:
            self._warn_of_no_early_stopping(len(series))
            return data, None
        order = self._held_out_first(targets, len(series), generator).to(device)
        parts = order[n_held_out:], order[:n_held_out]
        return tuple([part[picks] for part in data] for picks in parts)

    def _held_out_first(self, targets, n_series, generator):
        """An order of the series, of which the first are held out."""
        return torch.randperm(n_series, generator=generator, device="cpu")

    def _reader(self, kind):
        """A `Reader` of a kind for the trained network."""
        n_values = self.n_channels_in_ * self.n_timepoints_in_
        return kind(self.module_, self._scaler, self.device_, self.n_threads_, n_values)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


class SeriesTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SeriesEstimator):
    """Base of transformers of series, which scale series and own their network.

    ``_network_arguments()`` gives the arguments of ``_module_constructor()``: those of an encoder,
    and what a subclass adds.
    """

    _parameter_constraints = {
        **SeriesEstimator._parameter_constraints,
        "frontend": [StrOptions(set(FRONT_ENDS))],
        "width": [IntegerInterval(1)],
        "latent_dim": [IntegerInterval(1), StrOptions({"auto"})],
        "n_blocks": [IntegerInterval(0), StrOptions({"auto"})],
        "downsampled_width": [IntegerInterval(1), StrOptions({"auto"})],
        "scaling": [StrOptions({"train", "series"})],
        "warm_start": ["boolean"],
    }

    def _prepare(self, series, warm, generator):
        """Scaling and architecture: new ones, or unchanged those of the previous fit."""
        architecture, per_series = self._network_arguments(), self.scaling == "series"
        if not warm:
            self._architecture = architecture
            self._scaler = SeriesScaler(per_series).fit(series)
        elif (architecture, per_series) != (self._architecture, self._scaler.per_series):
            raise ValueError(
                f"{type(self).__name__}(warm_start=True) continues with the network of the "
                "previous fit, but parameters that shape the network, its codebook or the scaling "
                "have changed since: set them back, or set warm_start=False."
            )
        return warm

    def _network_arguments(self):
        size = {name: getattr(self, name) for name in _SIZE}
        return {
            "n_channels": self.n_channels_in_,
            "n_timepoints": self.n_timepoints_in_,
            "frontend": self.frontend,
            "size": front_end_size(self.frontend, **size),
        }

    def _network(self, warm, generator):
        return deepcopy(self.module_) if warm else build(self._module_constructor(), generator)

    def _untrained(self, X):
        """With the scaling and architecture that `fit` would have, but no network."""
        self._validate_params()
        self._prepare(validate_series(self, X, reset=True, min_samples=2), False, None)
        return self

    @property
    def _n_features_out(self):
        n_columns = self._n_columns
        self._validate_params()
        return n_columns[self.output]

    @property
    def _latent_dim(self):
        return self._architecture["size"]["latent_dim"]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


def held_out_by_class(classes, generator):
    """An order of series, of which the first hold a like share of every class.

    Classes of a single series come last.

    Parameters
    ----------
    classes : int64 ndarray of shape (n,)
    generator : torch.Generator
    """
    order = torch.randperm(len(classes), generator=generator, device="cpu")
    classes = torch.from_numpy(classes)[order]
    place = torch.empty(len(classes), dtype=torch.float64, device="cpu")
    for label in classes.unique():
        mine = (classes == label).nonzero()[:, 0]
        steps = torch.arange(len(mine), dtype=torch.float64, device="cpu")
        place[mine] = (steps + 0.5) / len(mine) if len(mine) > 1 else 1.0
    return order[place.argsort(stable=True)]


class Task:
    """What a training step does with a batch; for subclasses.

    Attributes
    ----------
    module : nn.Module
        What is trained.
    weights : dict
        Of the terms of the loss.
    rates : sequence of (nn.Module, float)
        Parts of `module` that learn at a rate of their own, as a factor.
    """

    weights, rates = {}, ()

    def __init__(self, module):
        self.module = module

    def inputs(self, *data):
        """The tensors that batches are taken of, from scaled series and targets."""
        return data

    def after_step(self):
        """Called after each step of the optimiser."""

    def finish(self, *data):
        """Called after the training, with the scaled training series and targets."""
