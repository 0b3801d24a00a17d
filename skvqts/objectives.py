"""Self-supervised objectives as parameter objects: what is learned without labels.

Each is an estimator without `fit`: `get_params`, `set_params`, `clone` and a grid over
``tok__ssl__weight`` work. In `VQTokenizer`, `weight` is the weight of the loss beside the others;
`SSLFeatureExtractor` has no other losses and does not use it. Losses compare projections of
pooled latents (their means and maxima over the tokens).
"""

# `make_branch` is documented once, in Objective.
# ruff: noqa: D102

from functools import partial

from sklearn.base import BaseEstimator, clone

from ._files.encoding import storable
from ._fitting.validation import IntegerInterval, RealInterval, StrOptions
from ._nn.self_supervision import BYOLBranch, JointBranch, MaskedBranch, MoCoBranch, Projector
from .functional import objectives as losses

__all__ = [
    "BYOL",
    "BarlowTwins",
    "MaskedModelling",
    "MoCo",
    "Objective",
    "SimCLR",
    "VCReg",
    "VICReg",
    "VIbCReg",
]

_WEIGHT = [RealInterval(0)]
_POSITIVE = [RealInterval(0, closed="neither")]
_SHARE = [RealInterval(0, 1, closed="both")]
_PROJECTOR = {"projector_width": [IntegerInterval(1)], "weight": _WEIGHT}


class Objective(BaseEstimator):
    """A self-supervised objective and its parameters; the base of those of your own.

    Attributes
    ----------
    masks_input : bool
        Whether the second view is the series with parts hidden, in place of an augmentation. Such
        an objective has the attributes `strategy`, `ratio` and `block` of `MaskedModelling`.
    weight : float
        Weight of the loss beside the others of `VQTokenizer`.
    """

    masks_input = False
    weight = 1.0

    def make_branch(self, dim, n_series):
        """Build the modules that the objective adds to an encoder, with their loss.

        Parameters
        ----------
        dim : int
            Dimension of the pooled latents.
        n_series : int
            Number of training series.

        Returns
        -------
        branch : torch.nn.Module
            Its call gives the loss, a Tensor without axes, of two views. A view has `series`, of
            shape (B, C, T), `latents`, of shape (B, N, D), and ``pooled()``, which gives their
            means and maxima over the tokens, of shape (B, dim). If the branch has a method
            ``start(encoder, decode)``, that is called before the training, and
            ``update_momentum_copies(encoder)`` after each step of the optimiser.

        Raises
        ------
        ValueError
            If a parameter of the objective is not valid.
        """
        raise NotImplementedError


@storable
class BarlowTwins(Objective):
    """Bring the cross-correlation of two views to the identity (Zbontar et al. 2021).

    Parameters
    ----------
    off_diagonal_weight : float, default=0.005
        Weight of the entries off the diagonal.
    projector_width : int, default=512
        Width of the projector's three layers; 4096 as published.
    weight : float, default=1.0
        Weight of the loss beside others.
    """

    _parameter_constraints = {"off_diagonal_weight": _WEIGHT} | _PROJECTOR

    def __init__(self, off_diagonal_weight=0.005, projector_width=512, weight=1.0):
        self.off_diagonal_weight = off_diagonal_weight
        self.projector_width = projector_width
        self.weight = weight

    def make_branch(self, dim, n_series):
        self._validate_params()
        loss = partial(losses.barlow_twins, off_diagonal_weight=self.off_diagonal_weight)
        return JointBranch(Projector(dim, self.projector_width), loss)


@storable
class VICReg(Objective):
    """Make views agree, and projections vary without correlation (Bardes et al. 2022).

    Parameters
    ----------
    invariance_weight, variance_weight : float, default=25.0
        Weights of the difference of views and of the variance term.
    covariance_weight : float, default=1.0
        Weight of the covariances.
    projector_width : int, default=512
        Width of the projector's three layers; 4096 in NC-VQVAE.
    weight : float, default=0.01
        Weight of the loss beside others.
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

    def make_branch(self, dim, n_series):
        self._validate_params()
        loss = partial(
            losses.vicreg,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
        )
        return JointBranch(Projector(dim, self.projector_width), loss)


@storable
class VIbCReg(Objective):
    """VICReg with correlations, on whitened projections (Lee & Aune 2021).

    Parameters
    ----------
    invariance_weight, variance_weight : float, default=25.0
        Weights of the difference of views and of the variance term.
    correlation_weight : float, default=100.0
        Weight of the correlations.
    projector_width : int, default=512
        Width of the projector's three layers; 4096 in NC-VQVAE.
    weight : float, default=0.01
        Weight of the loss beside others.
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

    def make_branch(self, dim, n_series):
        self._validate_params()
        loss = partial(
            losses.vibcreg,
            invariance_weight=self.invariance_weight,
            variance_weight=self.variance_weight,
            correlation_weight=self.correlation_weight,
        )
        return JointBranch(Projector(dim, self.projector_width, whiten=True), loss)


@storable
class VCReg(Objective):
    """Make projections vary without correlation; views need not agree (Mialon et al. 2024).

    Alone it only spreads representations out; it is meant to stand beside another loss.

    Parameters
    ----------
    variance_weight : float, default=25.0
        Weight of the variance term.
    covariance_weight : float, default=1.0
        Weight of the covariances.
    projector_width : int, default=512
        Width of the projector's three layers.
    weight : float, default=0.01
        Weight of the loss beside others.
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

    def make_branch(self, dim, n_series):
        self._validate_params()
        loss = partial(
            losses.vcreg,
            variance_weight=self.variance_weight,
            covariance_weight=self.covariance_weight,
        )
        return JointBranch(Projector(dim, self.projector_width), lambda z1, z2: loss(z1) + loss(z2))


@storable
class SimCLR(Objective):
    """Find the partner of each view among all views of the batch (NT-Xent, Chen et al. 2020).

    Parameters
    ----------
    temperature : float, default=0.5
        Divisor of the cosine similarities.
    projector_width : int, default=512
        Width of the projector's two layers.
    weight : float, default=0.1
        Weight of the loss beside others.
    """

    _parameter_constraints = {"temperature": _POSITIVE} | _PROJECTOR

    def __init__(self, temperature=0.5, projector_width=512, weight=0.1):
        self.temperature = temperature
        self.projector_width = projector_width
        self.weight = weight

    def make_branch(self, dim, n_series):
        self._validate_params()
        loss = partial(losses.nt_xent, temperature=self.temperature)
        return JointBranch(Projector(dim, self.projector_width, n_hidden=1), loss)


@storable
class MoCo(Objective):
    """Find the slow projection of the other view among those of a queue (He et al. 2020).

    Parameters
    ----------
    temperature : float, default=0.2
        Divisor of the cosine similarities.
    queue_size : int, default=512
        Number of earlier projections that serve as negatives. No more are kept than there are
        training series, so that few of them meet an earlier view of themselves.
    momentum : float, default=0.99
        Momentum of the moving average that makes the slow encoder.
    projector_width : int, default=512
        Width of the projector's two layers.
    weight : float, default=0.1
        Weight of the loss beside others.
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

    def make_branch(self, dim, n_series):
        self._validate_params()
        projector = Projector(dim, self.projector_width, n_hidden=1)
        queue_size = min(self.queue_size, n_series)
        return MoCoBranch(
            projector, self.projector_width, self.momentum, self.temperature, queue_size
        )


@storable
class BYOL(Objective):
    """Predict the slow projection of the other view (Grill et al. 2020).

    Parameters
    ----------
    momentum : float, default=0.99
        Momentum of the moving average that makes the slow encoder.
    projector_width : int, default=512
        Width of the two layers of projector and predictor.
    weight : float, default=0.1
        Weight of the loss beside others.
    """

    _parameter_constraints = {"momentum": _SHARE} | _PROJECTOR

    def __init__(self, momentum=0.99, projector_width=512, weight=0.1):
        self.momentum = momentum
        self.projector_width = projector_width
        self.weight = weight

    def make_branch(self, dim, n_series):
        self._validate_params()
        projector = Projector(dim, self.projector_width, n_hidden=1)
        predictor = Projector(self.projector_width, self.projector_width, n_hidden=1)
        return BYOLBranch(projector, predictor, self.momentum)


@storable
class MaskedModelling(Objective):
    """Reconstruct hidden parts of a series from the rest, in the original domain.

    Hidden values are 0, the mean of scaled series (after He et al. 2022), or missing where the
    encoder takes missing values. No augmentation is used.

    Parameters
    ----------
    ratio : float, default=0.5
        Probability that a block, channel or band is hidden; share of a series that is its future.
        With 0 nothing is hidden, and a series is reconstructed from itself: an autoencoder.
    block : int, default=8
        Time points of a block, frequencies of a band.
    strategy : {"blocks", "channels", "bands", "future"}, default="blocks"
        What is hidden: blocks of time points in all channels; whole channels, of which at least one
        stays; bands of frequencies, which are taken out of the series, and all of it
        is reconstructed; or the end of a series.
    weight : float, default=1.0
        Weight of the loss beside others.
    """

    masks_input = True
    _parameter_constraints = {
        "ratio": [RealInterval(0, 1, closed="both")],
        "block": [IntegerInterval(1)],
        "strategy": [StrOptions({"blocks", "channels", "bands", "future"})],
        "weight": _WEIGHT,
    }

    def __init__(self, ratio=0.5, block=8, strategy="blocks", weight=1.0):
        self.ratio = ratio
        self.block = block
        self.strategy = strategy
        self.weight = weight

    def make_branch(self, dim, n_series):
        self._validate_params()
        return MaskedBranch()


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
    """A new objective of the given name, or a clone of the given objective."""
    return OBJECTIVES[objective]() if isinstance(objective, str) else clone(objective)
