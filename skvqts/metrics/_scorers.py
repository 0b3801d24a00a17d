"""Scorers of generators: ``scorer(estimator, X, y=None) -> float``, greater is better.

They work wherever scikit-learn takes a callable `scoring`, in `cross_val_score` as in
``GridSearchCV(generator, scoring={...}, refit=...)``.
"""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline

from .._fcn_classifier import FCNClassifier
from .._fitting.memory import fitted_once, transformed_once
from .._fitting.validation import as_array_like, checked_labels, random_seed
from .._random_convolutions import RandomConvolutionExtractor
from ._classifiers import (
    classification_accuracy_score,
    classifier_two_sample_test,
    labels_in_training_proportion,
)
from ._density import density_coverage_of_samples, kernel_distance
from ._frechet import ReferenceStatistics, frechet_distance, frechet_distance_of_samples
from ._information.discrete import inception_score
from ._memorization import capped_memorization_score, memorization_score
from ._series import autocorrelation_difference
from ._validation import (
    is_fitted,
    refuse_columns_not_of_fit,
    series_sampled,
    validate_choice,
    validate_classifier,
    validate_integer,
    validate_panel,
    validate_referee,
    validate_two_samples,
    with_names_of_fit,
)

# What a referee is asked for, by what a score takes.
_METHODS = {"features": "transform", "probabilities": "predict_proba"}


def density(features_real, features_gen):
    """The density of `density_coverage`, with fewer neighbours for five real rows or fewer."""
    real, gen = validate_two_samples(features_real, features_gen)
    return density_coverage_of_samples(real, gen).density


def coverage(features_real, features_gen):
    """The coverage of `density_coverage`, with fewer neighbours for five real rows or fewer."""
    real, gen = validate_two_samples(features_real, features_gen)
    return density_coverage_of_samples(real, gen).coverage


def two_sample_accuracy(X_real, X_gen):
    """The accuracy of `classifier_two_sample_test`, always of the same folds."""
    n_splits = min(5, len(X_real), len(X_gen))
    return classifier_two_sample_test(X_real, X_gen, n_splits=n_splits, random_state=0).accuracy


class _Convention(NamedTuple):
    """How a score function is called, and which of its values are better."""

    takes: str
    greater_is_better: bool


_TAKES = ("features", "probabilities", "labels", "training", "series")
_CONVENTIONS = {
    frechet_distance: _Convention("features", greater_is_better=False),
    kernel_distance: _Convention("features", greater_is_better=False),
    density: _Convention("features", greater_is_better=True),
    coverage: _Convention("features", greater_is_better=True),
    inception_score: _Convention("probabilities", greater_is_better=True),
    classification_accuracy_score: _Convention("labels", greater_is_better=True),
    capped_memorization_score: _Convention("training", greater_is_better=True),
    autocorrelation_difference: _Convention("series", greater_is_better=False),
    two_sample_accuracy: _Convention("series", greater_is_better=False),
}
_NAMES = {
    "neg_fid": frechet_distance,
    "neg_fcn_fid": frechet_distance,
    "neg_kernel_distance": kernel_distance,
    "density": density,
    "coverage": coverage,
    "inception_score": inception_score,
    "classification_accuracy": classification_accuracy_score,
    "memorization": capped_memorization_score,
    "neg_autocorrelation_difference": autocorrelation_difference,
    "neg_two_sample_accuracy": two_sample_accuracy,
}


def make_generation_scorer(
    score,
    *,
    referee=None,
    takes=None,
    greater_is_better=None,
    n_samples=None,
    random_state=0,
    X_train=None,
    y_train=None,
    reference=None,
):
    """Make a scorer of generators from a score function.

    Parameters
    ----------
    score : str or callable
        A name of `get_scorer_names`, the function of `skvqts.metrics` behind one, or any other
        function together with `takes` and `greater_is_better`.

    referee : estimator or None, default=None
        What the score sees series through: a transformer for features, a classifier for
        probabilities, the classifier that CAS trains. A fitted one is used as it is, always the
        same. If it is not fitted, a clone is fitted in every call: a classifier to the training
        series and their classes, a transformer to the real series at hand.
        None: `RandomConvolutionExtractor` for features, `FCNClassifier` for probabilities and
        "neg_fcn_fid".

    takes : str or None, default=None
        How `score` is called; None for those that have a name:

        - "features": ``score(features_real, features_gen)``
        - "probabilities": ``score(probabilities_gen)``
        - "series": ``score(X_real, X_gen)``
        - "training": ``score(X_gen, X_train, X_real)``
        - "labels": ``score(X_gen, y_gen, X_real, y_real, classifier=referee)``

    greater_is_better : bool or None, default=None
        False: the scorer gives the negative. None for those that have a name.

    n_samples : int or None, default=None
        Series to generate. None: as many as real ones; for "labels" as many of each class as the
        generator was trained on (``generator.classes_``, ``generator.class_counts_``), in the
        same proportion for 1,000 in all if those are fewer.

    random_state : int, RandomState instance or None, default=0
        Handed to ``generator.sample``; if it is not an int, one is drawn from it here, so that
        all calls of a scorer agree.

    X_train : array-like of shape (n, t) or (n, c, t) or None, default=None
        The training series, for generators that do not hold them, such as one that was loaded
        from a file; the scorer holds them instead, and so does its pickle. None: those of the
        generator that is scored, ``generator.X_fit_`` and ``generator.y_fit_``.

    y_train : array-like of shape (n,) or None, default=None
        The classes of `X_train`, for a classifier that is not fitted.

    reference : ReferenceStatistics or None, default=None
        What Fréchet distances are measured to, through its referee, in place of the real series at
        hand. `n_samples` that is None is its number of series then.

    Returns
    -------
    scorer : GenerationScorer
        ``scorer(generator, X, y=None)``, where ``generator.sample(n_samples, y=None,
        random_state=None)`` gives series, and `X`, `y` are real ones it was not trained on.

    Raises
    ------
    ValueError
        If `score`, `takes`, `n_samples`, `X_train` or `y_train` is not valid, or `takes` is missing
        for a function that has no name.

    Examples
    --------
    >>> from skvqts import FCNClassifier
    >>> from skvqts.metrics import frechet_distance, make_generation_scorer
    >>> make_generation_scorer(frechet_distance, referee=FCNClassifier())
    GenerationScorer(-frechet_distance, FCNClassifier())
    """
    # this name and "neg_fid" stand for one function: only the name tells which referee is meant
    is_of_classifier = score == "neg_fcn_fid"
    score, takes, greater_is_better = _convention_of(score, takes, greater_is_better)
    if n_samples is not None:
        validate_integer("n_samples", n_samples, 1, 10**9)
    if not isinstance(random_state, Integral):  # or every call would sample other series
        random_state = random_seed(random_state)
    if reference is not None:
        _validate_reference(reference, score, referee, X_train)
    elif referee is None:
        referee = _default_referee(takes, is_of_classifier)
    if referee is not None and takes in _METHODS:
        validate_referee(referee, _METHODS[takes])
    if takes == "labels":
        validate_classifier(referee)
    if X_train is None and y_train is not None:
        raise ValueError("make_generation_scorer was given y_train without X_train: give both.")
    if X_train is not None:
        X_train = np.asarray(as_array_like(X_train, "make_generation_scorer", "X_train"))
    if y_train is not None:
        y_train = checked_labels(y_train, len(X_train), "y_train")
    return GenerationScorer(
        score,
        referee=referee,
        takes=takes,
        greater_is_better=greater_is_better,
        n_samples=n_samples,
        random_state=random_state,
        X_train=X_train,
        y_train=y_train,
        reference=reference,
    )


def _convention_of(score, takes, greater_is_better):
    """The function that a score is or stands for, how it is called, and whether more is better."""
    if isinstance(score, str):
        validate_choice("score", score, tuple(_NAMES))
        score = _NAMES[score]
    if score is memorization_score:  # in a search, noise far from all real series must not win
        score = capped_memorization_score
    if score in _CONVENTIONS:
        convention = _CONVENTIONS[score]
        takes = convention.takes if takes is None else takes
        if greater_is_better is None:
            greater_is_better = convention.greater_is_better
    if takes is None or greater_is_better is None:
        raise ValueError(
            "make_generation_scorer needs `takes` and `greater_is_better` for a function that no "
            f"name in {sorted(_NAMES)} stands for."
        )
    validate_choice("takes", takes, _TAKES)
    return score, takes, greater_is_better


def _validate_reference(reference, score, referee, X_train):
    """Refuse a reference of another kind, or beside what it holds itself."""
    if not isinstance(reference, ReferenceStatistics):
        raise TypeError(f"reference must be a ReferenceStatistics, got {type(reference).__name__}.")
    if score is not frechet_distance or referee is not None or X_train is not None:
        raise ValueError(
            "A reference has its own referee and series and is for Fréchet distances only: "
            "give neither another score nor `referee` nor `X_train` with it."
        )


def _default_referee(takes, is_of_classifier):
    """What a score sees series through where nothing else is said, or None."""
    if takes == "probabilities" or is_of_classifier:
        return FCNClassifier(random_state=0)
    return RandomConvolutionExtractor() if takes == "features" else None


class GenerationScorer:
    """A scorer of generators, made by `make_generation_scorer`, which explains the parameters.

    Parameters
    ----------
    score : callable
        The function that judges generated series.
    referee : estimator or None
        What the score sees series through, or the classifier that CAS trains.
    takes : {"features", "probabilities", "series", "training", "labels"}
        How `score` is called.
    greater_is_better : bool
        False: the scorer gives the negative.
    n_samples : int or None, default=None
        Series to generate. None: as many as real ones.
    random_state : int, default=0
        Handed to ``generator.sample``.
    X_train : ndarray of shape (n, t) or (n, c, t) or None, default=None
        The training series. None: those that the generator holds.
    y_train : ndarray of shape (n,) or None, default=None
        The classes of `X_train`.
    reference : ReferenceStatistics or None, default=None
        What Fréchet distances are measured to.
    """

    def __init__(
        self,
        score,
        *,
        referee,
        takes,
        greater_is_better,
        n_samples=None,
        random_state=0,
        X_train=None,
        y_train=None,
        reference=None,
    ):
        self.score = score
        self.referee = referee
        self.takes = takes
        self.greater_is_better = greater_is_better
        self.n_samples = n_samples
        self.random_state = random_state
        self.X_train = X_train
        self.y_train = y_train
        self.reference = reference

    def __call__(self, estimator, X, y=None):
        """Score a fitted generator against real series.

        Parameters
        ----------
        estimator : generator
            Fitted, with ``sample(n_samples, y=None, random_state=None)``.
        X : array-like of shape (n, t) or (n, c, t)
            Real series that the generator was not trained on.
        y : array-like of shape (n,) or None, default=None
            Their classes, for scores that take labels.

        Returns
        -------
        float
            Greater is better.

        Raises
        ------
        TypeError
            If `estimator` has no method ``sample``.
        ValueError
            If labels are missing, or the generator does not hold the training series or classes
            that the score needs and the scorer was not given them.
        """
        if not hasattr(estimator, "sample"):
            advice = ""
            if isinstance(estimator, Pipeline):
                advice = " Score its last step: scorer(pipeline[-1], pipeline[:-1].transform(X))."
            raise TypeError(
                f"{self!r} scores generators with a method sample, and "
                f"{type(estimator).__name__} has none.{advice}"
            )
        refuse_columns_not_of_fit(estimator, X)
        # an array, as names of columns would differ from those of generated series
        X = np.asarray(as_array_like(X, repr(self)))
        match self.takes:
            case "features":
                value = self._score_features(estimator, X)
            case "probabilities":
                referee = self._fitted_referee(estimator, X)
                X_gen = with_names_of_fit(referee, self._sample(estimator, X))
                value = self.score(referee.predict_proba(X_gen))
            case "series":
                value = self.score(X, self._sample(estimator, X))
            case "training":
                X_train, _ = self._training_set(estimator)
                value = self.score(self._sample(estimator, X), X_train, X)
            case "labels":
                value = self._score_labelled_samples(estimator, X, y)
        return float(value) if self.greater_is_better else -float(value)

    def _score_features(self, generator, X):
        if self.reference is not None:
            n = self.reference.n_series_ if self.n_samples is None else self.n_samples
            X_gen = series_sampled(generator, n, self.random_state)
            return self.reference.frechet_distance(X_gen)
        referee = self._fitted_referee(generator, X)
        features_real = transformed_once(referee, with_names_of_fit(referee, X))
        X_gen = with_names_of_fit(referee, self._sample(generator, X))
        features_gen = referee.transform(X_gen)
        if self.score is frechet_distance:
            # no warning of few samples: all candidates of a search are compared at equal sizes
            return frechet_distance_of_samples(*validate_two_samples(features_real, features_gen))
        return self.score(features_real, features_gen)

    def _score_labelled_samples(self, generator, X, y):
        if y is None:
            raise ValueError(f"{self!r} needs the classes of the real series, but y is None.")
        y_gen = labels_in_training_proportion(generator, self, self.n_samples)
        X_gen = series_sampled(generator, len(y_gen), self.random_state, y_gen)
        return self.score(X_gen, y_gen, X, y, classifier=self.referee)

    def _sample(self, generator, X):
        """Generated series with as many dimensions as the real ones, if they have one channel."""
        n = len(X) if self.n_samples is None else self.n_samples
        X_gen = series_sampled(generator, n, self.random_state)
        # A list holds series of unequal length.
        is_list = isinstance(X_gen, list)
        X_gen = validate_panel(X_gen, "X_gen") if is_list else np.asarray(X_gen)
        if X_gen.ndim == 3 and np.ndim(X) == 2 and X_gen.shape[1] == 1:
            return X_gen[:, 0]
        return X_gen

    def _fitted_referee(self, generator, X):
        if is_fitted(self.referee):
            return self.referee
        if not is_classifier(self.referee):
            return fitted_once(self.referee, X)
        X_train, y_train = self._training_set(generator)
        if y_train is None:
            missing = (
                f"this {type(generator).__name__} has no y_fit_"
                if self.X_train is None
                else "y_train was not given with X_train"
            )
            raise ValueError(
                f"{self!r} fits its referee to the classes of the training series, and {missing}: "
                "give make_generation_scorer(..., X_train=, y_train=) or a fitted referee, or fit "
                "the generator with labels."
            )
        return fitted_once(self.referee, X_train, y_train)

    def _training_set(self, generator):
        """Training series, and their classes or None: the scorer's, or else the generator's."""
        if self.X_train is not None:
            return self.X_train, self.y_train
        X_train = getattr(generator, "X_fit_", None)
        if X_train is None:
            raise ValueError(
                f"{self!r} needs the training series, and this {type(generator).__name__} has no "
                "X_fit_, which a generator that was loaded from a file does not hold: give them "
                "to make_generation_scorer(..., X_train=, y_train=)."
            )
        return X_train, getattr(generator, "y_fit_", None)

    def __repr__(self):
        sign = "" if self.greater_is_better else "-"
        score = getattr(self.score, "__name__", repr(self.score))  # a partial has no name
        seen_through = self.referee if self.reference is None else self.reference
        referee = "" if seen_through is None else f", {seen_through!r}"
        return f"GenerationScorer({sign}{score}{referee})"


_SCORERS = {name: make_generation_scorer(name) for name in _NAMES}
neg_fid_scorer = _SCORERS["neg_fid"]
neg_fcn_fid_scorer = _SCORERS["neg_fcn_fid"]
inception_scorer = _SCORERS["inception_score"]
classification_accuracy_scorer = _SCORERS["classification_accuracy"]


def get_scorer(name):
    """Look up a ready-made scorer of generators.

    "memorization" is cut off at 1, where generated series are as new as held-out ones; "density" is
    not, and can be high for few modes: look at "coverage" beside it.
    "neg_fcn_fid" and "inception_score" train an `FCNClassifier` on the generator's own training
    data in every call; `make_generation_scorer` with a fitted referee trains none.

    Parameters
    ----------
    name : str
        One of `get_scorer_names`.

    Returns
    -------
    scorer : GenerationScorer

    Raises
    ------
    ValueError
        If no scorer has that name.
    """
    validate_choice("name", name, tuple(_SCORERS))
    return _SCORERS[name]


def get_scorer_names():
    """List the names that `get_scorer` takes.

    Returns
    -------
    list of str
    """
    return sorted(_SCORERS)
