"""Feature vectors of fixed length from tokens and latents.

Latents are ``(B, N, D)``: N tokens of D dimensions; ids are ``(B, N)`` int64.
"""

import torch
import torch.nn.functional as F

_PARTS = (1, 2, 4, 8, 16)  # of a series, whose codes are counted
_FEW_TOKENS = 64
_THRESHOLDS = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0)  # in standard deviations


def one_hot(ids, n_codes):
    """Float32 ``(B, N * K)`` with a 1 at the code of each token."""
    return F.one_hot(ids, n_codes).flatten(1).float()


def bag_of_codes(ids, n_codes, inside=None):
    """Float32 ``(B, K)``, the share of each code among the tokens of a series.

    `inside` is True ``(B, N)`` for the tokens that count; None: all do.
    """
    counts = torch.zeros(len(ids), n_codes, dtype=torch.float32, device=ids.device)
    inside = torch.ones_like(ids, dtype=torch.bool) if inside is None else inside
    counted = inside.to(counts.dtype)
    return counts.scatter_add_(1, ids, counted) / counted.sum(1, keepdim=True)


def positional_bag(codes, n_codes, grid, inside=None):
    """Square roots of the shares of each code in parts of a series: what, and about when.

    The parts are the whole series, its halves, quarters, eighths and sixteenths, as of `pool`. The
    dot product of two bags is the mean over all parts of the Bhattacharyya coefficient of their
    shares, from 0 to 1 (Hellinger's distance). It is a function of the codes alone.

    Parameters
    ----------
    codes : int64 Tensor of shape (B, N)
        The code of each token, in ``[0, n_codes)``.
    n_codes : int
    grid : sequence of (int, int)
        Rows and columns of the tokens of each band, in row-major order, with time as column.
    inside : bool Tensor of shape (B, N) or None
        The tokens that count, the first columns of each row; None: all do.

    Returns
    -------
    bags : float32 Tensor of shape (B, n_parts * n_codes)
        Of length 1: the parts of each row of each band. There are 31 of a row of 16 columns and
        more; of fewer columns the smallest parts are single tokens.
    """
    widths = [columns for rows, columns in grid for _ in range(rows)]
    rows = F.one_hot(codes, n_codes).float().split(widths, dim=1)
    masks = [None] * len(widths) if inside is None else inside.split(widths, dim=1)
    bags = []
    for row, mask in zip(rows, masks, strict=True):
        levels = sorted({min(n_parts, row.shape[1]) for n_parts in _PARTS})
        bags.append(pool(row, ("mean",), levels, mask))
    shares = torch.cat(bags, dim=1)
    return (shares * (n_codes / shares.shape[1])).sqrt()


def pool(z, statistics, levels, inside=None):
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
    inside : bool Tensor of shape (B, N) or None
        The tokens that are pooled, as if there were no others; None: all. There are as many
        parts as of N tokens; of fewer tokens than parts the last token is all further parts.

    Returns
    -------
    features : Tensor of shape (B, n_parts * n_statistics * D)
        "shares" counts as seven statistics, "positions" and "stretches" as two each.
    """
    levels = [min(level, z.shape[1]) for level in levels]
    parts = [(part, None) for level in levels for part in z.tensor_split(level, dim=1)]
    whole = _statistics(parts, statistics)
    if inside is None:
        return whole
    # The tokens inside come first, in their order, and each part is a range of them.
    order = (~inside).to(torch.uint8).argsort(dim=1, stable=True)
    z = z.gather(1, order[..., None].expand_as(z))
    counts = inside.sum(1, keepdim=True)
    parts = [
        (z, _part(counts, z.shape[1], index, level)) for level in levels for index in range(level)
    ]
    # Series without a token beyond have the bits that they have among others of full length.
    return torch.where(inside.all(1, keepdim=True), whole, _statistics(parts, statistics))


def _statistics(parts, names):
    """Statistics side by side of pairs of latents and of the mask of those that count."""
    return torch.cat([_STATISTICS[name](*part) for part in parts for name in names], dim=1)


def _part(counts, n_tokens, index, n_parts):
    """Mask ``(B, N, 1)`` of one of the equal parts of the first `counts` tokens, never empty."""
    size, n_larger = counts // n_parts, counts % n_parts
    first = (index * size + n_larger.clamp(max=index)).minimum(counts - 1)
    stop = first + (size + (index < n_larger)).clamp(min=1)
    tokens = torch.arange(n_tokens, device=counts.device)
    return ((tokens >= first) & (tokens < stop)).unsqueeze(2)


def pooled_latents(latents, inside=None):
    """Means, deviations and mean differences over all tokens and quarters of them ``(B, 15 D)``."""
    return pool(latents, ("mean", "std", "variation"), (1, 4), inside)


def pooled_features(latents, activations, inside=None, activations_inside=None):
    """Pooled latents beside pooled activations of the encoder's inner layers.

    Parameters
    ----------
    latents : Tensor of shape (B, N, D)
    activations : list of Tensors of shape (B, M, C)
        Standardised.
    inside : bool Tensor of shape (B, N) or None
        The latents that count; None: all.
    activations_inside : list of bool Tensors of shape (B, M) or None
        The activations that do.
    """
    statistics = ("max", "min", "std", "shares", "positions", "stretches")
    masks = [None] * len(activations) if activations_inside is None else activations_inside
    parts = [pooled_latents(latents, inside)]
    for of_layer, mask in zip(activations, masks, strict=True):
        parts.append(pool(of_layer, statistics, (1,), mask))
    return torch.cat(parts, dim=1)


# ---- statistics over tokens: of latents (B, N, D), and of those that a mask (B, N, 1) leaves


def _mean(z, inside=None):
    if inside is None:
        return z.mean(1)
    return torch.where(inside, z, 0.0).sum(1) / inside.sum(1)


def _max(z, inside=None):
    return (z if inside is None else z.masked_fill(~inside, -torch.inf)).amax(1)


def _min(z, inside=None):
    return -_max(-z, inside) if inside is not None else z.amin(1)


def _std(z, inside=None):
    return _mean((z - _mean(z, inside).unsqueeze(1)).square_(), inside).sqrt_()


def _variation(z, inside=None):
    steps = z.diff(dim=1).abs()
    if inside is None:
        return steps.sum(1) / max(1, z.shape[1] - 1)
    between = inside[:, 1:] & inside[:, :-1]
    return torch.where(between, steps, 0.0).sum(1) / between.sum(1).clamp(min=1)


def _shares(z, inside=None):
    above = torch.empty_like(z, requires_grad=False)
    return torch.cat([_mean(torch.gt(z, t, out=above), inside) for t in _THRESHOLDS], dim=1)


def _positions(z, inside=None):
    """Mean positions of positive and negative values."""
    if inside is None:
        positions = (torch.arange(z.shape[1], device=z.device, dtype=z.dtype) + 0.5) / z.shape[1]
    else:
        positions = (inside.cumsum(1) - 0.5).to(z.dtype) / inside.sum(1, keepdim=True)
    return torch.cat([_mean_position(sign, positions) for sign in _signs(z, inside)], dim=1)


def _mean_position(chosen, positions):
    count = chosen.sum(1)
    if positions.ndim == 1:
        total = torch.einsum("bnd,n->bd", chosen, positions)
    else:
        total = (chosen * positions).sum(1)
    return torch.where(count > 0, total / count.clamp(min=1), -1.0)


def _stretches(z, inside=None):
    """Longest runs of positive and negative values, as shares of the tokens."""
    longest = torch.cat([_longest_run(sign) for sign in _signs(z, inside)], dim=1)
    return longest / (z.shape[1] if inside is None else inside.sum(1))


def _longest_run(chosen):
    """Longest run of ones along tokens that are 0 or 1: ``(B, N, D)`` to ``(B, D)``."""
    if chosen.shape[1] <= _FEW_TOKENS:  # faster step by step
        run = longest = torch.zeros_like(chosen[:, 0])
        for column in chosen.unbind(1):
            run = (run + 1) * column  # back to 0 where the run breaks
            longest = torch.maximum(longest, run)
        return longest
    times = torch.arange(1, chosen.shape[1] + 1, dtype=chosen.dtype, device=chosen.device)
    # The run that ends at a token has begun after the last zero up to it.
    zeros = torch.where(chosen.transpose(1, 2) > 0, 0.0, times).contiguous()
    return (times - zeros.cummax(2).values).amax(2)


def _signs(z, inside=None):
    """Two tensors: 1 where values are positive, and 1 where they are negative."""
    signs = (z > 0).to(z.dtype), (z < 0).to(z.dtype)
    return signs if inside is None else tuple(sign * inside for sign in signs)


_STATISTICS = {
    "mean": _mean,
    "max": _max,
    "min": _min,
    "std": _std,
    "variation": _variation,
    "shares": _shares,
    "positions": _positions,
    "stretches": _stretches,
}
