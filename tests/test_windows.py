"""Windows of a recording and the recording of windows; recordings as arrays and tables."""

import pickle
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from skvqts import SlidingWindows, load
from skvqts._recordings.recording import as_recording
from skvqts._recordings.windows import automatic_length, dominant_period, overlap_add
from skvqts.metrics import frechet_distance

from .conftest import two_shapes
from .estimators import extractor, fcn, masked_prior, random_convolutions, tokenizer

RNG = np.random.default_rng(0)


def periodic(period, n, noise=0.3, seed=0):
    """A recording of one channel with a period, three harmonics, a trend and noise."""
    rng = np.random.default_rng(seed)
    phases = 2 * np.pi * np.arange(n) / period
    waves = np.sin(phases) + 0.5 * np.sin(2 * phases + 1) + 0.3 * np.sin(3 * phases + 2)
    return waves + 1e-3 * np.arange(n) + noise * rng.normal(size=n)


# ---- windows and back


@given(
    n=st.integers(2, 90), length=st.integers(2, 40), stride=st.integers(1, 50), c=st.integers(1, 3)
)
def test_windows_put_together_again_are_the_recording(n, length, stride, c):
    if length > n or stride > length:
        return
    recording = np.random.default_rng(n).normal(size=(1, c, n))
    windows = SlidingWindows(length, stride=stride).fit(recording)
    X = windows.transform(recording)
    assert X.shape[1:] == (c, length)
    np.testing.assert_array_equal(X[0], recording[0, :, :length])
    np.testing.assert_array_equal(X[-1], recording[0, :, -length:])
    back = windows.inverse_transform(X)
    np.testing.assert_allclose(back.reshape(recording.shape), recording, rtol=1e-12, atol=1e-12)


def test_windows_start_at_even_strides_and_the_last_ends_where_the_recording_ends():
    windows = SlidingWindows(10, stride=4).fit(np.arange(23.0))
    assert windows.starts(np.arange(23.0)).tolist() == [0, 4, 8, 12, 13]
    assert windows.starts(np.arange(22.0)).tolist() == [0, 4, 8, 12]
    np.testing.assert_array_equal(windows.transform(np.arange(22.0))[2, 0], np.arange(8.0, 18))


def test_overlapping_windows_are_averaged_by_hand_worked_weights():
    windows = np.array([[[0.0, 0, 0, 0]], [[6.0, 6, 6, 6]]])
    # weights of a window of four: 1, 2, 2, 1
    expected = [0, 0, 6 * 1 / 3, 6 * 2 / 3, 6, 6]
    np.testing.assert_allclose(overlap_add(windows, np.array([0, 2]))[0], expected)


def test_a_stride_above_the_length_cannot_be_undone():
    windows = SlidingWindows(4, stride=6).fit(np.arange(20.0))
    X = windows.transform(np.arange(20.0))
    with pytest.raises(ValueError, match="leaves gaps between windows"):
        windows.inverse_transform(X)


def test_the_length_of_another_recording_is_given():
    windows = SlidingWindows(10, stride=5).fit(RNG.normal(size=43))
    other = RNG.normal(size=72)
    X = windows.transform(other)
    np.testing.assert_allclose(windows.inverse_transform(X, 72), other)
    for n in (None, 60):
        with pytest.raises(ValueError, match=r"has \d+ windows, got 14: give n_timepoints"):
            windows.inverse_transform(X, n)
    with pytest.raises(ValueError, match="'n_timepoints' parameter of inverse_transform"):
        windows.inverse_transform(X, 72.0)


def test_missing_values_stay_where_they_are():
    recording = RNG.normal(size=50)
    recording[[3, 20, 21]] = np.nan
    windows = SlidingWindows(8, stride=3).fit(recording)
    np.testing.assert_allclose(windows.inverse_transform(windows.transform(recording)), recording)


def test_windows_can_be_changed_without_the_recording():
    recording = RNG.normal(size=(1, 2, 60))
    before = recording.copy()
    SlidingWindows(20).fit_transform(recording)[:] = 0
    np.testing.assert_array_equal(recording, before)


# ---- the automatic length


@pytest.mark.parametrize("period", [7, 24, 50, 144, 365])
@pytest.mark.parametrize("seed", range(5))
def test_the_dominant_period_is_found_in_noise_and_trend(period, seed):
    found = dominant_period(periodic(period, 12 * period, seed=seed)[None])
    assert abs(found - period) <= max(1, 0.02 * period)


def test_a_period_is_found_across_gaps_and_channels():
    recording = np.stack([periodic(40, 2000), RNG.normal(size=2000), periodic(40, 2000, seed=1)])
    recording[0, 100:400] = np.nan
    recording[2, ::3] = np.nan
    assert abs(dominant_period(recording) - 40) <= 1


@pytest.mark.parametrize(
    "recording",
    [
        RNG.normal(size=3000),
        np.cumsum(RNG.normal(size=3000)) * 0 + np.arange(3000.0),
        np.zeros(3000),
        np.full(3000, np.nan),
        np.exp(-np.arange(3000) / 500),
        RNG.normal(size=5),
    ],
    ids=["noise", "a line", "a constant", "nothing", "a decay", "five points"],
)
def test_what_has_no_period_has_none(recording):
    assert dominant_period(recording[None]) is None


@pytest.mark.parametrize("period", [200, 500, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_noise_on_a_smooth_wave_does_not_shorten_its_period(period, seed):
    rng = np.random.default_rng(seed)
    n = 12 * period
    wave = np.sin(2 * np.pi * np.arange(n) / period) + 0.3 * rng.normal(size=n)
    assert abs(dominant_period(wave[None]) - period) <= 0.03 * period


def test_channels_that_do_not_vary_and_large_numbers_do_not_hide_a_period():
    wave = np.sin(2 * np.pi * np.arange(1000) / 50)
    flat = np.stack([wave, np.zeros(1000), np.full(1000, 3.0), np.full(1000, np.nan)])
    assert dominant_period(flat) == 50
    assert dominant_period(1e200 * wave[None]) == 50
    assert dominant_period(1e-200 * wave[None]) == 50


@pytest.mark.parametrize("seed", range(5))
def test_few_pairs_of_values_make_no_period(seed):
    noise = np.random.default_rng(seed).normal(size=6000)
    noise[800:5600] = np.nan
    assert dominant_period(noise[None]) is None
    assert dominant_period(np.random.default_rng(seed).normal(size=(1, 64))) is None


def test_a_window_has_two_periods_within_limits():
    assert automatic_length(50, 10_000) == 100
    assert automatic_length(3, 10_000) == 32
    assert automatic_length(400, 10_000) == 512
    assert automatic_length(None, 10_000) == 128
    assert automatic_length(50, 400) == 50
    windows = SlidingWindows().fit(periodic(24, 1000))
    assert (windows.period_, windows.length_, windows.stride_) == (24, 48, 24)
    assert SlidingWindows(30).fit(periodic(24, 1000)).period_ is None


# ---- recordings


def test_arrays_series_and_tables_are_one_recording():
    values = RNG.normal(size=(2, 30))
    frame = pd.DataFrame(values.T, columns=["temp", "load"])
    dated = frame.assign(time=pd.date_range("2024-01-01", periods=30, freq="10min"))
    tables = {
        "frame": frame,
        "a column of dates": dated,
        "an index of dates": dated.set_index("time"),
        "dates with a zone": dated.assign(
            time=dated["time"].dt.tz_localize("UTC").dt.tz_localize(None)
        ),
        "polars": pl.DataFrame(dated),
        "an index of dates with a zone": dated.assign(
            time=dated["time"].dt.tz_localize("Europe/Oslo")
        ).set_index("time"),
        "an index of periods": dated.set_index(dated["time"].dt.to_period("min")).drop(
            columns="time"
        ),
        "missing objects": frame.astype(object),
        "an index of nullable numbers": frame.set_axis(pd.Index(range(30), dtype="Int64")),
    }
    for name, table in tables.items():
        recording = as_recording(table, "me")
        np.testing.assert_array_equal(recording.values, values, err_msg=name)
        without = ("frame", "missing objects", "an index of nullable numbers")
        assert (recording.times is None) == (name in without)
        assert recording.names == ["temp", "load"]
    np.testing.assert_array_equal(as_recording(values[None], "me").values, values)
    np.testing.assert_array_equal(as_recording(frame["load"], "me").values, values[1:])
    np.testing.assert_array_equal(as_recording(values[0].tolist(), "me").values, values[:1])


def test_a_time_without_a_row_becomes_a_missing_value():
    times = pd.date_range("2024-01-01", periods=20, freq="h")
    series = pd.Series(np.arange(20.0), times).drop(times[[4, 5, 11]])
    recording = as_recording(series, "me")
    expected = np.arange(20.0)
    expected[[4, 5, 11]] = np.nan
    np.testing.assert_array_equal(recording.values[0], expected)
    np.testing.assert_array_equal(recording.times, times.to_numpy())


def test_months_are_even_steps_and_times_may_jitter():
    months = pd.date_range("2020-01-01", periods=36, freq="MS")
    assert as_recording(pd.Series(np.arange(36.0), months), "me").values.shape == (1, 36)
    jitter = pd.date_range("2024-01-01", periods=20, freq="s")
    jitter = jitter + pd.to_timedelta(10 * (np.arange(20) % 3), "ms")
    assert as_recording(pd.Series(np.arange(20.0), jitter), "me").values.shape == (1, 20)


@pytest.mark.parametrize(
    "index",
    [
        pd.date_range("2024", periods=20).date,
        pd.date_range("2024", periods=20).strftime("%Y-%m-%d"),
        pd.timedelta_range("0h", periods=20, freq="h"),
        pd.Index([f"row {i}" for i in range(20)]),
    ],
    ids=["days", "texts", "spans", "names"],
)
def test_times_of_an_index_that_are_no_dates_are_refused(index):
    for table in (pd.Series(np.arange(20.0), index), pd.DataFrame({"a": np.arange(20.0)}, index)):
        with pytest.raises(TypeError, match=r"me takes an index of dates .*pandas.to_datetime"):
            as_recording(table, "me")
        as_recording(table.reset_index(drop=True), "me")


HOURS_OF_DAYS = pd.Timestamp("2024-01-01") + pd.to_timedelta([0, 24, 48, 63, 96], "h")
HOURS = pd.date_range("2024-01-01", periods=20, freq="h")


@pytest.mark.parametrize(
    ("X", "error", "match"),
    [
        (np.zeros((4, 30)), ValueError, r"An array of shape \(4, 30\) is a set of series"),
        (np.zeros((4, 1, 30)), ValueError, "is a set of series"),
        (np.zeros(1), ValueError, "two time points"),
        (np.array([1, np.inf, 2]), ValueError, "infinite"),
        (np.array(["a", "b"]), TypeError, "takes real numbers"),
        (pd.DataFrame({"a": ["x", "y"]}), TypeError, "column 'a' holds .* leave it out"),
        (pd.DataFrame({"time": HOURS}), ValueError, "this table has none"),
        (pd.DataFrame({"a": HOURS, "b": HOURS, "c": 1}), ValueError, "this table has 2"),
        (pd.Series(np.arange(20.0), HOURS[::-1]), ValueError, "do not rise: that of row 1"),
        (pd.Series(np.arange(3.0), HOURS[[0, 1, 1]]), ValueError, "keep one of each"),
        (
            pd.DataFrame(
                {"a": np.arange(8.0)}, pd.MultiIndex.from_product([[1, 2], HOURS[:4]])
            ),
            ValueError,
            "the index of this table has several levels",
        ),
        (
            pd.Series(np.arange(5.0), HOURS_OF_DAYS),
            ValueError,
            "not evenly spaced: .* is 0.625 of the usual steps",
        ),
        (
            pd.Series(np.arange(4.0), [*HOURS[:3], pd.Timestamp("2034-01-01")]),
            ValueError,
            "only 4 have a row",
        ),
    ],
)  # fmt: skip
def test_what_is_no_recording_is_refused_with_what_to_do(X, error, match):
    with pytest.raises(error, match=match):
        SlidingWindows(2).fit(X)


def test_two_rows_of_almost_the_same_time_are_refused():
    times = HOURS.insert(5, HOURS[4] + pd.Timedelta("2min"))
    with pytest.raises(ValueError, match="not evenly spaced"):
        as_recording(pd.Series(np.arange(21.0), times), "me")


def test_dates_of_every_century_are_taken():
    for year in ("0500-01-01", "1500-01-01", "9000-01-01"):
        times = np.datetime64(year) + np.arange(20)
        recording = as_recording(
            pd.Series(np.arange(20.0), pd.DatetimeIndex(times.astype("M8[s]"))), "me"
        )
        assert recording.times[0] == np.datetime64(year)


def test_errors_of_windows_name_what_was_seen():
    windows = SlidingWindows(10).fit(np.zeros((1, 2, 30)))
    with pytest.raises(ValueError, match="X has 1 channels, but SlidingWindows is expecting 2"):
        windows.transform(np.zeros(30))
    with pytest.raises(ValueError, match="windows of 10 time points, and the recording has 9"):
        windows.transform(np.zeros((1, 2, 9)))
    with pytest.raises(ValueError, match=r"shape \(n, 2, 10\) back, got \(4, 2, 9\)"):
        windows.inverse_transform(np.zeros((4, 2, 9)))
    frame = pd.DataFrame({"a": np.zeros(30), "b": 0.0})
    with pytest.raises(ValueError, match="columns should match"):
        SlidingWindows(10).fit(frame).transform(frame[["b", "a"]])
    with pytest.raises(ValueError, match="'length' parameter of SlidingWindows"):
        SlidingWindows(1).fit(np.zeros(30))


def test_a_failed_fit_leaves_windows_as_they_were():
    windows = SlidingWindows(10).fit(np.zeros((1, 2, 30)))
    before = dict(vars(windows))
    with pytest.raises(ValueError, match="give a smaller length"):
        windows.fit(np.zeros(9))
    assert vars(windows) == before


# ---- with the rest of the library


def test_a_recording_goes_through_a_pipeline_to_tokens_and_back():
    recording = periodic(20, 600, noise=0.1)
    pipeline = make_pipeline(SlidingWindows(40), tokenizer(output="tokens", max_epochs=60))
    tokens = pipeline.fit_transform(recording)
    assert tokens.dtype == np.int64
    back = pipeline.inverse_transform(tokens)
    assert back.shape == (600,)
    residuals = back - recording
    assert residuals.std() < 0.6 * recording.std()


def test_windows_are_pickled_saved_and_cloned(tmp_path):
    recording = periodic(24, 500)
    windows = SlidingWindows().fit(recording)
    windows.save(tmp_path / "windows")
    for copy in (pickle.loads(pickle.dumps(windows)), load(tmp_path / "windows")):
        np.testing.assert_array_equal(copy.transform(recording), windows.transform(recording))
        assert vars(copy) == vars(windows)


@pytest.mark.parametrize("fit", [tokenizer().fit, lambda X: frechet_distance(X, X)])
def test_a_column_that_holds_no_numbers_is_named(fit):
    days = pd.date_range("2020", periods=24)
    wide = pd.DataFrame(two_shapes(24, 16)[0]).rename(columns=str)
    of_polars = pl.DataFrame(wide)
    stamps = pl.Series(days.to_pydatetime().tolist())
    tables = [
        *(
            wide.assign(day=column)
            for column in (
                days,
                days.tz_localize("UTC"),
                days.to_period("D"),
                days - days[0],
                ["a"] * 24,
                pd.Categorical(["a"] * 24),
                np.array(["a", 1] * 12, dtype=object),
            )
        ),
        *(
            of_polars.with_columns(day=column)
            for column in (
                stamps,
                stamps.cast(pl.Date),
                stamps.dt.replace_time_zone("UTC"),
                stamps - stamps[0],
                stamps.dt.time(),
                pl.lit("a"),
                pl.lit("a").cast(pl.Categorical),
                pl.struct("0", "1"),
            )
        ),
    ]
    for table in tables:
        with pytest.raises(TypeError, match=r"Column 'day' of .* and no numbers: leave it out"):
            fit(table)


def test_a_table_with_a_row_for_each_time_is_no_set_of_series():
    recording = pd.DataFrame({"Time": np.arange(50) / 10, "load": np.arange(50.0)})
    long = recording.assign(id=np.repeat([0, 1], 25))
    for table in (recording, long, pl.DataFrame(recording)):
        pipeline = make_pipeline(tokenizer(), SVC())
        with pytest.raises(ValueError, match="has a column 'Time', so that its rows are times"):
            pipeline.fit(table, np.arange(50) % 2)


@pytest.mark.parametrize(
    "column",
    [
        pd.array([True, None, False, True], dtype="boolean"),
        pd.array([1, pd.NA, 0, 1], dtype=object),
        pl.Series([Decimal(1), None, Decimal(0), Decimal(1)]),
    ],
)
def test_channels_of_every_kind_with_missing_values_are_taken(column):
    make = pl.DataFrame if isinstance(column, pl.Series) else pd.DataFrame
    values = as_recording(make({"a": column}), "me").values
    np.testing.assert_array_equal(values, [[1.0, np.nan, 0.0, 1.0]])


def test_a_pipeline_of_tables_may_begin_with_windows():
    pipeline = make_pipeline(SlidingWindows(20), random_convolutions())
    features = pipeline.set_output(transform="pandas").fit_transform(periodic(20, 200))
    assert isinstance(features, pd.DataFrame)


def test_columns_of_numbers_of_every_kind_are_taken():
    wide = pd.DataFrame(two_shapes(24, 16)[0].round(2)).rename(columns=str)
    expected = tokenizer(max_epochs=1).fit(wide).codebook_
    tables = [
        wide.astype(object),
        wide.astype(str),
        wide.astype("Float64"),
        pl.DataFrame(wide),
        wide.map(lambda value: Decimal(str(value))),
        wide.astype("category"),
    ]
    for table in tables:
        np.testing.assert_array_equal(tokenizer(max_epochs=1).fit(table).codebook_, expected)


@pytest.mark.parametrize("make", [tokenizer, extractor, random_convolutions, fcn, masked_prior])
def test_where_series_are_needed_a_recording_is_told_what_to_use(make):
    estimator, y = make(), [0]
    for recording in (np.arange(300.0), pd.Series(np.arange(300.0)), np.zeros((1, 3, 300))):
        with pytest.raises(ValueError, match="recording is cut into series by SlidingWindows"):
            estimator.fit(recording, y)
