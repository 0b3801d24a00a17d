"""Layers that several networks share."""

import torch.nn.functional as F
from torch import nn


class _SingleValueSafe:
    """In training, normalise a single value per channel with the running statistics.

    One series of one token has no batch statistics; torch raises there.
    """

    def forward(self, x):
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)


class BatchNorm1d(_SingleValueSafe, nn.BatchNorm1d):
    """Batch normalisation of ``(B, C, T)`` that accepts a single value per channel."""


class BatchNorm2d(_SingleValueSafe, nn.BatchNorm2d):
    """Batch normalisation of ``(B, C, H, W)`` that accepts a single value per channel."""


class Interleave(nn.Module):
    """``(B, r C, T) -> (B, C, r T)``: sub-pixel upsampling along time (Shi et al. 2016)."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        batch, channels, length = x.shape
        x = x.reshape(batch, channels // self.factor, self.factor, length)
        return x.transpose(2, 3).reshape(batch, channels // self.factor, self.factor * length)
