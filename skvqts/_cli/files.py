"""Series and their labels, from the name of a bundled set or from a file."""

import csv
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite

from .._fitting.validation import checked_labels
from ..metrics._validation import validate_one_kind

_UNNAMED = ("", "Unnamed: 0")  # what pandas writes above its row numbers
BUNDLED = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf", "BasicMotions")


class Split(NamedTuple):
    """A training part and a test part; both labels are None for a set without labels."""

    name: str
    X_train: np.ndarray
    y_train: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray | None


def load(source, label=None):
    """Load a bundled set or a file, split into a training part and a test part.

    Parameters
    ----------
    source : str
        A name in `BUNDLED` (needs aeon), "made" for sines and sawtooth waves, or a file: ``.ts``
        (needs aeon), ``.tsv`` as in the UCR archive, ``.csv``, ``.npz`` or ``.npy``. The test
        part of a file ``NAME_TRAIN.*`` is the file ``NAME_TEST.*`` beside it. Files that come
        without a test part are split 70 to 30.
    label : str or None
        Name or index of the label column of a ``.csv`` file; None if it has no labels.

    Returns
    -------
    data : Split

    Raises
    ------
    ValueError
        If the source is unknown or the file does not hold what its ending says.
    """
    if source == "made":
        return _validated(_split("made", *made_series()))
    if source in BUNDLED:
        from aeon.datasets import load_classification

        X_train, y_train = load_classification(source, split="train")[:2]
        X_test, y_test = load_classification(source, split="test")[:2]
        return _validated(Split(source, X_train, y_train, X_test, y_test))
    path = Path(source)
    if path.suffix not in _READERS:
        raise ValueError(
            f"{source!r} is neither a bundled set ({', '.join(BUNDLED)}, made) nor a file ending "
            f"in {', '.join(_READERS)}."
        )
    if not path.is_file():
        raise ValueError(f"There is no file {source!r}.")
    try:
        return _validated(_load_file(path, label))
    except (ValueError, IndexError, TypeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def made_series(n=200, n_timepoints=128, seed=0):
    """Make noisy sines and sawtooth waves of random phase, labelled 0 and 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    phase = np.linspace(0, 3, n_timepoints) + rng.uniform(0, 1, (n, 1))
    X = np.where(y[:, None] == 0, np.sin(2 * np.pi * phase), 2 * (phase % 1) - 1)
    return X + 0.2 * rng.normal(size=X.shape), y


def _load_file(path, label):
    read = _READERS[path.suffix]
    name = path.stem.replace("_TRAIN", "")
    arrays = read(path, label)
    if len(arrays) == 4:  # an archive with both parts
        return Split(name, *arrays)
    test_path = path.with_name(path.name.replace("_TRAIN", "_TEST"))
    if test_path != path and test_path.exists():
        return Split(name, *arrays, *read(test_path, label))
    return _split(name, *arrays)


def _validated(data):
    """Return `data` if both parts are complete and fit together."""
    for X, y in ((data.X_train, data.y_train), (data.X_test, data.y_test)):
        _check_array_of_series(X)
        assert_all_finite(X, input_name="X")
        if y is not None:
            _check_one_label_each(X, y)
            checked_labels(y, len(X), "y")
    if (data.y_train is None) != (data.y_test is None):
        raise ValueError("only one of the training and the test part has labels.")
    if data.y_train is not None:
        validate_one_kind(data.y_train, data.y_test, ("y_train", "y_test"))
    if data.X_train.shape[1:] != data.X_test.shape[1:]:
        raise ValueError(
            f"training series have shape {data.X_train.shape[1:]}, test series "
            f"{data.X_test.shape[1:]}."
        )
    return data


def _check_array_of_series(X):
    if not isinstance(X, np.ndarray) or X.ndim not in (2, 3):
        raise ValueError("the series are not all of one length, or not a table of numbers.")


def _check_one_label_each(X, y):
    if np.shape(y) != (len(X),):
        raise ValueError(f"there are {len(X)} series but labels of shape {np.shape(y)}.")


def _split(name, X, y):
    """Split 70 to 30, stratified by class if every class has at least two series."""
    _check_array_of_series(X)
    if len(X) < 3:
        raise ValueError(f"it has {len(X)} series; at least 3 are needed to split them.")
    rows = np.arange(len(X))
    if y is None:
        train, test = train_test_split(rows, test_size=0.3, random_state=0)
        return Split(name, X[train], None, X[test], None)
    _check_one_label_each(X, y)
    counts = np.unique(y, return_counts=True)[1]
    stratify = y if counts.min() >= 2 else None
    train, test = train_test_split(rows, test_size=0.3, random_state=0, stratify=stratify)
    return Split(name, X[train], y[train], X[test], y[test])


def _read_ts(path, label):
    from aeon.datasets import load_from_ts_file

    return load_from_ts_file(str(path))


def _read_tsv(path, label):
    table = np.loadtxt(path, delimiter="\t", dtype=str, ndmin=2, comments=None)
    if table.shape[1] < 2:
        raise ValueError("its cells are not separated by tabs.")
    return _numbers(table[:, 1:]), table[:, 0]


def _read_csv(path, label):
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    if len({len(row) for row in rows}) != 1:
        raise ValueError("its rows do not all have the same number of cells.")
    table = np.array(rows)
    column, is_named = _label_column(rows[0], label)
    not_series = [] if column is None else [column]
    if is_named or _is_header(np.delete(table[0], not_series)):
        corner = table[0, 0]
        table = table[1:]
        row_numbers = [str(i) for i in range(len(table))]
        if corner in _UNNAMED and table[:, 0].tolist() == row_numbers:
            not_series.append(0)
    y = None if column is None else table[:, column]
    return _numbers(np.delete(table, not_series, axis=1)), y


def _label_column(first_row, label):
    """Find the index of the label column, and whether the first row holds its name.

    A number counts as a name only in a row of names; elsewhere it may be a value of a series.
    """
    if label is None:
        return None, False
    if label in first_row:
        column = first_row.index(label)
        others = first_row[:column] + first_row[column + 1 :]
        if not _is_number(label) or _is_header(others):
            return column, True
    if not label.lstrip("-").isdigit():
        raise ValueError(f"there is no column {label!r}; the first are {first_row[:5]}.")
    if not -len(first_row) <= int(label) < len(first_row):
        raise ValueError(f"there is no column {label}; there are {len(first_row)}.")
    return int(label), False


def _is_header(cells):
    """Tell a header from a series.

    A header has no number at all, or counts from 0 or 1, or holds at least five evenly spaced
    times. Its first cell may be the empty name that pandas writes above row numbers.
    """
    cells = list(cells)
    if len(cells) > 1 and cells[0] in _UNNAMED:
        cells = cells[1:]
    if not any(map(_is_number, cells)):
        return True
    if not all(map(_is_number, cells)):
        return False
    for first in (0, 1):
        if cells == [str(first + i) for i in range(len(cells))]:
            return True
    steps = np.diff(np.array(cells, dtype=float))
    return len(cells) >= 5 and steps.min() > 0 and np.ptp(steps) < 1e-6 * steps.max()


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(cells):
    if (cells == "").any():
        raise ValueError("it has empty cells: missing values are not accepted.")
    try:
        return cells.astype(float)
    except ValueError as error:
        cell = str(error).rpartition(": ")[2].removeprefix("np.str_")
        raise ValueError(
            f"a cell is not a number: {cell}; --label names the column of a .csv that holds "
            "the classes."
        ) from None


def _read_npz(path, label):
    arrays = np.load(path)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it is not an npz archive.")
    with arrays:
        if "X_train" in arrays and "X_test" in arrays:
            return tuple(arrays.get(name) for name in ("X_train", "y_train", "X_test", "y_test"))
        if "X" not in arrays:
            raise ValueError(
                f"it holds {sorted(arrays)}; needed are 'X' (and 'y'), or 'X_train' and "
                "'X_test' (and 'y_train', 'y_test')."
            )
        return arrays["X"], arrays.get("y")


def _read_npy(path, label):
    array = np.load(path)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is not a single array.")
    return array, None


_READERS = {
    ".ts": _read_ts,
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".npy": _read_npy,
}
