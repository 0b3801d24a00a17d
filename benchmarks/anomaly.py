"""Faults planted in recordings, and whether the highest anomaly score finds them.

    python -m benchmarks.anomaly [SET ...] [--recordings 10] [--models NAME ...] [--kinds KIND ...]

Recordings of 5,000 points are made of test series end to end, and each has one fault of a kind of
`benchmarks.faults`: so many recordings of each kind, drawn once, from the sets in turn. A model
sees one recording, without being told of the fault, is fitted to it and scores each of its points.
It has a hit where the highest score lies in the stretch that is faulty, widened on both sides by
100 points or by its length, whichever is more.

* "VQTokenizer", "SSLFeatureExtractor", "RandomConvolutionExtractor": fitted with their defaults to
  windows of the automatic length of `SlidingWindows`, a sixteenth of it apart, at most 2,000;
  the score is that of `NearestWindows`.
* "matrix profile": `stumpy.stump`, the distance of z-normalised windows to their nearest
  neighbour, windows of the dominant period of the recording or, if it has none, of the automatic
  length; "matrix profile, two periods": of the automatic length. Needs ``pip install stumpy``,
  and is left out without it.
* "nearest patch": the Euclidean distance of windows of the automatic length as they are to the
  nearest that does not overlap them.
* "isolation forest": scikit-learn's with its defaults, on the same windows.

Rivals see a window at each point, which has the score of the window that it is the middle of.
Seconds are those of the fit and of the score. Everything runs on one thread. Cells are written to
benchmarks/results as they finish.
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
from sklearn.ensemble import IsolationForest

from benchmarks.cells import RESULTS, Cells, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.faults import KINDS, planted
from skvqts import RandomConvolutionExtractor, SlidingWindows, SSLFeatureExtractor, VQTokenizer
from skvqts._recordings.anomalies import NearestWindows

SETS = ("SwedishLeaf", "ECG200", "GunPoint", "TwoPatterns")
OURS = {
    "VQTokenizer": VQTokenizer,
    "SSLFeatureExtractor": SSLFeatureExtractor,
    "RandomConvolutionExtractor": RandomConvolutionExtractor,
}
STUMPY = ("matrix profile", "matrix profile, two periods")
MODELS = (*OURS, *STUMPY, "nearest patch", "isolation forest")
_STRIDES = 16  # of a window, between training windows
_MOST_WINDOWS = 2000
_BLOCK = 512  # windows whose distances are computed at once


def our_scores(name, values, windows):
    """Scores ``(t,)`` of a recording ``(t,)`` by an estimator that is fitted to its windows."""
    length = windows.length_
    starts = np.arange(0, len(values) - length + 1, max(1, length // _STRIDES))
    kept = np.linspace(0, len(starts) - 1, min(len(starts), _MOST_WINDOWS)).astype(int)
    X = np.lib.stride_tricks.sliding_window_view(values, length)[starts[kept]][:, None]
    estimator = OURS[name](random_state=0, n_threads=1).fit(X)
    return NearestWindows(length).fit(estimator, values[None]).score(estimator, values[None])


def matrix_profile(values, length):
    import stumpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on constant stretches
        profile = stumpy.stump(values, length)[:, 0].astype(np.float64)
    return at_middles(profile, length, len(values))


def nearest_patch(values, length):
    patches = np.lib.stride_tricks.sliding_window_view(values - values.mean(), length)
    squares = np.square(patches).sum(1)
    starts = np.arange(len(patches))
    nearest = np.empty(len(patches))
    for first in range(0, len(patches), _BLOCK):
        block = slice(first, first + _BLOCK)
        distances = squares[block, None] + squares - 2 * patches[block] @ patches.T
        distances[np.abs(starts[block, None] - starts) < length] = np.inf
        nearest[block] = distances.min(1)
    return at_middles(np.sqrt(np.maximum(nearest, 0)), length, len(values))


def isolation_forest(values, length):
    patches = np.lib.stride_tricks.sliding_window_view(values, length)
    forest = IsolationForest(random_state=0).fit(patches)
    return at_middles(-forest.score_samples(patches), length, len(values))


def at_middles(of_windows, length, n_timepoints):
    """Scores of points by those of windows at each point; the ends have that of the nearest."""
    middles = np.arange(len(of_windows)) + (length - 1) / 2
    return np.interp(np.arange(n_timepoints), middles, of_windows)


def scores(model, values):
    """Scores ``(t,)`` of a recording ``(t,)`` by a model."""
    windows = SlidingWindows().fit(values)
    match model:
        case "matrix profile":
            return matrix_profile(values, windows.period_ or windows.length_)
        case "matrix profile, two periods":
            return matrix_profile(values, windows.length_)
        case "nearest patch":
            return nearest_patch(values, windows.length_)
        case "isolation forest":
            return isolation_forest(values, windows.length_)
        case _:
            return our_scores(model, values, windows)


def measure(model, recording):
    """One cell: where the highest score of a model lies, whether that is a hit, and its seconds."""
    start = time.perf_counter()
    top = int(scores(model, recording.values).argmax())
    seconds = time.perf_counter() - start
    place = {"start": recording.start, "stop": recording.stop, "top": top}
    return place | {"hit": recording.is_hit_by(top), "seconds": seconds}


def recordings(kind, names, X, n_recordings):
    """Names of sets and recordings of a kind: number i is of another set than its neighbours."""
    kind_number = list(KINDS).index(kind)
    for number in range(n_recordings):
        place = (number + kind_number) % len(names)
        others = X[names[(place + 1) % len(names)]]
        yield names[place], number, planted(kind, X[names[place]], others, [number, kind_number])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--recordings", type=int, default=10, help="of each kind of fault")
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    options = parser.parse_args()
    names = sets_of(options, SETS, ("GunPoint", "ItalyPowerDemand"))
    X = {name: load(name, options.folder)[2] for name in names}
    models = [model for model in options.models if model not in STUMPY or has_stumpy()]
    cells = Cells(RESULTS / "anomaly.jsonl")
    for model in models:
        for kind in options.kinds:
            for name, number, recording in recordings(kind, names, X, options.recordings):
                key = {"set": name, "kind": kind, "recording": number, "model": model}
                row = cells.measure(key, partial(measure, model, recording))
                print(*key.values(), "hit" if row["hit"] else "-", f"{row['seconds']:.1f} s")
        print_shares(cells.rows)


def has_stumpy():
    """Whether stumpy is installed; it compiles its functions now, so that no cell waits for it."""
    try:
        matrix_profile(np.sin(np.arange(100.0)), 10)
    except ImportError:
        print('No "matrix profile" without stumpy: pip install stumpy')
        return False
    return True


def print_shares(rows):
    """Print the share of hits of each model and kind."""
    lines = []
    for model in dict.fromkeys(row["model"] for row in rows):
        of_model = [row for row in rows if row["model"] == model]
        line = {"model": model, "all": float(np.mean([row["hit"] for row in of_model]))}
        for kind in KINDS:
            hits = [row["hit"] for row in of_model if row["kind"] == kind]
            line[kind] = float(np.mean(hits)) if hits else ""
        lines.append(line)
    print("\n".join(table(lines, ["model", "all", *KINDS], 2)))


if __name__ == "__main__":
    main()
