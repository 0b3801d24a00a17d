"""The fully convolutional network of Wang, Yan and Oates (2017)."""

import torch.nn.functional as F
from torch import nn

from .layers import BatchNorm1d


class _Block(nn.Module):
    """A convolution that keeps the length, batch normalisation, ReLU.

    An even kernel has no middle: it is padded by one point less on the left, as Keras does it.
    """

    def __init__(self, in_channels, out_channels, kernel):
        super().__init__()
        self.padding = ((kernel - 1) // 2, kernel // 2)
        self.conv = nn.Conv1d(in_channels, out_channels, kernel)
        self.norm = BatchNorm1d(out_channels)

    def forward(self, x):
        return F.relu(self.norm(self.conv(F.pad(x, self.padding))))


class FCN(nn.Module):
    """Series ``(B, C, T)`` to logits ``(B, n_classes)``.

    Parameters
    ----------
    n_channels, n_classes : int
    width : int
        Filters of the first and the last block, and of features; the second has twice as many.
        128 as published.
    """

    def __init__(self, n_channels, n_classes, width):
        super().__init__()
        self.blocks = nn.Sequential(
            _Block(n_channels, width, 8), _Block(width, 2 * width, 5), _Block(2 * width, width, 3)
        )
        self.head = nn.Linear(width, n_classes)

    def forward(self, x):
        return self.head(self.represent(x))

    def represent(self, x):
        """Means over time of the last block ``(B, width)``."""
        return self.blocks(x).mean(2)
