"""The network of a flow: a small U-Net along time that predicts velocities at full resolution.

Series run through it as rows ``(B, T, C)``, where linear layers and normalisation need no copy and
convolutions see channels-last memory, in which they are fastest.
"""

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from ..._nn.conv import along_time
from ..._nn.layers import Dropout

N_LEVELS = 3  # halvings of the resolution
_FREQUENCIES = 32  # of the embedding of time
_POSITIONS = 0.1  # standard deviation of new embeddings of positions
_EMBEDDED = 128  # dimension of what time and class are embedded in


class Convolution(nn.Module):
    """A convolution along time of rows ``(B, T, C)`` that keeps their length."""

    def __init__(self, in_channels, out_channels, kernel):
        super().__init__()
        convolution = along_time(in_channels, out_channels, kernel, padding=kernel // 2)
        self.convolution = convolution.to(memory_format=torch.channels_last)

    def forward(self, x):
        return self.convolution(x.transpose(1, 2).unsqueeze(2)).squeeze(2).transpose(1, 2)


class Silent(nn.Linear):
    """A linear layer that starts as 0, so that what it is added to starts unchanged."""

    def initialise(self, generator):
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)


class FlowBlock(nn.Module):
    """``x + f(x)``; time and class scale and shift the normalised input (Perez et al. 2018, FiLM).

    Its last layer and those that scale and shift start at zero (Peebles and Xie 2023, DiT).
    """

    def __init__(self, width, dropout):
        super().__init__()
        self.condition = Silent(_EMBEDDED, 2 * width)
        self.convolution = Convolution(width, width, 3)
        self.dropout = Dropout(dropout)
        self.join = Silent(width, width)

    def forward(self, x, embedded, generator):
        scale, shift = self.condition(embedded)[:, None].chunk(2, dim=-1)
        h = torch.addcmul(shift, F.layer_norm(x, x.shape[-1:]), 1 + scale)
        return x + self.join(self.dropout(F.silu(self.convolution(h)), generator))


class VelocityNetwork(nn.Module):
    """Velocity ``(B, c, T)`` of a point of the flow, given what the series is to look like.

    Parameters
    ----------
    n_channels, n_timepoints : int
        Channels C and length T of the series.
    n_flowing : int
        Channels c of the flow.
    n_classes : int
        The class id `n_classes` stands for no class in particular.
    grid : sequence of (int, int)
        Rows and columns of the tokens of each band.
    code_dim : int
        Dimension of the code vectors that tokens stand for.
    width : int
        Channels at full resolution; two and four times as many below.
    dropout : float
    """

    def __init__(
        self, n_channels, n_timepoints, n_flowing, n_classes, grid, code_dim, width, dropout
    ):
        super().__init__()
        self.grid = grid
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.time = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, _EMBEDDED), nn.SiLU(), nn.Linear(_EMBEDDED, _EMBEDDED)
        )
        self.classes = nn.Parameter(torch.empty(n_classes + 1, _EMBEDDED))
        self.stem = Convolution(n_flowing + 3 * n_channels, width, 5)
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(FlowBlock(fine, dropout) for fine, _ in pairs)
        self.merge = nn.ModuleList(nn.Linear(2 * fine, coarse) for fine, coarse in pairs)
        coarse_length = -(-n_timepoints // 2**N_LEVELS)
        self.positions = nn.Parameter(torch.empty(coarse_length, widths[-1]))
        self.codes = nn.ModuleList(nn.Linear(rows * code_dim, widths[-1]) for rows, _ in grid)
        self.middle = nn.ModuleList(FlowBlock(widths[-1], dropout) for _ in range(2))
        self.split = nn.ModuleList(nn.Linear(coarse, 2 * fine) for fine, coarse in pairs)
        self.up = nn.ModuleList(FlowBlock(fine, dropout) for fine, _ in pairs)
        self.head = Convolution(width, width, 3)
        self.velocity = Silent(width, n_flowing)

    def initialise(self, generator):
        nn.init.normal_(self.classes, generator=generator)
        nn.init.normal_(self.positions, std=_POSITIONS, generator=generator)

    def forward(self, points, times, codes, decoded, shown, is_shown, classes, generator=None):
        """Velocity at points ``(B, c, T)`` and times ``(B,)``.

        Parameters
        ----------
        points : Tensor of shape (B, c, T)
        times : Tensor of shape (B,)
        codes : Tensor of shape (B, N, D)
            The code vectors of the tokens.
        decoded : Tensor of shape (B, C, T)
            The mean of the series given its tokens.
        shown, is_shown : Tensor of shape (B, C, T)
            Residuals of the values that are observed, 0 elsewhere, and 1 where they are.
        classes : int64 Tensor of shape (B,)
        generator : torch.Generator or None
            What dropout draws from in training mode.
        """
        embedded = F.silu(self._embed(times, classes))
        n_timepoints = points.shape[2]
        x = torch.cat([points, decoded, shown, is_shown], dim=1)
        x = F.pad(x, (0, -n_timepoints % 2**N_LEVELS)).transpose(1, 2)
        x = self.stem(x)
        finer = []
        for block, merge in zip(self.down, self.merge, strict=True):
            x = block(x, embedded, generator)
            finer.append(x)
            x = merge(x.reshape(len(x), -1, 2 * x.shape[2]))
        x = x + self.positions + self._stretched(codes, x.shape[1])
        for block in self.middle:
            x = block(x, embedded, generator)
        for block, split in zip(reversed(self.up), reversed(self.split), strict=True):
            skipped = finer.pop()
            x = block(skipped + split(x).reshape(skipped.shape), embedded, generator)
        x = F.layer_norm(x, x.shape[-1:])
        return self.velocity(F.silu(self.head(x)))[:, :n_timepoints].transpose(1, 2)

    def _stretched(self, codes, length):
        """Projections ``(B, length, W)`` of the codes, each at the time of its token."""
        total = 0.0
        n_tokens = [rows * columns for rows, columns in self.grid]
        parts = zip(self.grid, codes.split(n_tokens, dim=1), self.codes, strict=True)
        for (rows, columns), of_band, project in parts:
            by_column = of_band.unflatten(1, (rows, columns)).transpose(1, 2).flatten(2)
            nearest = torch.arange(length, device=codes.device) * columns // length
            total = total + project(by_column)[:, nearest]
        return total

    def _embed(self, times, classes):
        """Embedding ``(B, d)`` of times, by sines and cosines, and of classes."""
        exponents = torch.arange(_FREQUENCIES, device=times.device, dtype=times.dtype)
        frequencies = torch.exp(exponents * (math.log(1000.0) / _FREQUENCIES))
        angles = times[:, None] * frequencies
        embedded = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))
        return embedded + F.embedding(classes, self.classes)
