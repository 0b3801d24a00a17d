"""Masks of token sequences: how many tokens are hidden, which, and with what weight.

This is masked modelling of tokens (Chang et al. 2022, MaskGIT, sections 3.1 and 3.3) with schedules
stated as the share of tokens that is *masked*. A mask is True where a token is hidden.
"""

import math

import torch

_SHARES = {
    "cosine": lambda u: torch.cos(math.pi / 2 * u),
    "linear": lambda u: 1 - u,
    "square": lambda u: 1 - u * u,
}
SCHEDULES = tuple(_SHARES)
_ROUNDING = 1e-9  # share times tokens may lie this far below the whole number that it should be


def masked_share(u, schedule):
    """Share of tokens that is masked at time `u`: from 1 at 0 to 0 at 1.

    Parameters
    ----------
    u : Tensor
        In [0, 1].
    schedule : {"cosine", "linear", "square"}
    """
    return _SHARES[schedule](u)


def masked_counts(n_tokens, n_steps, schedule):
    """Number of tokens that stay masked after each step of iterative decoding.

    It is ``floor(N share(i / T))`` for i = 1..T, as in the code of TimeVQVAE (Lee et al. 2023).

    Parameters
    ----------
    n_tokens : int64 Tensor of shape (B,)
        Number of tokens that are masked before the first step.
    n_steps : int
    schedule : {"cosine", "linear", "square"}

    Returns
    -------
    counts : int64 Tensor of shape (n_steps, B)
        The last row is 0.
    """
    u = torch.arange(1, n_steps + 1, dtype=torch.float64, device=n_tokens.device) / n_steps
    shares = masked_share(u, schedule)
    shares[-1] = 0.0
    return (shares[:, None] * n_tokens + _ROUNDING).floor().long()


def draw_counts(n_rows, n_tokens, schedule, generator):
    """Number of tokens to mask in each row of a training batch, at least one: int64 ``(n_rows,)``.

    With the schedule "likelihood", all numbers from 1 to `n_tokens` are equally likely.
    """
    u = torch.rand(n_rows, generator=generator, device="cpu", dtype=torch.float32)
    share = masked_share(u, "linear" if schedule == "likelihood" else schedule)
    # 1 - u is in (0, 1], so "linear" makes all numbers from 1 to N equally likely.
    return (share * n_tokens).ceil().long().clamp(1, n_tokens)


def draw_masks(counts, n_tokens, generator):
    """Masks ``(B, n_tokens)`` that hide ``counts`` tokens each, chosen uniformly at random."""
    noise = torch.rand(
        len(counts), n_tokens, generator=generator, device="cpu", dtype=torch.float32
    )
    return ranks(noise) < counts[:, None]


def ranks(values):
    """Rank of each value within its row, 0 for the smallest; ties in the order of columns."""
    return values.argsort(dim=1, stable=True).argsort(dim=1, stable=True)


def stratified_masks(n_tokens, n_masks, generator):
    """Masks for the likelihood bound, with counts of hidden tokens spread evenly over 1..N.

    Returns
    -------
    masks : bool Tensor of shape (n_masks, n_tokens)
    weights : float64 Tensor of shape (n_masks,)
        ``N / (m n_masks)`` for a mask that hides m tokens, as :func:`likelihood_bound` takes it.
    """
    # Stratified sampling: one uniform draw in each of `n_masks` equal parts of [0, 1).
    u = torch.rand(n_masks, generator=generator, device="cpu", dtype=torch.float64)
    u = (u + torch.arange(n_masks, device="cpu")) / n_masks
    # Rounding may bring u to 1.
    counts = (1 + (u * n_tokens).long()).clamp(max=n_tokens)
    return draw_masks(counts, n_tokens, generator), n_tokens / (counts.double() * n_masks)


def likelihood_bound(log_probabilities, masks, weights):
    """Lower bound of the log-likelihood of token sequences, in nats.

    ``sum_m 1/m E_masks[sum_masked log p(s_i | visible)]`` is the mean log-likelihood over all
    orders in which tokens can be revealed one by one (Uria et al. 2014; Ou et al. 2024), which by
    Jensen's inequality is at most the log of the mean likelihood.

    Parameters
    ----------
    log_probabilities : Tensor of shape (M, B, N)
        Log-probabilities of the tokens of each row, given those that each mask leaves visible.
    masks : bool Tensor of shape (M, N)
    weights : Tensor of shape (M,)

    Returns
    -------
    bound : float64 Tensor of shape (B,)
    """
    hidden = log_probabilities.double() * masks[:, None]
    return (hidden.sum(2) * weights[:, None]).sum(0)


def masked_cross_entropy(losses, masks, schedule):
    """Mean loss of the hidden tokens of a training batch (Chang et al. 2022, eq. 1).

    Parameters
    ----------
    losses : Tensor of shape (B, N)
        Cross-entropy of every token.
    masks : bool Tensor of shape (B, N)
        A row that hides none does not count.
    schedule : str
        With "likelihood" every row counts the same, however many tokens it hides, and the mean
        over draws is the negative of :func:`likelihood_bound` per token.

    Returns
    -------
    loss : scalar Tensor
    """
    hidden = losses * masks
    if schedule == "likelihood":
        n_hidden = masks.sum(1)
        return (hidden.sum(1) / n_hidden.clamp(min=1)).sum() / (n_hidden > 0).sum().clamp(min=1)
    return hidden.sum() / masks.sum().clamp(min=1)
