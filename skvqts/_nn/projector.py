"""From pooled representations to the space in which self-supervised losses compare them."""

import torch
from torch import nn

from ..functional.objectives import whitening_matrix
from .layers import BatchNorm1d

_GROUP = 64  # features whitened together


class IterNorm(nn.Module):
    """Iterative normalisation (Huang et al. 2019): groups of features whitened over the batch.

    Parameters
    ----------
    width : int
        Number of features; groups have the largest size up to 64 that divides it.
    n_iterations : int
        Steps of Newton's iteration.
    momentum : float
        Of the running means and whitening matrices that inference uses.
    """

    def __init__(self, width, *, n_iterations=5, eps=1e-5, momentum=0.1):
        super().__init__()
        group = max(size for size in range(1, min(_GROUP, width) + 1) if width % size == 0)
        self.shape = width // group, group
        self.n_iterations, self.eps, self.momentum = n_iterations, eps, momentum
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))
        self.register_buffer("running_mean", torch.empty(self.shape))
        self.register_buffer("running_whitening", torch.empty(self.shape[0], group, group))

    def initialise(self, generator):
        """No shift, no scale, running statistics of white features."""
        with torch.no_grad():
            self.weight.fill_(1.0)
            self.bias.zero_()
            self.running_mean.zero_()
            self.running_whitening.copy_(torch.eye(self.shape[1]))

    def forward(self, x):
        """White features ``(B, width)``."""
        groups = x.unflatten(1, self.shape)
        mean, whitening = self._statistics(groups)
        white = torch.einsum("bgd,gde->bge", groups - mean, whitening)
        return white.flatten(1) * self.weight + self.bias

    def _statistics(self, groups):
        if not self.training or len(groups) == 1:
            return self.running_mean, self.running_whitening
        mean = groups.mean(0)
        whitening = whitening_matrix(groups - mean, self.n_iterations, self.eps)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_whitening.lerp_(whitening, self.momentum)
        return mean, whitening


class Projector(nn.Sequential):
    """Linear layers with batch normalisation and ReLU between them.

    Parameters
    ----------
    dim : int
        Dimension of the representation.
    width : int
        Of the hidden layers and of the projection.
    n_hidden : int
        Number of hidden layers; 2 in Barlow Twins, VICReg and NC-VQVAE, 1 in SimCLR and BYOL.
    whiten : bool
        End in iterative normalisation, as VIbCReg does.
    """

    def __init__(self, dim, width, *, n_hidden=2, whiten=False):
        sizes = [dim, *(width for _ in range(n_hidden))]
        layers = []
        for fan_in in sizes[:-1]:
            layers += [nn.Linear(fan_in, width), BatchNorm1d(width), nn.ReLU()]
        layers.append(nn.Linear(sizes[-1], width))
        super().__init__(*layers, *([IterNorm(width)] if whiten else []))
