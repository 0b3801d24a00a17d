"""Self-supervised branches: what becomes of two views of a batch, up to the loss (eq. 12).

A branch is called with two views. Before training it is shown the model, whose call gives latents
of series, in ``start(model)``; after each step of the optimiser in ``follow(model)``, where slow
copies follow.
"""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..functional import objectives as ob
from ..functional.readout import pool


class View(NamedTuple):
    """A view of a batch of series and its latents."""

    series: Tensor  # (B, C, T)
    latents: Tensor | None  # (B, N, D)
    hidden: Tensor | None = None  # (B, 1, T) booleans, for masked modelling


def pooled(latents):
    """Mean and maximum over the tokens, ``(B, 2 D)`` float32, as published."""
    return pool(latents.float(), ("mean", "max"), (1,))


class Branch(nn.Module):
    """A branch that needs nothing of the model but latents."""

    def start(self, model):
        """Called once, before training."""

    def follow(self, model):
        """Called after each step of the optimiser."""


class Joint(Branch):
    """Both views through one projector; `loss` compares the projections."""

    def __init__(self, projector, loss):
        super().__init__()
        self.projector, self.loss = projector, loss

    def forward(self, first, second):
        return self.loss(*(self.projector(pooled(view.latents)) for view in (first, second)))


class _WithSlowCopy(Branch):
    """A slow copy of model and projector: a moving average of their weights.

    Running statistics of batch normalisation are copied.
    """

    def __init__(self, projector, momentum):
        super().__init__()
        self.projector, self.momentum = projector, momentum

    def start(self, model):
        self.slow_model = deepcopy(model).requires_grad_(False)
        self.slow_projector = deepcopy(self.projector).requires_grad_(False)

    @torch.no_grad()
    def follow(self, model):
        pairs = (self.slow_model, model), (self.slow_projector, self.projector)
        for slow, fast in pairs:
            for average, value in zip(slow.parameters(), fast.parameters(), strict=True):
                average.lerp_(value, 1 - self.momentum)
            for kept, value in zip(slow.buffers(), fast.buffers(), strict=True):
                kept.copy_(value)

    @torch.no_grad()
    def slow(self, view):
        """Projection of a view by the slow copies."""
        return self.slow_projector(pooled(self.slow_model(view.series)))


class BYOL(_WithSlowCopy):
    """Each view predicts the slow projection of the other (Grill et al. 2020)."""

    def __init__(self, projector, predictor, momentum):
        super().__init__(projector, momentum)
        self.predictor = predictor

    def forward(self, first, second):
        predictions = [
            self.predictor(self.projector(pooled(view.latents))) for view in (first, second)
        ]
        return ob.byol(predictions[0], self.slow(second), predictions[1], self.slow(first))


class MoCo(_WithSlowCopy):
    """Each view finds the slow projection of the other among those of a queue (He et al. 2020).

    Parameters
    ----------
    width : int
        Of the projection.
    queue_size : int
        Number of earlier projections kept; at first directions drawn at random.
    """

    def __init__(self, projector, width, momentum, temperature, queue_size):
        super().__init__(projector, momentum)
        self.temperature = temperature
        self.register_buffer("queue", torch.empty(queue_size, width))

    def initialise(self, generator):
        """Random directions in the queue."""
        self.queue.normal_(generator=generator)
        self.queue.copy_(nn.functional.normalize(self.queue, dim=1))

    def forward(self, first, second):
        keys = self.slow(first), self.slow(second)
        queries = [self.projector(pooled(view.latents)) for view in (first, second)]
        queue = self.queue.clone()
        losses = [
            ob.info_nce(query, key, queue, self.temperature)
            for query, key in zip(queries, reversed(keys), strict=True)
        ]
        if self.training:
            self._enqueue(torch.cat(keys))
        return sum(losses) / 2

    def _enqueue(self, keys):
        keys = nn.functional.normalize(keys, dim=1)
        self.queue.copy_(torch.cat([keys, self.queue])[: len(self.queue)])


class Masked(Branch):
    """The hidden values of a series from the latents of the rest, by the model's own decoder."""

    def start(self, model):
        self.decode = model.decode

    def forward(self, first, second):
        return ob.masked_error(self.decode(second.latents).float(), first.series, second.hidden)
