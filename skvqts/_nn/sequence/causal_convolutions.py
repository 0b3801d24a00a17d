"""Gated causal convolutions of tokens, the layers of a convolutional autoregressive prior.

They are those of PixelCNN and WaveNet (van den Oord et al. 2016), which VQ-VAEs had as priors.
"""

import torch
import torch.nn.functional as F
from torch import nn

from ..layers import Dropout, Norm

_KERNEL = 3  # positions that a convolution sees, its own included
_DILATIONS = 6  # of successive layers: 1, 2, 4, ..., 32, then again from 1


class GatedConvolution(nn.Module):
    """``x + f(x)``: a dilated causal convolution, gated, which is told the class.

    ``tanh(W * x + V h) * sigmoid(W' * x + V' h)`` with the embedding h of the class (van den Oord
    et al. 2016, WaveNet, section 2.5), of a normalised input.

    Parameters
    ----------
    width : int
    index : int
        Number of the layer, which decides its dilation.
    dropout : float
    """

    def __init__(self, width, index, dropout):
        super().__init__()
        self.dilation = 2 ** (index % _DILATIONS)
        self.norm = Norm(width)
        self.taps = nn.Linear(_KERNEL * width, 2 * width)
        self.condition = nn.Linear(width, 2 * width, bias=False)
        self.join = nn.Linear(width, width)
        self.dropout = Dropout(dropout)

    def forward(self, x, told, generator=None):
        """Update tokens ``(B, n, width)`` given embeddings of classes ``(B, width)``."""
        h = self.norm(x)
        lags = [lag for lag in self._lags() if lag < x.shape[1]]
        seen = [F.pad(h[:, : h.shape[1] - lag], (0, 0, lag, 0)) for lag in lags]
        seen += [torch.zeros_like(h)] * (_KERNEL - len(lags))
        return self._updated(x, torch.cat(seen, dim=2), told[:, None], generator)

    def step(self, x, told, past):
        """Update the token ``(B, width)`` that comes after some, whose inputs are in a list.

        Its own is added to the list. What it computes is what `forward` does, without that of the
        tokens before.
        """
        past.append(self.norm(x))
        seen = [
            past[-1 - lag] if lag < len(past) else torch.zeros_like(past[0]) for lag in self._lags()
        ]
        return self._updated(x, torch.cat(seen, dim=1), told)

    def _lags(self):
        return [self.dilation * tap for tap in range(_KERNEL)]

    def _updated(self, x, seen, told, generator=None):
        candidate, gate = (self.taps(seen) + self.condition(told)).chunk(2, dim=-1)
        return x + self.dropout(self.join(candidate.tanh() * gate.sigmoid()), generator)


class OneByOne:
    """The logits of a convolutional band prior, token by token: nothing is computed twice.

    Each layer keeps its inputs of the tokens before (Paine et al. 2016, fast WaveNet generation).

    Parameters
    ----------
    band : BandPrior
        Whose blocks are `GatedConvolution`.
    classes : int64 Tensor of shape (B,)
    """

    def __init__(self, band, classes):
        self.band = band
        self.told = F.embedding(classes, band.classes)
        self.pasts = [[] for _ in band.blocks]
        self.n_fed = 0
        self.last = self._through(self.told)

    def feed(self, ids):
        """Take the next tokens ``(B,)``, of this band or one before it."""
        vectors = self.band.embed(F.embedding(ids, self.band.codes))
        self.last = self._through(vectors + self.band.positions[self.n_fed])
        self.n_fed += 1

    def logits(self):
        """Logits ``(B, K)`` of the token after those that were fed."""
        position = self.n_fed - (len(self.band.positions) - self.band.n_tokens)
        return self.band.head(self.band.norm(self.last)) + self.band.bias[position]

    def _through(self, x):
        for block, past in zip(self.band.blocks, self.pasts, strict=True):
            x = block.step(x, self.told, past)
        return x
