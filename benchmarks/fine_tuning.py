"""What pretraining is worth, over fractions of the labels.

    python -m benchmarks.fine_tuning [SET ...] [--seeds 0 1 2] [--threads 1]

For each set and seed an `SSLFeatureExtractor` learns from all training series without labels.
`FineTunedClassifier` then gets the labels of a fraction of them, at least one of each class, and
trains for 50 and for 300 steps in three ways: it trains the pretrained encoder further, or keeps
it frozen, or trains the same network from new weights. Test accuracies and seconds are written to
benchmarks/results as they finish, a plot at the end.
"""

import argparse

import numpy as np
from matplotlib.figure import Figure
from sklearn.frozen import FrozenEstimator

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load, sets_of
from skvqts import FineTunedClassifier, SSLFeatureExtractor

SETS = ("TwoPatterns", "SwedishLeaf")
BUNDLED = ("ArrowHead", "OSULeaf")
FRACTIONS = (0.05, 0.2, 1.0)
STEPS = (50, 300)
STARTS = {
    "pretrained": {},
    "pretrained, frozen": {"train_encoder": False},
    "new weights": {"start": "random"},
}
COLORS = {"pretrained": "#1f77b4", "pretrained, frozen": "#999999", "new weights": "#d95f02"}


def labelled(y, fraction, seed):
    """Choose a fraction of each class, at least one series; return the indices."""
    rng = np.random.default_rng(seed)
    picks = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        picks.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(picks))


def measure_set(cells, name, folder, seed, threads):
    """Measure all cells of a set and seed; the extractor is fitted once, if any cell is missing."""
    X, y, X_test, y_test = load(name, folder)
    pretrained = {}

    def cell(fraction, n_steps, start):
        if not pretrained:
            extractor = SSLFeatureExtractor(random_state=seed, n_threads=threads)
            pretrained["seconds"] = seconds_of(extractor, X)
            pretrained["extractor"] = FrozenEstimator(extractor)
        few = labelled(y, fraction, seed)
        classifier = FineTunedClassifier(
            pretrained["extractor"], random_state=seed, n_threads=threads, **STARTS[start]
        )
        n_batches = -(-len(few) // classifier.batch_size)
        classifier.set_params(max_epochs=-(-n_steps // n_batches))
        seconds = seconds_of(classifier, X[few], y[few])
        accuracy = classifier.score(X_test, y_test)
        return {
            "n": len(few),
            "accuracy": accuracy,
            "seconds": seconds,
            "pretraining": pretrained["seconds"],
        }

    for fraction in FRACTIONS:
        for n_steps in STEPS:
            for start in STARTS:
                key = {"set": name, "seed": seed, "fraction": fraction}
                key |= {"steps": n_steps, "start": start}
                row = cells.measure(key, lambda c=(fraction, n_steps, start): cell(*c))
                print(
                    f"{name:<14}{seed:>2}  {fraction:<5}{n_steps:>4}  {start:<20}"
                    f"{row['accuracy']:.3f}  {row['seconds']:6.1f} s",
                    flush=True,
                )


def print_table(rows, sets):
    lines = []
    for name in sets:
        for fraction in FRACTIONS:
            for n_steps in STEPS:
                line = {"set": name, "labels": fraction, "steps": n_steps}
                for start in STARTS:
                    found = chosen(rows, name, fraction, n_steps, start)
                    line[start] = mean_and_spread([row["accuracy"] for row in found])
                    line[f"{start}: s"] = float(np.mean([row["seconds"] for row in found]))
                lines.append(line)
        pretraining = [row["pretraining"] for row in rows if row["set"] == name]
        print(f"{name}: pretraining took {np.mean(pretraining):.1f} s")
    print("\n".join(table(lines, list(lines[0]))))


def chosen(rows, name, fraction, n_steps, start):
    key = {"set": name, "fraction": fraction, "steps": n_steps, "start": start}
    return [row for row in rows if key.items() <= row.items()]


def draw(rows, sets):
    """Plot accuracy over the fraction of labels, a panel for each set."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets, strict=True):
        for start, color in COLORS.items():
            for n_steps, style in zip(STEPS, ("--", "-"), strict=True):
                found = [chosen(rows, name, f, n_steps, start) for f in FRACTIONS]
                scores = [[row["accuracy"] for row in part] for part in found]
                means = np.mean(scores, axis=1)
                spreads = np.std(scores, axis=1)
                axis.errorbar(
                    FRACTIONS,
                    means,
                    spreads,
                    color=color,
                    linestyle=style,
                    capsize=2,
                    label=f"{start}, {n_steps} steps",
                )
        axis.set_xscale("log")
        axis.set_xticks(FRACTIONS, [f"{f:.0%}" for f in FRACTIONS])
        axis.minorticks_off()
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("labelled training series")
        axis.set_ylabel("test accuracy")
        axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cells = Cells(RESULTS / "fine_tuning.jsonl")
    sets = sets_of(options, SETS, BUNDLED)
    for name in sets:
        for seed in options.seeds:
            measure_set(cells, name, options.folder, seed, options.threads)
    rows = [r for r in cells.rows if r["set"] in sets and r["seed"] in options.seeds]
    print_table(rows, sets)
    path = RESULTS / "fine_tuning.png"
    draw(rows, sets).savefig(path, dpi=90)
    print(f"drawn: {path}")


if __name__ == "__main__":
    main()
