"""Classes learned from few labels and from many, with features that were learned without labels.

    python -m benchmarks.few_labels [SET ...] [--models MODEL ...] [--draws N]

Classifiers get 1, 2, 5, 10, 20 labels of each class, or all, at random from the training set, the
same ones for all models, and are judged on the test set. Where a class has fewer series than are
asked for, it gives all.

* Features ("default", "MiniRocket", "MultiRocket and Hydra", and others of benchmarks.features) are
  learned once of all training series of a set, and standardised by them; the labels go to ridge,
  its penalty chosen by leave-one-out errors. Twenty sets, ten draws.
* "label spreading": scikit-learn's LabelSpreading over ten neighbours, on the default features of
  all training series, of which few have labels.
* "fine-tuned": `FineTunedClassifier` with its defaults, its encoder pretrained on all training
  series.
* "FCN": `FCNClassifier` with its defaults, from new weights, shown the labelled series alone.

The last three run on eight sets, with five draws of 1, 5 and 20 labels and all. Accuracies and the
processor seconds of the fits go to benchmarks/results.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.semi_supervised import LabelSpreading

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import default_folder, load
from benchmarks.features import MODELS, ridge_accuracy
from benchmarks.probes import SharedVariance
from skvqts import FCNClassifier, FineTunedClassifier, SSLFeatureExtractor

SETS = (
    *("ItalyPowerDemand", "SyntheticControl", "RacketSports", "ECG200", "GunPoint", "PowerCons"),
    *("ProximalPhalanxOutlineCorrect", "NATOPS", "SwedishLeaf", "Trace", "Herring", "Plane"),
    *("OSULeaf", "CricketY", "TwoLeadECG", "CBF", "ArrowHead", "Coffee", "Chinatown"),
    "BasicMotions",
)
EIGHT = (
    *("ItalyPowerDemand", "ECG200", "GunPoint", "SwedishLeaf", "Plane", "CBF", "ArrowHead"),
    "BasicMotions",
)
N_LABELS = (1, 2, 5, 10, 20, None)  # of each class; None: all
FEWER = (1, 5, 20, None)
N_DRAWS = {"features": 10, "classifiers": 5}


def labelled(y, n_labels, seed):
    """Choose so many series of each class; return the indices."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(np.flatnonzero(y == label)) for label in np.unique(y)]
    return np.sort(np.concatenate([order[:n_labels] for order in orders]))


def of_features(make):
    """Ridge on features that are made once."""

    def classifier(X, X_test):
        start = time.process_time()
        train, test = make(X, [X, X_test], 0)
        seconds = time.process_time() - start
        scaler = SharedVariance().fit(train)

        def accuracy(few, y, y_test, draw):
            return ridge_accuracy(train[few], y[few], test, y_test, scaler)

        return accuracy, seconds

    return classifier


def label_spreading(X, X_test):
    """Labels that spread among the default features of all training series."""
    start = time.process_time()
    train, test = MODELS["default"](X, [X, X_test], 0)
    seconds = time.process_time() - start
    scaler = SharedVariance().fit(train)
    train, test = scaler.transform(train), scaler.transform(test)

    def accuracy(few, y, y_test, draw):
        known = np.full(len(y), -1)
        classes, known[few] = np.unique(y[few], return_inverse=True)
        spread = LabelSpreading("knn", n_neighbors=10, max_iter=1000).fit(train, known)
        return np.mean(classes[spread.predict(test)] == y_test)

    return accuracy, seconds


def fine_tuned(X, X_test):
    """An encoder pretrained on all training series, trained further."""
    start = time.process_time()
    pretrained = SSLFeatureExtractor(output="encoder_features", random_state=0).fit(X)
    seconds = time.process_time() - start

    def accuracy(few, y, y_test, draw):
        classifier = FineTunedClassifier(FrozenEstimator(pretrained), random_state=draw)
        return classifier.fit(X[few], y[few]).score(X_test, y_test)

    return accuracy, seconds


def fcn(X, X_test):
    """A network from new weights."""

    def accuracy(few, y, y_test, draw):
        return FCNClassifier(random_state=draw).fit(X[few], y[few]).score(X_test, y_test)

    return accuracy, 0.0


FEATURES = {name: of_features(make) for name, make in MODELS.items()}
CLASSIFIERS = {"label spreading": label_spreading, "fine-tuned": fine_tuned, "FCN": fcn}


def set_cell(name, folder, model, n_draws):
    """Measure mean accuracies and seconds by number of labels, of one set and model."""
    X, y, X_test, y_test = load(name, folder)
    accuracy, seconds = (FEATURES | CLASSIFIERS)[model](X, X_test)
    row = {"seconds before": seconds}
    for n_labels in N_LABELS if model in FEATURES else FEWER:
        draws = range(n_draws if n_labels else 1)
        start = time.process_time()
        scores = [accuracy(labelled(y, n_labels, draw), y, y_test, draw) for draw in draws]
        row[f"seconds {n_labels or 'all'}"] = (time.process_time() - start) / len(draws)
        row[str(n_labels or "all")] = np.mean(scores)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    usual = ("default", "MiniRocket", "MultiRocket and Hydra", *CLASSIFIERS)
    parser.add_argument("--models", nargs="+", default=usual, choices=(*FEATURES, *CLASSIFIERS))
    parser.add_argument("--draws", type=int, help="default: 10 of features, 5 of classifiers")
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    cells = Cells(RESULTS / "few_labels.jsonl")
    for model in options.models:
        kind = "features" if model in FEATURES else "classifiers"
        draws = options.draws or N_DRAWS[kind]
        for name in options.sets or (SETS if kind == "features" else EIGHT):
            key = {"set": name, "model": model, "draws": draws}
            row = cells.measure(
                key, lambda n=name, m=model, d=draws: set_cell(n, options.folder, m, d)
            )
            print(row, flush=True)


if __name__ == "__main__":
    main()
