"""generation_report: all scores of generated series, with errors, floors and ceilings."""

from dataclasses import asdict, dataclass, field, fields
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2_contingency
from sklearn.utils import check_random_state

from .._fcn_classifier import FCNClassifier
from .._files.models import state_digest
from .._fitting.memory import fitted_once, transformed_once
from .._fitting.progress import tell
from .._fitting.validation import random_seed
from .._random_convolutions import RandomConvolutionExtractor
from ._classifiers import correct_predictions, labels_in_training_proportion, two_sample_hits
from ._density import density_coverage_of_samples, squared_mmd
from ._frechet import frechet_distance_of_samples
from ._information.discrete import inception_score_of_rows
from ._memorization import distance_ratio, leave_one_out_distances, nearest_distances
from ._resampling import bootstrap_error, half_samples
from ._series import autocorrelations, difference_of_means, relative_squared_errors
from ._validation import (
    dense,
    is_fitted,
    refuse_columns_not_of_fit,
    refuse_other_columns,
    restore_ndim,
    series_sampled,
    validate_classifier,
    validate_integer,
    validate_labelled,
    validate_one_kind,
    validate_panel,
    validate_probabilities,
    validate_referee,
    with_names_of_fit,
)

MIN_SERIES = 4  # test or generated, that are compared
_MIN_CLASS_SIZE = 5  # below which a class gets a warning
_SHIFT_P_VALUE = 0.01  # of equal class frequencies, below which there is a warning
_N_FOLDS = 5  # of the two-sample test


@dataclass
class Score:
    """One score of generated series, and what to compare it with; None where that does not apply.

    Attributes
    ----------
    name : str
        Which score it is.
    referee : str
        The extractor or classifier through which it sees the series.
    value : float
        The score of generated against test series.
    standard_error : float
        Its standard error: by half-samples for distances and scores of neighbours, by the
        bootstrap for all others. That of an accuracy holds for the generated series and the
        trained classifier at hand.
    n_real, n_gen, n_train : int
        Numbers of test, generated and training series that are compared.
    d : int
        Number of features.
    at_half, real_at_half : float
        Mean score of generated and of other real series against real ones, both at half the
        size and so with the same bias.
    of_train : float
        Score of training series against test series. The memorization score compares each
        training series with the others: 1 minus this value is then the cost of a shift between
        training and test series.
    of_reconstructions : float
        Score of reconstructed test series against test series: the tokenizer's share.
    of_real : float
        Score of real series in the place of generated ones: the ceiling.
    """

    name: str
    referee: str
    value: float
    standard_error: float
    n_real: int
    n_gen: int
    n_train: int | None = None
    d: int | None = None
    at_half: float | None = None
    real_at_half: float | None = None
    of_train: float | None = None
    of_reconstructions: float | None = None
    of_real: float | None = None


_COLUMNS = {
    "score": "name",
    "value": "value",
    "s.e.": "standard_error",
    "at half": "at_half",
    "real at half": "real_at_half",
    "train": "of_train",
    "recon.": "of_reconstructions",
    "real": "of_real",
    "n real": "n_real",
    "n gen.": "n_gen",
    "n train": "n_train",
    "d": "d",
}


# What is looked at first: a score, its short name, and what it is compared with.
_HEADLINE = (
    ("two-sample accuracy", "told apart", "train", "of_train"),
    ("Fréchet distance", "FID", "train", "of_train"),
    ("classification accuracy", "CAS", "real", "of_real"),
    ("memorization score", "memorization", "train", "of_train"),
)


@dataclass
class GenerationReport:
    """Scores of generated series, as `generation_report` gives them; prints as a table.

    Attributes
    ----------
    scores : list of Score
    referees : dict of str to str
        The estimator behind the short name of each referee, with a hash of its fitted state.
        Values of two reports can be compared only where it is the same.
    warnings : list of str
        Reasons why values say less than they seem to.
    """

    scores: list = field(default_factory=list)
    referees: dict = field(default_factory=dict)
    warnings: list = field(default_factory=list)

    def __getitem__(self, key):
        """Find the `Score` of a name, or of a pair of name and referee."""
        name, referee = key if isinstance(key, tuple) else (key, None)
        for score in self.scores:
            if score.name == name and referee in (None, score.referee):
                return score
        raise KeyError(f"{key!r} is not among {[(s.name, s.referee) for s in self.scores]}")

    def to_dict(self):
        """Convert the report to plain dicts, lists, numbers and strings."""
        return {
            "scores": [asdict(score) for score in self.scores],
            "referees": dict(self.referees),
            "warnings": list(self.warnings),
        }

    def to_frame(self):
        """Convert the scores to a pandas DataFrame with a row for each; needs pandas."""
        import pandas as pd

        columns = [column.name for column in fields(Score)]
        return pd.DataFrame([asdict(score) for score in self.scores], columns=columns)

    @property
    def headline(self):
        """The scores to look at first, in one line, each with what to compare it with."""
        # Of a score by two referees it is the later one, the classifier's.
        found = {score.name: score for score in self.scores}
        parts = [
            f"{short} {_text(found[name].value)} ({label} {_text(getattr(found[name], beside))})"
            for name, short, label, beside in _HEADLINE
            if name in found
        ]
        return "; ".join(parts)

    def __str__(self):
        lines = [self.headline, ""]
        for referee, identity in self.referees.items():
            rows = [score for score in self.scores if score.referee == referee]
            cells = [[_text(getattr(row, name)) for name in _COLUMNS.values()] for row in rows]
            table = [list(_COLUMNS), *cells]
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            lines.append(f"through {referee}: {identity}" if identity else referee)
            lines += [_line(row, widths) for row in table]
            lines.append("")
        lines += [
            "at half, real at half: of generated and of other real series, at half the size.",
            "train, recon., real: of training series, of reconstructed and of real test series.",
        ]
        return "\n".join(lines + [f"Warning: {warning}" for warning in self.warnings])


def _line(cells, widths):
    """Cells of one row of a table: the first one, a name, to the left, numbers to the right."""
    numbers = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([cells[0].ljust(widths[0]), *numbers]).rstrip()


def _text(value):
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
    n_threads=None,
    verbose=0,
    random_state=0,
):
    """Evaluate generated series by every score, with standard errors, floors and ceilings.

    Without labels (`y_train` and `y_test` None) the scores that need a classifier are left out.

    Parameters
    ----------
    generator : generator, array-like, or tuple of two array-like
        A fitted generator with ``sample(n_samples, y=None, random_state=None)``, of which only
        `n_samples` is needed, as in `sklearn.mixture.GaussianMixture`; or generated
        series of shape (n, t) or (n, c, t); or such series and the classes ``(n,)`` that they were
        generated for.
    X_train : array-like of shape (n, t) or (n, c, t)
        Real series that the generator was trained on.
    y_train : array-like of shape (n,) or None
        Their classes.
    X_test : array-like of shape (n, t) or (n, c, t)
        Real series that the generator was not trained on.
    y_test : array-like of shape (n,) or None
        Their classes.
    tokenizer : fitted VQTokenizer or None, default=None
        Its reconstructions of test series are scored as well. None: ``generator.tokenizer_`` if
        there is one.
    referee : classifier with ``transform`` or None, default=None
        For the inception score and a second set of features. A fitted one is used as it is; if it
        is not fitted, a clone is fitted to the training series. None: `FCNClassifier`.
    extractor : transformer or None, default=None
        The same for features without labels. None: `RandomConvolutionExtractor`.
    classifier : estimator or None, default=None
        The classifier that CAS and the two-sample test train, see `classification_accuracy_score`.
    n_samples : int or None, default=None
        Number of series to generate, at most as many as test series are compared. None: as many.
    max_samples : int, default=1000
        Maximal number of test series that are compared; they are drawn at random.
    n_repeats : int, default=20
        Number of half-samples for standard errors and floors.
    n_threads : int or None, default=None
        `n_threads` of the extractor and the referee that are None.
    verbose : int, default=0
        1 prints what is being done, and how long the default referee trains; 0 logs it.
    random_state : int, RandomState instance or None, default=0
        Seed of sampling, of half-samples and of the default referee.

    Returns
    -------
    report : GenerationReport
        Prints as a table.

    Raises
    ------
    ValueError
        If series or labels are not valid, shapes or the columns of tables differ, or there are
        fewer than four test or generated series.
    TypeError
        If the referee has no ``transform`` or no ``predict_proba``, `tokenizer` no ``encode`` or no
        ``decode``, or `classifier` is none.
    """
    validate_integer("n_repeats", n_repeats, 2, 10_000)
    rng = check_random_state(random_state)
    # drawn first, so that the default referee depends on the seed only, not on what is scored
    referee_seed = random_seed(rng)

    _validate_judges(referee, tokenizer, classifier)
    refuse_other_columns(X_train, X_test, ("X_train", "X_test"))
    refuse_columns_not_of_fit(generator, X_train, "X_train")
    train = _validate_set(X_train, y_train, "train")
    test = _validate_set(X_test, y_test, "test")
    _validate_same_kind(train, test)
    ndim = np.ndim(X_test)
    validate_integer("max_samples", max_samples, MIN_SERIES, 10**9)
    X_real = _subsample(test.X, max_samples, rng)
    if len(X_real) < MIN_SERIES:
        raise ValueError(f"X_test has {len(X_real)} series; at least four are needed.")

    sample_seed = random_seed(rng)
    tell("[generation_report] generating series", verbose)
    generated = _sample(generator, n_samples, len(X_real), sample_seed, X_train)
    _validate_generated(generator, generated, train)
    X_gen = _subsample(generated.X, len(X_real), rng)
    series = _Samples(
        real=X_real,
        generated=X_gen,
        train=_subsample(train.X, len(X_gen), rng),
        reconstructed=_reconstructed(X_real, ndim, tokenizer, generator),
    )
    distances = _distances_to_training(series, train.X)
    inputs = series.apply(lambda X: restore_ndim(X, ndim))  # what estimators take

    tell("[generation_report] comparing series and their features", verbose)
    X_train = restore_ndim(train.X, ndim)
    scores = series_scores(series, distances, n_repeats, rng)
    if extractor is None:
        extractor = RandomConvolutionExtractor(n_threads=n_threads)
    extractor = _fitted(extractor, X_train)
    referees = {"series": "", "extractor": _identity(extractor)}
    scores += feature_scores(inputs, "extractor", extractor, n_repeats, rng)
    if train.y is not None:
        tell("[generation_report] comparing features of a classifier", verbose)
        if referee is None:
            referee = FCNClassifier(n_threads=n_threads, verbose=verbose, random_state=referee_seed)
        referee = _fitted(referee, X_train, train.y)
        referees["classifier"] = _identity(referee)
        scores += feature_scores(inputs, "classifier", referee, n_repeats, rng)
        scores += class_scores(inputs, "classifier", referee, rng)
        tell("[generation_report] training classifiers on generated and on real series", verbose)
        labelled = _sample_labelled(generator, generated, sample_seed)
        scores += accuracy_scores(labelled, train, test, ndim, classifier, rng)
    tell("[generation_report] training classifiers to tell generated from real series", verbose)
    scores += two_sample_scores(inputs, classifier, rng)
    referees["trained classifier"] = (
        "random convolutions, ridge" if classifier is None else repr(classifier)
    )
    warnings = [
        *label_warnings(train.y, test.y, generated.y),
        *copy_warnings(distances),
        *few_samples_warnings(scores),
    ]
    return GenerationReport(scores=scores, referees=referees, warnings=warnings)


class _Labelled(NamedTuple):
    """Series ``(n, c, t)`` with their classes ``(n,)`` or None."""

    X: np.ndarray
    y: np.ndarray | None


class _Samples(NamedTuple):
    """The samples that scores compare: series, features of them, or a number for each."""

    real: np.ndarray  # test series
    generated: np.ndarray
    train: np.ndarray  # training series, as many as generated ones
    reconstructed: np.ndarray | None  # test series after the tokenizer

    def apply(self, function):
        return _Samples(*(None if sample is None else function(sample) for sample in self))


# ---- series to compare


def _validate_set(X, y, name):
    if y is None:
        return _Labelled(validate_panel(X, f"X_{name}", min_samples=2), None)
    return _Labelled(*validate_labelled(X, y, name, min_samples=2))


def _validate_same_kind(train, test):
    """Raise if training and test series differ in shape or in the kind of their labels."""
    if train.X.shape[1:] != test.X.shape[1:]:
        raise ValueError(
            "Training and test series must have one shape, got "
            f"{train.X.shape[1:]} and {test.X.shape[1:]} (channels, time points)."
        )
    if (train.y is None) != (test.y is None):
        raise ValueError("Only one of y_train and y_test is given: give both, or neither.")
    if train.y is not None:
        validate_one_kind(train.y, test.y, ("y_train", "y_test"))


def _reconstructed(X, ndim, tokenizer, generator):
    """Reconstructions ``(n, c, t)`` by a tokenizer, or that of a generator; None without any."""
    if tokenizer is None:
        tokenizer = getattr(generator, "tokenizer_", None)
    if tokenizer is None:
        return None
    tokens = tokenizer.encode(with_names_of_fit(tokenizer, restore_ndim(X, ndim)))
    return np.reshape(tokenizer.decode(tokens), X.shape)


def _is_generator(generator):
    # a DataFrame has a method sample, too
    return hasattr(generator, "sample") and not hasattr(generator, "__array__")


def _sample(generator, n_samples, n_compared, seed, X_train):
    """Series of a generator, without classes, or those that were given in its place.

    Of a table the columns must be those of `X_train`.
    """
    y = None
    if _is_generator(generator):
        if n_samples is None:
            n_samples = n_compared
        validate_integer("n_samples", n_samples, MIN_SERIES, 10**9)
        X = series_sampled(generator, min(n_samples, n_compared), seed)
    else:
        is_pair = isinstance(generator, (tuple, list)) and len(generator) == 2
        X, y = generator if is_pair else (generator, None)
        refuse_other_columns(X_train, X, ("X_train", "the generated series"))
        if y is not None:
            X, y = validate_labelled(X, y, "gen")
    return _Labelled(validate_panel(X, "generated series", MIN_SERIES), y)


def _validate_judges(referee, tokenizer, classifier):
    """Refuse what lacks the methods that the report needs; None stands for the usual ones."""
    if referee is not None:
        validate_referee(referee, "transform", "predict_proba")
    has_tokens = hasattr(tokenizer, "encode") and hasattr(tokenizer, "decode")
    if tokenizer is not None and not has_tokens:
        raise TypeError(
            "The tokenizer must have encode and decode, as VQTokenizer has; got a "
            f"{type(tokenizer).__name__}."
        )
    validate_classifier(classifier)


def _validate_generated(generator, generated, train):
    """Refuse series of another shape than the real ones, or of classes of another kind."""
    classes = generated.y
    if _is_generator(generator):
        classes = getattr(generator, "classes_", None)
    if classes is not None and train.y is not None:
        validate_one_kind(classes, train.y, ("the generator's y", "y_train"))
    if generated.X.shape[1:] != train.X.shape[1:]:
        raise ValueError(
            f"Generated and real series must have one shape, got {generated.X.shape[1:]} and "
            f"{train.X.shape[1:]} (channels, time points)."
        )


def _sample_labelled(generator, generated, seed):
    """Generated series with classes for CAS, or None where classes cannot be asked for."""
    if not _is_generator(generator):
        return None if generated.y is None else generated
    if getattr(generator, "class_counts_", None) is None:
        return None
    y = labels_in_training_proportion(generator, "CAS")
    X = series_sampled(generator, len(y), seed, y)
    return _Labelled(validate_panel(X, "generated series"), y)


def _subsample(X, n_samples, rng):
    """At most `n_samples` rows, drawn at random, in their order."""
    # all rows or few, the same number is drawn from rng, and what follows does not change
    return X[np.sort(rng.permutation(len(X))[:n_samples])]


def _fitted(estimator, *data):
    """The estimator if it is fitted, or else a clone of it that is fitted here."""
    return estimator if is_fitted(estimator) else fitted_once(estimator, *data)


def _identity(estimator):
    return f"{estimator!r}, {state_digest(estimator)[:8]}"


def _distances_to_training(series, X_train):
    """Distance of each series to its nearest training series; of training series to another."""
    X_train = X_train.reshape(len(X_train), -1)
    real, generated, train, reconstructed = series.apply(lambda X: X.reshape(len(X), -1))
    return _Samples(
        real=nearest_distances(X_train, real),
        generated=nearest_distances(X_train, generated),
        train=leave_one_out_distances(X_train, train),
        reconstructed=None if reconstructed is None else nearest_distances(X_train, reconstructed),
    )


def _half_are_copies(distances):
    """Whether half of the test series or more are copies of training series.

    A half-sample of them may then hold nothing but copies, and no distance to compare with.
    """
    return np.sum(distances.real == 0) >= len(distances.real) // 2


# ---- scores


def series_scores(series, distances, n_repeats, rng):
    """Autocorrelation difference, memorization score and reconstruction error."""
    scores = []
    if series.real.shape[2] > 1:
        scores += half_sample_scores(
            ["autocorrelation difference"],
            "series",
            difference_of_means,
            series.apply(autocorrelations),
            n_repeats,
            rng,
        )
    if not _half_are_copies(distances):
        scores += half_sample_scores(
            ["memorization score"], "series", distance_ratio, distances, n_repeats, rng
        )
    if series.reconstructed is not None:
        errors = relative_squared_errors(series.real, series.reconstructed)
        scores.append(
            Score(
                name="reconstruction error",
                referee="series",
                value=float(errors.mean()),
                standard_error=bootstrap_error(np.mean, errors, rng),
                n_real=len(errors),
                n_gen=len(errors),
            )
        )
    return scores


def feature_scores(inputs, referee, extractor, n_repeats, rng):
    """Fréchet and kernel distance, density and coverage, in the features of an extractor."""

    def features_of(X):
        features = transformed_once(extractor, with_names_of_fit(extractor, X))
        return dense(features).astype(np.float64)

    features = inputs.apply(features_of)
    d = features.real.shape[1]
    scores = []
    for names, function in (
        (["Fréchet distance"], frechet_distance_of_samples),
        (["kernel distance"], squared_mmd),
        (["density", "coverage"], density_coverage_of_samples),
    ):
        scores += half_sample_scores(names, referee, function, features, n_repeats, rng, d)
    return scores


def half_sample_scores(names, referee, function, samples, n_repeats, rng, d=None):
    """Scores of ``function(real, generated)``, with errors and floors by half-samples.

    Parameters
    ----------
    names : list of str
        A name for each value that the function gives.
    referee : str
    function : callable
    samples : _Samples
    n_repeats : int
    rng : RandomState
    d : int or None
        Number of features.

    Returns
    -------
    list of Score
    """
    at_half, real_at_half = half_samples(function, samples.real, samples.generated, n_repeats, rng)

    def of_each_name(values):
        return [None] * len(names) if values is None else np.atleast_1d(values).tolist()

    def score_of(sample):
        return None if sample is None else function(samples.real, sample)

    values = of_each_name(score_of(samples.generated))
    errors = of_each_name(at_half.std(0, ddof=1))
    means = of_each_name(at_half.mean(0))
    floors = of_each_name(real_at_half.mean(0))
    of_train = of_each_name(score_of(samples.train))
    of_reconstructions = of_each_name(score_of(samples.reconstructed))
    return [
        Score(
            name=name,
            referee=referee,
            value=values[i],
            standard_error=errors[i],
            n_real=len(samples.real),
            n_gen=len(samples.generated),
            n_train=len(samples.train),
            d=d,
            at_half=means[i],
            real_at_half=floors[i],
            of_train=of_train[i],
            of_reconstructions=of_reconstructions[i],
        )
        for i, name in enumerate(names)
    ]


def class_scores(inputs, referee, classifier, rng):
    """Inception score of generated series, beside that of real ones."""
    p_gen, p_real = (
        validate_probabilities(classifier.predict_proba(with_names_of_fit(classifier, X)), ndim=2)
        for X in (inputs.generated, inputs.real)
    )
    return [
        Score(
            name="inception score",
            referee=referee,
            value=inception_score_of_rows(p_gen),
            standard_error=bootstrap_error(inception_score_of_rows, p_gen, rng),
            n_real=len(p_real),
            n_gen=len(p_gen),
            d=p_gen.shape[1],
            of_real=inception_score_of_rows(p_real),
        )
    ]


def accuracy_scores(generated, train, test, ndim, classifier, rng):
    """CAS beside the accuracy after training on real series; no score without two classes."""
    if generated is None or len(np.unique(generated.y)) < 2:
        return []
    X_test = restore_ndim(test.X, ndim)
    after_generated, after_real = (
        correct_predictions(restore_ndim(X, ndim), y, X_test, test.y, classifier)
        for X, y in (generated, train)
    )
    return [
        Score(
            name="classification accuracy",
            referee="trained classifier",
            value=float(after_generated.mean()),
            standard_error=bootstrap_error(np.mean, after_generated, rng),
            n_real=len(X_test),
            n_gen=len(generated.X),
            of_real=float(after_real.mean()),
        )
    ]


def two_sample_scores(inputs, classifier, rng):
    """Accuracy of a classifier that tells generated from real series; 0.5 is chance.

    Beside it that of one that tells training from test series.
    """
    hits, hits_of_train = (
        two_sample_hits(inputs.real, sample, classifier, _N_FOLDS, rng)
        for sample in (inputs.generated, inputs.train)
    )
    return [
        Score(
            name="two-sample accuracy",
            referee="trained classifier",
            value=float(hits.mean()),
            standard_error=bootstrap_error(np.mean, hits, rng),
            n_real=len(hits) // 2,
            n_gen=len(hits) // 2,
            n_train=len(hits_of_train) // 2,
            of_train=float(hits_of_train.mean()),
            of_real=0.5,
        )
    ]


# ---- warnings


def label_warnings(y_train, y_test, y_gen):
    """Warnings of rare, of missing and of more or less frequent classes."""
    if y_train is None:
        return []
    warnings = []
    for name, y in (("training", y_train), ("test", y_test)):
        classes, counts = np.unique(y, return_counts=True)
        if counts.min() < _MIN_CLASS_SIZE:
            rare = classes[counts < _MIN_CLASS_SIZE].tolist()
            warnings.append(f"fewer than {_MIN_CLASS_SIZE} {name} series of classes {rare}")
    for name, y in (("test", y_test), ("generated", y_gen)):
        if y is not None and _frequencies_differ(y_train, y):
            warnings.append(f"label shift: class frequencies of {name} and training series differ")
    for name, y in (("training", y_train), ("generated", y_gen)):
        missing = [] if y is None else np.setdiff1d(y_test, y).tolist()
        if missing:
            warnings.append(f"classes {missing} of test series are missing in {name} series")
    return warnings


def _frequencies_differ(y, y_other):
    """Whether a chi-squared test rejects that both sets of labels are of one distribution."""
    classes = np.union1d(y, y_other)
    if len(classes) < 2:  # a table of one column, which the test refuses
        return False
    table = [[np.sum(labels == label) for label in classes] for labels in (y, y_other)]
    return chi2_contingency(table).pvalue < _SHIFT_P_VALUE


def copy_warnings(distances):
    """Warning that there is no memorization score."""
    if not _half_are_copies(distances):
        return []
    return ["half of the test series or more are copies of training series: no memorization score"]


def few_samples_warnings(scores):
    """Warnings of Fréchet distances of no more series than features."""
    return [
        f"n={min(score.n_real, score.n_gen)} <= d={score.d} with {score.referee}: the Fréchet "
        "distance is mostly bias; read it beside real at half"
        for score in scores
        if score.name == "Fréchet distance" and min(score.n_real, score.n_gen) <= score.d
    ]
