"""Files of series that were damaged, and whether the command line reads each or says why not.

Run as a figure of benchmarks/robustness.py. A file goes right if it is read, as series of finite
numbers or as a recording, or refused in one line, within seconds and in little memory. What a
damaged file should have held is not known: a digit that was changed is a number too.
"""

import gzip
import io
import os
import pickle
import resource
import signal
import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from skvqts._cli.files import Recorded, load_whole
from skvqts._cli.understanding import Flags

_SPARE = 2**30  # bytes of memory
_LONGEST = 10  # seconds
_CLASSES = "kind"  # the column of the classes of tables whose rows are series


@cache
def whole_files():
    """The bytes of a small file of each kind, by its ending; equal in every process."""
    rng = np.random.default_rng(0)
    y = np.arange(20) % 2
    X = np.round(np.sin(np.linspace(0, 6, 16) * (1 + y[:, None])) + rng.normal(0, 0.1, (20, 16)), 3)
    wide = pd.DataFrame(X, columns=[f"t{i}" for i in range(16)]).assign(**{_CLASSES: y})
    times = pd.date_range("2024-01-01", periods=80, freq="10s")
    recording = pd.DataFrame(X[:, :2].repeat(4, 0), columns=["temp", "load"]).assign(time=times)
    rows = "\n".join("\t".join(map(str, [a, *x])) for a, x in zip(y, X.tolist(), strict=True))
    ts = "@problemName a\n@timeStamps false\n@univariate true\n@classLabel true 0 1\n@data\n"
    ts += "\n".join(f"{','.join(map(str, x))}:{a}" for a, x in zip(y, X.tolist(), strict=True))
    table = wide.to_csv(index=False).encode()
    contents = {
        "wide.csv": table,
        "recording.csv": recording.to_csv(index=False).encode(),
        "packed.csv.gz": gzip.compress(table, mtime=0),
        "series.tsv": rows.encode(),
        "series.txt": rows.replace("\t", "  ").encode(),
        "series.ts": ts.encode(),
    }
    writers = {
        "array.npy": lambda file: np.save(file, X),
        "arrays.npz": lambda file: np.savez_compressed(file, X=X, y=y),
        "wide.parquet": wide.to_parquet,
        "wide.xlsx": lambda file: wide.to_excel(file, index=False),
    }
    for name, write in writers.items():
        file = io.BytesIO()
        write(file)
        contents[name] = file.getvalue()
    return contents


def _flip(content, rng):
    place = rng.integers(8 * len(content))
    content[place // 8] ^= 1 << (place % 8)


def _overwrite(content, rng):
    start = rng.integers(len(content))
    content[start : start + 8] = rng.bytes(min(8, len(content) - start))


def _cut_off(content, rng):
    del content[rng.integers(len(content)) :]


def _leave_out(content, rng):
    start = rng.integers(len(content))
    del content[start : start + rng.integers(1, 64)]


def _repeat(content, rng):
    start = rng.integers(len(content))
    piece = content[start : start + rng.integers(1, 64)]
    content[start:start] = piece


def _put_in(content, rng):
    start = rng.integers(len(content))
    tokens = [b"\0", b'"', b"\n", b",", b";", b"nan", b"1e999", b"-", b"\xff\xfe", "é".encode()]
    content[start:start] = tokens[rng.integers(len(tokens))]


DAMAGES = (_flip, _overwrite, _cut_off, _leave_out, _repeat, _put_in)


def damaged_files(n, rng):
    """Read damaged files; those that were neither read nor refused in one line."""
    names = list(whole_files())
    wrong, n_read = [], 0
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n):
            name = names[i % len(names)]
            damage = DAMAGES[i // len(names) % len(DAMAGES)]
            content = bytearray(whole_files()[name])
            damage(content, rng)
            path = Path(folder) / name
            path.write_bytes(content)
            problem, is_read = in_a_child(path)
            n_read += is_read
            if problem is not None:
                wrong.append(f"{name}, {damage.__name__.strip('_')}: {problem}")
    remarks = f"{n_read} were read, the others refused. {'; '.join(wrong[:20])}"
    return {"tries": n, "wrong": len(wrong), "remarks": remarks.strip()}


def in_a_child(path):
    """What is wrong about reading a file, or None, and whether it was read.

    It is read by a forked process, which has little memory and time.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            os.close(reader)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(_LONGEST)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + _SPARE, used + _SPARE))
            os.write(writer, pickle.dumps(read(path)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(process, 0)
    return pickle.loads(answer) if answer else ("it took too long, or the process died", False)


def read(path):
    """What is wrong about reading a file in this process, and whether it was read."""
    warnings.simplefilter("ignore")
    try:
        has_classes = path.name.startswith(("wide", "packed"))
        data = load_whole(str(path), Flags(label=_CLASSES if has_classes else None))
    except ValueError as error:
        told = str(error)
        is_one_line = "cannot be used: " in told and "\n" not in told and len(told) < 600
        return None if is_one_line else f"ValueError: {told[:200]}", False
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}", False
    if isinstance(data, Recorded):
        return None, True
    values = data.X_train if isinstance(data.X_train, list) else [data.X_train]
    numbers = all(np.asarray(series).dtype.kind in "fiu" for series in values)
    return (None if numbers else "it was read as what is no number"), True
