"""A linear classifier on an encoder's pooled latents."""

import torch.nn.functional as F
from torch import nn

from .branches import pooled
from .layers import BatchNorm1d


class Head(nn.Sequential):
    """From pooled latents, standardised, to the logits of the classes."""

    def __init__(self, dim, n_classes):
        super().__init__(BatchNorm1d(dim, affine=False), nn.Linear(dim, n_classes))


class EncoderClassifier(nn.Module):
    """Series ``(B, C, T)`` to logits ``(B, n_classes)``.

    Parameters
    ----------
    encoder : nn.Module
        Its call gives latents ``(B, N, dim)`` of series.
    """

    def __init__(self, encoder, dim, n_classes):
        super().__init__()
        self.encoder, self.head = encoder, Head(2 * dim, n_classes)

    def forward(self, x):
        return self.head(self.represent(x))

    def represent(self, x):
        """Pooled latents ``(B, 2 dim)``."""
        return pooled(self.encoder(x))


def make_classifier(encoder_constructor, dim, n_classes):
    """A classifier on a new encoder."""
    return EncoderClassifier(encoder_constructor(), dim, n_classes)


def cross_entropy(logits, classes):
    """Mean negative log-probability of the classes (eq. 11)."""
    return {"cross_entropy": F.cross_entropy(logits.float(), classes)}
