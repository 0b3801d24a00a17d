"""Weights of series and of classes in the losses of classifiers."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import config_context
from sklearn.ensemble import AdaBoostClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate

from skvqts import load
from skvqts._nn.classifiers import ClassificationStep

from .conftest import two_shapes
from .estimators import extractor, fcn, fine_tuned, fitted
from .refusals import assert_refused

X, Y = two_shapes(24)
NAMES = np.array(["rare", "usual"])[Y]
PRETRAINED = FrozenEstimator(fitted("SSLFeatureExtractor"))
MAKERS = {
    "FCNClassifier": fcn,
    "FineTunedClassifier": functools.partial(fine_tuned, pretrained=PRETRAINED),
    "FineTunedClassifier of a frozen encoder": functools.partial(
        fine_tuned, pretrained=PRETRAINED, train_encoder=False
    ),
}
each_classifier = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def test_weighted_loss_is_that_of_repeated_series():
    torch.manual_seed(0)
    network = torch.nn.Linear(5, 3)
    x, classes = torch.randn(4, 5), torch.tensor([0, 1, 2, 1])
    repeats = torch.tensor([2, 0, 1, 5])
    step = ClassificationStep(network)
    weighted = step(x, classes, repeats / repeats.double().mean())["cross_entropy"]
    repeated = F.cross_entropy(
        network(x.repeat_interleave(repeats, 0)), classes.repeat_interleave(repeats)
    )
    assert weighted.item() == pytest.approx(repeated.item(), rel=1e-6)
    equal = step(x, classes, torch.ones(4))["cross_entropy"].item()
    assert equal == pytest.approx(step(x, classes)["cross_entropy"].item(), rel=1e-6)


@each_classifier
def test_weights_of_classes_are_those_of_their_series(make):
    by_series = make().fit(X, NAMES, np.where(NAMES == "rare", 5, 1)).predict_proba(X)
    by_class = make(class_weight={"rare": 5.0}).fit(X, NAMES).predict_proba(X)
    assert np.array_equal(by_class, by_series)
    doubled = make().fit(X, NAMES, np.where(NAMES == "rare", 10, 2)).predict_proba(X)
    assert np.array_equal(doubled, by_series)
    plain = make().fit(X, NAMES).predict_proba(X)
    assert not np.array_equal(plain, by_series)
    for same in (np.full(24, 3.0), [1] * 24, None):
        assert np.array_equal(
            make(class_weight="balanced").fit(X, NAMES, same).predict_proba(X), plain
        )


@each_classifier
def test_labels_of_series_of_weight_0_do_not_matter(make):
    weights = np.ones(24)
    weights[:6] = 0
    other = NAMES.copy()
    other[:6] = NAMES[:6][::-1]
    assert not np.array_equal(other, NAMES)
    results = [make().fit(X, labels, weights).predict_proba(X) for labels in (NAMES, other)]
    assert np.array_equal(*results)


@each_classifier
def test_a_rare_class_is_more_probable_with_balanced_weights(make):
    series, labels = two_shapes(120, noise=1.2)
    rare = np.flatnonzero(labels == 0)[:12]
    rows = np.concatenate([rare, np.flatnonzero(labels == 1)])
    test = two_shapes(100, noise=1.2, seed=5)[0]
    shares = []
    for class_weight in (None, "balanced"):
        model = make(class_weight=class_weight, max_epochs=20, batch_size=16, learning_rate=0.02)
        shares.append(model.fit(series[rows], labels[rows]).predict_proba(test)[:, 0].mean())
    assert shares[1] > shares[0] + 0.02


@each_classifier
def test_early_stopping_weighs_the_series_that_are_held_out(make, held_out):
    make(early_stopping=True, validation_fraction=0.5).fit(X, Y, np.arange(24.0))
    (parts,) = held_out
    assert len(parts) == 3
    assert len(np.unique(parts[2])) == len(parts[2]) == 12


@each_classifier
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(23), "sample_weight.shape|inconsistent"),
        (-np.ones(24), "Negative values"),
        (np.full(24, np.nan), "NaN"),
        (np.full(24, np.inf), "infinity"),
        (np.zeros(24), "two classes at least|Sample weights must contain at least one"),
        (1 - Y, "two classes at least"),
        (np.ones((24, 2)), "1D"),
        (["a"] * 24, "must hold a number"),
        (np.ma.masked_less(np.arange(24.0), 3), "sample_weight has masked values"),
    ],
)
def test_bad_weights_are_refused(make, weights, message):
    assert_refused(lambda: make().fit(X, Y, weights), (ValueError, TypeError), message)


@each_classifier
def test_labels_without_a_class_weight_have_1(make):
    found = make(class_weight={0: 3.0}).fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(
        found, make(class_weight={0: 3.0, 1: 1.0}).fit(X, Y).predict_proba(X)
    )


@each_classifier
@pytest.mark.parametrize("class_weight", ["equal", 3, {"never": 1.0}, {0: 1.0, "never": 1.0}])
def test_bad_class_weights_are_refused(make, class_weight):
    with pytest.raises((ValueError, TypeError), match=r"class"):
        make(class_weight=class_weight).fit(X, Y)


@each_classifier
@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf, None])
def test_class_weights_are_numbers_of_at_least_0(make, weight):
    with pytest.raises(ValueError, match="class_weight must hold a finite weight of at least 0"):
        make(class_weight={0: weight, 1: 1.0, 2: 1.0}).fit(X, np.arange(24) % 3)


@each_classifier
def test_one_weight_for_all_series_is_no_weight(make):
    expected = make().fit(X, Y).predict_proba(X)
    np.testing.assert_array_equal(make().fit(X, Y, 2.0).predict_proba(X), expected)


@each_classifier
def test_labels_that_fit_takes_can_be_scored(make):
    labels = Y.astype(object)
    model = make().fit(X, labels)
    assert model.score(X, labels) == np.mean(model.predict(X) == Y)
    assert np.isfinite(cross_val_score(make(), X, labels, cv=2)).all()


def test_weights_are_routed_through_searches_and_cross_validation():
    weights = np.where(Y == 0, 5.0, 1.0)
    with config_context(enable_metadata_routing=True):
        model = fcn().set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
        grid = {"width": [2, 3], "class_weight": [None, "balanced", {0: 2}]}
        search = GridSearchCV(model, grid, cv=2, error_score="raise")
        search.fit(X, Y, sample_weight=weights)
        params = {"sample_weight": weights}
        scores = cross_validate(model, X, Y, cv=2, params=params, return_estimator=True)
    half = [row for row in range(24) if row >= 12]
    own = fcn().fit(X[half], Y[half], weights[half]).predict_proba(X)
    assert np.array_equal(scores["estimator"][0].predict_proba(X), own)


def test_weights_let_classifiers_be_boosted_and_vote():
    boosted = AdaBoostClassifier(fcn(max_epochs=30, learning_rate=0.02), n_estimators=3).fit(X, Y)
    assert len(boosted.estimators_) >= 1
    parts = [("network", fcn()), ("line", LogisticRegression())]
    vote = VotingClassifier(parts, voting="soft").fit(X, Y, sample_weight=1 + Y)
    assert vote.predict_proba(X).shape == (24, 2)


@each_classifier
def test_files_keep_class_weights_and_checkpoints_know_weights(make, tmp_path):
    model = make(class_weight={"rare": 5.0}).fit(X, NAMES)
    model.save(tmp_path / "model")
    opened = load(tmp_path / "model")
    assert opened.class_weight == {"rare": 5.0}
    assert np.array_equal(opened.predict_proba(X), model.predict_proba(X))


def test_the_default_extractor_is_not_weighted():
    weights = np.where(Y == 0, 5.0, 1.0)
    model = fine_tuned(pretrained=extractor(), max_epochs=1)
    plain = model.fit(X, Y).module_.encoder.state_dict()
    weighted = model.fit(X, Y, weights).module_.encoder.state_dict()
    assert plain.keys() == weighted.keys()
