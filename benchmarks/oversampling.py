"""A rare class filled up with generated series, beside what others fill it up with.

    python -m benchmarks.oversampling [SET ...] [--seeds 0 1 2] [--models NAME ...]

Of the training series of a set with two classes, all of the frequent class are kept and a twentieth
as many of the rare one, which are drawn by the seed; test sets stay as they are. A default
`SSLFeatureExtractor` is fitted to these series, without labels and with that seed, once for all
models. A model then adds series of the rare class until both are equally frequent, and a
StandardScaler and a `RidgeClassifierCV` are fitted to the features of all series, added ones
included. Scores are those of the whole test set: balanced accuracy, and recall of the rare class.

* "nothing": no series are added.
* "class weights": none either; the ridge weighs the classes alike, ``class_weight="balanced"``.
* "random over-sampling": RandomOverSampler of imbalanced-learn, series drawn again.
* "SMOTE": SMOTE of imbalanced-learn with its five neighbours, on flattened series.
* "ours": `GenerativeOverSampler`, with its defaults.

Everything runs on one thread. Cells are written to benchmarks/results as they finish.
"""

import argparse
import time
from functools import lru_cache, partial

import numpy as np
from imblearn.over_sampling import SMOTE, RandomOverSampler
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.cells import RESULTS, Cells, mean_and_spread, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.probes import ALPHAS
from skvqts import GenerativeOverSampler, MaskedPriorGenerator, SSLFeatureExtractor

SETS = ("Wafer", "Earthquakes")
RATIO = 20  # frequent to rare series
SAMPLERS = {
    "random over-sampling": RandomOverSampler,
    "SMOTE": SMOTE,
    "ours": lambda random_state: GenerativeOverSampler(
        MaskedPriorGenerator(n_threads=1), random_state=random_state
    ),
}
MODELS = ("nothing", "class weights", *SAMPLERS)
SCORES = ("balanced accuracy", "recall")


def unbalanced(X, y, ratio, seed):
    """All series of the frequent one of two classes, and one of the rare class for `ratio` each.

    Returns
    -------
    X, y : ndarray
        In their order.
    rare : label
    """
    (first, second), (n_first, n_second) = np.unique(y, return_counts=True)
    rare = first if n_first < n_second else second
    n_rare = max(n_first, n_second) // ratio
    kept = np.random.default_rng(seed).permutation(np.flatnonzero(y == rare))[:n_rare]
    rows = np.sort(np.concatenate([np.flatnonzero(y != rare), kept]))
    return X[rows], y[rows], rare


def added(model, X, y, seed):
    """The series ``(n_added, c, t)`` that a model adds, and their labels."""
    if model not in SAMPLERS:
        return X[:0], y[:0]
    flat, labels = SAMPLERS[model](random_state=seed).fit_resample(
        X if model == "ours" else X.reshape(len(X), -1), y
    )
    return flat[len(X) :].reshape(-1, *X.shape[1:]), labels[len(X) :]


class Data:
    """The unbalanced training series of a set and seed, its test series, and features of both."""

    def __init__(self, name, folder, seed):
        X, y, X_test, self.y_test = load(name, folder)
        self.X, self.y, self.rare = unbalanced(X, y, RATIO, seed)
        self.seed = seed
        # The default features do not depend on the training of the encoder.
        self.extractor = SSLFeatureExtractor(max_epochs=1, n_threads=1, random_state=seed)
        self.extractor.fit(self.X)
        self.features = self.extractor.transform(self.X)
        self.of_test = self.extractor.transform(X_test)


@lru_cache(maxsize=1)  # the models of one set and seed come one after the other
def data_of(name, folder, seed):
    return Data(name, folder, seed)


def measure(model, name, folder, seed):
    """One cell: the scores of a ridge with what a model adds, and the seconds of adding it."""
    data = data_of(name, folder, seed)
    start = time.perf_counter()
    X_added, y_added = added(model, data.X, data.y, data.seed)
    seconds = time.perf_counter() - start
    features, y = data.features, data.y
    if len(X_added):
        features = np.concatenate([features, data.extractor.transform(X_added)])
        y = np.concatenate([y, y_added])
    weights = "balanced" if model == "class weights" else None
    ridge = make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS, class_weight=weights))
    predicted = ridge.fit(features, y).predict(data.of_test)
    return {
        "balanced accuracy": balanced_accuracy_score(data.y_test, predicted),
        "recall": recall_score(data.y_test == data.rare, predicted == data.rare),
        "seconds": seconds,
        "rare": int((data.y == data.rare).sum()),
        "frequent": int((data.y != data.rare).sum()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", help="sets of two classes")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    options = parser.parse_args()
    cells = Cells(RESULTS / "oversampling.jsonl")
    for seed in options.seeds:
        for name in sets_of(options, SETS, ("ItalyPowerDemand",)):
            for model in options.models:
                key = {"set": name, "seed": seed, "model": model}
                row = cells.measure(key, partial(measure, model, name, options.folder, seed))
                shown = (f"{score} {row[score]:.3f}" for score in (*SCORES, "seconds"))
                print(f"{name:<12}{seed}  {model:<21}", "  ".join(shown), flush=True)
    print_means(cells)


def print_means(cells):
    """Print means and standard deviations over seeds."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in cells.rows):
        for model in MODELS:
            key = {"set": name, "model": model}
            found = [row for row in cells.rows if key.items() <= row.items()]
            if found:
                scores = {s: mean_and_spread([row[s] for row in found]) for s in SCORES}
                lines.append(key | scores)
    print("\n".join(table(lines, ["set", "model", *SCORES])))


if __name__ == "__main__":
    main()
