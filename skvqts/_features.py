"""SSLFeatureExtractor: features of series by a self-supervised encoder, without quantisation."""

from functools import partial

import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._base import SeriesTransformer, Task
from ._fitting.reading import ENCODER_OUTPUTS, EncoderReader
from ._fitting.scaling import ColumnScaler
from ._fitting.validation import IntegerInterval, StrOptions, validate_series
from ._nn.branches import View
from ._nn.initialise import build
from ._nn.layers import estimate_statistics
from ._nn.vqvae import make_decoder, make_encoder
from ._self_supervision import SelfSupervision
from .augmentation import PRESETS, Augmentation
from .exceptions import CollapseWarning, warn_user
from .functional.collapse import effective_rank, has_collapsed, relative_std
from .objectives import OBJECTIVES, Objective

_COLLAPSE_ROWS = 1024  # series that collapse is measured on


class SSLFeatureExtractor(SeriesTransformer):
    """Features of series by an encoder that learns from the series themselves.

    The encoder is trained by a self-supervised objective alone: two random views of a series are
    to have alike representations, those of different series different ones; or hidden
    parts are to be reconstructed. Labels are not used.

    Parameters
    ----------
    objective : str or objective, default="vicreg"
        "barlow_twins", "vicreg", "vibcreg", "vcreg", "simclr", "moco", "byol", "masked", or an
        object of `skvqts.objectives` with parameters of its own.

    augmentation : {"gauss", "slice", "warp"} or augmentation, default="warp"
        What makes the views: a published set [1]_ or an object of `skvqts.augmentation`. Not
        used with "masked".

    output : {"features", "latents", "latents_pooled"}, default="features"
        What `transform` returns, always as a 2-D float32 array, for n series of N tokens
        with latents of dimension D:

        - "features": pooled latents and pooled activations of the encoder's inner layers, each
          column with mean 0 and the same variance over the training set, in all 25 (less where
          some are constant), where ``C=1`` suits an SVC; meant for a classifier right after it.
        - "latents": the latents, flattened (n, N * D).
        - "latents_pooled": means, deviations and mean differences of the latents over all tokens
          and quarters of them: of the series, or with "stft" of the frequency rows in turn.

        It can be changed after `fit`.

    frontend : {"multiscale", "conv", "stft"}, default="multiscale"
        "multiscale": kernels of nine points at all dilations on the series itself, then residual
        blocks. "conv" and "stft": convolutions at the resolution of the tokens, and on a
        short-time Fourier transform, as in `VQTokenizer`.

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

    batch_size : int, default=64
        Series per training step, at least 2.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make 300 steps, and 4 at least.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. At
        least eight are held out, but not more than half.

    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
    tol : float, default=1e-4

    warm_start : bool, default=False
        Continue from the encoder and scaling of the previous `fit`; the projector of the
        objective, which is not kept, starts anew.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the network's matrix products in training; losses and inference are always
        float32. "auto" is float32.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        CPU threads of `fit` and of what follows it. None: one, or up to four where training
        sees more than 4 million time points (epochs x series x length). The same number gives
        the same bits; 1 is faster where others use the cores, as with `n_jobs`.

    verbose : int, default=0
        1 prints about ten lines a fit, higher numbers print more.

    random_state : int, RandomState instance or None, default=None
        Seed of initial weights, sample order and views.

    Attributes
    ----------
    latent_std_ : ndarray of shape (latent_dim,)
        Standard deviation over the training series of each dimension of the pooled latents, in
        units of the latents' own: near 0 where all series are alike (collapse). Measured, like
        the next, on at most 1,024 series, evenly spaced.
    effective_rank_ : float
        Number of directions in which the pooled latents of the training series differ: the
        exponential of the entropy of their singular values [2]_.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean loss per epoch: "ssl", unweighted; "loss", weighted; with early stopping, "validation",
        that of held-out series.
    n_iter_ : int
        Number of epochs run.
    interrupted_ : bool
        Whether Ctrl-C ended the training; the weights are those of the last finished epoch,
        or of the best one with early stopping.
    token_shape_ : tuple of (int, int)
        Rows and columns of the tokens of each band.
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the encoder is.
    n_threads_ : int
        CPU threads used.
    module_ : torch.nn.Module
        The encoder, in evaluation mode.

    References
    ----------
    .. [1] Mathisen et al. "Closing the gap between generative and self-supervised
       time series modelling" (NC-VQVAE), 2024.
    .. [2] Roy, Vetterli. "The effective rank: a measure of effective dimensionality", 2007.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import SSLFeatureExtractor
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> extractor = SSLFeatureExtractor(width=8, max_epochs=5, random_state=0)
    >>> extractor.fit_transform(X).shape
    (20, 2240)
    """

    _auto_steps, _auto_epochs = 300, 4
    _least_batch, _least_held_out = 2, 8

    _parameter_constraints = {
        **SeriesTransformer._parameter_constraints,
        "objective": [StrOptions(set(OBJECTIVES)), Objective],
        "augmentation": [StrOptions(set(PRESETS)), Augmentation],
        "output": [StrOptions(set(ENCODER_OUTPUTS))],
        "batch_size": [IntegerInterval(2)],
    }

    def __init__(
        self,
        objective="vicreg",
        *,
        augmentation="warp",
        output="features",
        frontend="multiscale",
        width=64,
        latent_dim="auto",
        n_blocks="auto",
        downsampled_width="auto",
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
        self.objective = objective
        self.augmentation = augmentation
        self.output = output
        self.frontend = frontend
        self.width = width
        self.latent_dim = latent_dim
        self.n_blocks = n_blocks
        self.downsampled_width = downsampled_width
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
        float32 ndarray of shape (n, n_features_out)
        """
        self._validate_params()
        check_is_fitted(self)
        (out,) = self._reader(EncoderReader).read(validate_series(self, X), self.output)
        return self._feature_scaler.scale(out) if self.output == "features" else out

    def _module_constructor(self):
        return partial(make_encoder, **self._architecture)

    def _encoder_constructor(self):
        return self._module_constructor()

    def _encoder(self):
        return self.module_

    def _task(self, network, data, plan, generator, warm):
        (x,) = data
        ssl = SelfSupervision(self.objective, self.augmentation, generator)
        model = network
        if ssl.masks_input:
            constructor = partial(make_decoder, grid=network.grid, **self._architecture)
            model = _Autoencoder(network, build(constructor, generator).to(x.device))
        ssl.start(model, self._latent_dim, x)
        return _SSLTask(network, model, ssl, plan)

    def _describe(self, series):
        """Fitted attributes that the trained encoder gives on the training set."""
        self.token_shape_ = (self.module_.grid,)
        reader = self._reader(EncoderReader)
        self._n_columns = reader.n_columns(series)
        (features,) = reader.read(series, "features")
        self._feature_scaler = ColumnScaler().fit(features)
        self._measure_collapse(reader, series[:: -(-len(series) // _COLLAPSE_ROWS)])

    def _measure_collapse(self, reader, series):
        (latents,) = reader.read(series, "latents")
        latents = torch.from_numpy(latents).view(len(series), -1, self._latent_dim)
        pooled = latents.mean(1)
        self.latent_std_ = relative_std(latents, pooled).numpy()
        self.effective_rank_ = effective_rank(pooled)
        std = float(self.latent_std_.mean())
        if has_collapsed(std, self.effective_rank_, len(series), pooled.shape[1]):
            warn_user(
                "The representation has collapsed: the training series hardly differ in it "
                f"(mean latent_std_ {std:.2g}, effective_rank_ {self.effective_rank_:.2g}). Are "
                "the series themselves alike? If not, try another objective or a smaller "
                "learning_rate.",
                CollapseWarning,
            )


class _Autoencoder(nn.Module):
    """An encoder, and a decoder of its latents."""

    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decode = encoder, decoder

    def forward(self, x):
        return self.encoder(x)


class _SSLTask(Task):
    """A self-supervised loss (eq. 12) between two views of a batch of series."""

    def __init__(self, encoder, model, ssl, plan):
        super().__init__(nn.ModuleList([model, ssl.branch]))
        self.encoder, self.model, self.ssl, self.plan = encoder, model, ssl, plan

    def losses(self, x):
        first = View(x, None) if self.ssl.masks_input else self.ssl.view(x, self.model)
        return {"ssl": self.ssl.loss(first, self.ssl.view(x, self.model, which=1))}

    def after_step(self):
        self.ssl.branch.follow(self.model)

    def finish(self, x):
        """Running statistics of the series themselves, of which training saw only views."""
        estimate_statistics(self.encoder, x, self.plan.n_batches(len(x)), self.ssl.generator)
