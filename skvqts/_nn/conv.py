"""The fast front end: 1-D convolutions on a patch stem, most of them at token resolution.

Made of `Conv1d` and batch normalisation only, whose training does not depend on
the number of threads; upsampling interleaves channels.
"""

import math

import torch.nn.functional as F
from torch import nn

from .layers import BatchNorm1d, Interleave

_STEM_STRIDE = 4
_DILATIONS = (1, 2, 4, 8)


def total_stride(n_timepoints, downsampled_width):
    """The power of two nearest to ``n_timepoints / downsampled_width``, at least 1."""
    return 2 ** max(0, round(math.log2(n_timepoints / downsampled_width)))


class _Residual(nn.Module):
    """``x + f(x)`` with a dilated and a pointwise convolution, pre-activation (He et al. 2016)."""

    def __init__(self, width, dilation=1):
        super().__init__()
        self.f = nn.Sequential(
            BatchNorm1d(width),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=3, padding=dilation, dilation=dilation),
            BatchNorm1d(width),
            nn.GELU(),
            nn.Conv1d(width, width, kernel_size=1),
        )

    def forward(self, x):
        return x + self.f(x)


def _activated(width):
    return [BatchNorm1d(width), nn.GELU()]


def _stem(n_channels, width, stride):
    """A convolution over three neighbouring patches of `stride` points, or five points."""
    kernel, padding = (5, 2) if stride == 1 else (3 * stride, stride)
    return nn.Conv1d(n_channels, width, kernel, stride=stride, padding=padding)


class ConvEncoder(nn.Module):
    """Series ``(B, C, T)`` to latents ``(B, N, D)`` of unit variance per dimension.

    ``N = ceil(T / stride)``: series are repeated at their last value up to a whole
    number of strides.
    """

    def __init__(
        self,
        n_channels,
        n_timepoints,
        *,
        width=64,
        latent_dim=128,
        n_blocks=4,
        downsampled_width=32,
    ):
        super().__init__()
        stride = total_stride(n_timepoints, downsampled_width)
        self.padding = -n_timepoints % stride
        self.grid = (1, (n_timepoints + self.padding) // stride)
        stem = min(stride, _STEM_STRIDE)
        layers = [_stem(n_channels, width, stem)]
        for _ in range(int(math.log2(stride // stem))):
            layers += [_Residual(width), *_activated(width)]
            layers += [nn.Conv1d(width, width, kernel_size=4, stride=2, padding=1)]
        layers += [_Residual(width, _DILATIONS[i % len(_DILATIONS)]) for i in range(n_blocks)]
        layers += [*_activated(width), nn.Conv1d(width, latent_dim, kernel_size=1)]
        self.layers = nn.Sequential(*layers, BatchNorm1d(latent_dim, affine=False))

    def forward(self, x):
        if self.padding:
            x = F.pad(x, (0, self.padding), mode="replicate")
        return self.layers(x).transpose(1, 2)


class ConvDecoder(nn.Module):
    """Tokens ``(B, N, D)`` to series ``(B, C, T)`` of exactly the fitted length."""

    def __init__(
        self,
        n_channels,
        n_timepoints,
        grid,
        *,
        width=64,
        latent_dim=128,
        n_blocks=4,
        downsampled_width=32,
    ):
        super().__init__()
        self.n_timepoints = n_timepoints
        stride = total_stride(n_timepoints, downsampled_width)
        stem = min(stride, _STEM_STRIDE)
        layers = [nn.Conv1d(latent_dim, width, kernel_size=1)]
        layers += [_Residual(width) for _ in range(n_blocks // 2)]
        for _ in range(int(math.log2(stride // stem))):
            layers += [*_activated(width), nn.Conv1d(width, 2 * width, kernel_size=1)]
            layers += [Interleave(2), _Residual(width)]
        layers += [*_activated(width), nn.Conv1d(width, n_channels * stem, 3, padding=1)]
        self.layers = nn.Sequential(*layers, Interleave(stem))

    def forward(self, z):
        return self.layers(z.transpose(1, 2))[..., : self.n_timepoints]

    def losses(self, x, z):
        """Squared error in time (eq. 17)."""
        return {"reconstruction": F.mse_loss(self(z).float(), x)}
