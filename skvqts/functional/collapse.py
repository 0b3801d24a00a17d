"""Whether representations still tell series apart (Jing et al. 2022)."""

import torch

# Below these values representations have collapsed.
_LEAST_STD = 0.01
_LEAST_RANK = 1.1
_RANK_ROWS = 8  # the rank of fewer series is small anyway


def relative_std(latents, pooled):
    """Standard deviation over series of pooled latents, in units of the latents.

    Parameters
    ----------
    latents : Tensor of shape (n, N, D)
    pooled : Tensor of shape (n, D)
        Their means over tokens.

    Returns
    -------
    std : Tensor of shape (D,)
        One value per dimension: 0 where all series are alike, at most about 1.
    """
    scale = latents.double().square().mean((0, 1)).sqrt()
    return pooled.double().std(0, correction=0) / scale.clamp(min=torch.finfo(torch.float32).tiny)


def effective_rank(z):
    """Number of directions in which rows of ``(n, D)`` differ (Roy & Vetterli 2007).

    It is the exponential of the entropy of the singular values of centred rows, as shares of
    their sum: 0 for rows that are alike, n - 1 or D at most.
    """
    z = z.double()
    values = torch.linalg.svdvals(z - z.mean(0))
    if values[0] <= 1e-6 * z.norm():  # what is left of equal rows is the rounding of their mean
        return 0.0
    shares = values / values.sum()
    return float(torch.special.entr(shares).sum().exp())


def has_collapsed(std, rank, n_series, n_dims):
    """Whether series hardly differ, or differ in a single direction of many.

    Parameters
    ----------
    std : float
        Mean over dimensions of :func:`relative_std`.
    rank : float
        Their :func:`effective_rank`.
    n_series, n_dims : int
    """
    return std < _LEAST_STD or (n_series >= _RANK_ROWS and n_dims > 1 and rank < _LEAST_RANK)
