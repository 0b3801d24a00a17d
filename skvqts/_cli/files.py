"""Series and their labels, from the name of a bundled set or from a file."""

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite

from .._fitting.validation import checked_labels
from .._recordings.gaps import runs
from .._recordings.recording import Recording, as_recording
from .._recordings.windows import SlidingWindows
from ..metrics._validation import validate_one_kind
from .tables import TABLES, read_table, suffix_of
from .understanding import Flags, Record, Series, understand_array, understand_table

_SHORTEST = 64  # recording that is cut into windows
# Errors whose messages are of this library, or say what is wrong.
_CLEAR = (ValueError, ImportError, ModuleNotFoundError, MemoryError, PermissionError)
_LONGEST = 400  # letters of a message of a reader, which may quote the file
BUNDLED = ("GunPoint", "ItalyPowerDemand", "ArrowHead", "OSULeaf", "BasicMotions")


class Split(NamedTuple):
    """A training part and a test part; both labels are None for a set without labels."""

    name: str
    X_train: np.ndarray
    y_train: np.ndarray | None
    X_test: np.ndarray
    y_test: np.ndarray | None
    words: str = ""  # what was understood, and why


class Recorded(NamedTuple):
    """One long recording.

    Attributes
    ----------
    name : str
    table : DataFrame or ndarray
        As the file holds it, without columns that are left out.
    recording : Recording
    length : int
        Time points of a window.
    words : str
        What was understood, and why.
    """

    name: str
    table: object
    recording: Recording
    length: int
    words: str

    def times(self, places):
        """Dates or numbers of the time axis at some time points; these, if there is no axis."""
        if self.recording.times is not None:
            return self.recording.times[places]
        index = getattr(self.table, "index", None)
        if index is not None and index.name is not None:  # numbers
            return index.to_numpy()[places]
        return places

    def column_of_times(self, places):
        """The same in their zone, if they have one, as a column of a table that is written."""
        times, zone = self.times(places), _zone_of(self.table)
        if zone is None:
            return times
        import pandas as pd

        return pd.DatetimeIndex(times, tz="UTC").tz_convert(zone)

    def in_words(self, place):
        """The date, number or time point of one time point, as it is printed."""
        time = self.column_of_times(np.array([place]))[0]
        if not isinstance(time, np.datetime64):
            return f"{time:g}" if isinstance(time, float) else str(time)
        return np.datetime_as_string(time, unit="auto").replace("T", " ")


def load(source, flags=Flags()):  # noqa: B008 - a tuple
    """Load a bundled set or a file: series split into a training part and a test part, or one long.

    Parameters
    ----------
    source : str
        The name of a set of the UCR or UEA archive (needs aeon, which bundles those in `BUNDLED`
        and downloads others), "made" for sines and sawtooth waves, or a file: ``.ts``
        (needs aeon), a table (needs pandas) as `read_table` takes it, ``.npz`` or ``.npy``. The
        test part of a file ``NAME_TRAIN.*`` is the file ``NAME_TEST.*`` beside it. Series that come
        without a test part are split 70 to 30.
    flags : Flags
        What the user says about the file.

    Returns
    -------
    data : Split or Recorded

    Raises
    ------
    ValueError
        If the source is unknown or the file does not hold what its ending says.
    """
    if source == "made":
        return _validated(_split("made", *made_series()))
    if _is_in_the_archive(source):
        return _validated(_of_the_archive(source))
    return _from_file(_path(source), lambda path: _load_file(path, flags))


def load_whole(source, flags=Flags()):  # noqa: B008 - a tuple
    """Load all series of a bundled set or a file and their labels, not split, or a recording.

    Of sets with two parts it is the training part.

    Parameters
    ----------
    source, flags
        As for `load`.

    Returns
    -------
    data : Split or Recorded
        A Split whose test part is None.
    """
    if source == "made" or _is_in_the_archive(source):
        data = load(source, flags)
        return data._replace(X_test=None, y_test=None)

    def whole(path):
        found, name = found_in(path, flags, missing=True), _name(path)
        if isinstance(found, Record):
            return recorded(name, found)
        words = found.words if isinstance(found, Series) else ""
        X, y = found[:2]
        _check_array_of_series(X)
        if y is not None:
            _check_one_label_each(X, y)
            checked_labels(y, len(X), "y")
        return Split(name, X, y, None, None, words)

    return _from_file(_path(source), whole)


def _is_in_the_archive(name):
    """Whether a set of the UCR or UEA archive has this name, as far as aeon knows."""
    if name in BUNDLED:
        return True
    if Path(name).suffix or not find_spec("aeon"):
        return False
    from aeon.datasets.tsc_datasets import multivariate, univariate

    return name in univariate or name in multivariate


def _of_the_archive(name):
    """A set in its default split. aeon downloads those that it does not bundle."""
    from aeon.datasets import load_classification

    try:
        parts = [load_classification(name, split=split)[:2] for split in ("train", "test")]
    # Downloads fail in many ways.
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"aeon could not load {name}: {told[0]}") from error
    (X_train, y_train), (X_test, y_test) = parts
    return Split(name, X_train, y_train, X_test, y_test)


def _path(source):
    path = Path(source)
    if not path.suffix or suffix_of(path) not in _ENDINGS:
        raise ValueError(
            f"{source!r} is neither a set of the UCR or UEA archive (aeon bundles "
            f"{', '.join(BUNDLED)}), 'made', nor a file ending "
            f"in {', '.join(_ENDINGS)}."
        )
    if not path.is_file():
        raise ValueError(f"There is no file {source!r}.")
    return path


def _from_file(path, read):
    try:
        return read(path)
    # Readers raise errors of many kinds when a file is damaged.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        told = told if len(told) <= _LONGEST else f"{told[:_LONGEST]}..."
        if type(error) not in _CLEAR:
            told = f"it is damaged, or not of the kind that its name says ({told})."
        raise ValueError(f"{path} cannot be used: {told}") from error


def made_series():
    """Make 200 noisy sines and sawtooth waves of random phase, labelled 0 and 1."""
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    phase = np.linspace(0, 3, 128) + rng.uniform(0, 1, (200, 1))
    X = np.where(y[:, None] == 0, np.sin(2 * np.pi * phase), 2 * (phase % 1) - 1)
    return X + 0.2 * rng.normal(size=X.shape), y


def found_in(path, flags, missing=False):
    """What a file holds: Series, a Record, or a tuple of both parts of an archive.

    With `missing`, series may have missing values.
    """
    if suffix_of(path) == ".npz":
        parts = _read_npz(path)
        return parts if len(parts) == 4 else understand_array(*parts, flags)
    if suffix_of(path) in TABLES:
        return _read_rows(path, flags, missing)
    return _READERS[suffix_of(path)](path, flags)


def _load_file(path, flags):
    name = _name(path)
    found = found_in(path, flags)
    test_path = path.with_name(path.name.replace("_TRAIN", "_TEST"))
    test = found_in(test_path, flags) if test_path != path and test_path.exists() else None
    if isinstance(found, Record):
        if test is not None:
            raise ValueError(
                f"it is one recording, and {test_path.name} is another file: give one recording, "
                "which is split in time, or say --as series."
            )
        return recorded(name, found)
    if not isinstance(found, Series):
        return _validated(Split(name, *found))
    if test is None:
        return _validated(_split(name, found.X, found.y, found.words))
    if not isinstance(test, Series):
        raise ValueError(f"{test_path.name} is not a set of series, as it is: say --as series.")
    return _validated(Split(name, found.X, found.y, test.X, test.y, found.words))


def _name(path):
    stem = path.stem if path.suffix.lower() != ".gz" else Path(path.stem).stem
    return stem.replace("_TRAIN", "")


def recorded(name, record):
    """The recording that a file holds, with what was understood of it in one line."""
    recording = as_recording(record.table, "a recording")
    n_channels, n_timepoints = recording.values.shape
    if n_timepoints < _SHORTEST:
        raise ValueError(
            f"it is one recording of {n_timepoints} points ({record.words}), fewer than the "
            f"{_SHORTEST} that are needed; say --as series if its rows are series."
        )
    words = f"one recording of {n_timepoints:,} points"
    if recording.times is not None:
        words += f" every {_duration(np.median(np.diff(recording.times)))}"
    words += f", {n_channels} channel{'s' if n_channels > 1 else ''}"
    if recording.names is not None:
        shown = ", ".join(map(str, recording.names[:5]))
        words += f" ({shown}{', ...' if n_channels > 5 else ''})"
    n_gaps = len(runs(np.isnan(recording.values).any(axis=0)))
    words += f", {n_gaps} gap{'s' if n_gaps > 1 else ''}" if n_gaps else ""
    zone = _zone_of(record.table)
    words += "" if zone is None else f", times of {zone} (in UTC in pictures)"
    windows = SlidingWindows().fit(recording.values[None])
    words += f": {record.words}; windows of {windows.length_}"
    if windows.period_ is not None:
        words += f", as its period is {windows.period_}"
    return Recorded(name, record.table, recording, windows.length_, words)


def _zone_of(table):
    """The zone of the times of a table; None without one."""
    zones = (getattr(kind, "tz", None) for kind in getattr(table, "dtypes", ()))
    return next((zone for zone in zones if zone is not None), None)


def _duration(step):
    """A time step in its largest whole unit, as "10 s"."""
    seconds = step / np.timedelta64(1, "s")
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size and (seconds / size) % 1 == 0:
            return f"{round(seconds / size)} {unit}"
    return f"{seconds:g} s"


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
        if not set(data.y_train) & set(data.y_test):
            raise ValueError(
                f"no class of the test part, {sorted(set(data.y_test))[:5]}, is in the training "
                f"part, {sorted(set(data.y_train))[:5]}."
            )
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


def _split(name, X, y, words=""):
    """Split 70 to 30, stratified by class where there are enough series of each."""
    _check_array_of_series(X)
    if len(X) < 3:
        raise ValueError(f"it has {len(X)} series; at least 3 are needed to split them.")
    rows = np.arange(len(X))
    if y is None:
        train, test = train_test_split(rows, test_size=0.3, random_state=0)
        return Split(name, X[train], None, X[test], None, words)
    _check_one_label_each(X, y)
    counts = np.unique(y, return_counts=True)[1]
    is_enough = counts.min() >= 2 and len(counts) <= 0.3 * len(X)
    train, test = train_test_split(
        rows, test_size=0.3, random_state=0, stratify=y if is_enough else None
    )
    return Split(name, X[train], y[train], X[test], y[test], words)


def _read_ts(path, flags):
    from aeon.datasets import load_from_ts_file

    if flags.reading not in (None, "series") or flags[1:] != (None, None, None):
        raise ValueError(
            "a .ts file has no columns: leave --as, --label, --time and --channels out."
        )
    X, y = load_from_ts_file(str(path))
    if sum(np.size(series) for series in X) == 0:
        raise ValueError("it holds no series.")
    if y is None or len(y) == 0:  # @classLabel false
        return Series(X, None, "a series in each line")
    y = np.char.strip(np.asarray(y, dtype=str))
    _refuse_measured(y)
    return Series(X, y, "a series and its class in each line")


def _refuse_measured(y):
    """Refuse labels ``(n,)`` of text that are measured values, which are no classes."""
    try:
        numbers = y.astype(np.float64)
    except ValueError:
        return
    checked_labels(numbers, len(y), "y")


def _read_rows(path, flags, missing):
    table, has_names = read_table(path)
    label_first = suffix_of(path) in (".tsv", ".txt")
    return understand_table(table, has_names, flags, label_first=label_first, missing=missing)


def _read_npz(path):
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


def _read_npy(path, flags):
    array = np.load(path)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is not a single array.")
    return understand_array(array, None, flags)


_READERS = {".ts": _read_ts, ".npy": _read_npy}
_ENDINGS = (*_READERS, *TABLES, ".npz")
