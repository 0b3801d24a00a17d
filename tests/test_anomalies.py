"""Scores of the points of one long recording, and its most anomalous stretches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skvqts._recordings import anomalies
from skvqts._recordings.anomalies import NearestWindows, stretching, top_stretches

from .estimators import (
    TRANSFORMERS,
    autoregressive_prior,
    extractor,
    masked_prior,
    random_convolutions,
    tokenizer,
)

LENGTH = 32
ESTIMATORS = {
    "VQTokenizer": tokenizer,
    "VQTokenizer tokens": lambda: tokenizer(output="tokens"),
    "SSLFeatureExtractor": extractor,
    "RandomConvolutionExtractor": random_convolutions,
    "MaskedPriorGenerator": lambda: masked_prior(decoder=None),
    "AutoregressivePriorGenerator": lambda: autoregressive_prior(decoder=None),
}


def waves(n, n_channels=1, seed=0):
    """A recording ``(c, n)`` of a period of 20 points, with some noise."""
    rng = np.random.default_rng(seed)
    phases = 2 * np.pi * np.arange(n) / 20 + np.arange(n_channels)[:, None]
    return np.sin(phases) + 0.3 * np.sin(2 * phases) + 0.05 * rng.normal(size=(n_channels, n))


def cut(recording, length, starts):
    return np.stack([recording[:, start : start + length] for start in starts])


def fitted_to(recording, make=random_convolutions):
    """An estimator of windows of a recording, and its nearest windows."""
    starts = range(0, recording.shape[1] - LENGTH + 1, 4)
    estimator = make().fit(cut(recording, LENGTH, starts))
    return estimator, NearestWindows(LENGTH).fit(estimator, recording)


def scores_of(recording, make=random_convolutions):
    estimator, nearest = fitted_to(recording, make)
    return nearest.score(estimator, recording, is_known=True)


def naive_distances(F, own_starts, known, starts, length):
    """Mean distance of each row to the two nearest of the known that do not overlap.

    Windows of the same recording, which have starts of their own, do not overlap them either.
    """
    means = []
    for f, own_start in zip(F, own_starts, strict=True):
        distances = [(np.linalg.norm(f - g), s) for g, s in zip(known, starts, strict=True)]
        taken = [] if own_start is None else [own_start]
        nearest = []
        for distance, start in sorted(distances):
            if len(nearest) < 2 and all(abs(start - other) >= length for other in taken):
                nearest.append(distance)
                taken.append(start)
        means.append(np.mean(nearest))
    return np.array(means)


def naive_scores(estimator, recording, scored, is_known):
    """What `NearestWindows` gives, by loops."""
    total = 0.0
    for length, stride in ((32, 4), (16, 2), (8, 1)):

        def read(values, length=length, stride=stride):
            last = values.shape[1] - length
            starts = np.unique([*range(0, last, stride), last])
            windows = cut(values, length, starts)
            times = np.linspace(0, length - 1, LENGTH)
            each = [[np.interp(times, np.arange(length), c) for c in window] for window in windows]
            return estimator.transform(np.array(each)), starts

        known, known_starts = read(recording)
        of_known = naive_distances(known, known_starts, known, known_starts, length)
        F, starts = read(scored)
        own_starts = starts if is_known else [None] * len(starts)
        distances = naive_distances(F, own_starts, known, known_starts, length)
        middles = starts + (length - 1) / 2
        of_points = np.interp(np.arange(scored.shape[1]), middles, distances)
        median = np.median(of_known)
        total = total + (of_points - median) / np.median(np.abs(of_known - median))
    return total / 3


WAVES = waves(181, 2)
CONTINUED = np.concatenate([WAVES, waves(60, 2, seed=2)], axis=1)


@pytest.mark.parametrize(
    ("scored", "is_known"),
    [
        (WAVES, True),
        (CONTINUED, True),
        (WAVES[:, :90], True),
        (waves(150, 2, seed=1), False),
        (WAVES[:, 5:], False),
    ],
    ids=["of the fit", "continued", "its beginning", "another", "a part"],
)
def test_scores_are_those_of_naive_loops(scored, is_known):
    estimator, nearest = fitted_to(WAVES)
    expected = naive_scores(estimator, WAVES, scored, is_known)
    found = nearest.score(estimator, scored, is_known)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)


def test_stretched_parts_keep_their_ends_and_straight_lines():
    lines = np.array([[0.0, 1, 2, 3], [5, 5, 5, 5]])
    expected = [np.linspace(0, 3, 9), np.full(9, 5)]
    np.testing.assert_allclose(lines @ stretching(4, 9), expected, rtol=1e-12)
    np.testing.assert_array_equal(lines @ stretching(4, 4), lines)


@pytest.mark.parametrize(
    ("name", "n_channels"),
    [*((name, 1) for name in ESTIMATORS), ("VQTokenizer", 3), ("SSLFeatureExtractor", 3)],
)
def test_a_planted_fault_is_found(name, n_channels):
    recording = waves(600, n_channels)
    recording[0, 400:420] += 2 * (-1) ** np.arange(20)
    scores = scores_of(recording, ESTIMATORS[name])
    assert scores.shape == (600,)
    (top,) = top_stretches(scores, 1, LENGTH)
    assert top.start < 420
    assert top.stop > 400
    assert top.score == scores.max() > 3 * np.quantile(scores, 0.75)


def test_faults_of_other_recordings_are_found():
    estimator, nearest = fitted_to(waves(600), tokenizer)
    other = waves(500, seed=1)
    sound = nearest.score(estimator, other, is_known=False)
    other[0, 300:310] = 3
    faulty = nearest.score(estimator, other, is_known=False)
    assert 290 < faulty.argmax() < 320
    assert faulty.max() > 2 * sound.max()


def test_sound_recordings_score_as_that_of_the_fit():
    recording = waves(1200)
    estimator, nearest = fitted_to(recording[:, :600])
    seen = nearest.score(estimator, recording[:, :600], is_known=True)
    continued = nearest.score(estimator, recording, is_known=True)
    np.testing.assert_allclose(continued[: 600 - LENGTH], seen[: 600 - LENGTH], rtol=1e-5)
    unseen = nearest.score(estimator, recording[:, 600:], is_known=False)
    assert abs(np.median(unseen)) < 1
    assert abs(np.median(continued[600:])) < 1


def test_a_fault_in_a_part_of_the_recording_of_the_fit_is_found():
    recording = waves(600)
    recording[0, 400:420] = 0
    estimator, nearest = fitted_to(recording)
    scores = nearest.score(estimator, recording[:, 300:], is_known=False)
    assert 90 < scores.argmax() < 130


def test_scores_do_not_depend_on_units():
    recording = waves(600)
    recording[0, 400:420] = 0
    same = scores_of(5 + 3 * recording)
    np.testing.assert_allclose(same, scores_of(recording), rtol=1e-2, atol=0.1)


def test_two_different_faults_are_the_top_two_stretches():
    recording = waves(600)
    recording[0, 200:220] = 0
    recording[0, 400] += 4
    tops = sorted(top_stretches(scores_of(recording), 2, LENGTH))
    for top, place in zip(tops, (210, 400), strict=True):
        assert top.start < place < top.stop


def test_a_constant_recording_with_one_step_is_scored():
    recording = np.zeros((1, 400))
    recording[0, 200:] = 1
    scores = scores_of(recording)
    assert np.isfinite(scores).all()
    assert 150 < scores.argmax() < 250


def test_blocks_give_what_one_piece_gives(monkeypatch):
    estimator, nearest = fitted_to(waves(400), tokenizer)
    one = nearest.score(estimator, waves(400), is_known=True)
    monkeypatch.setattr(anomalies, "_BLOCK", 19)
    found = nearest.score(estimator, waves(400), is_known=True)
    np.testing.assert_allclose(found, one, rtol=1e-3, atol=1e-2)


def test_what_is_kept_is_bounded_and_evenly_spread(monkeypatch):
    monkeypatch.setattr(anomalies, "_MOST_KNOWN", 50)
    estimator, nearest = fitted_to(waves(600))
    for length, features, starts in zip(
        (32, 16, 8), nearest.features_, nearest.starts_, strict=True
    ):
        assert features.shape == (50, 40)
        assert (starts[0], starts[-1]) == (0, 600 - length)
        assert np.ptp(np.diff(starts)) <= max(1, length // 8)
    assert np.isfinite(nearest.score(estimator, waves(600), is_known=True)).all()


@pytest.mark.parametrize("n", [LENGTH, LENGTH + 1, 2 * LENGTH, 3 * LENGTH + 5])
def test_short_recordings_have_scores_too(n):
    recording = waves(200)
    estimator, nearest = fitted_to(recording)
    of_short_one = NearestWindows(LENGTH).fit(estimator, recording[:, :n])
    another = waves(n, seed=1)
    for known, scored, is_known in (
        (of_short_one, recording[:, :n], True),
        (nearest, recording[:, :n], True),
        (nearest, another, False),
    ):
        scores = known.score(estimator, scored, is_known)
        assert scores.shape == (n,)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("length", [2, 5, 8, 15, 17])
def test_windows_of_any_length(length):
    recording = waves(100, 2)
    estimator = random_convolutions().fit(cut(recording, length, range(0, 80)))
    nearest = NearestWindows(length).fit(estimator, recording)
    scores = nearest.score(estimator, recording, is_known=True)
    assert np.isfinite(scores).all()


@given(n=st.integers(1, 60), length=st.integers(1, 20), n_wanted=st.integers(1, 8))
def test_top_stretches_are_the_highest_that_do_not_overlap(n, length, n_wanted):
    scores = np.random.default_rng(n).permutation(n).astype(float)
    expected = []
    for point in np.argsort(-scores):
        window = set(range(point - length // 2, point - length // 2 + length)) & set(range(n))
        if len(expected) < n_wanted and not any(window & taken for taken, _ in expected):
            expected.append((window, scores[point]))
    stretches = top_stretches(scores, n_wanted, length)
    assert [(set(range(start, stop)), score) for start, stop, score in stretches] == expected


@pytest.mark.parametrize("name", [name for name in TRANSFORMERS if "gaps" not in name])
def test_windows_of_every_transformer_are_compared_by_its_features(name):
    recording = waves(4 * LENGTH)
    recording[:, 70:76] = 5.0
    estimator, nearest = fitted_to(recording, TRANSFORMERS[name])
    scores = nearest.score(estimator, recording, is_known=True)
    assert np.isfinite(scores).all()
    for output in ("tokens", "parts", "latents"):
        if hasattr(estimator, "output") and output in str(type(estimator)._parameter_constraints):
            other = estimator.set_params(output=output)
            of_other = nearest.score(other, recording, is_known=True)
            np.testing.assert_array_equal(of_other, scores)
            assert other.output == output
