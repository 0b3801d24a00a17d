"""VQTokenizer on the published sets: time and quality side by side.

    python benchmarks/tokenizer.py [SET ...] [--folder FOLDER] [--seeds 0 1 2]

One row per set: seconds of the fit, mean squared error on the test series in
training-standardised units, perplexity, and test accuracy of ``Pipeline([("tok", VQTokenizer()),
("clf", SVC(C=10))])``, beside a 1-NN and the same SVC on the raw series.
One default for all sets.
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

COLUMNS = ("seconds", "test MSE", "perplexity", "tok + SVC", "raw 1-NN", "raw SVC")


def measure(name, folder, seed):
    """One row: a tokenizer and an SVC fitted on the training set, judged on the test set."""
    X, y, X_test, y_test = load(name, folder)
    tokenizer, classifier = VQTokenizer(random_state=seed), SVC(C=10)
    start = time.perf_counter()
    tokenizer.fit(X)
    seconds = time.perf_counter() - start
    classifier.fit(tokenizer.transform(X), y)
    return (
        seconds,
        -tokenizer.score(X_test),
        tokenizer.perplexity_,
        classifier.score(tokenizer.transform(X_test), y_test),
        *raw_accuracies(X, y, X_test, y_test),
    )


def raw_accuracies(X, y, X_test, y_test):
    train, test = (np.reshape(part, (len(part), -1)) for part in (X, X_test))
    classifiers = (KNeighborsClassifier(1), make_pipeline(StandardScaler(), SVC(C=10)))
    return [classifier.fit(train, y).score(test, y_test) for classifier in classifiers]


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
    _print_row("mean", "", np.mean(rows, axis=0))


def _print_row(name, seed, values):
    seconds, *others = values
    cells = f"{seconds:>12.1f}" + "".join(f"{value:>12.3f}" for value in others)
    print(f"{name:<24}{seed!s:>5}{cells}", flush=True)


if __name__ == "__main__":
    main()
