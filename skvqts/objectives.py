"""Self-supervised objectives as parameter objects: what is learned without labels.

Each is an estimator without `fit`: `get_params`, `set_params`, `clone` and a grid over
``tok__ssl__weight`` work. `weight` is that of the loss beside others, in `VQTokenizer`;
`SSLFeatureExtractor` has no others and does not use it.
Losses compare projections of pooled latents (mean and maximum over the tokens).
"""

from functools import partial

from sklearn.base import BaseEstimator, clone

from ._fitting.validation import IntegerInterval, RealInterval
from ._nn import self_supervision as branches
from ._nn.self_supervision import Projector
from .functional import objectives as losses

_WEIGHT = [RealInterval(0)]
_POSITIVE = [RealInterval(0, closed="neither")]
_SHARE = [RealInterval(0, 1, closed="both")]
_PROJECTOR = {"projector_width": [IntegerInterval(1)], "weight": _WEIGHT}


class Objective(BaseEstimator):
    """A self-supervised objective and its parameters."""

    masks_input = False  # whether the second view is the series with parts hidden

    def make_branch(self, dim, n_series):
        """The modules and the loss, for pooled latents of `n_series` training series.

        Parameters
        ----------
        dim : int
            Of the pooled latents.
        n_series : int

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        self._validate_params()
        return self._branch(dim, n_series)


class BarlowTwins(Objective):
    """The cross-correlation of two views becomes the identity (Zbontar et al. 2021).

    Parameters
    ----------
    off_diagonal_weight : float, default=0.005
        Weight of the entries off the diagonal.
    projector_width : int, default=512
        Width of the projector's three layers; 4096 as published.
    weight : float, default=1.0
    """

    _parameter_constraints = {"off_diagonal_weight": _WEIGHT} | _PROJECTOR

    def __init__(self, off_diagonal_weight=0.005, projector_width=512, weight=1.0):
        self.off_diagonal_weight = off_diagonal_weight
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        loss = partial(losses.barlow_twins, off_diagonal_weight=self.off_diagonal_weight)
        return branches.Joint(Projector(dim, self.projector_width), loss)


class VICReg(Objective):
    """Views agree, columns vary and are uncorrelated (Bardes et al. 2022).

    Parameters
    ----------
    invariance_weight, variance_weight : float, default=25.0
    covariance_weight : float, default=1.0
    projector_width : int, default=512
        Width of the projector's three layers; 4096 in NC-VQVAE.
    weight : float, default=0.01
    """

    _parameter_constraints = {
        "invariance_weight": _WEIGHT,
        "variance_weight": _WEIGHT,
        "covariance_weight": _WEIGHT,
    } | _PROJECTOR

    def __init__(
        self,
        invariance_weight=25.0,
        variance_weight=25.0,
        covariance_weight=1.0,
        projector_width=512,
        weight=0.01,
    ):
        self.invariance_weight = invariance_weight
        self.variance_weight = variance_weight
        self.covariance_weight = covariance_weight
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        loss = partial(
            losses.vicreg,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
        )
        return branches.Joint(Projector(dim, self.projector_width), loss)


class VIbCReg(Objective):
    """VICReg with correlations, on whitened projections (Lee & Aune 2021).

    Parameters
    ----------
    invariance_weight, variance_weight : float, default=25.0
    correlation_weight : float, default=100.0
    projector_width : int, default=512
        Width of the projector's three layers; 4096 in NC-VQVAE.
    weight : float, default=0.01
    """

    _parameter_constraints = {
        "invariance_weight": _WEIGHT,
        "variance_weight": _WEIGHT,
        "correlation_weight": _WEIGHT,
    } | _PROJECTOR

    def __init__(
        self,
        invariance_weight=25.0,
        variance_weight=25.0,
        correlation_weight=100.0,
        projector_width=512,
        weight=0.01,
    ):
        self.invariance_weight = invariance_weight
        self.variance_weight = variance_weight
        self.correlation_weight = correlation_weight
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        loss = partial(
            losses.vibcreg,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            correlation_weight=self.correlation_weight,
        )
        return branches.Joint(Projector(dim, self.projector_width, whiten=True), loss)


class VCReg(Objective):
    """Columns vary and are uncorrelated; views need not agree (Mialon et al. 2024).

    Alone it only spreads representations out; it is meant beside another loss.

    Parameters
    ----------
    variance_weight : float, default=25.0
    covariance_weight : float, default=1.0
    projector_width : int, default=512
        Width of the projector's three layers.
    weight : float, default=0.01
    """

    _parameter_constraints = {
        "variance_weight": _WEIGHT,
        "covariance_weight": _WEIGHT,
    } | _PROJECTOR

    def __init__(
        self, variance_weight=25.0, covariance_weight=1.0, projector_width=512, weight=0.01
    ):
        self.variance_weight = variance_weight
        self.covariance_weight = covariance_weight
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        weights = self.variance_weight, self.covariance_weight
        return branches.Joint(
            Projector(dim, self.projector_width),
            lambda z1, z2: losses.vcreg(z1, *weights) + losses.vcreg(z2, *weights),
        )


class SimCLR(Objective):
    """Each view finds its partner among all others of the batch (NT-Xent, Chen et al. 2020).

    Parameters
    ----------
    temperature : float, default=0.5
    projector_width : int, default=512
        Width of the projector's two layers.
    weight : float, default=0.1
    """

    _parameter_constraints = {"temperature": _POSITIVE} | _PROJECTOR

    def __init__(self, temperature=0.5, projector_width=512, weight=0.1):
        self.temperature = temperature
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        loss = partial(losses.nt_xent, temperature=self.temperature)
        return branches.Joint(Projector(dim, self.projector_width, n_hidden=1), loss)


class MoCo(Objective):
    """Each view finds the slow projection of the other in a queue (He et al. 2020).

    Parameters
    ----------
    temperature : float, default=0.2
    queue_size : int, default=512
        Number of earlier projections that serve as negatives; no more than training series, of
        which few then meet an earlier view of themselves.
    momentum : float, default=0.99
        Of the moving average that makes the slow encoder.
    projector_width : int, default=512
        Width of the projector's two layers.
    weight : float, default=0.1
    """

    _parameter_constraints = {
        "temperature": _POSITIVE,
        "queue_size": [IntegerInterval(1)],
        "momentum": _SHARE,
    } | _PROJECTOR

    def __init__(
        self, temperature=0.2, queue_size=512, momentum=0.99, projector_width=512, weight=0.1
    ):
        self.temperature = temperature
        self.queue_size = queue_size
        self.momentum = momentum
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        projector = Projector(dim, self.projector_width, n_hidden=1)
        size = min(self.queue_size, n_series)
        return branches.MoCo(projector, self.projector_width, self.momentum, self.temperature, size)


class BYOL(Objective):
    """Each view predicts the slow projection of the other (Grill et al. 2020).

    Parameters
    ----------
    momentum : float, default=0.99
        Of the moving average that makes the slow encoder.
    projector_width : int, default=512
        Width of the two layers of projector and predictor.
    weight : float, default=0.1
    """

    _parameter_constraints = {"momentum": _SHARE} | _PROJECTOR

    def __init__(self, momentum=0.99, projector_width=512, weight=0.1):
        self.momentum = momentum
        self.projector_width = projector_width
        self.weight = weight

    def _branch(self, dim, n_series):
        width = self.projector_width
        projector, predictor = (Projector(d, width, n_hidden=1) for d in (dim, width))
        return branches.BYOL(projector, predictor, self.momentum)


class MaskedModelling(Objective):
    """Hidden blocks of a series are reconstructed from the rest, in the original domain.

    Hidden values are 0, the mean of scaled series (after He et al. 2022). No augmentation is used.

    Parameters
    ----------
    ratio : float, default=0.5
        Probability that a block is hidden.
    block : int, default=8
        Time points of a block.
    weight : float, default=1.0
    """

    masks_input = True
    _parameter_constraints = {
        "ratio": [RealInterval(0, 1, closed="right")],
        "block": [IntegerInterval(1)],
        "weight": _WEIGHT,
    }

    def __init__(self, ratio=0.5, block=8, weight=1.0):
        self.ratio = ratio
        self.block = block
        self.weight = weight

    def _branch(self, dim, n_series):
        return branches.Masked()


OBJECTIVES = {
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "masked": MaskedModelling,
    "moco": MoCo,
    "simclr": SimCLR,
    "vcreg": VCReg,
    "vibcreg": VIbCReg,
    "vicreg": VICReg,
}


def make_objective(objective):
    """An objective of its own from a name or an object."""
    return OBJECTIVES[objective]() if isinstance(objective, str) else clone(objective)
