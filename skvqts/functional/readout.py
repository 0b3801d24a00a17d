"""Feature vectors of fixed length from tokens and latents.

Latents are ``(B, N, D)``: N tokens of D dimensions; ids are ``(B, N)`` int64.
"""

import torch
import torch.nn.functional as F

_THRESHOLDS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # in standard deviations


def one_hot(ids, n_codes):
    """Float32 ``(B, N * K)`` with a 1 at the code of each token."""
    return F.one_hot(ids, n_codes).flatten(1).float()


def bag_of_codes(ids, n_codes):
    """Float32 ``(B, K)``, the share of each code among the tokens of a series."""
    counts = torch.zeros(len(ids), n_codes, dtype=torch.float32, device=ids.device)
    return counts.scatter_add_(1, ids, torch.ones_like(ids, dtype=counts.dtype)) / ids.shape[1]


def pool(z, statistics, levels):
    """Statistics of the latents over equal parts of the time axis.

    Parameters
    ----------
    z : Tensor of shape (B, N, D)
    statistics : sequence of str
        "mean", "max", "min" and "std".
        "variation" is the mean absolute difference of neighbouring tokens, 0 for one.
        "shares" are the shares of tokens above each of -2, -1, -0.5, 0, 0.5, 1 and 2: the
        distribution of standardised values in seven numbers (after the share of positive values
        of Dempster et al. 2020).
        "positions" are the mean positions of positive and of negative tokens, from 0 to 1, and -1
        where there is none; "stretches" are the lengths of the longest runs of both, as shares
        of the tokens (after Tan et al. 2022).
    levels : sequence of int
        Each level cuts the axis into that many parts (or one per token, if there are fewer
        tokens), and each statistic is taken of each part.

    Returns
    -------
    features : Tensor of shape (B, n_parts * n_statistics * D)
        "shares" counts as seven statistics, "positions" and "stretches" as two each.
    """
    parts = [part for level in levels for part in z.tensor_split(min(level, z.shape[1]), dim=1)]
    return torch.cat([_STATISTICS[name](part) for part in parts for name in statistics], dim=1)


def pooled_latents(latents):
    """Means, deviations and mean differences over all tokens and quarters of them ``(B, 15 D)``."""
    return pool(latents, ("mean", "std", "variation"), (1, 4))


def pooled_features(latents, activations):
    """Pooled latents beside pooled activations of the encoder's inner layers.

    Parameters
    ----------
    latents : Tensor of shape (B, N, D)
    activations : list of Tensors of shape (B, M, C)
        Standardised.
    """
    statistics = ("max", "min", "std", "shares", "positions", "stretches")
    parts = [pooled_latents(latents)]
    parts += [pool(of_layer, statistics, (1,)) for of_layer in activations]
    return torch.cat(parts, dim=1)


def _std(z):
    return (z - z.mean(1, keepdim=True)).square_().mean(1).sqrt_()


def _shares(z):
    above = torch.empty_like(z, requires_grad=False)
    return torch.cat([torch.gt(z, t, out=above).mean(1) for t in _THRESHOLDS], dim=1)


def _positions(z):
    """Mean positions of positive and negative values."""
    positions = (torch.arange(z.shape[1], device=z.device, dtype=z.dtype) + 0.5) / z.shape[1]
    return torch.cat([_mean_position(sign, positions) for sign in _signs(z)], dim=1)


def _mean_position(chosen, positions):
    count = chosen.sum(1)
    total = torch.einsum("bnd,n->bd", chosen, positions)
    return torch.where(count > 0, total / count.clamp(min=1), -1.0)


def _stretches(z):
    """Longest runs of positive and negative values, as shares of the tokens."""
    return torch.cat([_longest_run(sign) for sign in _signs(z)], dim=1) / z.shape[1]


def _longest_run(chosen):
    run = longest = torch.zeros_like(chosen[:, 0])
    for column in chosen.unbind(1):
        run = (run + 1) * column  # back to 0 where the run breaks
        longest = torch.maximum(longest, run)
    return longest


def _signs(z):
    """Two tensors: 1 where values are positive, and 1 where they are negative."""
    return (z > 0).to(z.dtype), (z < 0).to(z.dtype)


_STATISTICS = {
    "mean": lambda z: z.mean(1),
    "max": lambda z: z.amax(1),
    "min": lambda z: z.amin(1),
    "std": _std,
    "variation": lambda z: z.diff(dim=1).abs().sum(1) / max(1, z.shape[1] - 1),
    "shares": _shares,
    "positions": _positions,
    "stretches": _stretches,
}
