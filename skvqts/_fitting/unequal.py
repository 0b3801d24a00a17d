"""Series of unequal length, in any form that people have them in, as a list of arrays."""

import numpy as np

from .validation import as_array_like, check_array, holds_series, refuse_arrow, series_of_list

_NAME = "as_series_list"


def as_series_list(X, *, id="id", time="time"):
    """Series of unequal length as a list of arrays, which estimators with ``missing="mask"`` take.

    What is missing inside a series stays NaN. Its end is its last time point with a known value of
    any channel; what is beyond is cut off.

    Parameters
    ----------
    X : list, array-like or DataFrame
        One of

        - a list, tuple or object array of series of shape (t_i,) or (c, t_i), or a nested tensor,
        - an array of shape (n, t) or (n, c, t) in which NaN, or a mask, stands beyond the ends of
          series, as in the UCR archive,
        - a DataFrame of pandas or polars in the long format: a row for each time point of each
          series, with a column of ids, a column of times, and a column for each channel.

    id : str, default="id"
        Name of the column of ids of a DataFrame. Series come in the order in which their ids first
        appear.
    time : str, default="time"
        Name of its column of times. The points of a series come in the order of their times, whose
        distances do not matter.

    Returns
    -------
    series : list of float64 ndarrays of shape (c, t_i)

    Raises
    ------
    ValueError
        If there is no series, one has no known value or another number of channels than the first,
        or a DataFrame lacks a column, an id or a time, or has a time of a series twice.
    TypeError
        If something is not numeric, or times are text.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skvqts import as_series_list
    >>> table = pd.DataFrame({"id": list("aabbb"), "time": [2, 1, 1, 2, 3], "x": [5, 4, 7, 8, 9.0]})
    >>> [series.tolist() for series in as_series_list(table)]
    [[[4.0, 5.0]], [[7.0, 8.0, 9.0]]]
    >>> padded = np.array([[1.0, 2.0, np.nan], [3.0, np.nan, 4.0]])
    >>> [series.shape for series in as_series_list(padded)]
    [(1, 2), (1, 3)]
    """
    if hasattr(X, "columns"):
        X = _series_of_table(X, id, time)
    elif not holds_series(X):
        X = as_array_like(X, _NAME, missing=True)
        if len(X.shape) not in (2, 3):
            raise ValueError(
                f"{_NAME} takes a list of series, an array of shape (n, t) or (n, c, t), or a long "
                f"DataFrame. An array of shape {tuple(X.shape)} is none of these."
            )
        X = list(np.asarray(X))
    series = series_of_list(X, _NAME)
    if not series:
        raise ValueError(f"{_NAME} was given no series.")
    for index, of_series in enumerate(series):
        if of_series.size == 0:
            raise ValueError(f"Series {index} of X has no known value: leave it out.")
    return series


def _series_of_table(table, id, time):
    """Series ``(c, t_i)`` of a long DataFrame."""
    refuse_arrow(table, _NAME)
    names = list(table.columns)
    for name, what in ((id, "ids"), (time, "times")):
        if names.count(name) != 1:
            raise ValueError(
                f"A DataFrame needs one column {name!r} of {what}, a row for each time point of "
                f"each series: its columns are {names}. Other names are passed as `id` and `time`."
            )
    channels = [name for name in names if name not in (id, time)]
    if not channels:
        raise ValueError(f"A DataFrame needs columns of values besides {id!r} and {time!r}.")
    if len(table) == 0:
        return []
    if table[id].isnull().any() if hasattr(table[id], "isnull") else table[id].is_null().any():
        raise ValueError(f"Column {id!r} of X lacks an id in some row.")
    ids, times = (table[name].to_numpy() for name in (id, time))
    if any(isinstance(value, str) for value in times.tolist()):
        raise TypeError(
            f"Column {time!r} of X holds text, which has no order in time: convert it by "
            "pandas.to_numeric or pandas.to_datetime."
        )
    if np.any(times != times):  # NaN and NaT
        raise ValueError(f"Column {time!r} of X lacks a time in some row.")
    values = as_array_like(table[channels], _NAME, missing=True)
    values = check_array(values, dtype=np.float64, ensure_all_finite=False).T
    _, first_rows, which = np.unique(ids, return_index=True, return_inverse=True)
    found = []
    for index in np.argsort(first_rows):
        rows = np.flatnonzero(which == index)
        rows = rows[np.argsort(times[rows], kind="stable")]
        if (times[rows][1:] == times[rows][:-1]).any():
            raise ValueError(f"Series {ids[rows[0]]} of X has a time twice.")
        found.append(values[:, rows])
    return found
