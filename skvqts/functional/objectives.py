"""Self-supervised objectives as functions of projected representations.

Two views of a batch of B series are projected to ``(B, P)`` matrices. Sums over the P x P
entries of a correlation or covariance matrix are taken through the B x B Gram matrix where
that is smaller: ``|Z'Z|^2 = |ZZ'|^2``, and ``|Z1'Z2|^2 = <Z1 Z1', Z2 Z2'>``.
"""

import torch
import torch.nn.functional as F

_STD_EPS = 1e-8  # added to the standard deviation, in Barlow Twins
_VAR_EPS = 1e-4  # added to the variance, in VICReg


def invariance(z1, z2):
    """Mean squared difference of two views (Bardes et al. 2022, eq. 5, over P)."""
    return F.mse_loss(z1, z2)


def variance_hinge(z):
    """Mean over columns of ``max(0, 1 - std)``, against collapse (Bardes et al. 2022, eqs. 1-2)."""
    return F.relu(1 - (z.var(0) + _VAR_EPS).sqrt()).mean()


def covariance_penalty(z):
    """Sum of squared off-diagonal covariances over P (Bardes et al. 2022, eqs. 3-4)."""
    z = z - z.mean(0)
    diagonal = z.square().sum(0)  # of Z'Z
    return (_squared_norm(z, z) - diagonal.square().sum()) / ((len(z) - 1) ** 2 * z.shape[1])


def correlation_penalty(z):
    """Sum of squared off-diagonal correlations over P^2 (Lee & Aune 2021, VIbCReg)."""
    z = F.normalize(z - z.mean(0), dim=0)
    diagonal = z.square().sum(0)  # 1, or 0 for a constant column
    return (_squared_norm(z, z) - diagonal.square().sum()) / z.shape[1] ** 2


def barlow_twins(z1, z2, off_diagonal_weight=0.005):
    """Distance of the cross-correlation of two views from the identity, over P.

    The loss is that of Zbontar et al. 2021, eqs. 1-2, with the unbiased standard deviation and the
    division by P of the code of NC-VQVAE (Mathisen et al. 2024).
    """
    z1, z2 = _standardised(z1), _standardised(z2)
    diagonal = (z1 * z2).mean(0)
    off_diagonal = _squared_norm(z1, z2) / len(z1) ** 2 - diagonal.square().sum()
    total = (1 - diagonal).square().sum() + off_diagonal_weight * off_diagonal
    return total / z1.shape[1]


def vicreg(z1, z2, invariance_weight=25.0, variance_weight=25.0, covariance_weight=1.0):
    """Variance-invariance-covariance regularisation (Bardes et al. 2022, eq. 6)."""
    # Both hinges count whole, as in eq. 6; the published code halves them.
    return (
        invariance_weight * invariance(z1, z2)
        + variance_weight * (variance_hinge(z1) + variance_hinge(z2))
        + covariance_weight * (covariance_penalty(z1) + covariance_penalty(z2))
    )


def vibcreg(z1, z2, invariance_weight=25.0, variance_weight=25.0, correlation_weight=100.0):
    """VICReg with correlations instead of covariances (Lee & Aune 2021).

    It is meant for projections that end in iterative normalisation (Huang et al. 2019).
    """
    return (
        invariance_weight * invariance(z1, z2)
        + variance_weight * (variance_hinge(z1) + variance_hinge(z2))
        + correlation_weight * (correlation_penalty(z1) + correlation_penalty(z2))
    )


def vcreg(z, variance_weight=25.0, covariance_weight=1.0):
    """VICReg without its invariance term, for one view (Mialon et al. 2024)."""
    return variance_weight * variance_hinge(z) + covariance_weight * covariance_penalty(z)


def nt_xent(z1, z2, temperature=0.5):
    """Normalised temperature-scaled cross-entropy (Chen et al. 2020, eq. 1).

    Each of the 2 B views has to find its partner among the 2 B - 1 others.
    """
    z = F.normalize(torch.cat([z1, z2]), dim=1)
    similarity = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    # View i and view i + B are partners.
    partner = torch.arange(len(z), device=z.device).roll(len(z1))
    return F.cross_entropy(similarity, partner)


def info_nce(query, key, queue, temperature=0.07):
    """A query has to find its key among those of a queue (He et al. 2020, eq. 1).

    Parameters
    ----------
    query, key : Tensor of shape (B, P)
        The keys come from the momentum encoder and have no gradient.
    queue : Tensor of shape (Q, P)
        Keys of earlier batches, L2-normalised.
    """
    query, key = F.normalize(query, dim=1), F.normalize(key.detach(), dim=1)
    positive = (query * key).sum(1, keepdim=True)
    logits = torch.cat([positive, query @ queue.T], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.int64, device=query.device))


def byol(prediction1, target2, prediction2, target1):
    """``2 - 2 cos`` between predictions and the other view's targets (Grill et al. 2020, eq. 2).

    The loss is the sum over both directions; targets have no gradient.
    """
    return _cosine_distance(prediction1, target2) + _cosine_distance(prediction2, target1)


def _cosine_distance(prediction, target):
    return 2 - 2 * F.cosine_similarity(prediction, target.detach(), dim=1).mean()


def _standardised(z):
    std = z.var(0).clamp(min=_STD_EPS**2).sqrt()  # the root of 0 has no gradient
    return (z - z.mean(0)) / (std + _STD_EPS)


def _squared_norm(z1, z2):
    """``|Z1' Z2|^2`` through the smaller of two products."""
    n_rows, n_columns = z1.shape
    if n_rows < n_columns:
        return ((z1 @ z1.T) * (z2 @ z2.T)).sum()
    return (z1.T @ z2).square().sum()


def whitening_matrix(z, n_iterations=5, eps=1e-5):
    """Approximate inverse square root of covariances by Newton's iteration (Huang et al. 2019).

    Parameters
    ----------
    z : Tensor of shape (B, G, d)
        G groups of d features, centred.
    n_iterations : int
    eps : float
        Added to the variances, so that constant features have an inverse.

    Returns
    -------
    whitening : Tensor of shape (G, d, d)
        The features of a group times its matrix have a covariance near the identity.
    """
    z = z.transpose(0, 1)
    eye = torch.eye(z.shape[2], dtype=z.dtype, device=z.device)
    covariance = z.mT @ z / z.shape[1] + eps * eye
    trace = covariance.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
    covariance = covariance / trace  # the iteration converges for eigenvalues up to 1
    root = eye.expand_as(covariance)
    for _ in range(n_iterations):
        root = 1.5 * root - 0.5 * root @ root @ root @ covariance
    return root / trace.sqrt()


def masked_error(reconstruction, x, hidden):
    """Mean squared error of the hidden values of a series (He et al. 2022, section 3).

    Parameters
    ----------
    reconstruction, x : Tensor of shape (B, C, T)
        What is missing in `x` (NaN) cannot be compared and does not count.
    hidden : bool Tensor of shape (B, 1 or C, T)
        True where a value is hidden.

    Returns
    -------
    error : scalar Tensor
        0 if nothing is hidden.
    """
    missing = x.isnan()
    weights = (hidden & ~missing).to(x.dtype)
    residuals = torch.where(missing, 0.0, reconstruction - x)
    return (residuals.square() * weights).sum() / weights.sum().clamp(min=1)
