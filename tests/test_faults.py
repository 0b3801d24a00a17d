"""Faults that benchmarks plant in recordings, and what counts as finding them."""

import numpy as np
import pytest

from benchmarks.anomaly import at_middles, nearest_patch, recordings
from benchmarks.faults import KINDS, N_TIMEPOINTS, Planted, plant, planted, recording_of

RNG = np.random.default_rng(0)
SERIES = np.cumsum(RNG.normal(size=(60, 1, 100)), axis=2)
OTHERS = np.sin(np.arange(80) / 5)[None, None].repeat(5, axis=0)


def planted_by_hand(kind, length=40):
    rng = np.random.default_rng(1)
    sound = rng.normal(size=300)
    return sound, plant(kind, sound, 120, length, OTHERS[0, 0, :length], rng)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_changes_its_stretch_and_nothing_else(kind):
    sound, (values, start, stop) = planted_by_hand(kind)
    moved = len(values) - len(sound)
    assert 120 <= start < stop <= 160 + moved
    np.testing.assert_array_equal(values[:start], sound[:start])
    np.testing.assert_array_equal(values[stop:], sound[stop - moved :])
    if moved == 0:
        assert values[start] != sound[start]
        assert values[stop - 1] != sound[stop - 1]


def test_faults_are_those_that_their_names_say():
    sound, _ = planted_by_hand("spike")
    stretch = sound[120:160]
    faulty = {kind: planted_by_hand(kind)[1] for kind in KINDS}
    of = {kind: found.values[120 : len(found.values) - 140] for kind, found in faulty.items()}
    foreign = of["foreign"]
    moments = [(part.mean(), part.std()) for part in (foreign, stretch)]
    np.testing.assert_allclose(moments[0], moments[1])
    assert np.corrcoef(foreign, OTHERS[0, 0, :40])[0, 1] == pytest.approx(1)
    np.testing.assert_array_equal(of["reversed"], stretch[::-1])
    assert np.ptp(of["flattened"]) == 0
    assert 0.3 < (of["noise"] - stretch).std() / sound.std() < 0.7
    assert np.abs(of["spike"] - stretch).max() == pytest.approx(3 * sound.std())
    assert faulty["spike"].stop - faulty["spike"].start == 1
    np.testing.assert_array_equal(of["missing piece"], np.r_[stretch[:10], stretch[30:]])
    assert of["amplitude"].std() / stretch.std() in (pytest.approx(0.5), pytest.approx(2))
    assert of["amplitude"].mean() == pytest.approx(stretch.mean())
    np.testing.assert_allclose(of["stretched time"][[0, -1]], stretch[[0, -1]])
    assert len(of["stretched time"]) == 60


def test_recordings_are_of_whole_series_each_once():
    recording = recording_of(SERIES, np.random.default_rng(0), 6000)
    rows = recording.reshape(60, 100)
    assert not np.array_equal(rows, SERIES[:, 0])
    np.testing.assert_array_equal(np.sort(rows[:, 0]), np.sort(SERIES[:, 0, 0]))
    longer = recording_of(SERIES, np.random.default_rng(0), 6150)
    np.testing.assert_array_equal(longer[:6000], recording)
    assert len(longer) == 6150


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_with_faults_are_of_one_length_and_depend_on_their_seed_only(kind):
    first, again, other = (planted(kind, SERIES, OTHERS, [seed, 3]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.values, again.values)
    assert len(first.values) == len(other.values) == N_TIMEPOINTS
    assert not np.array_equal(first.values, other.values)
    assert 300 <= first.start < first.stop <= N_TIMEPOINTS - 300


def test_a_kind_has_recordings_of_all_sets_in_turn():
    found = list(recordings("noise", ["a", "b"], {"a": SERIES, "b": OTHERS}, 3))
    assert [(name, number) for name, number, _ in found] == [("b", 0), ("a", 1), ("b", 2)]


@pytest.mark.parametrize(("length", "beside"), [(1, 100), (250, 250)])
def test_a_hit_is_in_the_stretch_or_beside_it(length, beside):
    recording = Planted(np.zeros(2000), 1000, 1000 + length)
    hits = [point for point in range(2000) if recording.is_hit_by(point)]
    assert hits == list(range(1000 - beside, 1000 + length + beside))


def test_nearest_patches_are_those_of_naive_loops():
    values = np.random.default_rng(2).normal(size=60)
    patches = [values[start : start + 9] for start in range(52)]
    nearest = [
        min(np.linalg.norm(a - b) for j, b in enumerate(patches) if abs(i - j) >= 9)
        for i, a in enumerate(patches)
    ]
    np.testing.assert_allclose(nearest_patch(values, 9)[4:56], nearest)


def test_scores_of_windows_stand_at_their_middles():
    np.testing.assert_allclose(at_middles(np.array([1.0, 2, 4]), 3, 5), [1, 1, 2, 4, 4])
    np.testing.assert_allclose(at_middles(np.array([1.0, 2]), 2, 3), [1, 1.5, 2])
