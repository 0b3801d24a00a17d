"""Iterative decoding of token sequences: how tokens are drawn, and in which order they are kept.

All masked tokens are drawn in parallel, some of them are kept, and the others stay masked for the
next step (Chang et al. 2022, MaskGIT, section 3.2). What predicts the tokens is passed as a
callable.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .masking import masked_counts, ranks

ORDERS = ("confidence", "low_discrepancy", "random")


@dataclass(frozen=True)
class Decoding:
    """How tokens are revealed.

    Parameters
    ----------
    n_steps : int
    temperature : float
        Temperature of the softmax that tokens are drawn from; 0 takes the most probable one.
    order : {"confidence", "random"} or int64 Tensor of shape (N,)
        A tensor is a fixed order of the tokens, beginning with the one to reveal first.
    choice_temperature : float
        Size of the noise in the order "confidence".
    schedule : {"cosine", "linear", "square"}
        Share of tokens that is masked along the steps.
    """

    n_steps: int
    temperature: float
    order: str | torch.Tensor
    choice_temperature: float
    schedule: str


def fill(predict, ids, mask, decoding, uniforms, *, from_scratch=False):
    """Draw the masked tokens, revealing some in each step.

    Parameters
    ----------
    predict : callable
        ``predict(ids, mask, progress)`` gives logits ``(B, N, K)`` of all tokens; `ids` are
        undefined where `mask` is True, `progress` is the share of steps taken before.
    ids : int64 Tensor of shape (B, N)
    mask : bool Tensor of shape (B, N)
        True where a token is to be drawn; the other tokens never change.
    decoding : Decoding
    uniforms : float64 Tensor of shape (n_steps, 2, B, N)
        Numbers in [0, 1), the only source of randomness.
    from_scratch : bool
        All tokens are masked at first, so that a step draws equally many in every row. Only those
        are predicted then: ``predict(ids, mask, progress, positions)`` gives logits ``(B, m, K)``
        at positions ``(B, m)``.

    Returns
    -------
    ids : int64 Tensor of shape (B, N)
    """
    n_masked = mask.sum(1)
    by_confidence = decoding.order == "confidence"
    rank = None if by_confidence else _reveal_ranks(mask, decoding, uniforms)
    left_before = n_masked
    for step, left in enumerate(masked_counts(n_masked, decoding.n_steps, decoding.schedule)):
        if torch.equal(left, left_before):
            continue  # nothing is revealed, so there is nothing to predict
        # Of a fixed order only what this step reveals, or else what it may reveal.
        wanted = mask if by_confidence else mask & (rank < (n_masked - left)[:, None])
        given = (ids, mask, step / decoding.n_steps)
        if from_scratch:
            positions = wanted.nonzero()[:, 1].view(len(ids), -1)
            u = uniforms[step, 0].gather(1, positions)
            drawn, log_p = draw_tokens(predict(*given, positions), u, decoding.temperature)
            drawn = ids.scatter(1, positions, drawn)
            log_p = log_p.new_zeros(ids.shape).scatter(1, positions, log_p)
        else:
            drawn, log_p = draw_tokens(predict(*given), uniforms[step, 0], decoding.temperature)
        ids = torch.where(wanted, drawn, ids)
        if by_confidence:
            progress = (step + 1) / decoding.n_steps
            sure = confidence(log_p, uniforms[step, 1], decoding.choice_temperature, progress)
            # Known tokens rank first, so that ranks continue behind those revealed so far; the
            # tokens that were never masked do not count.
            known_first = ranks(-sure.masked_fill(~mask, torch.inf))
            rank = known_first - (ids.shape[1] - n_masked)[:, None]
        mask = mask & (rank >= (n_masked - left)[:, None])
        left_before = left
    return ids


def replay(predict, ids, decoding):
    """Log-probability, in nats, that :func:`fill` draws `ids` when all tokens are masked.

    Tokens revealed in one step are drawn independently of each other given those before, so the
    product over steps is exact for an order that does not depend on the tokens drawn, such as
    that of Besnier et al. 2025.

    Parameters
    ----------
    predict : callable
        The function that :func:`fill` is given.
    ids : int64 Tensor of shape (B, N)
    decoding : Decoding
        Its order must be a tensor and its temperature above 0.

    Returns
    -------
    log_likelihood : float64 Tensor of shape (B,)
    """
    mask = torch.ones_like(ids, dtype=torch.bool)
    n_masked = mask.sum(1)
    rank = _reveal_ranks(mask, decoding, None)
    log_likelihood = torch.zeros(len(ids), dtype=torch.float64, device=ids.device)
    for step, left in enumerate(masked_counts(n_masked, decoding.n_steps, decoding.schedule)):
        still_masked = mask & (rank >= (n_masked - left)[:, None])
        revealed = mask & ~still_masked
        if not revealed.any():
            continue
        logits = predict(ids, mask, step / decoding.n_steps).double() / decoding.temperature
        log_p = F.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0]
        log_likelihood += (log_p * revealed).sum(1)
        mask = still_masked
    return log_likelihood


def _reveal_ranks(mask, decoding, uniforms):
    """Rank of each masked token in the order that its row is revealed in, 0 for the first."""
    if decoding.order == "random":
        # One draw for all steps: a random order is fixed before the first step.
        keys = uniforms[0, 1]
    else:
        # The inverse permutation: the place of each token in the order.
        keys = decoding.order.argsort().to(mask.device).expand(mask.shape).double()
    return ranks(keys.masked_fill(~mask, torch.inf))


def draw_tokens(logits, uniforms, temperature=1.0):
    """Tokens of ``softmax(logits / temperature)`` by inversion of the distribution, in float64.

    Parameters
    ----------
    logits : Tensor of shape (..., K)
    uniforms : float64 Tensor of shape (...)
        Numbers in [0, 1).
    temperature : float
        0 takes the most probable token.

    Returns
    -------
    ids : int64 Tensor of shape (...)
    log_probabilities : float32 Tensor of shape (...)
        Log-probabilities of the drawn tokens at temperature 1.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    if temperature == 0:
        ids = log_p.argmax(-1)
    else:
        cumulative = F.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
        # The last sum is 1 only up to rounding.
        heights = uniforms[..., None] * cumulative[..., -1:]
        ids = torch.searchsorted(cumulative, heights, right=True)[..., 0]
        ids = ids.clamp(max=logits.shape[-1] - 1)
    return ids, log_p.gather(-1, ids[..., None])[..., 0]


def confidence(log_probabilities, uniforms, choice_temperature, progress):
    """How sure each drawn token is, with noise that vanishes towards the end.

    ``log(p + 1e-5) + choice_temperature (1 - progress) Gumbel``, as in the code of TimeVQVAE (Lee
    et al. 2023), after MaskGIT.

    Parameters
    ----------
    log_probabilities : Tensor of shape (B, N)
    uniforms : float64 Tensor of shape (B, N)
        Numbers in [0, 1).
    choice_temperature : float
        Size of the noise at the beginning.
    progress : float
        Share of steps taken, the present one included.
    """
    gumbel = -torch.log(-torch.log(uniforms.clamp(min=1e-300)))
    noise = choice_temperature * (1 - progress) * gumbel
    return (log_probabilities.double().exp() + 1e-5).log() + noise


def low_discrepancy_order(rows, columns):
    """The cells of a grid in the order of a Halton sequence: early cells lie far apart.

    The sequence is van der Corput's in base 2 along the columns and in base 3 along the rows;
    cells that it has visited before are skipped (Besnier et al. 2025, Halton scheduler).

    Returns
    -------
    order : int64 Tensor of shape (rows * columns,)
        Cells in row-major numbering, beginning with the one to reveal first.
    """
    order, seen = [], set()
    index = 0
    while len(order) < rows * columns:
        cell = _halton_cell(index, 3, rows) * columns + _halton_cell(index, 2, columns)
        if cell not in seen:
            seen.add(cell)
            order.append(cell)
        index += 1
    return torch.tensor(order, device="cpu")


def _halton_cell(index, base, n_cells):
    """Which of `n_cells` equal parts of [0, 1) holds the radical inverse of `index`.

    The radical inverse mirrors the digits of a number at the point: 0.011 of 110 in base 2.
    """
    mirrored, scale = 0, 1  # integers, as fractions in base 3 are no exact floats
    while index:
        index, digit = divmod(index, base)
        mirrored = mirrored * base + digit
        scale *= base
    return mirrored * n_cells // scale
