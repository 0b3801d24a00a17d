"""Iterative decoding of token sequences: drawing tokens, and the order they are revealed in."""

import torch
import torch.nn.functional as F

ORDERS = ("confidence", "low_discrepancy", "random")


def draw_tokens(logits, uniforms, temperature=1.0):
    """Tokens of ``softmax(logits / temperature)`` by inversion of the distribution, in float64.

    Parameters
    ----------
    logits : Tensor of shape (..., K)
    uniforms : float64 Tensor of shape (...)
        In [0, 1).
    temperature : float
        0 takes the most probable token.

    Returns
    -------
    ids : int64 Tensor of shape (...)
    log_probabilities : float32 Tensor of shape (...)
        Of the drawn tokens, at temperature 1.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    if temperature == 0:
        ids = log_p.argmax(-1)
    else:
        cumulative = F.softmax(logits.double() / temperature, dim=-1).cumsum(-1)
        heights = uniforms[..., None] * cumulative[..., -1:]
        ids = torch.searchsorted(cumulative, heights, right=True)[..., 0]
        ids = ids.clamp(max=logits.shape[-1] - 1)
    return ids, log_p.gather(-1, ids[..., None])[..., 0]


def confidence(log_probabilities, uniforms, choice_temperature, progress):
    """How sure each drawn token is, with noise that vanishes towards the end (MaskGIT).

    ``log(p + 1e-5) + choice_temperature (1 - progress) Gumbel``, as published.

    Parameters
    ----------
    log_probabilities : Tensor of shape (B, N)
    uniforms : float64 Tensor of shape (B, N)
        In [0, 1).
    choice_temperature : float
    progress : float
        Share of steps taken, the present one included.
    """
    gumbel = -torch.log(-torch.log(uniforms.clamp(min=1e-300)))
    noise = choice_temperature * (1 - progress) * gumbel
    return (log_probabilities.double().exp() + 1e-5).log() + noise


def low_discrepancy_order(rows, columns):
    """The cells of a grid in the order of a Halton sequence: early cells lie far apart.

    Van der Corput's sequence in base 2 along the columns, in base 3 along the rows; cells that it
    has visited are skipped (Besnier et al. 2025, Halton scheduler).

    Returns
    -------
    order : int64 Tensor of shape (rows * columns,)
        Cells in row-major numbering, the first to be revealed first.
    """
    seen, order, index = set(), [], 0
    while len(order) < rows * columns:
        row, column = _place(index, 3, rows), _place(index, 2, columns)
        cell, index = row * columns + column, index + 1
        if cell not in seen:
            seen.add(cell)
            order.append(cell)
    return torch.tensor(order, device="cpu")


def _place(index, base, n):
    """Which of n cells the radical inverse of `index` lies in: its digits behind the point."""
    mirrored, scale = 0, 1
    while index:
        index, digit = divmod(index, base)
        mirrored, scale = mirrored * base + digit, scale * base
    return mirrored * n // scale
