"""Vector quantisation (van den Oord et al. 2017): nearest code, codebook updates, losses.

Vectors are rows: ``z`` is ``(n, d)``, a codebook is ``(K, d)``, ids are ``(n,)`` int64.
"""

import torch
import torch.nn.functional as F

_BLOCK_BYTES = 2**20  # distances computed at a time; a block that stays in the cache
_ROUNDING = 4 * torch.finfo(torch.float32).eps


def nearest_code(z, codebook):
    """Index of the nearest code in Euclidean distance (van den Oord et al. 2017, eqs. 1-2).

    ``|z - e|^2`` is expanded into one matrix product per block of rows, after moving
    the origin to the mean of the codebook: without that the float32 expansion
    cancels and picks wrong codes when vectors lie far from zero. Rows whose best
    two codes are closer than the rounding error are decided in float64.

    Parameters
    ----------
    z : Tensor of shape (n, d)
    codebook : Tensor of shape (K, d)

    Returns
    -------
    ids : int64 Tensor of shape (n,)
        Ties go to the lowest index.
    """
    z, codebook = z.detach(), codebook.detach()
    if torch.compiler.is_exporting():  # an exported program has no branches, and no blocks of rows
        return _nearest_without_branches(z, codebook)
    origin = codebook.mean(0)
    z, codebook = z - origin, codebook - origin
    norms = codebook.square().sum(1)
    largest_norm = norms.max()
    ids = torch.empty(len(z), dtype=torch.int64, device=z.device)
    block_rows = max(1, _BLOCK_BYTES // (4 * len(codebook)))
    for start in range(0, len(z), block_rows):
        block = z[start : start + block_rows]
        scores = torch.addmm(norms, block, codebook.T, alpha=-2)  # |z - e|^2 - |z|^2
        chosen = _argmin(scores)
        best = scores.gather(1, chosen[:, None])
        second = scores.scatter_(1, chosen[:, None], torch.inf).amin(1, keepdim=True)
        rounding = _ROUNDING * (largest_norm + block.square().sum(1, keepdim=True))
        unsure = (second <= best + rounding)[:, 0]
        if unsure.any():
            chosen[unsure] = _nearest_in_float64(block[unsure], codebook)
        ids[start : start + block_rows] = chosen
    return ids


def _nearest_without_branches(z, codebook):
    """Index of the nearest code, all in float64, which is slower than to look for the unsure."""
    z, codebook = z.double(), codebook.double()
    origin = codebook.mean(0)
    z, codebook = z - origin, codebook - origin
    return (codebook.square().sum(1) - 2 * z @ codebook.T).argmin(1)


def _argmin(scores):
    """Index of the smallest value of each row."""
    if scores.device.type == "cpu":
        # NumPy's argmin is ten times faster than torch's.
        return torch.from_numpy(scores.numpy().argmin(1))
    return scores.argmin(1)


def _nearest_in_float64(z, codebook):
    """Index of the nearest code, computed on the CPU, as not every device has float64."""
    # Pair by pair: a matrix product would round the distances to equal codes differently, and
    # differently again for another number of rows.
    pairwise = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(z.cpu().double(), codebook.cpu().double(), compute_mode=pairwise)
    return _argmin(distances).to(z.device)


def straight_through(z, z_q):
    """`z_q` with the gradient of the identity in `z` (van den Oord et al. 2017, section 3.2)."""
    return z + (z_q - z).detach()


def commitment_loss(z, z_q):
    """Mean of ``(z - sg(z_q))^2``, which keeps the encoder near its codes.

    The third term of van den Oord et al. 2017, eq. 3, without its weight.
    """
    return F.mse_loss(z, z_q.detach())


def codebook_loss(z, z_q):
    """Mean of ``(sg(z) - z_q)^2``, which moves the codes to the encoder.

    The second term of van den Oord et al. 2017, eq. 3.
    """
    return F.mse_loss(z_q, z.detach())


def code_sums(z, ids, n_codes):
    """Number and sum of the vectors assigned to each code: ``(K,)`` and ``(K, d)``."""
    counts = torch.bincount(ids, minlength=n_codes).to(z.dtype)
    sums = torch.zeros(n_codes, z.shape[1], dtype=z.dtype, device=z.device)
    return counts, sums.index_add_(0, ids, z)


def ema_update(codebook, cluster_size, z, ids, decay):
    """One exponential-moving-average step of the codebook (van den Oord et al. 2017, appendix A.1).

    ``N_k <- decay N_k + (1 - decay) n_k`` and the code is the running sum over ``N_k``,
    so that a code that attracts nothing stays where it is.

    Returns
    -------
    codebook : Tensor of shape (K, d)
    cluster_size : Tensor of shape (K,)
    """
    counts, sums = code_sums(z, ids, len(codebook))
    size = decay * cluster_size + (1 - decay) * counts
    # N_k e_k is the paper's running sum m_k, which so needs no buffer of its own.
    total = decay * cluster_size[:, None] * codebook + (1 - decay) * sums
    return torch.where(size[:, None] > 0, total / size[:, None], codebook), size


def revive_dead_codes(codebook, cluster_size, z, threshold, generator):
    """Move codes used less than `threshold` times the average onto vectors of `z`.

    A revived code starts with the average cluster size, so that it has time to
    find its vectors before it can be revived again (Dhariwal et al. 2020, random restarts).

    Parameters
    ----------
    codebook : Tensor of shape (K, d)
    cluster_size : Tensor of shape (K,)
        Running number of vectors per batch.
    z : Tensor of shape (n, d)
    threshold : float
        Share of the average number of vectors per code; 0 revives none.
    generator : torch.Generator
        A CPU generator; the draw is the same on every device.

    Returns
    -------
    codebook : Tensor of shape (K, d)
    cluster_size : Tensor of shape (K,)
    """
    average = len(z) / len(codebook)
    dead = cluster_size < threshold * average
    picks = torch.randint(len(z), (len(codebook),), generator=generator, device="cpu").to(z.device)
    return (
        torch.where(dead[:, None], z[picks], codebook),
        torch.where(dead, torch.full_like(cluster_size, average), cluster_size),
    )


def kmeans(z, n_codes, generator, n_iterations=10):
    """Lloyd's algorithm from randomly drawn vectors; empty clusters are drawn again.

    With fewer vectors than codes, the surplus codes are copies. Ties go to the first of them,
    and the others are revived in training as soon as more vectors are seen.

    Returns
    -------
    codebook : Tensor of shape (n_codes, d)
    cluster_size : Tensor of shape (n_codes,)
        Number of vectors of `z` per code.
    """
    draws = torch.randperm(len(z), generator=generator, device="cpu").to(z.device)
    codebook = z[draws[torch.arange(n_codes, device=z.device) % len(z)]].clone()
    for _ in range(n_iterations):
        counts, sums = code_sums(z, nearest_code(z, codebook), n_codes)
        # Drawn in every iteration, needed or not: later draws do not depend on the data.
        picks = torch.randint(len(z), (n_codes,), generator=generator, device="cpu").to(z.device)
        means = sums / counts.clamp(min=1)[:, None]
        codebook = torch.where(counts[:, None] > 0, means, z[picks])
    counts, _ = code_sums(z, nearest_code(z, codebook), n_codes)
    return codebook, counts


def nearest_in_each(z, codebooks):
    """Product quantisation: the nearest code of each part in a codebook of its own.

    Jégou, Douze and Schmid (2011), "Product quantization for nearest neighbor search", section
    II-B.

    Parameters
    ----------
    z : Tensor of shape (n, G, d)
        Vectors of G parts.
    codebooks : Tensor of shape (G, K, d)

    Returns
    -------
    ids : int64 Tensor of shape (n, G)
        Each in ``[0, K)``.
    """
    parts = zip(z.unbind(1), codebooks, strict=True)
    return torch.stack([nearest_code(part, codebook) for part, codebook in parts], dim=1)


def hashed(x, places, weights, n_places):
    """Columns, each with its weight, summed up in fewer places (Weinberger et al. 2009, section 2).

    For random places and signs it keeps inner products of weighted rows in expectation.

    Parameters
    ----------
    x : Tensor of shape (n, F)
    places : int64 Tensor of shape (F,)
        The place of each column, in ``[0, n_places)``.
    weights : Tensor of shape (F,)
    n_places : int

    Returns
    -------
    hashed : Tensor of shape (n, n_places)
        0 where a place has no column.
    """
    return x.new_zeros(len(x), n_places).index_add_(1, places, x * weights)


def usage(counts):
    """Share of each code of ``(K,)`` counts: float64, summing to 1."""
    return counts.double() / counts.sum()


def perplexity(shares):
    """The exponential of the Shannon entropy of a distribution over codes, from 1 to K."""
    return torch.special.entr(shares).sum().exp()
