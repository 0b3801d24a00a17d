"""One long recording: seams of new recordings, and time and memory by its length.

    python -m benchmarks.recordings seams [RECORDING ...] [--seeds 0 1 2]
    python -m benchmarks.recordings lengths [N ...]

seams: `WindowedEstimator` with its defaults is fitted to a recording of 10,000 points and samples
one of 20,000. A classifier (`classifier_two_sample_test`) is shown stretches of half a window of
the real recording and of the new one, as many of each: around seams ("seams"), around the middle
between two seams ("inside"), and of windows as the generator draws them ("windows"). Its accuracy
is 0.5 where it cannot tell. Recordings: "waves" is made, of three channels: a wave of three
harmonics and a slowly changing period with noise, a square wave of half the frequency, and a random
walk; the others are test series of a UCR set end to end.

lengths: seconds and peak memory of a tokenizer on the windows of a recording of N points and three
channels, each in a process of its own.

Everything runs on one thread. Cells are written to benchmarks/results as they finish.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.cells import RESULTS, Cells, table
from benchmarks.data import default_folder, load
from skvqts import VQTokenizer, WindowedEstimator
from skvqts.metrics import classifier_two_sample_test

RECORDINGS = ("waves", "SwedishLeaf", "ECG200")
LENGTHS = (10_000, 100_000, 1_000_000)
SEAMS = RESULTS / "seams.jsonl"
BY_LENGTH = RESULTS / "recording_lengths.jsonl"
_N_FITTED = 10_000
_N_SAMPLED = 20_000


def waves(n_timepoints, seed):
    """The recording "waves", of shape ``(3, n_timepoints)``."""
    rng = np.random.default_rng(seed)
    times = np.arange(n_timepoints)
    phases = 2 * np.pi * np.cumsum((1 + 0.05 * np.sin(times / 300)) / 48)
    noise = rng.normal(size=(2, n_timepoints))
    walk = np.cumsum(rng.normal(size=n_timepoints))
    # A walk that returns, as a load or a temperature does.
    walk -= np.convolve(walk, np.ones(2001) / 2001, mode="same")
    return np.stack(
        [
            np.sin(phases) + 0.3 * np.sin(3 * phases) + 0.15 * noise[0],
            np.sign(np.sin(phases / 2)) + 0.05 * noise[1],
            0.05 * walk,
        ]
    )


def end_to_end(name, folder, n_timepoints, seed):
    """Test series of a set end to end, in random order, as one channel."""
    X = load(name, folder)[2][:, 0].astype(np.float64)
    rows = np.random.default_rng(seed).permutation(len(X))
    return X[np.resize(rows, -(-n_timepoints // X.shape[1]))].ravel()[None, :n_timepoints]


def accuracies_at_seams(values, seed):
    """Two-sample accuracies of stretches of a new recording, by where they lie."""
    start = time.perf_counter()
    model = WindowedEstimator(random_state=seed).fit(values[None])
    fitted = time.perf_counter()
    new = model.sample(_N_SAMPLED, random_state=seed).reshape(len(values), -1)
    sampled = time.perf_counter()
    length = model.windows_.length_
    stride, width = length // 2, length // 2
    seams = np.arange(1, _N_SAMPLED // stride - 1) * stride + (length - stride) // 2
    seams = seams[seams + stride + width < _N_SAMPLED]
    rng = np.random.default_rng(seed)
    anywhere = rng.integers(width, values.shape[1] - width, size=len(seams))
    windows = model.estimator_.sample(len(seams), random_state=seed)
    generated = {
        "seams": _around(new, seams, width),
        "inside": _around(new, seams + stride // 2, width),
        "windows": windows[..., length // 4 : length // 4 + width],
    }
    real = _around(values, anywhere, width)
    return {
        name: classifier_two_sample_test(real, X, random_state=seed).accuracy
        for name, X in generated.items()
    } | {
        "n": len(seams),
        "window": length,
        "fit seconds": fitted - start,
        "sample seconds": sampled - fitted,
    }


def _around(values, places, width):
    """Stretches ``(n, c, width)`` around some places of a recording ``(c, t)``."""
    times = places[:, None] - width // 2 + np.arange(width)
    return values[:, times].swapaxes(0, 1)


def time_and_memory(n_timepoints):
    """Seconds of each method, and the peak memory of the process in MB."""
    values = waves(n_timepoints, 0)[None]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model = WindowedEstimator(VQTokenizer(random_state=0), random_state=0)
    row = {}
    for name, function in {
        "fit": model.fit,
        "encode": lambda X: model.encode(X),
        "reconstruct": lambda X: model.reconstruct(X),
        "transform": lambda X: model.transform(X),
        "anomaly_score": lambda X: model.anomaly_score(X),
    }.items():
        start = time.perf_counter()
        function(values)
        row[f"{name} seconds"] = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return row | {"MB before": before, "peak MB": peak}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    jobs = parser.add_subparsers(dest="job", required=True)
    job = jobs.add_parser("seams")
    job.add_argument("recordings", nargs="*", default=RECORDINGS)
    job.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    job.add_argument("--folder", default=default_folder())
    job = jobs.add_parser("lengths")
    job.add_argument("lengths", nargs="*", type=int, default=LENGTHS)
    job.add_argument("--alone", action="store_true", help="measure in this process, and print")
    options = parser.parse_args()
    if options.job == "seams":
        seams(options)
    elif options.alone:
        print(json.dumps(time_and_memory(options.lengths[0])))
    else:
        lengths(options)


def seams(options):
    cells = Cells(SEAMS)
    rows = []
    for name in options.recordings:
        for seed in options.seeds:
            if name == "waves":
                values = waves(_N_FITTED, seed)
            else:
                values = end_to_end(name, options.folder, _N_FITTED, seed)
            measure = lambda values=values, seed=seed: accuracies_at_seams(values, seed)  # noqa: E731
            rows.append(cells.measure({"recording": name, "seed": seed}, measure))
            print("\n".join(table(rows[-1:], list(rows[-1]))), flush=True)


def lengths(options):
    cells = Cells(BY_LENGTH)
    rows = []
    for n_timepoints in options.lengths:
        rows.append(cells.measure({"n": n_timepoints}, lambda n=n_timepoints: _in_a_process(n)))
    print("\n".join(table(rows, list(rows[0]))))


def _in_a_process(n_timepoints):
    command = [sys.executable, "-m", "benchmarks.recordings", "lengths", str(n_timepoints)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--alone"], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
