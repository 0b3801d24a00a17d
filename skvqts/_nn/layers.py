"""Layers that several networks share."""

from contextlib import contextmanager
from contextvars import ContextVar

import torch.nn.functional as F
from torch import nn

_records = ContextVar("records", default=None)


@contextmanager
def recorded_activations():
    """Gather what enters the batch normalisations run inside, in this thread.

    Yields
    ------
    activations : list of Tensor (B, C, H, W)
        One per layer with a scale of its own, in the order of their use, standardised per channel
        by the running statistics: how far each value lies from the training set's mean.
    """
    activations = []
    token = _records.set(activations)
    try:
        yield activations
    finally:
        _records.reset(token)


class _SingleValue:
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


class BatchNorm1d(_SingleValue, nn.BatchNorm1d):
    """For rows ``(B, C)``; accepts a single row in training."""


class BatchNorm2d(_SingleValue, nn.BatchNorm2d):
    """For images ``(B, C, H, W)``; accepts a single value per channel, and can be recorded."""

    def forward(self, x):
        records = _records.get()
        if records is not None and self.affine:
            records.append(
                F.batch_norm(x, self.running_mean, self.running_var, training=False, eps=self.eps)
            )
        return super().forward(x)
