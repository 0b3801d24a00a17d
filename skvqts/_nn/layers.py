"""Layers that several networks share."""

import torch.nn.functional as F
from torch import nn


class BatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that accepts a single value per channel in training.

    One series of one token has no batch statistics, and torch raises there; it is
    normalised with the running statistics.
    """

    def forward(self, x):
        if self.training and x.numel() == x.shape[1]:
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x)
