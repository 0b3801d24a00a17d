"""Random convolutions of series, and what is read of their activations (Dempster et al. 2020)."""

import torch
import torch.nn.functional as F
from torch import nn

from .multiscale import Bank


class RandomConvolutions(nn.Module):
    """Series ``(B, C, T)`` to features ``(B, 2 n_kernels)``.

    Of the activations of each kernel, standardised by those of the training series: the share
    above a threshold, drawn from ``U(-1, 1)``, and the maximum. Half of the kernels see the
    series, half its differences.
    """

    def __init__(self, n_channels, n_timepoints, n_kernels):
        super().__init__()
        few = n_kernels // 2
        self.of_series = Bank(n_channels, n_timepoints, n_kernels - few, step=1)
        self.of_differences = Bank(n_channels, n_timepoints, few, step=1)
        for name in ("thresholds", "means", "scales"):
            self.register_buffer(name, torch.empty(n_kernels))

    def initialise(self, generator):
        """Random thresholds; scales are those of `measure`."""
        self.thresholds.uniform_(-1, 1, generator=generator)
        self.means.zero_()
        self.scales.fill_(1)

    def measure(self, chunks):
        """Set means and scales to those of the activations over chunks of series ``(b, C, T)``."""
        count, totals = 0, 0.0
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
        levels, features, start = self.thresholds * self.scales + self.means, [], 0
        for activations in self._activations(x):
            mine = slice(start, start + activations.shape[1])
            highest = (activations.amax((2, 3)) - self.means[mine]) / self.scales[mine]
            above = activations.gt_(levels[mine, None, None]).mean((2, 3))  # in place: a pass less
            features += [above, highest]
            start = mine.stop
        return torch.cat(features, dim=1)

    def _activations(self, x):
        """Of the kernels of each dilation, ``(B, n, 1, T)``."""
        x = x.unsqueeze(2)
        yield from self.of_series.activations(x)
        yield from self.of_differences.activations(F.pad(x.diff(dim=3), (1, 0)))
