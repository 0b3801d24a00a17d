"""VQTokenizer in pipelines, searches and unions of scikit-learn, on data sets of aeon."""

import joblib
import numpy as np
import pandas as pd
import pytest
from aeon.datasets import load_classification
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.svm import SVC

from skvqts import Quantizer, VQTokenizer

SETS = ["GunPoint", "ItalyPowerDemand", "ArrowHead", "BasicMotions"]


def pipeline(**parameters):
    small = {"max_epochs": 3, "width": 16, "latent_dim": 16, "n_blocks": 2, "random_state": 0}
    return Pipeline([("tok", VQTokenizer(**small | parameters)), ("clf", SVC())])


@pytest.fixture(scope="module")
def gunpoint():
    return load_classification("GunPoint", split="train")[:2]


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in SETS[:3]), SETS[3]],
)
def test_cross_validation_and_grid_search_do_not_depend_on_n_jobs(name):
    X, y = load_classification(name, split="train")[:2]
    grid = {"tok__codebook_size": [16, 32, 64]}
    scores, searches = [], []
    for n_jobs in (1, 2):
        scores.append(cross_val_score(pipeline(), X, y, cv=2, n_jobs=n_jobs))
        search = GridSearchCV(pipeline(max_epochs=1), grid, cv=2, n_jobs=n_jobs).fit(X, y)
        searches.append(search.cv_results_["mean_test_score"])
    assert np.array_equal(*scores)
    assert np.array_equal(*searches)
    assert len(searches[0]) == 3


def test_default_features_classify_clearly_better_than_chance(gunpoint):
    model = Pipeline(
        [("tok", VQTokenizer(max_epochs=60, random_state=0)), ("clf", SVC(kernel="linear"))]
    )
    assert cross_val_score(model, *gunpoint, cv=3).mean() > 0.85


def test_grid_search_without_a_classifier_maximises_the_reconstruction_score(gunpoint):
    X, _ = gunpoint
    tokenizer = pipeline(max_epochs=30)["tok"]
    search = GridSearchCV(tokenizer, {"codebook_size": [1, 32]}, cv=2).fit(X)
    assert search.best_params_ == {"codebook_size": 32}
    assert search.best_score_ < 0


@pytest.mark.parametrize(
    ("quantizer", "grid"),
    [
        (Quantizer(), {"tok__quantizer__update": ["ema", "gradient"]}),
        (None, {"tok__quantizer": [None, Quantizer("gradient")]}),
    ],
    ids=["its parameters", "whole objects"],
)
def test_grid_search_over_the_quantizer(gunpoint, quantizer, grid):
    """Scored by the reconstruction, as few series are classified differently."""
    X, _ = gunpoint
    search = GridSearchCV(pipeline(quantizer=quantizer)[:1], grid, cv=2).fit(X)
    updates = ["ema", "gradient"]
    models = [pipeline(quantizer=Quantizer(update))["tok"] for update in updates]
    expected = [cross_val_score(model, X, cv=2).mean() for model in models]
    assert expected[0] != expected[1]
    assert search.cv_results_["mean_test_score"].tolist() == expected
    assert search.best_estimator_["tok"].quantizer_.update == updates[search.best_index_]


def test_pipeline_memory_caches_equal_fits(gunpoint, tmp_path):
    X, y = gunpoint
    first = pipeline().set_params(memory=str(tmp_path)).fit(X, y)
    again = clone(first).fit(X, y)
    assert np.array_equal(first.predict(X), again.predict(X))
    assert len(list(tmp_path.rglob("output.pkl"))) == 1
    assert joblib.hash(pipeline()["tok"].fit(X)) == joblib.hash(pipeline()["tok"].fit(X))


@pytest.mark.filterwarnings("error")
def test_memory_mapped_pickles_transform_the_same(tmp_path, series):
    tokenizer = pipeline()["tok"].fit(series)
    joblib.dump(tokenizer, tmp_path / "tokenizer")
    mapped = joblib.load(tmp_path / "tokenizer", mmap_mode="r")
    assert np.array_equal(mapped.transform(series), tokenizer.transform(series))


def test_a_frozen_tokenizer_is_not_refitted(gunpoint):
    X, y = gunpoint
    tokenizer = pipeline()["tok"].fit(X)
    model = Pipeline([("tok", FrozenEstimator(tokenizer)), ("clf", SVC())]).fit(X[:20], y[:20])
    assert model["tok"].estimator is tokenizer
    assert np.array_equal(model["tok"].transform(X), tokenizer.transform(X))


def test_halving_search_takes_epochs_as_its_resource(gunpoint):
    search = HalvingGridSearchCV(
        pipeline(),
        {"tok__codebook_size": [4, 8, 16]},
        resource="tok__max_epochs",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(*gunpoint)
    assert search.n_resources_[-1] > search.n_resources_[0]
    assert search.best_estimator_["tok"].n_iter_ == search.n_resources_[-1]


def test_set_output_pandas_and_column_transformer(gunpoint):
    X = pd.DataFrame(gunpoint[0][:, 0]).add_prefix("t")
    tokenizer = pipeline(output="tokens")["tok"].set_output(transform="pandas")
    frame = tokenizer.fit_transform(X)
    assert list(frame.columns[:2]) == ["vqtokenizer0", "vqtokenizer1"]
    assert (frame.dtypes == np.int64).all()
    assert list(tokenizer.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        tokenizer.transform(X[X.columns[::-1]])
    halves = ColumnTransformer(
        [(s, pipeline()["tok"], list(X.columns[i::2])) for i, s in ((0, "a"), (1, "b"))]
    )
    assert halves.fit_transform(X).shape[0] == len(X)


def test_feature_union_of_two_outputs(gunpoint):
    X, _ = gunpoint
    parts = [(output, pipeline(output=output)["tok"]) for output in ("features", "bag_of_codes")]
    union = FeatureUnion(parts).fit(X)
    assert union.transform(X).shape[1] == len(union.get_feature_names_out())


def test_inverse_transform_through_a_pipeline(gunpoint):
    X, _ = gunpoint
    model = Pipeline([("tok", pipeline(output="tokens")["tok"])]).fit(X)
    assert model.inverse_transform(model.transform(X)).shape == X.shape
    assert not hasattr(model.set_params(tok__output="features"), "inverse_transform")


def test_a_progress_bar_inside_a_search_does_not_change_its_results(gunpoint, capsys):
    callback = pytest.importorskip("sklearn.callback")
    grid = {"tok__codebook_size": [4, 8]}
    plain = GridSearchCV(pipeline(), grid, cv=2).fit(*gunpoint)
    bar = callback.ProgressBar(max_propagation_depth=None)
    shown = GridSearchCV(pipeline(), grid, cv=2).set_callbacks(bar).fit(*gunpoint)
    assert "VQTokenizer" in capsys.readouterr().out
    expected = plain.cv_results_["mean_test_score"]
    assert np.array_equal(shown.cv_results_["mean_test_score"], expected)


def test_callbacks_are_called_after_each_epoch_and_can_stop_training(gunpoint):
    pytest.importorskip("sklearn.callback")

    class StopAfterTwo:
        epochs = 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **_):
            pass

        def on_fit_task_end(self, estimator, context, **_):
            self.epochs += context.task_name == "epoch"
            return self.epochs == 2

    tokenizer = pipeline(max_epochs=9)["tok"].set_callbacks(callback := StopAfterTwo())
    tokenizer.fit(gunpoint[0])
    assert callback.epochs == tokenizer.n_iter_ == 2
