"""The self-supervised part of a training step, the same for all estimators."""

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
    def hides(self):
        """Whether the second view is the series itself with parts hidden."""
        return self.objective.hides

    def start(self, model, dim, device):
        """Make the branch of a `model` whose call gives latents ``(B, N, dim)`` of series."""
        self.branch = build(lambda: self.objective.make_branch(2 * dim), self.generator)
        self.branch.to(device).start(model)

    def view(self, x, model):
        """A random view of series, or the series with parts hidden, and its latents."""
        hidden = None
        if self.hides:
            ratio, block = self.objective.ratio, self.objective.block
            hidden = block_mask(len(x), x.shape[2], self.generator, ratio, block)[:, None]
            hidden = hidden.to(x.device)
            series = x.masked_fill(hidden, 0.0)
        else:
            series = self.augmentation(x, self.generator)
        return View(series, model(series), hidden)
