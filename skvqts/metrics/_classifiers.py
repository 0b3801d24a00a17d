"""Scores that train a classifier: accuracy (CAS), two-sample test, discriminative score."""

import math
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from .._fitting.progress import TrainingPace
from .._fitting.runtime import computing
from .._fitting.training import TrainingPlan, train
from .._fitting.validation import generator_from, random_seed
from .._nn.classifiers import DiscriminationStep, GRUDiscriminator
from .._nn.layers import build
from .._random_convolutions import RandomConvolutionExtractor
from ..exceptions import FidelityWarning, warn_user
from ._validation import (
    refuse_other_columns,
    restore_ndim,
    validate_classifier,
    validate_integer,
    validate_labelled,
    validate_one_kind,
    validate_two_panels,
)

_MIN_CAS_SERIES = 1000  # that a classifier is trained on, as published
_BATCH_SIZE = 128  # real series of a step of the discriminative score, and as many generated ones
_MIN_UNITS = 2  # of its network
_FARTHEST = 1e6  # of scaled values; all gates are saturated there, and float32 does not overflow


def default_classifier():
    """Random convolutions and ridge: a second of work, and no spread over seeds."""
    return make_pipeline(RandomConvolutionExtractor(), _ridge_classifier())


def _ridge_classifier():
    return RidgeClassifierCV(alphas=np.logspace(-3, 3, 13))


def classification_accuracy_score(X_gen, y_gen, X_test, y_test, *, classifier=None):
    """Classification accuracy score (CAS): train on synthetic, test on real series [1]_ [2]_.

    Parameters
    ----------
    X_gen : array-like of shape (n, t) or (n, c, t)
        Generated series.
    y_gen : array-like of shape (n,)
        The classes they were generated for.
    X_test : array-like of shape (m, t) or (m, c, t)
        Real series that the generator was not trained on.
    y_test : array-like of shape (m,)
        Their classes.
    classifier : estimator or None, default=None
        A clone of it is fitted to the generated series. None: features of
        `RandomConvolutionExtractor` and a ridge classifier, which take a second and have no spread
        over seeds. Published scores of UCR sets are those of ``FCNClassifier()``.

    Returns
    -------
    float
        From 0 to 1. Compare it with the accuracy of the same classifier trained on real series.

    Raises
    ------
    ValueError
        If series or labels are not valid, shapes differ, or generated series are of one class.
    TypeError
        If `classifier` is none.

    Warns
    -----
    FidelityWarning
        If a class of `y_test` is missing in `y_gen`; its series count as wrong.

    References
    ----------
    .. [1] Ravuri, Vinyals. "Classification accuracy score for conditional generative models", 2019.
    .. [2] Smith, Smith. "Conditional GAN for timeseries generation", 2020.
    """
    validate_classifier(classifier)
    refuse_other_columns(X_gen, X_test, ("X_gen", "X_test"))
    X_gen, y_gen = validate_labelled(X_gen, y_gen, "gen")
    X_real, y_test = validate_labelled(X_test, y_test, "test")
    validate_one_kind(y_gen, y_test, ("y_gen", "y_test"))
    if X_gen.shape[1:] != X_real.shape[1:]:
        raise ValueError(
            f"Generated and test series must have one shape, got {X_gen.shape[1:]} and "
            f"{X_real.shape[1:]} (channels, time points)."
        )
    classes = np.unique(y_gen)
    if len(classes) < 2:
        raise ValueError(
            "classification_accuracy_score needs samples of at least 2 classes in y_gen, got "
            f"{classes.tolist()}."
        )
    # the classifier cannot predict a class that it has never seen
    missing = np.setdiff1d(y_test, classes)
    if len(missing):
        warn_user(
            f"Classes {missing.tolist()} of y_test are missing in y_gen: their series count as "
            "wrong.",
            FidelityWarning,
        )
    ndim = np.ndim(X_test)
    X_gen = restore_ndim(X_gen, ndim)
    X_real = restore_ndim(X_real, ndim)
    return float(correct_predictions(X_gen, y_gen, X_real, y_test, classifier).mean())


def correct_predictions(X, y, X_test, y_test, classifier=None):
    """Whether a clone trained on ``X, y`` predicts the class of each test series, ``(n_test,)``."""
    model = default_classifier() if classifier is None else clone(classifier)
    return model.fit(X, y).predict(X_test) == y_test


def labels_in_training_proportion(generator, caller, n_samples=None):
    """Classes to generate for CAS, in the proportion that the generator was trained on.

    Parameters
    ----------
    generator : generator
        With ``classes_`` and ``class_counts_``.
    caller : object
        Who needs them, for the message of an error.
    n_samples : int or None
        Number of labels, up to rounding and with at least one of each class. None: as many as
        training series, and at least 1,000.
    """
    counts = getattr(generator, "class_counts_", None)
    if counts is None:
        raise ValueError(
            f"{caller!r} needs a generator fitted with labels, and this "
            f"{type(generator).__name__} has no class_counts_."
        )
    counts = np.asarray(counts)
    n = max(_MIN_CAS_SERIES, counts.sum()) if n_samples is None else n_samples
    repeats = np.maximum(1, np.round(counts * (n / counts.sum()))).astype(int)
    return np.repeat(generator.classes_, repeats)


class TwoSampleTest(NamedTuple):
    """What `classifier_two_sample_test` gives.

    Attributes
    ----------
    accuracy : float
        Cross-validated accuracy of the classifier; about 0.5 if it cannot tell the samples apart.
    p_value : float
        Probability of such an accuracy, or a higher one, by chance.
    """

    accuracy: float
    p_value: float


def classifier_two_sample_test(X_real, X_gen, *, classifier=None, n_splits=5, random_state=None):
    """Test whether a classifier can tell generated from real series [1]_.

    The statistic is its cross-validated accuracy on as many generated as real series.

    Parameters
    ----------
    X_real, X_gen : array-like of shape (n, t) or (n, c, t)
        Real and generated series; the larger sample is reduced at random to the size of the other.
    classifier : estimator or None, default=None
        Clones of it are fitted. None: features of `RandomConvolutionExtractor` and a ridge
        classifier.
    n_splits : int, default=5
        Folds of the cross-validation.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of series and of the folds.

    Returns
    -------
    accuracy : float
        About 0.5 where they cannot be told apart, 1 where they always can.
    p_value : float
        The p-value of the hypothesis that they cannot, by the normal approximation of [1]_,
        section 3. As folds of one cross-validation depend on each other it is too small: about
        one true hypothesis in ten falls below 0.05.

    Raises
    ------
    ValueError
        If a sample has fewer than `n_splits` series, is not finite, or shapes differ.
    TypeError
        If `classifier` is none.

    References
    ----------
    .. [1] Lopez-Paz, Oquab. "Revisiting classifier two-sample tests", 2017.
    """
    validate_classifier(classifier)
    validate_integer("n_splits", n_splits, 2, 1000)
    rng = check_random_state(random_state)
    real, gen = validate_two_panels(X_real, X_gen, min_samples=n_splits)
    ndim = np.ndim(X_real)
    hits = two_sample_hits(
        restore_ndim(real, ndim), restore_ndim(gen, ndim), classifier, n_splits, rng
    )
    accuracy = float(hits.mean())
    # under the null hypothesis the accuracy is about normal, of mean 1/2 and variance 1/(4n)
    p_value = float(norm.sf((accuracy - 0.5) * np.sqrt(4 * len(hits))))
    return TwoSampleTest(accuracy=accuracy, p_value=p_value)


def two_sample_hits(real, gen, classifier, n_splits, rng):
    """Whether each series is recognised as real or generated, by cross-validation.

    Parameters
    ----------
    real, gen : ndarray of shape (n, t) or (n, c, t)
        Reduced at random to the size of the smaller one.
    classifier : estimator or None
    n_splits : int
        Folds, or fewer if there are not as many series.
    rng : RandomState

    Returns
    -------
    hits : ndarray of bool of shape (2 * min(n_real, n_gen),)
    """
    n = min(len(real), len(gen))
    X = np.concatenate([sample[rng.permutation(len(sample))[:n]] for sample in (real, gen)])
    is_generated = np.repeat([0, 1], n)
    folds = StratifiedKFold(min(n_splits, n), shuffle=True, random_state=random_seed(rng))
    if classifier is None:
        # computed once, without labels: of the held-out fold they have seen thresholds and scales
        X = RandomConvolutionExtractor().fit_transform(X)
        classifier = _ridge_classifier()
    return cross_val_predict(classifier, X, is_generated, cv=folds) == is_generated


def discriminative_score(X_real, X_gen, *, n_steps=2000, random_state=None):
    """Discriminative score of TimeGAN [1]_: how well a small recurrent network tells samples apart.

    A network is trained on four fifths of both samples, real and generated, to tell which is
    which. The score is the distance of its accuracy on the other fifth from 0.5.

    It follows the published code, as papers that report the score do (the paper itself speaks of
    two layers of LSTM): one layer of gated recurrent units (GRU), half as many as channels, and a
    linear layer on its last state; binary cross-entropy; Adam with a learning rate of 0.001; steps
    of 128 real and as many generated series, or of all if those are fewer. Each channel is scaled
    so that all real series, also those held out, lie from 0 to 1.

    What differs: series of fewer than four channels get 2 units, as half of one channel would be
    none. The larger sample is reduced at random to the size of the other, so that an accuracy of
    0.5 is chance. Steps take the series in turn, in batches of almost equal size of at most 128.
    The units and their initial weights are those of torch.

    Of few channels so small a network sees little, and what it sees depends on the seed: look at
    the mean over several seeds, beside that of other real series in place of generated ones, and
    at `classifier_two_sample_test`.

    Parameters
    ----------
    X_real, X_gen : array-like of shape (n, t) or (n, c, t)
        Real and generated series, at least 5 of each.
    n_steps : int, default=2000
        Training steps, rounded up to whole passes over the series. 2,000 as published: seconds
        for 24 time points, minutes for some hundred.
    random_state : int, RandomState instance or None, default=None
        Seed of the fifth that is held out, of initial weights and of the order of series.

    Returns
    -------
    float
        From 0, where the network cannot tell, to 0.5, where it always can.

    Raises
    ------
    ValueError
        If a sample has fewer than 5 series, is not finite, shapes differ, or `n_steps` is not a
        positive int.

    References
    ----------
    .. [1] Yoon, Jarrett, van der Schaar. "Time-series generative adversarial networks", 2019,
       section 5.1, and its code, discriminative_metrics.py.
    """
    validate_integer("n_steps", n_steps, 1, 10**9)
    real, gen = validate_two_panels(X_real, X_gen, min_samples=5)
    n_channels = real.shape[1]
    samples = _scaled_by_real(real, gen)
    generator = generator_from(random_state)
    n = min(len(real), len(gen))
    n_shown = 4 * n // 5
    with computing(torch.device("cpu"), 1, training=True):
        orders = [torch.randperm(len(X), generator=generator, device="cpu")[:n] for X in samples]
        real, gen = (torch.from_numpy(X)[rows] for X, rows in zip(samples, orders, strict=True))
        n_units = max(_MIN_UNITS, n_channels // 2)
        network = build(partial(GRUDiscriminator, n_channels, n_units), generator)
        plan = _discriminator_plan(n_shown, n_steps)
        shown = [real[:n_shown], gen[:n_shown]]
        pace = TrainingPace("discriminative_score")
        train(DiscriminationStep(network), shown, plan, generator, progress=pace)
        with torch.no_grad():
            hits = torch.cat([network(real[n_shown:]) > 0, network(gen[n_shown:]) <= 0])
    return abs(0.5 - hits.double().mean().item())


def _scaled_by_real(real, gen):
    """Float32 samples ``(n, c, t)``, each channel scaled to where real series lie from 0 to 1."""
    low = real.min(axis=(0, 2), keepdims=True)
    span = real.max(axis=(0, 2), keepdims=True) - low
    span[span == 0] = 1.0  # a constant channel
    with np.errstate(over="ignore"):
        scaled = ((sample - low) / span for sample in (real, gen))
        return [np.clip(sample, -_FARTHEST, _FARTHEST).astype(np.float32) for sample in scaled]


def _discriminator_plan(n_series, n_steps):
    """The plan that trains by plain Adam, as published: constant rate, gradients as they are."""
    plan = TrainingPlan(
        n_epochs=1,
        batch_size=_BATCH_SIZE,
        learning_rate=1e-3,
        warmup=0.0,
        floor=1.0,
        beta2=0.999,
        max_grad_norm=math.inf,
    )
    return replace(plan, n_epochs=math.ceil(n_steps / plan.n_batches(n_series)))
