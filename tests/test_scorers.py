"""Scorers of generators, in scikit-learn's searches and by hand; the order of the doubles."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pandas as pd
import pytest
from aeon.datasets import load_italy_power_demand
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skvqts import FCNClassifier, RandomConvolutionExtractor
from skvqts.metrics import (
    classifier_two_sample_test,
    discriminative_score,
    frechet_distance,
    get_scorer,
    get_scorer_names,
    inception_score,
    kernel_distance,
    make_generation_scorer,
    memorization_score,
    neg_fid_scorer,
)

from .conftest import two_shapes
from .doubles import ResamplingGenerator
from .estimators import autoregressive_prior, fcn, masked_prior
from .refusals import assert_refused

X, INDICES = two_shapes(160, 24, noise=0.15)
Y = np.array(["saw", "sine"])[1 - INDICES]
TRAIN, TEST = (X[:80], Y[:80]), (X[80:], Y[80:])
FEW = RandomConvolutionExtractor(20)
DOUBLES = {
    "resampler": {},
    "some noise": {"noise": 0.2},
    "much noise": {"noise": 0.4},
    "dropped class": {"n_dropped": 1},
    "ten copies": {"n_copies": 10},
}


@pytest.fixture(scope="module")
def generators():
    return {name: ResamplingGenerator(**p).fit(*TRAIN) for name, p in DOUBLES.items()}


@pytest.fixture(scope="module")
def referee():
    return fcn(max_epochs=60, learning_rate=0.02).fit(*TRAIN)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["neg_fid", "neg_kernel_distance", "density", "coverage"])
def test_column_names_do_not_matter(name, generators):
    generator, frame = generators["some noise"], pd.DataFrame(TEST[0]).add_prefix("t")
    assert get_scorer(name)(generator, frame) == get_scorer(name)(generator, TEST[0])


@pytest.mark.parametrize("name", ["neg_fid", "memorization", "density"])
def test_columns_in_another_order_than_in_fit_are_refused(name):
    train, frame = (pd.DataFrame(series).add_prefix("t") for series in (TRAIN[0], TEST[0]))
    generator = masked_prior(decoder=None, max_epochs=1).fit(train, TRAIN[1])
    assert np.isfinite(get_scorer(name)(generator, frame))
    other = frame[frame.columns[::-1]]
    with pytest.raises(ValueError, match=r"columns in another order: X\[generator.feature_names"):
        get_scorer(name)(generator, other)
    with pytest.raises(ValueError, match="must have the same columns, and only one has 'u0'"):
        get_scorer(name)(generator, frame.rename(columns={"t0": "u0"}))


def test_density_and_coverage_work_for_five_series_or_fewer(generators):
    for n in (2, 5):
        for name in ("density", "coverage"):
            assert get_scorer(name)(generators["some noise"], TEST[0][:n]) >= 0


def test_the_two_sample_scorer_is_the_negative_accuracy_of_the_test(generators):
    generator = generators["much noise"]
    drawn = generator.sample(len(TEST[0]), random_state=0)
    test = classifier_two_sample_test(TEST[0], drawn, random_state=0)
    scorer = get_scorer("neg_two_sample_accuracy")
    assert scorer(generator, *TEST) == -test.accuracy
    assert test.accuracy > -scorer(generators["resampler"], *TEST)


def test_a_scorer_can_be_made_of_the_discriminative_score(generators):
    generator = generators["much noise"]
    score = partial(discriminative_score, n_steps=20, random_state=0)
    scorer = make_generation_scorer(score, takes="series", greater_is_better=False)
    drawn = generator.sample(len(TEST[0]), random_state=0)
    assert scorer(generator, *TEST) == -score(TEST[0], drawn)


def by(generators, scorer):
    return {name: scorer(generator, *TEST) for name, generator in generators.items()}


@pytest.mark.parametrize("kind", ["random convolutions", "classifier"])
def test_frechet_distance_ranks_generators_by_their_noise(generators, referee, kind):
    extractor = referee if kind == "classifier" else FEW
    result = by(generators, make_generation_scorer(frechet_distance, referee=extractor))
    assert max(result, key=result.get) == "resampler"
    assert result["resampler"] > result["some noise"] > result["much noise"]


def test_inception_score_falls_when_a_class_is_dropped(generators, referee):
    result = by(generators, make_generation_scorer(inception_score, referee=referee))
    assert result["resampler"] > 1.7
    assert min(result, key=result.get) == "dropped class"


def test_classification_accuracy_falls_when_a_class_is_dropped(generators):
    scorer = make_generation_scorer(
        "classification_accuracy", referee=KNeighborsClassifier(1), n_samples=60
    )
    result = by(generators, scorer)
    assert min(result, key=result.get) == "dropped class"
    assert result["resampler"] > result["dropped class"] + 0.2


def test_coverage_is_lowest_for_few_modes_and_memorization_for_copies(generators):
    result = by(generators, make_generation_scorer("coverage", referee=FEW))
    assert result["ten copies"] < min(result["resampler"], result["dropped class"])
    assert result["dropped class"] < result["resampler"]
    copied = by(generators, get_scorer("memorization"))
    assert copied["resampler"] < 1e-3
    assert copied["ten copies"] < 1e-3
    assert copied["much noise"] > copied["some noise"] > 0.2


@pytest.mark.parametrize("name", get_scorer_names())
def test_ready_made_scorers_are_deterministic_and_can_be_pickled(name, generators):
    scorer = get_scorer(name)
    if isinstance(scorer.referee, FCNClassifier):  # the default one takes minutes
        scorer = make_generation_scorer(name, referee=fcn())
    value = scorer(generators["some noise"], *TEST)
    assert isinstance(value, float)
    assert np.isfinite(value)
    assert (value <= 0) == name.startswith("neg_") or "kernel" in name
    assert value == scorer(generators["some noise"], *TEST)
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(generators["some noise"], *TEST) == value
    assert scorer.score.__name__ in repr(scorer)


def test_scorer_equals_the_score_by_hand(generators, referee):
    generator = generators["some noise"]
    scorer = make_generation_scorer(frechet_distance, referee=referee, n_samples=50, random_state=3)
    generated = generator.sample(50, random_state=3)
    by_hand = frechet_distance(referee.transform(TEST[0]), referee.transform(generated))
    assert scorer(generator, *TEST) == -by_hand


def test_unfitted_classifier_is_fitted_to_the_training_series_of_the_generator(monkeypatch):
    calls = []
    monkeypatch.setattr(
        LogisticRegression, "fit", lambda self, X, y: calls.append((X, y)) or _stop()
    )
    generator = ResamplingGenerator().fit(*TRAIN)
    with pytest.raises(_StoppedError):
        make_generation_scorer("inception_score", referee=LogisticRegression())(generator, *TEST)
    assert calls[0][0] is generator.X_fit_
    assert np.array_equal(calls[0][1], TRAIN[1])


@pytest.mark.parametrize(
    ("score", "method"), [("inception_score", "predict_proba"), ("neg_fid", "transform")]
)
def test_a_referee_that_cannot_judge_is_refused_before_anything_is_fitted(score, method):
    with pytest.raises(TypeError, match=f"must have {method}.*; SVC has no {method}"):
        make_generation_scorer(score, referee=SVC())


@pytest.mark.parametrize("score", ["neg_fid", "neg_two_sample_accuracy", "memorization"])
def test_generators_of_scikit_learn_are_scored(score):
    mixture = GaussianMixture(2, covariance_type="diag", random_state=0).fit(TRAIN[0])
    more = {"X_train": TRAIN[0]} if score == "memorization" else {}
    found = make_generation_scorer(score, **more)(mixture, TEST[0])
    drawn = mixture.sample(len(TEST[0]))[0]
    expected = make_generation_scorer(score, **more)(Generated(drawn), TEST[0])
    assert found == expected


class Generated:
    """What returns given series, whatever it is asked for."""

    def __init__(self, X):
        self.X = X

    def sample(self, n_samples, y=None, random_state=None):
        return self.X


class _StoppedError(Exception):
    pass


def _stop():
    raise _StoppedError


def loaded_from_a_file(**parameters):
    """A fitted generator that holds its training series no more."""
    generator = ResamplingGenerator(**parameters).fit(*TRAIN)
    del generator.X_fit_, generator.y_fit_
    return generator


@pytest.mark.parametrize("name", ["memorization", "inception_score", "neg_fcn_fid"])
def test_training_series_stand_in_for_those_that_a_loaded_generator_lacks(name, generators):
    more = {} if name == "memorization" else {"referee": fcn()}
    scorer = make_generation_scorer(name, **more, X_train=TRAIN[0], y_train=TRAIN[1])
    expected = make_generation_scorer(name, **more)(generators["some noise"], *TEST)
    assert scorer(loaded_from_a_file(noise=0.2), *TEST) == expected
    copy = pickle.loads(pickle.dumps(scorer))
    assert copy(loaded_from_a_file(noise=0.2), *TEST) == expected


def test_given_training_series_take_the_place_of_those_of_the_generator(generators):
    half = make_generation_scorer("memorization", X_train=TRAIN[0][:40].tolist())
    by_hand = memorization_score(
        generators["some noise"].sample(80, random_state=0), TRAIN[0][:40], TEST[0]
    )
    assert half(generators["some noise"], *TEST) == min(by_hand, 1)


@pytest.mark.parametrize("name", ["memorization", "inception_score", "neg_fcn_fid"])
def test_scorers_ask_for_training_series_that_a_loaded_generator_lacks(name):
    more = {} if name == "memorization" else {"referee": fcn()}
    call = lambda: make_generation_scorer(name, **more)(loaded_from_a_file(), *TEST)  # noqa: E731
    message = (
        r"needs the training series, and this ResamplingGenerator has no X_fit_.*"
        r"make_generation_scorer\(\.\.\., X_train=, y_train=\)"
    )
    assert_refused(call, (ValueError,), message)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (masked_prior, "inception_score"),
        (autoregressive_prior, "memorization"),
        pytest.param(masked_prior, "memorization", marks=pytest.mark.slow),
        pytest.param(masked_prior, "neg_fcn_fid", marks=pytest.mark.slow),
        pytest.param(autoregressive_prior, "inception_score", marks=pytest.mark.slow),
        pytest.param(autoregressive_prior, "neg_fcn_fid", marks=pytest.mark.slow),
    ],
)
def test_scorers_of_a_pickled_generator_ask_for_training_series_and_then_agree(make, name):
    more = {} if name == "memorization" else {"referee": fcn()}
    scorer = make_generation_scorer(name, **more)
    generator = make().fit(*TRAIN)
    expected = scorer(generator, *TEST)
    loaded = pickle.loads(pickle.dumps(generator))
    with pytest.raises(ValueError, match="needs the training series") as error:
        scorer(loaded, *TEST)
    assert str(error.value) == (
        f"{scorer!r} needs the training series, and this {type(generator).__name__} has no X_fit_, "
        "which a generator that was loaded from a file does not hold: give them to "
        "make_generation_scorer(..., X_train=, y_train=)."
    )
    informed = make_generation_scorer(name, **more, X_train=TRAIN[0], y_train=TRAIN[1])
    assert informed(loaded, *TEST) == expected
    assert informed(generator, *TEST) == expected
    assert informed(loaded.fit(*TRAIN), *TEST) == scorer(loaded, *TEST) == expected


@pytest.mark.parametrize(
    "name", [pytest.param("memorization", marks=pytest.mark.slow), "inception_score"]
)
def test_generators_are_scored_by_their_training_series_in_workers_too(name):
    more = {} if name == "memorization" else {"referee": fcn()}
    scorer = make_generation_scorer(name, **more)
    of_one, of_two = (
        cross_val_score(
            masked_prior(), X, Y, scoring=scorer, cv=3, n_jobs=n_jobs, error_score="raise"
        )
        for n_jobs in (1, 2)
    )
    assert of_one.shape == (3,)
    assert np.isfinite(of_one).all()
    assert np.array_equal(of_one, of_two)


@pytest.mark.parametrize("name", ["coverage", "inception_score", "classification_accuracy"])
def test_other_scorers_need_no_training_series(name, generators, referee):
    more = {"referee": KNeighborsClassifier(1) if name == "classification_accuracy" else referee}
    scorer = make_generation_scorer(name, **more)
    expected = scorer(generators["some noise"], *TEST)
    assert scorer(loaded_from_a_file(noise=0.2), *TEST) == expected


def test_classification_accuracy_samples_classes_in_training_proportion():
    asked = []

    class Asked(ResamplingGenerator):
        def sample(self, n_samples=1, *, y=None, random_state=None):
            asked.append(y)
            return super().sample(n_samples, y=y, random_state=random_state)

    y = np.where(np.arange(80) < 20, "a", "b")
    generator = Asked().fit(X[:80], y)
    for n_samples, expected in ((None, [250, 750]), (40, [10, 30])):
        scorer = make_generation_scorer(
            "classification_accuracy", referee=KNeighborsClassifier(1), n_samples=n_samples
        )
        scorer(generator, X[:80], y)
        assert np.unique(asked[-1], return_counts=True)[1].tolist() == expected


def test_any_function_can_be_made_a_scorer():
    generator = ResamplingGenerator().fit(*TRAIN)
    of_means = make_generation_scorer(_difference_of_means, takes="series", greater_is_better=False)
    expected = -_difference_of_means(TEST[0], generator.sample(80, random_state=0))
    assert of_means(generator, *TEST) == expected


def _difference_of_means(X_real, X_gen):
    return abs(X_real.mean() - X_gen.mean())


def test_partial_functions_random_states_and_panels_are_accepted():
    generator = ResamplingGenerator().fit(TRAIN[0][:, None], TRAIN[1])  # samples are (n, 1, t)
    named = make_generation_scorer("memorization")(generator, TEST[0][:, None])
    assert make_generation_scorer(memorization_score)(generator, TEST[0][:, None]) == named
    rbf = partial(kernel_distance, kernel="rbf")
    referee = PCA(3).fit(TRAIN[0])
    more = {"referee": referee, "takes": "features", "greater_is_better": False}
    scorer = make_generation_scorer(rbf, **more, random_state=np.random.RandomState(0))
    assert "partial" in repr(scorer)
    assert scorer(generator, *TEST) == scorer(generator, *TEST)


def test_scorers_in_threads_leave_warning_filters_alone(generators):
    scorer, before = make_generation_scorer("neg_fid", referee=FEW), warnings.filters[:]
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(scorer, generators["resampler"], *TEST) for _ in range(8)]
    assert len({call.result() for call in calls}) == 1
    assert warnings.filters == before


def test_scorers_work_in_cross_validation_and_grid_search():
    few = make_generation_scorer("neg_fid", referee=FEW)
    scores = cross_val_score(ResamplingGenerator(), X, Y, scoring=few, cv=3, error_score="raise")
    assert scores.shape == (3,)
    assert (scores < 0).all()
    scoring = {"fid": few, "memorization": get_scorer("memorization")}
    grid = {"noise": [0.0, 0.3, 1.0]}
    search = GridSearchCV(
        ResamplingGenerator(), grid, scoring=scoring, refit="fid", cv=2, error_score="raise"
    ).fit(X, Y)
    assert search.best_params_ == {"noise": 0.0}
    memorization = search.cv_results_["mean_test_memorization"]
    assert memorization[0] < memorization[1] < memorization[2] == 1


def test_neg_fid_scorer_needs_no_labels():
    scores = cross_val_score(
        ResamplingGenerator(), X, scoring=neg_fid_scorer, cv=2, error_score="raise"
    )
    assert (scores < 0).all()


def test_errors_name_what_is_missing():
    generator = ResamplingGenerator().fit(TRAIN[0])
    cases = {
        "has none": (TypeError, lambda: neg_fid_scorer(RidgeClassifierCV(), *TEST)),
        "Score its last step": (
            TypeError,
            lambda: neg_fid_scorer(make_pipeline(StandardScaler(), generator), *TEST),
        ),
        "y is None": (
            ValueError,
            lambda: get_scorer("classification_accuracy")(generator, TEST[0]),
        ),
        "has no class_counts_": (
            ValueError,
            lambda: get_scorer("classification_accuracy")(generator, *TEST),
        ),
        "has no y_fit_": (ValueError, lambda: get_scorer("inception_score")(generator, *TEST)),
        "name must be one of": (ValueError, lambda: get_scorer("fid")),
        "score must be one of": (ValueError, lambda: make_generation_scorer("fid")),
        "takes must be one of": (
            ValueError,
            lambda: make_generation_scorer(len, takes="all", greater_is_better=True),
        ),
        "needs `takes`": (ValueError, lambda: make_generation_scorer(len)),
        "n_samples must be": (ValueError, lambda: make_generation_scorer("neg_fid", n_samples=-3)),
        "y_train without X_train": (
            ValueError,
            lambda: make_generation_scorer("inception_score", y_train=TRAIN[1]),
        ),
        "inconsistent numbers of samples": (
            ValueError,
            lambda: make_generation_scorer("neg_fcn_fid", X_train=TRAIN[0], y_train=TRAIN[1][1:]),
        ),
        "X_train must be array-like": (
            TypeError,
            lambda: make_generation_scorer("memorization", X_train="series.csv"),
        ),
        "y_train was not given with X_train": (
            ValueError,
            lambda: make_generation_scorer("neg_fcn_fid", X_train=TRAIN[0])(generator, *TEST),
        ),
    }
    for message, (kind, call) in cases.items():
        assert_refused(call, (kind,), message)


@pytest.mark.slow  # each ranking is tested on two shapes, too
def test_scores_rank_generators_with_known_faults_on_a_real_set():
    X, y = load_italy_power_demand(split="train")
    X_test, y_test = (part[:400] for part in load_italy_power_demand(split="test"))
    referee = FCNClassifier(width=16, max_epochs=100, learning_rate=0.01, random_state=0).fit(X, y)
    # a tenth of noise would make 67 series look nearer to the test series, not farther
    louder = {"some noise": {"noise": 0.3}, "much noise": {"noise": 0.6}, "loud": {"noise": 1.5}}
    kinds = DOUBLES | louder
    made = {name: ResamplingGenerator(**p).fit(X, y) for name, p in kinds.items()}

    def scores(name, **more):
        scorer = make_generation_scorer(name, **more)
        return {double: scorer(generator, X_test, y_test) for double, generator in made.items()}

    for kind in (referee, RandomConvolutionExtractor(200)):
        fid, covered = scores("neg_fid", referee=kind), scores("coverage", referee=kind)
        assert max(fid, key=fid.get) == "resampler"
        assert fid["resampler"] > fid["some noise"] > fid["much noise"] > fid["loud"]
        assert covered["dropped class"] < covered["resampler"]
        assert covered["ten copies"] < covered["dropped class"]
    clear = scores("inception_score", referee=referee)
    assert clear["dropped class"] < clear["resampler"] - 0.5
    right = scores("classification_accuracy")
    assert right["dropped class"] < right["resampler"] - 0.2
    memorization = scores("memorization")
    copies = "resampler", "dropped class", "ten copies"
    assert all(memorization[name] == 0 for name in copies)
    assert memorization["some noise"] > 0.3
