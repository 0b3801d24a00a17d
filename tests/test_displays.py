"""Displays of generated beside real series, and of latents by class."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn import config_context
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer

from skvqts import RandomConvolutionExtractor
from skvqts.metrics import EmbeddingDisplay, LabelFractionsDisplay, LatentDisplay, SeriesDisplay

from .conftest import two_shapes
from .doubles import ResamplingGenerator
from .estimators import fitted, fitted_classifier, tokenizer
from .refusals import assert_refused

mpl.use("Agg")

X, INDICES = two_shapes(160, 24, noise=0.15)
Y = np.array(["saw", "sine"])[1 - INDICES]
TRAIN, TEST = (X[:80], Y[:80]), (X[80:], Y[80:])


@pytest.fixture(scope="module")
def generator():
    return ResamplingGenerator(noise=0.1).fit(*TRAIN)


@pytest.fixture(autouse=True)
def figures_are_closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_embedding_shows_real_and_generated_series(generator, method):
    shown = EmbeddingDisplay.from_estimator(generator, TEST[0], method=method, max_samples=40)
    assert shown.points.shape == (80, 2)
    assert shown.groups.tolist() == ["real"] * 40 + ["generated"] * 40
    labels = [text.get_text() for text in shown.ax_.get_legend().get_texts()]
    assert labels == ["real", "generated"]
    assert shown.figure_ is shown.ax_.figure


def test_principal_components_are_those_of_the_real_series():
    far = TEST[0] + 100 * np.linspace(-1, 1, 24)
    shown = EmbeddingDisplay.from_samples(TEST[0], far)
    alone = EmbeddingDisplay.from_samples(TEST[0], TEST[0])
    real = [np.sort(d.points[:80], axis=0) for d in (shown, alone)]
    np.testing.assert_allclose(np.abs(real[0]).sum(0), np.abs(real[1]).sum(0), rtol=1e-6)


def test_embedding_draws_features_on_given_axes(generator):
    ax = Figure().subplots()
    extractor = RandomConvolutionExtractor(5).fit(TRAIN[0])
    shown = EmbeddingDisplay.from_samples(
        TEST[0], generator.sample(9), extractor=extractor, ax=ax, s=20, name="features"
    )
    assert shown.ax_ is ax
    assert shown.ax_.get_title() == "features"
    assert len(shown.points) == 89


def test_embedding_with_extractors_of_tables_and_of_series_of_one_time_point(generator):
    drawn = generator.sample(9)
    shown = EmbeddingDisplay.from_samples(TEST[0], drawn, extractor=PCA(5).fit(TRAIN[0]))
    assert len(shown.points) == 89
    shown = EmbeddingDisplay.from_samples(TEST[0][:, :1], drawn[:, :1])
    np.testing.assert_allclose(np.ptp(shown.points[:80, 0]), np.ptp(TEST[0][:, 0]))
    assert not shown.points[:, 1].any()


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_displays_work_where_transformers_give_frames(method, container, generator):
    made = generator.sample(9, random_state=0)
    expected = EmbeddingDisplay.from_samples(TEST[0][:9], made, method=method).points
    with config_context(transform_output=container):
        shown = EmbeddingDisplay.from_samples(TEST[0][:9], made, method=method)
        LatentDisplay.from_estimator(fitted("VQTokenizer"), *two_shapes(24), method=method)
    assert np.array_equal(shown.points, expected)


def test_displays_refuse_labels_of_another_length(generator):
    tokenizer, series = fitted("VQTokenizer"), two_shapes(24)[0]
    message = "inconsistent numbers of samples"
    for n in (23, 25):
        right, wrong = np.zeros(24, int), np.zeros(n, int)
        for call in (
            lambda y=wrong: LatentDisplay.from_estimator(tokenizer, series, y),
            lambda a=right, b=wrong: SeriesDisplay.from_samples(series, series, a, b),
            lambda a=wrong, b=right: SeriesDisplay.from_samples(series, series, a, b),
        ):
            assert_refused(call, (ValueError,), message)


def test_latents_of_a_tokenizer_are_drawn_by_class():
    tokenizer = fitted("VQTokenizer")
    shown = LatentDisplay.from_estimator(tokenizer, *two_shapes(24), method="tsne")
    assert shown.points.shape == (24, 2)
    assert len(shown.ax_.collections) == 2


def test_features_of_a_classifier_are_drawn_by_class_or_in_one_colour():
    shown = LatentDisplay.from_estimator(fitted_classifier("FCNClassifier"), *two_shapes(24))
    assert sorted(set(shown.groups.tolist())) == [0, 1]
    assert len(shown.ax_.collections) == 2
    bare = LatentDisplay.from_estimator(fitted_classifier("FCNClassifier"), two_shapes(24)[0])
    assert len(bare.ax_.collections) == 1


def test_each_of_twelve_classes_has_a_colour_of_its_own_and_stands_in_the_legend():
    tokenizer, classes = fitted("VQTokenizer"), np.arange(24) % 12
    shown = LatentDisplay.from_estimator(tokenizer, two_shapes(24)[0], classes)
    colors = {tuple(points.get_facecolor()[0]) for points in shown.ax_.collections}
    assert len(colors) == 12
    labels = [text.get_text() for text in shown.ax_.get_legend().get_texts()]
    assert labels == [str(label) for label in range(12)]
    red = LatentDisplay.from_estimator(tokenizer, two_shapes(24)[0], classes, c="red")
    colors = {tuple(points.get_facecolor()[0, :3]) for points in red.ax_.collections}
    assert colors == {(1, 0, 0)}


def test_series_display_draws_the_channel_and_refuses_one_that_does_not_exist():
    panels = np.stack([TEST[0], -TEST[0]], axis=1)
    for channel in (1, -1):
        shown = SeriesDisplay.from_samples(panels, panels, channel=channel)
        assert np.array_equal(shown.axes_[0, 0].lines[0].get_ydata(), -TEST[0][0])
    for n_channels, channel in ((1, 1), (2, 2), (2, -3), (2, 0.5), (2, None)):
        series = panels[:, :n_channels]
        message = rf"channel must be an int in the range \[-{n_channels}, {n_channels - 1}\]"
        assert_refused(
            lambda X=series, c=channel: SeriesDisplay.from_samples(X, X, channel=c),
            (ValueError,),
            message,
        )


def test_series_are_drawn_in_a_row_per_class(generator):
    shown = SeriesDisplay.from_estimator(generator, *TEST, n_series=7)
    assert shown.axes_.shape == (2, 2)
    assert [len(ax.lines) for ax in shown.axes_.ravel()] == [7] * 4
    np.testing.assert_allclose(shown.axes_[0, 0].lines[0].get_ydata(), TEST[0][TEST[1] == "saw"][0])
    plain = SeriesDisplay.from_samples(TEST[0], generator.sample(5), n_series=9)
    assert [len(ax.lines) for ax in plain.axes_[0]] == [9, 5]


def test_unknown_method_is_refused(generator):
    assert_refused(
        lambda: EmbeddingDisplay.from_estimator(generator, TEST[0], method="umap"),
        (ValueError,),
        "method must be one of",
    )


def test_names_and_classes_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    X, y = two_shapes(24)
    classes = np.where(y, "$0_$10", "$10_$20")
    display = LatentDisplay.from_estimator(fitted("VQTokenizer"), X, classes)
    display.name = "$x^$y"
    display.plot().figure_.savefig(tmp_path / "dollars.png")
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert sorted(texts) == sorted(set(classes))
    assert display.ax_.get_title() == "$x^$y"


class Counting(ClassifierMixin, BaseEstimator):
    """Is right about as many of 40 series as it was fitted to."""

    def fit(self, X, y):
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        labels, counts = np.unique(self.y_, return_counts=True)
        assert len(labels) == 2
        assert counts.min() >= 1
        y = two_shapes(40)[1]
        return np.where(np.arange(40) < self.n_right(), y, 1 - y)

    def n_right(self):
        return len(self.X_)

    def score(self, X, y):
        raise AssertionError("accuracy is not whatever a classifier scores")


class Summing(Counting):
    """Is right about as many series as the sum of what it was fitted to tells."""

    def n_right(self):
        return int(1000 * abs(self.X_.sum())) % 40


def test_label_fractions_are_of_each_class_and_drawn_for_all_alike():
    X, y = two_shapes(40)
    shown = LabelFractionsDisplay.from_estimators(
        {"counts $": Counting(), "nearest": KNeighborsClassifier(1), "sum": Summing()},
        X, y, X, y, fractions=(0.01, 0.5, 1.0), n_draws=3, name="title $",
    )  # fmt: skip
    assert shown.n_labels.tolist() == [2, 20, 40]
    assert shown.accuracies["counts $"].tolist() == [[0.05] * 3, [0.5] * 3, [1.0] * 3]
    nearest = shown.accuracies["nearest"]
    assert nearest[2].tolist() == [1.0] * 3  # each test series is its own neighbour
    assert nearest[1].min() >= 0.5
    assert len(set(shown.accuracies["sum"][1])) == 3  # other series are drawn each time
    assert all((seconds > 0).all() for seconds in shown.seconds.values())
    heights = shown.axes_[0].lines[0].get_ydata()
    np.testing.assert_allclose(heights, [0.05, 0.5, 1.0])
    again = LabelFractionsDisplay.from_estimators(
        {"nearest": KNeighborsClassifier(1)}, X, y, X, y, fractions=(0.01, 0.5, 1.0), n_draws=3
    )
    assert np.array_equal(again.accuracies["nearest"], nearest)


def test_masked_values_are_drawn_as_missing_ones():
    mask = np.zeros(X[:12].shape, dtype=bool)
    mask[:, 10:16] = True
    y = np.arange(12) % 2
    masked = np.ma.array(np.where(mask, 1e3, X[:12]), mask=mask)
    missing = np.where(mask, np.nan, X[:12])
    model = tokenizer(missing="mask").fit(X[:12])
    expected = LatentDisplay.from_estimator(model, missing, y).points
    np.testing.assert_array_equal(LatentDisplay.from_estimator(model, masked, y).points, expected)
    probe = make_pipeline(FrozenEstimator(model), KNeighborsClassifier(1))
    of_both = [
        LabelFractionsDisplay.from_estimators(
            {"nearest": probe}, series, y, X[:12], y, fractions=(0.5,), n_draws=2
        ).accuracies["nearest"]
        for series in (masked, missing)
    ]
    np.testing.assert_array_equal(*of_both)


@pytest.mark.parametrize("display", [EmbeddingDisplay, SeriesDisplay])
def test_columns_in_another_order_than_in_fit_are_not_drawn(display, generator):
    frame = pd.DataFrame(TEST[0]).add_prefix("t")
    named = ResamplingGenerator().fit(*TRAIN)
    named.feature_names_in_ = frame.columns.to_numpy()
    display.from_estimator(named, frame)
    with pytest.raises(ValueError, match="columns in another order"):
        display.from_estimator(named, frame[frame.columns[::-1]])


def test_latents_and_fractions_of_series_of_unequal_length():
    series = [row[: 24 - index % 5] for index, row in enumerate(X[:12])]
    y = np.arange(12) % 2
    model = tokenizer(missing="mask").fit(series)
    assert LatentDisplay.from_estimator(model, series, y).points.shape == (12, 2)
    probe = make_pipeline(FrozenEstimator(model), KNeighborsClassifier(1))
    shown = LabelFractionsDisplay.from_estimators(
        {"nearest": probe}, series, y, series, y, fractions=(0.5, 1.0), n_draws=1
    )
    assert shown.accuracies["nearest"][1, 0] == 1.0


@pytest.mark.filterwarnings("error")
def test_fractions_of_tables_keep_their_names():
    frame, y = pd.DataFrame(X[:40], columns=[f"t{i}" for i in range(24)]), Y[:40]
    few = ColumnTransformer([("few", "passthrough", ["t0", "t9"])])
    models = {"few": make_pipeline(few, KNeighborsClassifier(1)), "all": KNeighborsClassifier(1)}
    shown = LabelFractionsDisplay.from_estimators(
        models, frame, y, frame, y, fractions=[1.0], n_draws=1
    )
    assert {name: values.item() for name, values in shown.accuracies.items()} == dict.fromkeys(
        models, 1.0
    )


def test_properties_of_lines_and_points_have_any_of_their_names():
    own = SeriesDisplay.from_samples(X[:4], X[4:8], lw=2, c="r").axes_[0, 0].lines[0]
    assert (own.get_linewidth(), own.get_color()) == (2, "r")
    drawn = EmbeddingDisplay.from_samples(X[:9], X[9:], linewidth=1, label="x").ax_.collections[0]
    assert (drawn.get_linewidth().item(), drawn.get_label()) == (1, "x")
    models = {"nearest": KNeighborsClassifier(1)}
    shown = LabelFractionsDisplay.from_estimators(
        models, X, Y, X, Y, fractions=[1.0], n_draws=1, ms=2, c="g"
    )
    line = shown.axes_[0].lines[0]
    assert (line.get_markersize(), line.get_color()) == (2, "g")


def test_sparse_features_are_drawn():
    binned = KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf").fit(X)
    assert LatentDisplay.from_estimator(binned, X, Y).points.shape == (160, 2)
    assert EmbeddingDisplay.from_samples(X, X, extractor=binned).points.shape == (320, 2)


def test_one_series_is_no_plane_of_latents():
    draw = lambda: LatentDisplay.from_estimator(fitted("VQTokenizer"), np.zeros((1, 32)))  # noqa: E731
    assert_refused(draw, (ValueError,), "draws two series at least, got 1")


def test_classes_on_either_side_have_a_row():
    shown = SeriesDisplay.from_samples(X[:4], X[4:8], [0, 1, 0, 1], [2, 2, 1, 2])
    assert [title for title, _, _ in shown.panels] == ["class 0", "class 1", "class 2"]
    refused = lambda: SeriesDisplay.from_samples(X[:4], X[4:8], list("0101"), [0, 1, 0, 1])  # noqa: E731
    assert_refused(refused, (ValueError,), "y_real holds strings and y_gen no strings")


@pytest.mark.parametrize("size", [-1, 0, 1, 5.0, True])
def test_sizes_of_displays_are_whole_numbers_above_one(size):
    for draw in (
        lambda: EmbeddingDisplay.from_samples(X, X, max_samples=size),
        lambda: LatentDisplay.from_estimator(
            fitted("RandomConvolutionExtractor"), X, max_samples=size
        ),
    ):
        assert_refused(draw, (ValueError,), "max_samples must be an int")
    if size != 1 or size is True:
        draw = lambda: SeriesDisplay.from_samples(X, X, n_series=size)  # noqa: E731
        assert_refused(draw, (ValueError,), "n_series must be an int")
        sampled = ResamplingGenerator().fit(*TRAIN)
        draw = lambda: SeriesDisplay.from_estimator(sampled, X, n_series=size)  # noqa: E731
        assert_refused(draw, (ValueError,), "n_series must be an int")


def test_fractions_need_named_classifiers():
    draw = lambda: LabelFractionsDisplay.from_estimators([KNeighborsClassifier(1)], X, Y, X, Y)  # noqa: E731
    assert_refused(draw, (TypeError,), "must be a dict of names and classifiers, got list")
    draw = lambda: LabelFractionsDisplay.from_estimators({"a": Ridge()}, X, INDICES, X, INDICES)  # noqa: E731
    assert_refused(draw, (TypeError,), "must be a classifier, and Ridge is none")


@pytest.mark.parametrize("fractions", [(), (0.0,), (1.2,)])
def test_fractions_outside_their_range_are_refused(fractions):
    X, y = two_shapes(40)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        LabelFractionsDisplay.from_estimators(
            {"nearest": KNeighborsClassifier(1)}, X, y, X, y, fractions=fractions
        )
