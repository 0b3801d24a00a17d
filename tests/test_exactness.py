"""What recorded series have to the bit, found and given to drawn ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skvqts._generation.flow.exactness import (
    Exactness,
    common_moments,
    held,
    repeats_of,
    shared_step,
    step_of,
)

RNG = np.random.default_rng(0)


def no_repeats(X):
    return np.zeros((len(X), 0, X.shape[2]), dtype=bool)


@settings(max_examples=50, deadline=None)
@given(step=st.floats(0.01, 1000), offset=st.floats(-1, 1), n_levels=st.integers(2, 800))
def test_the_step_of_values_on_a_grid_is_found(step, offset, n_levels):
    rng = np.random.default_rng(n_levels)
    multiples = np.r_[0, 1, rng.integers(0, n_levels, 200)]
    values = (multiples + offset) * step
    found, from_where = step_of(values)
    assert found == pytest.approx(step, rel=1e-4)
    rounded = np.round((values - from_where) / found) * found + from_where
    np.testing.assert_allclose(rounded, values, atol=1e-3 * step)


@pytest.mark.parametrize("n", [2, 3, 5, 24, 500])
def test_values_that_are_on_no_grid_have_no_step(n):
    steps = [step_of(RNG.normal(size=n))[0] for _ in range(40)]
    assert np.isnan(steps).mean() > 0.8


def test_constant_values_have_no_step():
    assert np.isnan(step_of(np.full(20, 3.3))).all()


def test_a_grid_too_fine_to_be_seen_is_none():
    values = np.round(RNG.normal(size=400), 5)
    assert np.isnan(step_of(values)).all()


def test_repeats_are_found_and_the_first_value_is_none():
    X = np.array([[[1.0, 1.0, 2.0, 2.0, 2.0]]])
    assert repeats_of(X).tolist() == [[[False, True, False, True, True]]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**20))
def test_runs_are_held_at_their_mean(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(3, 2, 9))
    repeats = rng.random(X.shape) < 0.5
    expected = X.copy()
    for row, channel in np.ndindex(3, 2):
        start = 0
        for t in range(1, 10):
            if t == 9 or not repeats[row, channel, t]:
                expected[row, channel, start:t] = X[row, channel, start:t].mean()
                start = t
    np.testing.assert_allclose(held(X, repeats), expected)


def test_level_and_scale_are_common_only_where_all_series_share_them():
    X = RNG.normal(size=(6, 2, 30))
    assert np.isnan(common_moments(X)).all()
    X = (X - X.mean(2, keepdims=True)) / X.std(2, keepdims=True)
    level, scale = common_moments(3 * X + np.array([[5.0], [-1.0]]))
    np.testing.assert_allclose(level, [[5.0], [-1.0]])
    np.testing.assert_allclose(scale, [[3.0], [3.0]])
    # Each channel by itself.
    X[:, 1] *= RNG.uniform(1, 2, (6, 1))
    level, scale = common_moments(X)
    np.testing.assert_allclose([level[0], scale[0]], [[0.0], [1.0]], atol=1e-12)
    assert np.isnan([level[1], scale[1]]).all()


@pytest.mark.parametrize("n_timepoints", [1, 10])
def test_a_constant_that_all_series_share_has_its_value_to_the_bit(n_timepoints):
    X = RNG.normal(size=(4, 2, n_timepoints))
    X[:, 1] = 0.1
    level, scale = common_moments(X)
    assert np.isnan(level[0])
    assert (level[1], scale[1]) == (0.1, 0.0)
    drawn = RNG.normal(size=(3, 2, n_timepoints))
    exactness = Exactness(X, np.zeros(4, int))
    repeats = np.zeros((3, len(exactness.repeating), n_timepoints), dtype=bool)
    found = exactness.impose(drawn, repeats, np.zeros(3, int), np.zeros(3))
    assert (found[:, 1] == 0.1).all()
    np.testing.assert_array_equal(found[:, 0], drawn[:, 0])
    # Constants that differ from series to series have no value in common.
    X[:, 1] = RNG.normal(size=(4, 1))
    assert np.isnan(common_moments(X)).all()


@pytest.mark.parametrize("spread", [3.0, 30_000.0])
def test_whole_numbers_stay_whole_however_many_there_are(spread):
    X = np.rint(RNG.normal(0, spread, (12, 2, 40)))
    X[:, 1] += 0.5 * RNG.random((12, 40))
    exactness = Exactness(X, np.zeros(12, int))
    drawn = RNG.normal(0, spread, (5, 2, 40))
    repeats = np.zeros((5, len(exactness.repeating), 40), dtype=bool)
    found = exactness.impose(drawn, repeats, np.zeros(5, int), RNG.random(5))
    np.testing.assert_array_equal(found[:, 0], np.rint(drawn[:, 0]))
    np.testing.assert_array_equal(found[:, 1], drawn[:, 1])
    # Of equal level and scale, too, which whole numbers do not keep to the bit.
    X = np.sign(RNG.permuted(np.tile(np.arange(40) - 19.5, (12, 1, 1)), axis=2))
    exactness = Exactness(X, np.zeros(12, int))
    repeats = np.zeros((5, len(exactness.repeating), 40), dtype=bool)
    found = exactness.impose(drawn[:, :1], repeats, np.zeros(5, int), RNG.random(5))
    np.testing.assert_array_equal(found, np.rint(found))


def test_drawn_series_get_the_common_level_and_scale():
    X = RNG.normal(size=(10, 2, 30))
    X = (X - X.mean(2, keepdims=True)) / X.std(2, keepdims=True) * 4 + 7
    drawn = RNG.normal(size=(5, 2, 30))
    drawn[0] = 1.0  # a constant has no scale
    exactness = Exactness(X, np.zeros(10, int))
    found = exactness.impose(drawn, no_repeats(drawn), np.zeros(5, int), np.zeros(5))
    np.testing.assert_allclose(found.mean(2), 7)
    np.testing.assert_allclose(found[1:].std(2), 4)
    assert np.isfinite(found).all()


def test_drawn_series_get_the_steps_of_their_class():
    fine, coarse = np.round(RNG.normal(0, 1, (8, 1, 60)), 1), RNG.integers(0, 9, (8, 1, 60))
    classes = np.repeat([0, 1], 8)
    exactness = Exactness(np.concatenate([fine, coarse]), classes)
    drawn = RNG.normal(3, 2, (6, 1, 60))
    labels = np.array([0, 0, 1, 1, 0, 1])
    repeats = np.zeros((6, len(exactness.repeating), 60), dtype=bool)  # values on a grid repeat
    found = exactness.impose(drawn, repeats, labels, RNG.random(6))
    np.testing.assert_allclose(found[labels == 1] % 1, 0, atol=1e-9)
    np.testing.assert_allclose(np.round(10 * found), 10 * found, atol=1e-6)
    assert np.abs(found - drawn)[labels == 0].max() < 0.051
    # A class that no training series has stands for any.
    unknown = exactness.impose(drawn, repeats, labels + 2, RNG.random(6))
    assert np.abs(unknown - drawn).max() < 0.51


def test_a_step_is_shared_where_all_are_multiples_of_it():
    shared = shared_step(np.array([0.5, np.nan, 1.5, 0.5]), np.array([0.2, np.nan, 1.2, -0.3]))
    assert shared == (0.5, 0.2)
    assert np.isnan(shared_step(np.array([0.5, 0.7]), np.zeros(2))).all()
    assert np.isnan(shared_step(np.array([0.5, 0.5]), np.array([0.0, 0.2]))).all()


def test_gaps_get_constants_whole_numbers_and_steps_and_what_was_observed_stays():
    whole, tenths = RNG.integers(0, 90, (8, 60)), RNG.integers(0, 90, (8, 60)) / 10
    own = RNG.integers(0, 20, (8, 60)) * RNG.uniform(0.1, 0.2, (8, 1))
    X = np.stack([whole, tenths, own, np.full((8, 60), 3.7), RNG.normal(size=(8, 60))], axis=1)
    known = RNG.random(X.shape) < 0.7
    known[3] = False
    drawn = np.where(known, X, X + RNG.normal(size=X.shape) / 3)
    found = Exactness(X, np.zeros(8, int)).impose_in_gaps(drawn, known)
    np.testing.assert_array_equal(found[known], X[known])
    np.testing.assert_array_equal(found[:, 0], np.rint(drawn[:, 0]))
    np.testing.assert_allclose(found[:, 1], np.round(10 * drawn[:, 1]) / 10, atol=1e-9)
    step = np.array([step_of(series)[0] for series in own])[:, None]
    on_grid = np.delete(np.arange(8), 3)
    multiples = found[on_grid, 2] / step[on_grid]
    np.testing.assert_allclose(multiples, np.round(multiples), atol=1e-9)
    np.testing.assert_array_equal(found[3, 2], drawn[3, 2])  # nothing tells its step
    assert (found[:, 3] == 3.7).all()
    np.testing.assert_array_equal(found[:, 4], drawn[:, 4])


def test_series_without_anything_exact_stay_as_they_were_drawn():
    X, drawn = RNG.normal(size=(2, 12, 1, 40))
    exactness = Exactness(X, np.zeros(12, int))
    assert len(exactness.repeating) == 0
    same = exactness.impose(drawn, no_repeats(drawn), np.zeros(12, int), RNG.random(12))
    np.testing.assert_array_equal(same, drawn)


def test_only_channels_that_repeat_their_values_are_held():
    X = RNG.normal(size=(10, 2, 40))
    X[:, 1, 10:30] = X[:, 1, 10:11]
    exactness = Exactness(X, np.zeros(10, int))
    assert exactness.repeating.tolist() == [1]
    drawn = RNG.normal(size=(3, 2, 40))
    repeats = np.zeros((3, 1, 40), dtype=bool)
    repeats[:, :, 11:20] = True
    found = exactness.impose(drawn, repeats, np.zeros(3, int), np.zeros(3))
    np.testing.assert_array_equal(found[:, 0], drawn[:, 0])
    np.testing.assert_allclose(found[:, 1, 10:20].std(axis=1), 0, atol=1e-12)
    np.testing.assert_array_equal(found[:, 1, 20:], drawn[:, 1, 20:])
