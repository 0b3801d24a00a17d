"""Estimators of windows on the axis of a long recording."""

import functools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.utils import check_random_state

from skvqts import SlidingWindows, WindowedEstimator, as_series_list, load
from skvqts._recordings.gaps import bridged, filled_recording, runs, windows_of_gaps
from skvqts._recordings.generation import chained, put_together, sampled_recording
from skvqts._recordings.recording import as_recording, continued_like, times_after
from skvqts._recordings.windowed import features_of_points, training_windows

from .estimators import (
    extractor,
    fcn,
    masked_prior,
    random_convolutions,
    tokenizer,
    window_codes,
)
from .refusals import assert_refused

HOURS = pd.date_range("2024-03-01", periods=300, freq="h")


def wave(n=300, n_channels=2):
    """A recording ``(c, t)`` of period 20."""
    rng = np.random.default_rng(0)
    phases = 2 * np.pi * np.arange(n) / 20 + np.arange(n_channels)[:, None]
    return np.sin(phases) + 0.1 * rng.normal(size=phases.shape)


@functools.cache
def fitted(make=masked_prior, n_channels=2):
    """A small estimator on windows of 32 points; not to be changed."""
    return WindowedEstimator(make(), length=32, random_state=0).fit(wave(300, n_channels)[None])


class LineGenerator(BaseEstimator):
    """Windows with a slope of 1 from random levels; gaps are filled with how many are known."""

    def fit(self, X, y=None):
        self.n_timepoints_in_ = X.shape[2]
        return self

    def sample(self, n_samples, *, random_state=None):
        levels = check_random_state(random_state).uniform(0, 100, size=(n_samples, 1, 1))
        return levels + np.arange(self.n_timepoints_in_)

    def impute(self, X, *, n_draws=None, random_state=None):
        known = (~np.isnan(X)).sum(axis=2, keepdims=True)
        filled = np.where(np.isnan(X), known, X)
        return filled if n_draws is None else np.repeat(filled[None], n_draws, axis=0)


# ---- tokens


@pytest.mark.parametrize(
    "make",
    [
        tokenizer,
        functools.partial(tokenizer, n_bands=2),
        functools.partial(tokenizer, frontend="stft"),
    ],
)
def test_tokens_are_those_of_windows_end_to_end_in_the_order_of_time(make):
    model, values = fitted(make), wave(300)
    tokens = model.encode(values[None])
    assert tokens.ids.dtype == tokens.times.dtype == np.int64
    # 9 windows end to end; the last one, from 268 on, has new tokens from 288 on only.
    expected = []
    starts = [*range(0, 288, 32), 268]
    for start in starts:
        ids = model.estimator_.encode(values[None, :, start : start + 32])[0]
        first = 0
        for (rows, columns), stride in zip(
            model.estimator_.token_shape_, model.estimator_.module_.strides, strict=True
        ):
            for row in range(rows):
                for column in range(columns):
                    time = start + column * stride
                    if start != 268 or time >= 288:
                        expected.append((time, first + row * columns + column, ids))
            first += rows * columns
    expected.sort(key=lambda entry: entry[:2])
    np.testing.assert_array_equal(tokens.times, [time for time, _, _ in expected])
    np.testing.assert_array_equal(tokens.ids, [ids[place] for _, place, ids in expected])


def test_tokens_of_windows_without_a_network_have_the_times_of_these():
    values = wave(110)
    model = WindowedEstimator(window_codes(window=8, stride=4), length=32).fit(values[None])
    tokens = model.encode(values[None])
    # Three windows end to end; of the last one, from 78 on, the tokens that start from 96 on.
    starts = [start for window in (0, 32, 64) for start in range(window, window + 25, 4)]
    starts += [98, 102]
    np.testing.assert_array_equal(tokens.times, starts)
    for start, token in zip(starts, tokens.ids, strict=True):
        window = start // 32 * 32 if start < 96 else 78
        ids = model.estimator_.encode(values[None, :, window : window + 32])[0]
        assert token == ids[(start - window) // 4]


def test_tokens_of_a_table_have_dates():
    frame = pd.DataFrame(wave().T, index=HOURS, columns=["a", "b"])
    model = WindowedEstimator(tokenizer(), length=32, random_state=0).fit(frame)
    tokens = model.encode(frame)
    assert tokens.times.dtype.kind == "M"
    np.testing.assert_array_equal(
        tokens.times, HOURS.to_numpy()[model.encode(wave()[None]).times].astype(tokens.times.dtype)
    )


# ---- features


def test_features_of_windows_are_those_of_the_estimator():
    model, values = fitted(extractor), wave()
    windows = SlidingWindows(32).fit(values[None])
    expected = model.estimator_.transform(windows.transform(values[None]))
    np.testing.assert_array_equal(model.transform(values[None]), expected)
    assert len(model.get_feature_names_out()) == expected.shape[1]
    np.testing.assert_array_equal(model.window_starts(values[None]), windows.starts(values[None]))


def test_features_of_a_generator_are_those_of_its_tokenizer():
    model, values = fitted(), wave()
    expected = model.estimator_.tokenizer_.transform(SlidingWindows(32).fit_transform(values[None]))
    np.testing.assert_array_equal(model.transform(values[None]), expected)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@pytest.mark.parametrize("per", ["window", "point"])
def test_features_are_the_same_in_every_container(per, container):
    frame = pd.DataFrame(wave().T, index=HOURS, columns=["a", "b"])
    model = WindowedEstimator(random_convolutions(), length=32, per=per, random_state=0)
    model.fit(frame)
    expected, scores = model.transform(frame), model.anomaly_score(frame)
    with config_context(transform_output=container):
        features = model.transform(frame)
        assert type(features).__module__.startswith(container)
        np.testing.assert_array_equal(np.asarray(features), expected)
        np.testing.assert_array_equal(model.anomaly_score(frame), scores)
    inner = clone(model).set_params(estimator=random_convolutions().set_output(transform=container))
    np.testing.assert_array_equal(inner.fit(frame).transform(frame), expected)


def test_parameters_of_the_default_estimator_can_be_set():
    model = WindowedEstimator().set_params(estimator__width=8, estimator__tokenizer__max_epochs=3)
    assert (model.estimator.width, model.estimator.tokenizer.max_epochs) == (8, 3)


def test_features_of_points_are_weighted_means_of_those_of_windows():
    features, starts = np.array([[1.0], [2.0], [4.0]]), np.array([0, 2, 3])
    # Weights 1, 2, 2, 1 from 0, 2 and 3 on.
    expected = [
        1,
        1,
        (2 * 1 + 1 * 2) / 3,
        (1 * 1 + 2 * 2 + 1 * 4) / 4,
        (2 * 2 + 2 * 4) / 4,
        (1 * 2 + 2 * 4) / 3,
        4,
    ]
    np.testing.assert_allclose(features_of_points(features, starts, 4)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("per", ["window", "point"])
def test_pandas_output_has_times_as_index(per):
    frame = pd.DataFrame(wave().T, index=HOURS, columns=["a", "b"])
    model = WindowedEstimator(random_convolutions(), length=32, per=per, random_state=0)
    model.fit(frame)
    expected = model.transform(frame)
    out = model.set_output(transform="pandas").transform(frame)
    np.testing.assert_array_equal(out.to_numpy(), expected)
    assert list(out.columns) == list(model.get_feature_names_out())
    np.testing.assert_array_equal(
        out.index, HOURS if per == "point" else HOURS[model.window_starts(wave()[None])]
    )


# ---- forms


def test_what_comes_back_has_the_form_of_what_was_given():
    model, values = fitted(tokenizer, 1), wave(300, 1)[0]
    expected = model.reconstruct(values)
    assert expected.shape == (300,)
    np.testing.assert_array_equal(model.reconstruct(values[None, None]), expected[None, None])
    series = model.reconstruct(pd.Series(values, HOURS, name="load"))
    pd.testing.assert_series_equal(series, pd.Series(expected, HOURS, name="load"))
    series = model.reconstruct(pl.Series("load", values))
    assert series.equals(pl.Series("load", expected), check_names=True)
    frame = pd.DataFrame({"load": values})
    pd.testing.assert_frame_equal(model.reconstruct(frame), pd.DataFrame({"load": expected}))
    stamped = pl.DataFrame({"when": HOURS.to_numpy(), "load": values})
    out = model.reconstruct(stamped)
    assert isinstance(out, pl.DataFrame)
    assert out["when"].equals(stamped["when"])
    np.testing.assert_array_equal(out["load"], expected)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_without_a_row_are_filled_too(zone):
    hours = HOURS.tz_localize("UTC").tz_convert(zone) if zone else HOURS
    frame = pd.DataFrame(wave().T, index=hours, columns=["a", "b"])
    model = WindowedEstimator(LineGenerator(), length=32).fit(frame)
    filled = model.impute(frame.drop(hours[100:103]))
    assert filled.notna().all(axis=None)
    pd.testing.assert_index_equal(filled.index, hours, exact=False, check_names=False)
    left = hours.delete(range(100, 103))
    pd.testing.assert_frame_equal(filled.loc[left], frame.loc[left], check_freq=False)
    stamped = frame.reset_index(names="when")
    filled = model.impute(stamped.drop(range(100, 103)))
    assert list(filled) == ["when", "a", "b"]
    pd.testing.assert_series_equal(filled["when"], stamped["when"])
    of_polars = pl.from_pandas(stamped.drop(range(100, 103)))
    filled = model.impute(of_polars)
    assert filled["when"].dtype == of_polars["when"].dtype
    np.testing.assert_array_equal(filled["when"], hours.tz_convert(None) if zone else hours)


@pytest.mark.parametrize(
    "index",
    [
        pd.period_range("2000-01", periods=300, freq="M"),
        pd.date_range("2000-01-01", periods=300, freq="MS"),
        pd.date_range("2000-01-31", periods=300, freq="ME"),
        pd.date_range("2000-03-31", periods=300, freq="QE"),
        pd.date_range("1800-01-01", periods=300, freq="YS", unit="us"),
        # The clocks of a zone change in summer.
        pd.date_range("2000-01-01", periods=300, freq="MS", tz="Europe/Berlin"),
        pd.date_range("2000-01-31", periods=300, freq="ME", tz="America/New_York"),
        pd.date_range("2024-01-01", periods=300, freq="D", tz="Europe/Berlin", unit="us"),
        pd.date_range("2024-01-01", periods=300, freq="D", tz="Europe/Berlin", unit="ns"),
        pd.date_range("2024-01-01", periods=300, freq="D", tz="Europe/Berlin", unit="s"),
        pd.date_range("2024-01-01", periods=300, freq="6h", tz="Europe/Berlin"),
        pd.date_range("2024-01-01", periods=300, freq="D", tz="UTC+01:00"),
        # A recording of sound.
        pd.date_range("2024-01-01", periods=300, freq="22676ns", unit="ns"),
        pd.date_range("2024-01-01", periods=300, freq="500ns", unit="ns"),
    ],
)
def test_times_of_any_step_without_a_row_get_their_dates(index):
    series = pd.Series(wave(300, 1)[0], index.rename("when"))
    model = WindowedEstimator(LineGenerator(), length=32).fit(series)
    filled = model.impute(series.drop(index[[13, 14, 89, 200]]))
    pd.testing.assert_index_equal(filled.index, series.index, exact=False)


@pytest.mark.parametrize(
    "index",
    [
        pd.bdate_range("2024-01-01", periods=300),
        pd.bdate_range("2024-01-01 17:30", periods=300, tz="America/New_York"),
        pd.bdate_range("1965-01-01", periods=300, unit="s"),
        pd.bdate_range("2024-01-01", periods=300, tz="UTC+09:00"),
        pd.date_range("2000-01-31", periods=300, freq="ME", tz="UTC+02:00"),
        pd.bdate_range("2024-01-01", periods=300, freq="2B"),
        pd.date_range("2000-01-31", periods=300, freq="BME"),
        pd.date_range("2000-01-01", periods=300, freq="BMS"),
        pd.date_range("2000-01-31", periods=300, freq="BQE"),
        pd.DatetimeIndex([pd.Timestamp(2000, 1, 30) + pd.DateOffset(months=i) for i in range(300)]),
        pd.DatetimeIndex(
            [pd.Timestamp(2000, 1, 29, 6) + pd.DateOffset(months=i) for i in range(300)]
        ),
    ],
    ids=lambda index: f"{index.freq} {index[0]}",
)
def test_days_of_work_and_of_months_go_on_as_they_came(index):
    series = pd.Series(wave(300, 1)[0], index.rename("when"))
    model = WindowedEstimator(LineGenerator(), length=32).fit(series)
    filled = model.impute(series.drop(index[[13, 14, 89, 200]]))
    pd.testing.assert_index_equal(filled.index, series.index, exact=False)
    future = continued_like(series[:280], as_recording(series[:280], "me"), np.zeros((1, 20)))
    pd.testing.assert_index_equal(future.index, series.index[280:], exact=False)


@pytest.mark.filterwarnings("ignore:PeriodDtype.B. is deprecated")
def test_periods_of_days_of_work_have_no_weekends():
    series = pd.Series(wave(300, 1)[0], pd.bdate_range("2024-01-01", periods=300).to_period("B"))
    model = WindowedEstimator(LineGenerator(), length=32).fit(series)
    filled = model.impute(series.drop(series.index[[13, 14, 89]]))
    pd.testing.assert_index_equal(filled.index, series.index)


def test_holidays_move_the_last_day_of_work():
    months = pd.date_range("2000-01-31", periods=125, freq="BME")
    moved = months.where(months.month != 5, months - pd.offsets.BDay())
    series = pd.Series(wave(120, 1)[0], moved[:120])
    recording = as_recording(series.drop(moved[[7, 30]]), "me")
    np.testing.assert_array_equal(recording.times, moved[:120])
    np.testing.assert_array_equal(times_after(recording, 5), months[120:])


def test_every_second_friday_may_be_a_thursday():
    fridays = pd.date_range("2024-01-05", periods=60, freq="14D")
    moved = fridays.where(np.arange(60) != 20, fridays - pd.Timedelta(days=1))
    assert as_recording(pd.Series(np.arange(60.0), moved), "me").values.shape == (1, 60)


def test_a_day_at_a_weekend_makes_all_of_them_days():
    days = pd.date_range("2024-01-01", periods=300)
    few = days[(days.dayofweek < 5) | (days == "2024-03-02")]
    with pytest.raises(ValueError, match="Times without a row are missing"):
        WindowedEstimator(random_convolutions(), length=32).fit(pd.Series(1.0, few))
    assert as_recording(pd.Series(np.arange(12.0), days[7:19]), "me").values.shape == (1, 12)
    week = as_recording(pd.Series(np.arange(5.0), days[:5]), "me")
    assert times_after(week, 1) == np.datetime64("2024-01-06")


@pytest.mark.parametrize("kind", ["timestamp[us]", "timestamp[us, tz=Europe/Oslo]", "date32[day]"])
def test_dates_of_arrow_in_tables_of_pandas_are_dates(kind):
    pytest.importorskip("pyarrow")
    days = pd.bdate_range("2024-03-01", periods=60, tz="Europe/Oslo" if "tz" in kind else None)
    values = pd.Series(np.arange(60.0), days.date if "date" in kind else days)
    values.index = values.index.astype(f"{kind}[pyarrow]")
    recording = as_recording(values.drop(values.index[[5, 9]]), "me")
    np.testing.assert_array_equal(
        recording.times, np.asarray(days.tz_convert(None) if days.tz else days)
    )
    column = values.rename("a").rename_axis("when").reset_index()
    np.testing.assert_array_equal(as_recording(column, "me").times, recording.times)
    after = continued_like(values, recording, np.zeros((1, 2)))
    assert [str(day.date()) for day in after.index] == ["2024-05-24", "2024-05-27"]


def test_tables_of_arrow_are_refused_by_their_name():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.Table.from_pandas(pd.DataFrame({"a": wave(300, 1)[0]}))
    for take in (fitted(tokenizer, 1).encode, as_series_list):
        assert_refused(lambda take=take: take(table), (TypeError,), "pyarrow.*to_pandas")


def test_columns_keep_their_names_and_places():
    frame = pd.DataFrame({7: wave(300, 1)[0], "when": HOURS})
    model = WindowedEstimator(LineGenerator(), length=32).fit(frame)
    pd.testing.assert_frame_equal(model.impute(frame), frame)
    indexed = pd.DataFrame({7: wave(300, 1)[0]}, HOURS.rename("when"))
    pd.testing.assert_frame_equal(
        model.impute(indexed.drop(HOURS[[5]])).drop(HOURS[[5]]),
        indexed.drop(HOURS[[5]]),
        check_freq=False,
        check_column_type=False,
    )
    counted = pd.DataFrame({7: wave(300, 1)[0]}, np.arange(1000, 1300))
    features = WindowedEstimator(random_convolutions(), length=32).fit(counted)
    features.set_output(transform="pandas")
    assert features.transform(counted).index[:2].tolist() == [1000, 1016]


def test_tensors_and_lists_are_recordings_too():
    model, values = fitted(tokenizer, 1), wave(300, 1)[0]
    expected = model.reconstruct(values)
    for other in (torch.from_numpy(values), values.tolist()):
        np.testing.assert_array_equal(model.reconstruct(other), expected)
        np.testing.assert_array_equal(model.anomaly_score(other), model.anomaly_score(values))


def test_recordings_of_whole_numbers_are_sampled_whole_at_their_seams_too():
    model = WindowedEstimator(masked_prior(), length=32).fit(np.round(9 * wave(300, 1)[0]))
    model.estimator_.decoder_.is_used_ = True
    drawn = model.sample(200, random_state=0)
    np.testing.assert_array_equal(drawn, np.rint(drawn))


def test_what_is_sampled_can_be_read():
    model = fitted()
    assert np.isfinite(model.transform(model.sample(100, random_state=0))).all()


# ---- gaps


def test_gaps_are_filled_and_what_was_observed_stays():
    model, values = fitted(), wave()
    values[0, 20:25] = np.nan
    values[:, 100:170] = np.nan  # longer than two windows
    values[1, 295:] = np.nan
    filled = model.impute(values[None], random_state=3)
    assert filled.shape == (1, 2, 300)
    known = ~np.isnan(values)
    np.testing.assert_array_equal(filled[0][known], values[known])
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(model.impute(values[None], random_state=3), filled)
    draws = model.impute(values[None], n_draws=3, random_state=3)
    assert draws.shape == (3, 2, 300)
    assert np.isfinite(draws).all()
    hidden = draws[:, ~known]
    assert (hidden[0] != hidden[1]).mean() > 0.9


def test_a_gap_is_filled_as_the_generator_fills_the_window_around_it():
    model, values = fitted(), wave()
    values[:, 150:156] = np.nan
    random_state = np.random.RandomState(5)
    expected = filled_recording(model.estimator_, values, 32, 2, random_state)
    seed = np.random.RandomState(5).randint(2**31 - 1)
    window = values[None, :, 153 - 16 : 153 + 16]
    by_generator = model.estimator_.impute(window, n_draws=2, random_state=seed)
    np.testing.assert_array_equal(expected[:, :, 150:156], by_generator[:, 0, :, 13:19])


def test_a_recording_without_gaps_comes_back_as_it_is():
    values = wave()
    np.testing.assert_array_equal(fitted().impute(values[None]), values[None])
    assert fitted().impute(values[None], n_draws=2).shape == (2, 2, 300)


@given(st.lists(st.booleans(), min_size=8, max_size=60), st.integers(2, 8))
def test_windows_of_gaps_fill_every_point_once(missing, length):
    missing = np.array(missing)
    for _ in range(len(missing)):
        if not missing.any():
            break
        starts, wanted = windows_of_gaps(missing, length)
        filled = np.zeros(len(missing), dtype=int)
        for start, fills in zip(starts, wanted, strict=True):
            assert 0 <= start <= len(missing) - length
            assert fills.any()
            filled[start : start + length] += fills
        assert filled.max() == 1
        assert not (filled.astype(bool) & ~missing).any()
        missing = missing & (filled == 0)
    assert not missing.any()


def test_windows_lie_around_short_gaps_and_begin_half_before_long_ones():
    missing = np.zeros(100, dtype=bool)
    missing[[30, 31, 33]] = True
    missing[60:85] = True
    starts, wanted = windows_of_gaps(missing, 20)
    assert starts.tolist() == [21, 50]
    assert np.flatnonzero(wanted[0]).tolist() == [9, 10, 12]
    assert np.flatnonzero(wanted[1]).tolist() == list(range(10, 20))


def test_short_gaps_are_bridged_and_those_at_the_ends_are_not():
    values = np.array([[np.nan, 1, np.nan, 3, np.nan, np.nan, np.nan, 7, np.nan]])
    expected = [[np.nan, 1, 2, 3, np.nan, np.nan, np.nan, 7, np.nan]]
    np.testing.assert_array_equal(bridged(values, 2), expected)
    np.testing.assert_array_equal(bridged(values * np.nan, 9), values * np.nan)


@given(st.lists(st.booleans(), max_size=30))
def test_runs_are_the_stretches_of_true(flags):
    found = runs(np.array(flags, dtype=bool))
    again = np.zeros(len(flags), dtype=bool)
    for start, end in found:
        again[start:end] = True
    assert again.tolist() == flags
    assert (found[1:, 0] > found[:-1, 1]).all()


# ---- new recordings


def test_a_recording_of_lines_goes_on_where_it_was_going():
    generator = LineGenerator().fit(np.zeros((2, 1, 32)))
    recording = sampled_recording(generator, 200, 32, np.ones((1, 1)), np.random.RandomState(0))
    assert recording.shape == (1, 200)
    # Windows take over at 24, 40, ...: four points around these are filled, 22 others being known
    # where two more seams are in the window, 23 or 24 at the ends.
    steps = np.diff(recording[0])
    at_seams = np.zeros(199, dtype=bool)
    for seam in range(24, 200, 16):
        at_seams[max(0, seam - 3) : seam + 2] = True
    np.testing.assert_allclose(steps[~at_seams], 1, rtol=1e-9)
    assert (np.abs(steps[at_seams]) > 1.5).any()


def test_the_next_window_is_one_of_the_few_that_fit_and_none_comes_twice():
    levels = np.arange(50.0)[:, None, None]
    pool = levels + np.arange(8.0)  # each goes on where that of a level 4 below was going
    windows = chained(pool, 10, 4, np.ones((1, 1)), pool[0], np.random.RandomState(0))
    firsts = [window[0, 0] for window in windows]
    assert len(set(firsts)) == 10
    assert max(np.abs(np.diff([0, *firsts]) - 4)) <= 4


def test_windows_take_over_in_the_middle_of_their_overlap():
    windows = [np.full((1, 8), float(i)) for i in range(3)]
    recording, seams = put_together(windows, 4)
    assert seams.tolist() == [6, 10]
    assert recording.tolist() == [[0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]]


@pytest.mark.parametrize("n_timepoints", [1, 32, 33, 100])
def test_samples_have_any_length(n_timepoints):
    recording = fitted().sample(n_timepoints, random_state=1)
    assert recording.shape == (1, 2, n_timepoints)
    assert np.isfinite(recording).all()
    np.testing.assert_array_equal(fitted().sample(n_timepoints, random_state=1), recording)
    assert (fitted().sample(n_timepoints, random_state=2) != recording).any()


def test_a_forecast_is_the_generators_and_then_goes_on():
    model, values = fitted(), wave()
    future = model.forecast(values[None], 40, n_draws=3, random_state=1)
    assert future.shape == (3, 2, 40)
    seed = np.random.RandomState(np.random.RandomState(1).randint(2**31 - 1)).randint(2**31 - 1)
    first = model.estimator_.forecast(values[None, :, -32:], 16, n_draws=3, random_state=seed)
    np.testing.assert_array_equal(future[:, :, :16], first[0])
    median = model.forecast(values[None], 5, random_state=1)
    assert median.shape == (1, 2, 5)
    assert fitted(masked_prior, 1).forecast(wave(300, 1)[0], 3).shape == (3,)
    frame = pd.DataFrame(wave().T, index=HOURS, columns=["a", "b"])
    of_table = fitted().forecast(frame, 5, random_state=1)
    expected = pd.date_range(HOURS[-1] + HOURS.freq, periods=5, freq="h")
    np.testing.assert_array_equal(of_table.index, expected)
    np.testing.assert_array_equal(of_table[["a", "b"]].T, median[0])


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2024-02-27", periods=6, freq="D"),  # into March
        pd.date_range("2024-03-30", periods=6, freq="h", tz="Europe/Oslo"),
        # The clocks change.
        pd.date_range("2024-03-27", periods=6, freq="D", tz="Europe/Oslo", unit="us"),
        pd.date_range("2024-03-27", periods=6, freq="D", tz="Europe/Oslo", unit="ns"),
        pd.date_range("2024-01-01", periods=6, freq="MS", tz="Europe/Oslo"),
        pd.date_range("2024-01-01", periods=6, freq="22676ns", unit="ns"),
        pd.date_range("2023-07-31", periods=6, freq="ME"),
        pd.date_range("2020-01-01", periods=6, freq="QS"),
        pd.period_range("2023-11", periods=6, freq="M"),
    ],
)
def test_the_dates_of_a_recording_go_on_at_its_step(index):
    table = pd.DataFrame({"b": np.arange(6.0), "a": np.arange(6.0) + 10}, index=index)
    future = continued_like(table[:4], as_recording(table[:4], "me"), table[4:].to_numpy().T)
    pd.testing.assert_frame_equal(future, table[4:], check_freq=False, check_index_type=False)
    assert future.index.dtype == index.dtype
    series = continued_like(
        table["a"][:4], as_recording(table["a"][:4], "me"), table["a"][4:].to_numpy()[None]
    )
    pd.testing.assert_series_equal(series, table["a"][4:], check_freq=False)
    in_column = table.reset_index(names="when")
    future = continued_like(
        in_column[:4], as_recording(in_column[:4], "me"), table[4:].to_numpy().T
    )
    pd.testing.assert_frame_equal(future, in_column[4:].reset_index(drop=True))
    if not isinstance(index, pd.PeriodIndex):
        in_column = pl.from_pandas(in_column)
        future = continued_like(
            in_column[:4], as_recording(in_column[:4], "me"), table[4:].to_numpy().T
        )
        assert future.equals(in_column[4:])
        assert future.schema == in_column.schema


def test_a_column_of_dates_goes_on_and_without_dates_rows_are_counted():
    dated = pl.DataFrame({"v": [1.0, 2.0, 3.0], "when": HOURS[:3].to_numpy()})
    future = continued_like(dated, as_recording(dated, "me"), np.array([[4.0, 5.0, 6.0]]))
    assert future.columns == dated.columns
    np.testing.assert_array_equal(future["when"], HOURS[3:6])
    assert future["v"].to_list() == [4.0, 5.0, 6.0]
    plain = pd.DataFrame({"v": [1.0, 2.0, 3.0]})
    future = continued_like(plain, as_recording(plain, "me"), np.array([[4.0, 5.0]]))
    pd.testing.assert_frame_equal(future, pd.DataFrame({"v": [4.0, 5.0]}))


# ---- anomalies


def test_a_reversed_stretch_is_the_strangest():
    values = np.arange(600) % 20 / 10 - 1  # a saw
    values[301:321] = values[301:321][::-1]
    model = WindowedEstimator(random_convolutions(n_kernels=200), length=32).fit(values)
    scores = model.anomaly_score(values)
    assert scores.shape == (600,)
    assert 290 < scores.argmax() < 332
    top, second = model.anomalies(values, n_stretches=2)
    assert top.start < 311 < top.stop
    assert top.score == scores.max() > second.score
    # Beside the recording without it, it is as strange.
    reference = np.arange(600) % 20 / 10 - 1
    assert 290 < model.anomaly_score(values, reference).argmax() < 332
    assert model.anomaly_score(reference, reference).max() < top.score / 5


def test_a_recording_that_goes_on_is_not_compared_with_itself():
    values = np.arange(900) % 20 / 10 - 1
    values[300:312] = 3
    model = WindowedEstimator(random_convolutions(n_kernels=200), length=32).fit(values[:600])
    of_itself = model.anomaly_score(values[:600])
    continued = model.anomaly_score(values, reference=values[:600])
    np.testing.assert_allclose(continued[250:350], of_itself[250:350], rtol=1e-4)


def test_there_is_no_score_beside_long_gaps():
    values = wave(300, 1)[0]
    values[100:110] = np.nan
    values[200] = np.nan
    model = WindowedEstimator(tokenizer(missing="mask"), length=32, random_state=0).fit(values)
    scores = model.anomaly_score(values)
    assert np.flatnonzero(np.isnan(scores)).tolist() == list(range(84, 126))
    assert all(np.isfinite(s.score) for s in model.anomalies(values, n_stretches=20))
    values[100:140] = np.nan
    with pytest.raises(ValueError, match="a gap of 40 points, in which a whole window of 32"):
        model.encode(values)


def test_scores_of_a_table_have_its_times():
    frame = pd.DataFrame(wave().T, index=HOURS, columns=["a", "b"])
    model = WindowedEstimator(random_convolutions(), length=32).fit(frame)
    scores = model.anomaly_score(frame)
    assert list(scores) == ["anomaly_score"]
    pd.testing.assert_index_equal(scores.index, HOURS)
    np.testing.assert_array_equal(
        scores["anomaly_score"], model.anomaly_score(frame.to_numpy().T[None])
    )
    (stretch,) = model.anomalies(frame, n_stretches=1)
    (of_points,) = model.anomalies(frame.to_numpy().T[None], n_stretches=1)
    assert stretch.start == HOURS[of_points.start].to_numpy()
    assert stretch.stop == HOURS[of_points.stop - 1].to_numpy() + np.timedelta64(1, "h")
    assert stretch.score == of_points.score


def test_a_stretch_of_months_ends_where_a_month_begins():
    months = pd.date_range("2000-01-01", periods=120, freq="MS")
    values = wave(120, 1)[0]
    values[-2:] = 4.0  # the last stretch ends with the recording
    frame = pd.DataFrame({"a": values}, index=months)
    model = WindowedEstimator(random_convolutions(), length=12).fit(frame)
    stretches = model.anomalies(frame, n_stretches=20)
    of_points = model.anomalies(values, n_stretches=20)
    after = months.append(pd.DatetimeIndex(["2010-01-01"]))
    assert max(points.stop for points in of_points) == 120
    for stretch, points in zip(stretches, of_points, strict=True):
        assert stretch.start == after[points.start].to_numpy()
        assert stretch.stop == after[points.stop].to_numpy()


def test_windows_are_not_compared_with_themselves_in_a_longer_reference():
    values = wave(600, 1)[0]
    model = WindowedEstimator(random_convolutions(), length=32).fit(values)
    whole = model.anomaly_score(values)
    beginning = model.anomaly_score(values[:400], reference=values)
    # Up to the last window the same windows are scored.
    np.testing.assert_allclose(beginning[:360], whole[:360], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.anomaly_score(values[None, None].tolist()), whole)


def test_windows_of_a_generator_are_scored_as_by_itself():
    model, values = fitted(), wave()
    windows = SlidingWindows(32).fit_transform(values[None])
    expected = model.estimator_.score_samples(windows)
    np.testing.assert_array_equal(model.score_samples(values[None]), expected)


# ---- missing values


def test_an_estimator_that_takes_gaps_sees_them():
    values = wave()
    values[0, 50:54] = np.nan
    model = WindowedEstimator(tokenizer(missing="mask"), length=32, random_state=0)
    model.fit(values[None])
    assert model.n_windows_ == 134
    assert np.isfinite(model.transform(values[None])).all()
    assert np.isfinite(model.reconstruct(values[None])).all()
    assert np.isfinite(model.anomaly_score(values[None])).all()


# ---- fit


def test_training_windows_are_spread_over_the_recording():
    values = np.arange(100_000.0)[None]
    panel = training_windows(values, 64, 100, False, np.random.default_rng(0))
    assert panel.shape == (100, 1, 64)
    starts = panel[:, 0, 0]
    assert (starts // (99_937 / 100)).astype(int).tolist() == list(range(100))
    np.testing.assert_array_equal(panel[7, 0], starts[7] + np.arange(64))
    # A short one has a window for each sixteenth of one.
    assert len(training_windows(values[:, :1000], 64, 500, False, np.random.default_rng(0))) == 234


def test_windows_with_gaps_are_trained_on_only_where_they_are_taken():
    values = np.arange(1000.0)[None]
    values[0, 500:] = np.nan
    values[0, [7, 8, 20]] = np.nan
    rng = np.random.default_rng(0)
    complete = training_windows(values, 40, 1000, False, rng)
    assert np.isfinite(complete).all()
    np.testing.assert_allclose(np.diff(complete, axis=2), 1)  # short gaps are bridged
    with_gaps = training_windows(values, 40, 1000, True, rng)
    assert np.isnan(with_gaps).any()
    assert not np.isnan(with_gaps).all(axis=(1, 2)).any()
    assert len(with_gaps) > len(complete)
    with pytest.raises(ValueError, match="hardly a window of 40 time points"):
        training_windows(np.full((1, 100), np.nan), 40, 10, False, rng)


def test_equal_seeds_give_equal_models():
    again = WindowedEstimator(masked_prior(), length=32, random_state=0).fit(wave()[None])
    tokens = again.encode(wave()[None]), fitted().encode(wave()[None])
    np.testing.assert_array_equal(tokens[0].ids, tokens[1].ids)
    assert again.n_windows_ == fitted().n_windows_ == 134


def test_a_frozen_estimator_is_used_with_its_own_length():
    inner = fitted(tokenizer).estimator_
    model = WindowedEstimator(FrozenEstimator(inner)).fit(wave(500)[None])
    assert model.estimator_ is inner
    assert model.windows_.length_ == 32
    expected = fitted(tokenizer).encode(wave(500)[None]).ids
    np.testing.assert_array_equal(model.encode(wave(500)[None]).ids, expected)
    with pytest.raises(ValueError, match="fitted with n_timepoints_in_=32, got 20 as length"):
        WindowedEstimator(FrozenEstimator(inner), length=20).fit(wave()[None])
    with pytest.raises(NotFittedError):
        WindowedEstimator(FrozenEstimator(tokenizer())).fit(wave()[None])


def test_it_is_cloned_pickled_and_saved(tmp_path):
    model, values = fitted(), wave()
    expected = model.encode(values[None]).ids
    model.save(tmp_path / "model")
    for copy in (pickle.loads(pickle.dumps(model)), load(tmp_path / "model")):
        np.testing.assert_array_equal(copy.encode(values[None]).ids, expected)
        np.testing.assert_array_equal(
            copy.sample(50, random_state=0), model.sample(50, random_state=0)
        )
    copy = clone(model).set_params(estimator__n_layers=2)
    assert not hasattr(copy, "estimator_")
    assert copy.estimator.n_layers == 2


def test_it_has_the_methods_of_what_it_wraps():
    unfitted = WindowedEstimator()
    for name in ("encode", "reconstruct", "impute", "forecast", "sample", "transform"):
        assert hasattr(unfitted, name)
    of_extractor = fitted(extractor)
    for name in ("encode", "reconstruct", "impute", "forecast", "sample"):
        assert not hasattr(of_extractor, name)
    assert hasattr(WindowedEstimator(FrozenEstimator(fitted().estimator_)), "sample")
    assert not hasattr(fitted(tokenizer), "impute")


def test_errors_say_what_to_do():
    model = fitted(tokenizer)
    with pytest.raises(NotFittedError):
        WindowedEstimator().encode(wave()[None])
    with pytest.raises(ValueError, match=r"20 time points, fewer than the window of 32"):
        model.encode(wave(20)[None])
    with pytest.raises(ValueError, match="X has 1 channels, but WindowedEstimator is expecting 2"):
        model.encode(wave(300, 1)[None])
    with_gap = wave()
    with_gap[0, 5] = np.nan
    with pytest.raises(ValueError, match=r"has missing values \(1\), and VQTokenizer takes none"):
        model.transform(with_gap[None])
    with pytest.raises(ValueError, match="'horizon' parameter of forecast"):
        fitted().forecast(wave()[None], 0)
    with pytest.raises(ValueError, match="'estimator' parameter of WindowedEstimator"):
        WindowedEstimator("VQTokenizer").fit(wave()[None])
    with pytest.raises(ValueError, match="takes one recording"):
        WindowedEstimator(tokenizer()).fit(np.zeros((5, 100)))


def test_what_cannot_be_wrapped_is_refused():
    values = wave()[None]
    with pytest.raises(TypeError, match="wraps transformers and generators, got FCNClassifier"):
        WindowedEstimator(fcn()).fit(values)
    of_one_channel = fitted(tokenizer, 1).estimator_
    with pytest.raises(ValueError, match="fitted with n_channels_in_=1, got 2 as channels of X"):
        WindowedEstimator(FrozenEstimator(of_one_channel)).fit(values)
    pipeline = make_pipeline(random_convolutions()).fit(np.zeros((2, 2, 32)))
    with pytest.raises(TypeError, match="The Pipeline in `estimator` does not tell its"):
        WindowedEstimator(FrozenEstimator(pipeline)).fit(values)
    for length in (300, 301):
        with pytest.raises(ValueError, match="give a smaller length"):
            WindowedEstimator(tokenizer(), length=length).fit(values)
    with pytest.raises(ValueError, match="per='point' with a stride above the length"):
        WindowedEstimator(tokenizer(), length=32, stride=50, per="point").fit(values).transform(
            values
        )


def test_parts_of_a_pipeline_are_seeded():
    values = wave()[None]
    make = lambda: WindowedEstimator(  # noqa: E731
        make_pipeline(extractor(random_state=None)), length=32, random_state=0
    )
    np.testing.assert_array_equal(
        make().fit(values).transform(values), make().fit(values).transform(values)
    )


def test_the_stride_may_be_changed_after_fit():
    model = WindowedEstimator(random_convolutions(), length=32).fit(wave()[None])
    model.set_params(stride=4)
    assert len(model.transform(wave()[None])) == len(model.window_starts(wave()[None])) == 68


def test_a_failed_fit_leaves_the_former_one():
    model = WindowedEstimator(tokenizer(), length=32, random_state=0).fit(wave()[None])
    before = dict(vars(model))
    with pytest.raises(ValueError, match="windows of 32 time points"):
        model.fit(wave(20)[None])
    assert vars(model) == before
