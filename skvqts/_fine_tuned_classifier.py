"""FineTunedClassifier: a pretrained encoder with a linear head, trained on labels."""

from copy import deepcopy
from functools import partial

import torch
from sklearn.frozen import FrozenEstimator

from ._classification import ClassificationTask, SeriesClassifier
from ._features import SSLFeatureExtractor
from ._fitting.nested import fitted_inside, seeded_clone
from ._fitting.validation import RealInterval, StrOptions
from ._nn.classifier import make_classifier
from ._nn.initialise import build
from ._tokenizer import VQTokenizer

_PART = 64  # series that are encoded at a time
_SHARED = ("precision", "device", "n_threads", "verbose")  # with the default transformer
_ENCODER_RATES = {"pretrained": 0.3, "random": 1.0}


class FineTunedClassifier(SeriesClassifier):
    """A classifier that starts from the encoder of a pretrained transformer.

    A linear layer on the pooled latents (mean and maximum over the tokens) is trained on the
    labels (eq. 11); the encoder goes on learning at a lower rate, or is frozen. With
    ``start="random"`` the same network starts from new weights: what pretraining is worth is
    the difference.

    Parameters
    ----------
    pretrained : SSLFeatureExtractor, VQTokenizer or None, default=None
        Where the encoder comes from. As everywhere in scikit-learn, it is cloned and fitted on the
        training series; to use one that is fitted already, on many more series without labels,
        wrap it: ``FrozenEstimator(extractor)``. None: an `SSLFeatureExtractor` with the
        `device`, `n_threads`, `precision` and `verbose` of the classifier.

    start : {"pretrained", "random"}, default="pretrained"
        Start from the weights of `pretrained`, or from new ones of the same network; then
        nothing is pretrained.

    train_encoder : bool, default=True
        Whether the encoder is trained too. False freezes it: only the linear layer learns, on
        latents that are computed once.

    encoder_rate : float or "auto", default="auto"
        Learning rate of the encoder as a share of `learning_rate`. "auto": 0.3 for a pretrained
        encoder, 1 for a new one.

    batch_size : int, default=64
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make 300 steps, and 8 at least.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. Nothing
        is held out, and a warning says so, where that would be fewer than ten series, or fewer
        than there are classes.

    validation_fraction : float, default=0.1
    n_iter_no_change : int, default=10
    tol : float, default=1e-4

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the network's matrix products in training. "auto" is float32.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        CPU threads of `fit` and of what follows it. None: one, or up to four where training
        sees more than 4 million time points (epochs x series x length). The same number gives
        the same bits; 1 is faster where others use the cores, as with `n_jobs`.

    verbose : int, default=0
        1 prints about ten lines a fit, higher numbers print more.

    random_state : int, RandomState instance or None, default=None
        Seed of initial weights and sample order, and of `pretrained` where that has none.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    loss_curve_ : dict of str to ndarray of shape (n_iter_,)
        Mean cross-entropy per epoch; with early stopping, "validation", that of held-out series.
    n_iter_ : int
        Number of epochs run.
    interrupted_ : bool
        Whether Ctrl-C ended the training; the weights are those of the last finished epoch,
        or of the best one with early stopping.
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

    See Also
    --------
    SSLFeatureExtractor : Features for any other classifier: a linear probe is a Pipeline.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skvqts import FineTunedClassifier, SSLFeatureExtractor
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(60)[:, None])
    >>> extractor = SSLFeatureExtractor(width=8, max_epochs=5, random_state=0).fit(X)
    >>> y = np.where(X[:, 0] > 0, "up", "down")
    >>> classifier = FineTunedClassifier(FrozenEstimator(extractor), random_state=0)
    >>> classifier.fit(X[:30], y[:30]).predict(X[30:]).shape
    (30,)
    """

    _auto_steps, _auto_epochs = 300, 8

    _parameter_constraints = {
        **SeriesClassifier._parameter_constraints,
        "pretrained": [SSLFeatureExtractor, VQTokenizer, FrozenEstimator, None],
        "start": [StrOptions({"pretrained", "random"})],
        "train_encoder": ["boolean"],
        "encoder_rate": [RealInterval(0, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        pretrained=None,
        *,
        start="pretrained",
        train_encoder=True,
        encoder_rate="auto",
        batch_size=64,
        max_epochs="auto",
        learning_rate=2e-3,
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
        self.pretrained = pretrained
        self.start = start
        self.train_encoder = train_encoder
        self.encoder_rate = encoder_rate
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

    def fit(self, X, y):
        """Learn from labelled series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,)
            Their classes, of any kind that can be sorted.

        Returns
        -------
        self : FineTunedClassifier

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, `device` is not present, or `pretrained` holds
            a transformer fitted to series of another shape.
        TypeError
            If `X` is sparse or not numeric, or `pretrained` holds something else.
        NotFittedError
            If `pretrained` is a FrozenEstimator of a transformer that is not fitted.
        DivergedError
            If the loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; after the first epoch of training the estimator is fitted all the same.
        """
        return super().fit(X, y)

    def _prepare(self, series, warm, generator):
        """The pretrained transformer, its scaling and its architecture."""
        if isinstance(self.pretrained, FrozenEstimator):
            transformer = fitted_inside(self, "pretrained", (SSLFeatureExtractor, VQTokenizer))
        else:
            transformer = self._new_transformer(series, generator)
        self._encoder_constructor = transformer._encoder_constructor()
        self._latent_dim, self._scaler = transformer._latent_dim, transformer._scaler
        return transformer

    def _new_transformer(self, series, generator):
        transformer = self.pretrained
        if transformer is None:
            transformer = SSLFeatureExtractor(**{name: getattr(self, name) for name in _SHARED})
        transformer = seeded_clone(transformer, generator)
        if self.start == "random":
            return transformer._untrained(series)
        return transformer.fit(series)

    def _network(self, transformer, generator):
        network = build(self._module_constructor(), generator)
        if self.start == "pretrained":
            network.encoder = deepcopy(transformer._encoder())
        return network

    def _module_constructor(self):
        return partial(
            make_classifier, self._encoder_constructor, self._latent_dim, len(self.classes_)
        )

    def _task(self, network, data, plan, generator, warm):
        if not self.train_encoder:
            return _FrozenTask(network)
        rate = self.encoder_rate
        return _FineTuningTask(network, _ENCODER_RATES[self.start] if rate == "auto" else rate)

    def _describe(self, series):
        """Nothing to add: the network is all there is."""


class _FineTuningTask(ClassificationTask):
    """Supervised risk (eq. 11); the encoder learns at a rate of its own."""

    def __init__(self, network, encoder_rate):
        super().__init__(network)
        self.rates = [(network.encoder, encoder_rate)]


class _FrozenTask(ClassificationTask):
    """Supervised risk (eq. 11) of the head alone, on representations that are computed once."""

    def __init__(self, network):
        super().__init__(network.head)
        self.network = network.eval()

    @torch.no_grad()
    def inputs(self, x, classes):
        return torch.cat([self.network.represent(part) for part in x.split(_PART)]), classes
