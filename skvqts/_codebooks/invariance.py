"""Features made less sensitive to what differs between views of one series, and less noisy."""

import numpy as np
import torch

from .._files.encoding import storable

_RIDGE = 0.1  # of the mean squared deviation of views: directions that vary less are kept
_N_NEIGHBOURS = 4
_SHARE = 0.25  # of the mean of the neighbours
_ITSELF = 1 - 1e-5  # cosine above which a landmark is the series itself
_PARTS = ("mean_", "scale_", "directions_", "shares_", "landmarks_")


@storable
class ViewInvariance:
    """Standardise features, take away what views change, and lean on neighbours.

    Random views of a series show the same: how their features deviate says nothing of it. With S
    the sum of the outer products of these deviations, and r a tenth of their mean square,
    features are multiplied by ``(1 + S / r)^(-1/2)``: the within-class covariance normalisation
    of Hatch et al. 2006, with views in place of recordings of one speaker. Then each series moves a
    quarter of the way to the mean of its four nearest landmarks, training series besides itself.

    Parameters
    ----------
    mean, scale : float32 ndarrays of shape (d,)
        Of the columns.
    directions : float32 ndarray of shape (r, d)
        Orthonormal directions of the deviations.
    shares : float32 ndarray of shape (r,)
        Share of each direction that is taken away.
    landmarks : float32 ndarray of shape (m, d)
        Features of training series without those shares.
    """

    def __init__(self, mean, scale, directions, shares, landmarks):
        self.mean_ = mean
        self.scale_ = scale
        self.directions_ = directions
        self.shares_ = shares
        self.landmarks_ = landmarks

    def __setstate__(self, state):
        """Refuse what cannot be: it may come from a file."""
        parts = [state[name] for name in _PARTS]
        self.__init__(*parts)
        d, r, m = self.mean_.size, self.shares_.size, len(self.landmarks_)
        shapes = ((d,), (d,), (r, d), (r,), (m, d))
        fits = set(state) == set(_PARTS) and all(
            part.dtype == np.float32 and part.shape == shape and np.isfinite(part).all()
            for part, shape in zip(parts, shapes, strict=True)
        )
        if not fits or not (self.scale_ > 0).all():
            raise ValueError("what makes its features invariant does not fit together.")

    @classmethod
    def learn(cls, features, views, others):
        """Learn from features of series, those of their views, and those of more series.

        Parameters
        ----------
        features : Tensor of shape (n, d)
        views : list of Tensors of shape (n, d)
        others : Tensor of shape (m, d)
            Of the landmarks.
        """
        mean = others.mean(0)
        scale = others.std(0, correction=0)
        constant = scale <= 1e-5 * others.abs().amax(0)
        scale = torch.where(constant, 1.0, scale)
        deviations = torch.cat([(view - features) / scale for view in views])
        deviations = deviations.masked_fill(constant, 0.0)
        directions, variances = principal_directions(deviations)
        ridge = _RIDGE * deviations.square().sum(1).mean()
        shares = 1 - (1 + variances / ridge.clamp(min=1e-30)).rsqrt()
        parts = (mean, scale, directions, shares, torch.zeros_like(others[:0]))
        learned = cls(*(part.cpu().numpy() for part in parts))
        landmarks = learned.invariant(others)
        learned.landmarks_ = landmarks.cpu().numpy()
        return learned

    def apply(self, features):
        """Features ``(B, d)`` that lean on their neighbours among the landmarks."""
        features = self.invariant(features)
        landmarks = torch.from_numpy(self.landmarks_).to(features.device)
        return leaning_on_neighbours(features, landmarks)

    def invariant(self, features):
        """Standardised features ``(B, d)`` without the shares of the directions."""
        mean, scale, directions, shares = (
            torch.from_numpy(part).to(features.device)
            for part in (self.mean_, self.scale_, self.directions_, self.shares_)
        )
        features = (features - mean) / scale
        return features - ((features @ directions.T) * shares) @ directions


def principal_directions(deviations):
    """Directions in which rows deviate from zero, and their sums of squares along each.

    Parameters
    ----------
    deviations : Tensor of shape (m, d)

    Returns
    -------
    directions : Tensor of shape (r, d)
        Orthonormal; those are left out along which there is nothing but rounding.
    squares : Tensor of shape (r,)
    """
    # From the smaller matrix of inner products, in float64.
    wide = deviations.double()
    squares, weights = torch.linalg.eigh(wide @ wide.T)
    some = squares > 1e-6 * squares[-1].clamp(min=1e-12)
    squares, weights = squares[some], weights[:, some]
    directions = (weights / squares.sqrt()).T @ wide
    return directions.to(deviations.dtype), squares.to(deviations.dtype)


def leaning_on_neighbours(features, landmarks):
    """Features moved a quarter of the way to the mean of their four nearest landmarks.

    Parameters
    ----------
    features : Tensor of shape (B, d)
    landmarks : Tensor of shape (m, d)
        Near is what has a high cosine. One that equals a series up to rounding is not a neighbour
        of it, so that training series are treated as any others. Without a neighbour a series stays
        where it is.
    """
    n_neighbours = min(_N_NEIGHBOURS, len(landmarks))
    if n_neighbours == 0:
        return features
    cosines = _directions(features) @ _directions(landmarks).T
    cosines = cosines.masked_fill(cosines > _ITSELF, -torch.inf)
    nearest, indices = cosines.topk(n_neighbours, dim=1)
    counts = nearest.isfinite()
    total = (landmarks[indices] * counts[..., None]).sum(1)
    number = counts.sum(1, keepdim=True)
    mean = torch.where(number > 0, total / number.clamp(min=1), features)
    return torch.lerp(features, mean, _SHARE)


def _directions(features):
    return features / features.norm(dim=1, keepdim=True).clamp(min=1e-12)
