"""Self-supervised representations on published sets: seconds and accuracies.

    python -m benchmarks.representations screen    [SET ...] [--seeds 0]     [--seconds 60]
    python -m benchmarks.representations report    [SET ...] [--seeds 0 1 2] [--seconds 90]
    python -m benchmarks.representations published [SET ...] [--seeds 0]     [--steps 600]

"screen" judges every objective in both estimators by cross-validation inside the training sets.
"report" judges the plain tokenizer, the two best settings of each estimator in the screen, an
untrained encoder, bags of k-means codes, raw series and MiniRocket on the test sets. Each fit has
as many epochs as fill the seconds. "published" trains the published architecture and settings with
Barlow Twins and without an objective, and the default settings for as many steps.

The probes are an RBF SVC with C chosen by cross-validation, ridge, 5-NN, and the paper's: a
linear SVC on means of quantized latents, scaled to (-1, 1). The headline is the accuracy of the
one of SVC and ridge that cross-validation on the training set prefers. Cells are written to
benchmarks/results as they finish, so a run can be stopped and continued.
"""

import argparse

import numpy as np

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import PUBLISHED, default_folder, load, sets_of
from benchmarks.probes import (
    headline,
    minirocket,
    paper_probe,
    rows_for_probes,
    standardised,
)
from skvqts import Quantizer, SSLFeatureExtractor, VQTokenizer, WindowCodes
from skvqts.objectives import OBJECTIVES, BarlowTwins

SCREEN_SETS = ("TwoPatterns", "SwedishLeaf", "OSULeaf", "ECG200")
MULTISCALE = {"frontend": "multiscale"}
ENCODER = {"output": "encoder_features"}  # the default features do not depend on the encoder
SCREEN = (
    {
        "tokenizer": (VQTokenizer, {}),
        "multiscale tokenizer": (VQTokenizer, MULTISCALE),
        "multiscale tokenizer barlow_twins": (VQTokenizer, MULTISCALE | {"ssl": "barlow_twins"}),
    }
    | {f"tokenizer {name}": (VQTokenizer, {"ssl": name}) for name in OBJECTIVES}
    | {
        f"extractor {name}": (SSLFeatureExtractor, ENCODER | {"objective": name})
        for name in OBJECTIVES
    }
)
UNTRAINED = ENCODER | {"learning_rate": 1e-20}  # running statistics only
_TIMED_SERIES = 512  # of which the time of a step is learned

# the plain tokenizer, the two best of each estimator in the screen, and an untrained encoder
REPORT = {
    name: SCREEN[name]
    for name in (
        "tokenizer",
        "tokenizer vibcreg",
        "multiscale tokenizer barlow_twins",
        "extractor vicreg",
        "extractor barlow_twins",
    )
} | {"untrained extractor": (SSLFeatureExtractor, UNTRAINED), "window codes": (WindowCodes, {})}

REPRODUCED = ("TwoPatterns", "FordA", "ShapesAll")
PUBLISHED_SETTINGS = {
    "frontend": "stft",
    "batch_size": 128,
    "learning_rate": 1e-3,
    "weight_decay": 1e-3,
    "quantizer": Quantizer(commitment_weight=1.0, ema_decay=0.9),
}


def fitted(make, X, seed, seconds, threads, **parameters):
    """Fit an estimator for as many epochs as fill the seconds; return it and what the fit cost."""
    new = lambda n: make(random_state=seed, n_threads=threads, max_epochs=n, **parameters)  # noqa: E731
    n_steps = lambda n_series: -(-n_series // new(1).batch_size)  # noqa: E731
    if "learning_rate" in parameters:
        n_epochs = 1
    else:
        few = X[:_TIMED_SERIES]
        n_epochs = epochs_in(seconds * n_steps(len(few)) / n_steps(len(X)), new, few)
    estimator = new(n_epochs)
    taken = seconds_of(estimator, X)
    return estimator, {"seconds": taken, "steps": n_epochs * n_steps(len(X))}


def epochs_in(seconds, new, *data):
    """Estimate how many epochs of ``new(n_epochs)`` fill the seconds, from two fits."""
    new(1).fit(*data)  # whatever is imported or allocated first
    short = seconds_of(new(1), *data)
    n_epochs = 4
    while (longer := seconds_of(new(n_epochs), *data) - short) < 1:
        n_epochs *= 4
    return max(1, round(seconds * (n_epochs - 1) / longer))


def probed(estimator, X, y, X_test=None, y_test=None):
    """Compute accuracies on the default features and by the probe of the paper."""
    train, test = (None if part is None else estimator.transform(part) for part in (X, X_test))
    found = headline(train, y, test, y_test)
    if test is not None:
        kind = "quantized" if hasattr(estimator, "codebook_") else "latents"
        means = [token_means(estimator, kind, part) for part in (X, X_test)]
        found["paper"] = paper_probe(means[0], y, means[1], y_test)
    return found


def token_means(estimator, kind, X):
    """Average latents over the tokens: ``(n, D)``."""
    before = estimator.output
    flat = estimator.set_params(output=kind).transform(X)
    estimator.set_params(output=before)
    n_tokens = sum(rows * columns for rows, columns in estimator.token_shape_)
    return flat.reshape(len(flat), n_tokens, -1).mean(1)


def screen_cell(data, options, seed, make, parameters):
    X, y, _, _ = data
    estimator, row = fitted(make, X, seed, options.seconds, options.threads, **parameters)
    return row | probed(estimator, X, y)


def report_cell(data, options, seed, make, parameters):
    if make is None:
        return baselines(*data, seed)
    if make is WindowCodes:
        return window_codes(*data, seed)
    estimator, row = fitted(make, data[0], seed, options.seconds, options.threads, **parameters)
    if hasattr(estimator, "score"):
        row["MSE"] = -estimator.score(data[2])
    return row | probed(estimator, *data)


def baselines(X, y, X_test, y_test, seed):
    few = rows_for_probes(len(X))
    train, test = standardised(*(part.reshape(len(part), -1) for part in (X, X_test)))
    raw = headline(train, y, test, y_test)
    rocket = minirocket(X[few], y[few], X_test, y_test, seed)
    return {f"raw {key}": value for key, value in raw.items()} | rocket


def window_codes(X, y, X_test, y_test, seed):
    """Judge bags of k-means codes, which have nothing to train for longer."""
    estimator = WindowCodes(random_state=seed)
    row = {"seconds": seconds_of(estimator, X), "steps": 0, "MSE": -estimator.score(X_test)}
    bags = standardised(estimator.transform(X), estimator.transform(X_test))
    return row | headline(bags[0], y, bags[1], y_test)


def published_cell(data, options, seed, make, parameters):
    X = data[0]
    n_epochs = max(1, round(options.steps / -(-len(X) // parameters["batch_size"])))
    tokenizer = make(
        random_state=seed, n_threads=options.threads, max_epochs=n_epochs, **parameters
    )
    return {"seconds": seconds_of(tokenizer, X)} | probed(tokenizer, *data)


def published_models(options):
    """List the published settings, and the defaults with the same objective, batches and steps."""
    steps = options.steps
    width = options.projector
    settings = PUBLISHED_SETTINGS | {"precision": options.precision}
    how = f"{steps} steps" + f", {options.precision}" * (options.precision != "float32")
    models = {f"naive, {how}": (VQTokenizer, settings)}
    for augmentation in ("slice", "warp"):
        ours = {"ssl": "barlow_twins", "augmentation": augmentation, "batch_size": 128}
        published = settings | ours | {"ssl": BarlowTwins(projector_width=width)}
        name = f"barlow_twins {augmentation}, projector {width}, {how}"
        models[name] = (VQTokenizer, published)
        models[f"default, barlow_twins {augmentation}, {steps} steps"] = (VQTokenizer, ours)
    return models


# per mode: how a cell is measured, the sets, the models, and the columns of the summary
MODES = {
    "screen": (
        screen_cell,
        SCREEN_SETS,
        lambda options: SCREEN,
        ("seconds", "steps", "headline cv", "few", "svc cv", "ridge cv", "5nn cv"),
    ),
    "report": (
        report_cell,
        PUBLISHED,
        lambda options: REPORT | {"baselines": (None, {})},
        (
            *("seconds", "steps", "MSE", "headline", "svc", "ridge", "5nn", "paper"),
            *("raw headline", "minirocket"),
        ),
    ),
    "published": (
        published_cell,
        REPRODUCED,
        published_models,
        ("seconds", "paper", "headline"),
    ),
}


def run(cells, mode, sets, options):
    """Measure all cells of a mode and print a line for each."""
    measure, _, models, _ = MODES[mode]
    for name in sets:
        for seed in options.seeds:
            for model, settings in chosen(models(options), options).items():
                row = cells.measure(
                    {"set": name, "seed": seed, "model": model},
                    lambda n=name, s=seed, settings=settings: measure(
                        load(n, options.folder), options, s, *settings
                    ),
                )
                numbers = {k: v for k, v in row.items() if isinstance(v, float)}
                found = "  ".join(f"{k} {v:.3f}" for k, v in numbers.items())
                print(f"{name:<24}{seed:>2} {model:<50}{found}", flush=True)


def chosen(models, options):
    return {name: models[name] for name in options.models or models}


def print_means(rows, models, columns):
    """Print means over sets, as mean and standard deviation over seeds."""
    lines = []
    for model in models:
        line = {"model": model}
        for column in columns:
            per_seed = {}
            for row in rows:
                if row["model"] == model and column in row:
                    per_seed.setdefault(row["seed"], []).append(row[column])
            if per_seed:
                line[column] = mean_and_spread([float(np.mean(v)) for v in per_seed.values()])
        lines.append(line)
    print("\n".join(["", *table(lines, ["model", *columns])]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=tuple(MODES))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--projector", type=int, default=512)
    parser.add_argument("--precision", default="float32", help="of the published settings")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="+", help="names of some models; all if absent")
    options = parser.parse_args()
    _, sets, models, columns = MODES[options.mode]
    sets = sets_of(options, sets)
    cells = Cells(RESULTS / f"representations_{options.mode}.jsonl")
    run(cells, options.mode, sets, options)
    rows = [row for row in cells.rows if row["set"] in sets and row["seed"] in options.seeds]
    print_means(rows, chosen(models(options), options), columns)


if __name__ == "__main__":
    main()
