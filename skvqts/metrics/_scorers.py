"""Scorers of generators: ``scorer(estimator, X, y=None) -> float``, greater is better.

They work wherever scikit-learn takes a callable `scoring`, in `cross_val_score` as in
``GridSearchCV(generator, scoring={...}, refit=...)``.
"""

from numbers import Integral

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._fcn_classifier import FCNClassifier
from .._fitting.validation import as_array_like, random_seed
from .._random_convolutions import RandomConvolutionExtractor
from ._classifiers import classification_accuracy_score
from ._frechet import distance_of_samples, frechet_distance
from ._inception import inception_score
from ._samples import balls_hit, kernel_distance, memorization_score
from ._series import autocorrelation_difference
from ._validation import validate_choice, validate_two_samples, validate_whole

_LEAST_LABELLED = 1000  # series that CAS trains on, as published


def density(features_real, features_gen):
    """The first of `density_coverage`, with fewer neighbours where there are no five."""
    return balls_hit(*validate_two_samples(features_real, features_gen)).density


def coverage(features_real, features_gen):
    """The second of `density_coverage`, with fewer neighbours where there are no five."""
    return balls_hit(*validate_two_samples(features_real, features_gen)).coverage


def capped_memorization_score(X_gen, X_train, X_real):
    """The memorization score, up to 1: what lies farther away than real series is not better."""
    return min(memorization_score(X_gen, X_train, X_real), 1.0)


# what a score function takes, and whether greater is better
_KNOWN = {
    frechet_distance: ("features", False),
    kernel_distance: ("features", False),
    density: ("features", True),
    coverage: ("features", True),
    inception_score: ("probabilities", True),
    classification_accuracy_score: ("labels", True),
    capped_memorization_score: ("training", True),
    autocorrelation_difference: ("series", False),
}
_TAKES = ("features", "probabilities", "labels", "training", "series")
_NAMED = {
    "neg_fid": frechet_distance,
    "neg_fcn_fid": frechet_distance,
    "neg_kernel_distance": kernel_distance,
    "density": density,
    "coverage": coverage,
    "inception_score": inception_score,
    "classification_accuracy": classification_accuracy_score,
    "memorization": capped_memorization_score,
    "neg_autocorrelation_difference": autocorrelation_difference,
}


def make_generation_scorer(
    score,
    *,
    referee=None,
    takes=None,
    greater_is_better=None,
    n_samples=None,
    random_state=0,
):
    """Make a scorer of generators from a score function.

    Parameters
    ----------
    score : str or callable
        A name of `get_scorer_names`, the function of `skvqts.metrics` behind one, or any other,
        then with `takes` and `greater_is_better`.

    referee : estimator or None, default=None
        What series are seen through: a transformer for features, a classifier for
        probabilities, the classifier that CAS trains. A fitted one is used as it is, always the
        same. Of one that is not fitted a clone is fitted in every call: a classifier to the
        generator's own training data (``generator.X_fit_``, ``generator.y_fit_``), a transformer
        to the real series at hand.
        None: `RandomConvolutionExtractor` for features, `FCNClassifier` for probabilities and
        "neg_fcn_fid".

    takes : str or None, default=None
        How `score` is called; None for those that have a name:

        - "features": ``score(features_real, features_gen)``
        - "probabilities": ``score(probabilities_gen)``
        - "series": ``score(X_real, X_gen)``
        - "training": ``score(X_gen, generator.X_fit_, X_real)``
        - "labels": ``score(X_gen, y_gen, X_real, y_real, classifier=referee)``

    greater_is_better : bool or None, default=None
        False: the scorer gives the negative. None for those that have a name.

    n_samples : int or None, default=None
        Series to generate. None: as many as real ones; for "labels" as many of each class as the
        generator was trained on (``generator.classes_``, ``generator.class_counts_``), in the
        same proportion for 1,000 in all if those are fewer.

    random_state : int, RandomState instance or None, default=0
        Handed to ``generator.sample``; what is no int becomes one here, so that all calls of a
        scorer agree.

    Returns
    -------
    scorer : GenerationScorer
        ``scorer(generator, X, y=None)``, where ``generator.sample(n_samples, y=None,
        random_state=None)`` gives series, and `X`, `y` are real ones it was not trained on.

    Raises
    ------
    ValueError
        If `score`, `takes` or `n_samples` is not valid, or `takes` is missing for a function that
        has no name.

    Examples
    --------
    >>> from skvqts import FCNClassifier
    >>> from skvqts.metrics import frechet_distance, make_generation_scorer
    >>> make_generation_scorer(frechet_distance, referee=FCNClassifier())
    GenerationScorer(-frechet_distance, FCNClassifier())
    """
    by_classifier = score == "neg_fcn_fid"
    if isinstance(score, str):
        validate_choice("score", score, tuple(_NAMED))
        score = _NAMED[score]
    score = capped_memorization_score if score is memorization_score else score
    known = _KNOWN.get(score, (None, None))
    takes = known[0] if takes is None else takes
    greater = known[1] if greater_is_better is None else greater_is_better
    if takes is None or greater is None:
        raise ValueError(
            "make_generation_scorer needs `takes` and `greater_is_better` for a function that no "
            f"name in {sorted(_NAMED)} stands for."
        )
    validate_choice("takes", takes, _TAKES)
    if n_samples is not None:
        validate_whole("n_samples", n_samples, 1, 10**9)
    if not isinstance(random_state, Integral):
        random_state = random_seed(random_state)
    if referee is None and (takes == "probabilities" or by_classifier):
        referee = FCNClassifier(random_state=0)
    elif referee is None and takes == "features":
        referee = RandomConvolutionExtractor()
    return GenerationScorer(score, referee, takes, greater, n_samples, random_state)


class GenerationScorer:
    """A scorer of generators, made by `make_generation_scorer`."""

    def __init__(self, score, referee, takes, greater_is_better, n_samples, random_state):
        self.score, self.referee, self.takes = score, referee, takes
        self.greater_is_better = greater_is_better
        self.n_samples, self.random_state = n_samples, random_state

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
            If labels are missing, or the generator does not tell what the score needs.
        """
        if not hasattr(estimator, "sample"):
            raise TypeError(
                f"{self!r} scores generators with a method sample, and "
                f"{type(estimator).__name__} has none."
            )
        X = np.asarray(as_array_like(X, repr(self)))  # no names that generated series would lack
        value = float(getattr(self, f"_of_{self.takes}")(estimator, X, y))
        return value if self.greater_is_better else -value

    def _of_features(self, estimator, X, y):
        referee = self._fitted(estimator, X)
        seen = referee.transform(X), referee.transform(self._sample(estimator, X))
        if self.score is frechet_distance:  # candidates are compared at equal sizes: no warning
            return distance_of_samples(*validate_two_samples(*seen))
        return self.score(*seen)

    def _of_probabilities(self, estimator, X, y):
        referee = self._fitted(estimator, X)
        return self.score(referee.predict_proba(self._sample(estimator, X)))

    def _of_series(self, estimator, X, y):
        return self.score(X, self._sample(estimator, X))

    def _of_training(self, estimator, X, y):
        return self.score(self._sample(estimator, X), training_data(estimator, self)[0], X)

    def _of_labels(self, estimator, X, y):
        if y is None:
            raise ValueError(f"{self!r} needs the classes of the real series, but y is None.")
        labels = labels_as_in_training(estimator, self, self.n_samples)
        generated = estimator.sample(len(labels), y=labels, random_state=self.random_state)
        return self.score(generated, labels, X, y, classifier=self.referee)

    def _sample(self, estimator, X):
        n = len(X) if self.n_samples is None else self.n_samples
        generated = np.asarray(estimator.sample(n, random_state=self.random_state))
        if generated.ndim == 3 and np.ndim(X) == 2 and generated.shape[1] == 1:
            return generated[:, 0]
        return generated

    def _fitted(self, estimator, X):
        try:
            check_is_fitted(self.referee)
        except NotFittedError:
            data = training_data(estimator, self) if is_classifier(self.referee) else (X,)
            return clone(self.referee).fit(*data)
        return self.referee

    def __repr__(self):
        sign = "" if self.greater_is_better else "-"
        referee = "" if self.referee is None else f", {self.referee!r}"
        return f"GenerationScorer({sign}{_name(self.score)}{referee})"


def _name(function):
    return getattr(function, "__name__", repr(function))


def training_data(generator, scorer):
    """Series and labels that a generator was trained on."""
    missing = [name for name in ("X_fit_", "y_fit_") if getattr(generator, name, None) is None]
    if "X_fit_" in missing or (missing and scorer.takes != "training"):
        raise ValueError(
            f"{scorer!r} needs the training data of the generator, and this "
            f"{type(generator).__name__} has no {' or '.join(missing)}: fit it with labels, or "
            "give a referee that is fitted."
        )
    return generator.X_fit_, getattr(generator, "y_fit_", None)


def labels_as_in_training(generator, scorer, n_samples=None):
    """Classes to generate: those of the training set, in the same proportion."""
    if getattr(generator, "class_counts_", None) is None:
        raise ValueError(
            f"{scorer!r} needs a generator fitted with labels, and this "
            f"{type(generator).__name__} has no class_counts_."
        )
    counts = np.asarray(generator.class_counts_)
    n = max(_LEAST_LABELLED, counts.sum()) if n_samples is None else n_samples
    wanted = np.maximum(1, np.round(counts * (n / counts.sum()))).astype(int)
    return np.repeat(generator.classes_, wanted)


_SCORERS = {name: make_generation_scorer(name) for name in _NAMED}
neg_fid_scorer = _SCORERS["neg_fid"]
neg_fcn_fid_scorer = _SCORERS["neg_fcn_fid"]
inception_scorer = _SCORERS["inception_score"]
classification_accuracy_scorer = _SCORERS["classification_accuracy"]


def get_scorer(name):
    """A ready-made scorer of generators.

    "memorization" is cut off at 1, where generated series are as fresh as real ones; "density" is
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
        If there is none of that name.
    """
    validate_choice("name", name, tuple(_SCORERS))
    return _SCORERS[name]


def get_scorer_names():
    """Names that `get_scorer` takes.

    Returns
    -------
    list of str
    """
    return sorted(_SCORERS)
