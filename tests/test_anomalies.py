"""Scores of the points of one long recording, and its most anomalous stretches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skvqts._recordings import anomalies
from skvqts._recordings.anomalies import anomaly_curve, known_windows, top_stretches

from .estimators import (
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


def fitted_to(recording, make):
    windows = np.lib.stride_tricks.sliding_window_view(recording, LENGTH, axis=1)[:, ::4]
    return make().fit(windows.swapaxes(0, 1))


def naive_curve(F, starts, known, known_starts, n, n_neighbours=4):
    """The score of every point, by loops: the mean of distances to the nearest of the known."""
    scores = []
    for f in F:
        distances = [(np.linalg.norm(f - g), s) for g, s in zip(known, known_starts, strict=True)]
        nearest = []
        for distance, other in sorted(distances):
            clear = all(abs(other - s) >= LENGTH for _, s in nearest)
            if clear and len(nearest) < n_neighbours:
                nearest.append((distance, other))
        scores.append(np.mean([distance for distance, _ in nearest]))
    return np.interp(np.arange(n), np.array(starts) + (LENGTH - 1) / 2, scores)


@pytest.mark.parametrize("scored", [waves(301, 2), waves(250, 2, seed=1)])
def test_scores_are_those_of_naive_loops(scored):
    recording = waves(301, 2)
    estimator = fitted_to(recording, random_convolutions)
    known = known_windows(estimator, recording, LENGTH)
    found = anomaly_curve(estimator, scored, LENGTH, known)

    def cut(values):
        starts = [*range(0, values.shape[1] - LENGTH, 2), values.shape[1] - LENGTH]
        return np.stack([values[:, s : s + LENGTH] for s in starts]), starts

    known_series, known_starts = cut(recording)
    windows, starts = cut(scored)
    expected = naive_curve(
        estimator.transform(windows),
        starts,
        estimator.transform(known_series),
        known_starts,
        scored.shape[1],
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("n_channels", [1, 3])
def test_a_planted_fault_is_found(name, n_channels):
    recording = waves(800, n_channels)
    recording[0, 500:520] += 2 * (-1) ** np.arange(20)
    estimator = fitted_to(recording, ESTIMATORS[name])
    known = known_windows(estimator, recording, LENGTH)
    scores = anomaly_curve(estimator, recording, LENGTH, known)
    assert scores.shape == (800,)
    (top,) = top_stretches(scores, 1, LENGTH)
    assert top.start < 520
    assert top.stop > 500
    assert scores.max() > 2 * np.median(scores)


def test_a_fault_of_another_recording_is_found_and_a_sound_one_has_none():
    estimator = fitted_to(waves(800), tokenizer)
    known = known_windows(estimator, waves(800), LENGTH)
    other = waves(700, seed=1)
    sound = anomaly_curve(estimator, other, LENGTH, known)
    other[0, 300:310] = 3
    faulty = anomaly_curve(estimator, other, LENGTH, known)
    assert 290 < faulty.argmax() < 320
    assert faulty.max() > 2 * sound.max()


def test_a_part_of_the_recording_of_the_fit_has_the_scores_of_the_whole():
    recording = waves(800)
    recording[0, 500:520] = 0
    estimator = fitted_to(recording, random_convolutions)
    known = known_windows(estimator, recording, LENGTH)
    whole = anomaly_curve(estimator, recording, LENGTH, known)
    part = anomaly_curve(estimator, recording[:, 100:700], LENGTH, known)
    np.testing.assert_allclose(part[LENGTH:-LENGTH], whole[100:700][LENGTH:-LENGTH], rtol=1e-3)


def test_scores_do_not_depend_on_units():
    recording = waves(800)
    recording[0, 500:520] = 0
    scores = []
    for values in (recording, 5 + 3 * recording):
        estimator = fitted_to(values, random_convolutions)
        known = known_windows(estimator, values, LENGTH)
        scores.append(anomaly_curve(estimator, values, LENGTH, known))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-2)


def test_a_fault_that_happened_twice_is_found_twice():
    recording = waves(800)
    recording[0, 300:320] = recording[0, 500:520] = 0
    estimator = fitted_to(recording, random_convolutions)
    known = known_windows(estimator, recording, LENGTH)
    found = top_stretches(anomaly_curve(estimator, recording, LENGTH, known), 2, LENGTH)
    assert [abs(s.start + LENGTH // 2 - 310) < 16 for s in sorted(found)] == [True, False]
    assert [abs(s.start + LENGTH // 2 - 510) < 16 for s in sorted(found)] == [False, True]


def test_blocks_give_what_one_piece_gives(monkeypatch):
    recording = waves(600)
    estimator = fitted_to(recording, tokenizer)
    known = known_windows(estimator, recording, LENGTH)
    one = anomaly_curve(estimator, recording, LENGTH, known)
    monkeypatch.setattr(anomalies, "_BLOCK", 7)
    blocks = anomaly_curve(estimator, recording, LENGTH, known)
    np.testing.assert_allclose(blocks, one, rtol=1e-4, atol=1e-4)


def test_what_is_known_is_bounded(monkeypatch):
    monkeypatch.setattr(anomalies, "_MOST_KNOWN", 50)
    recording = waves(600)
    estimator = fitted_to(recording, random_convolutions)
    features, starts = known_windows(estimator, recording, LENGTH)
    assert features.shape == (50, 40)
    assert (starts[0], starts[-1]) == (0, 600 - LENGTH)
    assert np.ptp(np.diff(starts)) <= 2
    scores = anomaly_curve(estimator, recording, LENGTH, (features, starts))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("n", [LENGTH, LENGTH + 1, 2 * LENGTH, 3 * LENGTH + 5])
def test_short_recordings_have_scores_too(n):
    recording = waves(200)
    estimator = fitted_to(recording, random_convolutions)
    for seen, scored in ((recording[:, :n], recording[:, :n]), (recording, waves(n, seed=1))):
        known = known_windows(estimator, seen, LENGTH)
        scores = anomaly_curve(estimator, scored, LENGTH, known)
        assert scores.shape == (n,)
        assert (scores >= 0).all()


@given(n=st.integers(1, 60), length=st.integers(1, 20), n_wanted=st.integers(1, 8))
def test_top_stretches_are_the_highest_that_do_not_overlap(n, length, n_wanted):
    scores = np.random.default_rng(n).permutation(n).astype(float)
    stretches = top_stretches(scores, n_wanted, length)
    taken = []
    for point in np.argsort(-scores):
        window = set(range(point - length // 2, point - length // 2 + length)) & set(range(n))
        if len(taken) < n_wanted and not any(window & other for other in taken):
            taken.append(window)
    assert [set(range(start, stop)) for start, stop, _ in stretches] == taken
    assert [score for _, _, score in stretches] == [
        max(scores[point] for point in window if scores[point] in [s.score for s in stretches])
        for window in taken
    ]
