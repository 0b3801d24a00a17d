"""generation_report: all scores of generated series, with errors, floors and ceilings."""

from functools import partial

import joblib
import numpy as np
from scipy.stats import chi2_contingency
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from .._fcn_classifier import FCNClassifier
from .._fitting.validation import random_seed
from .._random_convolutions import RandomConvolutionExtractor
from ._classifiers import correct_after_training, told_apart
from ._frechet import distance_of_samples
from ._inception import score_of_rows
from ._report import GenerationReport, Score
from ._resampling import bootstrap_error, half_samples
from ._samples import balls_hit, mean_discrepancy, nearest_distances
from ._scorers import labels_as_in_training
from ._series import autocorrelations, difference_of_means, squared_errors
from ._validation import (
    as_given,
    validate_labelled,
    validate_one_kind,
    validate_panel,
    validate_probabilities,
    validate_whole,
)

LEAST_SERIES = 4  # test or generated, that are compared
_FEW = 5  # of a class
_SHIFT = 0.01  # p-value of equal class frequencies
_FOLDS = 5
_OF_FEATURES = {
    ("Fréchet distance",): distance_of_samples,
    ("kernel distance",): mean_discrepancy,
    ("density", "coverage"): balls_hit,
}


def generation_report(
    generator,
    X_train,
    y_train,
    X_test,
    y_test,
    *,
    tokenizer=None,
    referee=None,
    extractor=None,
    classifier=None,
    n_samples=None,
    max_samples=1000,
    n_repeats=20,
    random_state=0,
):
    """Judge generated series: every score with its error, floor and ceiling.

    Without labels (`y_train` and `y_test` None) the scores that need a classifier are left out.

    Parameters
    ----------
    generator : generator, array-like, or tuple of two array-like
        A fitted generator with ``sample(n_samples, y=None, random_state=None)``; or generated
        series (n, t) or (n, c, t); or such series and the classes they were generated for.
    X_train, y_train : array-like
        Real series that the generator was trained on, and their classes or None.
    X_test, y_test : array-like
        Real series that it has not seen, and their classes or None.
    tokenizer : fitted VQTokenizer or None, default=None
        For what reconstructions alone reach. None: ``generator.tokenizer_`` if there is one.
    referee : classifier with ``transform`` or None, default=None
        For IS and a second set of features. A fitted one is used as it is; of one that is not
        fitted a clone is fitted to the training series. None: `FCNClassifier`.
    extractor : transformer or None, default=None
        The same for features without labels: `RandomConvolutionExtractor`.
    classifier : estimator or None, default=None
        What CAS trains, see `classification_accuracy_score`.
    n_samples : int or None, default=None
        Series to generate, at most as many as test series are compared; None: as many.
    max_samples : int, default=1000
        Test series that generated ones are compared with, at most; drawn at random.
    n_repeats : int, default=20
        Half-samples behind standard errors and floors.
    random_state : int, RandomState instance or None, default=0
        Of sampling, of half-samples and of the default referee.

    Returns
    -------
    report : GenerationReport
        Prints as a table.

    Raises
    ------
    ValueError
        If series or labels are not valid, shapes differ, or there are fewer than four test or
        generated series.
    """
    validate_whole("n_repeats", n_repeats, 2, 10_000)
    rng = check_random_state(random_state)
    seed = random_seed(rng)  # of the default referee, the same for whatever is judged
    real = _Real(X_train, y_train, X_test, y_test, max_samples, rng)
    gen = _Generated(generator, real, n_samples, rng)
    tokenizer = getattr(generator, "tokenizer_", None) if tokenizer is None else tokenizer
    again = None if tokenizer is None else _reconstructed(tokenizer, real)
    report = GenerationReport(warnings=_warnings(real, gen))
    compare = _Comparison(report, real, gen, again, n_repeats, rng)
    compare.series()
    extractor = RandomConvolutionExtractor() if extractor is None else extractor
    compare.features("extractor", _fitted(extractor, real.as_given(real.train)))
    if real.y_train is not None:
        fcn = FCNClassifier(random_state=seed) if referee is None else referee
        fcn = _fitted(fcn, real.as_given(real.train), real.y_train)
        compare.features("classifier", fcn)
        compare.classes(fcn)
        labelled = gen.labelled()
        if labelled is not None and len(np.unique(labelled[1])) > 1:
            compare.accuracy(labelled, classifier)
    compare.two_samples(classifier)
    return report


class _Real:
    """Training and test series ``(n, c, t)`` with their classes or None."""

    def __init__(self, X_train, y_train, X_test, y_test, max_samples, rng):
        self.train, self.y_train = _series_and_labels(X_train, y_train, "train")
        self.test, self.y_test = _series_and_labels(X_test, y_test, "test")
        if self.train.shape[1:] != self.test.shape[1:]:
            raise ValueError(
                "Training and test series must have one shape, got "
                f"{self.train.shape[1:]} and {self.test.shape[1:]} (channels, time points)."
            )
        if (self.y_train is None) != (self.y_test is None):
            raise ValueError("Only one of y_train and y_test is given: give both, or neither.")
        if self.y_train is not None:
            validate_one_kind(self.y_train, self.y_test, ("y_train", "y_test"))
        validate_whole("max_samples", max_samples, LEAST_SERIES, 10**9)
        self.compared = self.test[_picks(len(self.test), max_samples, rng)]
        if len(self.compared) < LEAST_SERIES:
            raise ValueError(f"X_test has {len(self.compared)} series; at least four are needed.")
        self.as_given = partial(as_given, n_dims=np.ndim(X_test))


def _reconstructed(tokenizer, real):
    X = tokenizer.decode(tokenizer.encode(real.as_given(real.compared)))
    return np.reshape(X, real.compared.shape)


def _series_and_labels(X, y, name):
    if y is None:
        return validate_panel(X, f"X_{name}", 2), None
    return validate_labelled(X, y, name, 2)


class _Generated:
    """Generated series ``(n, c, t)``, and, asked for, such with classes."""

    def __init__(self, generator, real, n_samples, rng):
        self.generator, self.seed, self.y = None, random_seed(rng), None
        X, n = generator, len(real.compared)
        if hasattr(generator, "sample") and not hasattr(generator, "__array__"):  # no DataFrame
            self.generator = generator
            if n_samples is not None:
                validate_whole("n_samples", n_samples, LEAST_SERIES, 10**9)
                n = min(n, n_samples)
            X = generator.sample(n, random_state=self.seed)
        elif isinstance(generator, (tuple, list)) and len(generator) == 2:
            X, self.y = generator
            if self.y is not None:
                X, self.y = validate_labelled(X, self.y, "gen")
            if self.y is not None and real.y_train is not None:
                validate_one_kind(self.y, real.y_train, ("y_gen", "y_train"))
        self.X = validate_panel(X, "generated series", LEAST_SERIES)
        if self.X.shape[1:] != real.test.shape[1:]:
            raise ValueError(
                f"Generated and real series must have one shape, got {self.X.shape[1:]} and "
                f"{real.test.shape[1:]} (channels, time points)."
            )
        self.compared = self.X[_picks(len(self.X), len(real.compared), rng)]

    def labelled(self):
        """Series and classes for CAS, or None where classes cannot be asked for."""
        if self.generator is None:
            return None if self.y is None else (self.X, self.y)
        if getattr(self.generator, "class_counts_", None) is None:
            return None
        labels = labels_as_in_training(self.generator, "CAS")
        X = self.generator.sample(len(labels), y=labels, random_state=self.seed)
        return validate_panel(X, "generated series"), labels


def _picks(n, n_wanted, rng):
    """Indices of so many of n rows, at random, in their order."""
    return np.sort(rng.permutation(n)[:n_wanted])


class _Comparison:
    """Adds the scores of generated against real series to a report."""

    def __init__(self, report, real, gen, again, n_repeats, rng):
        self.report, self.real, self.gen = report, real, gen
        self.n_repeats, self.rng = n_repeats, rng
        self.again = again
        self.train = real.train[_picks(len(real.train), len(gen.compared), rng)]

    def series(self):
        """Scores of the series themselves."""
        self.report.referees["series"] = ""
        if self.real.test.shape[2] > 1:
            parts = [None if X is None else autocorrelations(X) for X in self._parts()]
            self._add(("autocorrelation difference",), "series", difference_of_means, parts)
        self._memorization()
        if self.again is not None:
            errors = squared_errors(self.real.compared, self.again)
            se, n = bootstrap_error(np.mean, errors, self.rng), len(errors)
            self._append("reconstruction error", "series", float(errors.mean()), se, n, n)

    def _memorization(self):
        real, gen, few, again = (X if X is None else _flat(X) for X in self._parts())
        train = _flat(self.real.train)
        fresh, found = nearest_distances(train, real), nearest_distances(train, gen)
        if np.sum(fresh == 0) >= len(fresh) // 2:  # a half may hold nothing to compare with
            self.report.warnings.append(
                "half of the test series or more are copies of training series: no memorization "
                "score"
            )
            return
        among = nearest_distances(train, few, among=True)
        again = None if again is None else nearest_distances(train, again)
        parts = fresh, found, among, again
        self._add(("memorization score",), "series", _ratio_of_means, parts)

    def features(self, referee, extractor):
        """Distances and neighbours in the features of an extractor."""
        self.report.referees[referee] = f"{extractor!r}, {joblib.hash(extractor)[:8]}"
        parts = [None if X is None else self._seen(extractor.transform, X) for X in self._parts()]
        least, d = min(len(parts[0]), len(parts[1])), parts[0].shape[1]
        if least <= d:
            self.report.warnings.append(
                f"n={least} <= d={d} with {referee}: the Fréchet distance is mostly bias; read it "
                "beside real at half"
            )
        for names, function in _OF_FEATURES.items():
            self._add(names, referee, function, parts, d)

    def classes(self, classifier):
        """The inception score."""
        gen, real = (
            validate_probabilities(self._seen(classifier.predict_proba, X), ndim=2)
            for X in (self.gen.compared, self.real.compared)
        )
        se = bootstrap_error(score_of_rows, gen, self.rng)
        self._append(
            "inception score",
            "classifier",
            score_of_rows(gen),
            se,
            len(real),
            len(gen),
            d=gen.shape[1],
            of_real=score_of_rows(real),
        )

    def accuracy(self, labelled, classifier):
        """CAS: a classifier trained on generated series, and one on real series."""
        X, y = labelled
        real, name = self.real, self._trained(classifier)
        test = real.as_given(real.test), real.y_test, classifier
        right = correct_after_training(real.as_given(X), y, *test)
        ceiling = correct_after_training(real.as_given(real.train), real.y_train, *test)
        se, n = bootstrap_error(np.mean, right, self.rng), (len(right), len(X))
        value, of_real = float(right.mean()), float(ceiling.mean())
        self._append("classification accuracy", name, value, se, *n, of_real=of_real)

    def two_samples(self, classifier):
        """Whether a classifier tells real from generated series."""
        parts = [self.real.as_given(X) for X in (self.real.compared, self.gen.compared)]
        told = told_apart(*parts, classifier, _FOLDS, self.rng)
        se, n = bootstrap_error(np.mean, told, self.rng), len(told) // 2
        name, value = self._trained(classifier), float(told.mean())
        self._append("two-sample accuracy", name, value, se, n, n, of_real=0.5)

    def _trained(self, classifier):
        by = "random convolutions, ridge" if classifier is None else repr(classifier)
        self.report.referees["trained classifier"] = by
        return "trained classifier"

    def _seen(self, function, X):
        """What an estimator makes of series, in float64."""
        return np.asarray(function(self.real.as_given(X)), dtype=np.float64)

    def _parts(self):
        return self.real.compared, self.gen.compared, self.train, self.again

    def _add(self, names, referee, function, parts, d=None):
        """Scores of one function with half-samples: their errors, and both values at one size."""
        real, gen, train, again = parts
        found, floor = half_samples(function, real, gen, self.n_repeats, self.rng)
        columns = {
            "at_half": found.mean(0),
            "real_at_half": floor.mean(0),
            "of_train": None if train is None else function(real, train),
            "of_reconstructions": None if again is None else function(real, again),
        }
        values, errors = np.atleast_1d(function(real, gen), found.std(0, ddof=1))
        for i, name in enumerate(names):
            more = {k: float(np.atleast_1d(v)[i]) for k, v in columns.items() if v is not None}
            n_train = None if train is None else len(train)
            self._append(
                name, referee, float(values[i]), float(errors[i]), len(real), len(gen),
                n_train=n_train, d=d, **more,
            )  # fmt: skip

    def _append(self, *values, **more):
        self.report.scores.append(Score(*values, **more))


def _flat(X):
    return X.reshape(len(X), -1)


def _ratio_of_means(real, gen):
    return float(gen.mean() / real.mean())


def _fitted(estimator, *data):
    """A fitted estimator, or a clone that is fitted here."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return clone(estimator).fit(*data)
    return estimator


def _warnings(real, gen):
    found = []
    if real.y_train is None:
        return found
    sets = {"training": real.y_train, "test": real.y_test, "generated": gen.y}
    for name in ("training", "test"):
        classes, counts = np.unique(sets[name], return_counts=True)
        if counts.min() < _FEW:
            rare = classes[counts < _FEW].tolist()
            found.append(f"fewer than {_FEW} {name} series of classes {rare}")
    for name in ("test", "generated"):
        if sets[name] is not None and _frequencies_differ(real.y_train, sets[name]):
            found.append(f"label shift: class frequencies of {name} and training series differ")
    for name in ("training", "generated"):
        if sets[name] is not None:
            missing = np.setdiff1d(real.y_test, sets[name]).tolist()
            found += [f"classes {missing} of test series are missing in {name} series"] * bool(
                missing
            )
    return found


def _frequencies_differ(y, other):
    classes, indices = np.unique(np.concatenate([y, other]), return_inverse=True)
    if len(classes) < 2:
        return False
    parts = indices[: len(y)], indices[len(y) :]
    table = [np.bincount(part, minlength=len(classes)) for part in parts]
    return chi2_contingency(table).pvalue < _SHIFT
