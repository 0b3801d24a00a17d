"""What a table or an array holds: one recording, or a set of series.

Nothing is guessed silently: a sentence says what was understood and why, and where two readings are
plausible an error names the flags of both.
"""

import re
from typing import NamedTuple

import numpy as np

from .._recordings.recording import MOST_TIMES, even_places
from .tables import is_number

READINGS = ("recording", "series", "long")
_BOTH = "this may be one recording or a set of series: say --as recording or --as series."
_FEW_CHANNELS = 3  # columns without names that are too few to be time points
_SHORT = 8  # points of a series; fewer are seldom one
_STEMS = ("t", "time", "v", "att")  # of numbered columns that are time points
_LONG = 64  # rows from which on a table may be a recording
_MANY_CHANNELS = 64
_TIMES = ("time", "times", "timestamp", "date", "datetime", "ds", "t")
_NO_NAME = ("unnamed 0", "Unnamed: 0", "index")  # of the index of a table
_LIKE_A_TIME = r"^\s*\d{1,4}[-/.:]\d{1,2}([-/.:T ]|$)"
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


def understand_table(table, has_names, flags, *, label_first=False, missing=False):
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
    missing : bool
        Whether series may have missing values.

    Returns
    -------
    Series or Record

    Raises
    ------
    ValueError
        If it cannot be read as the flags say, or in more than one way.
    """
    # Numbers of columns count in the table as it is in the file.
    label = _column(table, flags.label, "--label")
    time = _column(table, flags.time, "--time")
    channels = None
    if flags.channels is not None:
        channels = [
            _column(table, name.strip(), "--channels") for name in flags.channels.split(",")
        ]
    wanted = {label, time, *([] if channels is None else channels)} - {None}
    table, remark = _without_row_names(table, has_names, wanted, channels is None)
    if flags.label is None and label_first and not has_names and flags.reading != "recording":
        label = _first_column_of_classes(table)
    if flags.time is None:
        time = _time_column(table, label)
    is_long = flags.reading == "long" or (flags.reading is None and _are_repeated(table, time))
    name = _names_of_series(table, time, label) if is_long else None
    if channels is not None:
        table = table[[column for column in table if column in {*channels, label, time, name}]]
    if is_long:
        return _long(table, name, time, label, remark)
    _refuse_text(table, flags, label)
    if flags.time is None and time is None and flags.reading != "series" and channels is None:
        _refuse_hidden_times(table, label)
    reading = flags.reading or _reading(table, has_names, time, label)
    if reading == "series":
        if flags.label is None and label is None and channels is None:
            _refuse_hidden_classes(table)
        return _series(table, has_names, time, label, remark, missing)
    if label is not None:
        raise ValueError("a recording has no classes: leave --label out.")
    return _recording(table, time, remark)


def understand_array(X, y, flags):
    """What an array holds: Series, or a Record."""
    if not isinstance(X, np.ndarray) or X.dtype.kind not in "biuf":
        raise ValueError("its series are not all of one length, or not an array of numbers.")
    if X.ndim not in (1, 2, 3):
        raise ValueError(f"its array has {X.ndim} axes.")
    if 0 in X.shape:
        raise ValueError(f"its array has the shape {X.shape}, without any value.")
    reading = flags.reading
    if reading == "long" or (flags.label, flags.time, flags.channels) != (None, None, None):
        raise ValueError("an array has no columns: leave --label, --time, --channels and long out.")
    is_one = X.ndim == 1 or (X.ndim == 3 and len(X) == 1)
    if reading is None and not is_one and X.ndim == 2 and y is None:
        n, t = X.shape
        if (t < 8 and n >= _LONG) or (n < 8 and t >= 500):
            raise ValueError(f"an array of shape {X.shape}: {_BOTH}")
    if is_one or reading == "recording":
        if y is not None:
            raise ValueError("a recording has no classes, and the file has an array y.")
        if X.ndim != 2:
            return Record(X, f"an array of shape {X.shape}")
        axis = int(np.argmax(X.shape))
        why = f"an array of shape {X.shape} with time along its longer axis"
        return Record((X.T if axis == 0 else X)[None], why)
    return Series(X, y, f"an array of shape {X.shape}")


# ---- columns


def _without_row_names(table, has_names, wanted, are_all_used):
    """A table without a first column that has no name where others have one: names of rows.

    Those are texts, or whole numbers without a gap in any order.
    """
    first = table.iloc[:, 0]
    has_no_name = has_names and str(first.name) in _NO_NAME and table.shape[1] > 1
    if not has_no_name or first.name in wanted or first.dtype.kind == "M":
        return table, ""
    if first.dtype.kind == "f":
        are_names = bool((np.diff(np.sort(first)) == 1).all())
    else:
        are_names = first.is_unique and not first.astype(str).str.contains(_LIKE_A_TIME).any()
    if not are_names and are_all_used:
        raise ValueError(
            "its first column has no name: --time 0 takes it as the times, --label 0 as the "
            "classes, and --channels leaves it out."
        )
    return table.iloc[:, 1:], "; its first column, which has no name, left out as row names"


def _column(table, wanted, flag):
    """The name of the column that a flag names, or counts from 0."""
    if wanted in (None, "none"):
        return None
    names = {str(name): name for name in table.columns}
    if wanted in names:
        return names[wanted]
    if not re.fullmatch(r"-?\d+", wanted, re.ASCII):
        raise ValueError(f"there is no column {wanted!r} for {flag}; the first are {_some(names)}.")
    if not -len(names) <= int(wanted) < len(names):
        raise ValueError(f"there is no column {wanted} for {flag}; there are {len(names)}.")
    return table.columns[int(wanted)]


def _some(names):
    return list(map(str, names))[:5]


def _first_column_of_classes(table):
    """The first column, if it can be one of classes before a series."""
    first = table.iloc[:, 0]
    if table.shape[1] < 2:
        return None
    is_number = first.dtype.kind == "f"
    is_measured = is_number and bool((first.dropna() % 1 != 0).any())
    rises = is_number and len(first) > 2 and bool((np.diff(first) > 0).all())
    is_varied = first.nunique() > max(2, len(first) / 2)
    if first.dtype.kind == "M" or is_measured or rises or is_varied or table.shape[1] <= _SHORT:
        raise ValueError(
            "its first column, where files of this kind have the classes, does not look like them: "
            "say --label 0 if it holds them, --label none, or --as recording."
        )
    return first.name


def _time_column(table, label):
    """The column of the time axis, or None."""
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


def _refuse_hidden_times(table, label):
    """Refuse a column that may be the time axis though its name does not say so."""
    if table.shape[1] < 2 or len(table) < _SHORT:
        return
    for name in table.columns:
        values = table[name].to_numpy()
        if name == label or values.dtype.kind != "f" or np.isnan(values).any():
            continue
        steps = np.diff(values)
        rising = steps[steps > 0]
        if len(rising) < len(steps) / 2:
            continue
        is_even = bool(np.ptp(rising) <= _EVEN * np.median(rising))
        # It rises throughout, or begins again where another series begins.
        begins_again = values[1:][steps <= 0]
        if is_even and (begins_again == values[0]).all() and len(np.unique(values)) >= _SHORT:
            raise ValueError(
                f"column {str(name)!r} rises in even steps: say --time {name} if it has the times, "
                "or --time none."
            )


def _refuse_hidden_classes(table):
    """Refuse a first or last column of few whole numbers beside others of measured values."""
    is_whole = (table % 1 == 0).all().to_numpy()
    for i in (0, -1):
        others = np.delete(is_whole, i)
        if is_whole[i] and not others.any() and table.iloc[:, i].nunique() <= len(table) / 2:
            name = str(table.columns[i])
            raise ValueError(
                f"column {name!r} of whole numbers may be the classes: say --label {name}, or "
                "--label none."
            )


def _are_repeated(table, time):
    """Whether most times occur several times: once for each series of a long table."""
    return time is not None and table[time].nunique() <= len(table) / 2


def _names_of_series(table, time, label):
    """The column with the name of the series that each row of a long table belongs to."""
    if time is None:
        raise ValueError("--as long needs a column of times: --time names it.")
    others = [name for name in table.columns if name not in (time, label)]
    several = [name for name in others if _can_name_series(table[name])]
    found = [name for name in several if not table.duplicated([name, time]).any()]
    texts = [name for name in found if table[name].dtype.kind == "O"]
    found = texts or found
    if len(found) == 1 and len(others) > 1:
        return found[0]
    if len(found) > 1:
        raise ValueError(f"each of its columns {_some(found)} may name series: use --channels.")
    raise ValueError(
        f"some times of column {str(time)!r} occur several times, and no other column names the "
        "series that they belong to, each time once in each: a recording has each time once."
    )


def _can_name_series(column):
    """Whether a column has texts or whole numbers, each of them several times."""
    is_whole = column.dtype.kind == "f" and not (column.dropna() % 1 != 0).any()
    return (is_whole or column.dtype.kind == "O") and column.nunique() <= len(column) / 2


def _refuse_text(table, flags, label, others=()):
    """Refuse columns that are neither numbers nor named as something else."""
    for name in table.columns:
        if table[name].dtype.kind in "fM" or name == label or name in others:
            continue
        cells = list(table[name].dropna().astype(str))
        row, example = next(
            ((i, cell) for i, cell in enumerate(cells) if not is_number(cell)), (0, "")
        )
        is_time = str(name).lower() in _TIMES or str(name) == flags.time
        if is_time or re.search(_LIKE_A_TIME, example):
            raise ValueError(
                f"column {str(name)!r} cannot be read as times, such as {example!r}: write them as "
                "YYYY-MM-DD HH:MM:SS, or leave the column out by --channels."
            )
        raise ValueError(
            f"a cell is not a number: ({example!r}) in row {row + 1} of column {str(name)!r}; "
            f"--label {name} takes that column as the classes, and --channels names the columns "
            "that are to be used."
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
    if has_names and not _are_numbered(table.columns):  # names of channels
        numbered = _numbered_rest(table.columns)
        if numbered:
            raise ValueError(
                f"its columns {numbered[0]!r} to {numbered[-1]!r} may be times: --label names the "
                "column of the classes, --channels the columns to use; or say --as recording."
            )
        if n_rows >= _LONG and n_columns <= _MANY_CHANNELS:
            return "recording"
        raise ValueError(f"{n_rows} rows of {n_columns} columns with names: {_BOTH}")
    if not has_names and n_columns <= _FEW_CHANNELS and n_rows >= _LONG:
        return "recording"
    stem = _NUMBERED.fullmatch(str(table.columns[0]))[1].lower() if has_names else ""
    if has_names and stem in _STEMS and n_columns >= _SHORT:
        return "series"
    are_many = n_rows >= _LONG and (n_rows > 2 * n_columns or stem not in ("", *_STEMS))
    if are_many or n_columns < _SHORT or (n_rows < _SHORT and n_columns >= 500):
        raise ValueError(f"{n_rows} rows of {n_columns} columns: {_BOTH}")
    return "series"


def _numbered_rest(names):
    """Names that are numbered and rise if one or two others are left out, or an empty list."""
    numbered = [str(name) for name in names if _NUMBERED.fullmatch(str(name))]
    is_most = len(numbered) >= _SHORT and len(names) - len(numbered) <= 2
    return numbered if is_most and _are_numbered(numbered) else []


def _are_numbered(names):
    """Whether names of columns are numbers that rise, or one word and such numbers."""
    matches = [_NUMBERED.fullmatch(str(name)) for name in names]
    if not all(matches) or len({match[1] for match in matches}) > 1:
        return False
    return bool((np.diff([float(match[2]) for match in matches]) > 0).all())


def _series(table, has_names, time, label, remark, missing):
    if time is not None and time != label:
        raise ValueError(
            f"its column {time!r} is a time axis, and series have one row each: say --as recording "
            f"or --as long, or leave it out by --channels."
        )
    values = table.drop(columns=[] if label is None else [label])
    if values.isna().any(axis=None) and not missing:
        raise ValueError("it has empty cells: fill them first, by the command impute.")
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
        if (column % 1 != 0).any() or (column.abs() > 2**53).any():
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
    """A table whose index is its time axis of numbers: NaN where a step has no row."""
    if len(table) < 2:
        raise ValueError("it has one row of values: a recording has many.")
    places, _, misses = even_places(table[time].to_numpy())
    if misses.any() or places[-1] > MOST_TIMES * len(table):
        raise ValueError(
            f"its column {time!r} does not rise in even steps: resample it, or name the time axis "
            "by --time, or the channels by --channels."
        )
    places = places.astype(np.int64)
    channels = table.drop(columns=[time]).set_axis(places).reindex(range(places[-1] + 1))
    times = np.interp(channels.index, places, table[time])
    return channels.set_axis(times).rename_axis(time)


def _long(table, name, time, label, remark):
    """Series with a row for each of their times: a column of names of series, and of times."""
    channels = [other for other in table.columns if other not in (name, time, label)]
    _refuse_text(table, Flags(), label, [name, time])
    if table.isna().any(axis=None):
        raise ValueError("it has empty cells: missing values are not accepted in long tables.")
    groups = [group.sort_values(time) for _, group in table.groupby(name, sort=False)]
    lengths = {len(group) for group in groups}
    if len(lengths) > 1:
        raise ValueError(
            f"its series, named in column {str(name)!r}, are not all of one length: {min(lengths)} "
            f"to {max(lengths)} times. Cut or pad them, or name other times by --time; in Python, "
            "as_series_list reads them."
        )
    times = np.stack([group[time].to_numpy() for group in groups])
    steps = np.diff(times, axis=1)
    if len(groups) > 1 and not (steps == steps[0]).all():
        raise ValueError(
            f"its series, named in column {str(name)!r}, do not have the same steps of time in "
            f"{str(time)!r}: resample them, or name other times by --time."
        )
    for channel in channels:
        if len(lengths) and max(lengths) > 1 and all(g[channel].nunique() == 1 for g in groups):
            raise ValueError(
                f"column {str(channel)!r} has one value in each series: --label {channel} takes it "
                "as the classes, and --channels leaves it out."
            )
    X = np.stack([group[channels].to_numpy(np.float64).T for group in groups])
    y = None
    if label is not None:
        if any(group[label].nunique() > 1 for group in groups):
            raise ValueError(f"a series has more than one class in column {str(label)!r}.")
        y = classes_of(table.drop_duplicates(name)[label])
    why = f"a row for each time of a series, which column {str(name)!r} names"
    return Series(X, y, why + remark)
