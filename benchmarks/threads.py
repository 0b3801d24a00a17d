"""Default fits by number of threads, beside a busy process, and two at a time.

    python -m benchmarks.threads [SET] [--repeats 3]

On a machine that is otherwise idle. "busy": one other process computes without pause on one core.
"jobs": `cross_val_score` of a tokenizer with a linear classifier, on five folds. Every
number is the median of some runs, which are interleaved.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time

import numpy as np
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from benchmarks.cells import RESULTS, Cells, seconds_of, table
from benchmarks.data import default_folder, load
from skvqts import FCNClassifier, MaskedPriorGenerator, SSLFeatureExtractor, VQTokenizer

ESTIMATORS = {
    "VQTokenizer": VQTokenizer,
    "SSLFeatureExtractor": SSLFeatureExtractor,
    "FCNClassifier": FCNClassifier,
    "MaskedPriorGenerator": MaskedPriorGenerator,
}


def burn(stop):
    """Keep one core busy, and no more: matrix products would take several."""
    while not stop.is_set():
        sum(range(100_000))


def fit(name, set_name, folder, n_threads):
    """Seconds of one fit in this process."""
    data = load(set_name, folder)
    ESTIMATORS[name](max_epochs=1, random_state=0).fit(*data[:2])  # what is loaded at a first fit
    return seconds_of(ESTIMATORS[name](n_threads=n_threads, random_state=0), *data[:2])


def search(set_name, folder, n_jobs):
    """Seconds of a cross-validation."""
    X, y, *_ = load(set_name, folder)
    model = make_pipeline(VQTokenizer(random_state=0), SVC(kernel="linear"))
    start = time.perf_counter()
    cross_val_score(model, X, y, cv=5, n_jobs=n_jobs)
    return time.perf_counter() - start


def in_new_process(*arguments):
    """Run this file as a worker, with all the threads that it may have, and return its seconds."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "benchmarks.threads", "worker", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.splitlines()[-1])


def beside_a_busy_process(function):
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=burn, args=(stop,))
    process.start()
    try:
        return function()
    finally:
        stop.set()
        process.join()


def measure(name, set_name, folder, repeats):
    """Median seconds of each way to run a fit."""
    ways = {
        "1 thread": lambda: in_new_process("fit", name, set_name, folder, 1),
        "2 threads": lambda: in_new_process("fit", name, set_name, folder, 2),
        "default": lambda: in_new_process("fit", name, set_name, folder, None),
        "default, busy": lambda: beside_a_busy_process(
            lambda: in_new_process("fit", name, set_name, folder, None)
        ),
    }
    return medians(ways, repeats)


def measure_jobs(set_name, folder, repeats):
    """Median seconds of a cross-validation by number of jobs."""
    ways = {
        f"n_jobs={n}": lambda n=n: in_new_process("search", set_name, folder, n) for n in (1, 2)
    }
    return medians(ways, repeats)


def medians(ways, repeats):
    seconds = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            seconds[way].append(run())
    return {way: float(np.median(found)) for way, found in seconds.items()}


def main():
    if sys.argv[1:2] == ["worker"]:
        what, *arguments = json.loads(sys.argv[2])
        print({"fit": fit, "search": search}[what](*arguments))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", nargs="?", default="GunPoint")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=default_folder())
    options = parser.parse_args()
    folder = None if options.folder is None else str(options.folder)
    cells = Cells(RESULTS / "threads.jsonl")
    for name in ESTIMATORS:
        row = cells.measure(
            {"set": options.set, "what": name},
            lambda name=name: measure(name, options.set, folder, options.repeats),
        )
        print("\n".join(table([row], list(row), 1)), flush=True)
    row = cells.measure(
        {"set": options.set, "what": "cross_val_score"},
        lambda: measure_jobs(options.set, folder, options.repeats),
    )
    print("\n".join(table([row], list(row), 1)), flush=True)


if __name__ == "__main__":
    main()
