"""VQTokenizer: series to discrete tokens and back, and features made of both."""

from functools import partial

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._base import SeriesTransformer, Task
from ._fitting.reading import OUTPUTS, Codec
from ._fitting.scaling import ColumnScaler
from ._fitting.validation import (
    IntegerInterval,
    RealInterval,
    StrOptions,
    validate_one_hot,
    validate_read_out,
    validate_series,
    validate_tokens,
)
from ._nn.branches import View
from ._nn.layers import kept_statistics
from ._nn.vqvae import make_encoders, make_vqvae
from ._self_supervision import SelfSupervision
from .augmentation import PRESETS, Augmentation
from .exceptions import NotInvertibleError, warn_user
from .functional import codebook as cb
from .objectives import OBJECTIVES, Objective

_INVERTIBLE = ("tokens", "one_hot", "quantized")


class VQTokenizer(SeriesTransformer):
    """Vector-quantised autoencoder (VQ-VAE) of time series.

    An encoder turns each series into a short sequence of latent vectors, each is
    replaced by the nearest of `codebook_size` learned codes, and a decoder makes the
    series from the codes. The ids of the codes are the tokens of the series [1]_.

    Parameters
    ----------
    codebook_size : int, default=32
        Number of codes K.

    output : str, default="features"
        What `transform` returns, always as a 2-D array, for n series of N tokens
        with latents of dimension D:

        - "features": pooled continuous latents, pooled activations of the encoder's
          inner layers and the square root of the bag of codes, each column with mean 0
          and the same variance over the training set, in all 25 (less where some are
          constant), where ``C=1`` suits an SVC; meant for a classifier right after it.
        - "tokens": ids of the codes, int64, (n, N).
        - "one_hot": a 1 at the code of each token, (n, N * K), of two bands (n, N * 2K).
        - "bag_of_codes": share of each code among the tokens, (n, K), of two bands (n, 2K).
        - "quantized", "quantized_pooled": latents after quantisation, flattened
          (n, N * D) or pooled.
        - "continuous", "continuous_pooled": latents before quantisation.

        It can be changed after `fit`.

    frontend : {"conv", "multiscale", "stft"}, default="conv"
        "conv": one-dimensional convolutions at the resolution of the tokens.
        "multiscale": kernels of nine points at all dilations on the series itself, then
        convolutions at the resolution of the tokens; better features at about twice the work.
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

    code_dim : int or None, default=None
        Dimension of the codes; latents are mapped linearly to it and back. None: `latent_dim`.

    normalize_codes : bool, default=False
        Compare latents and codes by cosine, both L2-normalised.

    codebook_update : {"ema", "gradient"}, default="ema"
        Codes follow the exponential moving average of their latents, or the gradient
        of the codebook term of [1]_.

    codebook_init : {"kmeans", "normal"}, default="kmeans"
        Codes start at k-means centres of the first latents, or at random.

    ema_decay : float, default=0.95
        Decay of the moving averages of codes and of their use.

    revival_threshold : float, default=0.05
        Codes used less than this share of the average are moved onto latents of the
        current batch. 0 never moves one.

    commitment_weight : float, default=0.25
        Weight of the term that keeps latents near their codes.

    orthogonal_weight : float, default=0.0
        Weight of the regularisation that makes codes orthogonal. With `codebook_update="ema"` it
        acts on the moving averages, so that the next update does not undo it.

    ssl : None, str or objective, default=None
        Self-supervised objective that is learned beside the reconstruction: the latents of a series
        and of a random view of it are to be alike, those of different series different [3]_.
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

    batch_size : int, default=64
        Series per training step; two at least with `ssl`.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make 600 steps, and 8 at least.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. With
        `ssl` at least eight are held out, but not more than half.

    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
    tol : float, default=1e-4

    warm_start : bool, default=False
        Continue from the weights, codes and scaling of the previous `fit`; the projector of
        `ssl`, which is not kept, starts anew.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the network's matrix products in training; quantiser, losses and
        inference are always float32. "auto" is float32: bfloat16 took 8 to 16 times as
        long on a CPU without bfloat16 units, and half to all of the time on one with them.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        CPU threads of `fit` and of what follows it. None: one, or up to four where training
        sees more than 4 million time points (epochs x series x length). The same number gives
        the same bits; 1 is faster where others use the cores, as with `n_jobs`.

    verbose : int, default=0
        1 prints about ten lines a fit, higher numbers print more.

    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, sample order and code revival.

    Attributes
    ----------
    codebook_ : ndarray of shape (n_bands * codebook_size, code_dim)
        The codes, of the low band first.
    codebook_usage_ : ndarray of shape (n_bands * codebook_size,)
        Share of each code among the tokens of the training set.
    perplexity_ : float
        Of `codebook_usage_`: from 1 (one code) to the number of codes (all alike).
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean of each loss term per epoch, unweighted: "reconstruction", "commitment", with `ssl`
        "augmented" and "ssl", ...; their weighted sum "loss"; with early stopping,
        "validation", that of held-out series.
    n_iter_ : int
        Number of epochs run.
    interrupted_ : bool
        Whether Ctrl-C ended the training; the weights are those of the last finished epoch,
        or of the best one with early stopping.
    token_shape_ : tuple of (int, int)
        Rows and columns of the tokens of each band: ``((1, N),)`` for one band but for "stft", with
        time as column. Tokens are in row-major order, those of the low band first.
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the network is.
    n_threads_ : int
        CPU threads used.
    module_ : torch.nn.Module
        The network, in evaluation mode.

    References
    ----------
    .. [1] van den Oord, Vinyals, Kavukcuoglu. "Neural discrete representation
       learning", 2017.
    .. [2] Lee, Malacarne, Aune. "Vector quantized time series generation with a bidirectional
       prior model" (TimeVQVAE), 2023.
    .. [3] Mathisen et al. "Closing the gap between generative and self-supervised
       time series modelling" (NC-VQVAE), 2024.

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
        **SeriesTransformer._parameter_constraints,
        "codebook_size": [IntegerInterval(1)],
        "output": [StrOptions(set(OUTPUTS))],
        "n_bands": [IntegerInterval(1, 2, closed="both")],
        "code_dim": [IntegerInterval(1), None],
        "normalize_codes": ["boolean"],
        "codebook_update": [StrOptions({"ema", "gradient"})],
        "codebook_init": [StrOptions({"kmeans", "normal"})],
        "ema_decay": [RealInterval(0, 1, closed="both")],
        "revival_threshold": [RealInterval(0, 1)],
        "commitment_weight": [RealInterval(0)],
        "orthogonal_weight": [RealInterval(0)],
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
        code_dim=None,
        normalize_codes=False,
        codebook_update="ema",
        codebook_init="kmeans",
        ema_decay=0.95,
        revival_threshold=0.05,
        commitment_weight=0.25,
        orthogonal_weight=0.0,
        ssl=None,
        ssl_view="quantized",
        augmentation="warp",
        augmented_weight=0.1,
        scaling="train",
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
        self.code_dim = code_dim
        self.normalize_codes = normalize_codes
        self.codebook_update = codebook_update
        self.codebook_init = codebook_init
        self.ema_decay = ema_decay
        self.revival_threshold = revival_threshold
        self.commitment_weight = commitment_weight
        self.orthogonal_weight = orthogonal_weight
        self.ssl = ssl
        self.ssl_view = ssl_view
        self.augmentation = augmentation
        self.augmented_weight = augmented_weight
        self.scaling = scaling
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

    def transform(self, X):
        """Read-out of series, as `output` says.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Series of the fitted shape.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            float32, or int64 for ``output="tokens"``.
        """
        self._validate_params()
        (out,) = self._read(X, self.output)
        return self._feature_scaler.scale(out) if self.output == "features" else out

    @property
    def inverse_transform(self):
        """Series of what `transform` returned, for outputs "tokens", "one_hot" and "quantized".

        A method, ``inverse_transform(X)``, that other outputs do not have.

        Parameters
        ----------
        X : array-like of shape (n, n_features_out)

        Returns
        -------
        ndarray of shape (n, t) or (n, c, t), as in `fit`
            float32, of exactly the fitted length, in the units of the training set.

        Raises
        ------
        NotInvertibleError
            If `output` cannot be inverted; a ValueError and an AttributeError.
        ValueError
            If `X` is not of the form of `output`.
        """
        if self.output not in _INVERTIBLE:
            raise NotInvertibleError(
                f"output={self.output!r} cannot be inverted; VQTokenizer inverts output="
                "'tokens', 'one_hot' and 'quantized'."
            )
        return self._inverse_transform

    def _inverse_transform(self, X):
        check_is_fitted(self)
        if self.output == "tokens":
            return self.decode(X)
        if self.output == "one_hot":
            ids = validate_one_hot(self, X, self._code_ranges)
            return self._shaped(self._codec().decode_ids(ids))
        X = validate_read_out(self, X, self._n_tokens * self._latent_dim)
        return self._shaped(self._codec().decode_latents(X.reshape(len(X), self._n_tokens, -1)))

    def encode(self, X):
        """Token ids of series, whatever `output` is.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        tokens : int64 ndarray of shape (n, n_tokens)
        """
        return self._read(X, "tokens")[0]

    def decode(self, tokens):
        """Series of token ids.

        Parameters
        ----------
        tokens : array-like of shape (n, n_tokens)
            IntegerInterval numbers in ``[0, codebook_size)``, for those of the high of two bands in
            ``[codebook_size, 2 * codebook_size)``.

        Returns
        -------
        X : float32 ndarray of shape (n, t) or (n, c, t), as in `fit`
        """
        check_is_fitted(self)
        ids = validate_tokens(self, tokens, self._code_ranges)
        return self._shaped(self._codec().decode_ids(ids))

    def score(self, X, y=None):
        """Negative mean squared reconstruction error, in units of the scaled series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : ignored

        Returns
        -------
        score : float
            At most 0; about -1 for reconstructions no better than the mean.
        """
        check_is_fitted(self)
        return -float(self._codec().squared_errors(validate_series(self, X)).mean())

    @property
    def _n_tokens(self):
        return sum(rows * columns for rows, columns in self.token_shape_)

    @property
    def _code_ranges(self):
        """First code of each token's band and the one after its last: ``(N, 2)``."""
        n_codes = len(self.codebook_) // len(self.token_shape_)
        n_tokens = [rows * columns for rows, columns in self.token_shape_]
        first = np.repeat(np.arange(len(n_tokens)) * n_codes, n_tokens)
        return np.column_stack([first, first + n_codes])

    def _module_constructor(self):
        return partial(make_vqvae, **self._architecture)

    def _encoder_constructor(self):
        return partial(make_encoders, **self._architecture)

    def _encoder(self):
        return self.module_.encoders()

    @property
    def _least_batch(self):
        return 1 if self.ssl is None else 2

    @property
    def _least_held_out(self):
        return 1 if self.ssl is None else 8

    def _task(self, network, data, plan, generator, warm):
        (x,) = data
        if not warm:
            network.initialise_codebooks(self.codebook_init, x, plan.batch_size, generator)
        task = _VQTask(network, self._loss_weights(), generator)
        if self.ssl is None:
            return task
        ssl = SelfSupervision(self.ssl, self.augmentation, generator)
        ssl.start(network, self._latent_dim, x)
        return _SelfSupervisedTask(task, ssl, self.ssl_view, self.augmented_weight)

    def _loss_weights(self):
        return {"commitment": self.commitment_weight, "orthogonal": self.orthogonal_weight}

    def _network_arguments(self):
        return super()._network_arguments() | {
            "quantizer": {
                "codebook_size": self.codebook_size,
                "code_dim": self.code_dim,
                "normalize_codes": self.normalize_codes,
                "update": self.codebook_update,
                "ema_decay": self.ema_decay,
                "revival_threshold": self.revival_threshold,
                "orthogonal_weight": self.orthogonal_weight,
            },
            "n_bands": self.n_bands,
        }

    def _describe(self, series):
        """Fitted attributes that the trained network gives on the training set."""
        self.token_shape_ = self.module_.grid
        self.codebook_ = self.module_.codebook().detach().cpu().numpy().copy()
        self._n_columns = self._codec().n_columns(series)
        tokens, features = self._codec().read(series, "tokens", "features")
        if tokens.size < len(self.codebook_):
            warn_user(
                f"The training set has only {tokens.size} tokens for codebook_size="
                f"{len(self.codebook_)}; some codes cannot be learned."
            )
        shares = cb.usage(torch.from_numpy(tokens), len(self.codebook_))
        self.codebook_usage_, self.perplexity_ = shares.numpy(), float(cb.perplexity(shares))
        self._feature_scaler = ColumnScaler().fit(features)

    def _codec(self):
        return self._reader(Codec)

    def _read(self, X, kind):
        check_is_fitted(self)
        return self._codec().read(validate_series(self, X), kind)

    def _shaped(self, series):
        """Series ``(n, c, t)`` in the form that `fit` saw."""
        return series.reshape(len(series), *self._series_shape)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.output == "tokens":
            tags.transformer_tags.preserves_dtype = []
        return tags


class _VQTask(Task):
    """Eq. 21 on a batch of series; after the optimiser's step the codebook follows the batch."""

    def __init__(self, network, weights, generator):
        super().__init__(network)
        self.network, self.weights, self.generator = network, weights, generator
        self.quantized = None

    def losses(self, x):
        self.quantized = self.network.encode(x)
        return self.network.losses(x, self.quantized)

    def after_step(self):
        self.network.update(self.quantized, self.generator)


class _SelfSupervisedTask(Task):
    """Eq. 21 and a self-supervised loss (eq. 12) between the series and a view of them.

    The view is decoded from its continuous latents. It never touches the codebook, nor the
    running statistics of batch normalisations, which are those of series as inference sees them.
    """

    def __init__(self, task, ssl, first_view, augmented_weight):
        super().__init__(nn.ModuleList([task.network, ssl.branch]))
        self.task, self.ssl, self.first_view = task, ssl, first_view
        self.network = task.network
        self.weights = task.weights | {
            "augmented": augmented_weight,
            "ssl": ssl.objective.weight,
        }

    def losses(self, x):
        terms = self.task.losses(x)
        with kept_statistics(self.network):
            view = self.ssl.view(x, self.network)
            if self.weights["augmented"] and not self.ssl.masks_input:
                decoded = self.network.reconstruction(*view[:2])
                terms["augmented"] = sum(decoded.values())
            terms["ssl"] = self.ssl.loss(self._first(x), view)
        return terms

    def _first(self, x):
        if self.first_view == "augmented" and not self.ssl.masks_input:
            return self.ssl.view(x, self.network, which=1)
        quantized = self.task.quantized
        if self.first_view == "quantized":
            return View(x, self.network.quantized_latents(quantized))
        return View(x, self.network.latents(quantized))

    def after_step(self):
        self.task.after_step()
        self.ssl.branch.follow(self.network)
