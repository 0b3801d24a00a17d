"""Networks that classify: the fully convolutional one, a linear layer on an encoder, a GRU."""

import torch
import torch.nn.functional as F
from torch import nn

from ..functional.gaps import ends, lasting
from .encoders import make_encoder, tokens_inside
from .layers import BatchNorm1d
from .self_supervision import mean_and_maximum


class _ConvBlock(nn.Module):
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
    """Series ``(B, C, T)`` to logits ``(B, n_classes)`` (Wang, Yan and Oates 2017).

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
            _ConvBlock(n_channels, width, 8),
            _ConvBlock(width, 2 * width, 5),
            _ConvBlock(2 * width, width, 3),
        )
        self.head = nn.Linear(width, n_classes)

    def forward(self, x):
        return self.head(self.represent(x))

    def represent(self, x):
        """Means over time of the last block ``(B, width)``."""
        return self.blocks(x).mean(2)


class EncoderClassifier(nn.Module):
    """Series ``(B, C, T)`` to logits ``(B, n_classes)``: a linear layer on pooled latents.

    Parameters
    ----------
    encoder : nn.Module
        Its call gives latents ``(B, N, D)`` of series; it has `latent_dim`.
    n_classes : int
    """

    def __init__(self, encoder, n_classes):
        super().__init__()
        self.encoder = encoder
        n_features = 2 * encoder.latent_dim
        self.head = nn.Sequential(
            BatchNorm1d(n_features, affine=False), nn.Linear(n_features, n_classes)
        )

    def forward(self, x):
        return self.head(self.represent(x))

    def represent(self, x):
        """Pooled latents ``(B, 2 D)``."""
        lengths = ends(x)
        latents = self.encoder(lasting(x, lengths))
        return mean_and_maximum(latents, tokens_inside(self.encoder, lengths))


def make_encoder_classifier(n_classes, **architecture):
    """A classifier on a new encoder, whose sizes are those of `make_encoder`."""
    return EncoderClassifier(make_encoder(**architecture), n_classes)


class ClassificationStep(nn.Module):
    """Mean negative log-probability of the classes: the cross-entropy of a network's logits.

    With weights of the series, each counts by its weight; those of the training set have mean 1.

    Parameters
    ----------
    network : nn.Module
        From inputs to logits.
    learning_rates : sequence of (nn.Module, float)
        Parts of it that learn at another rate.
    """

    def __init__(self, network, learning_rates=()):
        super().__init__()
        self.network = network
        self.learning_rates = learning_rates

    def forward(self, x, classes, weights=None):
        logits = self.network(x).float()
        if weights is None:
            return {"cross_entropy": F.cross_entropy(logits, classes)}
        losses = F.cross_entropy(logits, classes, reduction="none")
        return {"cross_entropy": (weights * losses).mean()}


class GRUDiscriminator(nn.Module):
    """Series ``(B, C, T)`` to the log-odds ``(B,)`` that they are real (Yoon et al. 2019).

    A layer of gated recurrent units reads a series in the order of time; a linear layer judges its
    last state.

    Parameters
    ----------
    n_channels, n_units : int
    """

    def __init__(self, n_channels, n_units):
        super().__init__()
        self.recurrent = nn.GRU(n_channels, n_units, batch_first=True)
        self.head = nn.Linear(n_units, 1)

    def forward(self, x):
        _, last_state = self.recurrent(x.transpose(1, 2))  # (1, B, n_units)
        return self.head(last_state[0])[:, 0]


class DiscriminationStep(nn.Module):
    """Mean negative log-probability of "real" for real series, of "generated" for the others.

    Parameters
    ----------
    discriminator : nn.Module
        From series to the log-odds that they are real.
    """

    def __init__(self, discriminator):
        super().__init__()
        self.discriminator = discriminator

    def forward(self, real, generated):
        # One call for both, as the recurrence over time takes as long for twice the series.
        log_odds = self.discriminator(torch.cat([real, generated]))
        of_real, of_generated = log_odds.split([len(real), len(generated)])
        return {"real": F.softplus(-of_real).mean(), "generated": F.softplus(of_generated).mean()}
