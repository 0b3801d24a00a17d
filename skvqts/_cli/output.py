"""Tables that commands write."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

ENDINGS = (".csv", ".parquet", ".npy")


def columns_of(rows, stem):
    """Columns of an array ``(n, d)``, named by a stem and their number."""
    return {f"{stem}{i}": column for i, column in enumerate(np.asarray(rows).T)}


def series_table(X, y):
    """Columns of series: a row for each one, or of several channels a row for each of its times.

    Parameters
    ----------
    X : ndarray of shape (n, t) or (n, c, t)
    y : ndarray of shape (n,) or None
        Their classes, which come first.
    """
    X = np.asarray(X)
    if X.ndim == 3 and X.shape[1] == 1:
        X = X[:, 0]
    if X.ndim == 2:
        classes = {} if y is None else {"class": y}
        return classes | columns_of(X, "t")
    n_series, n_channels, n_timepoints = X.shape
    columns = {"id": np.repeat(np.arange(n_series), n_timepoints)}
    columns["time"] = np.tile(np.arange(n_timepoints), n_series)
    if y is not None:
        columns["class"] = np.repeat(y, n_timepoints)
    return columns | columns_of(X.swapaxes(1, 2).reshape(-1, n_channels), "channel")


def check_writable(path):
    """The path of a file, if its folder is there and what writes it is installed."""
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} for {path.name}.")
    if path.is_dir():
        raise ValueError(f"{str(path)!r} is a folder.")
    if path.suffix.lower() in ENDINGS[:2] and not find_spec("pandas"):
        raise ValueError("pandas writes tables (pip install 'skvqts[data]'); .npy needs none.")
    return path


def write_table(table, path):
    """Write a DataFrame, a dict of columns or an array of a recording; returns the number of rows.

    A .npy file has the numbers alone, without names, times and classes: an array (n, t) of series
    or (n, c, t) of several channels, or (t, c) of a recording.
    """
    if not isinstance(table, dict) and not hasattr(table, "columns"):
        table = np.asarray(table)
        table = columns_of(table[0].T if table.ndim == 3 else table[:, None], "channel")
    ending = path.suffix.lower()
    if ending == ".npy":
        names = list(table)
        is_long = names[:2] == ["id", "time"]  # series of several channels, see `series_table`
        if is_long:
            about = ("id", "time", "class")
        else:  # the time of a recording, or the class of a series
            about = ("time",) if names[0] == "time" else ("class",) if "t0" in names else ()
        columns = [np.asarray(table[name]) for name in names if name not in about]
        values = [column for column in columns if column.dtype.kind in "biuf"]
        numbers = np.column_stack(values)
        if is_long:
            n_series = int(table["id"][-1]) + 1
            numbers = numbers.reshape(n_series, -1, len(values)).swapaxes(1, 2)
        with path.open("wb") as file:  # np.save adds an ending to names with another one
            np.save(file, numbers)
        return len(values[0])
    import pandas as pd  # optional

    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(table)
    has_index = frame.index.name is not None
    if ending == ".parquet":
        frame.to_parquet(path, index=has_index)
    else:
        frame.to_csv(path, index=has_index)
    return len(frame)
