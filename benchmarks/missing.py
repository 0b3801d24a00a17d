"""Series with missing values: classes found by features of a masked fit, and of filled series.

    python -m benchmarks.missing [SET ...] [--seeds 0 1 2] [--models NAME ...]

Features of `SSLFeatureExtractor` and `VQTokenizer`, with their default parameters and fitted to the
training series without labels, are standardised and classified by `RidgeClassifierCV` with ten
penalties from 0.001 to 1,000; at most 1,000 test series, drawn once, are judged. Ways:

* "complete": the series as they are in the archive, for comparison;
* "mask": 30 % of the points of each training and test series are missing at random (of
  `benchmarks.gaps`, drawn anew for each seed) and ``missing="mask"``;
* "interpolation": the same points are missing, and filled linearly before the fit, ends repeated;
* "complete, masked fit": nothing is missing, and ``missing="mask"`` all the same.

DodgerLoopDay and MelbournePedestrian have gaps of their own, of about 1 % and 0.3 % of the values,
and are only measured by "mask" and "interpolation". The default features of `SSLFeatureExtractor`
do not depend on the training of its encoder, which is cut short. Everything runs on one thread.
Cells are written to benchmarks/results as they finish.
"""

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.gaps import KINDS
from benchmarks.imputation import Interpolation
from skvqts import SSLFeatureExtractor, VQTokenizer

SETS = ("GunPoint", "ECG200", "SwedishLeaf", "TwoPatterns")
WITH_GAPS = ("DodgerLoopDay", "MelbournePedestrian")
BUNDLED = ("GunPoint", "ItalyPowerDemand")
MODELS = {
    "SSLFeatureExtractor": partial(SSLFeatureExtractor, max_epochs=1),
    "VQTokenizer": VQTokenizer,
}
WAYS = ("complete", "mask", "interpolation", "complete, masked fit")
KIND = "points 30 %"
_MOST = 1000  # test series


def load_set(name, folder):
    """Load a set as float64, with at most 1,000 test series; sets with gaps are beside `folder`."""
    if name in WITH_GAPS:
        folder = Path(folder).parent / "irregular"
    X, y, X_test, y_test = load(name, folder)
    chosen = np.random.default_rng(0).permutation(len(X_test))[:_MOST]
    return X.astype(np.float64), y, X_test[chosen].astype(np.float64), y_test[chosen]


def measure(model, way, data, seed):
    """Return test accuracy and seconds of the fit for a model, a way and a seed."""
    X, y, X_test, y_test = data
    if not np.isnan(X).any() and not way.startswith("complete"):
        rng = np.random.default_rng(seed)
        X, X_test = (np.where(KINDS[KIND](part.shape, rng), np.nan, part) for part in (X, X_test))
    if way == "interpolation":
        filler = Interpolation()
        filler.fit(X)
        X, X_test = (filler.fill(part)[0] for part in (X, X_test))
    missing = "mask" if "mask" in way else "refuse"
    transformer = MODELS[model](missing=missing, random_state=seed, n_threads=1)
    seconds = seconds_of(transformer, X)
    ridge = RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
    classifier = make_pipeline(StandardScaler(), ridge).fit(transformer.transform(X), y)
    accuracy = classifier.score(transformer.transform(X_test), y_test)
    return {"accuracy": accuracy, "seconds": seconds}


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
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    cells = Cells(RESULTS / "missing.jsonl")
    for name in sets_of(options, (*SETS, *WITH_GAPS), BUNDLED):
        data = load_set(name, options.folder)
        gaps_are_real = np.isnan(data[0]).any()
        for seed in options.seeds:
            for model in options.models:
                for way in options.ways:
                    if gaps_are_real and way.startswith("complete"):
                        continue
                    key = {"set": name, "seed": seed, "model": model, "way": way}
                    row = cells.measure(key, partial(measure, model, way, data, seed))
                    print(
                        f"{name:<20}{seed}  {model:<20}{way:<22}{row['accuracy']:.3f}"
                        f"{row['seconds']:7.1f} s",
                        flush=True,
                    )
    print_table(cells.rows)


if __name__ == "__main__":
    main()
