"""Recordings as people have them: one long series, as an array, a Series or a table with times."""

from numbers import Number
from typing import NamedTuple

import numpy as np

from .._fitting.validation import as_array_like, content_of, is_missing

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
        Evenly spaced dates; None without a time axis.
    """

    values: np.ndarray
    names: list | None = None
    times: np.ndarray | None = None


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
    return _recording(values, None, _dates(getattr(X, "index", None)), caller)  # of a Series


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
    return values[None] if np.ndim(X) == 3 else values[0]


def continued_like(X, recording, values):
    """Values ``(c, horizon)`` after a recording, in the form that it was given in.

    The dates of a table go on at its step; without dates it has the usual index.
    """
    form = X[:0] if hasattr(X, "columns") or _is_series(X) else X
    times = None if recording.times is None else times_after(recording.times, values.shape[1])
    return like_recording(form, Recording(values, recording.names, times), values)


def index_at(X, recording, places):
    """An index of pandas at some time points of a recording, as that of `X` if it has one."""
    if hasattr(X, "columns") or _is_series(X):
        index = _index_like(getattr(X, "index", None), recording.times)
        if index is not None and len(index) == recording.values.shape[1]:
            return index[places]
    return places if recording.times is None else recording.times[places]


def _is_series(X):
    """Whether it is a Series of pandas: lists and tensors have a method of the name `index`."""
    return hasattr(X, "index") and not callable(X.index)


def _table_like(table, recording, columns):
    """A DataFrame of pandas or polars with a row for each time of a recording."""
    n_times = recording.values.shape[1]
    in_order, index = {}, getattr(table, "index", None)
    for name in table.columns:  # the columns keep their order, and new ones come last
        if _dates(table[name]) is not None:
            in_order[name] = table[name] if len(table) == n_times else recording.times
            index = index if len(table) == n_times else None
        elif name in columns:
            in_order[name] = columns[name]
    in_order |= columns
    if not hasattr(table, "index"):
        return type(table)(in_order)
    return type(table)(in_order, index=_index_like(index, recording.times))


def _index_like(index, times):
    """An index of pandas, with the times that had no row."""
    if times is None:
        return index if index is not None and len(index) else None
    if index is None or len(index) == len(times):
        return index
    if hasattr(index, "to_timestamp"):  # of periods
        return type(index)(times, freq=index.freq, name=index.name)
    zone = getattr(index, "tz", None)
    if zone is None:
        return type(index)(times, name=index.name)
    return type(index)(times, tz="UTC", name=index.name).tz_convert(zone)


def _of_table(table, caller):
    """The recording of a DataFrame of pandas or polars."""
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
    of_index = _dates(getattr(table, "index", None))
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


def _dates(values):
    """Dates of a column or an index, in UTC if they have a zone, without it; None if it has none.

    Periods are the dates that they begin at.
    """
    if values is None:
        return None
    words = str(getattr(values, "dtype", "")).lower()
    if words.startswith("period"):
        values = getattr(values, "dt", values).to_timestamp()
    elif words.startswith("datetime64") and "," in words:  # of pandas, with a zone
        values = getattr(values, "dt", values).tz_convert("UTC")
        values = getattr(values, "dt", values).tz_localize(None)
    dates = np.asarray(values)
    return dates if dates.dtype.kind == "M" else None


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


def _recording(values, names, times, caller):
    values = np.array(values, dtype=np.float64)
    if values.shape[1] < 2:
        raise ValueError(f"{caller} needs a recording of two time points at least.")
    if np.isinf(values).any():
        raise ValueError(f"{caller}: the recording has infinite values.")
    if times is None:
        return Recording(values, names)
    return _on_even_times(values, names, times, caller)


def _on_even_times(values, names, times, caller):
    """A recording with a row for every time: NaN at those that have none."""
    if np.isnat(times).any():
        raise ValueError(f"{caller}: row {int(np.isnat(times).argmax())} has no time.")
    ticks = times.astype("datetime64[us]").astype(np.int64)
    steps = np.diff(ticks)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise ValueError(
            f"{caller}: the times do not rise: that of row {row} is {times[row]}, after "
            f"{times[row - 1]}. Sort the rows, and keep one of each time."
        )
    # Months, quarters and years are of different length in days, and counted in months.
    months, beyond = _in_months(times)
    places, in_steps, misses = even_places(ticks if months is None else months)
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
        return Recording(even, names, times)
    counted = ticks if months is None else months
    every = np.interp(np.arange(n_times), places, counted - counted[0]).round().astype(np.int64)
    return Recording(even, names, _as_dates(every + counted[0], beyond, times.dtype))


def times_after(times, horizon):
    """Dates ``(horizon,)`` that go on where evenly spaced ones end, at their usual step."""
    months, beyond = _in_months(times)
    counted = times.astype("datetime64[us]").astype(np.int64) if months is None else months
    step = np.median(np.diff(counted)).round().astype(np.int64)
    return _as_dates(counted[-1] + step * np.arange(1, horizon + 1), beyond, times.dtype)


def _as_dates(counted, beyond, dtype):
    """Dates of what `_in_months` counts, or of microseconds where it counts nothing."""
    if beyond is None:
        return counted.astype("datetime64[us]").astype(dtype)
    return (counted.astype("datetime64[M]") + beyond).astype(dtype)


def _in_months(times):
    """Dates ``(n,)`` that are a month apart or more, in whole months, and what they lie beyond.

    That is one span of time after the first of a month, or before it for the last days of months.

    Returns
    -------
    months : int64 ndarray of shape (n,)
    beyond : timedelta64
        Both are None where dates are closer, or their days differ.
    """
    if np.diff(times).min() < np.timedelta64(28, "D"):
        return None, None
    for before in (np.timedelta64(0, "D"), np.timedelta64(1, "D")):
        later = (times + before).astype("datetime64[us]")
        months = later.astype("datetime64[M]")
        within = later - months
        if (within == within[0]).all():
            return months.astype(np.int64), within[0] - before
    return None, None


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
