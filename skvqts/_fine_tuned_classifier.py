"""FineTunedClassifier: a pretrained encoder with a linear head, trained on labels."""

from functools import partial

import numpy as np
import torch
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from ._files.encoding import storable
from ._fitting.checkpoint import fit_part, open_checkpoint
from ._fitting.on_demand import rows_of
from ._fitting.progress import Progress
from ._fitting.reading import read_series
from ._fitting.runtime import computing
from ._fitting.scaling import SeriesScaler
from ._fitting.state import (
    CallbackSupportMixin,
    TorchStateMixin,
    all_or_nothing,
    frozen_inside,
    seeded_clone,
    shared_parameters,
    with_default_parts,
)
from ._fitting.training import hold_out_labelled, set_trained, train, training_plan
from ._fitting.validation import (
    TRAINING_CONSTRAINTS,
    RealInterval,
    StrOptions,
    _fit_context,
    generator_from,
    plain_labels,
    validate_labels,
    validate_series,
    validate_weights,
)
from ._nn.classifiers import ClassificationStep, make_encoder_classifier
from ._nn.layers import build
from ._ssl_features import SSLFeatureExtractor, allowed_gaps, encoder_architecture
from ._tokenizer import VQTokenizer

_ENCODED_AT_ONCE = 64  # series
_SHARED = ("precision", "device", "n_threads", "verbose")  # with the default transformer


@storable
class FineTunedClassifier(ClassifierMixin, CallbackSupportMixin, TorchStateMixin, BaseEstimator):
    """A classifier that starts from the encoder of a pretrained transformer.

    A linear layer on the pooled latents (mean and maximum over the tokens) is trained on the
    labels by their cross-entropy; the encoder goes on learning at a lower rate, or is frozen. With
    ``start="random"`` the same network starts from new weights: what pretraining is worth is
    the difference.

    Parameters
    ----------
    pretrained : SSLFeatureExtractor, VQTokenizer or None, default=None
        Where the encoder comes from. As everywhere in scikit-learn, it is cloned and fitted on the
        training series; to use one that is fitted already, on many more series without labels,
        wrap it: ``FrozenEstimator(extractor)``. None: an `SSLFeatureExtractor` with the
        `device`, `n_threads`, `precision` and `verbose` of the classifier. With one of
        ``missing="mask"`` the classifier takes missing values as well, and lists of series of
        unequal length, see `as_series_list`.

    start : {"pretrained", "random"}, default="pretrained"
        Start from the weights of `pretrained`, or from new ones of the same network; then
        nothing is pretrained.

    train_encoder : bool, default=True
        Whether the encoder is trained too. False freezes it: only the linear layer learns, on
        latents that are computed once.

    encoder_rate : float or "auto", default="auto"
        Learning rate of the encoder as a share of `learning_rate`. "auto": 0.3 for a pretrained
        encoder, 1 for a new one.

    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss, as ``{label: weight}``; labels that it does not name
        have 1, but it must not name others in their place. "balanced": inversely proportional to
        the number of its series.

    batch_size : int, default=64
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make 300 steps, and 8 at least, but no more
        than see 100 million time points in all, which takes minutes.

    learning_rate : float, default=0.002
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=0.01
        AdamW's, on the weights of convolutions and linear layers.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series of each class out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. Nothing
        is held out, and a warning says so, where that would be fewer than ten series, or fewer
        than there are classes.

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
    architecture_ : dict
        What the encoder was built with.
    scaler_ : SeriesScaler
        What standardises series before the network sees them, as learned by `pretrained`.
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

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "pretrained": [SSLFeatureExtractor, VQTokenizer, FrozenEstimator, None],
        "start": [StrOptions({"pretrained", "random"})],
        "train_encoder": ["boolean"],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "encoder_rate": [RealInterval(0, closed="neither"), StrOptions({"auto"})],
    }

    def __init__(
        self,
        pretrained=None,
        *,
        start="pretrained",
        train_encoder=True,
        encoder_rate="auto",
        class_weight=None,
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
        self.class_weight = class_weight
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
        """Set parameters, also those of an encoder that is not given.

        Parameters
        ----------
        **params : dict
            Such as ``pretrained__width=64``: a `pretrained` that is None becomes an
            `SSLFeatureExtractor` first.

        Returns
        -------
        self : FineTunedClassifier
        """
        shared = shared_parameters(self, _SHARED, params)
        makers = {"pretrained": lambda _: SSLFeatureExtractor(**shared)}
        return super().set_params(**with_default_parts(self, params, makers))

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, checkpoint=None):
        """Pretrain the encoder, or take a pretrained one, then learn from labelled series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
            Training series; at least two. Missing values, and series of unequal length, are for
            `pretrained` to allow.
        y : array-like of shape (n,)
            Their classes: whole numbers, truth values or strings.
        sample_weight : array-like of shape (n,) or None, default=None
            Weight of each series in the loss, at least 0, beside that of its class; None: 1.
        checkpoint : str, path-like or None, default=None
            File that keeps what has been learned so far, about every half minute. A fit that was
            killed and is run again with the same data, parameters and file goes on from there, and
            ends with the same bits; one with others is refused. The file is removed at the end.

        Returns
        -------
        self : FineTunedClassifier

        Raises
        ------
        ValueError
            If `X`, `y`, `sample_weight` or a parameter is not valid, `device` is not present, or
            `pretrained` holds a transformer fitted to series of another shape.
        TypeError
            If `X` is sparse or not numeric, or `pretrained` holds something else.
        NotFittedError
            If `pretrained` is a FrozenEstimator of a transformer that is not fitted.
        ModelFileError
            If `checkpoint` is a file of another kind, or damaged.
        DivergedError
            If the loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; if it comes in the training, after its first epoch, the estimator is fitted
            all the same.
        """
        X_given = X  # callbacks are handed what the user passed
        X = validate_series(
            self,
            X,
            reset=True,
            min_samples=2,
            missing=self._missing(),
            n_timepoints=self._pretrained_length(),
        )
        self.classes_, classes = validate_labels(self, y, len(X))
        weights = validate_weights(self, sample_weight, self.classes_[classes])
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, y, generator, weights)
        # The loss on fewer than ten series, or than there are classes, would say little.
        useful = max(10, len(self.classes_))
        plan = training_plan(
            self,
            len(X),
            least_steps=300,
            least_useful_held_out=useful,
        )

        self.architecture_, self.scaler_, encoder = self._starting_point(X, generator, checkpoint)
        with computing(plan.device, plan.n_threads, training=True):
            # Every weight is drawn; a pretrained start then replaces those of the encoder.
            network = build(self._network_constructor(), generator)
            if encoder is not None:
                network.encoder.load_state_dict(encoder.state_dict())
            network.to(plan.device)
            x = rows_of(X, self.scaler_.transform, plan.device)
            data, held_out = hold_out_labelled(x, classes, weights, plan, generator)
            if self.train_encoder:
                rate = self.encoder_rate
                if rate == "auto":
                    rate = 0.3 if self.start == "pretrained" else 1.0
                step = ClassificationStep(network, learning_rates=[(network.encoder, rate)])
            else:
                # A frozen encoder gives the same latents in every epoch: they are computed once.
                step = ClassificationStep(network.head)
                data = represent_series(network, data)
                held_out = None if held_out is None else represent_series(network, held_out)
            progress = Progress(self, plan, X_given, y)
            record = train(step, data, plan, generator, held_out, progress, checkpoint)
            set_trained(self, network, plan, record)
        checkpoint.close(self)
        return self

    def predict(self, X):
        """The most probable class of each series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays
            Of series of a list that are up to twice as long as the fitted ones the beginning is
            read, with a warning; longer ones are refused.

        Returns
        -------
        ndarray of shape (n,)
        """
        logits = self._logits(X)
        return self.classes_[logits.argmax(1)]

    def score(self, X, y, sample_weight=None):
        """Share of series whose class is predicted.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : array-like of shape (n,)
            Their classes.
        sample_weight : array-like of shape (n,) or None, default=None

        Returns
        -------
        accuracy : float
        """
        return super().score(X, plain_labels(y), sample_weight)

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays

        Returns
        -------
        float64 ndarray of shape (n, n_classes)
            In the order of `classes_`; rows add up to 1.
        """
        return softmax(self._logits(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays

        Returns
        -------
        float64 ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        return log_softmax(self._logits(X), axis=1)

    def decision_function(self, X):
        """Logits of the classes, or of two classes the log-odds of the second.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t), or list of n arrays

        Returns
        -------
        float64 ndarray of shape (n, n_classes), or (n,) for two classes
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _logits(self, X):
        check_is_fitted(self)
        X = validate_series(self, X, missing=allowed_gaps(self), longer="cut")
        (logits,) = read_series(self, lambda x: [self.module_(x)], X)
        return logits.astype(np.float64)

    def _missing(self):
        """What is done about missing values in `fit`: what `pretrained` does about them."""
        if isinstance(self.pretrained, FrozenEstimator):
            return allowed_gaps(self.pretrained.estimator)
        return getattr(self.pretrained, "missing", "refuse")

    def _pretrained_length(self):
        """Length of the series that a fitted `pretrained` has seen; None for one to be fitted."""
        if isinstance(self.pretrained, FrozenEstimator):
            return getattr(self.pretrained.estimator, "n_timepoints_in_", None)
        return None

    def _starting_point(self, X, generator, checkpoint):
        """Architecture, scaler and encoder to start from; the encoder is None for new weights.

        For a random start what counts of `pretrained` is what it would be built with.
        """
        if isinstance(self.pretrained, FrozenEstimator):
            transformer = frozen_inside(self, "pretrained", (SSLFeatureExtractor, VQTokenizer))
        else:
            transformer = self.pretrained
            if transformer is None:
                transformer = SSLFeatureExtractor(**shared_parameters(self, _SHARED, {}))
            transformer = seeded_clone(transformer, generator)
            if self.start == "random":
                transformer._validate_params()
                scaler = SeriesScaler(per_series=transformer.scaling == "series").fit(X)
                return encoder_architecture(transformer, X), scaler, None
            transformer = fit_part(checkpoint, transformer, X)
        encoder = transformer.encoder_ if self.start == "pretrained" else None
        return transformer.architecture_, transformer.scaler_, encoder

    def _network_constructor(self):
        return partial(make_encoder_classifier, len(self.classes_), **self.architecture_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = self._missing() == "mask"
        return tags


@torch.no_grad()
def represent_series(network, data):
    """Labelled series with their representations by a network that does not learn.

    Parameters
    ----------
    network : EncoderClassifier
    data : list of Tensors
        Series, their classes and, if they have any, their weights.
    """
    x, *others = data
    network.eval()
    starts = range(0, len(x), _ENCODED_AT_ONCE)
    parts = [network.represent(x[start : start + _ENCODED_AT_ONCE]) for start in starts]
    return [torch.cat(parts), *others]
