"""FCNClassifier: the fully convolutional network that judges series, real or generated."""

from functools import partial

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from ._files.encoding import storable
from ._fitting.checkpoint import open_checkpoint
from ._fitting.on_demand import rows_of
from ._fitting.progress import Progress
from ._fitting.reading import read_output, read_series
from ._fitting.runtime import computing
from ._fitting.scaling import SeriesScaler
from ._fitting.state import CallbackSupportMixin, TorchStateMixin, all_or_nothing
from ._fitting.training import hold_out_labelled, set_trained, train, training_plan
from ._fitting.validation import (
    TRAINING_CONSTRAINTS,
    IntegerInterval,
    StrOptions,
    _fit_context,
    generator_from,
    plain_labels,
    validate_labels,
    validate_series,
    validate_weights,
)
from ._nn.classifiers import FCN, ClassificationStep
from ._nn.layers import build


@storable
class FCNClassifier(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    ClassifierMixin,
    CallbackSupportMixin,
    TorchStateMixin,
    BaseEstimator,
):
    """Fully convolutional network for series [1]_: a classifier, and its 128 features.

    Three convolutions with batch normalisation and ReLU, the mean over time, a linear layer.
    `transform` gives the means over time that the linear layer sees. As in [2]_, trained on real
    labelled series it is the referee that IS, FID and CAS rest on.

    Parameters
    ----------
    width : int, default=128
        Filters of the first and the third convolution, and number of features; the second has twice
        as many. 128 as published.

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost.

    class_weight : dict, "balanced" or None, default=None
        Weight of each class in the loss, as ``{label: weight}``; labels that it does not name
        have 1, but it must not name others in their place. "balanced": inversely proportional to
        the number of its series.

    batch_size : int, default=16
        Series per training step.

    max_epochs : int or "auto", default="auto"
        Passes over the training set. "auto": as many as make two steps for each series, but 300
        steps at least and 1,000 at most, and 8 passes at least; but no more than see 25 million
        time points in all, which takes minutes.

    learning_rate : float, default=0.001
        Peak learning rate of AdamW: warmed up over 5 % of the steps, then a cosine.

    weight_decay : float, default=1e-5
        AdamW's, on the weights of convolutions and the linear layer.

    early_stopping : bool, default=False
        Hold `validation_fraction` of the series of each class out, stop when the loss on them
        has not improved by `tol` for `n_iter_no_change` epochs, keep the best epoch. Nothing is
        held out, and a warning says so, where that would be fewer than ten series, or fewer than
        there are classes.

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
        Seed of initial weights and sample order.

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
    RandomConvolutionExtractor : Features that need no labels.
    skvqts.metrics.generation_report : IS, FID and CAS with what keeps them honest.

    References
    ----------
    .. [1] Wang, Yan, Oates. "Time series classification from scratch with deep neural networks: a
       strong baseline", 2017.
    .. [2] Lee, Malacarne, Aune. "Vector quantized time series generation with a bidirectional
       prior model" (TimeVQVAE), 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import FCNClassifier
    >>> X = np.sin(np.linspace(0, 6, 40) * np.repeat([1, 2], 20)[:, None])
    >>> y = np.repeat(["slow", "fast"], 20)
    >>> classifier = FCNClassifier(max_epochs=20, random_state=0).fit(X, y)
    >>> classifier.predict(X[:1]), classifier.transform(X).shape
    (array(['slow'], dtype='<U4'), (40, 128))
    """

    _parameter_constraints = {
        **TRAINING_CONSTRAINTS,
        "width": [IntegerInterval(1)],
        "scaling": [StrOptions({"train", "series"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        *,
        width=128,
        scaling="train",
        class_weight=None,
        batch_size=16,
        max_epochs="auto",
        learning_rate=1e-3,
        weight_decay=1e-5,
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
        self.width = width
        self.scaling = scaling
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

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y, sample_weight=None, *, checkpoint=None):
        """Learn the network from labelled series: the cross-entropy of the classes, by AdamW.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
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
        self : FCNClassifier

        Raises
        ------
        ValueError
            If `X`, `y`, `sample_weight` or a parameter is not valid, or `device` is not present.
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
        X_given = X  # callbacks are handed what the user passed
        X = validate_series(self, X, reset=True, min_samples=2)
        self.classes_, classes = validate_labels(self, y, len(X))
        weights = validate_weights(self, sample_weight, self.classes_[classes])
        generator = generator_from(self.random_state)
        checkpoint = open_checkpoint(checkpoint, self, X, y, generator, weights)
        # The loss on fewer than ten series, or than there are classes, would say little.
        useful = max(10, len(self.classes_))
        plan = training_plan(
            self,
            len(X),
            least_steps=max(300, min(2 * len(X), 1000)),
            most_points=25_000_000,
            least_useful_held_out=useful,
        )

        self.scaler_ = SeriesScaler(per_series=self.scaling == "series").fit(X)
        # Pickles rebuild the network from it, as `width` may be set anew after `fit`.
        self._n_features_out = self.width
        with computing(plan.device, plan.n_threads, training=True):
            network = build(self._network_constructor(), generator).to(plan.device)
            x = rows_of(X, self.scaler_.transform, plan.device)
            data, held_out = hold_out_labelled(x, classes, weights, plan, generator)
            step = ClassificationStep(network)
            progress = Progress(self, plan, X_given, y)
            record = train(step, data, plan, generator, held_out, progress, checkpoint)
            set_trained(self, network, plan, record)
        checkpoint.close(self)
        return self

    def predict(self, X):
        """The most probable class of each series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

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
        X : array-like of shape (n, t) or (n, c, t)

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
        X : array-like of shape (n, t) or (n, c, t)

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
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        float64 ndarray of shape (n, n_classes), or (n,) for two classes
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def transform(self, X, *, out=None):
        """The features that the last layer sees: means over time of the last convolution.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Series of the fitted shape.

        out : array-like of shape (n, width) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        float32 ndarray of shape (n, width)
        """
        check_is_fitted(self)
        represent = self.module_.represent
        return read_output(self, lambda x: [represent(x)], validate_series(self, X), out)

    def _logits(self, X):
        check_is_fitted(self)
        (logits,) = read_series(self, lambda x: [self.module_(x)], validate_series(self, X))
        return logits.astype(np.float64)

    def _network_constructor(self):
        return partial(FCN, self.n_channels_in_, len(self.classes_), self._n_features_out)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
