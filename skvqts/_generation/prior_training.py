"""What a training step of a prior does: tokens hidden, or not, and predicted."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn

from .._base import Task
from .._nn.prior import dropping
from ..functional.masking import (
    draw_counts,
    draw_masks,
    masked_cross_entropy,
    stratified_masks,
)

_ROWS = 1024  # token sequences of an epoch, at least
_JUDGED = 512  # held-out token sequences with masks, at least


class PriorTask(Task):
    """Masked modelling of the tokens of each band, given those of the bands before.

    A running mean of the weights is kept; it is what held-out likelihood is measured with, and what
    the network becomes in the end.

    Parameters
    ----------
    prior : Prior
    schedule : str or None
        Of the masks; None for a causal prior, which needs none.
    p_unconditional : float
        Probability that a training step does not see the class of a series.
    ema_decay : float
    code_temperature : float
        Above 0, the tokens of a step are drawn: softmax of minus squared distances over it.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(self, prior, schedule, p_unconditional, ema_decay, code_temperature, generator):
        self.prior, self.average = prior, deepcopy(prior).requires_grad_(False)
        super().__init__(nn.ModuleList([self.prior, self.average]))
        self.schedule, self.p_unconditional = schedule, p_unconditional
        self.ema_decay, self.code_temperature = ema_decay, code_temperature
        self.generator, self.taken = generator, 0

    def losses(self, ids, classes, *rest):
        if not self.prior.training:
            return {"prior": self._judged(ids, classes, *rest)}
        if rest:
            ids = self._drawn(ids, *rest)
        with dropping(self.generator):
            return {"prior": self._trained(ids, self._some_unknown(classes))}

    def _trained(self, ids, classes):
        total = 0.0
        for band, n_tokens in enumerate(self.prior.n_tokens):
            masks = self._masks(len(ids), n_tokens).to(ids.device)
            losses = _cross_entropy(self.prior, band, ids, masks, classes)
            total = total + n_tokens * masked_cross_entropy(losses, masks, self.schedule)
        return total / ids.shape[1]

    def _masks(self, n_rows, n_tokens):
        if self.schedule is None:
            return torch.ones(n_rows, n_tokens, dtype=torch.bool, device="cpu")
        counts = draw_counts(n_rows, n_tokens, self.schedule, self.generator)
        return draw_masks(counts, n_tokens, self.generator)

    def _judged(self, ids, classes, masks):
        """Negative likelihood bound per token of held-out sequences, by masks that stay."""
        total = 0.0
        for band, mine in enumerate(masks.split(self.prior.n_tokens, dim=1)):
            losses = _cross_entropy(self.average, band, ids, mine, classes)
            total = total + mine.shape[1] * masked_cross_entropy(losses, mine, "likelihood")
        return total / ids.shape[1]

    def _some_unknown(self, classes):
        unknown = torch.rand(
            len(classes), generator=self.generator, device="cpu", dtype=torch.float32
        )
        unknown = (unknown < self.p_unconditional).to(classes.device)
        return classes.masked_fill(unknown, self.prior.nobody)

    def _drawn(self, ids, distances):
        """Tokens drawn by their distances; those of other bands are infinitely far."""
        nearest = distances.amin(-1, keepdim=True)  # at 0, or small temperatures underflow
        shares = F.softmax((nearest - distances) / self.code_temperature, dim=-1)
        noise = torch.empty(shares.shape, device="cpu", dtype=shares.dtype).exponential_(
            generator=self.generator
        )
        return (shares / noise.to(shares.device)).argmax(-1)

    @torch.no_grad()
    def after_step(self):
        self.taken += 1
        decay = min(self.ema_decay, self.taken / (self.taken + 9))
        averages, weights = list(self.average.parameters()), list(self.prior.parameters())
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def finish(self, *data):
        self.prior.load_state_dict(self.average.state_dict())


def _cross_entropy(prior, band, ids, masks, classes):
    """Of each token ``(B, N_b)`` of a band."""
    start, stop = prior.span(band)
    targets = ids[:, start:stop] - prior.bands[band].first_code
    logits = prior.logits(band, ids, masks, classes).float()
    return F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")


def repeated(n_rows):
    """Rows of an epoch, as indices: small training sets are gone through several times."""
    return torch.arange(max(1, -(-_ROWS // n_rows)) * n_rows, device="cpu") % n_rows


def judged(n_rows, n_tokens, causal, generator):
    """Held-out rows, as indices, and the masks ``(rows, N)`` they are judged by.

    Each row comes several times where there are few, its mask counts spread evenly.

    Parameters
    ----------
    n_rows : int
    n_tokens : sequence of int
        Of each band.
    causal : bool
        Then nothing is masked, all tokens being judged at once.
    """
    if causal:
        rows = torch.arange(n_rows, device="cpu")
        return rows, torch.ones(n_rows, sum(n_tokens), dtype=torch.bool, device="cpu")
    times = max(4, -(-_JUDGED // n_rows))
    masks = [
        torch.cat([stratified_masks(n, times, generator)[0] for n in n_tokens], dim=1)
        for _ in range(n_rows)
    ]
    return torch.arange(n_rows, device="cpu").repeat_interleave(times), torch.cat(masks)
