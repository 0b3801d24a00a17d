"""SSLFeatureExtractor: features of series that are learned without labels."""

from functools import partial

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._codebooks.learning import learn_codebooks, learn_invariance, random_codebooks
from ._files.encoding import storable
from ._fitting.checkpoint import open_checkpoint
from ._fitting.on_demand import mapped, rows_of
from ._fitting.progress import Progress
from ._fitting.reading import read_at_the_end, read_output, read_rows, read_series
from ._fitting.runtime import computing
from ._fitting.scaling import ColumnMoments, ColumnScaler
from ._fitting.state import (
    CallbackSupportMixin,
    TorchStateMixin,
    all_or_nothing,
    network_to_train,
    with_default_parts,
)
from ._fitting.training import hold_out, set_trained, train, training_plan
from ._fitting.validation import (
    TRAINING_CONSTRAINTS,
    IntegerInterval,
    StrOptions,
    _fit_context,
    generator_from,
    holds_series,
    validate_series,
)
from ._nn.encoders import (
    FRONT_ENDS,
    activations_inside,
    make_decoder,
    make_encoder,
    resolved_sizes,
    tokens_inside,
)
from ._nn.layers import build, estimate_statistics
from ._nn.self_supervision import SelfSupervision, View
from .augmentation import PRESETS, Augmentation, make_augmentation
from .exceptions import CollapseWarning, warn_user
from .functional.collapse import effective_rank, has_collapsed, relative_std
from .functional.gaps import ended, ends, lasting
from .functional.readout import pooled_features, pooled_latents
from .objectives import OBJECTIVES, Objective, make_objective

OUTPUTS = ("features", "encoder_features", "latents", "latents_pooled")
_COLLAPSE_ROWS = 1024  # series that collapse is measured on
_SCALED_ROWS = 2048  # series that columns are scaled by

# of every estimator that trains an encoder
ENCODER_CONSTRAINTS = {
    "frontend": [StrOptions(set(FRONT_ENDS))],
    "width": [IntegerInterval(1)],
    "latent_dim": [IntegerInterval(1), StrOptions({"auto"})],
    "n_blocks": [IntegerInterval(0), StrOptions({"auto"})],
    "downsampled_width": [IntegerInterval(1), StrOptions({"auto"})],
    "scaling": [StrOptions({"train", "series"})],
    "missing": [StrOptions({"refuse", "mask"})],
    "warm_start": ["boolean"],
}


@storable
class SSLFeatureExtractor(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    TorchStateMixin,
    BaseEstimator,
):
    """Features of series by codebooks and an encoder that learn from the series themselves.

    Two things are learned, both without labels. The default features count which windows of the
    training series occur in a series: many codebooks of eight windows each, at all scales of the
    series, their differences, running sums and spectrum. Kept are those codebooks whose counts
    differ between series but hardly between random views of one; what views still change is taken
    away, and each series moves a quarter of the way to its nearest training series. An encoder is
    trained by a self-supervised objective: two random views of a series are to have similar
    representations, and views of different series different ones; or hidden parts are to be
    reconstructed. It makes the other outputs, and is what a `FineTunedClassifier` trains further.

    Parameters
    ----------
    objective : str or objective, default="vicreg"
        What trains the encoder: "barlow_twins", "vicreg", "vibcreg", "vcreg", "simclr", "moco",
        "byol", "masked", or an object of `skvqts.objectives` with parameters of its own. The
        default features do not depend on it, nor on the number of epochs: search over objectives
        with another `output`.

    augmentation : {"gauss", "slice", "warp"} or augmentation, default="warp"
        What makes the views: a published set [1]_ or an object of `skvqts.augmentation`. The
        encoder does not use it with "masked".

    codebooks : {"learned", "random"}, default="learned"
        How the codebooks of "features" come about. "learned": windows of training series; the more
        reliable half of twice as many as are asked for. "random": noise, and nothing is learned of
        views or neighbours; a baseline.

    n_codebooks : int, default=256
        Number of codebooks; "features" have 32 columns for each.

    output : {"features", "encoder_features", "latents", "latents_pooled"}, default="features"
        What `transform` returns, always as a 2-D float32 array, for n series of N tokens
        with latents of dimension D:

        - "features": for each code of each codebook how strongly it fits where it fits best of the
          eight, how often it fits worst [3]_, and how often its fit is above two levels [4]_.
          Scaled so that over the training set (at most 2,048 series of it, evenly spaced) each
          column has mean 0 and the variances of the columns add up to 25 (less where some are
          constant), where ``C=1`` suits an SVC; meant for a classifier right after it.
        - "encoder_features": pooled latents and pooled activations of the encoder's inner layers,
          scaled in the same way.
        - "latents": the latents, flattened (n, N * D).
        - "latents_pooled": means, deviations and mean differences of the latents over all tokens
          and quarters of them: of the series, or with "stft" of the frequency rows in turn.

        It can be changed after `fit`.

    frontend : {"multiscale", "conv", "patches", "stft"}, default="multiscale"
        "multiscale": kernels of nine points at all dilations on the series itself, then residual
        blocks. "conv" and "stft": convolutions at the resolution of the tokens, and on a
        short-time Fourier transform, as in `VQTokenizer`. "patches": a transformer over patches of
        the series.

    width : int, default=64
        Number of channels of the convolutions; "multiscale" has four times as many kernels.

    latent_dim : int or "auto", default="auto"
        Dimension D of the latents. "auto" is 64 for "stft", else 128.

    n_blocks : int or "auto", default="auto"
        Number of residual blocks. "auto" is 4 for "stft", else 2.

    downsampled_width : int or "auto", default="auto"
        About how many tokens there are along time. "auto" is 8 for "stft", which has five rows
        of tokens, else 32.

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost.

    missing : {"refuse", "mask"}, default="refuse"
        What is done about missing values, which are NaN or masked values of a masked array. With
        "mask" series may have some, in `fit` as later, but each needs a known value: the encoder
        sees straight lines across gaps and, as further channels, how deep in a gap each value
        lies; no loss compares anything with what is missing. In training about half of
        the series lose more values at random, so that gaps need not be in the training set.
        Series may be of unequal length, as a list of arrays (t_i,) or (c, t_i), see
        `as_series_list`: what is missing after the last known value of a series is beyond its end,
        where nothing has a part in a loss or a feature.

    batch_size : int, default=64
        Series per training step, at least 2.

    max_epochs : int or "auto", default="auto"
        Passes of the encoder over the training set. "auto": as many as make 100 steps, but no more
        than see 100 million time points in all, which takes minutes.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. At
        least eight are held out, but not more than half.

    validation_fraction : float, default=0.1
        Share of the series that early stopping holds out.

    n_iter_no_change : int, default=10
        Number of epochs without improvement after which early stopping ends the training.

    tol : float, default=1e-4
        Least improvement of the validation loss that counts.

    warm_start : bool, default=False
        Continue from the encoder and scaling of the previous `fit`; the projector of the
        objective, which is not kept, starts anew, and codebooks are learned anew.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the network's matrix products in training; losses and
        inference are always float32. "auto": bfloat16 on CPUs with instructions for it, float32
        elsewhere; `precision_` tells. So equal bits are promised for one kind of CPU.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        Most CPU threads of `fit` and of what follows it; None is one. Never more than
        `OMP_NUM_THREADS`, `torch.get_num_threads()` and the CPUs of the process (joblib's count)
        allow; `n_threads_` tells. The same number gives the same bits. More than one pays off
        only for large work on idle cores.

    verbose : int, default=0
        1 prints about ten lines a fit, higher numbers print more. 0 only logs how long the fit will
        take, and how far it is, if that is more than a minute.

    random_state : int, RandomState instance or None, default=None
        Seed of codebooks, initial weights, sample order and views.

    Attributes
    ----------
    latent_std_ : ndarray of shape (latent_dim,)
        Standard deviation over the training series of each dimension of the pooled latents, in
        units of the latents' own: near 0 where all series are alike (collapse). It is measured on
        at most 1,024 series, evenly spaced, as is the effective rank.
    effective_rank_ : float
        Number of directions in which the pooled latents of the training series differ: the
        exponential of the entropy of their singular values [2]_.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean loss per epoch: "ssl", unweighted; "loss", the same; with early stopping, "validation",
        that of held-out series.
    n_iter_ : int
        Number of epochs run.
    interrupted_ : bool
        Whether Ctrl-C ended the training; the weights are those of the last finished epoch,
        or of the best one with early stopping. Statistics of the training set are then those of a
        few series, evenly spaced, as are the scales of "features" and "encoder_features".
    token_shape_ : tuple of (int, int)
        Rows and columns of the tokens: ``((1, N),)`` but for "stft", with time as column.
    architecture_ : dict
        What the encoder was built with; every parameter that was "auto" is resolved.
    scaler_ : SeriesScaler
        What standardises series before the encoder sees them; its `mean_` and `scale_` have
        shape (1, n_channels_in_, 1).
    encoder_ : torch.nn.Module
        The encoder, which makes latents ``(n, N, D)`` of scaled series ``(n, c, t)``.
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`, of a list the longest.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the encoder is.
    n_threads_ : int
        CPU threads used in `fit`.
    precision_ : {"float32", "bfloat16"}
        Precision of the training.
    module_ : torch.nn.Module
        The encoder as well, in evaluation mode: what every trained estimator calls its network.

    References
    ----------
    .. [1] Mathisen, Lokna, Lee, Aune. "Blending low and high-level semantics of time series for
       better masked time series generation" (NC-VQVAE), 2024.
    .. [2] Roy, Vetterli. "The effective rank: a measure of effective dimensionality", 2007.
    .. [3] Dempster, Schmidt, Webb. "Hydra: competing convolutional kernels for fast and accurate
       time series classification", 2023.
    .. [4] Dempster, Schmidt, Webb. "MiniRocket: a very fast (almost) deterministic transform for
       time series classification", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import SSLFeatureExtractor
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> extractor = SSLFeatureExtractor(width=8, max_epochs=5, random_state=0)
    >>> extractor.fit_transform(X).shape
    (20, 8192)
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        **ENCODER_CONSTRAINTS,
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "augmentation": [StrOptions(set(PRESETS)), Augmentation],
        "codebooks": [StrOptions({"learned", "random"})],
        "n_codebooks": [IntegerInterval(1)],
        "output": [StrOptions(set(OUTPUTS))],
        "batch_size": [IntegerInterval(2)],
    }

    def __init__(
        self,
        objective="vicreg",
        *,
        augmentation="warp",
        codebooks="learned",
        n_codebooks=256,
        output="features",
        frontend="multiscale",
        width=64,
        latent_dim="auto",
        n_blocks="auto",
        downsampled_width="auto",
        scaling="train",
        missing="refuse",
        batch_size=64,
        max_epochs="auto",
        learning_rate=2e-3,
        weight_decay=1e-2,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        warm_start=False,
        precision="auto",
        device="auto",
        n_threads=None,
        verbose=0,
        random_state=None,
    ):
        self.objective = objective
        self.augmentation = augmentation
        self.codebooks = codebooks
        self.n_codebooks = n_codebooks
        self.output = output
        self.frontend = frontend
        self.width = width
        self.latent_dim = latent_dim
        self.n_blocks = n_blocks
        self.downsampled_width = downsampled_width
        self.scaling = scaling
        self.missing = missing
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.warm_start = warm_start
        self.precision = precision
        self.device = device
        self.n_threads = n_threads
        self.verbose = verbose
        self.random_state = random_state

    def set_params(self, **params):
        """Set parameters, also those of an objective or augmentation that is a name.

        Parameters
        ----------
        **params : dict
            Such as ``objective__weight=0.1``: the objective of a name becomes an object first.

        Returns
        -------
        self : SSLFeatureExtractor
        """
        makers = {"objective": make_objective, "augmentation": make_augmentation}
        return super().set_params(**with_default_parts(self, params, makers))

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y=None, *, checkpoint=None):
        """Learn codebooks of windows, then the encoder by a loss of two views, with AdamW.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
            Training series; at least two. NaN stands for a missing value, and a list holds series
            of unequal length, see `missing`.
        y : ignored
        checkpoint : str, path-like or None, default=None
            File that keeps what has been learned so far, about every half minute. A fit that was
            killed and is run again with the same data, parameters and file goes on from there, and
            ends with the same bits; one with others is refused. The file is removed at the end.

        Returns
        -------
        self : SSLFeatureExtractor

        Raises
        ------
        ValueError
            If `X` or a parameter is not valid, or `device` is not present.
        TypeError
            If `X` is sparse or not numeric.
        ModelFileError
            If `checkpoint` is a file of another kind, or damaged.
        DivergedError
            If the loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; if it comes in the training, after its first epoch, the estimator is fitted
            all the same.

        Warns
        -----
        CollapseWarning
            If the training series hardly differ in what was learned.
        """
        warm = self.warm_start and hasattr(self, "module_")
        X_given = X  # callbacks are handed what the user passed
        X = validate_series(self, X, reset=not warm, min_samples=2, missing=self.missing)
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, None, generator)
        plan = training_plan(
            self,
            len(X),
            least_steps=100,
            least_epochs=1,
            least_batch=2,
            least_held_out=8,
        )

        self.architecture_ = encoder_architecture(self, X)
        shaped_by = (self.architecture_, self.scaling)
        with computing(plan.device, plan.n_threads, training=True):
            encoder = network_to_train(self, X, shaped_by, warm, generator).to(plan.device)
            x = rows_of(X, self.scaler_.transform, plan.device)
            augmentation = make_augmentation(self.augmentation)
            self._codebooks, self._invariance = make_codebooks(self, x, augmentation, generator)
            (x,), held_out = hold_out([x], plan, generator)
            objective = make_objective(self.objective)
            decoder = None
            if objective.masks_input:  # it reconstructs what was hidden
                make = partial(make_decoder, grid=encoder.grid, **self.architecture_)
                decoder = build(make, generator).to(plan.device)
            # The projector comes with the objective; both are dropped after the training.
            gaps = self.missing == "mask"
            ssl = SelfSupervision(objective, augmentation, encoder, decoder, x, generator, gaps)
            step = TwoViewStep(encoder, ssl)
            progress = Progress(self, plan, X_given, y)
            record = train(step, [x], plan, generator, held_out, progress, checkpoint)
            # Running statistics become those of the series; training saw views of them.
            seen, X = read_at_the_end(x, record), read_at_the_end(X, record)
            seen = mapped(seen, lambda series: lasting(series, ends(series)))
            estimate_statistics(encoder, seen, plan.n_batches(len(seen)), generator)
            set_trained(self, encoder, plan, record)

            self.token_shape_ = (encoder.grid,)
            self._measure_features(X)
        checkpoint.close(self)
        return self

    def transform(self, X, *, out=None):
        """Read-out of series, as `output` says.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
            Series of the fitted shape; if it was fitted with ``missing="mask"``, with missing
            values, and in a list of any length, unless `output` is "latents". Of series that are up
            to twice as long as the fitted ones the beginning is read, with a warning; longer ones
            are refused.
        out : array-like of shape (n, n_features_out) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        float32 ndarray of shape (n, n_features_out)
        """
        self._validate_params()
        check_is_fitted(self)
        X = validate_series_to_read(
            self, X, ("latents",), "use 'latents_pooled', 'encoder_features' or 'features'"
        )
        scaler = self._column_scalers.get(self.output)
        finish = np.asarray if scaler is None else scaler.scale
        return read_output(self, partial(self._read_scaled, self.output), X, out, finish)

    @property
    def encoder_(self):
        """The encoder, which makes latents ``(n, N, D)`` of scaled series ``(n, c, t)``."""
        return self.module_

    def _measure_features(self, X):
        """Measure the scale of the features and how unlike each other the latents of series are.

        Parameters
        ----------
        X : ndarray of shape (n, c, t)
            Training series.
        """
        some = X[:: -(-len(X) // _SCALED_ROWS)]
        self._column_scalers = {
            output: self._column_scaler(some, output) for output in ("features", "encoder_features")
        }
        # Every k-th series, at most 1,024, so that a sorted set is measured all along.
        X = X[:: -(-len(X) // _COLLAPSE_ROWS)]
        (latents,) = self._read(X, "latents")
        latents = latents.reshape(len(X), -1, self.encoder_.latent_dim)
        inside = tokens_inside(self.encoder_, ends(torch.from_numpy(X.copy())))
        self.latent_std_, self.effective_rank_ = measure_collapse(latents, inside)

    def _column_scaler(self, X, output):
        """What gives the columns of an output the variance that they have in valid series."""
        moments = ColumnMoments()
        self._read(X, output, sink=lambda start, results: moments.add(results[0]))
        return ColumnScaler().fit(moments)

    def _read(self, X, output, sink=None):
        """A list of one read-out of valid series ``(n, c, t)``."""
        return read_series(self, partial(self._read_scaled, output), X, sink)

    def _read_scaled(self, output, x):
        """The same of scaled series ``(B, c, t)``, as Tensors."""
        if output != "features":
            return [read_out(self.module_, x, output)]
        counts = self._codebooks.features(x)
        return [counts if self._invariance is None else self._invariance.apply(counts)]

    def _network_constructor(self):
        architecture, _ = self._shaped_by
        return partial(make_encoder, **architecture)

    @property
    def _n_features_out(self):
        self._validate_params()
        if self.output == "features":
            return self._codebooks.n_features
        x = np.zeros((1, self.n_channels_in_, self.n_timepoints_in_), np.float32)
        (out,) = read_rows(self, lambda x: [read_out(self.module_, x, self.output)], x)
        return out.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags


def make_codebooks(estimator, x, augmentation, generator):
    """The codebooks that `codebooks` and `n_codebooks` ask for, of scaled series.

    Returns
    -------
    bank : CodebookBank
    invariance : ViewInvariance or None
        None where nothing is learned.
    """
    n_codebooks = int(estimator.n_codebooks)
    with torch.no_grad():
        if estimator.codebooks == "random":
            return random_codebooks(x, n_codebooks, generator), None
        bank = learn_codebooks(x, n_codebooks, augmentation, generator)
        return bank, learn_invariance(bank, x, augmentation, generator)


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
    # A tokenizer has an encoder for each band; other estimators have one encoder.
    if hasattr(estimator, "n_bands"):
        architecture["n_bands"] = estimator.n_bands
    if estimator.missing == "mask":  # files of before there were gaps have no such entry
        architecture["gaps"] = True
    return architecture


def allowed_gaps(estimator):
    """What a fitted estimator does about missing values: what its encoder was built for."""
    return "mask" if getattr(estimator, "architecture_", {}).get("gaps") else "refuse"


class TwoViewStep(nn.Module):
    """A self-supervised loss between two views of a batch of series.

    Where parts of a series are hidden instead, the first view is the series itself.
    """

    def __init__(self, encoder, ssl):
        super().__init__()
        self.encoder = encoder
        self.ssl = ssl

    def forward(self, x):
        masks_input = self.ssl.objective.masks_input
        first = View(x, None) if masks_input else self.ssl.view(x, self.encoder)
        second = self.ssl.view(x, self.encoder, number=1)
        return {"ssl": self.ssl(first, second)}

    def after_step(self, n_taken):
        """Let slow copies follow the encoder."""
        self.ssl.update_momentum_copies(self.encoder)


def validate_series_to_read(estimator, X, outputs_per_token, advice):
    """Series ``(n, c, t)`` for the `output` of a fitted estimator.

    Of a list of series those outputs are refused that have columns for each token.
    """
    if holds_series(X, allowed_gaps(estimator)) and estimator.output in outputs_per_token:
        raise ValueError(
            f"output={estimator.output!r} has columns for each token, of which series of a list "
            f"have different numbers: {advice}."
        )
    return validate_series(estimator, X, missing=allowed_gaps(estimator), longer="cut")


def measure_collapse(latents, inside=None):
    """Spread of the pooled latents and their effective rank, with a warning where both are small.

    Parameters
    ----------
    latents : float32 ndarray of shape (n, N, D)
        0 beyond the ends of series.
    inside : bool Tensor of shape (n, N) or None
        Where they are not beyond them; None: nowhere.

    Returns
    -------
    std : ndarray of shape (D,)
    rank : float
    """
    latents = torch.from_numpy(latents)
    if inside is None:
        pooled = latents.mean(1)
    else:
        pooled = latents.sum(1) / inside.sum(1, keepdim=True)
        latents = latents[inside][None]
    std = relative_std(latents, pooled).numpy()
    rank = effective_rank(pooled)
    if has_collapsed(float(std.mean()), rank, *pooled.shape):
        warn_user(
            "The representation has collapsed: the training series hardly differ in it "
            f"(mean latent_std_ {std.mean():.2g}, effective_rank_ {rank:.2g}). Are "
            "the series themselves alike? If not, try another objective or a smaller "
            "learning_rate.",
            CollapseWarning,
        )
    return std, rank


def read_out(encoder, x, output):
    """What `transform` returns of the encoder for a batch of scaled series."""
    lengths = ends(x)
    inside = tokens_inside(encoder, lengths)
    activations = [] if output == "encoder_features" else None
    latents = ended(encoder(lasting(x, lengths), activations), inside)
    if output == "latents":
        return latents.flatten(1)
    if output == "latents_pooled":
        return pooled_latents(latents, inside)
    masks = activations_inside(encoder, lengths, x.shape[2], activations)
    return pooled_features(latents, activations, inside, masks)
