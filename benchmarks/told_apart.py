"""Whether a classifier tells generated from real series, and what the sampled decoder changes.

    python -m benchmarks.told_apart [SET ...] [--seeds 0 1 2] [--models NAME ...]
    python -m benchmarks.told_apart [SET ...] --networks

"default" is `MaskedPriorGenerator`, "mean" the same fitted generator whose tokens are decoded to
their mean. Two baselines need no training: "neighbours" lies at random between a training series
and one of its five nearest of the same class (SMOTE, Chawla et al. 2002), "surrogates" are training
series with random phases (Theiler et al. 1992). "naive" is the published VQ-VAE without
self-supervision (tokens of an STFT, 32 codes) with the prior of the default. "timevqvae" has the
seconds of the default's cell, where it is installed. "train" are training series in the place of
generated ones.

C2ST is the accuracy of aeon's MiniRocket (10,000 features), standardised, and `RidgeClassifierCV`,
which are shown half of real and of generated series and tell the others apart: 500 test series of
each at most, as many generated ones of the same classes, stratified halves, trained and tested both
ways, the mean of five splits. FID is against 1,000 test series at most, by an `FCNClassifier`
trained for 1,000 steps in float32 and by random convolutions. CAS is of as many generated as
training series, but 1,000 at least, in the proportions of the training classes, as published and as
`classification_accuracy` scorers have it; "CAS shown" is of the series that C2ST is shown.
Everything runs on one thread. Cells are written to benchmarks/results as they finish.

With `--networks` two networks tell them apart instead, on sets of 500 test series or more, one
seed: "C2ST FCN" is the accuracy of `FCNClassifier` in MiniRocket's place, of one split; "GRU" is
`discriminative_score`. "train" has as many training as test series.
"""

import argparse
import os
import time
from functools import partial
from importlib.util import find_spec

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.generation import NAIVE
from skvqts import (
    FCNClassifier,
    MaskedPriorGenerator,
    RandomConvolutionExtractor,
    VQTokenizer,
)
from skvqts.metrics import (
    classification_accuracy_score,
    discriminative_score,
    frechet_distance,
    memorization_score,
)
from skvqts.metrics._classifiers import labels_in_training_proportion

SETS = (
    "TwoPatterns",
    "Wafer",
    "Symbols",
    "SonyAIBORobotSurface2",
    "GunPoint",
    "ItalyPowerDemand",
    "ECG200",
    "SwedishLeaf",
    "NATOPS",
)
MODELS = ("default", "mean", "naive", "neighbours", "surrogates", "timevqvae", "train")
JUDGED_BY_NETWORKS = ("default", "mean", "timevqvae", "train")
SHOWN = ("C2ST", "FID", "FID rk", "CAS", "CAS shown", "CAS of real", "memorization", "per second")
_N_SPLITS = 5
_MOST = 500  # test series that the classifier is shown; networks judge sets that have as many
_N_NEIGHBOURS = 5


class Neighbours:
    """Series at random between a training series and one of its nearest of the same class."""

    def fit(self, X, y):
        self.X, self.y = X, y
        self.classes_, self.class_counts_ = np.unique(y, return_counts=True)
        return self

    def sample(self, y, random_state):
        rng = np.random.default_rng(random_state)
        drawn = []
        for label in y:
            of_class = self.X[self.y == label]
            first = of_class[rng.integers(len(of_class))]
            axes = tuple(range(1, of_class.ndim))
            nearest = np.square(of_class - first).sum(axis=axes).argsort()[1 : 1 + _N_NEIGHBOURS]
            second = of_class[rng.choice(nearest)] if len(nearest) else first
            drawn.append(first + rng.random() * (second - first))
        return np.array(drawn)


class Surrogates(Neighbours):
    """Training series with random phases, which keep their spectrum; channels turn alike."""

    def sample(self, y, random_state):
        rng = np.random.default_rng(random_state)
        drawn = []
        for label in y:
            series = rng.choice(self.X[self.y == label])
            spectrum = np.fft.rfft(series)
            angles = rng.uniform(0, 2 * np.pi, spectrum.shape[-1])
            angles[0] = 0
            drawn.append(np.fft.irfft(spectrum * np.exp(1j * angles), n=series.shape[-1]))
        return np.array(drawn)


def minirocket(split):
    """The classifier of C2ST, with kernels of the seed of a split."""
    from aeon.transformations.collection.convolution_based import MiniRocket

    return make_pipeline(
        MiniRocket(n_kernels=10_000, random_state=split, n_jobs=1),
        StandardScaler(),
        RidgeClassifierCV(np.logspace(-3, 3, 10)),
    )


def told_apart(real, generated, make_judge=minirocket, n_splits=_N_SPLITS):
    """Mean accuracy of a classifier that tells generated from real series."""
    n = min(len(real), len(generated))
    X = np.concatenate([real[:n], generated[:n]]).astype(np.float32)
    X = X.reshape(2 * n, -1, X.shape[-1])
    is_generated = np.repeat([0, 1], n)
    accuracies = []
    for split in range(n_splits):
        halves = StratifiedKFold(2, shuffle=True, random_state=split).split(X, is_generated)
        for shown, hidden in halves:
            judge = make_judge(split).fit(X[shown], is_generated[shown])
            accuracies.append(judge.score(X[hidden], is_generated[hidden]))
    return float(np.mean(accuracies))


def told_apart_by_networks(real, generated):
    """The accuracy of an FCN that tells them apart, and the discriminative score of a GRU."""

    def fcn(split):
        return FCNClassifier(precision="float32", n_threads=1, random_state=split)

    return {
        "series": min(len(real), len(generated)),
        "C2ST FCN": told_apart(real, generated, fcn, n_splits=1),
        "GRU": discriminative_score(real, generated, random_state=0),
    }


def rows_shown(X_test):
    """Which test series the classifiers are shown."""
    return np.random.default_rng(0).permutation(len(X_test))[:_MOST]


class Judge:
    """What judges all models of a set: referees trained once, and the test series shown."""

    def __init__(self, data):
        self.X_train, self.y_train, self.X_test, self.y_test = data
        n_epochs = -(-1000 // -(-len(self.X_train) // 16))
        fcn = FCNClassifier(max_epochs=n_epochs, precision="float32", n_threads=1, random_state=0)
        self.referees = {
            "FID": fcn.fit(self.X_train, self.y_train),
            "FID rk": RandomConvolutionExtractor(n_threads=1).fit(self.X_train),
        }
        self.real = {
            name: referee.transform(self.X_test[:1000]) for name, referee in self.referees.items()
        }
        self.rows = rows_shown(self.X_test)
        self.of_real = classification_accuracy_score(
            self.X_train, self.y_train, self.X_test, self.y_test
        )

    def scores(self, sample, labels):
        """All scores of what a function from classes to series generates, and how fast it does.

        `labels` are those to generate for CAS.
        """
        y = self.y_test[self.rows]
        start = time.perf_counter()
        X = sample(y)
        rate = len(y) / (time.perf_counter() - start)
        found = {"C2ST": told_apart(self.X_test[self.rows], X)}
        for name, referee in self.referees.items():
            found[name] = frechet_distance(self.real[name], referee.transform(X))
        for name, series, classes in (("CAS", sample(labels), labels), ("CAS shown", X, y)):
            found[name] = classification_accuracy_score(series, classes, self.X_test, self.y_test)
        found["memorization"] = memorization_score(X, self.X_train, self.X_test[:1000])
        return found | {"CAS of real": self.of_real, "per second": rate}


class Fits:
    """The models of one set and seed, each fitted when a cell needs it.

    timevqvae has the seconds that the default took when its cell was measured, or takes here.
    """

    def __init__(self, cells, data, name, seed):
        key = {"set": name, "seed": seed, "model": "default"}
        measured = (row["seconds"] for row in cells.rows if key.items() <= row.items())
        self.data, self.seed, self.seconds = data, seed, next(measured, None)
        self.fitted = None

    def default(self):
        if self.fitted is None:
            generator = MaskedPriorGenerator(random_state=self.seed, n_threads=1)
            self.fitted = generator, seconds_of(generator, *self.data[:2])
        return self.fitted

    def of(self, model):
        """A fitted model and the seconds that its fit took."""
        if model in ("default", "mean"):
            return self.default()
        if model == "timevqvae":
            from benchmarks.timevqvae_rival import TimeVQVAEGenerator

            rival = TimeVQVAEGenerator(self.seconds or self.default()[1], 1, self.seed)
            return rival, seconds_of(rival, *self.data[:2])
        if model == "naive":
            tokenizer = VQTokenizer(**NAIVE, n_threads=1)
            naive = MaskedPriorGenerator(
                tokenizer, decoder=None, n_threads=1, random_state=self.seed
            )
            return naive, seconds_of(naive, *self.data[:2])
        baseline = {"neighbours": Neighbours, "surrogates": Surrogates}[model]()
        return baseline.fit(*self.data[:2]), 0.0


def measure(model, fits, judge):
    """One cell: the scores of a model, the seconds of its fit and how fast it samples."""
    if model == "train":
        X = judge.X_train
        return {"C2ST": told_apart(judge.X_test[judge.rows], X)}
    generator, seconds = fits.of(model)
    sample = partial(sampled, generator, model, seed=fits.seed)
    labels = labels_in_training_proportion(generator, "CAS")
    row = {"seconds": seconds} | judge.scores(sample, labels)
    decoder = getattr(generator, "decoder_", None)
    if model == "default" and decoder is not None:
        row |= {"energy of mean": None, "energy of draws": None, "is used": decoder.is_used_}
        if decoder.energy_scores_ is not None:
            row |= dict(
                zip(("energy of mean", "energy of draws"), decoder.energy_scores_, strict=True)
            )
    return row


def sampled(generator, model, y, seed):
    """Series of a fitted model, of which "mean" goes without its sampled decoder."""
    if model != "mean":
        return generator.sample(y=y, random_state=seed)
    decoder = generator.decoder_
    generator.decoder_ = None
    X = generator.sample(y=y, random_state=seed)
    generator.decoder_ = decoder
    return X


def measure_by_networks(model, fits):
    """One cell: how two networks tell a model's series, or training series, from test series."""
    X_train, _, X_test, y_test = fits.data
    rows = rows_shown(X_test)
    if model == "train":
        X = X_train[np.random.default_rng(0).permutation(len(X_train))]
        return told_apart_by_networks(X_test[rows], X[:_MOST])
    generator, _ = fits.of(model)
    return told_apart_by_networks(X_test[rows], sampled(generator, model, y_test[rows], fits.seed))


def networks(names, models, folder):
    """Measure the cells of `--networks`, with one seed, on sets with enough test series."""
    cells = Cells(RESULTS / "told_apart_networks.jsonl")
    for name in names:
        data = load(name, folder)
        if len(data[2]) < _MOST:
            continue
        fits = Fits(Cells(RESULTS / "told_apart.jsonl"), data, name, 0)
        for model in models:
            key = {"set": name, "seed": 0, "model": model}
            row = cells.measure(key, partial(measure_by_networks, model, fits))
            shown = f"C2ST FCN {row['C2ST FCN']:.3f}  GRU {row['GRU']:.3f}"
            print(f"{name:<22}{model:<11}", shown, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--networks", action="store_true")
    options = parser.parse_args()
    models = [name for name in options.models if name != "timevqvae" or find_spec("timevqvae")]
    if options.networks:
        judged = [model for model in models if model in JUDGED_BY_NETWORKS]
        networks(sets_of(options, SETS), judged, options.folder)
        return
    cells = Cells(RESULTS / "told_apart.jsonl")
    judges = {}
    for seed in options.seeds:
        for name in sets_of(options, SETS):
            data = load(name, options.folder)
            fits = Fits(cells, data, name, seed)

            def cell(model, name=name, data=data, fits=fits):
                if name not in judges:
                    judges[name] = Judge(data)
                return measure(model, fits, judges[name])

            for model in models:
                # What is not trained, and what takes as long as all others, has one seed.
                if seed > 0 and model not in ("default", "mean"):
                    continue
                key = {"set": name, "seed": seed, "model": model}
                row = cells.measure(key, lambda model=model: cell(model))
                shown = (f"{short} {row[short]:.3f}" for short in SHOWN if short in row)
                print(f"{name:<22}{seed}  {model:<11}", "  ".join(shown), flush=True)
    print_means(cells)


def print_means(cells):
    """Print means and standard deviations over seeds."""
    lines = []
    for name in SETS:
        for model in MODELS:
            found = [r for r in cells.rows if r["set"] == name and r["model"] == model]
            if not found:
                continue
            line = {"set": name, "model": model}
            for short in SHOWN:
                values = [row[short] for row in found if short in row]
                line[short] = mean_and_spread(values) if values else ""
            lines.append(line)
    print("\n".join(table(lines, ["set", "model", *SHOWN])))


if __name__ == "__main__":
    main()
