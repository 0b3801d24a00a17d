"""The report of all scores, and the displays."""

import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer

from skvqts import RandomConvolutionExtractor, VQTokenizer, metrics
from skvqts.metrics import (
    generation_report,
)
from skvqts.metrics._resampling import bootstrap_error, half_samples

from .conftest import two_shapes
from .doubles import ResamplingGenerator
from .estimators import fcn
from .refusals import assert_refused

mpl.use("Agg")

X, INDICES = two_shapes(160, 24, noise=0.15)
Y = np.array(["saw", "sine"])[1 - INDICES]
TRAIN, TEST = (X[:80], Y[:80]), (X[80:], Y[80:])
QUICK = {
    "extractor": RandomConvolutionExtractor(20),
    "referee": fcn(max_epochs=30),
    "classifier": make_pipeline(RandomConvolutionExtractor(5), KNeighborsClassifier(1)),
    "n_repeats": 5,
}


class Dense(BaseEstimator):
    """A fitted transformer whose features are no sparse matrix."""

    def __init__(self, transformer):
        self.transformer = transformer
        self.n_features_in_ = transformer.n_features_in_

    def fit(self, X):
        return self

    def transform(self, X):
        return self.transformer.transform(X).toarray()


def report(generator, train=TRAIN, test=TEST, **more):
    return generation_report(generator, *train, *test, **QUICK | more)


@pytest.fixture(scope="module")
def generator():
    return ResamplingGenerator(noise=0.1).fit(*TRAIN)


@pytest.fixture(scope="module")
def full(generator):
    tokenizer = VQTokenizer(8, width=8, latent_dim=8, max_epochs=20, random_state=0).fit(TRAIN[0])
    return report(generator, tokenizer=tokenizer)


def test_memorization_score_of_training_series_and_of_reconstructions(generator):
    tokenizer = VQTokenizer(8, width=8, latent_dim=8, max_epochs=2, random_state=0).fit(TRAIN[0])
    result = report(generator, tokenizer=tokenizer)["memorization score"]
    reconstructed = tokenizer.decode(tokenizer.encode(TEST[0]))
    expected = metrics.memorization_score(reconstructed, TRAIN[0], TEST[0])
    assert result.of_reconstructions == pytest.approx(expected)
    train, distance = TRAIN[0], lambda a, b: np.linalg.norm(a - b)
    others = [np.delete(train, i, axis=0) for i in range(len(train))]
    to_others = [min(distance(x, z) for z in rest) for x, rest in zip(train, others, strict=True)]
    to_train = [min(distance(x, z) for z in train) for x in TEST[0]]
    assert result.of_train == pytest.approx(np.mean(to_others) / np.mean(to_train))
    twice = report(generator, (np.repeat(TRAIN[0][:2], [3, 1], axis=0), None), (TEST[0], None))
    assert 0 < twice["memorization score"].of_train < 1


def test_mistakes_are_refused_before_anything_is_trained(generator):
    with pytest.raises(TypeError, match="has no transform"):
        report(generator, referee=LogisticRegression().fit(*TRAIN))
    with pytest.raises(TypeError, match="must be a classifier, and Ridge is none"):
        report(generator, classifier=Ridge())
    with pytest.raises(TypeError, match="must have encode and decode"):
        report(generator, tokenizer=PCA())
    of_numbers = ResamplingGenerator().fit(TRAIN[0], INDICES[:80])
    with pytest.raises(ValueError, match="the generator's y holds no strings and y_train strings"):
        report(of_numbers)
    train, test = (pd.DataFrame(part[0]).add_prefix("t") for part in (TRAIN, TEST))
    test = test[test.columns[::-1]]
    with pytest.raises(ValueError, match="X_train and X_test have the same columns in another"):
        report(generator, (train, TRAIN[1]), (test, TEST[1]))


def test_a_generator_of_scikit_learn_is_judged_by_what_it_draws():
    mixture = GaussianMixture(2, covariance_type="diag", random_state=0).fit(TRAIN[0])
    drawn = mixture.sample(len(TEST[0]))[0]
    found, expected = report(mixture), report(drawn)
    assert [score.value for score in found.scores] == [score.value for score in expected.scores]


def test_values_equal_those_of_the_score_functions(generator, full):
    seed = np.random.RandomState(0)
    seed.randint(2**31 - 1)  # of the default referee
    seed.permutation(80)  # which test series are compared: all of them
    generated = generator.sample(80, random_state=seed.randint(2**31 - 1))
    extractor = RandomConvolutionExtractor(20).fit(TRAIN[0][:, None])
    features = [extractor.transform(part[:, None]) for part in (TEST[0], generated)]
    key = "extractor"
    assert full["Fréchet distance", key].value == pytest.approx(metrics.frechet_distance(*features))
    assert full["kernel distance", key].value == pytest.approx(metrics.kernel_distance(*features))
    result = metrics.density_coverage(*features)
    assert (full["density", key].value, full["coverage", key].value) == result
    copied = metrics.memorization_score(generated, TRAIN[0], TEST[0])
    assert full["memorization score"].value == pytest.approx(copied)
    lags = full["autocorrelation difference"]
    assert lags.value == pytest.approx(metrics.autocorrelation_difference(TEST[0], generated))


def test_every_score_has_a_standard_error_and_a_floor_or_ceiling(full):
    names = [(score.name, score.referee) for score in full.scores]
    assert len(set(names)) == len(names) == 14
    for score in full.scores:
        assert np.isfinite(score.value)
        assert score.standard_error >= 0
        floors = score.real_at_half, score.of_train, score.of_reconstructions, score.of_real
        assert score.name == "reconstruction error" or any(f is not None for f in floors)
    distance = full["Fréchet distance", "classifier"]
    assert (distance.n_real, distance.n_gen, distance.d) == (80, 80, 8)
    assert distance.of_reconstructions > 0
    accuracy = full["classification accuracy"]
    assert accuracy.of_real > 0.9
    assert accuracy.n_gen == 1000


def test_real_series_reach_the_floor_of_the_frechet_distance_and_noise_does_not():
    half = len(TEST[0]) // 2
    held_out = TEST[0][:half], TEST[1][:half]
    held_back = report(TEST[0][half:], test=held_out)["Fréchet distance", "extractor"]
    assert held_back.at_half < 2 * held_back.real_at_half
    noise = report(3 * np.random.default_rng(0).normal(size=(40, 24)), test=held_out)
    noise = noise["Fréchet distance", "extractor"]
    assert noise.at_half > 5 * noise.real_at_half


def test_report_prints_as_a_table_and_converts_to_dict_and_frame(full):
    text = str(full)
    for word in ("Fréchet distance", "classification accuracy", "s.e.", "real at half", "FCN"):
        assert word in text
    assert max(map(len, text.splitlines()[:-3])) < 140
    assert json.loads(json.dumps(full.to_dict()))["scores"][0]["name"] == full.scores[0].name
    frame = full.to_frame()
    assert frame.shape == (14, 13)
    assert frame["value"].tolist() == [score.value for score in full.scores]
    with pytest.raises(KeyError, match="not among"):
        full["FID"]


def test_default_referee_depends_on_the_seed_only(generator, monkeypatch):
    monkeypatch.setattr("skvqts.metrics._report.FCNClassifier", fcn)
    made = generator.sample(80, random_state=0)
    reports = [report(g, referee=None) for g in (generator, made, made[:30])]
    reports.append(report(made, referee=None, n_repeats=3))
    assert len({one.referees["classifier"] for one in reports}) == 1
    assert reports[1].scores != reports[3].scores


def test_generated_series_and_classes_may_be_tuple_or_list(generator):
    made, labels = generator.sample(80, random_state=0), TRAIN[1]
    for given in ((made, labels), [made, labels], (made, labels.tolist())):
        assert report(given)["classification accuracy"].n_gen == 80
    with pytest.warns(DataConversionWarning, match="column-vector y"):
        assert report((made, labels[:, None]))["classification accuracy"].n_gen == 80
    for given in ((made, None), made.tolist()):
        assert "classification accuracy" not in [score.name for score in report(given).scores]


def test_a_single_training_series_is_refused():
    for labels in (TRAIN[1][:1], None):
        test = TEST if labels is not None else (TEST[0], None)
        with pytest.raises(ValueError, match="minimum of 2 is required by X_train"):
            report(TEST[0], train=(TRAIN[0][:1], labels), test=test)


def test_same_seed_gives_the_same_report(generator):
    first, second = (report(generator) for _ in range(2))
    assert first == second
    assert report(generator, random_state=1) != first


def test_scores_left_out_without_generated_classes_or_without_labels(generator):
    generated = generator.sample(80, random_state=0)
    names = lambda r: {score.name for score in r.scores}  # noqa: E731
    labelled = report((generated, np.repeat(["saw", "sine"], 40)))
    assert {"classification accuracy", "inception score"} <= names(labelled)
    bare = report(generated)
    assert "classification accuracy" not in names(bare)
    assert "inception score" in names(bare)
    free = report(generated, (TRAIN[0], None), (TEST[0], None))
    assert names(free) == {
        "autocorrelation difference",
        "memorization score",
        "Fréchet distance",
        "kernel distance",
        "density",
        "coverage",
        "two-sample accuracy",
    }
    panels = report(generated[:, None], (TRAIN[0][:, None], None), (TEST[0][:, None], None))
    assert panels.scores == free.scores


def test_the_headline_says_whether_samples_are_told_from_real_series(generator):
    judged = report(generator)
    told = judged["two-sample accuracy"]
    assert told.of_real == 0.5
    assert 0.3 < told.of_train < 0.8
    assert told.value > told.of_train  # a generator of copies with noise
    assert str(judged).splitlines()[0] == judged.headline
    assert judged.headline.startswith(
        f"told apart {told.value:.4g} (train {told.of_train:.4g}); FID"
    )
    fid, cas = judged["Fréchet distance", "classifier"], judged["classification accuracy"]
    assert f"FID {fid.value:.4g} (train {fid.of_train:.4g})" in judged.headline
    assert f"CAS {cas.value:.4g} (real {cas.of_real:.4g})" in judged.headline


def test_extractor_and_classifier_may_take_tables_only(generator):
    judged = report(generator, extractor=PCA(3), classifier=KNeighborsClassifier(1))
    assert judged["Fréchet distance", "extractor"].d == 3
    assert judged["classification accuracy"].of_real > 0.5


def test_report_lists_what_makes_scores_unreliable(generator):
    rare = np.where(np.arange(80) < 3, "rare", TRAIN[1])
    warnings = report(generator, (TRAIN[0], rare)).warnings
    assert any("fewer than 5 training series of classes ['rare']" in text for text in warnings)
    shifted = np.where(np.arange(80) < 70, "saw", "sine")
    warnings = report(generator, test=(TEST[0], shifted)).warnings
    assert any("label shift" in text for text in warnings)
    wide = report(generator, extractor=RandomConvolutionExtractor(60))
    assert any("n=80 <= d=120 with extractor" in text for text in wide.warnings)
    assert not report(generator).warnings
    copies = report(generator, test=TRAIN)
    assert any("copies of training series" in text for text in copies.warnings)
    assert "memorization score" not in {score.name for score in copies.scores}
    some = report(generator, (TRAIN[0][:20], np.full(20, "saw"))).warnings
    assert "classes ['sine'] of test series are missing in training series" in some


def test_resampled_standard_errors_agree_with_known_ones():
    rng = np.random.RandomState(0)
    real, gen = rng.normal(size=(2, 400))
    for n_gen in (400, 100):
        score = lambda a, b: b.mean() - a.mean()  # noqa: E731
        at_half, real_at_half = half_samples(score, real, gen[:n_gen], 2000, rng)
        assert np.std(at_half) == pytest.approx(np.sqrt(1 / 400 + 1 / n_gen), rel=0.1)
        assert np.mean(real_at_half) == pytest.approx(0, abs=0.01)
        sizes, others = half_samples(lambda a, b: (len(a), len(b)), real, gen[:n_gen], 3, rng)
        assert sizes.tolist() == others.tolist() == [[200, n_gen // 2]] * 3
    assert bootstrap_error(np.mean, gen, rng, 2000) == pytest.approx(1 / 20, rel=0.15)


def test_given_extractor_is_not_fitted_and_order_of_rows_does_not_matter(generator):
    extractor = RandomConvolutionExtractor(20)
    report(generator, extractor=extractor)
    assert not hasattr(extractor, "module_")
    by_class = np.argsort(TRAIN[1], kind="stable")
    sample = np.concatenate([TEST[0], generator.sample(80, random_state=0)])
    sample = sample[np.argsort(sample[:, 0])]
    small = TEST[0][:40], TEST[1][:40]
    sorted_ = report(sample, (TRAIN[0][by_class], TRAIN[1][by_class]), small)
    for score in sorted_.scores:
        if score.name == "coverage":
            assert min(score.value, score.of_train) > 0.6


@pytest.mark.filterwarnings("error:X does not have valid feature names")
@pytest.mark.parametrize(
    "container", [pd.DataFrame, pytest.param(pl.DataFrame, marks=pytest.mark.slow)]
)
def test_estimators_fitted_to_frames_are_used_without_a_warning(container, generator):
    names = [f"t{i}" for i in range(24)]
    frame = container(dict(zip(names, TRAIN[0].T, strict=True)))
    parts = {
        "tokenizer": VQTokenizer(8, width=8, max_epochs=1, random_state=0),
        "extractor": RandomConvolutionExtractor(20),
        "referee": fcn(max_epochs=1),
    }
    of_arrays = {name: clone(part).fit(*TRAIN) for name, part in parts.items()}
    of_frames = {name: clone(part).fit(frame, TRAIN[1]) for name, part in parts.items()}
    assert all(hasattr(part, "feature_names_in_") for part in of_frames.values())
    assert report(generator, **of_frames).scores == report(generator, **of_arrays).scores
    tokenizer = of_frames["tokenizer"]
    shown = metrics.LatentDisplay.from_estimator(tokenizer, frame, TRAIN[1])
    expected = metrics.LatentDisplay.from_estimator(of_arrays["tokenizer"], *TRAIN)
    assert np.array_equal(shown.points, expected.points)
    metrics.EmbeddingDisplay.from_samples(TEST[0], TRAIN[0], extractor=tokenizer)
    scorer = metrics.make_generation_scorer("neg_fid", referee=of_frames["extractor"])
    other = metrics.make_generation_scorer("neg_fid", referee=of_arrays["extractor"])
    assert scorer(generator, TEST[0]) == other(generator, TEST[0])


def test_data_frame_is_a_sample_and_four_series_suffice(generator):
    frame = pd.DataFrame(generator.sample(80, random_state=0))
    assert report(frame).scores == report(frame.to_numpy()).scores
    few = report(generator.sample(4), test=(TEST[0][:4], TEST[1][:4]))
    assert few["two-sample accuracy"].n_gen == 4


def test_columns_in_another_order_are_refused(generator):
    train, test, drawn = (
        pd.DataFrame(series).add_prefix("t") for series in (TRAIN[0], TEST[0], TEST[0] + 0.1)
    )
    reversed_names = drawn.columns[::-1]
    named = ResamplingGenerator().fit(*TRAIN)
    named.feature_names_in_ = reversed_names.to_numpy()
    for generated in (drawn[reversed_names], (drawn[reversed_names], TEST[1]), named):
        with pytest.raises(ValueError, match="have the same columns in another order"):
            generation_report(generated, train, TRAIN[1], test, TEST[1])


def test_features_of_the_extractor_may_be_sparse(generator):
    binned = KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf").fit(TRAIN[0])
    few = {"n_samples": 20, "max_samples": 20}
    sparse, dense = (
        report(generator, extractor=extractor, **few).scores
        for extractor in (binned, Dense(binned))
    )
    assert str(sparse) == str(dense)


def test_bad_input_is_refused_with_a_clear_error(generator):
    nan = TEST[0].copy()
    nan[0, 0] = np.nan
    cases = {
        "Input X_test contains NaN": lambda: report(generator, test=(nan, TEST[1])),
        "one shape, got": lambda: report(generator, test=(TEST[0][:, :9], TEST[1])),
        "Generated and real series": lambda: report(TEST[0][:, :9]),
        "Only one of y_train and y_test": lambda: report(generator, test=(TEST[0], None)),
        "at least four": lambda: report(generator, test=(TEST[0][:3], TEST[1][:3])),
        "minimum of 4": lambda: report(TEST[0][:3]),
        "inconsistent": lambda: report(generator, test=(TEST[0], TEST[1][:9])),
        "use one kind": lambda: report(generator, test=(TEST[0], np.arange(80) % 2)),
        "n_samples must be": lambda: report(generator, n_samples=2),
        "n_repeats must be": lambda: report(generator, n_repeats=1),
        "max_samples must be": lambda: report(generator, max_samples=0),
    }
    for message, call in cases.items():
        assert_refused(call, (ValueError,), message)
