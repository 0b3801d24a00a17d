"""What the estimators that own an encoder share: its parameters, its sizes, features read from it.

`VQTokenizer` and `SSLFeatureExtractor` train one; `FineTunedClassifier` goes on from theirs.
"""

from copy import deepcopy

import torch

from ._fitting.validation import IntegerInterval, StrOptions
from ._nn.encoders import FRONT_ENDS, resolved_sizes
from .functional.readout import pool

ENCODER_CONSTRAINTS = {
    "frontend": [StrOptions(set(FRONT_ENDS))],
    "width": [IntegerInterval(1)],
    "latent_dim": [IntegerInterval(1), StrOptions({"auto"})],
    "n_blocks": [IntegerInterval(0), StrOptions({"auto"})],
    "downsampled_width": [IntegerInterval(1), StrOptions({"auto"})],
    "scaling": [StrOptions({"train", "series"})],
    "warm_start": ["boolean"],
}


def encoder_architecture(estimator, X):
    """What the encoder of an estimator is built with for series ``(n, c, t)``: a dict.

    Every parameter that is "auto" is resolved. It holds the arguments of `make_encoder`.
    """
    sizes = resolved_sizes(
        estimator.frontend,
        width=estimator.width,
        latent_dim=estimator.latent_dim,
        n_blocks=estimator.n_blocks,
        downsampled_width=estimator.downsampled_width,
    )
    _, n_channels, n_timepoints = X.shape
    architecture = {"n_channels": n_channels, "n_timepoints": n_timepoints}
    architecture |= {"frontend": estimator.frontend, **sizes}
    if hasattr(estimator, "n_bands"):
        architecture["n_bands"] = estimator.n_bands
    return architecture


def network_to_continue(estimator, shaped_by):
    """A copy of the network of the previous fit, for ``warm_start=True``.

    Parameters
    ----------
    estimator : fitted estimator
        Which remembers in `_shaped_by` what shaped its network and scaling.
    shaped_by : tuple
        What would shape them now.

    Raises
    ------
    ValueError
        If that has changed.
    """
    if shaped_by != estimator._shaped_by:
        raise ValueError(
            f"{type(estimator).__name__}(warm_start=True) continues with the network of the "
            "previous fit, but parameters that shape the network, its codebook or the scaling "
            "have changed since: set them back, or set warm_start=False."
        )
    return deepcopy(estimator.module_)


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
