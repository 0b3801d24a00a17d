"""Codes slid along series, and statistics of the activations: who wins, and who is above."""

import torch
import torch.nn.functional as F

N_STATISTICS = 4  # columns of a code: as winner, as loser, and the shares above two thresholds
_LEAST = 1e-4  # activation that wins: windows without contrast have rounding errors


def activations(z, codes, channels, dilation):
    """Correlations of codes with the windows around every position.

    Parameters
    ----------
    z : Tensor of shape (B, C, T)
    codes : Tensor of shape (G, K, W)
        K codes of an odd number of W points in each of G codebooks.
    channels : bool Tensor of shape (G, C)
        The channels whose sum each codebook sees.
    dilation : int
        Distance of the points of a window.

    Returns
    -------
    a : Tensor of shape (B, G, K, T)
        Outside of the series there are zeros.
    """
    n_codebooks, n_codes, width = codes.shape
    half = dilation * (width // 2)
    padded = F.pad(z, (half, half))
    if z.shape[1] == 1:
        a = codes.flatten(0, 1) @ _windows(padded[:, 0], width, dilation)
        return a.unflatten(1, (n_codebooks, n_codes))
    sums = torch.einsum("gc,bct->bgt", channels.to(z.dtype), padded)
    return codes @ _windows(sums, width, dilation)


def _windows(padded, width, dilation):
    """The points of the windows of padded series ``(..., T + 2 p)``: a view ``(..., W, T)``."""
    return padded.unfold(-1, padded.shape[-1] - dilation * (width - 1), dilation)


def code_statistics(a, thresholds, inside=None):
    """How often and how strongly codes fit best, and how often they fit well.

    Parameters
    ----------
    a : Tensor of shape (B, G, K, T)
        Activations of K codes in each of G codebooks.
    thresholds : Tensor of shape (G, K, 2)
    inside : bool Tensor of shape (B, T) or None
        The positions that count; None: all.

    Returns
    -------
    statistics : Tensor of shape (B, G, K, 4)
        The square root of the sum of activations where a code is the highest of its codebook, as a
        share of the positions; the square root of the share of positions where it is the lowest
        (both after Hydra, Dempster et al. 2023); and the shares of positions where it is above
        each of its thresholds (after MiniRocket, Dempster et al. 2021).
    """
    # Comparisons are written as 0 and 1 to one buffer: sums of floats are far faster than of bools.
    buffer = torch.empty_like(a)
    counted = float(a.shape[3]) if inside is None else inside.sum(1).to(a.dtype)[:, None, None]
    highest, lowest = a.amax(2, keepdim=True), a.amin(2, keepdim=True)
    wins, loses = highest > _LEAST, lowest < -_LEAST
    if inside is not None:
        wins, loses = wins & inside[:, None, None], loses & inside[:, None, None]
    torch.ge(a, highest.where(wins, torch.inf), out=buffer)
    strength = buffer.mul_(a).sum(3)
    count = torch.le(a, lowest.where(loses, -torch.inf), out=buffer).sum(3)
    if inside is not None:
        a = a.masked_fill(~inside[:, None, None], -torch.inf)
    above = [torch.gt(a, level[..., None], out=buffer).sum(3) for level in thresholds.unbind(2)]
    strength, count, *above = (total / counted for total in (strength, count, *above))
    return torch.stack([strength.sqrt(), count.sqrt(), *above], dim=3)
