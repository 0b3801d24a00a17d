"""What a table or an array holds: one recording, or a set of series.

Nothing is guessed silently: a sentence says what was understood and why, and where two readings are
plausible an error names the flags of both.
"""

import re
from typing import NamedTuple

import numpy as np

from .tables import is_number

READINGS = ("recording", "series", "long")
_BOTH = "this may be one recording or a set of series: say --as recording or --as series."
_FEW_CHANNELS = 3  # columns without names that are too few to be time points
_MANY_POINTS = 24  # columns without names that are time points, if there are not far more rows
_FAR_MORE = 50  # rows for each column
_LONG = 64  # rows from which on a table may be a recording
_MANY_CHANNELS = 64
_TIMES = ("time", "times", "timestamp", "date", "datetime", "ds", "t")
_NO_NAME = ("unnamed 0", "Unnamed: 0", "index")  # of the index of a table
_NUMBERED = re.compile(r"(.*?)[ _.-]?(\d+(\.\d+)?)")
_EVEN = 0.1  # of the usual step, by which numbers of a time axis may differ from it


class Flags(NamedTuple):
    """What the user says about the file; None where nothing is said."""

    reading: str | None = None
    time: str | None = None
    channels: str | None = None
    label: str | None = None


class Series(NamedTuple):
    """A set of series.

    Attributes
    ----------
    X : float64 ndarray of shape (n, t) or (n, c, t)
    y : ndarray of str of shape (n,), or None
    words : str
        Why it was read so.
    """

    X: np.ndarray
    y: np.ndarray | None
    words: str


class Record(NamedTuple):
    """One recording: a table with a row for each time, or an array ``(t,)`` or ``(1, c, t)``."""

    table: object
    words: str


def understand_table(table, has_names, flags, *, label_first=False):
    """What a table holds.

    Parameters
    ----------
    table : DataFrame
        Of columns of numbers, dates or text.
    has_names : bool
        Whether its columns have names.
    flags : Flags
    label_first : bool
        Whether files of this kind have the class in their first column, if it has no name.

    Returns
    -------
    Series or Record

    Raises
    ------
    ValueError
        If it cannot be read as the flags say, or in more than one way.
    """
    table, remark = _without_row_names(table, has_names)
    label = _column(table, flags.label, "--label")
    if label is None and flags.label != "none" and label_first and not has_names:
        label = _first_column_of_classes(table, flags)
    table = _chosen_channels(table, flags, label)
    time = _time_column(table, flags, label)
    if flags.reading == "long" or (flags.reading is None and _are_repeated(table, time)):
        return _long(table, time, label, remark)
    _refuse_text(table, label)
    reading = flags.reading or _reading(table, has_names, time, label)
    if reading == "series":
        return _series(table, has_names, time, label, remark)
    if label is not None:
        raise ValueError("a recording has no classes: leave --label out.")
    return _recording(table, time, remark)


def understand_array(X, y, flags):
    """What an array holds: Series, or a Record."""
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "biuf":
        raise ValueError("its series are not all of one length, or not an array of numbers.")
    if X.ndim not in (1, 2, 3):
        raise ValueError(f"its array has {X.ndim} axes.")
    is_one = X.ndim == 1 or (X.ndim == 3 and len(X) == 1)
    reading = flags.reading
    if reading is None and not is_one and X.ndim == 2 and y is None:
        n, t = X.shape
        if (t < 8 and n >= _LONG) or (n < 8 and t >= 500):
            raise ValueError(f"an array of shape {X.shape}: {_BOTH}")
    if is_one or reading == "recording":
        if X.ndim == 2:  # the longer axis is time
            X = (X if X.shape[1] >= X.shape[0] else X.T)[None]
        return Record(X, f"an array of shape {X.shape}")
    return Series(X, y, f"an array of shape {X.shape}")


# ---- columns


def _without_row_names(table, has_names):
    """A table without a first column that has no name where others have one: names of rows."""
    first = table.iloc[:, 0]
    has_no_name = has_names and str(first.name) in _NO_NAME and table.shape[1] > 1
    if has_no_name and first.is_unique and first.dtype.kind != "M":
        return table.iloc[:, 1:], "; its first column, which has no name, left out as row names"
    return table, ""


def _column(table, wanted, flag):
    """The name of the column that a flag names, or counts from 0."""
    if wanted is None or wanted == "none":
        return None
    names = {str(name): name for name in table.columns}
    if wanted in names:
        return names[wanted]
    if not wanted.lstrip("-").isdecimal():
        raise ValueError(f"there is no column {wanted!r} for {flag}; the first are {_some(names)}.")
    if not -len(names) <= int(wanted) < len(names):
        raise ValueError(f"there is no column {wanted} for {flag}; there are {len(names)}.")
    return table.columns[int(wanted)]


def _some(names):
    return list(map(str, names))[:5]


def _first_column_of_classes(table, flags):
    first = table.columns[0]
    values = table[first]
    if flags.reading == "recording" or table.shape[1] < 2:
        return None
    if values.dtype.kind == "f" and (values.dropna() % 1 != 0).any():
        raise ValueError(
            "its first column, where files of this kind have the classes, holds measured values: "
            "say --label none, --label COLUMN or --as recording."
        )
    return first


def _chosen_channels(table, flags, label):
    if flags.channels is None:
        return table
    chosen = [_column(table, name.strip(), "--channels") for name in flags.channels.split(",")]
    others = [label, _column(table, flags.time, "--time")]
    dates = [name for name in table.columns if table[name].dtype.kind == "M"]
    return table[[name for name in table.columns if name in {*chosen, *others, *dates}]]


def _time_column(table, flags, label):
    """The column of the time axis, or None."""
    if flags.time is not None:
        return _column(table, flags.time, "--time")
    dates = [name for name in table.columns if table[name].dtype.kind == "M" and name != label]
    if len(dates) > 1:
        raise ValueError(f"it has several columns of dates, {_some(dates)}: --time names one.")
    if dates:
        return dates[0]
    for name in table.columns:
        is_named = str(name).lower() in _TIMES and name != label
        if is_named and table.shape[1] > 1 and table[name].dtype.kind == "f":
            return name
    return None


def _are_repeated(table, time):
    """Whether most times occur several times: once for each series of a long table."""
    return time is not None and table[time].nunique() <= len(table) / 2


def _can_name_series(column):
    """Whether a column has texts or whole numbers, each of them several times."""
    is_whole = column.dtype.kind == "f" and not (column.dropna() % 1 != 0).any()
    return (is_whole or column.dtype.kind == "O") and column.nunique() <= len(column) / 2


def _refuse_text(table, label, others=()):
    """Refuse columns that are neither numbers nor named as something else."""
    for name in table.columns:
        if table[name].dtype.kind not in "fM" and name != label and name not in others:
            cells = (str(cell) for cell in table[name].dropna())
            example = next((cell for cell in cells if not is_number(cell)), "")
            raise ValueError(
                f"a cell is not a number: ({example!r}); --label {name} takes that column as the "
                "classes, and --channels names the columns that are to be used."
            )


# ---- how to read it


def _reading(table, has_names, time, label):
    """The one plausible reading."""
    n_rows = len(table)
    if time is not None:
        return "recording" if label is None else "series"
    if label is not None:
        return "series"
    n_columns = table.shape[1]
    if n_columns == 1:
        return "recording"
    is_counted = has_names and _are_numbered(table.columns)
    if has_names and not is_counted:  # names of channels
        if n_rows >= _LONG and n_columns <= _MANY_CHANNELS:
            return "recording"
        raise ValueError(f"{n_rows} rows of {n_columns} columns with names: {_BOTH}")
    if n_rows < _LONG:
        return "series"
    if n_columns <= _FEW_CHANNELS and not has_names:
        return "recording"
    if n_columns >= _MANY_POINTS and n_rows < _FAR_MORE * n_columns:
        return "series"
    raise ValueError(f"{n_rows} rows of {n_columns} columns: {_BOTH}")


def _are_numbered(names):
    """Whether names of columns are numbers that rise, or one word and such numbers."""
    matches = [_NUMBERED.fullmatch(str(name)) for name in names]
    if not all(matches) or len({match[1] for match in matches}) > 1:
        return False
    return bool((np.diff([float(match[2]) for match in matches]) > 0).all())


def _series(table, has_names, time, label, remark):
    if time is not None and time != label:
        raise ValueError(
            f"its column {time!r} is a time axis, and series have one row each: say --as recording "
            f"or --as long, or leave it out by --channels."
        )
    values = table.drop(columns=[] if label is None else [label])
    if values.isna().any(axis=None):
        raise ValueError("it has empty cells: missing values are not accepted in series.")
    y = None if label is None else classes_of(table[label])
    why = "a row for each series"
    if has_names and label is None and not remark:
        why += f", times {_some(values.columns)[0]} to {values.columns[-1]} in the header"
    if label is not None:
        why += f", classes in column {str(label)!r}" if has_names else ", classes in column "
        why += "" if has_names else str(list(table.columns).index(label))
    return Series(values.to_numpy(np.float64), y, why + remark)


def classes_of(column):
    """Classes as text: whole numbers without a point; ValueError for what are none."""
    if column.isna().any():
        row = int(np.argmax(column.isna())) + 1
        raise ValueError(f"series {row} has no class in column {str(column.name)!r}.")
    if column.dtype.kind == "f":
        if (column % 1 != 0).any():
            raise ValueError(
                f"Unknown label type: column {str(column.name)!r} holds measured values, not "
                "classes."
            )
        return column.astype(np.int64).astype(str).to_numpy(dtype=str)
    return column.astype(str).to_numpy(dtype=str)


def _recording(table, time, remark):
    why = "a row for each time"
    if time is None:
        return Record(table, why + remark)
    if table[time].isna().any():
        raise ValueError(f"its column {time!r} of times has empty cells.")
    if not table[time].is_monotonic_increasing:
        table = table.sort_values(time, ignore_index=True)
        why += ", sorted by them"
    twice = table[time].duplicated()
    if twice.any():
        raise ValueError(f"its time {table[time][twice].iloc[0]} occurs twice: keep one of each.")
    why += f", times in column {str(time)!r}"
    if table[time].dtype.kind == "f":
        table = _on_numbers(table, time)
    return Record(table, why + remark)


def _on_numbers(table, time):
    """A table whose time axis is a column of numbers: NaN where a step has no row."""
    steps = np.diff(table[time])
    in_steps = steps / np.median(steps)
    whole = np.round(in_steps)
    if (np.abs(in_steps - whole) > _EVEN).any():
        raise ValueError(
            f"its column {time!r} does not rise in even steps: resample it, or name the time axis "
            "by --time, or the channels by --channels."
        )
    places = np.concatenate([[0], whole.cumsum()]).astype(int)
    channels = table.drop(columns=[time]).set_axis(places)
    return channels.reindex(range(places[-1] + 1)).reset_index(drop=True)


def _long(table, time, label, remark):
    """Series with a row for each of their times: a column of names of series, and of times."""
    others = [name for name in table.columns if name not in (time, label)]
    names = [name for name in others if _can_name_series(table[name])]
    if time is None or len(others) < 2 or not names:
        raise ValueError(
            "some times occur several times, but a table of several series has a column with the "
            "name of each series, one of times (--time) and one of values; a recording has each "
            "time once."
        )
    name = names[0]
    channels = [other for other in others if other != name]
    _refuse_text(table, label, [name, time])
    if table.duplicated([name, time]).any():
        raise ValueError(f"series of column {name!r} have the same time in {time!r} twice.")
    groups = [group.sort_values(time) for _, group in table.groupby(name, sort=False)]
    lengths = {len(group) for group in groups}
    if len(lengths) > 1:
        raise ValueError(
            f"its series, named in column {name!r}, are not all of one length: {min(lengths)} to "
            f"{max(lengths)} times. Cut or pad them."
        )
    X = np.stack([group[channels].to_numpy(np.float64).T for group in groups])
    if np.isnan(X).any():
        raise ValueError("it has empty cells: missing values are not accepted in series.")
    y = None
    if label is not None:
        if any(group[label].nunique(dropna=False) > 1 for group in groups):
            raise ValueError(f"a series has more than one class in column {label!r}.")
        import pandas as pd

        y = classes_of(pd.Series([group[label].iloc[0] for group in groups], name=label))
    why = f"a row for each time of a series, which column {str(name)!r} names"
    return Series(X, y, why + remark)
