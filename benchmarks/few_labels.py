"""Linear probes of features that are learned without labels, given few labels and many.

    python -m benchmarks.few_labels [SET ...] [--models MODEL ...] [--draws 10]

Features are learned once of all training series of a set, and standardised by them. Ridge, its
penalty chosen by leave-one-out errors, then gets 1, 2, 5, 10, 20 labels of each class, or all, at
random from the training set, the same ones for all features, and is judged on the test set. Where a
class has fewer series than are asked for, it gives all. Accuracies go to benchmarks/results.
"""

import argparse

import numpy as np

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import default_folder, load
from benchmarks.features import MODELS, ridge_accuracy
from benchmarks.probes import SharedVariance

SETS = (
    *("ItalyPowerDemand", "SyntheticControl", "RacketSports", "ECG200", "GunPoint", "PowerCons"),
    *("ProximalPhalanxOutlineCorrect", "NATOPS", "SwedishLeaf", "Trace", "Herring", "Plane"),
    *("OSULeaf", "CricketY", "TwoLeadECG", "CBF", "ArrowHead", "Coffee", "Chinatown"),
    "BasicMotions",
)
N_LABELS = (1, 2, 5, 10, 20, None)  # of each class; None: all


def labelled(y, n_labels, seed):
    """Choose so many series of each class; return the indices."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    return np.sort(np.concatenate([order[:n_labels] for order in orders]))


def set_cell(name, folder, model, n_draws):
    """Measure mean accuracies by number of labels of one set and kind of features."""
    X, y, X_test, y_test = load(name, folder)
    train, test = MODELS[model](X, [X, X_test], 0)
    scaler = SharedVariance().fit(train)
    row = {}
    for n_labels in N_LABELS:
        scores = []
        for draw in range(n_draws if n_labels else 1):
            few = labelled(y, n_labels, draw)
            scores.append(ridge_accuracy(train[few], y[few], test, y_test, scaler))
        row[str(n_labels or "all")] = np.mean(scores)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--models", nargs="+", default=("default", "MiniRocket"))
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    cells = Cells(RESULTS / "few_labels.jsonl")
    for name in options.sets or SETS:
        for model in options.models:
            key = {"set": name, "model": model, "draws": options.draws}
            row = cells.measure(
                key, lambda n=name, m=model: set_cell(n, options.folder, m, options.draws)
            )
            print(row, flush=True)


if __name__ == "__main__":
    main()
