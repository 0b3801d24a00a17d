"""Whether representations still tell series apart (Jing et al. 2022)."""

import torch

_STD, _RANK = 0.01, 1.1  # below is collapse
_RANK_ROWS = 8  # fewer series have a small rank anyway


def relative_std(latents, pooled):
    """Standard deviation over series of pooled latents, in units of the latents.

    Parameters
    ----------
    latents : Tensor of shape (n, N, D)
    pooled : Tensor of shape (n, D)
        A mean over tokens.

    Returns
    -------
    Tensor of shape (D,)
        Of each dimension: 0 where all series are alike, at most about 1.
    """
    scale = latents.double().square().mean((0, 1)).sqrt()
    return pooled.double().std(0, correction=0) / scale.clamp(min=torch.finfo(torch.float32).tiny)


def effective_rank(z):
    """Number of directions in which rows of ``(n, D)`` differ (Roy & Vetterli 2007).

    The exponential of the entropy of the singular values of centred rows, as shares of their
    sum: 0 for rows that are alike, n - 1 or D at most.
    """
    z = z.double()
    values = torch.linalg.svdvals(z - z.mean(0))
    if values[0] <= 1e-6 * z.norm():
        return 0.0
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def has_collapsed(std, rank, n_series, n_dims):
    """Whether series hardly differ, by the mean relative deviation, or in one direction of many."""
    return std < _STD or (n_series >= _RANK_ROWS and n_dims > 1 and rank < _RANK)
