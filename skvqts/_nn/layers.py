"""Layers that several networks share."""

from contextlib import contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import nn

_records = ContextVar("records", default=None)


@contextmanager
def recorded_activations():
    """Gather what enters the batch normalisations run inside, in this thread.

    Yields
    ------
    activations : list of Tensor (B, C, H, W)
        One per recorded layer, in the order of their use, standardised per channel
        by the running statistics: how far each value lies from the training set's mean.
    """
    activations = []
    token = _records.set(activations)
    try:
        yield activations
    finally:
        _records.reset(token)


def recorded(encode, x):
    """What ``encode(x)`` gives, and the standardised activations inside it, each ``(B, M, C)``."""
    with recorded_activations() as activations:
        encoded = encode(x)
    return encoded, [a.flatten(2).transpose(1, 2) for a in activations]


def kept_statistics(module):
    """Batch normalisations inside `module` leave their running statistics as they are."""
    return _momentum(module, 0.0)


@contextmanager
def _momentum(module, momentum):
    """Of the batch normalisations inside `module`, which it yields; restored afterwards."""
    layers = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = momentum
    try:
        yield layers
    finally:
        for layer, momentum in zip(layers, before, strict=True):
            layer.momentum = momentum


@torch.no_grad()
def estimate_statistics(module, x, n_batches, generator):
    """Set the running statistics inside `module` to their means over random batches of `x`.

    Batches of consecutive rows would miss what separates them where `x` is sorted.
    """
    order = torch.randperm(len(x), generator=generator, device="cpu").to(x.device)
    module.train()
    with _momentum(module, None) as layers:  # None: the mean over all batches
        for layer in layers:
            layer.reset_running_stats()
        for picks in order.tensor_split(n_batches):
            module(x[picks])
    module.eval()


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
    """For ``(B, C)`` or ``(B, C, T)``; accepts a single value per channel in training."""


class BatchNorm2d(_SingleValue, nn.BatchNorm2d):
    """For images ``(B, C, H, W)``; accepts a single value per channel, and can be recorded.

    Recorded are, unless told otherwise, layers with a scale of their own.
    """

    def __init__(self, n_features, *, affine=True, recorded=True):
        super().__init__(n_features, affine=affine)
        self.recorded = recorded and affine

    def forward(self, x):
        records = _records.get()
        if records is not None and self.recorded:
            records.append(
                F.batch_norm(x, self.running_mean, self.running_var, training=False, eps=self.eps)
            )
        return super().forward(x)
