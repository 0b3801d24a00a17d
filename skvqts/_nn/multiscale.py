"""The multi-scale front end: kernels of nine points at all dilations, over the series itself.

The kernels start at random, as in ROCKET (Dempster et al. 2020), and are learned. They see a series
and its differences at scales from nine points to its whole length. Their standardised activations
are what features are read from; a few residual blocks make tokens of them.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..functional.gaps import bridged, gap_depth
from .conv import Residual, along_time, total_stride
from .layers import BatchNorm2d, ZeroConv

_KERNEL = 9
_LARGEST_STEP = 8  # between positions
_POSITIONS = 128  # about as many as the kernels are evaluated at
_KERNELS = 4  # per channel of the width


class _Kernels(nn.Conv2d):
    """Convolution whose kernels start as centred normal noise."""

    def __init__(self, in_channels, out_channels, dilation, step):
        padding = dilation * (_KERNEL - 1) // 2
        super().__init__(
            in_channels,
            out_channels,
            kernel_size=(1, _KERNEL),
            stride=(1, step),
            padding=(0, padding),
            dilation=(1, dilation),
            bias=False,
        )

    def initialise(self, generator):
        """Normal weights, the mean of each kernel taken away."""
        with torch.no_grad():
            self.weight.normal_(generator=generator)
            self.weight.sub_(self.weight.mean(3, keepdim=True))
            self.weight.div_(math.sqrt(self.weight[0].numel()))


class Bank(nn.ModuleList):
    """Kernels shared out among all dilations: ``(B, C, 1, T) -> (B, n_kernels, 1, T / step)``."""

    def __init__(self, n_channels, n_timepoints, n_kernels, step):
        scales = dilations(n_timepoints)
        each, left_over = divmod(n_kernels, len(scales))
        counts = [each + (i < left_over) for i in range(len(scales))]
        super().__init__(
            _Kernels(n_channels, count, dilation, step)
            for count, dilation in zip(counts, scales, strict=True)
            if count
        )

    def forward(self, x):
        return torch.cat(list(self.activations(x)), dim=1)

    def activations(self, x):
        """The activations ``(B, n, 1, T / step)`` of the kernels of each dilation, in turn."""
        return (kernels(x) for kernels in self)


def dilations(n_timepoints):
    """Powers of two up to where a kernel spans the series."""
    largest = max(1, (n_timepoints - 1) // (_KERNEL - 1))
    return [2**i for i in range(int(math.log2(largest)) + 1)]


class MultiScaleEncoder(nn.Module):
    """Series ``(B, C, T)`` to latents ``(B, N, D)`` of unit variance per dimension.

    Half of ``4 * width`` kernels see the series, half its differences. Only their activations are
    read. With `gaps` values may be missing (NaN): the kernels see lines across gaps, and to their
    activations is added what another convolution makes of the depth in them.
    """

    def __init__(
        self,
        n_channels,
        n_timepoints,
        *,
        width,
        latent_dim,
        n_blocks,
        downsampled_width,
        gaps=False,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.stride = stride = total_stride(n_timepoints, downsampled_width)
        step = min(stride, _LARGEST_STEP, total_stride(n_timepoints, _POSITIONS))
        self.pooled = stride // step
        self.grid = (1, math.ceil(n_timepoints / stride))
        self.of_series, self.of_differences = (
            Bank(n_channels, n_timepoints, _KERNELS // 2 * width, step) for _ in range(2)
        )
        self.of_gaps = None
        if gaps:
            geometry = {"stride": (1, step), "padding": (0, (_KERNEL - 1) // 2)}
            self.of_gaps = ZeroConv(
                n_channels, _KERNELS * width, kernel_size=(1, _KERNEL), **geometry
            )
        self.norm = BatchNorm2d(_KERNELS * width)
        self.layers = nn.Sequential(
            along_time(_KERNELS * width, width, 1),
            *(Residual(width, dilation=2**i) for i in range(n_blocks)),
            BatchNorm2d(width),
            nn.SiLU(),
            along_time(width, latent_dim, 1),
            BatchNorm2d(latent_dim, affine=False),
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, x, activations=None):
        lines = x if self.of_gaps is None else bridged(x)
        lines = lines.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        differences = F.pad(lines.diff(dim=3), (1, 0))
        a = torch.cat([self.of_series(lines), self.of_differences(differences)], dim=1)
        if self.of_gaps is not None:
            a = a + self.of_gaps(gap_depth(x).unsqueeze(2))
        a = F.silu(self.norm(a, activations))
        a = F.avg_pool2d(a, (1, self.pooled), ceil_mode=True) if self.pooled > 1 else a
        return self.layers(a).squeeze(2).transpose(1, 2)
