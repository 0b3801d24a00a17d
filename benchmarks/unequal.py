"""Series of unequal length: classes found by features of lists, and of padded series.

    python -m benchmarks.unequal [SET ...] [--seeds 0 1 2] [--models NAME ...]

Features of `SSLFeatureExtractor` and `VQTokenizer`, with their default parameters and fitted to the
training series without labels, are standardised and classified by `RidgeClassifierCV` with ten
penalties from 0.001 to 1,000; all test series are judged. Ways:

* "list": series of their own lengths, and ``missing="mask"``;
* "padding": each series is repeated at its last value up to the length of the longest.

The default features of `SSLFeatureExtractor` do not depend on the training of its encoder, which
is cut short. Everything runs on one thread. Cells are written to benchmarks/results as they finish.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load
from skvqts import SSLFeatureExtractor, VQTokenizer, as_series_list

SETS = ("GestureMidAirD1", "GesturePebbleZ1", "AllGestureWiimoteX", "PLAID")
MODELS = {
    "SSLFeatureExtractor": partial(SSLFeatureExtractor, max_epochs=1),
    "VQTokenizer": VQTokenizer,
}
WAYS = ("list", "padding")


def load_set(name, folder):
    """Load training and test series as lists, and their labels."""
    if name in SETS:  # beside the folder of series of one length
        folder = Path(folder).parent / "irregular"
    X, y, X_test, y_test = load(name, folder)
    return as_series_list(X), y, as_series_list(X_test), y_test


def padded(series, length):
    """Return an array of series, the last value repeated up to a length."""
    return np.stack([np.pad(s, ((0, 0), (0, length - s.shape[1])), mode="edge") for s in series])


def measure(model, way, data, seed):
    """Return test accuracy and seconds of the fit for a model, a way and a seed."""
    X, y, X_test, y_test = data
    if way == "padding":
        longest = max(series.shape[1] for series in X)
        X, X_test = padded(X, longest), padded(X_test, longest)
    missing = "mask" if way == "list" else "refuse"
    transformer = MODELS[model](missing=missing, random_state=seed, n_threads=1)
    seconds = seconds_of(transformer, X)
    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
    classifier = make_pipeline(StandardScaler(), ridge).fit(transformer.transform(X), y)
    return {"accuracy": classifier.score(transformer.transform(X_test), y_test), "seconds": seconds}


def print_table(rows):
    """Print means and standard deviations of the accuracies over seeds."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in rows):
        for model in MODELS:
            line = {"set": name, "model": model}
            for way in WAYS:
                key = {"set": name, "model": model, "way": way}
                found = [row["accuracy"] for row in rows if key.items() <= row.items()]
                line |= {way: mean_and_spread(found)} if found else {}
            lines.append(line)
    print("\n".join(table(lines, ["set", "model", *WAYS])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=list(SETS))
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    cells = Cells(RESULTS / "unequal.jsonl")
    for seed in options.seeds:
        for name in options.sets:
            data = load_set(name, options.folder)
            for model in options.models:
                for way in WAYS:
                    key = {"set": name, "seed": seed, "model": model, "way": way}
                    row = cells.measure(key, partial(measure, model, way, data, seed))
                    print(
                        f"{name:<20}{seed}  {model:<20}{way:<10}{row['accuracy']:.3f}"
                        f"{row['seconds']:7.1f} s",
                        flush=True,
                    )
    print_table(cells.rows)


if __name__ == "__main__":
    main()
