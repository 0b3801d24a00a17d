"""SeriesVAE: a variational autoencoder of series, which generates them from normal latents."""

from functools import partial

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._files.encoding import storable
from .._fitting.checkpoint import open_checkpoint
from .._fitting.on_demand import rows_of
from .._fitting.progress import Progress
from .._fitting.reading import (
    read_at_the_end,
    read_output,
    read_rows,
    read_series,
    series_of_scaled,
)
from .._fitting.runtime import computing
from .._fitting.state import (
    CallbackSupportMixin,
    TorchStateMixin,
    all_or_nothing,
    network_to_train,
)
from .._fitting.training import hold_out_labelled, set_trained, train, training_plan
from .._fitting.validation import (
    IntegerInterval,
    RealInterval,
    StrOptions,
    _fit_context,
    generator_from,
    validate_known_classes,
    validate_parameter_constraints,
    validate_read_out,
    validate_request,
    validate_series,
)
from .._generation.sampling import draw_classes, row_stream, seed_of
from .._generation.stages import keep_training_series, learn_classes
from ..exceptions import CollapseWarning, warn_user
from .autoencoder import LATENT_CONSTRAINTS, bottleneck_architecture
from .elbo import (
    importance_weighted_bound,
    kl_to_standard_normal,
    log_likelihood,
    log_posterior,
    log_prior,
    reparametrised,
)
from .network import VariationalAutoencoder

_ACTIVE = 0.01  # least variance of a latent's posterior mean that counts (Burda et al. 2016)
_ELBO_DRAWS = 32
_LEAST_NOISE, _MOST_NOISE = 1e-3, 1e3  # standard deviations, of scaled series
_NOISE_DECAY = 0.99


def _was_fitted_without_labels(vae):
    """Whether latents alone can be turned back into series; for `available_if`."""
    if hasattr(vae, "classes_"):
        raise AttributeError(
            "A SeriesVAE that was fitted with labels has no inverse_transform, as its decoder is "
            "told the class of each series: use decode(latents, y)."
        )
    return True


@storable
class SeriesVAE(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    CallbackSupportMixin,
    TorchStateMixin,
    BaseEstimator,
):
    """Variational autoencoder of time series, which generates them from normal latents.

    A series is to be ``x = D(z) + noise``, with latents z of N(0, I), a decoder D and normal noise.
    An encoder gives a normal posterior of the latents of each series. Both learn by maximising the
    evidence lower bound (ELBO) of the likelihood ([1]_, equation 3). The baseline with continuous
    latents and a prior that is not learned, beside `VQTokenizer` and the generators over its
    tokens: encoder and decoder are the same.

    Parameters
    ----------
    latent_dim : int, default=16
        Dimension of a latent vector.

    latent_per : {"series", "token"}, default="series"
        "series": one latent vector. "token": one for each token of the encoder; all are drawn
        independently of each other in samples, which hardly hang together then.

    covariance_type : {"diag", "full"}, default="diag"
        Covariance of the posterior of a latent vector: a variance for each dimension, or a matrix
        by its Cholesky factor. The prior is N(0, I) in any case.

    conditional : bool, default=True
        Learn series given their class, where `fit` is given labels: the decoder is told the class
        (Sohn et al. 2015), and `sample` can be asked for one. The latents then need not tell
        classes apart. False: labels are ignored, as a transformer before a classifier in a
        Pipeline should.

    noise_scale : float or "learned", default="learned"
        Standard deviation of the noise, of scaled series, from 0.001 to 1,000. "learned": the
        maximum of the likelihood, for each channel, at least 0.001 ([2]_). 1.0 makes the
        reconstruction term half of the squared error, up to a constant.

    sample_noise : bool, default=False
        Samples are ``D(z)`` plus noise, as the model has it. False: ``D(z)`` alone. It can be
        changed after `fit`.

    kl_weight : float, default=1.0
        Weight of the Kullback-Leibler divergence in the loss. 1 maximises the ELBO; less keeps more
        of a series in its latents, more makes the dimensions of latents independent ([3]_).

    kl_warmup : float, default=0.25
        Share of the training over which that weight rises from 0, so that the latents are used
        before they are pulled towards the prior ([4]_).

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
        series; then level and scale of a series are lost, and samples have those of the
        training set on average.

    batch_size : int, default=64
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make two steps for each series, but 600
        steps at least and 2,000 at most, and 8 passes at least; but no more than see 100 million
        time points in all, which takes minutes.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, of each class an equal share, stop when their
        loss, with the whole `kl_weight`, has not improved by `tol` for `n_iter_no_change` epochs,
        keep the best epoch. A few dozen series are soon known by heart, and the learned noise is
        too small for new ones then: use it there, with ``kl_warmup=0``, as it would else end the
        training while the weight still rises.

    validation_fraction : float, default=0.1
        Share of the series that early stopping holds out.

    n_iter_no_change : int, default=10
        Number of epochs without improvement after which early stopping ends the training.

    tol : float, default=1e-4
        Least improvement of the validation loss that counts.

    warm_start : bool, default=False
        Continue from the weights and scaling of the previous `fit`; the weight of the divergence
        rises anew.

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
        Seed of initial weights, sample order, draws from posteriors and held-out series; of
        `sample` too, unless it is given another.

    Attributes
    ----------
    latent_shape_ : tuple of (int, int)
        Number of latent vectors of a series, and `latent_dim`.
    noise_scale_ : ndarray of shape (n_channels_in_,)
        Standard deviation of the noise, of scaled series.
    latent_activity_ : ndarray of shape (n_features_out,)
        Variance over the training series of the posterior mean of each latent: near 0 where the
        posterior is that of the prior whatever the series, which is its collapse ([5]_, section
        5.2).
    n_active_latents_ : int
        Number of latents with an activity above 0.01.
    kl_ : float
        Mean divergence of the prior from the posterior over the training series, in nats: at least
        the mutual information of latents and series.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; only after a fit with labels.
    class_counts_ : ndarray of shape (n_classes,)
        Number of training series of each class; only after a fit with labels.
    X_fit_, y_fit_ : ndarray
        Read-only copies of the training series and, if there are any, of their labels: what
        scorers compare samples with. They are kept in this process only; pickles and copies of the
        estimator do not hold them.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean of each term of the negative ELBO per epoch, in nats per series: "reconstruction", the
        negative expected log-likelihood given the latents, and "kl", the divergence. "loss" is
        what was minimised: their sum per value of a series, "kl" by its weight; with
        early stopping, "validation" is that of held-out series.
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
    SeriesAutoencoder : Latents without a prior.
    MaskedPriorGenerator : Discrete latents with a prior that is learned.

    References
    ----------
    .. [1] Kingma, Welling. "Auto-encoding variational Bayes", 2014.
    .. [2] Rybkin, Daniilidis, Levine. "Simple and effective VAE training with calibrated
       decoders", 2021.
    .. [3] Higgins et al. "beta-VAE: learning basic visual concepts with a constrained variational
       framework", 2017.
    .. [4] Sonderby et al. "Ladder variational autoencoders", 2016.
    .. [5] Burda, Grosse, Salakhutdinov. "Importance weighted autoencoders", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import SeriesVAE
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> vae = SeriesVAE(latent_dim=4, max_epochs=20, random_state=0).fit(X)
    >>> vae.transform(X).shape, vae.sample(5, random_state=0).shape
    ((20, 4), (5, 40))
    """

    _parameter_constraints = {
        **LATENT_CONSTRAINTS,
        "covariance_type": [StrOptions({"diag", "full"})],
        "conditional": ["boolean"],
        "noise_scale": [
            RealInterval(_LEAST_NOISE, _MOST_NOISE, closed="both"),
            StrOptions({"learned"}),
        ],
        "sample_noise": ["boolean"],
        "kl_weight": [RealInterval(0)],
        "kl_warmup": [RealInterval(0, 1, closed="both")],
    }

    def __init__(
        self,
        latent_dim=16,
        *,
        latent_per="series",
        covariance_type="diag",
        conditional=True,
        noise_scale="learned",
        sample_noise=False,
        kl_weight=1.0,
        kl_warmup=0.25,
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
        self.covariance_type = covariance_type
        self.conditional = conditional
        self.noise_scale = noise_scale
        self.sample_noise = sample_noise
        self.kl_weight = kl_weight
        self.kl_warmup = kl_warmup
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
        """Learn encoder and decoder by maximising the evidence lower bound ([1]_), with AdamW.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,) or None, default=None
            Their classes: whole numbers, truth values or strings; series are then learned given
            them, unless `conditional` is False.
        checkpoint : str, path-like or None, default=None
            File that keeps what has been learned so far, about every half minute. A fit that was
            killed and is run again with the same data, parameters and file goes on from there, and
            ends with the same bits; one with others is refused. The file is removed at the end.

        Returns
        -------
        self : SeriesVAE

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, or `device` is not present.
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
            If no latent is active: the posterior of every training series is that of the prior.
        """
        warm = self.warm_start and hasattr(self, "module_")
        X_given, y_given = X, y  # callbacks are handed what the user passed
        X = validate_series(self, X, reset=not warm, min_samples=2)
        y = y if self.conditional else None
        before = getattr(self, "classes_", None)
        classes = learn_classes(self, y, len(X))
        if warm:
            refuse_other_classes(self, before)
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, y, generator)
        plan = training_plan(self, len(X), least_steps=max(600, min(2 * len(X), 2000)))

        self.architecture_ = bottleneck_architecture(self, X) | {
            "n_classes": len(getattr(self, "classes_", ())),
            "full_covariance": self.covariance_type == "full",
        }
        shaped_by = (self.architecture_, self.scaling)
        with computing(plan.device, plan.n_threads, training=True):
            network = network_to_train(self, X, shaped_by, warm, generator).to(plan.device)
            if self.noise_scale != "learned":
                network.noise_scale.fill_(self.noise_scale)
            x = rows_of(X, self.scaler_.transform, plan.device)
            data, held_out = hold_out_labelled(x, classes, None, plan, generator)
            if held_out is not None:  # draws that stay the same in every epoch
                held_out.append(standard_normal(network, len(held_out[0]), generator))
            n_steps = plan.n_epochs * plan.n_batches(len(data[0]))
            step = ELBOStep(
                network,
                kl_weight=self.kl_weight,
                n_warmup=self.kl_warmup * n_steps,
                n_values=X[0].size,
                learns_noise=self.noise_scale == "learned",
                generator=generator,
            )
            progress = Progress(self, plan, X_given, y_given)
            record = train(step, data, plan, generator, held_out, progress, checkpoint)
            set_trained(self, network, plan, record)

            self.latent_shape_ = network.latent_shape
            self.noise_scale_ = network.noise_scale.cpu().numpy().copy()
            means, divergences = self._read_posterior(read_at_the_end(X, record))
            self.kl_ = float(divergences.mean(dtype=np.float64))
            self.latent_activity_, self.n_active_latents_ = measure_activity(means)
        keep_training_series(self, X, classes)
        checkpoint.close(self)
        return self

    def transform(self, X, *, out=None):
        """Latents of series: the means of their posteriors.

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
        return read_output(self, self._posterior, X, out, lambda means, divergences: means)

    @available_if(_was_fitted_without_labels)
    def inverse_transform(self, X):
        """Series of latents, without noise; only after a fit without labels.

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
        return self.decode(X)

    def decode(self, Z, y=None):
        """Series of latents, of some classes, without noise.

        Parameters
        ----------
        Z : array-like of shape (n, n_features_out)
            Latents, as `transform` returns them.
        y : label, array-like of shape (n,) or None, default=None
            Classes of the series: one for each, or one for all. Needed after a fit with labels,
            where the decoder is told them.

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`
            Of exactly the fitted length, in the units of the training set; float32, or float64
            where that would lose detail (``scaler_.dtype``).

        Raises
        ------
        ValueError
            If `Z` is not finite or of another width, or `y` is missing or holds a class that `fit`
            did not see.
        """
        check_is_fitted(self)
        z = validate_read_out(self, Z, self._n_features_out)
        if y is None and self.architecture_["n_classes"]:
            raise ValueError(
                "decode of a SeriesVAE that was fitted with labels needs y, the classes of the "
                "series: its decoder is told them."
            )
        classes = np.zeros(len(z), np.int64)
        if y is not None:
            classes = validate_known_classes(self, y, len(z))
        return series_of_scaled(self, self._decoded(z, classes))

    def sample(self, n_samples=None, *, y=None, random_state=None, return_y=False):
        """Generate series: latents of N(0, I), decoded.

        Row i depends on `random_state`, i and its class only: the first rows of a larger sample
        are those of a smaller one.

        Parameters
        ----------
        n_samples : int or None, default=None
            Number of series. None: as many as `y` has labels, or one.
        y : label, array-like of shape (n_samples,) or None, default=None
            Classes to generate: one for each series, or one for all. None: after a fit with
            labels, classes are drawn by their frequencies in the training set.
        random_state : int, RandomState instance or None, default=None
            None: the `random_state` of the estimator.
        return_y : bool, default=False
            Return the classes too; needs a fit with labels.

        Returns
        -------
        X : ndarray of shape (n_samples, t) or (n_samples, c, t), as in `fit`
            Series in the units of the training set; float32, or float64 where that would lose
            detail (``scaler_.dtype``).
        y : ndarray of shape (n_samples,)
            Only if `return_y`.

        Raises
        ------
        ValueError
            If `n_samples` is no positive whole number, or `y` holds a class that `fit` did not see
            or contradicts `n_samples`.
        """
        check_is_fitted(self)
        self._validate_params()
        n_values = 2 * self.n_channels_in_ * self.n_timepoints_in_ + 3 * self._n_features_out
        n_samples, classes = validate_request(self, n_samples, y, return_y, n_values)
        seed = seed_of(self, random_state)
        if classes is None:
            classes = draw_classes(self, np.arange(n_samples), seed)
        X = self._decoded(row_noise(seed, n_samples, 1, (self._n_features_out,)), classes)
        if self.sample_noise:
            X += self.noise_scale_[:, None] * row_noise(seed, n_samples, 2, X.shape[1:])
        X = series_of_scaled(self, X)
        return (X, self.classes_[classes]) if return_y else X

    def score_samples(self, X, *, n_importance_samples=None):
        """Lower bound of the log-density of scaled series, in nats per series.

        After a fit with labels it is that of series whatever their class: of the mixture of
        classes, as frequent as in the training set.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        n_importance_samples : int or None, default=None
            None: the evidence lower bound, whose expectation over the posterior is a mean of 32
            draws ([1]_, equation 3). A number k: the importance-weighted bound of k draws, which is
            tighter the larger k is ([5]_, equation 8). Draws are always the same, so that the score
            of a series depends on nothing but the series.

        Returns
        -------
        log_density : float64 ndarray of shape (n,)
        """
        bounds = self._class_bounds(X, n_importance_samples, "score_samples")
        if not self.architecture_["n_classes"]:
            return bounds[:, 0]
        shares = self.class_counts_ / self.class_counts_.sum()
        return logsumexp(bounds + np.log(shares), axis=1)

    def score(self, X, y=None):
        """Mean evidence lower bound per series, see `score_samples`.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : ignored

        Returns
        -------
        score : float
            Greater is better; comparable with the `score` of generators, not between scalings.
        """
        return float(self.score_samples(X).mean())

    def class_log_likelihoods(self, X, *, n_importance_samples=None):
        """Lower bound of the log-density of each scaled series given each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        n_importance_samples : int or None, default=None
            As in `score_samples`.

        Returns
        -------
        log_likelihoods : float64 ndarray of shape (n, n_classes)
            In nats, in the order of `classes_`.

        Raises
        ------
        ValueError
            If the estimator was fitted without labels.
        """
        check_is_fitted(self)
        if not self.architecture_["n_classes"]:
            raise ValueError("class_log_likelihoods needs a SeriesVAE fitted with labels.")
        return self._class_bounds(X, n_importance_samples, "class_log_likelihoods")

    def _class_bounds(self, X, n_importance_samples, caller):
        """Lower bounds of the log-density ``(n, n_classes)``, or of one class that is all."""
        check_is_fitted(self)
        self._validate_params()
        validate_parameter_constraints(
            {"n_importance_samples": [IntegerInterval(1), None]},
            {"n_importance_samples": n_importance_samples},
            caller,
        )
        X = validate_series(self, X)
        n_draws = _ELBO_DRAWS if n_importance_samples is None else int(n_importance_samples)
        draws = row_noise(0, n_draws, 0, self.latent_shape_)
        is_weighted = n_importance_samples is not None
        bounds = partial(class_bounds, self.module_, draws=draws, is_weighted=is_weighted)
        return read_series(self, lambda x: [bounds(x)], X)[0]

    def _read_posterior(self, X):
        """Posterior means ``(n, M * k)`` and divergences ``(n,)`` of valid series."""
        return read_series(self, self._posterior, X)

    def _posterior(self, x):
        """The same of scaled series ``(B, c, t)``, as Tensors."""
        mean, scale = self.module_.posterior(x)
        return [mean.flatten(1), kl_to_standard_normal(mean, scale)]

    def _decoded(self, z, classes):
        """Scaled series ``(n, c, t)`` of latents ``(n, M * k)`` of some classes ``(n,)``."""
        rows = np.column_stack([classes, z]).astype(np.float32)

        def decoded(rows):
            z = rows[:, 1:].unflatten(1, self.latent_shape_)
            return [self.module_.decode(z, rows[:, 0].long())]

        return read_rows(self, decoded, rows)[0]

    def _network_constructor(self):
        architecture, _ = self._shaped_by
        return partial(VariationalAutoencoder, **architecture)

    @property
    def _n_features_out(self):
        return int(np.prod(self.latent_shape_))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.target_tags.required = False
        return tags


def refuse_other_classes(vae, before):
    """Refuse to continue with labels of other classes than those ``before``, or None, of a fit."""
    now = getattr(vae, "classes_", None)
    if not np.array_equal(before, now):
        before, now = ("none" if known is None else known.tolist() for known in (before, now))
        raise ValueError(
            f"SeriesVAE(warm_start=True) continues with the classes of the previous fit, {before}, "
            f"and y has {now}: give it labels of the same classes, or set warm_start=False."
        )


class ELBOStep(nn.Module):
    """The two terms of the negative evidence lower bound of a batch (Kingma and Welling 2014).

    Parameters
    ----------
    network : VariationalAutoencoder
    kl_weight : float
    n_warmup : float
        Number of steps over which that weight rises from 0.
    n_values : int
        Of a series: the loss is per value, whatever the length of series.
    learns_noise : bool
        Whether the scale of the noise follows the errors of what is decoded.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(self, network, kl_weight, n_warmup, n_values, learns_noise, generator):
        super().__init__()
        self.network = network
        self.kl_weight = kl_weight
        self.n_warmup = n_warmup
        self.n_values = n_values
        self.learns_noise = learns_noise
        self.generator = generator
        # A buffer, so that a training that goes on from a checkpoint knows it.
        self.register_buffer("n_taken", torch.zeros((), dtype=torch.int64, device="cpu"))

    @property
    def weights(self):
        """Of both terms, which are per series."""
        share = 1.0
        if self.training and self.n_taken < self.n_warmup:
            share = int(self.n_taken) / self.n_warmup
        return {
            "reconstruction": 1 / self.n_values,
            "kl": self.kl_weight * share / self.n_values,
        }

    def forward(self, x, classes, noise=None):
        mean, scale = self.network.posterior(x)
        if noise is None:
            noise = standard_normal(self.network, len(x), self.generator)
        decoded = self.network.decode(reparametrised(mean, scale, noise), classes)
        # Kept for `after_step`: the best scale of the noise is the root mean square of the errors.
        self.squared_error = (decoded.detach() - x).square().mean((0, 2))
        return {
            "reconstruction": -log_likelihood(x, decoded, self.network.noise_scale).mean(),
            "kl": kl_to_standard_normal(mean, scale).mean(),
        }

    @torch.no_grad()
    def after_step(self, n_taken):
        """Count, and let the scale of the noise follow the errors, faster in the first steps."""
        self.n_taken.fill_(n_taken)
        if self.learns_noise:
            decay = min(_NOISE_DECAY, n_taken / (n_taken + 9))
            variance = self.network.noise_scale.square().lerp(self.squared_error, 1 - decay)
            self.network.noise_scale.copy_(variance.sqrt().clamp(min=_LEAST_NOISE))


def standard_normal(network, n_rows, generator):
    """Noise ``(n_rows, M, k)`` for the latents of a network, on its device."""
    shape = (n_rows, *network.latent_shape)
    noise = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
    return noise.to(network.noise_scale.device)


def row_noise(seed, n_rows, stream, shape):
    """Standard normal float32 numbers ``(n_rows, *shape)``, each row from a stream of its own."""
    noise = np.empty((n_rows, *shape), np.float32)
    for row in range(n_rows):
        noise[row] = row_stream(seed, row, stream).standard_normal(shape)
    return noise


def class_bounds(network, x, draws, is_weighted):
    """Lower bounds ``(B, n_classes)`` of the log-density of scaled series, in float64.

    Parameters
    ----------
    network : VariationalAutoencoder
    x : Tensor of shape (B, C, T)
    draws : float32 ndarray of shape (n_draws, M, k)
        Standard normal; the same for every series.
    is_weighted : bool
        Whether it is the importance-weighted bound, or the evidence lower bound.
    """
    mean, scale = network.posterior(x)
    exact = torch.device("cpu")  # not every device has float64

    def exactly(tensor):
        return tensor.to(exact).double()

    likelihoods, ratios = [], []
    for draw in draws:
        noise = torch.from_numpy(draw).to(x.device).expand_as(mean)
        z = reparametrised(mean, scale, noise)
        ratios.append(log_prior(exactly(z)) - log_posterior(exactly(scale), exactly(noise)))
        of_classes = []
        for label in range(max(1, network.n_classes)):
            classes = torch.full((len(x),), label, device=x.device)
            decoded = exactly(network.decode(z, classes))
            of_classes.append(log_likelihood(exactly(x), decoded, exactly(network.noise_scale)))
        likelihoods.append(torch.stack(of_classes, dim=1))
    likelihoods = torch.stack(likelihoods)
    if is_weighted:
        return importance_weighted_bound(likelihoods + torch.stack(ratios)[..., None])
    return likelihoods.mean(0) - kl_to_standard_normal(exactly(mean), exactly(scale))[:, None]


def measure_activity(means):
    """Variance over series of posterior means ``(n, M * k)``, and the number of active latents.

    It warns where none is.
    """
    activity = means.var(0, dtype=np.float64)
    n_active = int((activity > _ACTIVE).sum())
    if n_active == 0:
        warn_user(
            "The posterior has collapsed: no latent tells the training series apart (largest "
            f"latent_activity_ {activity.max():.2g}). Are the series themselves alike? If not, try "
            "a smaller kl_weight, noise_scale='learned', or more epochs.",
            CollapseWarning,
        )
    return activity, n_active
