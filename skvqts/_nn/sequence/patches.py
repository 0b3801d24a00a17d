"""The front end of patches: a transformer encoder, which sees the whole series in every token.

It is the encoder of Vaswani et al. (2017) over patches of series (Nie et al. 2023, PatchTST).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ...functional.gaps import bridged, gap_depth
from ..conv import along_time, total_stride
from ..layers import BatchNorm2d, ZeroConv
from ..prior import Block, rotary_angles, turning

_HEAD_DIM = 16  # of an attention head, about


class PatchEncoder(nn.Module):
    """Series ``(B, C, T)`` to latents ``(B, N, D)`` of unit variance per dimension.

    ``N = ceil(T / stride)`` patches of that many time points, side by side, become a token each;
    series are repeated at their last value up to a whole number of patches. Blocks of attention,
    by rotary positions, and feed-forward networks follow, as many as `n_blocks`. With `gaps` values
    may be missing (NaN): the patches are of lines across gaps, and another projection sees the
    depth in them.
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
        self.stride = total_stride(n_timepoints, downsampled_width)
        self.padding = -n_timepoints % self.stride
        n_patches = math.ceil(n_timepoints / self.stride)
        self.grid = (1, n_patches)
        self.patches = along_time(n_channels, width, self.stride, stride=self.stride)
        geometry = {"kernel_size": (1, self.stride), "stride": (1, self.stride)}
        self.of_gaps = ZeroConv(n_channels, width, **geometry) if gaps else None
        self.norm = BatchNorm2d(width)
        n_heads = max(1, width // _HEAD_DIM)
        self.head_dim = max(1, width // n_heads)
        self.register_buffer("angles", torch.empty(n_patches, self.head_dim // 2))
        self.blocks = nn.ModuleList(
            Block(width, n_heads, self.head_dim, 2 * width, 0.0, causal=False)
            for _ in range(n_blocks)
        )
        self.last_norm = BatchNorm2d(width)
        self.head = nn.Sequential(
            nn.SiLU(), along_time(width, latent_dim, 1), BatchNorm2d(latent_dim, affine=False)
        )

    def initialise(self, generator):
        """Angles of positions; `generator` has no say."""
        times = torch.arange(self.grid[1], device="cpu", dtype=torch.float32)
        self.angles.copy_(rotary_angles(times, 2 * self.angles.shape[1]))

    def forward(self, x, activations=None):
        if self.padding:
            x = F.pad(x, (0, self.padding), mode="replicate")
        if self.of_gaps is None:
            a = self.patches(x.unsqueeze(2))
        else:
            depth = gap_depth(x).unsqueeze(2)
            a = self.patches(bridged(x).unsqueeze(2)) + self.of_gaps(depth)
        rows = self.norm(a, activations).squeeze(2).transpose(1, 2)
        cosines, sines = turning(self.angles, self.head_dim)
        for block in self.blocks:
            rows = block(rows, cosines, sines)
        a = self.last_norm(rows.transpose(1, 2).unsqueeze(2), activations)
        return self.head(a).squeeze(2).transpose(1, 2)
