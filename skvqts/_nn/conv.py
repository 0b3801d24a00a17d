"""The fast front end: convolutions along time behind a patch stem, most at token resolution.

Series run through it as ``(B, C, 1, T)`` in channels-last memory, where convolutions are
fastest on CPUs and GPUs alike and tokens leave as rows ``(B, N, D)`` without a copy.
No layer's training depends on the number of threads, transposed
convolutions being replaced by interleaved channels.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..functional.gaps import bridged, gap_depth, known_squared_error
from .layers import BatchNorm2d, Readable, ZeroConv, run_layers

_STEM_STRIDE = 8
_DILATIONS = (1, 4, 2, 8)  # of the residual blocks; the first two see five tokens to either side


def total_stride(n_timepoints, downsampled_width):
    """The power of two nearest to ``n_timepoints / downsampled_width``, at least 1."""
    return 2 ** max(0, round(math.log2(n_timepoints / downsampled_width)))


def along_time(in_channels, out_channels, kernel, stride=1, padding=0, dilation=1):
    """A convolution along time of ``(B, C, 1, T)``."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size=(1, kernel),
        stride=(1, stride),
        padding=(0, padding),
        dilation=(1, dilation),
    )


class Residual(Readable, nn.Module):
    """``x + f(x)`` with a dilated and a pointwise convolution, pre-activation (He et al. 2016)."""

    def __init__(self, width, dilation=1):
        super().__init__()
        self.f = nn.Sequential(
            BatchNorm2d(width),
            nn.SiLU(),
            along_time(width, width, 3, padding=dilation, dilation=dilation),
            nn.SiLU(),
            along_time(width, width, 1),
        )

    def forward(self, x, activations=None):
        return x + run_layers(self.f, x, activations)


class _Interleave(nn.Module):
    """``(B, r C, 1, T) -> (B, C, 1, r T)``: sub-pixel upsampling along time (Shi et al. 2016)."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        batch, channels, _, length = x.shape
        rows = x.permute(0, 2, 3, 1)
        rows = rows.reshape(batch, 1, length * self.factor, channels // self.factor)
        return rows.permute(0, 3, 1, 2)


class ConvEncoder(nn.Module):
    """Series ``(B, C, T)`` to latents ``(B, N, D)`` of unit variance per dimension.

    ``N = ceil(T / stride)``: series are repeated at their last value up to a whole
    number of strides. With `gaps` their values may be missing (NaN): the first convolution sees
    lines across gaps, and another one the depth in them.
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
        self.padding = -n_timepoints % stride
        self.grid = (1, (n_timepoints + self.padding) // stride)
        stem = min(stride, _STEM_STRIDE)
        # The stem sees three neighbouring patches of so many points, or five points.
        kernel, padding = (5, 2) if stem == 1 else (3 * stem, stem)
        layers = [along_time(n_channels, width, kernel, stride=stem, padding=padding)]
        for _ in range(int(math.log2(stride // stem))):
            layers += [Residual(width), BatchNorm2d(width), nn.SiLU()]
            layers += [along_time(width, width, 4, stride=2, padding=1)]
        layers += [Residual(width, _DILATIONS[i % len(_DILATIONS)]) for i in range(n_blocks)]
        layers += [BatchNorm2d(width), nn.SiLU(), along_time(width, latent_dim, 1)]
        # Without learned scales: all dimensions count alike in the distances to codes.
        layers += [BatchNorm2d(latent_dim, affine=False)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        self.of_gaps = None
        if gaps:
            geometry = {"kernel_size": (1, kernel), "stride": (1, stem), "padding": (0, padding)}
            self.of_gaps = ZeroConv(n_channels, width, **geometry)

    def forward(self, x, activations=None):
        if self.padding:
            x = F.pad(x, (0, self.padding), mode="replicate")
        stem, *layers = self.layers
        if self.of_gaps is None:
            a = stem(_with_height(x))
        else:
            a = stem(_with_height(bridged(x))) + self.of_gaps(_with_height(gap_depth(x)))
        return run_layers(layers, a, activations).squeeze(2).transpose(1, 2)


def _with_height(x):
    """``(B, C, 1, T)`` in channels-last memory."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class ConvDecoder(nn.Module):
    """Tokens ``(B, N, D)`` to series ``(B, C, T)`` of exactly the fitted length."""

    def __init__(
        self,
        n_channels,
        n_timepoints,
        grid,
        *,
        width,
        latent_dim,
        n_blocks,
        downsampled_width,
    ):
        super().__init__()
        self.n_timepoints = n_timepoints
        stride = total_stride(n_timepoints, downsampled_width)
        stem = min(stride, _STEM_STRIDE)
        layers = [along_time(latent_dim, width, 1)]
        layers += [Residual(width) for _ in range(n_blocks // 2)]
        for _ in range(int(math.log2(stride // stem))):
            layers += [BatchNorm2d(width), nn.SiLU(), along_time(width, 2 * width, 1)]
            layers += [_Interleave(2), Residual(width)]
        layers += [
            BatchNorm2d(width),
            nn.SiLU(),
            along_time(width, n_channels * stem, 3, padding=1),
        ]
        layers += [_Interleave(stem)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, z):
        x = z.transpose(1, 2).unsqueeze(2)
        # The encoder padded series to whole strides; what that added is cut off.
        return self.layers(x).squeeze(2)[..., : self.n_timepoints]

    def losses(self, x, z):
        """Squared error in time, the first term of van den Oord et al. (2017), eq. 3."""
        return {"reconstruction": known_squared_error(self(z).float(), x)}
