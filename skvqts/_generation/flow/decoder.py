"""FlowDecoder: series drawn given their tokens, where a tokenizer decodes their mean."""

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ..._files.encoding import storable
from ..._fitting.checkpoint import fit_part, open_checkpoint
from ..._fitting.on_demand import rows_of, subset
from ..._fitting.progress import Progress
from ..._fitting.reading import chunk_size, in_chunks, in_form_of_fit
from ..._fitting.runtime import computing
from ..._fitting.state import (
    TorchStateMixin,
    all_or_nothing,
    seeded_clone,
    shared_parameters,
    with_default_parts,
)
from ..._fitting.training import hold_out, set_trained, train, training_plan
from ..._fitting.validation import (
    TRAINING_CONSTRAINTS,
    IntegerInterval,
    RealInterval,
    StrOptions,
    _fit_context,
    generator_from,
    resolve_device,
    validate_known_classes,
    validate_series,
    validate_tokens,
)
from ..._nn.layers import build
from ..._random_convolutions import RandomConvolutionExtractor
from ..._tokenizer import VQTokenizer, code_ranges
from ...exceptions import warn_user
from ...functional.flow import energy_distance, walk
from ..sampling import checked_tokenizer, decode_scaled, row_stream, seed_of
from ..stages import (
    SHARED,
    fitted_tokenizer,
    in_users_form,
    learn_classes,
    n_epoch_rows,
    searched_tokenizer,
)
from .exactness import Exactness, repeats_of
from .network import VelocityNetwork
from .training import (
    FlowStep,
    NearCodes,
    TokenMeans,
    energy_scores,
    residual_scale,
    with_draws,
)

LEAST_SERIES = 10  # of which a fifth can be held out
_MANY_SERIES = 200  # from which on dropout does no good
_MOST_HELD_OUT = 32
_MOST_COMPARED = 500  # training series that draws are compared with
_LEAST_COMPARED = 200  # draws
_KERNELS = 200
_MARGIN = 0.005  # of distances that are as good as equal
_KERNEL_SEED = 12345  # of other kernels than any referee's
_LONGER = 2  # times the epochs of a training whose rate had not fallen yet
_MAX_ROWS = 32  # of an inference chunk
_STREAM = 100  # of the random numbers of a row; those of tokens come before


@storable
class FlowDecoder(TorchStateMixin, BaseEstimator):
    """Series drawn given their tokens and class: a decoder that is sampled, by flow matching.

    The decoder of a VQ-VAE returns the mean of the series that share some tokens: smooth where they
    are rough, and a classifier recognises it at once. Here a small U-Net learns what is missing,
    the residual of the mean, by conditional flow matching [1]_: the velocity with which noise
    becomes a residual, given the mean, the class and, if any, the values that were observed.

    It learns with tokens of which three in ten are drawn anew from near codes, as a prior errs.
    Few series are held out in part; where the network begins to learn the others by heart, it is
    trained anew on all of them, for twice as long as that took. Where its draws
    predict the series that were held out worse than their mean does, or are less like the training
    series, it says so and series are decoded to their mean.

    What all training series have exactly, samples have as well: level and scale where these are
    the same for all, values that repeat the one before, values that are multiples of a step.

    Parameters
    ----------
    tokenizer : VQTokenizer, FrozenEstimator or None, default=None
        What the tokens are of, as of `MaskedPriorGenerator`, which passes its own.

    width : int or "auto", default="auto"
        Channels of the network at full resolution; it has up to four times as many at an eighth of
        it. "auto": twice the channels of a series, but 16 at least and 64 at most.

    dropout : float or "auto", default="auto"
        Dropout of what each block adds. "auto": 0.1 for fewer than 200 series, 0 for more.

    n_steps : int, default=4
        Steps from noise to a series, by the midpoint method: two passes of the network each. It may
        be changed after `fit`.

    batch_size : int, default=32
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set, which is repeated as a whole until it has 1,024 series or
        more. "auto": four steps for each series, but 800 at least and 2,000 at most, within a bound
        of work.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of linear and convolution layers.

    early_stopping : bool, default=True
        Hold `validation_fraction` of the series out, to find the number of epochs and to judge
        what is drawn. False: train on all series, and draw in any case.

    validation_fraction : float, default=0.2
        Share of the series that is held out.

    n_iter_no_change : int, default=3
        Number of epochs without improvement after which a training with held-out series ends.

    tol : float, default=0.0
        Least improvement of the validation loss that counts.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the network's matrix products in training; losses and inference are always
        float32. "auto": bfloat16 on CPUs with instructions for it, float32 elsewhere; `precision_`
        tells. So equal bits are promised for one kind of CPU.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        Most CPU threads of `fit` and of what follows it; None is one. Never more than
        `OMP_NUM_THREADS`, `torch.get_num_threads()` and the CPUs of the process allow.

    verbose : int, default=0
        1 prints about ten lines a training, higher numbers print more. 0 only logs how long the
        fit will take, and how far it is, if that is more than a minute.

    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, sample order and noise, and of the tokenizer if it has none.

    Attributes
    ----------
    tokenizer_ : VQTokenizer
        The fitted tokenizer.
    is_used_ : bool
        Whether series are drawn: draws are better than means by both of what follows, or no series
        were held out to tell. After a Ctrl-C that came before it was known they are not.
    energy_scores_ : tuple of float, or None
        Energy score of the mean and of draws of held-out series [2]_, in units of the residual;
        None where none were held out, or Ctrl-C came before.
    sample_distances_ : tuple of float, or None
        Energy distance of training series to means and to draws of their disturbed tokens, by
        features of random convolutions, as a share of their distance from each other; None where no
        series were held out, or Ctrl-C came before. That of draws may be larger by 0.005.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; only after a fit with labels.
    class_counts_ : ndarray of shape (n_classes,)
        Number of training series of each class; only after a fit with labels.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean flow matching loss per epoch; "validation" where the training with held-out series is
        the one that was kept.
    architecture_ : dict
        What the network was built with.
    residual_scale_ : ndarray of shape (n_channels_in_, 1)
        Standard deviation of scaled series around the mean of their disturbed tokens.
    n_iter_ : int
        Number of epochs of the training that was kept.
    interrupted_ : bool
        Whether Ctrl-C ended it; the weights are those of the last finished epoch, or of the best.
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the network is.
    n_threads_ : int
        CPU threads used in `fit`.
    precision_ : {"float32", "bfloat16"}
        Precision of the training.
    module_ : torch.nn.Module
        The network that predicts velocities, in evaluation mode.

    References
    ----------
    .. [1] Lipman, Chen, Ben-Hamu, Nickel, Le. "Flow matching for generative modeling", 2023.
    .. [2] Gneiting, Raftery. "Strictly proper scoring rules, prediction, and estimation", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import FlowDecoder, VQTokenizer
    >>> rng = np.random.default_rng(0)
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None]) + rng.normal(0, 0.1, (20, 40))
    >>> tokenizer = VQTokenizer(codebook_size=8, max_epochs=20)
    >>> decoder = FlowDecoder(tokenizer, max_epochs=2, random_state=0).fit(X)
    >>> decoder.sample(decoder.tokenizer_.encode(X), random_state=0).shape
    (20, 40)
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "tokenizer": [VQTokenizer, FrozenEstimator, None],
        "width": [IntegerInterval(1), StrOptions({"auto"})],
        "dropout": [RealInterval(0, 0.99), StrOptions({"auto"})],
        "n_steps": [IntegerInterval(1)],
    }

    def __init__(
        self,
        tokenizer=None,
        *,
        width="auto",
        dropout="auto",
        n_steps=4,
        batch_size=32,
        max_epochs="auto",
        learning_rate=2e-3,
        weight_decay=1e-2,
        early_stopping=True,
        validation_fraction=0.2,
        n_iter_no_change=3,
        tol=0.0,
        precision="auto",
        device="auto",
        n_threads=None,
        verbose=0,
        random_state=None,
    ):
        self.tokenizer = tokenizer
        self.width = width
        self.dropout = dropout
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.precision = precision
        self.device = device
        self.n_threads = n_threads
        self.verbose = verbose
        self.random_state = random_state

    def set_params(self, **params):
        """Set parameters, also those of a tokenizer that is not given.

        Parameters
        ----------
        **params : dict
            Such as ``tokenizer__codebook_size=64``: a `tokenizer` that is None becomes
            ``VQTokenizer(downsampled_width=16)`` first.

        Returns
        -------
        self : FlowDecoder
        """
        makers = {"tokenizer": lambda _: searched_tokenizer(self, params)}
        return super().set_params(**with_default_parts(self, params, makers))

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y=None, *, checkpoint=None):
        """Learn the velocity of a flow from noise to the residuals of decoded series, by AdamW.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,) or None, default=None
            Their classes; series are then drawn given them.
        checkpoint : str, path-like or None, default=None
            File that keeps what has been learned so far, about every half minute. A fit that was
            killed and is run again with the same data, parameters and file goes on from there, and
            ends with the same bits; one with others is refused. The file is removed at the end.

        Returns
        -------
        self : FlowDecoder

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, or `device` is not present.
        TypeError
            If `X` is sparse or not numeric, or `tokenizer` holds something else.
        NotFittedError
            If `tokenizer` is a FrozenEstimator of a tokenizer that is not fitted.
        ModelFileError
            If `checkpoint` is a file of another kind, or damaged.
        DivergedError
            If the loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; if it comes in the training, after its first epoch, the estimator is fitted
            all the same.
        """
        X_given = X
        X = validate_series(self, X, reset=True, min_samples=2)
        classes = learn_classes(self, y, len(X))
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, y, generator)
        resolve_device(self.device)
        self.tokenizer_ = fitted_tokenizer(self, X, generator, checkpoint)
        self._codebook = self.tokenizer_.codebook_  # `sample` asks whether it is still the same
        self._exactness = Exactness(X, classes)
        plan = flow_plan(self, len(X))
        self.architecture_ = flow_architecture(self, len(X), len(self._exactness.repeating))
        with computing(plan.device, plan.n_threads, training=True):
            data = self._tensors(X, classes, plan.device)
            means, near_codes = TokenMeans(self.tokenizer_, plan.device), NearCodes(self.tokenizer_)
            scale = residual_scale(means, near_codes, data[0], data[2], generator)
            self.residual_scale_ = scale.cpu().numpy()
            new_step = partial(flow_step, self, means, near_codes, scale, generator)
            learned = learn(self, new_step, data, plan, generator, (X_given, y), checkpoint)
            plan, step, record, self.energy_scores_ = learned
            set_trained(self, step.average.requires_grad_(True), plan, record)
        self.sample_distances_ = None
        self.is_used_ = plan.n_held_out == 0  # without held-out series nothing tells
        if self.energy_scores_ is not None and not record.interrupted:
            with computing(plan.device, plan.n_threads):
                self.sample_distances_ = sample_distances(self, X, data[2], classes, generator)
            self.is_used_ = is_better(self.energy_scores_, self.sample_distances_)
        checkpoint.close(self)
        return self

    def sample(self, tokens, *, y=None, random_state=None):
        """Draw series given their tokens.

        Row i depends on `random_state`, i, its tokens and its class only.

        Parameters
        ----------
        tokens : array-like of shape (n, n_tokens)
            As `tokenizer_.encode` gives them.
        y : label, array-like of shape (n,) or None, default=None
            Their classes; None for classes that are not known.
        random_state : int, RandomState instance or None, default=None
            None: the `random_state` of the decoder.

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`
            Series in the units of the training set, float32, or float64 where that would lose
            detail (``tokenizer_.scaler_.dtype``); where `is_used_` is False, their means.

        Raises
        ------
        ValueError
            If `tokens` are not valid, `y` holds a class that `fit` did not see, or the tokenizer
            has been fitted anew since.
        """
        check_is_fitted(self)
        self._validate_params()
        if not np.array_equal(self.tokenizer_.codebook_, self._codebook):
            raise ValueError(
                "The tokenizer of this FlowDecoder has been fitted anew since, to other tokens: "
                "fit the decoder again."
            )
        tokens = validate_tokens(self, tokens, code_ranges(self.tokenizer_))
        if y is None:
            classes = np.full(len(tokens), self.architecture_["n_classes"])
        else:
            classes = validate_known_classes(self, y, len(tokens))
        if not self.is_used_:
            return self.tokenizer_.decode(tokens)
        X = drawn_series(self, tokens, classes, seed_of(self, random_state))
        return in_form_of_fit(self, X)

    def _tensors(self, X, classes, device):
        """Scaled series, repeats, tokens and classes of training series ``(n, c, t)``."""
        repeating = self._exactness.repeating
        return [
            rows_of(X, self.tokenizer_.scaler_.transform, device),
            rows_of(X, lambda X: repeats_of(X)[:, repeating].astype(np.float32), device),
            torch.from_numpy(self.tokenizer_.encode(X)).to(device),
            torch.from_numpy(classes).to(device),
        ]

    def _network_constructor(self):
        return partial(VelocityNetwork, **self.architecture_)


def searched_decoder(estimator, params):
    """What a decoder that is "auto" becomes when one of its parameters is set."""
    return FlowDecoder(**shared_parameters(estimator, SHARED, params))


def fitted_decoder(estimator, X, y, generator, checkpoint):
    """The decoder of a generator, fitted to series ``(n, c, t)``, or None where it has none.

    Parameters
    ----------
    estimator : generator
        With a fitted tokenizer.
    X : ndarray of shape (n, c, t)
    y : array-like of shape (n,) or None
    generator : torch.Generator
        Seeds a decoder that has no `random_state`.
    checkpoint : Checkpoint
        Of the fit of the generator.
    """
    decoder = estimator.decoder
    if decoder is None or (decoder == "auto" and len(X) < LEAST_SERIES):
        return None
    if decoder == "auto":
        decoder = searched_decoder(estimator, {})
    decoder = seeded_clone(decoder, generator)
    decoder.set_params(tokenizer=FrozenEstimator(estimator.tokenizer_))
    return fit_part(checkpoint, decoder, in_users_form(estimator, X), y)


def drawing_decoder(estimator):
    """The decoder that draws series for a generator, or None where tokens stand for their mean."""
    decoder = estimator.decoder_
    return decoder if decoder is not None and decoder.is_used_ else None


def decoded_series(estimator, ids, classes, seed, first_row=0):
    """Series ``(n, c, t)`` of tokens that a generator has drawn: drawn in turn, or their means."""
    tokenizer = checked_tokenizer(estimator)
    decoder = drawing_decoder(estimator)
    if decoder is None:
        return tokenizer.scaler_.inverse(decode_scaled(estimator, ids))
    return drawn_series(decoder, ids, classes, seed, first_row)


def drawn_series(decoder, ids, classes, seed, first_row=0):
    """Series ``(n, c, t)`` that a fitted FlowDecoder draws for tokens and classes.

    Parameters
    ----------
    decoder : fitted FlowDecoder
    ids : int64 ndarray of shape (n, N)
    classes : int64 ndarray of shape (n,)
    seed : int
    first_row : int
        Number of the first row in the sample.
    """
    keys = [(seed, first_row + row) for row in range(len(ids))]
    scaled, repeats, heights = drawn_scaled(decoder, ids, classes, keys)
    X = decoder.tokenizer_.scaler_.inverse(scaled)
    exact = decoder._exactness.impose(X.astype(np.float64), repeats > 0, classes, heights)
    return exact.astype(X.dtype)


def exact_in_gaps(estimator, X, known):
    """Series ``(n, c, t)`` whose gaps a generator has filled, with what its own have exactly."""
    decoder = drawing_decoder(estimator)
    return X if decoder is None else decoder._exactness.impose_in_gaps(X, known)


def drawn_scaled(decoder, ids, classes, keys, series=None, known=None):
    """Scaled series that a fitted FlowDecoder draws, given tokens, classes and observed values.

    Parameters
    ----------
    decoder : fitted FlowDecoder
    ids : int64 ndarray of shape (n, N)
    classes : int64 ndarray of shape (n,)
    keys : list of n pairs of int
        Seed and row of the random numbers of each series.
    series : float32 ndarray of shape (n, c, t) or None
        Scaled series of which something was observed.
    known : bool ndarray of shape (n, c, t) or None
        What was.

    Returns
    -------
    scaled : float32 ndarray of shape (n, c, t)
    repeats : float32 ndarray of shape (n, r, t)
        Above 0 where a value of a channel that often repeats its last one is to do so.
    heights : float64 ndarray of shape (n,)
        Numbers in [0, 1), by which each series gets a step of its instrument.
    """
    device = torch.device(decoder.device_)
    means = TokenMeans(decoder.tokenizer_, device)
    scale = torch.from_numpy(decoder.residual_scale_).to(device)
    n_channels, n_timepoints = decoder.n_channels_in_, decoder.n_timepoints_in_
    n_flowing = decoder.architecture_["n_flowing"]

    def draw_chunk(rows):
        streams = [row_stream(*keys[row], _STREAM) for row in rows.tolist()]
        heights = np.array([stream.random() for stream in streams])
        shape = (n_flowing, n_timepoints)
        noise = np.stack([stream.standard_normal(shape, dtype=np.float32) for stream in streams])
        codes, decoded = means(torch.from_numpy(ids[rows]))
        shown = is_shown = torch.zeros_like(decoded)
        if known is not None:
            is_shown = torch.from_numpy(known[rows]).to(decoded)
            observed = torch.from_numpy(series[rows]).to(device)
            shown = is_shown * (observed - decoded) / scale
        given = (codes, decoded, shown, is_shown, torch.from_numpy(classes[rows]).to(device))

        def predict(points, time):
            return decoder.module_(points, points.new_full((len(points),), time), *given)

        points = walk(predict, torch.from_numpy(noise).to(device), decoder.n_steps)
        residuals, repeats = points.split([n_channels, n_flowing - n_channels], dim=1)
        scaled = decoded + residuals * scale
        return [scaled.cpu().numpy(), repeats.cpu().numpy(), heights]

    rows = min(_MAX_ROWS, chunk_size(n_channels * n_timepoints))
    with computing(device, decoder.n_threads_):
        return in_chunks(draw_chunk, np.arange(len(ids)), rows, type(decoder).__name__)


def flow_plan(decoder, n_series):
    """How a decoder is trained on so many series."""
    plan = training_plan(
        decoder,
        n_series,
        least_steps=max(800, min(4 * n_series, 2000)),
        n_rows=n_epoch_rows,
    )
    return replace(plan, n_held_out=min(plan.n_held_out, _MOST_HELD_OUT))


def flow_architecture(decoder, n_series, n_repeating):
    """What the network of a decoder is built with, every "auto" resolved."""
    n_channels = decoder.n_channels_in_
    width, dropout = decoder.width, decoder.dropout
    if width == "auto":
        width = max(16, min(2 * n_channels, 64))
    if dropout == "auto":
        dropout = 0.1 if n_series < _MANY_SERIES else 0.0
    return {
        "n_channels": n_channels,
        "n_timepoints": decoder.n_timepoints_in_,
        "n_flowing": n_channels + n_repeating,
        "n_classes": len(getattr(decoder, "classes_", ())),
        "grid": decoder.tokenizer_.module_.latent_grid,
        "code_dim": decoder.tokenizer_.encoder_.latent_dim,
        "width": width,
        "dropout": dropout,
    }


def flow_step(decoder, means, near_codes, scale, generator):
    """A training step of a new network; the arguments are those of `FlowStep`."""
    network = build(decoder._network_constructor(), generator).to(scale.device)
    repeating = decoder._exactness.repeating.tolist()
    return FlowStep(network, means, near_codes, scale, repeating, generator)


def learn(decoder, new_step, data, plan, generator, told, checkpoint):
    """Train with held-out series, which say when the others are known by heart; then on all.

    Parameters
    ----------
    decoder : FlowDecoder
    new_step : callable
        Makes the training step of a new network.
    data : list of Tensors
        Scaled series, repeats, tokens and classes.
    plan : TrainingPlan
    generator : torch.Generator
    told : pair
        The series and labels that callbacks are handed.
    checkpoint : Checkpoint

    Returns
    -------
    plan : TrainingPlan
        Of the training that was kept.
    step : FlowStep
    record : TrainingRecord
    energy_scores : tuple of float, or None
        Of the mean and of draws of the held-out series; None without any, or after Ctrl-C.
    """
    step = new_step()
    training, held_out = hold_out(data, plan, generator, data[3])
    validation = None
    if held_out is not None:
        held_out = [part[:] for part in held_out]  # few, and used as they are
        validation = with_draws(step, held_out)
    progress = Progress(decoder, plan, *told)
    record = train(step, repeated(training), plan, generator, validation, progress, checkpoint)
    if held_out is None or record.interrupted:
        return plan, step, record, None
    scores = energy_scores(step, held_out, decoder.n_steps)
    if record.n_epochs < plan.n_epochs:
        # The others were known by heart: all are learned, for less long.
        plan = replace(plan, n_epochs=min(epochs_enough(record), plan.n_epochs))
        step = new_step()
        progress = Progress(decoder, plan, *told)
        record = train(step, repeated(data), plan, generator, None, progress, checkpoint)
    return plan, step, record, scores


def repeated(data):
    """Rows of an epoch: few series are gone through several times."""
    n_series = len(data[0])
    rows = torch.arange(n_epoch_rows(n_series), device=data[0].device) % n_series
    return [subset(tensor, rows) for tensor in data]


def epochs_enough(record):
    """Number of epochs in which all series are learned, but not by heart.

    The rate of the training with held-out series had not fallen yet at its best epoch.
    """
    best = int(np.argmin(record.losses["validation"])) + 1
    return _LONGER * best


def sample_distances(decoder, X, ids, classes, generator):
    """How far means and draws of training series lie from these: energy distances of features.

    Their tokens are disturbed, as those of a prior are. The features are of random convolutions,
    other ones than those of the scores of generated series.

    Parameters
    ----------
    decoder : FlowDecoder
        Whose network is trained.
    X : ndarray of shape (n, c, t)
    ids : int64 Tensor of shape (n, N)
    classes : int64 ndarray of shape (n,)
    generator : torch.Generator

    Returns
    -------
    of_means, of_draws : float
    """
    seed = int(torch.randint(2**31 - 1, (1,), generator=generator, device="cpu"))
    rows = np.random.RandomState(seed).permutation(len(X))[:_MOST_COMPARED]
    times = -(-_LEAST_COMPARED // len(rows))
    near_codes = NearCodes(decoder.tokenizer_)
    redrawn = near_codes.redraw(ids[torch.from_numpy(rows)].repeat(times, 1), generator)
    redrawn = redrawn.cpu().numpy()
    draws = drawn_series(decoder, redrawn, np.tile(classes[rows], times), seed)
    means = decoder.tokenizer_.decode(redrawn).reshape(draws.shape)
    extractor = RandomConvolutionExtractor(
        _KERNELS, n_threads=decoder.n_threads, random_state=_KERNEL_SEED
    ).set_output(transform="default")
    real = extractor.fit_transform(X[rows]).astype(np.float64)
    scale = np.maximum(real.std(axis=0), 1e-6)
    real, means, draws = (
        torch.from_numpy(features / scale)
        for features in (real, extractor.transform(means), extractor.transform(draws))
    )
    apart = torch.cdist(real, real).mean()
    return tuple(float(energy_distance(real, drawn) / apart) for drawn in (means, draws))


def is_better(energy_scores, distances):
    """Whether draws are better than means by both measures; it warns if not."""
    if energy_scores[1] < energy_scores[0] and distances[1] < distances[0] + _MARGIN:
        return True
    warn_user(
        "What the decoder draws is further from the training series, or from those held out, than "
        "their mean is: series are decoded to their mean. More series or a larger max_epochs help."
    )
    return False
