"""Gaps of test series filled by MaskedPriorGenerator and by what others use for it.

    python -m benchmarks.imputation [SET ...] [--seeds 0 1 2] [--models NAME ...] [--kinds KIND ...]

At most 200 test series have gaps of the kinds of `benchmarks.gaps`, which are drawn once. Series
are standardised by the mean and standard deviation of each channel of the training set, for all
models; no model is shown labels or complete test series. Scores are means over the hidden values:
MAE of the median of the draws (or of a single filling), CRPS, and the share of values in the
central 90 % of the draws. A single filling has its absolute error as CRPS and no coverage.

* "ours": `MaskedPriorGenerator`, fitted once a seed without labels, 100 draws. "masked encoder":
  the same with ``VQTokenizer(missing="mask")``, whose encoder is told where values are missing;
  one seed.
* "interpolation": linear, ends repeated; a channel that is hidden whole has its mean of the
  training series at each time point. In tails it is "last value".
* "nearest": the mean of the five training series with the least squared error over what is
  observed; these five are the draws. The quantiles of five values cannot cover 90 %.
* "KNNImputer": scikit-learn's, with its five neighbours, on flattened series. The training series
  being complete, it fills as "nearest" does, but is a single filling.
* "IterativeImputer": scikit-learn's with BayesianRidge and its ten rounds, on flattened series,
  each value from 10, 20, 50 or, of at most 200, all others: whichever has the least error on a
  fifth of the training series that the others fill. `tol=0`, since complete training series would
  end the rounds after the first. MAE is that of the point, CRPS and coverage are those of ten draws
  of a second fit with `sample_posterior=True`.
* "SAITS": of PyPOTS, with the seconds of our fit (benchmarks/saits_rival.py); needs
  `--saits-python PATH`, a Python that has pypots.
* tails only: "last value"; "seasonal naive", the last period repeated, the period of a channel
  being the lag of the highest local maximum of the autocorrelation of what is observed, up to half
  of its length, and 1 if there is none; "ridge": `RidgeCV` from the observed part to the tail,
  fitted to the training series, which choose its alpha.

Rivals have one seed, 0. Everything runs on one thread. Cells are written to benchmarks/results as
they finish.
"""

import argparse
import os
import subprocess
import tempfile
import time
import warnings
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer
from sklearn.linear_model import RidgeCV

from benchmarks.cells import RESULTS, Cells, mean_and_spread, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.gaps import KINDS, coverage, crps, kinds_of
from skvqts import MaskedPriorGenerator, VQTokenizer

SETS = ("ECG200", "GunPoint", "SwedishLeaf", "TwoPatterns", "NATOPS")
TAILS = "tails 20 %"
TAIL_MODELS = ("last value", "seasonal naive", "ridge")
MODELS = (
    "ours",
    "masked encoder",
    "interpolation",
    "nearest",
    "KNNImputer",
    "IterativeImputer",
    "SAITS",
    *TAIL_MODELS,
)
SCORES = ("MAE", "CRPS", "coverage")
SHOWN = (*SCORES, "fit seconds", "fill seconds")
_MOST = 200  # test series
_GAP_SEED = 0
_N_DRAWS = 100
_N_NEIGHBOURS = 5


# Each of these has `fit(X)` and `fill(X)`, which returns a filling of the NaNs of series (n, c, t)
# and draws (m, n, c, t), or None for a single filling.


class Ours:
    def __init__(self, seed, tokenizer=None):
        self.seed = seed
        self.tokenizer = tokenizer

    def fit(self, X):
        generator = MaskedPriorGenerator(self.tokenizer, random_state=self.seed, n_threads=1)
        self.generator = generator.fit(X)

    def fill(self, X):
        draws = self.generator.impute(X, n_draws=_N_DRAWS, random_state=self.seed)
        return np.median(draws, axis=0), draws


class Interpolation:
    def fit(self, X):
        self.mean = X.mean(0)

    def fill(self, X):
        filled = X.copy()
        times = np.arange(X.shape[2])
        for series in filled:
            for channel, mean in zip(series, self.mean, strict=True):
                known = ~np.isnan(channel)
                values = np.interp(times, times[known], channel[known]) if known.any() else mean
                channel[:] = np.where(known, channel, values)
        return filled, None


class Nearest:
    def fit(self, X):
        self.X = X

    def fill(self, X):
        draws = np.empty((_N_NEIGHBOURS, *X.shape))
        for row, series in enumerate(X):
            distances = np.nansum(np.square(self.X - series), axis=(1, 2))
            nearest = self.X[distances.argsort()[:_N_NEIGHBOURS]]
            draws[:, row] = np.where(np.isnan(series), nearest, series)
        return np.where(np.isnan(X), draws.mean(0), X), draws


class Neighbours:
    """KNNImputer, on flattened series."""

    def fit(self, X):
        self.imputer = KNNImputer(n_neighbors=_N_NEIGHBOURS).fit(X.reshape(len(X), -1))

    def fill(self, X):
        return self.imputer.transform(X.reshape(len(X), -1)).reshape(X.shape), None


class Iterative:
    """IterativeImputer, on flattened series: one for the point and one for draws."""

    n_draws = 10
    n_rounds = 10
    choices = (10, 20, 50)  # values of n_nearest_features
    most = 200  # features of which all others are a choice too

    def __init__(self, seed):
        self.seed = seed

    def fit(self, X):
        flat = X.reshape(len(X), -1)
        choices = [*self.choices, None] if flat.shape[1] <= self.most else self.choices
        n_nearest = choices[np.argmin([self._held_out_error(X, n) for n in choices])]
        self.point = self._fitted(flat, n_nearest)
        self.sampled = self._fitted(flat, n_nearest, sample_posterior=True)

    def _held_out_error(self, X, n_nearest):
        """Mean absolute error in gaps of all kinds of a fifth of the training series."""
        rng = np.random.default_rng(self.seed)
        held_out, rest = np.split(rng.permutation(len(X)), [len(X) // 5])
        imputer = self._fitted(X[rest].reshape(len(rest), -1), n_nearest)
        errors = []
        for kind in kinds_of(X.shape[1]):
            hidden = KINDS[kind](X[held_out].shape, rng)
            given = np.where(hidden, np.nan, X[held_out])
            filled = imputer.transform(given.reshape(len(given), -1)).reshape(given.shape)
            errors.append(np.abs(filled - X[held_out])[hidden].mean())
        return np.mean(errors)

    def _fitted(self, X, n_nearest, sample_posterior=False):
        imputer = IterativeImputer(
            sample_posterior=sample_posterior,
            max_iter=self.n_rounds,
            tol=0,
            n_nearest_features=n_nearest,
            random_state=self.seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return imputer.fit(X)

    def fill(self, X):
        flat = X.reshape(len(X), -1)
        draws = self.sampled.transform(np.tile(flat, (self.n_draws, 1)))
        return self.point.transform(flat).reshape(X.shape), draws.reshape(self.n_draws, *X.shape)


class LastValue:
    """The last observed value repeated to the end."""

    def fit(self, X):
        pass

    def fill(self, X):
        n_known = _n_known(X)
        return _with_tail(X, np.repeat(X[..., n_known - 1 : n_known], X.shape[2] - n_known, 2))


class SeasonalNaive(LastValue):
    """The last period repeated to the end."""

    def fill(self, X):
        n_known = _n_known(X)
        steps = np.arange(X.shape[2] - n_known)
        tail = np.empty((*X.shape[:2], len(steps)))
        for place in np.ndindex(X.shape[:2]):
            known = X[place][:n_known]
            lag = period(known)
            tail[place] = known[n_known - lag + steps % lag]
        return _with_tail(X, tail)


class Ridge:
    """From all observed values to all of the tail, one alpha for all."""

    def fit(self, X):
        self.X = X  # what the tail is, and so what is to be fitted, is seen in the gaps

    def fill(self, X):
        n_known = _n_known(X)
        parts = (self.X[..., :n_known], self.X[..., n_known:], X[..., :n_known])
        known, tail, test = (part.reshape(len(part), -1) for part in parts)
        ridge = RidgeCV(np.logspace(-3, 4, 15)).fit(known, tail)
        return _with_tail(X, ridge.predict(test).reshape(*X.shape[:2], -1))


def period(series):
    """Lag of the highest local maximum of the autocorrelation, up to half of the length, or 1."""
    centred = series - series.mean()
    products = np.correlate(centred, centred, "full")[len(series) - 1 :][: len(series) // 2 + 2]
    inner = products[1:-1]
    peaks = np.flatnonzero((inner > products[:-2]) & (inner >= products[2:])) + 1
    return int(peaks[products[peaks].argmax()]) if len(peaks) else 1


def _n_known(X):
    return int((~np.isnan(X[0, 0])).sum())


def _with_tail(X, tail):
    return np.concatenate([X[..., : _n_known(X)], tail], axis=2), None


RIVALS = {
    "interpolation": lambda seed: Interpolation(),
    "nearest": lambda seed: Nearest(),
    "KNNImputer": lambda seed: Neighbours(),
    "IterativeImputer": Iterative,
    "last value": lambda seed: LastValue(),
    "seasonal naive": lambda seed: SeasonalNaive(),
    "ridge": lambda seed: Ridge(),
}
OURS = {"ours": Ours, "masked encoder": lambda seed: Ours(seed, VQTokenizer(missing="mask"))}


def saits_fillings(python, X, gapped, seconds, seed):
    """Let SAITS fill series with gaps, a dict; return its fillings and seconds."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("in.npz", "out.npz")]
        np.savez(paths[0], X=X, **gapped)
        subprocess.run(
            [python, "-m", "benchmarks.saits_rival", *paths, str(seconds), str(seed)],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with np.load(paths[1]) as arrays:
            return dict(arrays)


class Gapped:
    """A set: standardised training series, test series and their gaps of each kind."""

    def __init__(self, X_train, X_test):
        mean, scale = (f(X_train, axis=(0, 2), keepdims=True) for f in (np.mean, np.std))
        rows = np.random.default_rng(0).permutation(len(X_test))[:_MOST]
        self.X_train = (X_train - mean) / scale
        self.X_test = (X_test[rows] - mean) / scale
        self.kinds = kinds_of(X_train.shape[1])
        self.hidden = {
            kind: KINDS[kind](self.X_test.shape, np.random.default_rng(_GAP_SEED))
            for kind in self.kinds
        }
        self.given = {kind: np.where(self.hidden[kind], np.nan, self.X_test) for kind in self.kinds}


class Fits:
    """The models of one set and seed, each fitted once, when a cell needs it."""

    def __init__(self, data, seed, saits_python=None, seconds=None):
        self.data, self.seed = data, seed
        self.saits_python, self.seconds = saits_python, seconds
        self.fitted = {}

    def of(self, model):
        """A fitted model and the seconds that its fit took."""
        if model not in self.fitted:
            filler = (OURS | RIVALS)[model](self.seed)
            start = time.perf_counter()
            filler.fit(self.data.X_train)
            self.fitted[model] = filler, time.perf_counter() - start
        return self.fitted[model]

    def saits(self):
        if "SAITS" not in self.fitted:
            seconds = self.seconds or self.of("ours")[1]
            args = (self.data.X_train, self.data.given, seconds, self.seed)
            self.fitted["SAITS"] = saits_fillings(self.saits_python, *args)
        return self.fitted["SAITS"]


def measure(model, kind, fits):
    """One cell: the scores of a model in gaps of a kind, and its seconds."""
    X, hidden = fits.data.X_test, fits.data.hidden[kind]
    if model == "SAITS":
        found = fits.saits()
        times = {"fit seconds": float(found["seconds"])}
        times |= {"fill seconds": float(found[f"seconds {kind}"]), "steps": int(found["steps"])}
        point, draws = found[kind], None
    else:
        filler, seconds = fits.of(model)
        start = time.perf_counter()
        point, draws = filler.fill(fits.data.given[kind])
        times = {"fit seconds": seconds, "fill seconds": time.perf_counter() - start}
    return scores(X[hidden], point[hidden], None if draws is None else draws[:, hidden]) | times


def scores(y, point, draws=None):
    """Scores of a filling (p,) of the values (p,), and of draws (m, p) if there are any."""
    found = {"MAE": float(np.abs(point - y).mean())}
    found["CRPS"] = float(crps(y, point[None] if draws is None else draws).mean())
    return found if draws is None else found | {"coverage": coverage(y, draws)}


def fills(model, kind):
    """Whether the model is measured in gaps of the kind."""
    return model not in (TAIL_MODELS if kind != TAILS else ("interpolation",))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--saits-python", help="a Python that has pypots; without it, no SAITS")
    parser.add_argument("--saits-seconds", type=float, help="in place of those of our fit")
    options = parser.parse_args()
    models = [name for name in options.models if name != "SAITS" or options.saits_python]
    cells = Cells(RESULTS / "imputation.jsonl")
    gapped = {}
    for seed in options.seeds:
        for name in sets_of(options, SETS, SETS[1:2]):
            if name not in gapped:
                X_train, _, X_test, _ = load(name, options.folder)
                gapped[name] = Gapped(X_train.astype(np.float64), X_test.astype(np.float64))
            data = gapped[name]
            seconds = options.saits_seconds or seconds_of_ours(cells, name, seed)
            fits = Fits(data, seed, options.saits_python, seconds)
            for model, kind in product(models, options.kinds):
                if kind not in data.kinds or not fills(model, kind):
                    continue
                if seed > 0 and model != "ours":
                    continue
                key = {"set": name, "kind": kind, "seed": seed, "model": model}
                row = cells.measure(key, partial(measure, model, kind, fits))
                shown = (f"{short} {row[short]:.3f}" for short in SHOWN if short in row)
                print(f"{name:<12}{kind:<12}{seed}  {model:<17}", "  ".join(shown), flush=True)
    print_means(cells)


def seconds_of_ours(cells, name, seed):
    """Seconds of our fit of an earlier run, or None."""
    key = {"set": name, "seed": seed, "model": "ours"}
    return next((row["fit seconds"] for row in cells.rows if key.items() <= row.items()), None)


def print_means(cells):
    """Print means and standard deviations over seeds."""
    lines = []
    for name in dict.fromkeys(row["set"] for row in cells.rows):
        for kind in KINDS:
            for model in MODELS:
                key = {"set": name, "kind": kind, "model": model}
                found = [row for row in cells.rows if key.items() <= row.items()]
                if found:
                    lines.append(
                        key
                        | {
                            short: mean_and_spread([row[short] for row in found])
                            for short in SHOWN
                            if short in found[0]
                        }
                    )
    print("\n".join(table(lines, ["set", "kind", "model", *SHOWN])))


if __name__ == "__main__":
    main()
