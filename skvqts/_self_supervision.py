"""Self-supervision as it is trained: views of a batch of series, and the loss between two views."""

from functools import partial

import torch
from torch import nn

from ._nn.layers import build
from ._nn.self_supervision import View
from .functional.augmentations import block_mask


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
    """

    def __init__(self, objective, augmentation, encoder, decode, data, generator):
        super().__init__()
        self.objective = objective
        self.augmentation = augmentation
        self.generator = generator
        make_branch = partial(objective.make_branch, 2 * encoder.latent_dim, len(data))
        self.branch = build(make_branch, generator).to(data.device)
        self.branch.start(encoder, decode)

    def view(self, x, encoder, number=0):
        """A random view of series, or the series with parts hidden, and its latents.

        `number` says which of two views of a batch it is: validation draws the same two after
        every epoch.
        """
        generator = self.generator
        if not self.training:
            generator = torch.Generator("cpu").manual_seed(number)
        if not self.objective.masks_input:
            series = self.augmentation(x, generator)
            return View(series, encoder(series))
        hidden = block_mask(
            len(x), x.shape[2], generator, self.objective.ratio, self.objective.block
        )
        hidden = hidden[:, None].to(x.device)
        series = x.masked_fill(hidden, 0.0)
        return View(series, encoder(series), hidden)

    def forward(self, first, second):
        """The loss between two views, in float32."""
        first, second = (
            view._replace(latents=None if view.latents is None else view.latents.float())
            for view in (first, second)
        )
        with torch.autocast(second.series.device.type, enabled=False):
            return self.branch(first, second)
