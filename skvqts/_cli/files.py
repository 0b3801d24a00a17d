"""Labelled series from a bundled set's name or from a file."""

import csv
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite

from .._fitting.validation import checked_labels
from ..metrics._validation import validate_one_kind

_NO_NAMES = ("", "Unnamed: 0")
BUNDLED = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf", "BasicMotions")


class Split(NamedTuple):
    """A training and a test part; labels are None where there are none."""

    name: str
    X_train: np.ndarray
    y_train: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray | None


def load(source, label=None):
    """The series of a bundled set or a file, split into training and test parts.

    Parameters
    ----------
    source : str
        A name of `BUNDLED` (needs aeon), "made" for sines and sawtooth waves, or a file: ``.ts``
        (needs aeon), ``.tsv`` in UCR form, ``.csv``, ``.npz`` or ``.npy``. A file
        ``NAME_TRAIN.*`` takes ``NAME_TEST.*`` beside it as its test part; other
        files without one are split 70 to 30.
    label : str or None
        Name or index of the label column of a ``.csv`` file; None for no labels.

    Raises
    ------
    ValueError
        If the source is unknown or the file is not of its form.
    """
    if source == "made":
        return _checked(_split("made", *made_series()))
    if source in BUNDLED:
        return _checked(_load_bundled(source))
    path = Path(source)
    if path.suffix not in _READERS:
        raise ValueError(
            f"{source!r} is neither a bundled set ({', '.join(BUNDLED)}, made) nor a file ending "
            f"in {', '.join(_READERS)}."
        )
    if not path.is_file():
        raise ValueError(f"There is no file {source!r}.")
    try:
        return _checked(_load_file(path, label))
    except (ValueError, IndexError, TypeError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path} cannot be used: {error}") from error


def made_series(n=200, n_timepoints=128, seed=0):
    """Noisy sines and sawtooth waves of random phase, labelled 0 and 1."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    phase = np.linspace(0, 3, n_timepoints) + rng.uniform(0, 1, (n, 1))
    X = np.where(y[:, None] == 0, np.sin(2 * np.pi * phase), 2 * (phase % 1) - 1)
    return X + 0.2 * rng.normal(size=X.shape), y


def _load_bundled(name):
    from aeon.datasets import load_classification

    parts = [load_classification(name, split=split) for split in ("train", "test")]
    return Split(name, *parts[0][:2], *parts[1][:2])


def _load_file(path, label):
    name, data = path.stem.replace("_TRAIN", ""), _READERS[path.suffix](path, label)
    if len(data) == 4:
        return Split(name, *data)
    test = path.with_name(path.name.replace("_TRAIN", "_TEST"))
    if test != path and test.exists():
        return Split(name, *data, *_READERS[path.suffix](test, label))
    return _split(name, *data)


def _checked(data):
    """`data`, if its parts fit together and nothing is missing."""
    parts = ((data.X_train, data.y_train), (data.X_test, data.y_test))
    for X, y in parts:
        _check_panel(X)
        assert_all_finite(X, input_name="X")
        if y is not None and np.shape(y) != (len(X),):
            raise ValueError(f"there are {len(X)} series but labels of shape {np.shape(y)}.")
        if y is not None:
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


def _check_panel(X):
    if not isinstance(X, np.ndarray) or X.ndim not in (2, 3):
        raise ValueError("the series are not all of one length, or not a table of numbers.")


def _split(name, X, y):
    """70 to 30, by class where every class has two series."""
    _check_panel(X)
    if len(X) < 3:
        raise ValueError(f"it has {len(X)} series; at least 3 are needed to split them.")
    if y is not None and np.shape(y) != (len(X),):
        raise ValueError(f"there are {len(X)} series but labels of shape {np.shape(y)}.")
    stratify = y
    if y is None or np.unique(y, return_counts=True)[1].min() < 2:
        stratify = None
    train, test = train_test_split(
        np.arange(len(X)), test_size=0.3, random_state=0, stratify=stratify
    )
    labels = (None, None) if y is None else (y[train], y[test])
    return Split(name, X[train], labels[0], X[test], labels[1])


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
    table, (column, is_named) = np.array(rows), _label_column(rows[0], label)
    header, apart = _without(table[:1], column)[0], [] if column is None else [column]
    if is_named or _is_header(header):
        first, table = table[0, 0], table[1:]
        if first in _NO_NAMES and table[:, 0].tolist() == [str(i) for i in range(len(table))]:
            apart.append(0)  # the row numbers that pandas writes
    y = None if column is None else table[:, column]
    return _numbers(np.delete(table, apart, axis=1)), y


def _label_column(first_row, label):
    """Index of the label column, and whether it was given by its name in the first row.

    A number is a name only in a row of names: else it may be a value of the first series.
    """
    if label is None:
        return None, False
    if label in first_row:
        column = first_row.index(label)
        if not _is_number(label) or _is_header(first_row[:column] + first_row[column + 1 :]):
            return column, True
    if not label.lstrip("-").isdigit():
        raise ValueError(f"there is no column {label!r}; the first are {first_row[:5]}.")
    if not -len(first_row) <= int(label) < len(first_row):
        raise ValueError(f"there is no column {label}; there are {len(first_row)}.")
    return int(label), False


def _is_header(cells):
    """Names and no number at all; or numbers from 0 or 1, or at least five that rise evenly.

    The first of them may be the empty name that pandas writes above row numbers.
    """
    cells = list(cells)[1:] if len(cells) > 1 and cells[0] in _NO_NAMES else list(cells)
    if not any(map(_is_number, cells)):
        return True
    if not all(map(_is_number, cells)):
        return False
    steps = np.diff(np.array(cells, dtype=float))
    evenly = len(cells) >= 5 and steps.min() > 0 and np.ptp(steps) < 1e-6 * steps.max()
    return evenly or cells in ([str(first + i) for i in range(len(cells))] for first in (0, 1))


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _without(table, column):
    return table if column is None else np.delete(table, column, axis=1)


def _numbers(cells):
    if (cells == "").any():
        raise ValueError("it has empty cells: missing values are not accepted.")
    try:
        return cells.astype(float)
    except ValueError as error:
        raise ValueError(
            f"a cell is not a number: {str(error).rpartition(': ')[2].removeprefix('np.str_')}; "
            "--label says which column of a .csv holds classes."
        ) from None


def _read_npz(path, label):
    arrays = np.load(path)
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise ValueError("it is not an npz archive.")
    with arrays:
        if "X_train" in arrays and "X_test" in arrays:
            return tuple(arrays.get(k) for k in ("X_train", "y_train", "X_test", "y_test"))
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
