"""SeriesAutoencoder: series through a bottleneck of continuous latents and back."""

from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._files.encoding import storable
from .._fitting.checkpoint import open_checkpoint
from .._fitting.on_demand import rows_of
from .._fitting.progress import Progress
from .._fitting.reading import (
    read_output,
    read_rows,
    reconstruction_errors,
    series_of_scaled,
)
from .._fitting.runtime import computing
from .._fitting.state import (
    CallbackSupportMixin,
    TorchStateMixin,
    all_or_nothing,
    network_to_train,
)
from .._fitting.training import hold_out, set_trained, train, training_plan
from .._fitting.validation import (
    TRAINING_CONSTRAINTS,
    IntegerInterval,
    StrOptions,
    _fit_context,
    generator_from,
    validate_read_out,
    validate_series,
)
from .._nn.encoders import resolved_sizes
from .._ssl_features import ENCODER_CONSTRAINTS
from .network import Autoencoder

_NAMES = ("frontend", "width", "n_blocks", "downsampled_width", "scaling", "warm_start")
# of both autoencoders
LATENT_CONSTRAINTS = {
    **TRAINING_CONSTRAINTS,
    **{name: ENCODER_CONSTRAINTS[name] for name in _NAMES},
    "latent_dim": [IntegerInterval(1)],
    "latent_per": [StrOptions({"series", "token"})],
}


@storable
class SeriesAutoencoder(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    TorchStateMixin,
    BaseEstimator,
):
    """Autoencoder of time series: each becomes a few numbers, from which it is reconstructed.

    Encoder and decoder are those of `VQTokenizer`. Between them, in place of a codebook, is a
    bottleneck: one vector of continuous latents for a series, or one for each token ([1]_; [2]_,
    chapter 14).

    Parameters
    ----------
    latent_dim : int, default=16
        Dimension of a latent vector.

    latent_per : {"series", "token"}, default="series"
        "series": one latent vector, which all tokens of the encoder are squeezed into. "token": one
        for each of them, in the places of the tokens of a `VQTokenizer`.

    frontend : {"conv", "multiscale", "patches", "stft"}, default="conv"
        "conv": one-dimensional convolutions at the resolution of the tokens.
        "multiscale": kernels of nine points at all dilations on the series itself, then
        convolutions. "patches": a transformer over patches of the series. "stft": two-dimensional
        convolutions on a short-time Fourier transform. As in `VQTokenizer`.

    width : int, default=64
        Number of channels of the convolutions, and dimension of the tokens before the bottleneck;
        "multiscale" has four times as many kernels.

    n_blocks : int or "auto", default="auto"
        Number of residual blocks of the encoder; the decoder has as many for "stft", else half as
        many. "auto" is 4 for "stft", else 2.

    downsampled_width : int or "auto", default="auto"
        About how many tokens there are along time. "auto" is 8 for "stft", which has five rows
        of tokens, else 32.

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost, and reconstructions have those of the
        training set on average.

    batch_size : int, default=64
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make 600 steps, and 8 at least, but no more
        than see 100 million time points in all, which takes minutes.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch.

    validation_fraction : float, default=0.1
        Share of the series that early stopping holds out.

    n_iter_no_change : int, default=10
        Number of epochs without improvement after which early stopping ends the training.

    tol : float, default=1e-4
        Least improvement of the validation loss that counts.

    warm_start : bool, default=False
        Continue from the weights and scaling of the previous `fit`.

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
        Seed of initial weights, sample order and held-out series.

    Attributes
    ----------
    latent_shape_ : tuple of (int, int)
        Number of latent vectors of a series, and `latent_dim`.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean of each loss term per epoch: "reconstruction", the mean squared error of scaled
        series, with "stft" also "spectral"; their sum "loss"; with early stopping, "validation",
        that of held-out series.
    n_iter_ : int
        Number of epochs run.
    interrupted_ : bool
        Whether Ctrl-C ended the training; the weights are those of the last finished epoch,
        or of the best one with early stopping.
    architecture_ : dict
        What the network was built with; every parameter that was "auto" is resolved.
    scaler_ : SeriesScaler
        What standardises series before the network sees them; its `mean_` and `scale_` have
        shape (1, n_channels_in_, 1).
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
        The network, in evaluation mode.

    See Also
    --------
    SeriesVAE : Latents with a prior that series can be drawn from.
    VQTokenizer : Discrete latents.

    References
    ----------
    .. [1] Hinton, Salakhutdinov. "Reducing the dimensionality of data with neural networks", 2006.
    .. [2] Goodfellow, Bengio, Courville. "Deep learning", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import SeriesAutoencoder
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> autoencoder = SeriesAutoencoder(latent_dim=2, max_epochs=20, random_state=0).fit(X)
    >>> latents = autoencoder.transform(X)
    >>> latents.shape, autoencoder.inverse_transform(latents).shape
    ((20, 2), (20, 40))
    """

    _parameter_constraints = {**LATENT_CONSTRAINTS}

    def __init__(
        self,
        latent_dim=16,
        *,
        latent_per="series",
        frontend="conv",
        width=64,
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
        self.latent_dim = latent_dim
        self.latent_per = latent_per
        self.frontend = frontend
        self.width = width
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

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y=None, *, checkpoint=None):
        """Learn encoder and decoder by minimising the reconstruction error, with AdamW.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : ignored
        checkpoint : str, path-like or None, default=None
            File that keeps what has been learned so far, about every half minute. A fit that was
            killed and is run again with the same data, parameters and file goes on from there, and
            ends with the same bits; one with others is refused. The file is removed at the end.

        Returns
        -------
        self : SeriesAutoencoder

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
        X = validate_series(self, X, reset=not warm, min_samples=2)
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, None, generator)
        plan = training_plan(self, len(X), least_steps=600)

        self.architecture_ = bottleneck_architecture(self, X)
        shaped_by = (self.architecture_, self.scaling)
        with computing(plan.device, plan.n_threads, training=True):
            network = network_to_train(self, X, shaped_by, warm, generator).to(plan.device)
            x = rows_of(X, self.scaler_.transform, plan.device)
            (x,), held_out = hold_out([x], plan, generator)
            step = ReconstructionStep(network)
            progress = Progress(self, plan, X_given, y)
            record = train(step, [x], plan, generator, held_out, progress, checkpoint)
            set_trained(self, network, plan, record)
        self.latent_shape_ = network.latent_shape
        checkpoint.close(self)
        return self

    def transform(self, X, *, out=None):
        """Latents of series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Series of the fitted shape.

        out : array-like of shape (n, n_features_out) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        Z : float32 ndarray of shape (n, n_features_out)
            The latent vectors of a series, one after the other.
        """
        check_is_fitted(self)
        X = validate_series(self, X)
        return read_output(self, lambda x: [self.module_.encode(x).flatten(1)], X, out)

    def inverse_transform(self, X):
        """Series of latents.

        Parameters
        ----------
        X : array-like of shape (n, n_features_out)
            Latents, as `transform` returns them.

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`
            Of exactly the fitted length, in the units of the training set; float32, or float64
            where that would lose detail (``scaler_.dtype``).

        Raises
        ------
        ValueError
            If `X` is not finite or of another width.
        """
        check_is_fitted(self)
        z = validate_read_out(self, X, self._n_features_out)

        def decoded(z):
            return [self.module_.decode(z.unflatten(1, self.latent_shape_))]

        return series_of_scaled(self, read_rows(self, decoded, z)[0])

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
        X = validate_series(self, X)
        network = self.module_
        errors = reconstruction_errors(self, lambda x: network.decode(network.encode(x)), X)
        return -float(errors.mean())

    def _network_constructor(self):
        architecture, _ = self._shaped_by
        return partial(Autoencoder, **architecture)

    @property
    def _n_features_out(self):
        return int(np.prod(self.latent_shape_))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class ReconstructionStep(nn.Module):
    """The error of reconstructed series, as a loss of a batch."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network.reconstruction_losses(x, self.network.encode(x))


def bottleneck_architecture(estimator, X):
    """What an autoencoder is built with for series ``(n, c, t)``, every "auto" resolved: a dict."""
    sizes = resolved_sizes(
        estimator.frontend,
        n_blocks=estimator.n_blocks,
        downsampled_width=estimator.downsampled_width,
    )
    _, n_channels, n_timepoints = X.shape
    return {
        "n_channels": n_channels,
        "n_timepoints": n_timepoints,
        "latent_dim": int(estimator.latent_dim),
        "per_token": estimator.latent_per == "token",
        "frontend": estimator.frontend,
        "width": estimator.width,
        **sizes,
    }
