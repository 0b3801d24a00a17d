"""The fully convolutional network and its estimator."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skvqts import FCNClassifier
from skvqts._fitting.training import order_by_class
from skvqts._nn.classifiers import FCN
from skvqts._nn.layers import build

from .conftest import two_shapes
from .estimators import fcn

X, INDICES = two_shapes(80, noise=0.2)
Y = np.array(["saw", "sine"])[1 - INDICES]


@pytest.fixture(scope="module")
def classifier():
    return fcn(max_epochs=20).fit(X, Y)


def naive_block(x, weight, bias, norm):
    """Convolve with loops; even kernels reach one point further to the right than to the left."""
    kernel, length = weight.shape[2], x.shape[1]
    out = np.zeros((len(weight), length))
    for o in range(len(weight)):
        for t in range(length):
            total = bias[o]
            for k in range(kernel):
                at = t + k - (kernel - 1) // 2
                if 0 <= at < length:
                    total += weight[o, :, k] @ x[:, at]
            out[o, t] = total
    mean, var, scale, shift = norm
    out = (out - mean[:, None]) / np.sqrt(var[:, None] + 1e-5) * scale[:, None] + shift[:, None]
    return np.maximum(out, 0)


def test_forward_matches_a_naive_computation():
    generator = torch.Generator().manual_seed(0)
    network = build(lambda: FCN(2, 3, width=4), generator).eval()
    for block in network.blocks:
        block.norm.running_mean.normal_(generator=generator)
        block.norm.running_var.uniform_(0.5, 2, generator=generator)
        torch.nn.init.normal_(block.norm.weight, generator=generator)
        torch.nn.init.normal_(block.norm.bias, generator=generator)
    x = torch.randn(5, 2, 11, generator=generator)
    with torch.no_grad():
        logits, features = network(x).numpy(), network.represent(x).numpy()
    for row, logit, feature in zip(x.numpy(), logits, features, strict=True):
        for block in network.blocks:
            norm = [
                v.detach().double().numpy()
                for v in (
                    block.norm.running_mean,
                    block.norm.running_var,
                    block.norm.weight,
                    block.norm.bias,
                )
            ]
            weight = block.conv.weight.detach().double().numpy()
            row = naive_block(row, weight, block.conv.bias.detach().double().numpy(), norm)
        np.testing.assert_allclose(feature, row.mean(1), rtol=1e-4, atol=1e-5)
        head = (
            network.head.weight.detach().numpy() @ row.mean(1) + network.head.bias.detach().numpy()
        )
        np.testing.assert_allclose(logit, head, rtol=1e-4, atol=1e-4)


def test_the_number_of_parameters_is_the_published_one():
    with torch.device("meta"):
        network = FCN(1, 5, width=128)
    assert sum(p.numel() for p in network.parameters()) == 265_349


def test_it_learns_to_classify_with_labels_of_any_kind(classifier):
    X_new, indices = two_shapes(60, seed=1, noise=0.2)
    assert classifier.score(X_new, np.array(["saw", "sine"])[1 - indices]) > 0.9
    assert classifier.classes_.tolist() == ["saw", "sine"]
    for labels in (INDICES == 0, np.where(INDICES, -3, 7)):
        other = fcn(max_epochs=20).fit(X, labels)
        assert np.array_equal(other.predict_proba(X), classifier.predict_proba(X))
        assert set(other.predict(X)) <= set(labels)


def test_features_logits_probabilities_and_predictions_agree(classifier):
    features, head = classifier.transform(X), classifier.module_.head
    weight, bias = head.weight.detach().numpy(), head.bias.detach().numpy()
    logits = features @ weight.T + bias
    assert features.dtype == np.float32
    assert features.min() >= 0
    np.testing.assert_allclose(
        classifier.decision_function(X), logits[:, 1] - logits[:, 0], rtol=1e-4, atol=1e-4
    )
    probabilities = classifier.predict_proba(X)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), probabilities)
    assert np.isfinite(classifier.predict_log_proba(1e4 * X)).all()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    best = classifier.classes_[probabilities.argmax(1)]
    assert np.array_equal(classifier.predict(X), best)


def test_2d_and_3d_input_give_equal_results(classifier):
    assert np.array_equal(classifier.transform(X), classifier.transform(X[:, None]))
    panel = fcn(max_epochs=20).fit(X[:, None], Y)
    assert np.array_equal(panel.predict_proba(X[:, None]), classifier.predict_proba(X))


def test_features_do_not_depend_on_other_series(classifier):
    alone = np.concatenate([classifier.transform(X[i : i + 1]) for i in range(5)])
    assert np.array_equal(alone, classifier.transform(X)[:5])


def test_every_channel_is_used():
    panel = np.stack([np.random.default_rng(0).normal(size=X.shape), X], axis=1)
    assert fcn(max_epochs=30).fit(panel, Y).score(panel, Y) > 0.9


def test_equal_seeds_give_equal_fits_and_leave_the_global_generator_alone(classifier):
    state = torch.get_rng_state()
    again = clone(classifier).fit(X, Y)
    assert np.array_equal(again.predict_proba(X), classifier.predict_proba(X))
    assert torch.equal(torch.get_rng_state(), state)
    other = fcn(max_epochs=20, random_state=1).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), classifier.predict_proba(X))


def test_pickles_predict_the_same(classifier):
    copy = pickle.loads(pickle.dumps(classifier))
    assert np.array_equal(copy.transform(X), classifier.transform(X))
    assert np.array_equal(copy.predict(X), classifier.predict(X))


def test_early_stopping_is_switched_off_for_few_series():
    stopped = fcn(
        max_epochs=200, early_stopping=True, validation_fraction=0.2, n_iter_no_change=3
    ).fit(X, Y)
    assert "validation" in stopped.loss_curve_
    assert stopped.n_iter_ < 200
    with pytest.warns(UserWarning, match="20 series are too few"):
        tiny = fcn(early_stopping=True).fit(X[:20], Y[:20])
    assert "validation" not in tiny.loss_curve_
    assert tiny.n_iter_ == 3
    labels = np.arange(80) % 20  # sixteen held-out series are too few for twenty classes
    with pytest.warns(UserWarning, match="80 series are too few"):
        many = fcn(early_stopping=True, validation_fraction=0.2).fit(X, labels)
    assert "validation" not in many.loss_curve_


def test_classes_of_one_series_are_held_out_last():
    classes = torch.tensor([0] * 18 + [1, 2])
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        assert set(order_by_class(classes, generator)[-2:].tolist()) == {18, 19}


def test_one_class_and_a_class_of_one_series(held_out):
    assert fcn(max_epochs=1).fit(X[:9], np.zeros(9)).predict(X).tolist() == [0] * 80
    labels = np.where(np.arange(80) == 4, "rare", "common")
    rare = fcn(max_epochs=1, early_stopping=True, validation_fraction=0.3).fit(X, labels)
    assert rare.classes_.tolist() == ["common", "rare"]
    assert "validation" in rare.loss_curve_
    _, classes = held_out[-1]
    assert classes.tolist() == [0] * 24


@pytest.mark.parametrize("length", [1, 2, 3, 7])
def test_short_series_have_finite_features(length):
    out = fcn(max_epochs=1).fit(X[:, :length], Y).transform(X[:, :length])
    assert out.shape == (80, 8)
    assert np.isfinite(out).all()


def test_pipelines_and_grid_search():
    probe = make_pipeline(fcn(max_epochs=2), SVC())
    assert cross_val_score(probe, X, Y, cv=2).shape == (2,)
    search = GridSearchCV(fcn(max_epochs=30), {"width": [2, 8]}, cv=2).fit(X, Y)
    assert search.best_score_ > 0.9
    names = FCNClassifier(width=4, max_epochs=1).fit(X, Y).get_feature_names_out()
    assert names.tolist() == [
        "fcnclassifier0",
        "fcnclassifier1",
        "fcnclassifier2",
        "fcnclassifier3",
    ]


@pytest.mark.parametrize("kind", [int, np.int64, float, bool, np.bool_])
def test_numbers_as_objects_are_labels(kind):
    X, y = two_shapes(24)
    objects = np.array([kind(label) for label in y], dtype=object)
    classifier = fcn().fit(X, objects)
    assert classifier.classes_.tolist() == [0, 1]
    assert classifier.classes_.dtype == np.array([kind(0)]).dtype
    assert np.array_equal(classifier.predict(X), fcn().fit(X, y).predict(X))
    assert classifier.score(X, objects) == classifier.score(X, y.astype(kind))
