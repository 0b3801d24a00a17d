"""Generated series on published sets: every score of a report, its floors, and seconds.

    python -m benchmarks.generation screen [SET ...] [--seeds 0]     [--threads 1]
    python -m benchmarks.generation final  [SET ...] [--seeds 0 1 2] [--threads 1]

"screen" compares tokenizers of several sizes, with one band or two, and with self-supervision.
Each carries the same masked prior, sampled in several orders and temperatures, and the
autoregressive prior. "final" compares the default with the naive VQ-VAE (the published
architecture, one band, 32 codes) and with timevqvae. The naive model has the same prior; it is
trained once for as many steps, its tokenizer for a minute, and once for the seconds of the
default, half of them for each stage. timevqvae has the models of its README and the same seconds;
it takes part where it is installed:
`pip install --no-deps --ignore-requires-python timevqvae==1.0.1 einops pyyaml`.

Each model is judged by `generation_report` with an FCN trained on the real training set. CAS is
that of random convolutions with ridge, in "final" that of an FCN too. Cells are written to
benchmarks/results as they finish, so a run can be stopped and continued.
"""

import argparse
import time
from functools import partial
from importlib.util import find_spec

import numpy as np
from sklearn.frozen import FrozenEstimator

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.representations import epochs_in, fitted
from skvqts import (
    AutoregressivePriorGenerator,
    FCNClassifier,
    MaskedPriorGenerator,
    VQTokenizer,
)
from skvqts.metrics import generation_report, make_generation_scorer

SETS = {
    "screen": ("TwoPatterns", "Symbols", "SonyAIBORobotSurface2"),
    "final": ("TwoPatterns", "Wafer", "Symbols", "SonyAIBORobotSurface2"),
}
RECOMMENDED = {"frontend": "multiscale", "ssl": "barlow_twins"}
TOKENIZERS = {
    "32 codes, 32 tokens": {},
    "32 codes, 16 tokens": {"downsampled_width": 16},
    "128 codes, 16 tokens": {"downsampled_width": 16, "codebook_size": 128},
    "32 codes, 8 tokens": {"downsampled_width": 8},
    "two bands, 4 + 16 tokens": {"downsampled_width": 16, "n_bands": 2},
    "Barlow Twins, 16 tokens": {"downsampled_width": 16, **RECOMMENDED},
}
SAMPLERS = {
    "low discrepancy": {"order": "low_discrepancy"},
    "low discrepancy, 0.8": {"order": "low_discrepancy", "temperature": 0.8},
    "confidence": {"order": "confidence", "n_steps": 10},
    "random": {"order": "random"},
}
NAIVE = {"codebook_size": 32, "frontend": "stft"}
_STAGE_1 = 60  # seconds of the naive tokenizer, at least twice those of the default one
BESIDE = ("of_train", "of_reconstructions", "of_real", "at_half", "real_at_half")
SHOWN = {
    "FID": "Fréchet distance, classifier",
    "FID rk": "Fréchet distance, extractor",
    "IS": "inception score, classifier",
    "CAS": "classification accuracy, trained classifier",
    "fresh": "memorization score, series",
}
BY_FCN = "classification accuracy, FCN"


def judged(generator, data, referee, seed):
    """Collect the values, floors and ceilings of all scores under "score, referee"."""
    report = generation_report(generator, *data, referee=referee, random_state=seed)
    found = {}
    for score in report.scores:
        key = f"{score.name}, {score.referee}"
        found |= {key: score.value, f"{key} s.e.": score.standard_error}
        found |= {f"{key} {name}": getattr(score, name) for name in BESIDE}
    return found


def by_fcn(generator, data, referee, seed, threads):
    """Compute the CAS by an FCN, as published, and the accuracy after training on real series."""
    fcn = FCNClassifier(random_state=seed, n_threads=threads)
    score = make_generation_scorer("classification_accuracy", referee=fcn, random_state=seed)
    test = data[2:]
    return {BY_FCN: score(generator, *test), f"{BY_FCN} of_real": referee.score(*test)}


class Referees:
    """One FCN for each set, trained once and the same for all models."""

    def __init__(self, threads):
        self.threads = threads
        self.fitted = {}

    def of(self, name, data):
        if name not in self.fitted:
            fcn = FCNClassifier(random_state=0, n_threads=self.threads)
            self.fitted[name] = fcn.fit(data[0], data[1])
        return self.fitted[name]


def run_screen(cells, sets, options):
    """Fit every prior once and sample the masked ones in every order."""
    referees = Referees(options.threads)
    for name in sets:
        data = load(name, options.folder)
        for seed in options.seeds:
            for model in options.models or TOKENIZERS:
                screen_tokenizer(cells, name, data, seed, model, referees, options.threads)


def screen_tokenizer(cells, name, data, seed, model, referees, threads):
    """Measure both priors on one tokenizer, which is fitted only if a cell is missing."""
    kept = {}

    def tokenizer():
        if "tokenizer" not in kept:
            new = VQTokenizer(**TOKENIZERS[model], random_state=seed, n_threads=threads)
            start = time.perf_counter()
            kept["tokenizer"] = new.fit(data[0])
            kept["seconds"] = time.perf_counter() - start
        return FrozenEstimator(kept["tokenizer"])

    def generator(prior):
        if prior not in kept:
            start = time.perf_counter()
            new = prior(tokenizer(), random_state=seed, n_threads=threads)
            kept[prior] = new.fit(data[0], data[1]), time.perf_counter() - start
        return kept[prior]

    def cell(prior, parameters):
        fit, seconds = generator(prior)
        fit.set_params(**parameters)
        start = time.perf_counter()
        fit.sample(256, random_state=0)
        row = {"seconds": kept["seconds"] + seconds, "MSE": -kept["tokenizer"].score(data[2])}
        row |= {"per second": 256 / (time.perf_counter() - start), "epochs": fit.n_iter_}
        row |= {"training": fit.loss_curve_["prior"][-1]}
        return row | judged(fit, data, referees.of(name, data), seed)

    wanted = [(MaskedPriorGenerator, s, parameters) for s, parameters in SAMPLERS.items()]
    for prior, sampler, parameters in [*wanted, (AutoregressivePriorGenerator, "one by one", {})]:
        key = {"mode": "screen", "set": name, "seed": seed, "model": model, "sampler": sampler}
        show(cells.measure(key, lambda p=prior, q=parameters: cell(p, q)))


def show(row):
    """Print the main scores, with those of reconstructions in brackets."""
    parts = [f"{row['set']:<22}{row['seed']}  {row['model']:<26}{row.get('sampler', ''):<21}"]
    parts += [f"{row['seconds']:4.0f} s"]
    for short, key in SHOWN.items():
        floor = row.get(f"{key} of_reconstructions")
        parts.append(f"{short} {row[key]:.3f}" + (f" ({floor:.3f})" if floor is not None else ""))
    print("  ".join(parts), flush=True)


def default(X, y, seed, threads, seconds):
    """Fit the default; return the generator and the seconds it took. `seconds` is not used."""
    generator = MaskedPriorGenerator(random_state=seed, n_threads=threads)
    return generator, seconds_of(generator, X, y)


def naive(X, y, seed, threads, seconds):
    """Fit the published architecture, one band of 32 codes, with the prior of the default."""
    new, taken = naive_priors(X, seed, threads, _STAGE_1)
    generator = new("auto")
    return generator, taken + seconds_of(generator, X, y)


def naive_in_seconds(X, y, seed, threads, seconds):
    """Fit the naive model for the seconds of the default, half of them for each stage."""
    new, taken = naive_priors(X, seed, threads, seconds / 2)
    generator = new(epochs_in(seconds / 2, new, X, y))
    return generator, taken + seconds_of(generator, X, y)


def naive_priors(X, seed, threads, seconds):
    """Fit a naive tokenizer; return a function from epochs to priors, and the seconds it took."""
    tokenizer, row = fitted(VQTokenizer, X, seed, seconds, threads, **NAIVE)
    settings = {"random_state": seed, "n_threads": threads}
    new = lambda n: MaskedPriorGenerator(FrozenEstimator(tokenizer), max_epochs=n, **settings)  # noqa: E731
    return new, row["seconds"]


def timevqvae(X, y, seed, threads, seconds):
    """Fit timevqvae for the seconds of the default."""
    from benchmarks.timevqvae_rival import TimeVQVAEGenerator

    generator = TimeVQVAEGenerator(seconds, threads, seed)
    return generator, seconds_of(generator, X, y)


FINAL = {
    "default": default,
    "naive": naive,
    "naive, same seconds": naive_in_seconds,
    "timevqvae": timevqvae,
}


def run_final(cells, sets, options):
    referees = Referees(options.threads)
    threads = options.threads
    for seed in options.seeds:
        for name in sets:
            data = load(name, options.folder)
            seconds = None

            def cell(make, seconds, data=data, name=name, seed=seed):
                generator, taken = make(*data[:2], seed, threads, seconds)
                scores = judged(generator, data, referees.of(name, data), seed)
                fcn = by_fcn(generator, data, referees.of(name, data), seed, threads)
                return {"seconds": taken} | scores | fcn

            for model, make in finalists(options.models).items():
                key = {"mode": "final", "set": name, "seed": seed, "model": model}
                row = cells.measure(key, partial(cell, make, seconds))
                seconds = row["seconds"] if model == "default" else seconds
                show(row)
    print_final(cells, sets, options.seeds)


def finalists(names):
    """Choose the default, whose seconds the others may need, and all others or those of some names.

    timevqvae takes part where it is installed.
    """
    names = names or [n for n in FINAL if n != "timevqvae" or find_spec("timevqvae")]
    return {name: FINAL[name] for name in ("default", *names)}


def print_final(cells, sets, seeds):
    """Print means over seeds, and the geometric mean over sets of the ratio of FIDs."""
    rows = [r for r in cells.rows if r["mode"] == "final" and r["seed"] in seeds]
    fids = {}
    lines = []
    for name in sets:
        for model in FINAL:
            found = [r for r in rows if r["set"] == name and r["model"] == model]
            if not found:
                continue
            line = {
                "set": name,
                "model": model,
                "s": f"{np.mean([r['seconds'] for r in found]):.0f}",
            }
            for short, key in (SHOWN | {"CAS FCN": BY_FCN}).items():
                values = [r[key] for r in found if key in r]
                line[short] = mean_and_spread(values) if values else ""
            for of in ("of_reconstructions", "of_train", "of_real"):
                values = [r.get(f"{SHOWN['FID']} {of}") for r in found]
                line[f"FID {of}"] = mean_and_spread(values) if None not in values else ""
            ceilings = [r[f"{SHOWN['CAS']} of_real"] for r in found]
            line["CAS share"] = float(np.mean([r[SHOWN["CAS"]] for r in found]) / np.mean(ceilings))
            fids.setdefault(model, {})[name] = np.mean([r[SHOWN["FID"]] for r in found])
            lines.append(line)
    print("\n".join(table(lines, list(lines[0]))))
    for model, of_sets in fids.items():
        both = [name for name in of_sets if name in fids["default"]]
        ratio = np.exp(np.mean([np.log(fids["default"][n] / of_sets[n]) for n in both]))
        print(f"FID of the default / {model}: {ratio:.3f} (geometric mean over {len(both)} sets)")


MODES = {"screen": run_screen, "final": run_final}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=tuple(MODES))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=None)
    parser.add_argument("--models", nargs="+", help="names of some; all if absent")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.seeds = options.seeds or ([0] if options.mode == "screen" else [0, 1, 2])
    sets = sets_of(options, SETS[options.mode])
    MODES[options.mode](Cells(RESULTS / "generation.jsonl"), sets, options)


if __name__ == "__main__":
    main()
