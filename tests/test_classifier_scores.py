"""Scores that train a classifier, against classifiers and networks with known answers."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from skvqts import FidelityWarning
from skvqts._fitting import progress
from skvqts._fitting.training import train
from skvqts._nn.classifiers import DiscriminationStep, GRUDiscriminator
from skvqts._nn.layers import build
from skvqts.metrics import (
    classification_accuracy_score,
    classifier_two_sample_test,
    discriminative_score,
    make_generation_scorer,
)
from skvqts.metrics._classifiers import _discriminator_plan, _scaled_by_real

from .conftest import two_shapes
from .refusals import assert_refused

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


@pytest.mark.parametrize("other", [Ridge(), KMeans(2)])
def test_what_is_no_classifier_cannot_judge(other):
    X, y = two_shapes(24)
    for call in (
        lambda: classification_accuracy_score(X, y, X, y, classifier=other),
        lambda: classifier_two_sample_test(X, X, classifier=other),
        lambda: make_generation_scorer("classification_accuracy", referee=other),
    ):
        assert_refused(call, (TypeError,), "classifier must be a classifier, and")


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


# ---- discriminative score


def discriminator(n_channels=2, n_units=3):
    generator = torch.Generator().manual_seed(0)
    return build(partial(GRUDiscriminator, n_channels, n_units), generator)


def naive_log_odds(network, series):
    """The equations of a gated recurrent unit (Cho et al. 2014), time point by time point."""
    named = {name: value.detach().double().numpy() for name, value in network.named_parameters()}
    of_input, of_state = named["recurrent.weight_ih_l0"], named["recurrent.weight_hh_l0"]
    state = np.zeros(of_state.shape[1])
    for x in series.T:
        seen = np.split(of_input @ x + named["recurrent.bias_ih_l0"], 3)
        kept = np.split(of_state @ state + named["recurrent.bias_hh_l0"], 3)
        reset, update = (1 / (1 + np.exp(-(seen[i] + kept[i]))) for i in (0, 1))
        candidate = np.tanh(seen[2] + reset * kept[2])
        state = update * state + (1 - update) * candidate
    return named["head.weight"][0] @ state + named["head.bias"][0]


def test_log_odds_and_losses_are_those_of_the_equations():
    network, real, gen = discriminator(), normal(4, 2, 7), normal(3, 2, 7, seed=1)
    expected = [[naive_log_odds(network, series) for series in X] for X in (real, gen)]
    x_real, x_gen = (torch.from_numpy(X).float() for X in (real, gen))
    with torch.no_grad():
        np.testing.assert_allclose(network(x_real), expected[0], rtol=1e-4, atol=1e-6)
        terms = DiscriminationStep(network)(x_real, x_gen)
    probabilities = [1 / (1 + np.exp(-np.array(log_odds))) for log_odds in expected]
    assert terms["real"].item() == pytest.approx(-np.log(probabilities[0]).mean(), rel=1e-5)
    assert terms["generated"].item() == pytest.approx(
        -np.log(1 - probabilities[1]).mean(), rel=1e-5
    )


def test_the_network_starts_within_the_bounds_of_torch():
    weights = torch.cat([p.flatten() for p in discriminator(5, 16).parameters()]).detach()
    assert weights.abs().max() <= 1 / 4
    assert weights.std().item() == pytest.approx(1 / 4 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("n", [20, 200])
def test_the_network_is_trained_by_plain_adam_at_a_constant_rate(n):
    samples = [torch.from_numpy(normal(n, 2, 7, seed=seed)).float() for seed in range(2)]
    step, by_torch = (DiscriminationStep(discriminator()) for _ in range(2))
    record = train(step, samples, _discriminator_plan(n, 10), torch.Generator().manual_seed(1))
    n_batches = -(-n // 128)
    assert record.n_epochs * n_batches == 10
    optimizer = torch.optim.Adam(by_torch.parameters())
    generator = torch.Generator().manual_seed(1)
    for _ in range(record.n_epochs):
        for rows in torch.randperm(n, generator=generator).tensor_split(n_batches):
            optimizer.zero_grad()
            sum(by_torch(*(sample[rows] for sample in samples)).values()).backward()
            optimizer.step()
    for found, expected in zip(step.parameters(), by_torch.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_samples_of_one_distribution_have_a_discriminative_score_near_0():
    """The accuracy of a guess on 80 series is within 4 standard deviations of one half."""
    scores = [
        discriminative_score(normal(200, 6), normal(200, 6, seed=1), n_steps=200, random_state=seed)
        for seed in range(2)
    ]
    assert max(scores) < 4 / (2 * math.sqrt(80))


def test_noise_and_a_random_walk_have_a_discriminative_score_near_one_half():
    walk = 3 * normal(100, 8, 12, seed=1).cumsum(2)
    assert discriminative_score(normal(100, 8, 12), walk, n_steps=800, random_state=0) > 0.4


def test_the_discriminative_score_depends_on_the_seed_alone():
    real, gen = normal(60, 8, 6), 3 * normal(40, 8, 6, seed=1)
    score = partial(discriminative_score, real, gen, n_steps=20)
    by_seed = [score(random_state=seed) for seed in range(6)]
    assert [score(random_state=seed) for seed in range(6)] == by_seed
    assert len(set(by_seed)) > 1
    assert score(random_state=np.random.RandomState(3)) == by_seed[3]
    # of 40 series of each sample 8 are held out
    assert all(value * 16 == round(value * 16) and 0 <= value <= 0.5 for value in by_seed)


def test_real_series_lie_from_0_to_1_in_each_channel():
    real, gen = normal(9, 3, 5), normal(7, 3, 5, seed=1, shift=2.0)
    real[:, 2] = 7.0
    scaled, others = _scaled_by_real(real, gen)
    assert scaled.dtype == others.dtype == np.float32
    assert scaled[:, :2].min(axis=(0, 2)).tolist() == [0, 0]
    assert scaled[:, :2].max(axis=(0, 2)).tolist() == [1, 1]
    assert not scaled[:, 2].any()
    low, high = real[:, 1].min(), real[:, 1].max()
    np.testing.assert_allclose(others[:, 1], (gen[:, 1] - low) / (high - low), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("far", [1e30, 1e140])
def test_the_discriminative_score_of_series_far_from_all_real_ones_is_a_number(far):
    score = discriminative_score(normal(20, 5), far * normal(20, 5), n_steps=20, random_state=0)
    assert 0 <= score <= 0.5


def test_a_discriminative_score_that_takes_long_says_so(monkeypatch, caplog):
    monkeypatch.setattr(progress, "_LONG", 0.0)
    monkeypatch.setattr(progress, "_SAMPLE", 0.0)
    discriminative_score(normal(20, 5), normal(20, 5), n_steps=9)
    assert "[discriminative_score] 9 steps will take about 1 s" in caplog.text
