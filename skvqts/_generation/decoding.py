"""The loop that fills masked tokens, whatever predicts them, and the likelihood of its replay."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..functional.decoding import confidence, draw_tokens
from ..functional.masking import masked_counts, ranks


@dataclass(frozen=True)
class Decoding:
    """How tokens are revealed.

    Parameters
    ----------
    n_steps : int
    temperature : float
    order : {"confidence", "random"} or int64 Tensor of shape (N,)
        A tensor is a fixed order, the token revealed first at its start.
    choice_temperature : float
        Of the order "confidence".
    schedule : {"cosine", "linear", "square"}
        Share of tokens that is masked along the steps.
    """

    n_steps: int
    temperature: float
    order: str | torch.Tensor
    choice_temperature: float
    schedule: str


def fill(predict, ids, mask, decoding, uniforms):
    """Draw the masked tokens, some in each step, the others staying masked for the next.

    Parameters
    ----------
    predict : callable
        ``predict(ids, mask, progress)`` gives logits ``(B, N, K)`` of all tokens; `ids` are
        undefined where `mask` is True, `progress` is the share of steps taken before.
    ids : int64 Tensor of shape (B, N)
    mask : bool Tensor of shape (B, N)
        What is to be drawn; the other tokens never change.
    decoding : Decoding
    uniforms : float64 Tensor of shape (n_steps, 2, B, N)
        In [0, 1): all randomness.

    Returns
    -------
    ids : int64 Tensor of shape (B, N)
    """
    total, place = mask.sum(1), _places(mask, decoding, uniforms)
    left_before = total
    for step, left in enumerate(masked_counts(total, decoding.n_steps, decoding.schedule)):
        if torch.equal(left, left_before):
            continue
        logits = predict(ids, mask, step / decoding.n_steps)
        drawn, log_p = draw_tokens(logits, uniforms[step, 0], decoding.temperature)
        ids = torch.where(mask, drawn, ids)
        if decoding.order == "confidence":
            progress = (step + 1) / decoding.n_steps
            sure = confidence(log_p, uniforms[step, 1], decoding.choice_temperature, progress)
            known_first = ranks(-sure.masked_fill(~mask, torch.inf))
            place = known_first - (ids.shape[1] - total)[:, None]
        mask = mask & (place >= (total - left)[:, None])
        left_before = left
    return ids


def replay(predict, ids, decoding):
    """Log-probability, in nats, with which :func:`fill` draws `ids` from nothing in a fixed order.

    Tokens revealed in one step are drawn independently of each other given those before, so the
    product over steps is exact (Besnier et al. 2025 use such an order).

    Parameters
    ----------
    predict : callable
    ids : int64 Tensor of shape (B, N)
    decoding : Decoding
        With a fixed order and a temperature above 0.

    Returns
    -------
    log_likelihood : float64 Tensor of shape (B,)
    """
    mask = torch.ones_like(ids, dtype=torch.bool)
    total, place = mask.sum(1), _places(mask, decoding, None)
    log_likelihood = torch.zeros(len(ids), dtype=torch.float64, device=ids.device)
    for step, left in enumerate(masked_counts(total, decoding.n_steps, decoding.schedule)):
        after = mask & (place >= (total - left)[:, None])
        revealed = mask & ~after
        if not revealed.any():
            continue
        logits = predict(ids, mask, step / decoding.n_steps).double() / decoding.temperature
        log_p = F.log_softmax(logits, dim=-1).gather(-1, ids[..., None])[..., 0]
        log_likelihood += (log_p * revealed).sum(1)
        mask = after
    return log_likelihood


def _places(mask, decoding, uniforms):
    """Place of each masked token in its row's order of revelation, from 0; None if it unfolds."""
    if isinstance(decoding.order, str):
        if decoding.order == "confidence":
            return None
        value = uniforms[0, 1]
    else:
        value = decoding.order.argsort().to(mask.device).expand(mask.shape).double()
    return ranks(value.masked_fill(~mask, torch.inf))
