"""Scores that train a classifier: classification accuracy (CAS) and the two-sample test."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from .._fitting.validation import random_seed
from .._random_convolutions import RandomConvolutionExtractor
from ..exceptions import FidelityWarning, warn_user
from ._validation import (
    restore_ndim,
    validate_integer,
    validate_labelled,
    validate_one_kind,
    validate_two_panels,
)

_MIN_CAS_SERIES = 1000  # that a classifier is trained on, as published


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

    Warns
    -----
    FidelityWarning
        If a class of `y_test` is missing in `y_gen`; its series count as wrong.

    References
    ----------
    .. [1] Ravuri, Vinyals. "Classification accuracy score for conditional generative models", 2019.
    .. [2] Smith, Smith. "Conditional GAN for timeseries generation", 2020.
    """
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

    References
    ----------
    .. [1] Lopez-Paz, Oquab. "Revisiting classifier two-sample tests", 2017.
    """
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
        # the features need no labels: computed once, they are the same as in each fold
        X = RandomConvolutionExtractor().fit_transform(X)
        classifier = _ridge_classifier()
    return cross_val_predict(classifier, X, is_generated, cv=folds) == is_generated
