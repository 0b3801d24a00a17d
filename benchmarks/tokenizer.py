"""VQTokenizer on the published sets: time and quality side by side.

    python benchmarks/tokenizer.py [SET ...] [--folder FOLDER] [--seeds 0 1 2]

One row per set: seconds of the fit, mean squared error on the test series in
training-standardised units, perplexity, and test accuracy of
``Pipeline([("tok", VQTokenizer()), ("clf", SVC(kernel="linear"))])``, with one default for
all sets. Beside it an RBF SVC (C=10) and a 5-NN on the same features, and a 1-NN and
the linear SVC on the raw series, standardised for the SVC.
"""

import argparse
import time

import numpy as np
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from benchmarks.data import default_folder, default_sets, load
from skvqts import VQTokenizer

COLUMNS = ("seconds", "MSE", "perplexity", "linear SVC", "RBF SVC", "5-NN", "raw 1-NN", "raw SVC")


def measure(name, folder, seed):
    """One row: a tokenizer and an SVC fitted on the training set, judged on the test set."""
    X, y, X_test, y_test = load(name, folder)
    tokenizer = VQTokenizer(random_state=seed)
    start = time.perf_counter()
    tokenizer.fit(X)
    seconds = time.perf_counter() - start
    features = tokenizer.transform(X), tokenizer.transform(X_test)
    raw = tuple(np.reshape(part, (len(part), -1)) for part in (X, X_test))
    probes = [
        SVC(kernel="linear", cache_size=2000),
        SVC(C=10, cache_size=2000),
        KNeighborsClassifier(5),
    ]
    accuracies = [accuracy(probe, y, y_test, *features) for probe in probes]
    accuracies += [accuracy(KNeighborsClassifier(1), y, y_test, *raw)]
    accuracies += [
        accuracy(
            make_pipeline(StandardScaler(), SVC(kernel="linear", cache_size=2000)), y, y_test, *raw
        )
    ]
    return seconds, -tokenizer.score(X_test), tokenizer.perplexity_, *accuracies


def accuracy(classifier, y, y_test, train, test):
    return classifier.fit(train, y).score(test, y_test)


def main():
    folder = default_folder()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=default_sets(folder))
    parser.add_argument("--folder", default=folder)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args()
    print(f"{'set':<24}{'seed':>5}" + "".join(f"{column:>12}" for column in COLUMNS), flush=True)
    rows = []
    for name in options.sets:
        for seed in options.seeds:
            rows.append(measure(name, options.folder, seed))
            _print_row(name, seed, rows[-1])
    means = np.reshape(rows, (len(options.sets), len(options.seeds), -1)).mean(0)
    _print_row("mean", "", means.mean(0))
    if len(means) > 1:
        _print_row("sd over seeds", "", means.std(0, ddof=1))


def _print_row(name, seed, values):
    seconds, *others = values
    cells = f"{seconds:>12.1f}" + "".join(f"{value:>12.3f}" for value in others)
    print(f"{name:<24}{seed!s:>5}{cells}", flush=True)


if __name__ == "__main__":
    main()
