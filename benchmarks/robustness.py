"""Files and fits that are killed, damaged, forged and interrupted, and what becomes of them.

    python -m benchmarks.robustness [FIGURE ...] [--share 1.0]

* "kills while saving": a process that saves one of two models to one path, again and again, is
  killed at a random moment; the file has to open and to be one of them.
* "kills in a fit": a fit with a checkpoint is killed at a random moment and run again; it has to
  end with the bits of a fit that was never killed. Fits are small, and write twenty times a second.
* "flipped bits", "truncations": of files of all estimators; none may open.
* "hostile files": those of benchmarks/hostile_files.py. None may open or run code, and none may
  take more memory than ten times its size and 8 MB, or more than two seconds.
* "Ctrl-C in a fit": SIGINT at a random moment; KeyboardInterrupt has to arrive within half a
  second, and to leave the object fitted and marked, or as it was before.
* "Ctrl-C in a search": the same in `GridSearchCV` with two workers, none of which may be left three
  seconds later.
* "junk calls": public calls with an object of another kind than they take, see benchmarks/junk.py.
* "damaged files of series": tables and arrays with a few bytes changed, see
  benchmarks/damaged_data.py.
* "bits by jobs, backend and threads": fits of all estimators with one and two jobs of joblib's
  three kinds of workers and one and two threads of OpenMP, which have to end with equal bits.
* "fits in a row": of each estimator; they may leave 5 MB of memory behind.

`--share` runs a part of each. Needs Linux; everything runs on one thread. Each figure is the number
of tries and of those that went wrong; they are written to benchmarks/results as they are found.
"""

import argparse
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from functools import cache, partial
from pathlib import Path

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import skvqts
from benchmarks.cells import RESULTS, Cells
from benchmarks.damaged_data import damaged_files
from benchmarks.hostile_files import hostile_files
from benchmarks.junk import junk_calls
from benchmarks.sameness import fits_without_growth, same_bits
from skvqts._files.container import read_file
from skvqts._files.models import content_digest
from skvqts._fitting import checkpoint as checkpoints

_SPARE = 8 * 2**20  # bytes of memory that a hostile file may take besides ten times its size
_LONGEST = 2.0  # seconds that it may take
_PAUSE = 0.05  # seconds between writings of checkpoints
_LATEST = 0.9  # share of the time of a fit, after which nothing happens to it any more
_PROMPT = 0.5  # seconds
_AFTERWARDS = 3.0  # seconds after which processes that are left count

SEARCH = """
import time
from sklearn.model_selection import GridSearchCV
from benchmarks.robustness import series
from skvqts import VQTokenizer
search = GridSearchCV(VQTokenizer(max_epochs=400), {"width": [16, 32, 48, 64]}, n_jobs=2, cv=3)
print("begins", flush=True)
try:
    search.fit(*series())
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
"""


def series():
    """Forty series of two shapes, and their classes."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    phases = np.linspace(0, 2, 48) + rng.uniform(0, 1, (40, 1))
    X = np.where(y[:, None] == 0, np.sin(2 * np.pi * phases), 2 * (phases % 1) - 1)
    return X + rng.normal(0, 0.1, X.shape), y


def estimators():
    """Constructors of every estimator that is trained, in a size that takes a second or two."""
    tokenizer = skvqts.VQTokenizer(8, width=8, downsampled_width=8, max_epochs=30)
    extractor = skvqts.SSLFeatureExtractor(width=4, max_epochs=10)
    decoder = skvqts.FlowDecoder(width=4, batch_size=64, max_epochs=4)
    prior = {"decoder": decoder, "width": 16, "n_layers": 1, "max_epochs": 4}
    makers = {
        "VQTokenizer": partial(skvqts.VQTokenizer, 8, width=8, max_epochs=100),
        "VQTokenizer, BYOL": partial(
            skvqts.VQTokenizer, 8, width=8, ssl="byol", early_stopping=True, max_epochs=40
        ),
        "SSLFeatureExtractor, MoCo": partial(
            skvqts.SSLFeatureExtractor, "moco", width=4, max_epochs=30
        ),
        "FCNClassifier": partial(skvqts.FCNClassifier, width=8, max_epochs=60),
        "FineTunedClassifier": partial(skvqts.FineTunedClassifier, extractor, max_epochs=30),
        "SeriesAutoencoder": partial(skvqts.SeriesAutoencoder, width=8, max_epochs=60),
        "SeriesVAE": partial(skvqts.SeriesVAE, width=8, max_epochs=60),
        "FlowDecoder": partial(skvqts.FlowDecoder, tokenizer, width=4, batch_size=64, max_epochs=6),
        "MaskedPriorGenerator": partial(skvqts.MaskedPriorGenerator, tokenizer, **prior),
        "AutoregressivePriorGenerator": partial(
            skvqts.AutoregressivePriorGenerator, tokenizer, **prior
        ),
    }
    return {name: partial(make, random_state=0) for name, make in makers.items()}


def in_child(function):
    """Run a function in a forked process; its number."""
    process = os.fork()
    if process == 0:
        try:
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return process


# ---- kills


def kills_while_saving(n, rng):
    """Kill processes that save one of two models to one path."""
    X, y = series()
    models = [
        skvqts.FCNClassifier(width=64, max_epochs=1, random_state=i).fit(X, y) for i in (0, 1)
    ]
    known = {content_digest(model) for model in models}
    n_lost = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        models[0].save(path)

        def save_for_ever():
            while True:
                for model in models:
                    model.save(path)

        for _ in range(n):
            process = in_child(save_for_ever)
            time.sleep(rng.uniform(0.0, 0.05))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            try:
                n_lost += content_digest(skvqts.load(path)) not in known
            except (skvqts.ModelFileError, OSError):
                n_lost += 1
    return {"tries": n, "wrong": n_lost}


def kills_in_a_fit(n, rng):
    """Kill fits with a checkpoint, and run them again."""
    X, y = series()
    checkpoints._PAUSE, checkpoints._SHARE = _PAUSE, np.inf
    n_different = 0
    stages = {}
    makers = estimators()
    uninterrupted = {}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "checkpoint")
        for i in range(n):
            name = list(makers)[i % len(makers)]
            if name not in uninterrupted:
                uninterrupted[name] = content_digest(makers[name]().fit(X, y))
            fit = partial(_fit, makers[name], X, y, path)
            start = time.perf_counter()
            os.waitpid(in_child(fit), 0)
            seconds = time.perf_counter() - start
            process = in_child(fit)
            time.sleep(rng.uniform(0, _LATEST * seconds))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            n_trainings = 0
            if os.path.exists(path):
                manifest, _ = read_file(path)
                n_trainings = len(dict(manifest["state"]["dict"])["trainings"])
            stages[n_trainings] = stages.get(n_trainings, 0) + 1
            is_same = content_digest(fit()) == uninterrupted[name]
            n_different += not is_same or len(os.listdir(folder)) > 0
    in_words = ", ".join(f"{stages[k]} in training {k}" for k in sorted(stages) if k)
    return {
        "tries": n,
        "wrong": n_different,
        "remarks": f"{in_words}, {stages.get(0, 0)} before a first writing",
    }


def _fit(make, X, y, checkpoint):
    return make().fit(X, y, checkpoint=checkpoint)


# ---- damaged and forged files


@cache
def model_files():
    """The bytes of a file of each estimator."""
    X, y = series()
    files = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for make in [*estimators().values(), skvqts.RandomConvolutionExtractor]:
            model = make()
            if hasattr(model, "max_epochs"):
                model.set_params(max_epochs=1)
            model.fit(X, y).save(path)
            files.append(path.read_bytes())
    return files


def opened(contents):
    """How many of some files, given by their bytes, open without an error of ours."""
    n_opened = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for content in contents:
            path.write_bytes(content)
            try:
                skvqts.load(path)
            except skvqts.ModelFileError:
                continue
            n_opened += 1
    return n_opened


def flipped_bits(n, rng):
    """Files with one bit changed."""
    files = model_files()

    def damaged():
        for i in range(n):
            content = bytearray(files[i % len(files)])
            place = rng.integers(8 * len(content))
            content[place // 8] ^= 1 << (place % 8)
            yield bytes(content)

    return {"tries": n, "wrong": opened(damaged())}


def truncations(n, rng):
    """Files that were cut off."""
    files = model_files()
    cut = (files[i % len(files)][: rng.integers(len(files[i % len(files)]))] for i in range(n))
    return {"tries": n, "wrong": opened(cut)}


def hostile(n, rng):
    """Files that were made to harm."""
    most = slowest = 0.0
    wrong = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        skvqts.FCNClassifier(max_epochs=1).fit(*series()).save(folder / "a good file")
        paths = hostile_files(folder, folder / "code was run")
        for what, path in paths.items():
            reader, writer = os.pipe()
            process = in_child(partial(_open_and_tell, folder / "a good file", path, writer))
            os.close(writer)
            with os.fdopen(reader, "rb") as pipe:
                answer = pipe.read()
            os.waitpid(process, 0)
            is_refused, n_bytes, seconds = pickle.loads(answer) if answer else (False, 0, 0)
            most = max(most, n_bytes / 2**20)
            slowest = max(slowest, seconds)
            is_small = n_bytes <= 10 * path.stat().st_size + _SPARE
            if not (is_refused and is_small and seconds < _LONGEST):
                wrong.append(what)
        if (folder / "code was run").exists():
            wrong.append("code was run")
    return {
        "tries": len(paths),
        "wrong": len(wrong),
        "remarks": "; ".join([f"at most {most:.1f} MB of memory and {slowest:.1f} s", *wrong]),
    }


def _open_and_tell(good, path, writer):
    """Open a file, and write whether it was refused and how much memory that took to a pipe."""
    skvqts.load(good)  # or what follows would pay for code that is needed in any case
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts anew
    before = _peak_of_memory()
    start = time.perf_counter()
    try:
        skvqts.load(path)
        is_refused = False
    except skvqts.ModelFileError:
        is_refused = True
    seconds = time.perf_counter() - start
    os.write(writer, pickle.dumps((is_refused, _peak_of_memory() - before, seconds)))


def _peak_of_memory():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


# ---- interruptions


def ctrl_c_in_a_fit(n, rng):
    """Interrupt fits at random moments."""
    X, y = series()
    makers = estimators()
    seconds = {}
    slowest, n_wrong, n_hit = 0.0, 0, 0
    while n_hit < n:
        name = list(makers)[n_hit % len(makers)]
        if name not in seconds:
            start = time.perf_counter()
            makers[name]().fit(X, y)
            seconds[name] = time.perf_counter() - start
        reader, writer = os.pipe()
        process = in_child(partial(_fit_and_tell, makers[name](), X, y, writer))
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            pipe.readline()  # it begins
            time.sleep(rng.uniform(0, _LATEST * seconds[name]))
            sent = time.monotonic()
            os.kill(process, signal.SIGINT)
            answer = pipe.read()
        os.waitpid(process, 0)
        if answer == b"done":  # too late
            continue
        n_hit += 1
        arrived, is_whole = pickle.loads(answer)
        slowest = max(slowest, arrived - sent)
        n_wrong += arrived - sent > _PROMPT or not is_whole
    return {"tries": n, "wrong": n_wrong, "remarks": f"slowest {slowest:.2f} s"}


def _fit_and_tell(estimator, X, y, writer):
    """Fit until Ctrl-C arrives; write when it did and whether the object is whole to a pipe."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        os.write(writer, b"begins\n")
        estimator.fit(X, y)
    except KeyboardInterrupt:
        arrived = time.monotonic()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(writer, pickle.dumps((arrived, _is_whole(estimator, X))))
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.write(writer, b"done")


def _is_whole(estimator, X):
    """Whether an interrupted estimator works and is marked, or is not fitted at all."""
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return not [name for name in vars(estimator) if name.endswith("_")]
    if isinstance(estimator, skvqts.FlowDecoder):
        estimator.sample(estimator.tokenizer_.encode(X))
    elif hasattr(estimator, "sample"):
        estimator.sample(2)
    elif hasattr(estimator, "predict"):
        estimator.predict(X)
    else:
        estimator.transform(X)
    return estimator.interrupted_


def ctrl_c_in_a_search(n, rng):
    """Interrupt searches with two workers at random moments."""
    slowest, n_wrong, n_left = 0.0, 0, 0
    for _ in range(n):
        search = subprocess.Popen(
            [sys.executable, "-c", SEARCH],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            # What runs in the background of a shell ignores the signal otherwise.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            text=True,
        )
        search.stdout.readline()
        time.sleep(rng.uniform(0.5, 6))
        sent = time.monotonic()
        os.killpg(search.pid, signal.SIGINT)  # as a terminal does
        answer, _ = search.communicate()
        arrived = float(answer) if answer else np.inf
        slowest = max(slowest, arrived - sent)
        time.sleep(_AFTERWARDS)
        left = _processes_of_session(search.pid)
        n_left += len(left)
        n_wrong += arrived - sent > _PROMPT or len(left) > 0
    return {
        "tries": n,
        "wrong": n_wrong,
        "remarks": f"slowest {slowest:.2f} s, {n_left} processes left",
    }


def _processes_of_session(session):
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(status.parent.name)
    return found


FIGURES = {
    "kills while saving": (kills_while_saving, 200),
    "kills in a fit": (kills_in_a_fit, 60),
    "flipped bits": (flipped_bits, 1000),
    "truncations": (truncations, 500),
    "hostile files": (hostile, 1),
    "Ctrl-C in a fit": (ctrl_c_in_a_fit, 40),
    "Ctrl-C in a search": (ctrl_c_in_a_search, 10),
    "junk calls": (junk_calls, 6000),
    "damaged files of series": (damaged_files, 2000),
    "bits by jobs, backend and threads": (same_bits, 1),
    "fits in a row": (fits_without_growth, 100),
}


def main():
    """Print the figures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="*", default=list(FIGURES), metavar="FIGURE")
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    cells = Cells(RESULTS / "robustness.jsonl")
    for figure in options.figures:
        measure, n = FIGURES[figure]
        n = max(1, round(n * options.share))
        rng = np.random.default_rng(0)
        row = cells.measure({"figure": figure, "tries asked for": n}, partial(measure, n, rng))
        print(f"{figure}: {row['wrong']} of {row['tries']} wrong. {row.get('remarks', '')}")


if __name__ == "__main__":
    main()
