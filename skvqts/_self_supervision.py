"""The self-supervised part of a training step, the same for all estimators."""

import torch

from ._nn.branches import View
from ._nn.initialise import build
from .augmentation import make_augmentation
from .functional.augmentations import block_mask
from .objectives import make_objective


class SelfSupervision:
    """An objective, its branch, and the views it is given.

    Parameters
    ----------
    objective : str or Objective
    augmentation : str or Augmentation
    generator : torch.Generator
        Initial weights, views and masks are drawn from it.
    """

    def __init__(self, objective, augmentation, generator):
        self.objective = make_objective(objective)
        self.augmentation = make_augmentation(augmentation)
        self.generator, self.branch = generator, None

    @property
    def masks_input(self):
        """Whether the second view is the series itself with parts hidden."""
        return self.objective.masks_input

    def start(self, model, dim, data):
        """Make the branch of a `model` whose call gives latents ``(B, N, dim)`` of series.

        `data` are the training series, on the device.
        """
        make = lambda: self.objective.make_branch(2 * dim, len(data))  # noqa: E731
        self.branch = build(make, self.generator)
        self.branch.to(data.device).start(model)

    def view(self, x, model, which=0):
        """A random view of series, or the series with parts hidden, and its latents.

        `which` of two views of a batch it is: validation draws the same ones after every epoch.
        """
        hidden, generator = None, self._generator_of(model, which)
        if self.masks_input:
            ratio, block = self.objective.ratio, self.objective.block
            hidden = block_mask(len(x), x.shape[2], generator, ratio, block)[:, None]
            hidden = hidden.to(x.device)
            series = x.masked_fill(hidden, 0.0)
        else:
            series = self.augmentation(x, generator)
        return View(series, model(series), hidden)

    def loss(self, first, second):
        """The branch's loss of two views, in float32."""
        first, second = (
            View(v.series, None if v.latents is None else v.latents.float(), v.hidden)
            for v in (first, second)
        )
        with torch.autocast(second.series.device.type, enabled=False):
            return self.branch(first, second)

    def _generator_of(self, model, which):
        if model.training:
            return self.generator
        return torch.Generator("cpu").manual_seed(which)
