"""Labelled series from a bundled set's name or from a file."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

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
        return _split("made", *made_series())
    if source in BUNDLED:
        return _load_bundled(source)
    path = Path(source)
    if path.suffix not in _READERS:
        known = ", ".join(BUNDLED)
        raise ValueError(
            f"{source!r} is neither a bundled set ({known}, made) nor a file ending in "
            f"{', '.join(_READERS)}."
        )
    if not path.exists():
        raise ValueError(f"There is no file {source!r}.")
    return _load_file(path, label)


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
    read = _READERS[path.suffix]
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            if "X_train" in arrays and "X_test" in arrays:
                y = [arrays.get(key) for key in ("y_train", "y_test")]
                return Split(path.stem, arrays["X_train"], y[0], arrays["X_test"], y[1])
    X, y = read(path, label)
    test = path.with_name(path.name.replace("_TRAIN", "_TEST"))
    if test != path and test.exists():
        return Split(path.stem.replace("_TRAIN", ""), X, y, *read(test, label))
    return _split(path.stem, X, y)


def _split(name, X, y):
    """70 to 30, by class where every class has two series."""
    if len(X) < 3:
        raise ValueError(f"{name} has {len(X)} series; at least 3 are needed to split them.")
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
    table = np.loadtxt(path, delimiter="\t", dtype=str, ndmin=2)
    return _numbers(table[:, 1:], path), table[:, 0]


def _read_csv(path, label):
    with path.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if len({len(row) for row in rows}) != 1:
        raise ValueError(f"The rows of {path} do not all have the same number of cells.")
    table, header = np.array(rows), None
    if label is None or label.lstrip("-").isdigit():
        column = None if label is None else int(label)
        if not _all_numbers(_without(table[:1], column)):
            table = table[1:]
    else:
        header, table = rows[0], table[1:]
        if label not in header:
            raise ValueError(f"{path} has no column {label!r}; its columns are {header[:5]}...")
        column = header.index(label)
    y = None if column is None else table[:, column]
    return _numbers(_without(table, column), path), y


def _without(table, column):
    return table if column is None else np.delete(table, column, axis=1)


def _read_npz(path, label):
    with np.load(path) as arrays:
        if "X" not in arrays:
            raise ValueError(
                f"{path} holds {sorted(arrays)}; needed are 'X' (and 'y'), or 'X_train' and "
                "'X_test' (and 'y_train', 'y_test')."
            )
        return arrays["X"], arrays.get("y")


def _read_npy(path, label):
    return np.load(path), None


def _all_numbers(cells):
    try:
        cells.astype(float)
    except ValueError:
        return False
    return True


def _numbers(cells, path):
    try:
        return cells.astype(float)
    except ValueError as error:
        raise ValueError(f"A cell of {path} is not a number: {error}.") from None


_READERS = {
    ".ts": _read_ts,
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".npy": _read_npy,
}
