"""Recordings as people have them: one long series, as an array, a Series or a table with times."""

from datetime import UTC, timezone, tzinfo
from numbers import Number
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from .._fitting.validation import as_array_like, content_of, is_missing, refuse_arrow

_HOLIDAYS = np.timedelta64(4, "D")  # by which the last day of work of a month may be earlier
_UNEVEN = 0.1  # of the usual step, by which others may miss a multiple, as those of days in a month
MOST_TIMES = 10  # for each row of a table


class Recording(NamedTuple):
    """One long series and its time axis.

    Attributes
    ----------
    values : float64 ndarray of shape (c, t)
        NaN where nothing was recorded.
    names : list of str or None
        Of the channels.
    times : ndarray of shape (t,) or None
        Evenly spaced dates, in UTC if they have a zone; None without a time axis.
    zone : ZoneInfo, timezone or None
        That zone, or its fixed offset.
    """

    values: np.ndarray
    names: list | None = None
    times: np.ndarray | None = None
    zone: tzinfo | None = None


def as_recording(X, caller):
    """The recording that an array or a table holds.

    Parameters
    ----------
    X : array-like of shape (t,) or (1, c, t), Series or DataFrame
        A table has a row for each time and a column for each channel. Its index, or a column, of
        dates is the time axis; a time without a row becomes a row of NaN.
    caller : str
        Who needs it, for messages.

    Returns
    -------
    recording : Recording

    Raises
    ------
    ValueError
        If it is not one recording, has infinite values, or its times do not rise in even steps.
    TypeError
        If it holds what is not a number.
    """
    if hasattr(X, "columns"):
        return _of_table(X, caller)
    values = np.asarray(as_array_like(X, caller, missing=True))
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    elif values.ndim == 1:
        values = values[None]
    else:
        raise ValueError(
            f"{caller} takes one recording: an array of shape (t,) or (1, c, t), or a table with a "
            f"row for each time. An array of shape {values.shape} is a set of series."
        )
    if values.dtype.kind not in "biufO":
        raise TypeError(f"{caller} takes real numbers, got an array of {content_of(values)}.")
    return _recording(values, None, _time_axis(_index_of(X), caller), caller)


def check_channels(recording, n_channels, names, caller):
    """Refuse a recording of other channels than those that were seen in `fit`.

    Parameters
    ----------
    recording : Recording
    n_channels : int
    names : list of str or None
        Of these channels, if they had any.
    caller : str
        Who was fitted, for messages.

    Raises
    ------
    ValueError
    """
    if len(recording.values) != n_channels:
        raise ValueError(
            f"X has {len(recording.values)} channels, but {caller} is expecting {n_channels} "
            "channels as input."
        )
    if None not in (names, recording.names) and names != recording.names:
        raise ValueError(
            f"The columns should match those that were passed to fit: {recording.names} are not "
            f"{names}."
        )


def like_recording(X, recording, values, names=None):
    """Values of each time of a recording, in the form that it was given in.

    Parameters
    ----------
    X : array-like, Series or DataFrame
        What ``as_recording`` was given.
    recording : Recording
        What it made of it.
    values : ndarray of shape (d, t)
    names : list of str or None
        Of the values, for a table; None: those of the channels.

    Returns
    -------
    values
        A Series (of the first values) or DataFrame of the library that `X` is of, with the times of
        the recording as index, or as the column that they were; otherwise an ndarray ``(t,)`` where
        `X` had one dimension, and ``(1, c, t)`` where it had three.
    """
    if hasattr(X, "columns"):
        # The names of channels as they were, of any kind.
        own = [name for name in X.columns if _dates(X[name]) is None]
        return _table_like(X, recording, dict(zip(names or own, values, strict=True)))
    if _is_series(X):
        return type(X)(values[0], index=_index_like(X.index, recording.times), name=X.name)
    if _is_series_of_polars(X):
        return type(X)(X.name, values[0])
    return values[None] if np.ndim(X) == 3 else values[0]


def continued_like(X, recording, values):
    """Values ``(c, horizon)`` after a recording, in the form that it was given in.

    The dates of a table go on at its step; without dates it has the usual index.
    """
    form = X if is_array(X) else X[:0]
    times = None if recording.times is None else times_after(recording, values.shape[1])
    return like_recording(form, Recording(values, recording.names, times), values)


def index_at(X, recording, places):
    """An index of pandas at some time points of a recording, as that of `X` if it has one."""
    index = _index_like(_index_of(X), recording.times)
    if index is not None and len(index) == recording.values.shape[1]:
        return index[places]
    return places if recording.times is None else recording.times[places]


def _is_series(X):
    """Whether it is a Series of pandas: lists and tensors have a method of the name `index`."""
    return hasattr(X, "index") and not callable(X.index)


def _is_series_of_polars(X):
    """Whether it is a Series of polars, which has a name and no index."""
    return hasattr(X, "name") and hasattr(X, "to_numpy") and not hasattr(X, "index")


def is_array(X):
    """Whether a recording was given as an array, or nested lists, not as a Series or a table."""
    return not (hasattr(X, "columns") or _is_series(X) or _is_series_of_polars(X))


def _index_of(X):
    """The index of a Series or DataFrame of pandas; None of anything else."""
    return X.index if _is_series(X) else None


def _table_like(table, recording, columns):
    """A DataFrame of pandas or polars with a row for each time of a recording."""
    n_times = recording.values.shape[1]
    in_order, index = {}, getattr(table, "index", None)
    for name in table.columns:  # the columns keep their order, and new ones come last
        if _dates(table[name]) is not None:
            kept = len(table) == n_times
            in_order[name] = table[name] if kept else _column_like(table[name], recording.times)
            index = index if len(table) == n_times else None
        elif name in columns:
            in_order[name] = columns[name]
    in_order |= columns
    if not hasattr(table, "index"):
        return type(table)(in_order)
    return type(table)(in_order, index=_index_like(index, recording.times))


def _column_like(column, times):
    """A column of dates of pandas or polars, with the times of a recording."""
    if hasattr(column, "dt") and hasattr(column.dt, "replace_time_zone"):  # of polars
        dates = type(column)(column.name, times)
        zone = getattr(column.dtype, "time_zone", None)
        if zone is not None:
            dates = dates.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
        return dates.cast(column.dtype)
    dates = type(column)(times, name=column.name)
    if str(column.dtype).startswith("period"):
        return dates.dt.to_period(column.dtype.freq).array
    zone = getattr(column.dt, "tz", None)
    return times if zone is None else dates.dt.tz_localize("UTC").dt.tz_convert(zone).array


def _index_like(index, times):
    """An index of pandas, with the times that had no row."""
    if times is None:
        return index if index is not None and len(index) else None
    if index is None or len(index) == len(times):
        return index
    index = _without_arrow(index)
    if hasattr(index, "to_timestamp"):  # of periods
        return type(index)(times, freq=index.freq, name=index.name)
    zone = getattr(index, "tz", None)
    if zone is None:
        return type(index)(times, name=index.name)
    return type(index)(times, tz="UTC", name=index.name).tz_convert(zone)


def _of_table(table, caller):
    """The recording of a DataFrame of pandas or polars."""
    refuse_arrow(table, caller)
    if getattr(getattr(table, "index", None), "nlevels", 1) > 1:
        raise ValueError(
            f"{caller} takes one recording, and the index of this table has several levels: take "
            "the rows of one series. `as_series_list` makes series of a long table."
        )
    columns = {str(name): table[name] for name in table.columns}
    if len(columns) != len(table.columns):
        raise ValueError(f"{caller} needs columns with different names.")
    dates = {name: _dates(column) for name, column in columns.items()}
    dates = {name: found for name, found in dates.items() if found is not None}
    channels = {name: np.asarray(columns[name]) for name in columns if name not in dates}
    of_index = _time_axis(_index_of(table), caller)
    if of_index is not None:
        dates["the index"] = of_index
    if len(dates) > 1:
        raise ValueError(
            f"{caller} needs one time axis, and this table has {len(dates)}: {list(dates)}. Leave "
            "all but one out."
        )
    if not channels:
        raise ValueError(f"{caller} needs a channel, and this table has none.")
    values = np.stack([_numbers(*channel, caller) for channel in channels.items()])
    return _recording(values, list(channels), next(iter(dates.values()), None), caller)


def _time_axis(index, caller):
    """The dates of an index, as `_dates` gives them; None of an index of numbers, or without one.

    Times of another kind are refused, or the order of rows and missing ones would go unseen.
    """
    dates = _dates(index)
    if index is None or dates is not None or getattr(index.dtype, "kind", "O") in "biuf":
        return dates
    raise TypeError(
        f"{caller} takes an index of dates or numbers, and this one holds "
        f"{content_of(np.asarray(index))}: convert a time axis to dates (pandas.to_datetime), or "
        "drop it (reset_index(drop=True))."
    )


class Dates(NamedTuple):
    """Dates of a column or an index, in UTC if they have a zone, and that zone."""

    times: np.ndarray
    zone: tzinfo | None


def _dates(values):
    """The `Dates` of a column or an index; None if it has none.

    Periods are the dates that they begin at.
    """
    if values is None:
        return None
    values = _without_arrow(values)
    words = str(getattr(values, "dtype", "")).lower()
    zone = _zone_of(getattr(values, "dtype", None))
    if words.startswith("period"):
        values = getattr(values, "dt", values).to_timestamp()
    elif words.startswith("datetime64") and "," in words:  # of pandas, with a zone
        values = getattr(values, "dt", values).tz_convert("UTC")
        values = getattr(values, "dt", values).tz_localize(None)
    dates = np.asarray(values)
    return Dates(dates, zone) if dates.dtype.kind == "M" else None


def _without_arrow(values):
    """A column or an index of pandas with dates of its own type, where they were of Arrow's."""
    dtype = getattr(values, "dtype", None)
    if not hasattr(dtype, "pyarrow_dtype") or dtype.kind != "M":
        return values
    zone = getattr(dtype.pyarrow_dtype, "tz", None)
    return values.astype("datetime64[us]" if zone is None else f"datetime64[us, {zone}]")


def _zone_of(dtype):
    """The zone of a dtype of pandas or polars, or its fixed offset; None without either."""
    zone = getattr(dtype, "tz", None) or getattr(dtype, "time_zone", None)
    try:
        return None if zone is None else ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError):
        offset = zone.utcoffset(None) if isinstance(zone, tzinfo) else None
        return None if offset is None else timezone(offset)


def _numbers(name, values, caller):
    if values.dtype.kind == "O":  # a column with missing values
        values = np.array([np.nan if is_missing(value) else value for value in values])
        if values.dtype.kind == "O" and all(isinstance(value, Number) for value in values):
            values = values.astype(np.float64)  # decimal numbers
    if values.dtype.kind not in "biuf":
        raise TypeError(
            f"{caller} takes columns of numbers and one of dates; column {name!r} holds "
            f"{content_of(values)}: leave it out, or convert a time axis to dates "
            "(pandas.to_datetime)."
        )
    return values.astype(np.float64)


def _recording(values, names, dates, caller):
    values = np.array(values, dtype=np.float64)
    if values.shape[1] < 2:
        raise ValueError(f"{caller} needs a recording of two time points at least.")
    if np.isinf(values).any():
        raise ValueError(f"{caller}: the recording has infinite values.")
    if dates is None:
        return Recording(values, names)
    return _on_even_times(values, names, *dates, caller)


def _on_even_times(values, names, times, zone, caller):
    """A recording with a row for every time: NaN at those that have none."""
    if np.isnat(times).any():
        raise ValueError(f"{caller}: row {int(np.isnat(times).argmax())} has no time.")
    steps = np.diff(_in_ticks(times))
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise ValueError(
            f"{caller}: the times do not rise: that of row {row} is {times[row]}, after "
            f"{times[row - 1]}{' (UTC)' if zone else ''}. Sort the rows, and keep one of each time."
        )
    counted, count_back = _counted(times, zone)
    places, in_steps, misses = even_places(counted)
    if misses.any():
        row = int(np.argmax(misses)) + 1
        raise ValueError(
            f"{caller}: the times are not evenly spaced: {times[row]} is {in_steps[row - 1]:.3g} "
            f"of the usual steps after {times[row - 1]}. Resample the recording first."
        )
    places = places.astype(np.int64)
    n_times = int(places[-1]) + 1
    if n_times > MOST_TIMES * len(times):
        raise ValueError(
            f"{caller}: of {n_times:,} times only {len(times):,} have a row: this is no recording."
        )
    even = np.full((len(values), n_times), np.nan)
    even[:, places] = values
    if n_times == len(times):
        return Recording(even, names, times, zone)
    every = np.interp(np.arange(n_times), places, counted - counted[0]).round().astype(np.int64)
    dates = count_back(every + counted[0])
    dates[places] = times
    return Recording(even, names, dates, zone)


def times_after(recording, horizon):
    """Dates ``(horizon,)`` that go on where those of a recording end, at their usual step."""
    counted, count_back = _counted(recording.times, recording.zone)
    step = np.median(np.diff(counted)).round().astype(np.int64)
    return count_back(counted[-1] + step * np.arange(1, horizon + 1))


def _counted(times, zone):
    """Dates ``(t,)`` as whole numbers that rise evenly, and what makes dates of such numbers.

    Months, quarters and years are of different length in days, and counted in months; between days
    of work there are weekends, and they are counted without these; days of a zone whose clocks
    change are of different length in hours, and counted by its clocks.
    """
    dtype = times.dtype
    # Whoever reads the clocks on a change sees steps of 23 hours.
    by_clocks = zone is not None and np.diff(times).min() >= np.timedelta64(23, "h")
    if by_clocks:
        times = _clock_of(zone, times)
    fine = _fine_dtype(times.dtype)
    times = times.astype(fine)
    counted, date_of = (
        _in_months(times) or _in_days_of_work(times) or (times.astype(np.int64), None)
    )

    def count_back(counted):
        dates = counted.astype(fine) if date_of is None else date_of(counted)
        return (_in_utc(zone, dates) if by_clocks else dates).astype(dtype)

    return counted, count_back


def _fine_dtype(dtype):
    """The dtype of dates in microseconds, or in their own unit if that is finer."""
    return np.promote_types(dtype, "datetime64[us]")


def _in_ticks(times):
    """Dates as whole numbers of microseconds, or of their own unit if that is finer."""
    return times.astype(_fine_dtype(times.dtype)).astype(np.int64)


def _clock_of(zone, times):
    """What the clocks of a zone show at times in UTC."""
    moments = times.astype("datetime64[us]").tolist()
    shown = [moment.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None) for moment in moments]
    return np.array(shown, dtype="datetime64[us]")


def _in_utc(zone, shown):
    """The times in UTC at which the clocks of a zone show something; the earlier of two."""
    moments = shown.astype("datetime64[us]").tolist()
    times = [moment.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None) for moment in moments]
    return np.array(times, dtype="datetime64[us]")


def _in_months(times):
    """Dates ``(t,)`` that are a month apart or more, in whole months, and what makes dates of such.

    They are the same day of each month, or its last one where there is no such day, or its first or
    last day of work, give or take holidays. None where dates are closer, or other days, or of
    different times of day.
    """
    days = times.astype("datetime64[D]")
    time_of_day = times[0] - days[0]
    months = days.astype("datetime64[M]")
    has_two = (np.diff(months) == np.timedelta64(0, "M")).any()  # in one month
    is_close = np.diff(times).min() < np.timedelta64(28, "D") - _HOLIDAYS
    if has_two or is_close or (times - days != time_of_day).any():
        return None
    day = (days - months.astype("datetime64[D]")).max()

    def same_day(months):
        return np.minimum(months.astype("datetime64[D]") + day, last_day(months))

    def last_day(months):
        return (months + 1).astype("datetime64[D]") - 1

    def first_day_of_work(months):
        return np.busday_offset(months.astype("datetime64[D]"), 0, roll="forward")

    def last_day_of_work(months):
        return np.busday_offset(last_day(months), 0, roll="backward")

    def missed(rule):
        return np.abs(rule(months) - days).max()

    day_of = same_day
    if missed(same_day) > np.timedelta64(0, "D"):
        day_of = min(first_day_of_work, last_day_of_work, key=missed)
        if missed(day_of) > _HOLIDAYS:
            return None
    return months.astype(np.int64), lambda n: day_of(n.astype("datetime64[M]")) + time_of_day


def _in_days_of_work(times):
    """Dates ``(t,)`` in days from Monday to Friday, and what makes dates of such; None of others.

    A recording over a weekend or more, without a row at any, goes on from Friday to Monday.
    """
    days = times.astype("datetime64[D]")
    time_of_day = times[0] - days[0]
    if (times - days != time_of_day).any() or not np.is_busday(days).all():
        return None
    first = days[0]
    counted = np.busday_count(first, days)
    is_over_a_weekend = counted[-1] < (days[-1] - first).astype(np.int64)
    if not is_over_a_weekend or even_places(counted)[2].any():
        return None
    return counted, lambda n: np.busday_offset(first, n) + time_of_day


def even_places(times):
    """Where times ``(t,)`` stand on an evenly spaced axis.

    Returns
    -------
    places : float64 ndarray of shape (t,)
        Whole numbers from 0 on.
    in_steps : float64 ndarray of shape (t - 1,)
        The steps between the times, in usual ones.
    misses : bool ndarray of shape (t - 1,)
        Steps that are no multiple of the usual one.
    """
    steps = np.diff(times)
    in_steps = steps / np.median(steps)
    whole = np.round(in_steps)
    misses = (np.abs(in_steps - whole) > _UNEVEN) | (whole < 1)
    return np.concatenate([[0.0], whole.cumsum()]), in_steps, misses
