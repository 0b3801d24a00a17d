"""Classification accuracy and the two-sample test against classifiers with known answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.neighbors import KNeighborsClassifier

from skvqts import FidelityWarning
from skvqts.metrics import classification_accuracy_score, classifier_two_sample_test

from .conftest import two_shapes

NEAREST = KNeighborsClassifier(1)


def normal(*shape, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(size=shape) + shift


X, INDICES = two_shapes(80, 24, noise=0.5)
LABELS = np.array(["saw", "sine"])[1 - INDICES]
SPLIT = X[:50], LABELS[:50], X[50:], LABELS[50:]


@pytest.mark.parametrize("classifier", [NEAREST, KNeighborsClassifier(7)])
def test_accuracy_is_that_of_a_clone_trained_on_generated_series(classifier):
    X_gen, y_gen, X_test, y_test = SPLIT
    expected = clone(classifier).fit(X_gen, y_gen).score(X_test, y_test)
    assert 0.5 < expected < 1
    result = classification_accuracy_score(*SPLIT, classifier=classifier)
    assert result == pytest.approx(expected)
    assert not hasattr(classifier, "classes_")


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), n_classes=st.integers(2, 5))
def test_accuracy_does_not_depend_on_names_of_classes_or_order_of_series(seed, n_classes):
    rng = np.random.default_rng(seed)
    y_gen, y_test = np.arange(30) % n_classes, rng.integers(n_classes, size=20)
    X_gen, X_test = rng.normal(size=(30, 6)) + y_gen[:, None], rng.normal(size=(20, 6))
    result = classification_accuracy_score(X_gen, y_gen, X_test, y_test, classifier=NEAREST)
    assert 0 <= result <= 1
    names = rng.permutation(["a", "b", "c", "d", "e"])
    renamed = names[y_gen], X_test, names[y_test]
    assert classification_accuracy_score(X_gen, *renamed, classifier=NEAREST) == result
    order = rng.permutation(20)
    shuffled = X_gen, y_gen, X_test[order], y_test[order]
    assert classification_accuracy_score(*shuffled, classifier=NEAREST) == pytest.approx(result)


def test_a_class_that_was_never_generated_counts_as_wrong():
    X_gen = np.repeat([[0.0, 0], [9, 9]], 3, axis=0)
    y_gen = np.repeat(["a", "b"], 3)
    X_test, y_test = [[0.0, 1], [9, 8], [4, 4], [5, 5]], ["a", "b", "c", "d"]
    with pytest.warns(FidelityWarning, match=r"\['c', 'd'\] of y_test are missing") as caught:
        result = classification_accuracy_score(X_gen, y_gen, X_test, y_test, classifier=NEAREST)
    assert result == 1 / 2
    assert [warning.filename for warning in caught] == [__file__]


def test_default_classifier_tells_two_easy_classes_apart():
    X, y = two_shapes(40, 24)
    y = np.array(["saw", "sine"])[1 - y]
    assert classification_accuracy_score(X[:30], y[:30], X[30:], y[30:]) == 1
    swapped = np.where(y == "saw", "sine", "saw")
    assert classification_accuracy_score(X[:30], swapped[:30], X[30:], y[30:]) == 0


@pytest.mark.parametrize("classifier", [NEAREST, None])
def test_two_samples_of_one_distribution_cannot_be_told_apart(classifier):
    result = [
        classifier_two_sample_test(
            normal(90, 16, seed=s),
            normal(90, 16, seed=s + 9),
            classifier=classifier,
            random_state=s,
        )
        for s in range(5)
    ]
    accuracy, p_value = np.median(result, 0)
    assert accuracy == pytest.approx(0.5, abs=0.05)
    assert p_value > 0.1


@pytest.mark.parametrize("classifier", [NEAREST, None])
def test_two_samples_of_different_distributions_are_told_apart(classifier):
    accuracy, p_value = classifier_two_sample_test(
        normal(40, 16), normal(60, 16, seed=1, shift=3.0), classifier=classifier, random_state=0
    )
    assert accuracy > 0.95
    assert p_value < 1e-12


@pytest.mark.parametrize("sizes", [(30, 30), (20, 45), (45, 20)])
@pytest.mark.parametrize("said", [0, 1])
def test_a_constant_answer_has_accuracy_one_half(sizes, said):
    """Also with samples of unequal size."""
    dummy = DummyClassifier(strategy="constant", constant=said)
    result = classifier_two_sample_test(*(normal(n, 4) for n in sizes), classifier=dummy)
    assert result == (0.5, 0.5)


@pytest.mark.parametrize("sizes", [(32, 32), (20, 45)])
def test_p_value_by_hand_and_folds_that_depend_on_the_seed(sizes):
    """A binomial share of n coin flips has standard deviation ``1 / 2 root(n)``."""
    real, gen = normal(sizes[0], 4), normal(sizes[1], 4, seed=1, shift=0.5)
    tests = [
        classifier_two_sample_test(real, gen, classifier=NEAREST, random_state=seed, n_splits=n)
        for seed, n in ((0, 5), (0, 5), (1, 5), (2, 5), (0, 2))
    ]
    assert tests[0] == tests[1]
    assert len(set(tests)) > 2
    flips = 2 * min(sizes)
    for accuracy, p_value in tests:
        assert accuracy * flips == pytest.approx(round(accuracy * flips))
        deviations = (accuracy - 0.5) * 2 * math.sqrt(flips)
        assert p_value == pytest.approx(math.erfc(deviations / math.sqrt(2)) / 2)
