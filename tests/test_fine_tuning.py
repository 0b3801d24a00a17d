"""FineTunedClassifier, besides what the suites of all classifiers test."""

import functools
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from skvqts import SSLFeatureExtractor, VQTokenizer
from skvqts._fitting.training import order_by_class

from . import estimators
from .conftest import two_shapes

X, INDICES = two_shapes(120, noise=0.3)
Y = np.array(["saw", "sine"])[1 - INDICES]


extractor = functools.partial(estimators.extractor, width=8, latent_dim=16, max_epochs=10)


def make(pretrained, **parameters):
    return estimators.fine_tuned(pretrained=pretrained, **{"max_epochs": 10} | parameters)


@pytest.fixture(scope="module")
def frozen():
    return FrozenEstimator(extractor().fit(X))


def weights(module):
    return {name: value.clone() for name, value in module.named_parameters()}


def test_it_learns_to_classify_with_string_labels(frozen):
    classifier = make(frozen, max_epochs=60).fit(X[:80], Y[:80])
    assert classifier.score(X[80:], Y[80:]) > 0.9
    assert classifier.classes_.tolist() == ["saw", "sine"]
    assert set(classifier.predict(X)) <= {"saw", "sine"}
    assert list(classifier.loss_curve_) == ["loss", "cross_entropy"]


def test_probabilities_logits_and_predictions_agree(frozen):
    three = np.where(X[:, 0] > 0.5, 7, INDICES)
    for y in (INDICES, three):
        classifier = make(frozen).fit(X, y)
        probabilities, decisions = classifier.predict_proba(X), classifier.decision_function(X)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
        best = classifier.classes_[probabilities.argmax(1)]
        assert np.array_equal(classifier.predict(X), best)
        if len(classifier.classes_) == 2:
            odds = np.log(probabilities[:, 1] / probabilities[:, 0])
            np.testing.assert_allclose(decisions, odds, rtol=1e-6, atol=1e-9)
        else:
            shifted = decisions - decisions[:, :1]
            odds = np.log(probabilities / probabilities[:, :1])
            np.testing.assert_allclose(shifted, odds, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["extractor", "tokenizer"])
def test_the_encoder_changes_only_if_it_is_trained(kind):
    if kind == "extractor":
        fitted = extractor(max_epochs=2).fit(X)
    else:
        fitted = VQTokenizer(width=8, latent_dim=8, max_epochs=2, random_state=0).fit(X)
    before = weights(fitted.encoder_)
    for train_encoder in (False, True):
        classifier = make(FrozenEstimator(fitted), train_encoder=train_encoder).fit(X, Y)
        after = weights(classifier.module_.encoder)
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert bool(moved) == train_encoder
    unchanged = weights(fitted.encoder_)
    assert all(torch.equal(before[name], unchanged[name]) for name in before)


def test_a_frozen_encoder_with_a_head_is_a_linear_probe(frozen):
    """The head is linear in the mean and the maximum of the transformer's latents."""
    classifier = make(frozen, train_encoder=False).fit(X, Y)
    latents = pickle.loads(pickle.dumps(frozen.estimator)).set_params(output="latents").transform(X)
    z = torch.from_numpy(latents).view(len(X), -1, 16)
    with torch.no_grad():
        logits = classifier.module_.head(torch.cat([z.mean(1), z.amax(1)], dim=1)).double()
    decision = (logits[:, 1] - logits[:, 0]).numpy()
    np.testing.assert_allclose(classifier.decision_function(X), decision, rtol=1e-3, atol=1e-4)


def test_random_start_shares_nothing_with_the_pretrained_weights(frozen):
    pretrained = weights(frozen.estimator.module_)
    tiny = {"learning_rate": 1e-20, "max_epochs": 1}
    kept, new = (make(frozen, start=s, **tiny).fit(X, Y) for s in ("pretrained", "random"))
    for name, value in weights(kept.module_.encoder).items():
        np.testing.assert_allclose(value.detach(), pretrained[name].detach(), atol=1e-6)
    drawn = [n for n in pretrained if n.endswith("weight") and pretrained[n].ndim > 1]
    fresh = weights(new.module_.encoder)
    assert not [name for name in drawn if torch.equal(fresh[name], pretrained[name])]
    assert fresh.keys() == pretrained.keys()


@pytest.mark.parametrize("start", ["pretrained", "random"])
def test_architecture_and_scaling_are_those_of_the_transformer(start):
    auto = extractor(latent_dim="auto", downsampled_width="auto", scaling="series", max_epochs=1)
    fitted = pickle.loads(pickle.dumps(auto)).fit(X)
    for pretrained in (auto, FrozenEstimator(fitted)):
        classifier = make(pretrained, start=start, max_epochs=1).fit(X, Y)
        assert classifier.architecture_ == fitted.architecture_
        assert classifier.architecture_["latent_dim"] == 128
        assert classifier.module_.encoder.latent_dim == 128
        for name in ("mean_", "scale_"):
            assert np.array_equal(getattr(classifier.scaler_, name), getattr(fitted.scaler_, name))
        probabilities = classifier.predict_proba(X)
        np.testing.assert_allclose(classifier.predict_proba(4 * X + 8), probabilities, rtol=1e-4)


def test_encoder_rate_slows_the_encoder_down(frozen):
    before = weights(frozen.estimator.module_)

    def distance(rate):
        after = weights(make(frozen, encoder_rate=rate).fit(X, Y).module_.encoder)
        return sum(float((after[name] - before[name]).detach().square().sum()) for name in before)

    assert distance(0.01) < 0.1 * distance(1.0)


def test_an_unfitted_transformer_is_pretrained_on_the_training_series():
    pretrained = extractor(random_state=None, max_epochs=2)
    first, second = (make(pretrained).fit(X, Y).predict_proba(X) for _ in range(2))
    assert np.array_equal(first, second)
    assert not hasattr(pretrained, "module_")
    assert make(None, start="random", max_epochs=1).fit(X[:, :8], Y).score(X[:, :8], Y) > 0.2


def test_grid_search_over_the_nested_transformer():
    grid = {"pretrained__objective": ["simclr", "masked"], "train_encoder": [True, False]}
    search = GridSearchCV(make(extractor(max_epochs=2), max_epochs=2), grid, cv=2).fit(X, Y)
    assert search.best_estimator_.predict(X).shape == (120,)


def test_early_stopping_ends_before_max_epochs(frozen):
    classifier = make(frozen, early_stopping=True, max_epochs=500, n_iter_no_change=3).fit(X, Y)
    assert classifier.n_iter_ < 500
    assert len(classifier.loss_curve_["validation"]) == classifier.n_iter_


@pytest.mark.parametrize("train_encoder", [True, False])
def test_held_out_series_are_stratified_by_class(train_encoder, held_out, frozen):
    y = np.repeat([0, 1, 2], [1, 30, 60])
    stopped = {"early_stopping": True, "validation_fraction": 0.2, "max_epochs": 1}
    for seed in range(10):
        make(frozen, train_encoder=train_encoder, random_state=seed, **stopped).fit(X[:91], y)
        _, classes = held_out[-1]
        assert np.bincount(classes, minlength=3).tolist() == [0, 6, 12]


def test_the_first_rows_of_an_order_by_class_are_stratified():
    classes = torch.tensor([0] + [1] * 30 + [2] * 60)
    for seed in range(20):
        first = order_by_class(classes, torch.Generator().manual_seed(seed))[:9]
        assert np.bincount(classes[first], minlength=3).tolist() == [0, 3, 6]


def test_fit_and_predict_work_inside_inference_mode(frozen):
    with torch.inference_mode():
        for start in ("pretrained", "random"):
            for pretrained in (frozen, extractor(max_epochs=1)):
                make(pretrained, start=start, max_epochs=1).fit(X, Y).predict(X)


def test_the_default_transformer_inherits_device_and_threads(monkeypatch, allow_threads):
    allow_threads(2)
    transformers = []
    fit = SSLFeatureExtractor.fit
    monkeypatch.setattr(
        SSLFeatureExtractor,
        "fit",
        lambda self, X: transformers.append(self) or fit(self.set_params(width=4, max_epochs=1), X),
    )
    make(None, device="cpu", n_threads=2, verbose=3, max_epochs=1).fit(X[:, :8], Y)
    default = transformers[0]
    assert (default.device, default.n_threads, default.verbose) == ("cpu", 2, 3)
    assert default.n_threads_ == 2


def test_only_the_encoder_of_a_tokenizer_is_kept():
    tokenizer = VQTokenizer(width=8, latent_dim=8, max_epochs=1, random_state=0).fit(X)
    classifier = make(FrozenEstimator(tokenizer), max_epochs=1).fit(X, Y)
    n_encoder = sum(p.numel() for p in tokenizer.module_.bands[0].encoder.parameters())
    assert sum(p.numel() for p in classifier.module_.encoder.parameters()) == n_encoder
    assert classifier.predict(X).shape == (120,)


def test_column_names_of_the_pretrained_transformer_are_checked():
    frame = pd.DataFrame(X[:, :8]).rename(columns=str)
    fitted = extractor(max_epochs=1).fit(frame)
    make(FrozenEstimator(fitted), max_epochs=1).fit(frame, Y)
    with pytest.raises(ValueError, match="feature names should match"):
        make(FrozenEstimator(fitted)).fit(frame[frame.columns[::-1]], Y)


def test_pickles_and_parts_of_the_input_predict_the_same(frozen):
    classifier = make(frozen).fit(X, Y)
    again = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert np.array_equal(classifier.predict_proba(X[:5]), classifier.predict_proba(X)[:5])


@pytest.mark.parametrize(
    ("pretrained", "error", "message"),
    [
        (SVC(), ValueError, "'pretrained' parameter of FineTunedClassifier"),
        (
            FrozenEstimator(SVC()),
            TypeError,
            "must hold a fitted SSLFeatureExtractor or a fitted VQ",
        ),
        (FrozenEstimator(extractor()), NotFittedError, "SSLFeatureExtractor instance is not fit"),
        (extractor(width=-1), ValueError, "'width' parameter of SSLFeatureExtractor"),
    ],
    ids=str,
)
@pytest.mark.parametrize("start", ["pretrained", "random"])
def test_unsuitable_pretrained_transformers_are_refused(pretrained, error, message, start):
    with pytest.raises(error, match=message):
        make(pretrained, start=start).fit(X, Y)


def test_invalid_shapes_and_labels_are_refused(frozen):
    with pytest.raises(ValueError, match="X has 20 time points, but the SSLFeature"):
        make(frozen).fit(X[:, :20], Y)
    with pytest.raises(ValueError, match="requires y to be passed"):
        make(frozen).fit(X, None)
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[120, 60\]"):
        make(frozen).fit(X, Y[:60])
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        make(frozen).fit(X, X[:, 0])
    with pytest.raises(ValueError, match="Input y contains NaN or None"):
        make(frozen).fit(X, np.where(INDICES, Y.astype(object), None))
    with pytest.raises(ValueError, match="Input y contains NaN"):
        make(frozen).fit(X, np.where(INDICES, 1.0, np.nan))
