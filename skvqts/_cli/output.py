"""Tables that commands write."""

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


def write_table(table, path):
    """Write a DataFrame or a dict of columns; returns the number of rows.

    A .npy file has the numbers alone, without names and times.
    """
    import pandas as pd  # optional; files were read by it

    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(_as_columns(table))
    has_index = frame.index.name is not None
    if path.suffix == ".npy":
        np.save(path, frame.select_dtypes("number").to_numpy())
    elif path.suffix == ".parquet":
        frame.to_parquet(path, index=has_index)
    else:
        frame.to_csv(path, index=has_index)
    return len(frame)


def _as_columns(table):
    """Columns of a dict, an array ``(1, c, t)`` or ``(t,)``."""
    if isinstance(table, dict):
        return table
    table = np.asarray(table)
    return columns_of(table[0].T if table.ndim == 3 else table[:, None], "channel")
