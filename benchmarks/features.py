"""Features of `SSLFeatureExtractor` beside random convolutions, by cross-validation and on tests.

    python -m benchmarks.features training  [SET ...] [--seeds 0]  # inside training sets
    python -m benchmarks.features published [SET ...] [--seeds 0]  # test sets of eight others
    python -m benchmarks.features speed                            # seconds of fit and transform

"training" is what choices were made by: 29 training sets outside the published eight. Features are
learned once of all training series of a set, without labels; then ridge, its penalty chosen by
leave-one-out errors, is judged on standardised features, by up to five folds ("all"), and with five
labels a class, on the other training series, over ten draws ("five", 27 sets). Of more than 2,000
series as many are judged, at random. The default features do not depend on the training of the
encoder, which is left out; "encoder" are its own.
"""

import argparse
import time

import numpy as np
from sklearn.model_selection import StratifiedKFold

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import PUBLISHED, default_folder, load
from benchmarks.probes import ALPHAS, SharedVariance, headline, rows_for_probes
from skvqts import SSLFeatureExtractor, WindowCodes

SETS = (
    *("Chinatown", "ItalyPowerDemand", "SyntheticControl", "RacketSports", "TwoLeadECG"),
    *("ProximalPhalanxOutlineCorrect", "ECG200", "GunPoint", "CBF", "Plane", "PowerCons"),
    *("BasicMotions", "NATOPS", "BeetleFly", "BirdChicken", "Coffee", "ArrowHead", "FaceFour"),
    *("SwedishLeaf", "Trace", "Herring", "Lightning2", "OSULeaf", "CricketY", "Earthquakes"),
    *("HouseTwenty", "ACSF1", "PigAirwayPressure", "Crop"),
)
N_LABELS = 5
LEAST_OF_A_CLASS = 8  # series, where five are labelled
N_DRAWS = 10
_MANY = 3000  # training series of a set of which kernels are found out for one seed only
SHAPES = ((1000, 150), (9000, 500))  # series and time points whose fit is timed
_ENCODER_ONLY = {"output": "encoder_features", "n_codebooks": 1, "codebooks": "random"}
_UNTRAINED_ENCODER = _ENCODER_ONLY | {"max_epochs": 1, "learning_rate": 1e-20}


def extractor(**parameters):
    """Make features by an extractor with these parameters."""

    def features(X, others, seed):
        fitted = SSLFeatureExtractor(random_state=seed, n_threads=1, **parameters).fit(X)
        return [fitted.transform(part) for part in others]

    return features


def minirocket(X, others, seed):
    from aeon.transformations.collection.convolution_based import MiniRocket

    rocket = MiniRocket(random_state=seed).fit(X)
    return [np.asarray(rocket.transform(part)) for part in others]


def multirocket_hydra(X, others, seed):
    """Compute both side by side, of Hydra's counts the square roots, as its classifier does."""
    from aeon.transformations.collection.convolution_based import MultiRocket
    from aeon.transformations.collection.convolution_based._hydra import HydraTransformer

    rocket = MultiRocket(random_state=seed).fit(X)
    hydra = HydraTransformer(random_state=seed, output_type="numpy").fit(X)
    counts = [np.sqrt(np.maximum(hydra.transform(part), 0)) for part in others]
    return [
        np.hstack([rocket.transform(part), count])
        for part, count in zip(others, counts, strict=True)
    ]


def quant(X, others, seed):
    from aeon.transformations.collection.interval_based import QUANTTransformer

    fitted = QUANTTransformer().fit(X)
    return [np.asarray(fitted.transform(part)) for part in others]


def window_codes(X, others, seed):
    fitted = WindowCodes(random_state=seed).fit(X)
    return [fitted.transform(part) for part in others]


MODELS = {
    "default": extractor(max_epochs=1),
    "untrained": extractor(max_epochs=1, codebooks="random"),
    "encoder": extractor(**_ENCODER_ONLY),
    "untrained encoder": extractor(**_UNTRAINED_ENCODER),
    "MiniRocket": minirocket,
    "MultiRocket and Hydra": multirocket_hydra,
    "QUANT": quant,
    "window codes": window_codes,
}


def ridge_accuracy(train, y, test, y_test, scaler=None):
    """Compute the accuracy of scikit-learn's RidgeClassifierCV on standardised features.

    They are standardised by `scaler`, or by those of `train`.

    Of more columns than rows all follows from inner products of rows, in a fraction of its time.
    """
    scaler = scaler or SharedVariance().fit(train)
    train, test = (scaler.transform(part).astype(np.float32) for part in (train, test))
    labels = np.unique(y)
    targets = np.where(y[:, None] == labels, 1.0, -1.0)[:, len(labels) == 2 :]
    centre = targets.mean(0)
    gram = (train @ train.T).astype(np.float64)
    values, vectors = np.linalg.eigh(gram + np.trace(gram))  # the intercept stands out
    intercept = np.argmax(np.abs(vectors.sum(0)))
    best_error = np.inf
    for alpha in ALPHAS:
        weights = 1 / (values.clip(min=0) + alpha)
        weights[intercept] = 0
        dual = vectors @ (weights[:, None] * (vectors.T @ (targets - centre)))
        left_out = dual / (vectors**2 @ weights)[:, None]
        error = np.mean(left_out**2)
        if error < best_error:
            best_error, best = error, dual
    decision = (test @ train.T) @ best + centre
    chosen = decision[:, 0] > 0 if len(labels) == 2 else decision.argmax(1)
    return np.mean(labels[chosen.astype(int)] == y_test)


def folds(y):
    """Split into as many folds as the smallest class has series, at most five."""
    n_folds = min(5, np.unique(y, return_counts=True)[1].min())
    return StratifiedKFold(n_folds, shuffle=True, random_state=0).split(y, y)


def draws_of_five(y):
    """Draw five series of each class, ten times; yield their indices and those of all others."""
    rng = np.random.default_rng(0)
    for _ in range(N_DRAWS):
        order = rng.permutation(len(y))
        known = np.concatenate([order[y[order] == label][:N_LABELS] for label in np.unique(y)])
        yield known, np.setdiff1d(np.arange(len(y)), known)


def training_cell(name, folder, model, seed):
    X, y, _, _ = load(name, folder)
    some = rows_for_probes(len(X))
    start = time.process_time()
    (features,) = MODELS[model](X, [X[some]], seed)
    row = {"seconds": time.process_time() - start, "columns": features.shape[1]}
    y = y[some]
    row["all"] = judged(features, y, folds(y))
    if np.unique(y, return_counts=True)[1].min() >= LEAST_OF_A_CLASS:
        row["five"] = judged(features, y, draws_of_five(y))
    return row


def judged(features, y, splits):
    """Average the accuracy of ridge over pairs of indices of known and of other series."""
    return np.mean([ridge_accuracy(features[a], y[a], features[b], y[b]) for a, b in splits])


def published_cell(name, folder, model, seed):
    X, y, X_test, y_test = load(name, folder)
    start = time.process_time()
    train, test = MODELS[model](X, [X, X_test], seed)
    seconds = time.process_time() - start
    scaler = SharedVariance().fit(train)
    if seed > 0 and len(X) > _MANY:
        return {"seconds": seconds, "ridge": ridge_accuracy(train, y, test, y_test, scaler)}
    found = headline(scaler.transform(train), y, scaler.transform(test), y_test)
    return {"seconds": seconds} | found


def speed_cell(shape):
    """Time the default fit, and transforms beside those of aeon, in processor seconds."""
    from aeon.transformations.collection.convolution_based import MiniRocket
    from aeon.transformations.collection.convolution_based._hydra import HydraTransformer

    X = np.random.default_rng(0).normal(size=(shape[0], 1, shape[1])).cumsum(2).astype(np.float32)
    few = X[:256]
    ours = SSLFeatureExtractor(random_state=0, n_threads=1)
    row = {"fit seconds": seconds_of(lambda: ours.fit(X))}
    rivals = [MiniRocket(random_state=0), HydraTransformer(random_state=0, output_type="numpy")]
    for rival in rivals:
        rival.fit(few).transform(few[:2])  # what is compiled first
    times = {"ours": [], "theirs": []}
    for _ in range(3):
        times["ours"].append(seconds_of(lambda: ours.transform(few)))
        times["theirs"].append(seconds_of(lambda: [rival.transform(few) for rival in rivals]))
    row["series a second"] = len(few) / min(times["ours"])
    return row | {"series a second, MiniRocket and Hydra": len(few) / min(times["theirs"])}


def seconds_of(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("training", "published", "speed"))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=tuple(MODELS))
    options = parser.parse_args()
    cells = Cells(RESULTS / f"features_{options.mode}.jsonl")
    if options.mode == "speed":
        for shape in SHAPES:
            key = {"series": shape[0], "time points": shape[1]}
            print(cells.measure(key, lambda shape=shape: speed_cell(shape)), flush=True)
        return
    measure = {"training": training_cell, "published": published_cell}[options.mode]
    usual = {"training": SETS, "published": PUBLISHED}[options.mode]
    for seed in options.seeds:
        for model in options.models:
            for name in options.sets or usual:
                row = cells.measure(
                    {"set": name, "seed": seed, "model": model},
                    lambda n=name, m=model, s=seed: measure(n, options.folder, m, s),
                )
                print(row, flush=True)


if __name__ == "__main__":
    main()
