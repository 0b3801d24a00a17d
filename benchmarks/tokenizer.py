"""VQTokenizer on published sets: seconds, reconstruction error and accuracies.

    python -m benchmarks.tokenizer report    [SET ...] [--seeds 0 1 2]
    python -m benchmarks.tokenizer selection [SET ...] [--seeds 0]

"report" judges the default and 128 codes on the test sets: seconds, milliseconds per step, mean
squared error of the test series in units of the standard deviation of the training set, bits per
series (tokens x log2 K), perplexity, and the test accuracy of a linear SVC (C=1), an RBF SVC
(C=10) and 5-NN on several outputs, fitted on at most 2,000 training series; beside them what a
user would pick instead. "selection" changes one parameter of the default at a time, trains for
300 steps, and judges by cross-validation inside the training sets. Cells are written to
benchmarks/results as they finish, so a run can be stopped and continued.
"""

import argparse
import time

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold

from benchmarks.cells import RESULTS, Cells, mean_and_spread, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.probes import PROBES, accuracies, baselines, rows_for_probes
from skvqts import VQTokenizer
from skvqts.functional import readout

QUANTIZED = ("quantized_pooled", "quantized", "bag_of_codes")
OUTPUTS = ("features", *QUANTIZED)

# compared on the test sets
REPORTED = {"default": {}, "runner-up": {"codebook_size": 128}}

# one parameter at a time, on training sets only
SELECTION_SETS = ("TwoPatterns", "SwedishLeaf", "OSULeaf", "ECG200")
SELECTION_STEPS = 300  # half of those of the default
VARIANTS = {
    "default": {},
    "width=32": {"width": 32},
    "width=128": {"width": 128},
    "downsampled_width=16": {"downsampled_width": 16},
    "downsampled_width=64": {"downsampled_width": 64},
    "codebook_size=16": {"codebook_size": 16},
    "codebook_size=128": {"codebook_size": 128},
    "codebook_size=512": {"codebook_size": 512},
    "600 steps": {"n_steps": 600},
    "frontend=stft": {"frontend": "stft"},
}
POOLINGS = {
    "mean": (("mean",), (1,)),
    "mean, max": (("mean", "max"), (1,)),
    "mean, std, variation": (("mean", "std", "variation"), (1,)),
    "mean, std, variation; quarters": (("mean", "std", "variation"), (1, 4)),
    "mean, max, std; halves, quarters": (("mean", "max", "std"), (1, 2, 4)),
}


def fitted(X, seed, n_steps=None, **parameters):
    """Fit a tokenizer, for `n_steps` or as by default; return it and what the fit cost."""
    tokenizer = VQTokenizer(random_state=seed, **parameters)
    steps_per_epoch = -(-len(X) // tokenizer.batch_size)
    if n_steps is not None:
        tokenizer.set_params(max_epochs=-(-n_steps // steps_per_epoch))
    start = time.perf_counter()
    tokenizer.fit(X)
    seconds = time.perf_counter() - start
    n_tokens = sum(rows * columns for rows, columns in tokenizer.token_shape_)
    return tokenizer, {
        "frontend": tokenizer.frontend,
        "seconds": seconds,
        "ms per step": 1e3 * seconds / (tokenizer.n_iter_ * steps_per_epoch),
        "tokens": n_tokens,
        "bits": n_tokens * float(np.log2(tokenizer.codebook_size)),
        "perplexity": tokenizer.perplexity_,
    }


def judged(tokenizer, outputs, X, y, X_test, y_test):
    """Compute the accuracy of each probe on each output."""
    found = {}
    for output in outputs:
        tokenizer.set_params(output=output)
        train = tokenizer.transform(X)
        test = tokenizer.transform(X_test)
        scores = accuracies(train, y, test, y_test, scaled=output == "features")
        found |= {f"{output} {probe}": score for probe, score in scores.items()}
    return found


# ---- report


def report_cell(name, folder, seed, parameters, threads):
    X, y, X_test, y_test = load(name, folder)
    tokenizer, row = fitted(X, seed, n_threads=threads, **parameters)
    few = rows_for_probes(len(X))
    row |= {"MSE": -tokenizer.score(X_test)}
    return row | judged(tokenizer, OUTPUTS, X[few], y[few], X_test, y_test)


def baseline_cell(name, folder, seed):
    X, y, X_test, y_test = load(name, folder)
    few = rows_for_probes(len(X))
    return baselines(X[few], y[few], X_test, y_test, VQTokenizer().codebook_size, seed)


def report(sets, folder, seeds, threads):
    cells = Cells(RESULTS / "tokenizer_report.jsonl")
    for name in sets:
        for seed in seeds:
            key = {"set": name, "seed": seed}
            cells.measure(
                key | {"model": "baselines"}, lambda n=name, s=seed: baseline_cell(n, folder, s)
            )
            for model, parameters in REPORTED.items():
                row = cells.measure(
                    key | {"model": model, "parameters": parameters},
                    lambda n=name, s=seed, p=parameters: report_cell(n, folder, s, p, threads),
                )
                print(
                    f"{name:<24}{seed:>2} {model:<10}{row['seconds']:>7.1f} s  MSE {row['MSE']:.3f}"
                    f"  features linear {row['features linear']:.3f}",
                    flush=True,
                )
    print_report(cells.rows, sets, seeds)


def print_report(rows, sets, seeds):
    rows = [row for row in rows if row["set"] in sets and row["seed"] in seeds]
    for model in REPORTED:
        print(f"\n{model} {REPORTED[model]}")
        costs = ("seconds", "ms per step", "MSE", "bits", "perplexity")
        print_per_set(rows, model, sets, [*costs, "features linear", "features rbf"])
    print("\nmean over sets, test accuracy")
    lines = []
    for model in (*REPORTED, "baselines"):
        found = [row for row in rows if row["model"] == model]
        for column in [c for c in found[0] if c.split()[-1] in (*PROBES, "1nn", "minirocket")]:
            lines.append({"model": model, "on": column, "accuracy": over_sets(found, column, sets)})
    print("\n".join(table(lines, ["model", "on", "accuracy"])))
    print("\nquantized read-outs against the k-means bag, RBF SVC")
    columns = [
        *(f"{output} rbf" for output in QUANTIZED),
        "kmeans bag rbf",
        "raw 1nn",
        "minirocket",
    ]
    for model in REPORTED:
        merged = [
            row | other
            for row in rows
            for other in rows
            if row["model"] == model
            and other["model"] == "baselines"
            and all(row[k] == other[k] for k in ("set", "seed"))
        ]
        print_per_set([row | {"model": model} for row in merged], model, sets, columns)


def print_per_set(rows, model, sets, columns):
    lines = []
    for name in sets:
        found = [row for row in rows if row["model"] == model and row["set"] == name]
        values = {column: mean_and_spread([row[column] for row in found]) for column in columns}
        lines.append({"set": name} | values)
    found = [row for row in rows if row["model"] == model]
    means = {column: over_sets(found, column, sets) for column in columns}
    print("\n".join(table([*lines, {"set": "mean"} | means], ["set", *columns])))


def over_sets(rows, column, sets):
    """Average over sets for each seed; format mean and standard deviation over seeds."""
    seeds = sorted({row["seed"] for row in rows})
    values = [[r[column] for r in rows if r["seed"] == s and r["set"] in sets] for s in seeds]
    return mean_and_spread([float(np.mean(v)) for v in values])


# ---- selection


def selection_cell(name, folder, seed, parameters, threads):
    """Fit tokenizer and probes on two of three folds of the training set, judge on the third."""
    X, y, _, _ = load(name, folder)
    few = rows_for_probes(len(X))
    X = X[few]
    y = y[few]
    is_default = not parameters
    parameters = {"n_steps": SELECTION_STEPS} | parameters
    rows = []
    for train, test in StratifiedKFold(3, shuffle=True, random_state=seed).split(X, y):
        tokenizer, row = fitted(X[train], seed, n_threads=threads, **parameters)
        row |= {"MSE": -tokenizer.score(X[test])}
        row |= judged(tokenizer, OUTPUTS, X[train], y[train], X[test], y[test])
        if is_default:
            row |= judged_poolings(tokenizer, X[train], y[train], X[test], y[test])
        rows.append(row)
    numbers = [k for k, v in rows[0].items() if not isinstance(v, str)]
    return {k: float(np.mean([row[k] for row in rows])) for k in numbers}


def judged_poolings(tokenizer, X, y, X_test, y_test):
    found = {}
    for name, (statistics, levels) in POOLINGS.items():
        train, test = (pooled(tokenizer, part, statistics, levels) for part in (X, X_test))
        scores = accuracies(train, y, test, y_test)
        found |= {f"pooling {name} {probe}": score for probe, score in scores.items()}
    return found


def pooled(tokenizer, X, statistics, levels):
    z = torch.from_numpy(tokenizer.set_params(output="continuous").transform(X))
    z = z.view(len(X), -1, tokenizer.codebook_.shape[1])
    return readout.pool(z, statistics, levels).numpy()


def selection(sets, folder, seeds, threads):
    cells = Cells(RESULTS / "tokenizer_selection.jsonl")
    for name in sets:
        for seed in seeds:
            for variant, parameters in VARIANTS.items():
                key = {"set": name, "seed": seed, "variant": variant}
                row = cells.measure(
                    key,
                    lambda n=name, s=seed, p=parameters: selection_cell(n, folder, s, p, threads),
                )
                score = f"{row['seconds']:>7.1f} s  features linear {row['features linear']:.3f}"
                print(f"{name:<24}{seed:>2} {variant:<22}{score}", flush=True)
    print_selection(cells.rows, sets, seeds)


def print_selection(rows, sets, seeds):
    rows = [row for row in rows if row["set"] in sets and row["seed"] in seeds]
    columns = ("seconds", "MSE", "bits", "perplexity", "features linear", "features rbf")
    columns += tuple(f"{output} rbf" for output in QUANTIZED)
    lines = []
    for variant in VARIANTS:
        found = [row for row in rows if row["variant"] == variant]
        values = {column: float(np.mean([row[column] for row in found])) for column in columns}
        lines.append({"variant": variant} | values)
    print("\n".join(table(lines, ["variant", *columns])))
    found = [row for row in rows if row["variant"] == "default"]
    lines = [
        {"on": key, "accuracy": float(np.mean([row[key] for row in found]))}
        for key in found[0]
        if key.split()[-1] in PROBES
    ]
    print("\n".join(["", *table(lines, ["on", "accuracy"])]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=("report", "selection"))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, help="of each fit; one if absent")
    options = parser.parse_args()
    if options.mode == "report":
        sets = sets_of(options)
        report(sets, options.folder, options.seeds, options.threads)
    else:
        sets = sets_of(options, SELECTION_SETS)
        selection(sets, options.folder, options.seeds, options.threads)


if __name__ == "__main__":
    main()
