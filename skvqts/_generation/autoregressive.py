"""AutoregressivePriorGenerator: tokens one after the other, as in the original VQ-VAE."""

from functools import partial

import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from .._files.encoding import storable
from .._fitting.checkpoint import open_checkpoint
from .._fitting.progress import Progress
from .._fitting.runtime import computing
from .._fitting.state import (
    CallbackSupportMixin,
    TorchStateMixin,
    all_or_nothing,
    with_default_parts,
)
from .._fitting.training import set_trained, train
from .._fitting.validation import (
    IntegerInterval,
    StrOptions,
    _fit_context,
    generator_from,
    resolve_device,
    validate_parameter_constraints,
    validate_series,
)
from .._nn.layers import build
from .._nn.prior import Prior
from ..functional.decoding import Decoding
from .flow.decoder import FlowDecoder, decoded_series, fitted_decoder, searched_decoder
from .sampling import (
    TokenReader,
    checked_tokenizer,
    class_log_likelihoods,
    marginal_log_likelihood,
    reconstruction_log_density,
    sample_in_parts,
    sample_series,
)
from .stages import (
    PRIOR_CONSTRAINTS,
    PriorStep,
    code_distances,
    fitted_tokenizer,
    keep_training_series,
    learn_classes,
    prior_architecture,
    prior_data,
    prior_plan,
    reconstruction_scale,
    searched_tokenizer,
)


@storable
class AutoregressivePriorGenerator(CallbackSupportMixin, TorchStateMixin, BaseEstimator):
    """Generator of time series: autoregressive prior over the tokens of a VQ-VAE.

    The prior that VQ-VAEs started with ([1]_, section 3.3), as a baseline: the transformer of
    `MaskedPriorGenerator` with causal attention, or gated causal convolutions as they had, which
    predicts each token from those before it. Tokens are drawn one after the other, and the
    likelihood of tokens is exact.

    Parameters
    ----------
    tokenizer : VQTokenizer, FrozenEstimator or None, default=None
        The first stage. As everywhere in scikit-learn it is cloned and fitted on the training
        series; ``FrozenEstimator(tokenizer)`` uses a fitted one as it is. None: a `VQTokenizer`
        with 16 tokens, which a prior learns soon, 32 codes or, for 200 series and more (100 of two
        channels), 128, the `device`, `n_threads`, `precision` and `verbose` of the generator, and
        two steps of training for each channel of each series, but 600 at least and 2,000 at most,
        and 8 passes at least.

    decoder : FlowDecoder, "auto" or None, default="auto"
        How tokens become series. A `FlowDecoder` is fitted to the tokenizer and draws them, so that
        they are as rough and as smooth as those of the training set. None: the tokenizer decodes
        them to their mean. "auto": a `FlowDecoder` for ten series and more, with the `device`,
        `n_threads`, `precision` and `verbose` of the generator, or else None.

    network : {"transformer", "convolution"}, default="transformer"
        "transformer": causal attention to all tokens before. "convolution": gated convolutions of
        three tokens, dilated by 1, 2, 4, ..., 32 from layer to layer and then anew [2]_ [3]_. The
        default of four layers sees 30 tokens before. In `sample` they keep what they have computed
        of the tokens before, so that its time is proportional to the number of tokens.

    width : int, default=128
        Dimension of the network.

    n_layers : int, default=4
        Number of layers of the network.

    n_heads : int, default=4
        Number of attention heads of a layer. Not used by convolutions.

    head_dim : int or "auto", default="auto"
        Dimension of an attention head; "auto" shares the width among the heads. Not used by
        convolutions.

    feedforward : int or "auto", default="auto"
        Inner dimension of the feed-forward networks; "auto" is twice the width. Not used by
        convolutions.

    dropout : float or "auto", default="auto"
        Dropout of embeddings and of what each layer adds. "auto": 0.1 for fewer than 32 series,
        which are soon memorised, and 0.05 for more.

    p_unconditional : float, default=0.2
        Probability that a training step does not see the class of a series, so that the prior
        learns series of any class as well; what guidance needs.

    code_temperature : float, default=0.0
        Above 0, each training step draws the tokens of a series anew, with probabilities
        proportional to ``exp(-d^2 / code_temperature)`` of the codes at distance d. It needs memory
        for the distances of all tokens of an epoch to all codes, 4 bytes each (the rows of an epoch
        x N x K, with two bands twice as many codes), and up to as much again while the epoch is put
        together.

    ema_decay : float, default=0.99
        Decay of the running mean of the weights, which is what is kept.

    temperature : float, default=1.0
        Temperature of the tokens drawn; 0 takes the most probable one.

    guidance_scale : float, default=1.0
        Above 1, samples are pushed towards what tells their class from others (classifier-free
        guidance, Ho and Salimans 2022); each step then takes two passes instead of one.

    batch_size : int, default=64
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set, which is repeated as a whole until it has 1,024 series or
        more. "auto": as many as make two steps for each channel of each series, but 500 steps at
        least and 1,200 at most, and 8 passes at least; but no more than see 10 million tokens in
        all, which takes minutes. Few series are soon memorised.

    learning_rate : float, default=0.0015
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series of each class out of the training of the prior,
        stop when their likelihood has not improved by `tol` for `n_iter_no_change` epochs, keep the
        best epoch.

    validation_fraction : float, default=0.1
        Share of the series that early stopping holds out.

    n_iter_no_change : int, default=10
        Number of epochs without improvement after which early stopping ends the training.

    tol : float, default=1e-4
        Least improvement of the validation loss that counts.

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
        Seed of initial weights, sample order, hidden classes and dropout, and of the tokenizer if
        it has none.

    Attributes
    ----------
    tokenizer_ : VQTokenizer
        The fitted tokenizer.
    decoder_ : FlowDecoder or None
        The fitted decoder, which draws series of tokens where its `is_used_` is True.
    residual_scale_ : ndarray of shape (n_channels_in_,)
        Standard deviation of its reconstruction error on the training set, scaled.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; only after a fit with labels.
    class_counts_ : ndarray of shape (n_classes,)
        Number of training series of each class; only after a fit with labels.
    X_fit_, y_fit_ : ndarray
        Read-only copies of the training series and, if there are any, of their labels: what
        scorers compare samples with. They are kept in this process only; pickles and copies of the
        generator do not hold them.
    architecture_ : dict
        What the prior was built with; every parameter that was "auto" is resolved.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean cross-entropy of the tokens per epoch, in nats; with early stopping "validation",
        the negative log-likelihood per token of held-out series.
    n_iter_ : int
        Number of epochs of the training of the prior.
    interrupted_ : bool
        Whether Ctrl-C ended the training of the prior; the weights are those of the last finished
        epoch, or of the best one with early stopping.
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
        The prior, in evaluation mode.

    See Also
    --------
    MaskedPriorGenerator : The bidirectional prior, which fills gaps as well.

    References
    ----------
    .. [1] van den Oord, Vinyals, Kavukcuoglu. "Neural discrete representation learning", 2017.
    .. [2] van den Oord et al. "Conditional image generation with PixelCNN decoders", 2016.
    .. [3] van den Oord et al. "WaveNet: a generative model for raw audio", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import AutoregressivePriorGenerator, VQTokenizer
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> tokenizer = VQTokenizer(codebook_size=8, max_epochs=20)
    >>> generator = AutoregressivePriorGenerator(tokenizer, width=32, max_epochs=2, random_state=0)
    >>> generator.fit(X).sample(5, random_state=0).shape
    (5, 40)
    """

    _parameter_constraints = {
        **PRIOR_CONSTRAINTS,
        "decoder": [FlowDecoder, StrOptions({"auto"}), None],
        "network": [StrOptions({"transformer", "convolution"})],
    }

    def __init__(
        self,
        tokenizer=None,
        *,
        decoder="auto",
        network="transformer",
        width=128,
        n_layers=4,
        n_heads=4,
        head_dim="auto",
        feedforward="auto",
        dropout="auto",
        p_unconditional=0.2,
        code_temperature=0.0,
        ema_decay=0.99,
        temperature=1.0,
        guidance_scale=1.0,
        batch_size=64,
        max_epochs="auto",
        learning_rate=1.5e-3,
        weight_decay=1e-2,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        precision="auto",
        device="auto",
        n_threads=None,
        verbose=0,
        random_state=None,
    ):
        self.tokenizer = tokenizer
        self.decoder = decoder
        self.network = network
        self.width = width
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.head_dim = head_dim
        self.feedforward = feedforward
        self.dropout = dropout
        self.p_unconditional = p_unconditional
        self.code_temperature = code_temperature
        self.ema_decay = ema_decay
        self.temperature = temperature
        self.guidance_scale = guidance_scale
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
        """Set parameters, also those of a tokenizer or decoder that is not given.

        Parameters
        ----------
        **params : dict
            Such as ``tokenizer__codebook_size=64``: a `tokenizer` that is None becomes
            ``VQTokenizer(downsampled_width=16)`` first, a `decoder` that is "auto" `FlowDecoder()`.

        Returns
        -------
        self : AutoregressivePriorGenerator
        """
        makers = {
            "tokenizer": lambda _: searched_tokenizer(self, params),
            "decoder": lambda value: value and searched_decoder(self, params),
        }
        return super().set_params(**with_default_parts(self, params, makers))

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y=None, *, checkpoint=None):
        """Learn tokenizer and decoder, then to predict each token from those before it, by AdamW.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,) or None, default=None
            Their classes: whole numbers, truth values or strings; the prior is then conditional on
            them.
        checkpoint : str, path-like or None, default=None
            File that keeps what has been learned so far, about every half minute. A fit that was
            killed and is run again with the same data, parameters and file goes on from there, and
            ends with the same bits; one with others is refused. The file is removed at the end.

        Returns
        -------
        self : AutoregressivePriorGenerator

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, `device` is not present, or `tokenizer` holds
            one that was fitted to series of another shape.
        TypeError
            If `X` is sparse or not numeric, or `tokenizer` holds something else.
        NotFittedError
            If `tokenizer` is a FrozenEstimator of a tokenizer that is not fitted.
        ModelFileError
            If `checkpoint` is a file of another kind, or damaged.
        DivergedError
            If a loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; if it comes in the training of the prior, after its first epoch, the
            estimator is fitted all the same.
        """
        X_given = X  # callbacks are handed what the user passed
        X = validate_series(self, X, reset=True, min_samples=2)
        classes = learn_classes(self, y, len(X))
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, y, generator)
        resolve_device(self.device)  # an absent one is refused before anything is trained

        # Series become tokens, and tokens series.
        self.tokenizer_ = fitted_tokenizer(self, X, generator, checkpoint)
        self.residual_scale_ = reconstruction_scale(self.tokenizer_, X)
        self.decoder_ = fitted_decoder(self, X, y, generator, checkpoint)
        self._codebook = self.tokenizer_.codebook_  # `sample` asks whether it is still the same
        tokens = self.tokenizer_.encode(X)
        arrays = [tokens, classes]
        if self.code_temperature > 0:
            arrays.append(code_distances(self.tokenizer_, X))

        # The prior: each token is predicted from those before it, given the class.
        plan = prior_plan(self, tokens, self.n_channels_in_)
        self.architecture_ = prior_architecture(self, len(X), causal=True)
        if self.network == "convolution":  # files of transformers have no such entry
            self.architecture_["convolutional"] = True
        self._learned_unconditional = self.p_unconditional > 0
        with computing(plan.device, plan.n_threads, training=True):
            prior = build(self._network_constructor(), generator).to(plan.device)
            data, held_out = prior_data(arrays, plan, prior.n_tokens, generator, causal=True)
            prior.start_from(torch.from_numpy(self._codebook).to(plan.device), data[0])
            step = PriorStep(
                prior,
                schedule=None,
                p_unconditional=self.p_unconditional,
                ema_decay=self.ema_decay,
                code_temperature=self.code_temperature,
                generator=generator,
            )
            progress = Progress(self, plan, X_given, y)
            record = train(step, data, plan, generator, held_out, progress, checkpoint)
            set_trained(self, step.average.requires_grad_(True), plan, record)
        keep_training_series(self, X, classes)
        checkpoint.close(self)
        return self

    def sample(self, n_samples=None, *, y=None, random_state=None, return_y=False):
        """Generate series.

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
            None: the `random_state` of the generator.
        return_y : bool, default=False
            Return the classes too; needs a fit with labels.

        Returns
        -------
        X : ndarray of shape (n_samples, t) or (n_samples, c, t), as in `fit`
            Series in the units of the training set, float32, or float64 where that would lose
            detail (``tokenizer_.scaler_.dtype``).
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
        decode = partial(decoded_series, self)
        return sample_series(self, self._decodings(), decode, n_samples, y, random_state, return_y)

    def sample_in_parts(
        self, n_samples=None, *, part_size=1000, y=None, random_state=None, return_y=False
    ):
        """Generate series part by part, as many as memory would not hold.

        Parameters
        ----------
        n_samples : int or None, default=None
            Number of series. None: as many as `y` has labels, or one.
        part_size : int, default=1000
            Number of series of a part; the last one may have fewer.
        y : label, array-like of shape (n_samples,) or None, default=None
        random_state : int, RandomState instance or None, default=None
        return_y : bool, default=False
            As for `sample`.

        Returns
        -------
        parts : iterator
            Of what `sample` returns. One after the other they are ``sample(n_samples)``, to the
            bit, whatever `part_size` is.

        Raises
        ------
        ValueError
            As by `sample`.

        Examples
        --------
        >>> parts = generator.sample_in_parts(10**6, random_state=0)  # doctest: +SKIP
        >>> table = np.lib.format.open_memmap("X.npy", "w+", "f4", (10**6, 140))  # doctest: +SKIP
        >>> for i, X in enumerate(parts):  # doctest: +SKIP
        ...     table[1000 * i : 1000 * i + len(X)] = X
        """
        check_is_fitted(self)
        self._validate_params()
        validate_parameter_constraints(
            {"part_size": [IntegerInterval(1)]}, {"part_size": part_size}, "sample_in_parts"
        )
        return sample_in_parts(
            self,
            self._decodings(),
            partial(decoded_series, self),
            n_samples,
            part_size,
            y,
            random_state,
            return_y,
        )

    def score_samples(self, X, *, include_reconstruction=False):
        """Log-likelihood of series, or a lower bound of it, in nats per series.

        By default it is that of their tokens: the logarithm of a probability, at most 0. With
        `include_reconstruction` it is that of the scaled series themselves: the log-density of the
        series around its reconstruction, normal with the variance of the training set's
        reconstruction error (`residual_scale_`), is added. The sum is a lower bound of the
        log-density, the evidence lower bound of Kingma and Welling (2014, equation 3), and
        comparable between tokenizers.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        include_reconstruction : bool, default=False

        Returns
        -------
        log_likelihood : float64 ndarray of shape (n,)
        """
        given = {"include_reconstruction": include_reconstruction}
        validate_parameter_constraints(
            {"include_reconstruction": ["boolean"]}, given, "score_samples"
        )
        X, ids = self._series_and_tokens(X)
        scores = marginal_log_likelihood(self, ids, self._log_likelihood)
        if include_reconstruction:
            scores = scores + reconstruction_log_density(self, X)
        return scores

    def score(self, X, y=None):
        """Mean log-density bound per series, see `score_samples(X, include_reconstruction=True)`.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : ignored

        Returns
        -------
        score : float
            Greater is better; comparable between tokenizers and priors, not between scalings.
        """
        return float(self.score_samples(X, include_reconstruction=True).mean())

    def class_log_likelihoods(self, X):
        """Log-likelihood of the tokens of each series given each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        log_likelihoods : float64 ndarray of shape (n, n_classes)
            In nats, in the order of `classes_`.

        Raises
        ------
        ValueError
            If the generator was fitted without labels.
        """
        check_is_fitted(self)
        if self.architecture_["n_classes"] == 0:
            raise ValueError(
                f"class_log_likelihoods needs a {type(self).__name__} fitted with labels."
            )
        _, ids = self._series_and_tokens(X)
        return class_log_likelihoods(self, ids, self._log_likelihood)

    def _series_and_tokens(self, X):
        """Valid series ``(n, c, t)`` and their tokens."""
        check_is_fitted(self)
        self._validate_params()
        X = validate_series(self, X)
        return X, checked_tokenizer(self).encode(X)

    def _log_likelihood(self, ids, classes):
        """Exact log-likelihood ``(n,)`` of tokens: one pass predicts each from those before it."""
        # All tokens count as hidden: causal attention shows each those before it, masked or not.
        masks = [torch.ones(1, n, dtype=torch.bool, device="cpu") for n in self.module_.n_tokens]
        weights = [torch.ones(1, dtype=torch.float64, device="cpu")] * len(masks)
        return TokenReader(self).bound(ids, classes, masks, weights)

    def _decodings(self):
        """Every token of a band by itself, in the order of the rows of the grid."""
        return [
            Decoding(
                n_tokens, self.temperature, torch.arange(n_tokens, device="cpu"), 0.0, "linear"
            )
            for n_tokens in self.module_.n_tokens
        ]

    def _network_constructor(self):
        return partial(Prior, **self.architecture_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags
