"""Random convolutions of series, and features of their activations (Dempster et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import nn

from .multiscale import Bank


class RandomConvolutions(nn.Module):
    """Series ``(B, C, T)`` to features ``(B, 2 n_kernels)``.

    The features of a kernel are the share of its activations above a threshold, drawn from
    ``U(-1, 1)``, and their maximum, both standardised by the activations of the training series.
    Half of the kernels see the series, half its differences.
    """

    def __init__(self, n_channels, n_timepoints, n_kernels):
        super().__init__()
        half = n_kernels // 2
        self.of_series = Bank(n_channels, n_timepoints, n_kernels - half, step=1)
        self.of_differences = Bank(n_channels, n_timepoints, half, step=1)
        for name in ("thresholds", "means", "scales"):
            self.register_buffer(name, torch.empty(n_kernels))

    def initialise(self, generator):
        """Draw thresholds; means and scales are set by `measure`."""
        self.thresholds.uniform_(-1, 1, generator=generator)
        self.means.zero_()
        self.scales.fill_(1)

    def measure(self, chunks):
        """Set means and scales to those of the activations over chunks of series ``(b, C, T)``."""
        count = 0
        totals = 0.0
        for x in chunks:
            moments = [
                torch.stack([a.mean(3), a.square_().mean(3)])[..., 0].cpu().double()
                for a in self._activations(x)
            ]
            totals = totals + torch.cat(moments, dim=2).sum(1)
            count += len(x)
        mean, square = totals / count
        scale = (square - mean.square()).clamp(min=0).sqrt()
        rounding = 1e-5 * square.sqrt()
        self.means.copy_(mean)
        self.scales.copy_(torch.where(scale > rounding, scale, 1.0))

    def forward(self, x):
        levels = self.thresholds * self.scales + self.means
        features = []
        start = 0
        for activations in self._activations(x):
            kernels = slice(start, start + activations.shape[1])
            highest = (activations.amax((2, 3)) - self.means[kernels]) / self.scales[kernels]
            above = activations.gt_(levels[kernels, None, None]).mean((2, 3))  # in place: faster
            features += [above, highest]
            start = kernels.stop
        return torch.cat(features, dim=1)

    def _activations(self, x):
        """The activations ``(B, n, 1, T)`` of the kernels of each dilation, in turn."""
        x = x.unsqueeze(2)
        yield from self.of_series.activations(x)
        yield from self.of_differences.activations(F.pad(x.diff(dim=3), (1, 0)))
