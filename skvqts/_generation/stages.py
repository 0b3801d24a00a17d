"""Stages of a generator's fit: a tokenizer and a prior over its tokens; `flow` is between them."""

import math
from copy import deepcopy

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.frozen import FrozenEstimator
from torch import nn

from .._fitting.checkpoint import fit_part
from .._fitting.on_demand import SlicedSeries
from .._fitting.reading import in_form_of_fit, read_series
from .._fitting.scaling import ColumnMoments
from .._fitting.state import frozen_inside, seeded_clone, shared_parameters
from .._fitting.training import MOST_POINTS, automatic_epochs, order_by_class, training_plan
from .._fitting.validation import (
    TRAINING_CONSTRAINTS,
    IntegerInterval,
    RealInterval,
    StrOptions,
    validate_labels,
)
from .._tokenizer import VQTokenizer
from ..functional.masking import (
    draw_counts,
    draw_masks,
    masked_cross_entropy,
    stratified_masks,
)

PRIOR_CONSTRAINTS = {
    **TRAINING_CONSTRAINTS,
    "tokenizer": [VQTokenizer, FrozenEstimator, None],
    "width": [IntegerInterval(1)],
    "n_layers": [IntegerInterval(0)],
    "n_heads": [IntegerInterval(1)],
    "head_dim": [IntegerInterval(1), StrOptions({"auto"})],
    "feedforward": [IntegerInterval(1), StrOptions({"auto"})],
    "dropout": [RealInterval(0, 0.99), StrOptions({"auto"})],
    "p_unconditional": [RealInterval(0, 1)],
    "ema_decay": [RealInterval(0, 1)],
    "code_temperature": [RealInterval(0)],
    "temperature": [RealInterval(0)],
    "guidance_scale": [RealInterval(0)],
}
SHARED = ("precision", "device", "n_threads", "verbose")  # with the default tokenizer
_EPOCH_ROWS = 1024  # token sequences of an epoch, at least
_MOST_TOKENS = 10_000_000  # that max_epochs="auto" of a prior sees at most
_VALIDATION_ROWS = 512  # held-out token sequences with masks, at least


def default_tokenizer(n_series, n_channels, n_timepoints):
    """The tokenizer of a generator that is given none, for training series of a shape.

    A prior learns few tokens sooner, and few codes of few series. A token stands for all channels,
    so that more of them need more codes and more steps: two for each channel of each series, within
    limits; those of the prior are in `prior_plan`.
    """
    n_rows = n_series * n_channels
    tokenizer = VQTokenizer(
        codebook_size=128 if n_rows >= 200 else 32,
        downsampled_width=16,
    )
    n_epochs = automatic_epochs(
        n_series * n_timepoints,
        math.ceil(n_series / tokenizer.batch_size),
        least_steps=max(600, min(2 * n_rows, 2000)),
        least_epochs=8,
        most_points=MOST_POINTS,
    )
    return tokenizer.set_params(max_epochs=n_epochs)


def searched_tokenizer(estimator, params):
    """What a tokenizer that is None becomes when one of its parameters is set.

    Unlike `default_tokenizer` it cannot know the training series.
    """
    return VQTokenizer(downsampled_width=16, **shared_parameters(estimator, SHARED, params))


def fitted_tokenizer(estimator, X, generator, checkpoint):
    """The first stage: the tokenizer of a generator, frozen, or a clone that is fitted here.

    Parameters
    ----------
    estimator : generator
    X : ndarray of shape (n, c, t)
    generator : torch.Generator
        Seeds a tokenizer that has no `random_state`.
    checkpoint : Checkpoint
        Of the fit of the generator.
    """
    tokenizer = estimator.tokenizer
    if isinstance(tokenizer, FrozenEstimator):
        return frozen_inside(estimator, "tokenizer", (VQTokenizer,))
    if tokenizer is None:
        shared = {name: getattr(estimator, name) for name in SHARED}
        tokenizer = default_tokenizer(*X.shape).set_params(**shared)
        if is_unequal(estimator):
            tokenizer.set_params(missing="mask")
    tokenizer = seeded_clone(tokenizer, generator)
    return fit_part(checkpoint, tokenizer, in_users_form(estimator, X))


def is_unequal(estimator):
    """Whether a generator was fitted to series of unequal length, which has set `lengths_`."""
    return getattr(estimator, "lengths_", None) is not None


def in_users_form(estimator, X):
    """Series ``(n, c, t)`` as the `fit` of a generator was given them, a list or an array."""
    if isinstance(X, SlicedSeries):
        return X.X
    X = in_form_of_fit(estimator, X)
    if not is_unequal(estimator):
        return X
    return [series[..., :length] for series, length in zip(X, estimator.lengths_, strict=True)]


def read_residuals(tokenizer, X, sink):
    """Let a sink take the reconstruction minus series ``(n, c, t)``, both scaled, by chunks."""
    read_series(tokenizer, lambda x: [tokenizer.module_(x) - x], X, sink)


def reconstruction_scale(tokenizer, X):
    """Standard deviation of each channel's reconstruction error, scaled, above 0."""
    moments = [ColumnMoments() for _ in range(X.shape[1])]

    def take(start, results):
        for channel, of_channel in enumerate(moments):
            values = results[0][:, channel]
            values = values[~np.isnan(values)]  # beyond the end of a series there is none
            if len(values):
                of_channel.add(values[:, None])

    read_residuals(tokenizer, X, take)
    scale = np.sqrt([float(m.squares[0]) / m.n_rows for m in moments])
    # A perfect reconstruction would have an unbounded density.
    return np.maximum(scale, np.finfo(np.float32).eps)


def code_distances(tokenizer, X):
    """Squared distances ``(n, N, K)`` of latents to codes, infinite to those of other bands."""
    network = tokenizer.module_
    return read_series(tokenizer, lambda x: [network.distances(network.encode(x))], X)[0]


def learn_classes(estimator, y, n_series):
    """The index of each series' class, int64; sets `classes_` and `class_counts_` with labels."""
    for name in ("classes_", "class_counts_"):  # of a previous fit
        vars(estimator).pop(name, None)
    if y is None:
        return np.zeros(n_series, dtype=np.int64)
    estimator.classes_, classes = validate_labels(estimator, y, n_series)
    estimator.class_counts_ = np.bincount(classes)
    return classes


def keep_training_series(estimator, X, classes):
    """Keep read-only copies of series and labels for scorers, in this process: `X_fit_`, `y_fit_`.

    Pickles do not hold them, as people generate series so as not to share the real ones. A memory
    map is not copied.
    """
    kept = in_users_form(estimator, X)
    if isinstance(X, SlicedSeries):
        pass  # it is read when it is wanted
    elif is_mapped(kept):
        kept = kept.view()
        kept.setflags(write=False)
    else:
        kept = deepcopy(kept)
        for array in kept if isinstance(kept, list) else [kept]:
            array.setflags(write=False)
    estimator.X_fit_ = kept
    vars(estimator).pop("y_fit_", None)  # of a previous fit
    if hasattr(estimator, "classes_"):
        estimator.y_fit_ = estimator.classes_[classes]
        estimator.y_fit_.setflags(write=False)


def is_mapped(X):
    """Whether an array, or the one that it is a view of, lies in a file."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return False


def prior_architecture(estimator, n_series, *, causal):
    """What the prior of a generator is built with, every "auto" resolved; arguments of `Prior`."""
    head_dim = estimator.head_dim
    if head_dim == "auto":
        head_dim = max(1, estimator.width // estimator.n_heads)
    feedforward = estimator.feedforward
    if feedforward == "auto":
        feedforward = 2 * estimator.width
    dropout = estimator.dropout
    if dropout == "auto":
        # Enough to keep samples about as far from the training series as other real series are.
        dropout = 0.1 if n_series < 32 else 0.05
    # Files of generators of series of one length have no such entry.
    ends = {"ends": True} if is_unequal(estimator) else {}
    return {
        **ends,
        **token_alphabet(estimator.tokenizer_),
        "n_classes": len(getattr(estimator, "classes_", ())),
        "width": estimator.width,
        "n_layers": estimator.n_layers,
        "n_heads": estimator.n_heads,
        "head_dim": head_dim,
        "feedforward": feedforward,
        "dropout": dropout,
        "causal": causal,
    }


def token_alphabet(tokenizer):
    """Shape of the tokens, and number and dimension of the codes, of a fitted tokenizer."""
    n_series_tokens = tokenizer.module_.n_series_tokens
    # Files of generators whose tokenizer has no such tokens have no such entry.
    of_series = {"n_series_tokens": n_series_tokens} if n_series_tokens else {}
    return {
        **of_series,
        "grid": tokenizer.token_shape_,
        "n_codes": tokenizer.module_.n_codes,
        "code_dim": tokenizer.codebook_.shape[1],
    }


def prior_plan(estimator, tokens, n_channels):
    """How the prior of a generator is trained on tokens ``(n, N)`` of series of some channels."""
    n_series, n_tokens = tokens.shape
    return training_plan(
        estimator,
        n_series,
        least_steps=max(500, min(2 * n_series * n_channels, 1200)),
        most_points=_MOST_TOKENS,
        n_rows=n_epoch_rows,
        row_length=n_tokens,
    )


def n_epoch_rows(n_series):
    """Number of rows of an epoch: a small training set is gone through several times, as a whole.

    So every series is seen equally often.
    """
    return max(1, math.ceil(_EPOCH_ROWS / n_series)) * n_series


def prior_data(arrays, plan, n_tokens, generator, *, causal):
    """Token sequences to train on, and those held out with the masks of their validation loss.

    Parameters
    ----------
    arrays : list of ndarrays
        Tokens ``(n, N)``, classes ``(n,)`` and, if tokens are drawn anew, distances to the codes.
    plan : TrainingPlan
    n_tokens : sequence of int
        Number of tokens of each band.
    generator : torch.Generator
    causal : bool
        Every token of a held-out sequence is predicted at once then: masks are True throughout.

    Returns
    -------
    training : list of Tensors
    held_out : list of three Tensors or None
        Tokens, classes and masks.
    """
    tensors = [torch.from_numpy(array) for array in arrays]
    ids, classes = tensors[:2]
    order = order_by_class(classes, generator)
    held_out, training = order[: plan.n_held_out], order[plan.n_held_out :]
    training = training[torch.arange(n_epoch_rows(len(training)), device="cpu") % len(training)]
    data = [tensor[training].to(plan.device) for tensor in tensors]
    if plan.n_held_out == 0:
        return data, None
    if causal:
        masks = torch.ones(len(held_out), sum(n_tokens), dtype=torch.bool, device="cpu")
    else:  # several masks for each sequence where there are few, their counts spread evenly
        n_masks = max(4, -(-_VALIDATION_ROWS // len(held_out)))
        masks = torch.cat(
            [
                torch.cat([stratified_masks(n, n_masks, generator)[0] for n in n_tokens], dim=1)
                for _ in range(len(held_out))
            ]
        )
        held_out = held_out.repeat_interleave(n_masks)
    return data, [part.to(plan.device) for part in (ids[held_out], classes[held_out], masks)]


class PriorStep(nn.Module):
    """Prediction of hidden tokens of each band, given those of the bands before.

    Masked modelling (Chang et al. 2022, MaskGIT, section 3.1), or of a causal prior the prediction
    of each token from those before it. A running mean of the weights is kept; it is what held-out
    likelihood is measured with.

    Parameters
    ----------
    prior : Prior
    schedule : str or None
        Schedule of the masks; None for a causal prior, which needs none.
    p_unconditional : float
        Probability that a training step does not see the class of a series.
    ema_decay : float
    code_temperature : float
        Above 0, the tokens of a step are drawn: softmax of minus squared distances over it.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(self, prior, schedule, p_unconditional, ema_decay, code_temperature, generator):
        super().__init__()
        self.prior = prior
        # The optimiser must not move it; `after_step` does.
        self.average = deepcopy(prior).requires_grad_(False)
        self.schedule = schedule
        self.p_unconditional = p_unconditional
        self.ema_decay = ema_decay
        self.code_temperature = code_temperature
        self.generator = generator

    def forward(self, *batch):
        loss = self.training_loss if self.training else self.validation_loss
        return {"prior": loss(*batch)}

    def training_loss(self, ids, classes, distances=None):
        """Loss per hidden token of sequences ``(B, N)``, with masks drawn anew."""
        if distances is not None:
            ids = self._drawn_tokens(ids, distances)
        # Guidance needs the prediction without a class too (Ho and Salimans 2022, algorithm 1).
        u = torch.rand(len(ids), generator=self.generator, device="cpu", dtype=torch.float32)
        unknown = (u < self.p_unconditional).to(classes.device)
        classes = classes.masked_fill(unknown, self.prior.unconditional)
        total = 0.0
        for band, n_tokens in enumerate(self.prior.n_tokens):
            masks = self._masks(len(ids), n_tokens).to(ids.device)
            start, stop = self.prior.span(band)
            masks = masks & (ids[:, start:stop] >= 0)  # what is beyond an end is always seen
            losses = self.prior.cross_entropy(band, ids, masks, classes, self.generator)
            # A band counts by its number of tokens: the loss is a mean over all tokens.
            total = total + n_tokens * masked_cross_entropy(losses, masks, self.schedule)
        return total / ids.shape[1]

    @torch.no_grad()
    def after_step(self, n_taken):
        """Let the running mean follow the weights, faster in the first steps."""
        # The decay grows from 0.1, so that the random initial weights are soon forgotten.
        decay = min(self.ema_decay, n_taken / (n_taken + 9))
        averages = list(self.average.parameters())
        weights = list(self.prior.parameters())
        torch._foreach_lerp_(averages, weights, 1 - decay)

    def validation_loss(self, ids, classes, masks):
        """Negative likelihood bound per token of held-out sequences, by masks that stay."""
        total = 0.0
        masks = masks & (ids >= 0)
        for band, of_band in enumerate(masks.split(self.prior.n_tokens, dim=1)):
            losses = self.average.cross_entropy(band, ids, of_band, classes)
            total = total + of_band.shape[1] * masked_cross_entropy(losses, of_band, "likelihood")
        return total / ids.shape[1]

    def _masks(self, n_rows, n_tokens):
        if self.schedule is None:
            return torch.ones(n_rows, n_tokens, dtype=torch.bool, device="cpu")
        counts = draw_counts(n_rows, n_tokens, self.schedule, self.generator)
        return draw_masks(counts, n_tokens, self.generator)

    def _drawn_tokens(self, ids, distances):
        """Tokens drawn by their distances; those of other bands are infinitely far."""
        nearest = distances.amin(-1, keepdim=True)  # at 0, or small temperatures underflow
        shares = F.softmax((nearest - distances) / self.code_temperature, dim=-1)
        # The largest of p_i / E_i, with E_i exponential, is a draw from p.
        noise = torch.empty(shares.shape, device="cpu", dtype=shares.dtype).exponential_(
            generator=self.generator
        )
        drawn = (shares / noise.to(shares.device)).argmax(-1)
        return torch.where(ids < 0, ids, drawn)
