"""Quantizer: how a VQTokenizer starts, moves and compares its codes, and how these are used."""

import torch
from sklearn.base import BaseEstimator, clone

from ._files.encoding import storable
from ._fitting.validation import IntegerInterval, RealInterval, StrOptions
from .exceptions import warn_user
from .functional import codebook as cb


@storable
class Quantizer(BaseEstimator):
    """How the codes of a `VQTokenizer` start, follow their latents and are compared with them.

    An estimator without `fit`: `get_params`, `set_params`, `clone` and a grid over
    ``tok__quantizer__ema_decay`` work.

    Parameters
    ----------
    update : {"ema", "gradient"}, default="ema"
        Codes follow the exponential moving average of their latents, or the gradient of the
        codebook term of the loss [1]_.
    init : {"kmeans", "normal"}, default="kmeans"
        Codes start at k-means centres of the latents of the new encoder, or at random.
    code_dim : int or None, default=None
        Dimension of the codes; latents are mapped linearly to it and back [2]_. None: the
        dimension of the latents.
    normalize_codes : bool, default=False
        Compare latents and codes by cosine, both L2-normalised [2]_.
    ema_decay : float, default=0.95
        Decay of the moving averages of codes and of their use.
    revival_threshold : float, default=0.05
        Codes used less than this share of the average are moved onto latents of the
        current batch [3]_. 0 never moves one.
    commitment_weight : float, default=0.25
        Weight of the term of the loss that keeps latents near their codes [1]_.

    References
    ----------
    .. [1] van den Oord, Vinyals, Kavukcuoglu. "Neural discrete representation
       learning", 2017, equation 3 and appendix A.1.
    .. [2] Yu et al. "Vector-quantized image modeling with improved VQGAN", 2022.
    .. [3] Dhariwal et al. "Jukebox: a generative model for music", 2020.

    Examples
    --------
    >>> from skvqts import Quantizer, VQTokenizer
    >>> VQTokenizer(quantizer=Quantizer(update="gradient")).get_params()["quantizer__update"]
    'gradient'
    """

    _parameter_constraints = {
        "update": [StrOptions({"ema", "gradient"})],
        "init": [StrOptions({"kmeans", "normal"})],
        "code_dim": [IntegerInterval(1), None],
        "normalize_codes": ["boolean"],
        "ema_decay": [RealInterval(0, 1, closed="both")],
        "revival_threshold": [RealInterval(0, 1)],
        "commitment_weight": [RealInterval(0)],
    }

    def __init__(
        self,
        update="ema",
        *,
        init="kmeans",
        code_dim=None,
        normalize_codes=False,
        ema_decay=0.95,
        revival_threshold=0.05,
        commitment_weight=0.25,
    ):
        self.update = update
        self.init = init
        self.code_dim = code_dim
        self.normalize_codes = normalize_codes
        self.ema_decay = ema_decay
        self.revival_threshold = revival_threshold
        self.commitment_weight = commitment_weight

    def network_parameters(self):
        """The parameters that the quantiser's network is built with."""
        return {
            "code_dim": self.code_dim,
            "normalize_codes": self.normalize_codes,
            "update": self.update,
            "ema_decay": self.ema_decay,
            "revival_threshold": self.revival_threshold,
        }


def make_quantizer(quantizer):
    """A valid copy of a quantizer that was passed as a parameter; None means the default one."""
    quantizer = Quantizer() if quantizer is None else clone(quantizer)
    quantizer._validate_params()
    return quantizer


def warn_of_few(n_tokens, n_codes):
    """Warn where the training set has fewer tokens than codes."""
    if n_tokens < n_codes:
        warn_user(
            f"The training set has only {n_tokens} tokens for codebook_size="
            f"{n_codes}; some codes cannot be learned."
        )


def code_usage(counts):
    """Share of each code in the tokens of the training set, and the perplexity of the shares."""
    shares = cb.usage(torch.from_numpy(counts))
    return shares.numpy(), float(cb.perplexity(shares))
