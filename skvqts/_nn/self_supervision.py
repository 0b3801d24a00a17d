"""Self-supervision: views of a batch of series, and branches that lead to the loss of two views.

A branch is called with two views. One that has ``start(encoder, decode)`` is shown the encoder
before training; of one that has ``update_momentum_copies(encoder)``, copies follow the encoder
after each step of the optimiser. Projectors lead from pooled latents to where losses compare them.
"""

import math
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..functional import objectives as ob
from ..functional.augmentations import hide, within_ends
from ..functional.gaps import ended, ends, hidden_at_random, lasting
from ..functional.objectives import whitening_matrix
from ..functional.readout import pool
from .encoders import tokens_inside
from .layers import BatchNorm1d, build

_GROUP = 64  # features whitened together


class View(NamedTuple):
    """A view of a batch of series and its latents."""

    series: Tensor  # (B, C, T)
    latents: Tensor | None  # (B, N, D)
    hidden: Tensor | None = None  # (B, 1 or C, T) booleans, compared in masked modelling
    inside: Tensor | None = None  # (B, N) booleans, tokens of the series; None: all are
    ends: Tensor | None = None  # (B,), lengths of the series; None: all have T time points

    def pooled(self):
        """Mean and maximum of the latents of the series."""
        return mean_and_maximum(self.latents, self.inside)


def mean_and_maximum(latents, inside=None):
    """Pool latents by mean and maximum over the tokens, ``(B, 2 D)`` float32 (NC-VQVAE).

    `inside` is True ``(B, N)`` for the tokens that count; None: all do.
    """
    return pool(latents.float(), ("mean", "max"), (1,), inside)


class SelfSupervision(nn.Module):
    """The views and the loss of a self-supervised objective, with the branch that it trains.

    Parameters
    ----------
    objective : Objective
    augmentation : Augmentation
        What makes a random view.
    encoder : nn.Module
        Its call gives latents ``(B, N, D)`` of series; it has `latent_dim`.
    decode : callable or None
        From latents to series, for an objective that reconstructs them.
    data : Tensor of shape (n, C, T)
        The training series, on the device.
    generator : torch.Generator
        On the CPU; initial weights, views and masks are drawn from it.
    gaps : bool
        Whether the encoder takes series with missing values (NaN). Views then lose values in
        training, and what an objective hides is missing instead of 0.
    """

    def __init__(self, objective, augmentation, encoder, decode, data, generator, gaps=False):
        super().__init__()
        self.objective = objective
        self.augmentation = augmentation
        self.generator = generator
        self.gaps = gaps
        make_branch = partial(objective.make_branch, 2 * encoder.latent_dim, len(data))
        self.branch = build(make_branch, generator).to(data.device)
        if hasattr(self.branch, "start"):
            self.branch.start(encoder, decode)

    def view(self, x, encoder, number=0):
        """A random view of series, or the series with parts hidden, and its latents.

        `number` says which of two views of a batch it is: validation draws the same two after
        every epoch. A view has the length of its series.
        """
        lengths = ends(x)
        generator = self.generator
        if not self.training:
            generator = torch.Generator("cpu").manual_seed(number)
        hidden = None
        if self.objective.masks_input:
            value = math.nan if self.gaps else 0.0
            objective = self.objective
            how = (objective.strategy, objective.ratio, objective.block)
            series, hidden = hide(x, generator, *how, value)
        else:
            series = within_ends(self.augmentation, x, generator, lengths)
            if self.gaps and self.training:
                series = hidden_at_random(series, generator)
        inside = tokens_inside(encoder, lengths)
        latents = ended(encoder(lasting(series, lengths)), inside)
        return View(series, latents, hidden, inside, lengths)

    def update_momentum_copies(self, encoder):
        """Let the copies of a branch that has some follow the encoder, after each step."""
        if hasattr(self.branch, "update_momentum_copies"):
            self.branch.update_momentum_copies(encoder)

    def forward(self, first, second):
        """The loss between two views, in float32."""
        if first.latents is not None:
            first = first._replace(latents=first.latents.float())
        second = second._replace(latents=second.latents.float())
        with torch.autocast(second.series.device.type, enabled=False):
            return self.branch(first, second)


class JointBranch(nn.Module):
    """Both views through one projector; `loss` compares the projections."""

    def __init__(self, projector, loss):
        super().__init__()
        self.projector = projector
        self.loss = loss

    def forward(self, first, second):
        return self.loss(*(self.projector(view.pooled()) for view in (first, second)))


class _MomentumBranch(nn.Module):
    """A branch with momentum copies of encoder and projector: moving averages of their weights.

    Running statistics of batch normalisation are copied.
    """

    def __init__(self, projector, momentum):
        super().__init__()
        self.projector = projector
        self.momentum = momentum

    def start(self, encoder, decode):
        self.momentum_encoder = deepcopy(encoder).requires_grad_(False)
        self.momentum_projector = deepcopy(self.projector).requires_grad_(False)

    @torch.no_grad()
    def update_momentum_copies(self, encoder):
        pairs = [(self.momentum_encoder, encoder), (self.momentum_projector, self.projector)]
        for average, trained in pairs:
            for mean, value in zip(average.parameters(), trained.parameters(), strict=True):
                mean.lerp_(value, 1 - self.momentum)
            for kept, value in zip(average.buffers(), trained.buffers(), strict=True):
                kept.copy_(value)

    @torch.no_grad()
    def momentum_projection(self, view):
        """Projection of a view by the momentum copies."""
        latents = self.momentum_encoder(lasting(view.series, view.ends))
        return self.momentum_projector(mean_and_maximum(latents, view.inside))


class BYOLBranch(_MomentumBranch):
    """Each view predicts the momentum projection of the other (Grill et al. 2020)."""

    def __init__(self, projector, predictor, momentum):
        super().__init__(projector, momentum)
        self.predictor = predictor

    def forward(self, first, second):
        predictions = [self.predictor(self.projector(view.pooled())) for view in (first, second)]
        targets = [self.momentum_projection(view) for view in (second, first)]
        return ob.byol(predictions[0], targets[0], predictions[1], targets[1])


class MoCoBranch(_MomentumBranch):
    """Each view finds the momentum projection of the other among those of a queue (He et al. 2020).

    Parameters
    ----------
    width : int
        Width of the projection.
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
        keys = self.momentum_projection(first), self.momentum_projection(second)
        queries = [self.projector(view.pooled()) for view in (first, second)]
        # The gradient needs the queue as it was; it is overwritten below.
        queue = self.queue.clone()
        # Each query looks for the key of the other view.
        losses = [
            ob.info_nce(query, key, queue, self.temperature)
            for query, key in zip(queries, reversed(keys), strict=True)
        ]
        if self.training:  # the newest keys push the oldest out of the queue
            newest = nn.functional.normalize(torch.cat(keys), dim=1)
            self.queue.copy_(torch.cat([newest, self.queue])[: len(self.queue)])
        return sum(losses) / 2


class MaskedBranch(nn.Module):
    """The hidden values of a series are decoded from the latents of the rest (He et al. 2022)."""

    def start(self, encoder, decode):
        # A module is trained with the branch; a VQ-VAE's bound method belongs to the VQ-VAE.
        self.decode = decode

    def forward(self, first, second):
        return ob.masked_error(self.decode(second.latents).float(), first.series, second.hidden)


class IterNorm(nn.Module):
    """Iterative normalisation (Huang et al. 2019): groups of features whitened over the batch.

    Parameters
    ----------
    width : int
        Number of features; groups have the largest size up to 64 that divides it.
    n_iterations : int
        Steps of Newton's iteration.
    momentum : float
        Share of a batch in the running means and whitening matrices that inference uses.
    """

    def __init__(self, width, *, n_iterations=5, eps=1e-5, momentum=0.1):
        super().__init__()
        group = max(size for size in range(1, min(_GROUP, width) + 1) if width % size == 0)
        self.shape = width // group, group
        self.n_iterations = n_iterations
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.register_buffer("running_mean", torch.empty(self.shape))
        self.register_buffer("running_whitening", torch.empty(self.shape[0], group, group))

    def initialise(self, generator):
        """No shift, no scale, running statistics of white features."""
        with torch.no_grad():
            self.weight.fill_(1.0)
            self.bias.zero_()
            self.running_mean.zero_()
            self.running_whitening.copy_(torch.eye(self.shape[1]))

    def forward(self, x):
        """White features ``(B, width)``."""
        groups = x.unflatten(1, self.shape)
        mean, whitening = self._statistics(groups)
        white = torch.einsum("bgd,gde->bge", groups - mean, whitening)
        return white.flatten(1) * self.weight + self.bias

    def _statistics(self, groups):
        # A single row has no covariance.
        if not self.training or len(groups) == 1:
            return self.running_mean, self.running_whitening
        mean = groups.mean(0)
        whitening = whitening_matrix(groups - mean, self.n_iterations, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_whitening.lerp_(whitening, self.momentum)
        return mean, whitening


class Projector(nn.Sequential):
    """Linear layers with batch normalisation and ReLU between them.

    Parameters
    ----------
    dim : int
        Dimension of the representation.
    width : int
        Width of the hidden layers and of the projection.
    n_hidden : int
        Number of hidden layers; 2 in Barlow Twins, VICReg and NC-VQVAE, 1 in SimCLR and BYOL.
    whiten : bool
        End in iterative normalisation, as VIbCReg does.
    """

    def __init__(self, dim, width, *, n_hidden=2, whiten=False):
        sizes = [dim, *(width for _ in range(n_hidden))]
        layers = []
        for fan_in in sizes[:-1]:
            layers += [nn.Linear(fan_in, width), BatchNorm1d(width), nn.ReLU()]
        layers.append(nn.Linear(sizes[-1], width))
        super().__init__(*layers, *([IterNorm(width)] if whiten else []))
