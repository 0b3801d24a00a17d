"""Scores that train a classifier: CAS and the two-sample test."""

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
    as_given,
    validate_labelled,
    validate_one_kind,
    validate_two_panels,
    validate_whole,
)

_ALPHAS = np.logspace(-3, 3, 13)


def default_classifier():
    """Random convolutions and ridge: a second of work, and no spread over seeds."""
    return make_pipeline(RandomConvolutionExtractor(), _ridge())


def _ridge():
    return RidgeClassifierCV(_ALPHAS)


def classification_accuracy_score(X_gen, y_gen, X_test, y_test, *, classifier=None):
    """Classification accuracy score (CAS): trained on synthetic, tested on real series [1]_ [2]_.

    Parameters
    ----------
    X_gen : array-like of shape (n, t) or (n, c, t)
        Generated series.
    y_gen : array-like of shape (n,)
        The classes they were generated for.
    X_test, y_test : array-like
        Real series that the generator has not seen, and their classes.
    classifier : estimator or None, default=None
        It is cloned and fitted to the generated series. None: features of
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
    given, (X_test, y_test) = X_test, validate_labelled(X_test, y_test, "test")
    validate_one_kind(y_gen, y_test, ("y_gen", "y_test"))
    if X_gen.shape[1:] != X_test.shape[1:]:
        raise ValueError(
            f"Generated and test series must have one shape, got {X_gen.shape[1:]} and "
            f"{X_test.shape[1:]} (channels, time points)."
        )
    classes = np.unique(y_gen)
    if len(classes) < 2:
        raise ValueError(
            "classification_accuracy_score needs samples of at least 2 classes in y_gen, got "
            f"{classes.tolist()}."
        )
    missing = np.setdiff1d(y_test, classes)
    if len(missing):
        warn_user(
            f"Classes {missing.tolist()} of y_test are missing in y_gen: their series count as "
            "wrong.",
            FidelityWarning,
        )
    X_gen, X_test = (as_given(X, np.ndim(given)) for X in (X_gen, X_test))
    return float(correct_after_training(X_gen, y_gen, X_test, y_test, classifier).mean())


def correct_after_training(X, y, X_test, y_test, classifier=None):
    """Whether each test series is classified rightly by a clone trained on ``X, y``."""
    model = clone(classifier) if classifier is not None else default_classifier()
    return model.fit(X, y).predict(X_test) == y_test


class TwoSampleTest(NamedTuple):
    """What `classifier_two_sample_test` gives."""

    accuracy: float
    p_value: float


def classifier_two_sample_test(X_real, X_gen, *, classifier=None, n_splits=5, random_state=None):
    """Can a classifier tell generated from real series? [1]_.

    Its cross-validated accuracy on as many series of either kind.

    Parameters
    ----------
    X_real, X_gen : array-like of shape (n, t) or (n, c, t)
        The longer sample is reduced at random to the size of the other.
    classifier : estimator or None, default=None
        None: features of `RandomConvolutionExtractor` and a ridge classifier.
    n_splits : int, default=5
        Folds of the cross-validation.
    random_state : int, RandomState instance or None, default=None

    Returns
    -------
    accuracy : float
        About 0.5 where they cannot be told apart, 1 where they always can.
    p_value : float
        Of the hypothesis that they cannot, by the normal approximation of [1]_. As folds of one
        cross-validation depend on each other it is too small: about one true hypothesis in ten
        falls below 0.05.

    Raises
    ------
    ValueError
        If a sample has fewer than `n_splits` series, is not finite, or shapes differ.

    References
    ----------
    .. [1] Lopez-Paz, Oquab. "Revisiting classifier two-sample tests", 2017.
    """
    validate_whole("n_splits", n_splits, 2, 1000)
    real, gen = validate_two_panels(X_real, X_gen, min_samples=n_splits)
    real, gen = (as_given(X, np.ndim(X_real)) for X in (real, gen))
    told = told_apart(real, gen, classifier, n_splits, check_random_state(random_state))
    accuracy = float(told.mean())
    return TwoSampleTest(accuracy, float(norm.sf((accuracy - 0.5) * np.sqrt(4 * len(told)))))


def told_apart(real, gen, classifier, n_splits, rng):
    """Whether each of as many real and generated series is recognised, by cross-validation."""
    n = min(len(real), len(gen))
    n_splits = min(n_splits, n)
    X = np.concatenate([part[rng.permutation(len(part))[:n]] for part in (real, gen)])
    y = np.repeat([0, 1], n)
    folds = StratifiedKFold(n_splits, shuffle=True, random_state=random_seed(rng))
    if classifier is None:  # its features need no labels, so they are the same for all folds
        X, classifier = RandomConvolutionExtractor().fit_transform(X), _ridge()
    return cross_val_predict(classifier, X, y, cv=folds) == y
