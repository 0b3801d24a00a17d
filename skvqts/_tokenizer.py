"""VQTokenizer: series to discrete tokens and back, and features made of both."""

import math
from functools import partial

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._files.encoding import storable
from ._fitting.checkpoint import open_checkpoint
from ._fitting.on_demand import parts_of, rows_of
from ._fitting.progress import Progress
from ._fitting.reading import (
    read_at_the_end,
    read_output,
    read_rows,
    read_series,
    reconstruction_errors,
    series_of_scaled,
)
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
    RealInterval,
    StrOptions,
    _fit_context,
    generator_from,
    holds_series,
    validate_lengths,
    validate_one_hot,
    validate_read_out,
    validate_series,
    validate_tokens,
)
from ._nn.encoders import split_series, tokens_inside
from ._nn.layers import build, kept_statistics
from ._nn.quantizer import SeriesQuantizer, VectorQuantizer
from ._nn.self_supervision import SelfSupervision, View
from ._nn.vqvae import make_vqvae
from ._quantizer import Quantizer, code_usage, make_quantizer, warn_of_few
from ._ssl_features import (
    ENCODER_CONSTRAINTS,
    allowed_gaps,
    encoder_architecture,
    validate_series_to_read,
)
from .augmentation import PRESETS, Augmentation, make_augmentation
from .functional import readout
from .functional.gaps import ended, ends, hidden_at_random, lasting
from .objectives import OBJECTIVES, Objective, make_objective

OUTPUTS = (
    "features",
    "tokens",
    "one_hot",
    "bag_of_codes",
    "positional_bag",
    "quantized",
    "quantized_pooled",
    "continuous",
    "continuous_pooled",
)
_INVERTIBLE = ("tokens", "one_hot", "quantized")
_PER_TOKEN = (*_INVERTIBLE, "continuous")
_END = -1  # in the place of ids beyond the end of a series, inside this library only
_KMEANS_VECTORS = 64  # per code, drawn for initial codebooks and those of whole series


def _can_be_inverted(tokenizer):
    """Whether what `transform` returns can be turned back into series; for `available_if`."""
    if tokenizer.output in _INVERTIBLE:
        return True
    raise AttributeError(
        f"output={tokenizer.output!r} cannot be inverted; VQTokenizer inverts output="
        "'tokens', 'one_hot' and 'quantized'."
    )


@storable
class VQTokenizer(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    TorchStateMixin,
    BaseEstimator,
):
    """Vector-quantised autoencoder (VQ-VAE) of time series.

    An encoder turns each series into a short sequence of latent vectors; each vector is
    replaced by the nearest of `codebook_size` learned codes, and a decoder turns the codes back
    into a series. The ids of the codes are the tokens of the series [1]_.

    Parameters
    ----------
    codebook_size : int, default=32
        Number of codes K.

    output : str, default="features"
        What `transform` returns, always as a 2-D array, for n series of N tokens
        with latents of dimension D:

        - "features": pooled continuous latents, pooled activations of the encoder's
          inner layers and the square root of the bag of codes, scaled so that over the training
          set each column has mean 0 and the variances of the columns add up to 25 (less where
          some are constant), where ``C=1`` suits an SVC; meant for a classifier right after it.
        - "tokens": ids of the codes, int64, (n, N).
        - "one_hot": a 1 at the code of each token, (n, N * K).
        - "bag_of_codes": share of each code among the tokens, (n, K), of two bands (n, 2K), and K
          more for each token of the whole series.
        - "positional_bag": square roots of the shares of each code among the tokens of the
          whole series, of its halves, quarters, eighths and sixteenths, (n, 31 K) for a band of 16
          tokens or more, and "one_hot" of the tokens of the whole series, if there are any,
          (n, G * K), each of length 1; what token ids alone say, meant for a linear classifier.
        - "quantized", "quantized_pooled": latents after quantisation, flattened
          (n, N * D) or pooled.
        - "continuous", "continuous_pooled": latents before quantisation.

        It can be changed after `fit`.

    frontend : {"conv", "multiscale", "patches", "stft"}, default="conv"
        "conv": one-dimensional convolutions at the resolution of the tokens.
        "multiscale": kernels of nine points at all dilations on the series itself, then
        convolutions at the resolution of the tokens; better features at about twice the work.
        "patches": a transformer over patches of the series, of which each token sees all.
        "stft": the published architecture, two-dimensional convolutions on a short-time Fourier
        transform of window 8 [2]_ [3]_; about ten times the work. Series of
        fewer than 5 points are repeated at their last value to 5 there; what comes
        back always has the fitted length.

    width : int, default=64
        Number of channels of the convolutions; "multiscale" has four times as many kernels.

    latent_dim : int or "auto", default="auto"
        Dimension D of the latents. "auto" is 64 for "stft", as published, else 128.

    n_blocks : int or "auto", default="auto"
        Number of residual blocks of the encoder; the decoder has as many for "stft", else half as
        many. "auto" is 4 for "stft", as published, else 2.

    downsampled_width : int or "auto", default="auto"
        About how many tokens there are along time (of two bands, in the high one); the exact
        number follows from the length, see `token_shape_`. "auto" is 8 for "stft", which has
        five rows of tokens, else 32.

    n_bands : {1, 2}, default=1
        1: one encoder, codebook and decoder for the whole series. 2: low and high frequencies,
        which add up to the series, have one each; the low band has a quarter of the tokens
        along time, and both have `codebook_size` codes [2]_.

    n_series_tokens : int or "auto", default=0
        Number of tokens that stand for the whole series, before those that stand for a part of its
        time. They quantise its pooled features: each of them is the nearest of K codes of its
        own to a random projection of these (product quantisation [4]_). So tokens tell what a
        series is like, as its class, and not only how it runs; the decoder does without them. The
        codes are k-means centres, learned after the network. "auto": as many as there are
        other tokens, which doubles the bits of a series.

    quantizer : Quantizer or None, default=None
        How the codes start, follow their latents and are compared with them. None: a
        `Quantizer` with its defaults.

    ssl : None, str or objective, default=None
        Self-supervised objective that is learned beside the reconstruction: the latents of a series
        and of a random view of it become similar, those of different series different [3]_.
        "barlow_twins", "vicreg", "vibcreg", "vcreg", "simclr", "moco", "byol", "masked" (hidden
        parts of the series are reconstructed instead), or an object of `skvqts.objectives`
        with parameters of its own. It makes a fit two to three times as long, and
        needs batches of two series at least.

    ssl_view : {"quantized", "continuous", "augmented"}, default="quantized"
        What the latents of the random view are compared with: the quantised latents of the
        series, as published; its continuous latents; or those of a second random view. The
        latents of a random view are never quantised and never move a code. Not used with
        "masked".

    augmentation : {"gauss", "slice", "warp"} or augmentation, default="warp"
        What makes the random view: a published set [3]_ or an object of
        `skvqts.augmentation`. Not used with "masked", or where `ssl` is None.

    augmented_weight : float, default=0.1
        Weight of the reconstruction of the random view from its continuous latents. Not used
        with "masked".

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost, and decoded series have those of the
        training set on average.

    missing : {"refuse", "mask"}, default="refuse"
        What is done about missing values, which are NaN or masked values of a masked array. With
        "mask" series may have some, in `fit` as later, but each needs a known value: the encoder
        sees straight lines across gaps and, as further channels, how deep in a gap each value
        lies; no loss compares anything with what is missing. In training about half of
        the series lose more values at random, so that gaps need not be in the training set.
        Series may be of unequal length, as a list of arrays (t_i,) or (c, t_i), see
        `as_series_list`: what is missing after the last known value of a series is beyond its end,
        where nothing moves a code or has a part in a loss, a feature or `codebook_usage_`.

    batch_size : int, default=64
        Series per training step; two at least with `ssl`.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make 600 steps, and 8 at least, but no more
        than see 100 million time points in all, which takes minutes.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. With
        `ssl` at least eight are held out, but not more than half.

    validation_fraction : float, default=0.1
        Share of the series that early stopping holds out.

    n_iter_no_change : int, default=10
        Number of epochs without improvement after which early stopping ends the training.

    tol : float, default=1e-4
        Least improvement of the validation loss that counts.

    warm_start : bool, default=False
        Continue from the weights, codes and scaling of the previous `fit`; the projector of
        `ssl`, which is not kept, starts anew.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of the network's matrix products in training; quantiser, losses and
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
        Seed of initial weights and codes, sample order, code revival, views and held-out series.

    Attributes
    ----------
    codebook_ : ndarray of shape (n_codebooks * codebook_size, code_dim)
        The codes: of each token of the whole series, then of the bands, the low one first;
        `code_dim` is the quantizer's, or the dimension of the latents.
    codebook_usage_ : ndarray of shape (n_codebooks * codebook_size,)
        Share of each code among the tokens of the training set.
    perplexity_ : float
        Perplexity of `codebook_usage_`: from 1 (one code) to the number of codes (all used alike).
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean of each loss term per epoch, unweighted: "reconstruction", "commitment", with `ssl`
        "augmented" and "ssl", with "stft" "spectral", with codes that follow the gradient
        "codebook"; their weighted sum "loss"; with early stopping,
        "validation", that of held-out series.
    n_iter_ : int
        Number of epochs run.
    interrupted_ : bool
        Whether Ctrl-C ended the training; the weights are those of the last finished epoch,
        or of the best one with early stopping. Statistics of the training set are then those of a
        few series, evenly spaced, as are the scales of "features".
    token_shape_ : tuple of (int, int)
        Rows and columns of the tokens of each band: ``((1, N),)`` for one band but for "stft", with
        time as column. Tokens are in row-major order, those of the low band first. Tokens of the
        whole series come before them, as rows of one column: ``((G, 1), (1, N))``.
    token_starts_ : ndarray of shape (N,)
        Time point at which the part of a series starts that a token stands for; 0 for tokens of the
        whole series.
    quantizer_ : Quantizer
        The parameters that the codes were learned with.
    architecture_ : dict
        What the encoder was built with; every parameter that was "auto" is resolved.
    scaler_ : SeriesScaler
        What standardises series before the network sees them; its `mean_` and `scale_` have
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
        Where the network is.
    n_threads_ : int
        CPU threads used in `fit`.
    precision_ : {"float32", "bfloat16"}
        Precision of the training.
    module_ : torch.nn.Module
        The network, in evaluation mode.

    References
    ----------
    .. [1] van den Oord, Vinyals, Kavukcuoglu. "Neural discrete representation
       learning", 2017.
    .. [2] Lee, Malacarne, Aune. "Vector quantized time series generation with a bidirectional
       prior model" (TimeVQVAE), 2023.
    .. [3] Mathisen, Lokna, Lee, Aune. "Blending low and high-level semantics of time series for
       better masked time series generation" (NC-VQVAE), 2024.
    .. [4] Jégou, Douze, Schmid. "Product quantization for nearest neighbor search", 2011.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import VQTokenizer
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> tokenizer = VQTokenizer(codebook_size=8, max_epochs=20, random_state=0).fit(X)
    >>> tokens = tokenizer.encode(X)
    >>> tokens.shape, tokenizer.decode(tokens).shape
    ((20, 40), (20, 40))
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        **ENCODER_CONSTRAINTS,
        "codebook_size": [IntegerInterval(1)],
        "output": [StrOptions(set(OUTPUTS))],
        "n_bands": [IntegerInterval(1, 2, closed="both")],
        "n_series_tokens": [IntegerInterval(0), StrOptions({"auto"})],
        "quantizer": [Quantizer, None],
        "ssl": [StrOptions(set(OBJECTIVES)), Objective, None],
        "ssl_view": [StrOptions({"quantized", "continuous", "augmented"})],
        "augmentation": [StrOptions(set(PRESETS)), Augmentation],
        "augmented_weight": [RealInterval(0)],
    }

    def __init__(
        self,
        codebook_size=32,
        *,
        output="features",
        frontend="conv",
        width=64,
        latent_dim="auto",
        n_blocks="auto",
        downsampled_width="auto",
        n_bands=1,
        n_series_tokens=0,
        quantizer=None,
        ssl=None,
        ssl_view="quantized",
        augmentation="warp",
        augmented_weight=0.1,
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
        self.codebook_size = codebook_size
        self.output = output
        self.frontend = frontend
        self.width = width
        self.latent_dim = latent_dim
        self.n_blocks = n_blocks
        self.downsampled_width = downsampled_width
        self.n_bands = n_bands
        self.n_series_tokens = n_series_tokens
        self.quantizer = quantizer
        self.ssl = ssl
        self.ssl_view = ssl_view
        self.augmentation = augmentation
        self.augmented_weight = augmented_weight
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
        """Set parameters, also those of a quantizer that is None, or of names.

        Parameters
        ----------
        **params : dict
            Such as ``quantizer__update="gradient"``, or ``ssl__weight=0.1`` of
            ``ssl="vicreg"``: what None or a name stands for becomes an object first.

        Returns
        -------
        self : VQTokenizer
        """
        makers = {
            "quantizer": make_quantizer,
            "ssl": lambda value: value and make_objective(value),
            "augmentation": make_augmentation,
        }
        return super().set_params(**with_default_parts(self, params, makers))

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y=None, *, checkpoint=None):
        """Learn the codes and the networks by minimising the loss of [1]_, equation 3, with AdamW.

        By default codes start at k-means centres and follow their latents by moving averages. With
        `ssl`, a self-supervised loss between latents is added, as in [3]_. With `n_series_tokens`,
        codes of whole series are then learned from the features of the training series.

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
        self : VQTokenizer

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
        """
        warm = self.warm_start and hasattr(self, "module_")
        X_given = X  # callbacks are handed what the user passed
        X = validate_series(self, X, reset=not warm, min_samples=2, missing=self.missing)
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, None, generator)
        # Self-supervised losses compare series, so that a batch needs two of them.
        least_batch, least_held_out = (1, 1) if self.ssl is None else (2, 8)
        plan = training_plan(
            self,
            len(X),
            least_steps=600,
            least_batch=least_batch,
            least_held_out=least_held_out,
        )

        self.architecture_ = encoder_architecture(self, X)
        self.quantizer_ = make_quantizer(self.quantizer)
        codes = {"codebook_size": int(self.codebook_size), **self.quantizer_.network_parameters()}
        shaped_by = (self.architecture_, codes, self.scaling)
        self._series_sizes = None  # their codes are learned from what the network will be
        with computing(plan.device, plan.n_threads, training=True):
            network = network_to_train(self, X, shaped_by, warm, generator).to(plan.device)
            network.series = None  # codes of whole series are learned anew below
            x = rows_of(X, self.scaler_.transform, plan.device)
            (x,), held_out = hold_out([x], plan, generator)
            if not warm:
                start_codebooks(network, self.quantizer_.init, x, plan.batch_size, generator)
            step = training_step(self, network, x, generator)
            progress = Progress(self, plan, X_given, y)
            record = train(step, [x], plan, generator, held_out, progress, checkpoint)
            set_trained(self, network, plan, record)
            X = read_at_the_end(X, record)
            if self.n_series_tokens:
                self._learn_series_codes(X, generator)

            self.token_shape_ = network.grid
            self.codebook_ = network.codebook().detach().cpu().numpy().copy()
            self._measure_usage(X)
        checkpoint.close(self)
        return self

    def transform(self, X, *, out=None):
        """Read-out of series, as `output` says.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
            Series of the fitted shape; if it was fitted with ``missing="mask"``, with missing
            values, and in a list of any length, unless `output` has columns for each token. Of
            series that are up to twice as long as the fitted ones the beginning is read, with a
            warning; longer ones are refused.
        out : array-like of shape (n, n_features_out) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            float32, or int64 for ``output="tokens"``.
        """
        self._validate_params()
        check_is_fitted(self)
        X = validate_series_to_read(self, X, _PER_TOKEN, "use `encode` or a pooled output")
        finish = self._feature_scaler.scale if self.output == "features" else np.asarray
        return self._written(X, self.output, finish, out)

    @available_if(_can_be_inverted)
    def inverse_transform(self, X):
        """Series of what `transform` returned; only for outputs that can be inverted.

        Those are "tokens", "one_hot" and "quantized". With another `output` the tokenizer has no
        such method.

        Parameters
        ----------
        X : array-like of shape (n, n_features_out)

        Returns
        -------
        ndarray of shape (n, t) or (n, c, t), as in `fit`
            Of exactly the fitted length, in the units of the training set; float32, or float64
            where that would lose detail (``scaler_.dtype``).

        Raises
        ------
        ValueError
            If `X` is not of the form of `output`.
        """
        check_is_fitted(self)
        if self.output == "tokens":
            return self.decode(X)
        if self.output == "one_hot":
            return self._decoded(validate_one_hot(self, X, code_ranges(self)), self.module_.embed)
        n_latents = len(code_ranges(self)) - self.module_.n_series_tokens
        latents = validate_read_out(self, X, n_latents * self.encoder_.latent_dim)
        return self._decoded(latents.reshape(len(latents), n_latents, -1))

    def encode(self, X, *, out=None):
        """Token ids of series, whatever `output` is.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
        out : array-like of shape (n, n_tokens) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned then.
            Not for a list.

        Returns
        -------
        tokens : int64 ndarray of shape (n, n_tokens), or list of n int64 ndarrays
            Of a list each series has the tokens that its length needs, in row-major order too. Of
            an array all have as many; what is beyond the last known value of a series then means
            nothing, and `decode` leaves it out if it is told the lengths.
        """
        check_is_fitted(self)
        is_list = holds_series(X, allowed_gaps(self))
        if is_list and out is not None:
            raise ValueError("out is for series in an array, and not for a list of them.")
        X = validate_series(self, X, missing=allowed_gaps(self))
        if not is_list:
            return self._written(X, "tokens", np.asarray, out)
        (tokens,) = self._read(X, "ended tokens")
        return [of_series[of_series != _END] for of_series in tokens]

    def decode(self, tokens, lengths=None):
        """Series of token ids.

        Parameters
        ----------
        tokens : array-like of shape (n, n_tokens), or list of n arrays
            Whole numbers in ``[0, codebook_size)``, for those of the high of two bands in
            ``[codebook_size, 2 * codebook_size)``. Tokens of the whole series have ids of their
            own before these, ``codebook_size`` each, and do not change the series. A list, as
            `encode` makes it of a list, has the tokens of series of unequal length.
        lengths : array-like of shape (n,) or None, default=None
            Numbers of time points of the series, after a fit with ``missing="mask"``. None: all
            that the tokens stand for, which is up to a token's length more than was encoded.

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`, or list of n ndarrays
            A list for a list, of series of shape (t_i,) or (c, t_i). In an array NaN stands beyond
            the `lengths`. float32, or float64 where that would lose detail: far from the origin,
            or of the smallest and largest numbers (``scaler_.dtype``).

        Raises
        ------
        ValueError
            If `tokens` are no ids of codes, series of no length have as many, or `lengths` are not
            theirs.
        """
        check_is_fitted(self)
        missing = allowed_gaps(self)
        ranges = code_ranges(self)
        is_list = holds_series(tokens, missing)
        if not is_list and lengths is None:
            ids = validate_tokens(self, tokens, ranges)
            return self._decoded(ids, self.module_.embed)
        if missing != "mask":
            raise ValueError("lengths are for a VQTokenizer that was fitted with missing='mask'.")
        if is_list:
            ids, lengths = aligned_tokens(self, tokens, lengths)
        else:
            ids = validate_tokens(self, tokens, ranges)
            lengths = validate_lengths(self, lengths, len(ids))
            ids = np.where(tokens_of_lengths(self, lengths), ids, _END)
        X = self._decoded(ids, self.module_.embed)
        if is_list:
            return [series[..., :length] for series, length in zip(X, lengths, strict=True)]
        for series, length in zip(X, lengths, strict=True):
            series[..., length:] = np.nan
        return X

    def score(self, X, y=None):
        """Negative mean squared reconstruction error, in units of the scaled series.

        Of a series with missing values the error is that of the known ones.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
        y : ignored

        Returns
        -------
        score : float
            At most 0; about -1 for reconstructions no better than the mean.
        """
        check_is_fitted(self)
        X = validate_series(self, X, missing=allowed_gaps(self), longer="cut")
        return -float(reconstruction_errors(self, self.module_, X).mean())

    @property
    def token_starts_(self):
        """Time points ``(N,)`` at which what tokens stand for starts; 0 for the whole series."""
        strides = zip(self.token_shape_, self.module_.strides, strict=True)
        return np.concatenate(
            [np.tile(np.arange(columns) * stride, rows) for (rows, columns), stride in strides]
        )

    @property
    def encoder_(self):
        """The encoder, which makes latents ``(n, N, D)`` of scaled series ``(n, c, t)``."""
        return self.module_.encoder

    def _measure_usage(self, X):
        """Measure the usage of the codes and the scale of the features, as `transform` reads them.

        Parameters
        ----------
        X : ndarray of shape (n, c, t)
            Training series.
        """
        network = self.module_
        counts, moments = np.zeros(len(self.codebook_), np.int64), ColumnMoments()

        def take(start, results):
            tokens, features = results
            np.add.at(counts, tokens[tokens != _END], 1)
            moments.add(features)

        self._read(X, "ended tokens", "features", sink=take)
        of_bands = counts[network.n_series_tokens * network.n_codes :].reshape(-1, network.n_codes)
        warn_of_few(of_bands.sum(axis=1).min(), network.n_codes)
        self.codebook_usage_, self.perplexity_ = code_usage(counts)
        self._feature_scaler = ColumnScaler().fit(moments)

    def _learn_series_codes(self, X, generator):
        """Give the trained network tokens of whole series, learned from series ``(n, c, t)``."""
        network = self.module_
        n_tokens = self.n_series_tokens
        if n_tokens == "auto":
            n_tokens = sum(math.prod(shape) for shape in network.grid)
        # Enough for k-means; features of very many series would need much memory.
        chosen = torch.randperm(len(X), generator=generator, device="cpu")
        chosen = chosen[: _KMEANS_VECTORS * network.n_codes].numpy()
        (features,) = self._read(X[chosen], "pooled")
        self._series_sizes = {
            "n_features": features.shape[1],
            "n_tokens": int(n_tokens),
            "codebook_size": network.n_codes,
            "dim": network.codebook().shape[1],
        }
        series = build(partial(SeriesQuantizer, **self._series_sizes), generator)
        series.learn(torch.from_numpy(features), generator)
        network.series = series.to(self.device_).eval()

    def _read(self, X, *outputs, sink=None):
        """Read-outs of valid series ``(n, c, t)``: one array for each output."""
        return read_series(self, partial(read_out, self.module_, outputs=outputs), X, sink)

    def _written(self, X, output, finish, out):
        """What `finish` makes of a read-out of valid series, in a given array or a new one."""
        read = partial(read_out, self.module_, outputs=[output])
        return read_output(self, read, X, out, finish)

    def _decoded(self, rows, embed=lambda z: z):
        """Series, in the form that `fit` saw, of rows that `embed` turns into decoder input."""
        (scaled,) = read_rows(self, lambda rows: [self.module_.decode(embed(rows))], rows)
        return series_of_scaled(self, scaled)

    def _network_constructor(self):
        architecture, codes, _ = self._shaped_by
        sizes = getattr(self, "_series_sizes", None)  # files of earlier versions have none
        series = None if sizes is None else partial(SeriesQuantizer, **sizes)
        quantizer = partial(VectorQuantizer, **codes)
        return partial(make_vqvae, quantizer, series=series, **architecture)

    @property
    def _n_features_out(self):
        self._validate_params()
        # Only a pass tells how many features the layers that can be read have.
        x = np.zeros((1, self.n_channels_in_, self.n_timepoints_in_), np.float32)
        (out,) = read_rows(self, partial(read_out, self.module_, outputs=[self.output]), x)
        return out.shape[1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [] if self.output == "tokens" else ["float32"]
        tags.input_tags.allow_nan = self.missing == "mask"
        return tags


@torch.no_grad()
def start_codebooks(network, init, x, batch_size, generator):
    """Initialise the codes of every band by k-means, or keep their random values.

    Parameters
    ----------
    network : VQVAE
    init : {"kmeans", "normal"}
        Codes start at k-means centres of the latents of series drawn from `x`, or where they are.
        Either way each begins with the number of vectors that it can expect of a batch.
    x : Tensor of shape (n, C, T), or RowsOnDemand
        Scaled training series.
    batch_size : int
    generator : torch.Generator
    """
    lengths = ends_of_rows(x)
    batch_size = min(batch_size, len(x))
    for index, band in enumerate(network.bands):
        n_tokens = math.prod(network.grid[index])
        n_codes = len(band.quantizer.codebook)
        tokens_per_batch = batch_size * n_tokens
        inside = tokens_inside(band.encoder, lengths)
        if inside is not None:
            tokens_per_batch *= float(inside.double().mean())
        if init == "normal":
            band.quantizer.cluster_size.fill_(tokens_per_batch / n_codes)
            continue
        n_series = max(2, math.ceil(_KMEANS_VECTORS * n_codes / n_tokens))
        chosen = torch.randperm(len(x), generator=generator, device="cpu")[:n_series].to(x.device)
        drawn = lasting(x[chosen], None if lengths is None else lengths[chosen])
        batches = drawn.split(batch_size)
        parts = [split_series(batch, len(network.bands))[index] for batch in batches]
        # The new network is in training mode: latents are normalised by the batch, as in training.
        z = torch.cat([band.encoder(part) for part in parts])
        z = z if inside is None else z[inside[chosen]]
        band.quantizer.start_at_centres(z, tokens_per_batch, generator)


def training_step(estimator, network, x, generator):
    """The loss of [1]_, equation 3, and with `ssl` a self-supervised one beside it, as in [3]_.

    Numbers of references are those of `VQTokenizer`.

    Parameters
    ----------
    estimator : VQTokenizer
    network : VQVAE
    x : Tensor of shape (n, C, T), or RowsOnDemand
        Scaled training series, of which the self-supervised loss sees the shape.
    generator : torch.Generator
    """
    gaps = estimator.missing == "mask"
    step = VQStep(network, estimator.quantizer_.commitment_weight, generator, gaps)
    if estimator.ssl is None:
        return step
    objective = make_objective(estimator.ssl)
    augmentation = make_augmentation(estimator.augmentation)
    parts = (network.encoder, network.decode)
    ssl = SelfSupervision(objective, augmentation, *parts, x, generator, gaps)
    return SelfSupervisedVQStep(step, ssl, estimator.ssl_view, estimator.augmented_weight)


def ends_of_rows(x):
    """Lengths ``(n,)`` of scaled training series, or None where all last to the end."""
    lengths = [(ends(part), len(part), part.shape[2]) for part in parts_of(x)]
    if all(of_part is None for of_part, _, _ in lengths):
        return None
    return torch.cat(
        [
            torch.full((n,), length, device=x.device) if of_part is None else of_part
            for of_part, n, length in lengths
        ]
    )


class VQStep(nn.Module):
    """The loss of a VQ-VAE on a batch of series (van den Oord et al. 2017, equation 3).

    With `gaps`, the encoder is shown the batch without some of its values in training, and the loss
    is that of all known ones. After the step of the optimiser, the codes follow the latents of the
    batch.
    """

    def __init__(self, network, commitment_weight, generator, gaps=False):
        super().__init__()
        self.network = network
        self.generator = generator
        self.gaps = gaps
        self.weights = {"commitment": commitment_weight}

    def forward(self, x):
        shown = hidden_at_random(x, self.generator) if self.gaps and self.training else x
        # Kept for `after_step`: codes move by them after the optimiser has moved the encoder.
        self.quantized = self.network.encode(shown, whole=x)
        z_q = self.network.quantized_latents(self.quantized)
        terms = self.network.reconstruction_losses(x, z_q)  # the first term, then the other two
        return terms | self.network.quantizer_losses(self.quantized)

    def after_step(self, n_taken):
        """Let the codes of every band follow the latents of the batch."""
        for band, quantized in zip(self.network.bands, self.quantized, strict=True):
            band.quantizer.update(quantized, self.generator)


class SelfSupervisedVQStep(nn.Module):
    """The loss of a VQ-VAE and a self-supervised one between series and a view (NC-VQVAE).

    The view is decoded from its continuous latents. It never touches the codebook, nor the
    running statistics of batch normalisations, which are those of series as inference sees them.
    """

    def __init__(self, vq_step, ssl, ssl_view, augmented_weight):
        super().__init__()
        self.vq_step = vq_step
        self.ssl = ssl
        self.ssl_view = ssl_view
        self.weights = vq_step.weights | {
            "augmented": augmented_weight,
            "ssl": ssl.objective.weight,
        }

    def forward(self, x):
        terms = self.vq_step(x)
        network = self.vq_step.network
        masks_input = self.ssl.objective.masks_input
        # Inference sees series, whose statistics are not those of their views.
        with kept_statistics(network):
            view = self.ssl.view(x, network.encoder)
            if self.weights["augmented"] and not masks_input:
                # The view goes through a plain autoencoder, without codes (NC-VQVAE).
                decoded = network.reconstruction_losses(view.series, view.latents)
                terms["augmented"] = sum(decoded.values())
            quantized = self.vq_step.quantized
            inside = network.inside(quantized)
            if self.ssl_view == "augmented" and not masks_input:
                first = self.ssl.view(x, network.encoder, number=1)
            elif self.ssl_view == "quantized":
                # As published: the gradient passes straight through the codes to the encoder.
                first = View(x, network.quantized_latents(quantized), None, inside, ends(x))
            else:
                first = View(x, network.latents(quantized), None, inside, ends(x))
            terms["ssl"] = self.ssl(first, view)
        return terms

    def after_step(self, n_taken):
        """Let the codes follow the batch, and slow copies the encoder."""
        self.vq_step.after_step(n_taken)
        self.ssl.update_momentum_copies(self.vq_step.network.encoder)


def code_ranges(tokenizer):
    """First code that each token can have and the one after its last: int64 ``(N, 2)``."""
    first = tokenizer.module_.first_codes.numpy()
    return np.column_stack([first, first + tokenizer.module_.n_codes])


def tokens_of_lengths(tokenizer, lengths):
    """Which of the tokens ``(n, N)`` series of some lengths ``(n,)`` have."""
    of_bands = tokens_inside(tokenizer.encoder_, torch.from_numpy(lengths))
    return tokenizer.module_.of_all_tokens(of_bands).numpy()


def aligned_tokens(tokenizer, tokens, lengths=None):
    """Tokens of series of unequal length in the places ``(n, N)`` of those of the longest.

    Parameters
    ----------
    tokenizer : fitted VQTokenizer
    tokens : list of n arrays
    lengths : array-like of shape (n,) or None
        Lengths of the series; None: the greatest of which a series has so many tokens.

    Returns
    -------
    ids : int64 ndarray of shape (n, N)
        -1 beyond the ends of series.
    lengths : int64 ndarray of shape (n,)
    """
    columns = zip(tokenizer.token_shape_, tokenizer.module_.strides, strict=True)
    of_length = np.arange(tokenizer.n_timepoints_in_ + 1)
    n_tokens = sum(
        n_rows * np.minimum(n_columns, -(-of_length // stride))
        for (n_rows, n_columns), stride in columns
    )
    tokens = [np.asarray(of_series) for of_series in tokens]
    for index, of_series in enumerate(tokens):
        if of_series.ndim != 1:
            raise ValueError(
                f"Tokens of series {index} have shape {of_series.shape}, and need shape (N_i,)."
            )
    given = np.array([len(of_series) for of_series in tokens])
    if lengths is None:
        lengths = np.searchsorted(n_tokens, given, side="right") - 1
    else:
        lengths = validate_lengths(tokenizer, lengths, len(tokens))
    wrong = np.flatnonzero((n_tokens[lengths] != given) | (given == 0))
    if wrong.size:
        index = wrong[0]
        raise ValueError(
            f"Series {index} has {given[index]} tokens: a series of {lengths[index]} time points "
            f"has {n_tokens[lengths[index]]}, and one of {tokenizer.n_timepoints_in_} has "
            f"{n_tokens[-1]}."
        )
    inside = tokens_of_lengths(tokenizer, lengths)
    ranges = code_ranges(tokenizer)
    values = np.concatenate(tokens)
    ids = np.broadcast_to(ranges[:, 0], inside.shape).astype(values.dtype)
    ids[inside] = values
    return np.where(inside, validate_tokens(tokenizer, ids, ranges), _END), lengths


def read_out(network, x, outputs):
    """What `transform` returns for a batch of scaled series: a Tensor for each of some outputs.

    "ended tokens" are tokens with -1 beyond the end of a series, "pooled" those of "features" that
    are no shares of codes.
    """
    # Only features need the activations, which are large.
    activations = [] if {"features", "pooled"} & set(outputs) else None
    quantized = network.encode(x, activations)
    inside = network.inside(quantized)
    of_all_tokens = network.of_all_tokens(inside)
    n_codes = network.n_codes
    n_series_tokens = network.n_series_tokens
    codes = network.tokens(quantized) - network.first_codes.to(x.device)  # each from 0 on

    def of(output):
        match output:
            case "tokens":
                return network.tokens(quantized)
            case "ended tokens":
                return ended(network.tokens(quantized), of_all_tokens, _END)
            case "one_hot":
                return readout.one_hot(codes, n_codes)
            case "bag_of_codes":
                tokens = network.tokens(quantized)
                return readout.bag_of_codes(tokens, len(network.codebook()), of_all_tokens)
            case "positional_bag":
                of_series = readout.one_hot(codes[:, :n_series_tokens], n_codes)
                bags = readout.positional_bag(
                    codes[:, n_series_tokens:], n_codes, network.latent_grid, inside
                )
                return torch.cat([of_series / max(1, n_series_tokens) ** 0.5, bags], dim=1)
            case "quantized":
                return network.quantized_latents(quantized).flatten(1)
            case "quantized_pooled":
                return readout.pooled_latents(network.quantized_latents(quantized), inside)
            case "continuous":
                return network.latents(quantized).flatten(1)
            case "continuous_pooled":
                return readout.pooled_latents(network.latents(quantized), inside)
            case "features":  # codes by the square root of their shares: Hellinger's distance
                first = n_series_tokens * n_codes
                tokens = network.tokens(quantized)[:, n_series_tokens:] - first
                bag = readout.bag_of_codes(tokens, len(network.bands) * n_codes, inside)
                return torch.cat([of("pooled"), bag.sqrt()], dim=1)
            case "pooled":
                return network.features(x, quantized, activations)

    return [of(output) for output in outputs]
