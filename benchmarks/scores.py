"""Scores of generated series: are they right, do they rank as they should, how long do they take?

    python -m benchmarks.scores referee [SET ...] [--seeds 0 1 2] [--threads 2]
    python -m benchmarks.scores doubles [SET ...] [--seeds 0]     [--threads 2]
    python -m benchmarks.scores frechet

"referee" measures the test accuracy of `FCNClassifier`, beside the published one, and of
`RandomConvolutionExtractor` with ridge. "doubles" takes every score of a report for generators
whose faults are known: they draw training series again, with noise, without some classes, or ten
of them only. "frechet" compares `frechet_distance` with the matrix root of scipy. Cells are
written to benchmarks/results as they finish, so a run can be stopped and continued.
"""

import argparse
import time
import warnings

import numpy as np
from scipy import linalg

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load, sets_of
from benchmarks.published import FCN
from skvqts import FCNClassifier, FidelityWarning
from skvqts.metrics import frechet_distance, generation_report
from skvqts.metrics._classifiers import default_classifier
from tests.doubles import ResamplingGenerator

DOUBLED = ("TwoPatterns", "Wafer", "ItalyPowerDemand", "Crop")
DOUBLES = {
    "resampler": {},
    "noise 0.1": {"noise": 0.1},
    "noise 0.3": {"noise": 0.3},
    "noise 1": {"noise": 1.0},
    "dropped classes": {"n_dropped": "half"},
    "ten copies": {"n_copies": 10},
}


def referee_cell(data, seed, threads):
    X, y, X_test, y_test = data
    fcn = FCNClassifier(random_state=seed, n_threads=threads)
    seconds = seconds_of(fcn, X, y)
    ridge = default_classifier()
    ridge_seconds = seconds_of(ridge, X, y)
    return {
        "seconds": seconds,
        "accuracy": fcn.score(X_test, y_test),
        "train": fcn.score(X, y),
        "ridge seconds": ridge_seconds,
        "ridge": ridge.score(X_test, y_test),
    }


def run_referee(cells, sets, options):
    for name in sets:
        for seed in options.seeds:
            row = cells.measure(
                {"mode": "referee", "set": name, "seed": seed},
                lambda n=name, s=seed: referee_cell(load(n, options.folder), s, options.threads),
            )
            print(row, flush=True)
    lines = []
    for name in sets:
        rows = [r for r in cells.rows if r["mode"] == "referee" and r["set"] == name]
        rows = [r for r in rows if r["seed"] in options.seeds]
        line = {"set": name, "published": FCN.get(name, "")}
        for key in ("accuracy", "train", "seconds", "ridge", "ridge seconds"):
            line[key] = mean_and_spread([row[key] for row in rows])
        line["mean"] = float(np.mean([row["accuracy"] for row in rows]))
        lines.append(line)
    columns = ["set", "accuracy", "published", "train", "seconds", "ridge", "ridge seconds"]
    print("\n".join(table(lines, columns)))
    print(f"mean {np.mean([line['mean'] for line in lines]):.4f}", end="")
    print(f", published {np.mean([FCN[name] for name in sets if name in FCN]):.4f}")


def run_doubles(cells, sets, options):
    for name in sets:
        for seed in options.seeds:
            data = load(name, options.folder)
            referee = {}
            for double in DOUBLES:
                row = cells.measure(
                    {"mode": "doubles", "set": name, "seed": seed, "double": double},
                    lambda d=data, s=seed, double=double, referee=referee: double_cell(
                        d, s, double, referee, options.threads
                    ),
                )
                print(name, seed, double, f"{row['seconds']:.0f} s", flush=True)
            print_doubles(cells, name, seed)


def double_cell(data, seed, double, referee, threads):
    X, y, X_test, y_test = data
    if not referee:
        referee["fcn"] = FCNClassifier(random_state=seed, n_threads=threads).fit(X, y)
    parameters = dict(DOUBLES[double])
    if "n_dropped" in parameters:
        parameters["n_dropped"] = len(np.unique(y)) // 2
    generator = ResamplingGenerator(**parameters).fit(X, y)
    start = time.perf_counter()
    report = generation_report(
        generator, X, y, X_test, y_test, referee=referee["fcn"], random_state=seed
    )
    found = {"seconds": time.perf_counter() - start}
    for score in report.scores:
        key = f"{score.name}, {score.referee}"
        found |= {key: score.value, f"{key} s.e.": score.standard_error}
    return found


def print_doubles(cells, name, seed):
    rows = {
        row["double"]: row
        for row in cells.rows
        if row["mode"] == "doubles" and row["set"] == name and row["seed"] == seed
    }
    scores = [key for key in rows["resampler"] if ", " in key and not key.endswith("s.e.")]
    lines = [
        {"score": key} | {double: f"{row[key]:.4g}" for double, row in rows.items()}
        for key in scores
    ]
    print("\n".join(["", *table(lines, ["score", *rows])]))
    for expectation, holds in expected(rows, scores).items():
        print(f"{'yes' if holds else 'NO '}  {expectation}")


def expected(rows, scores):
    """Check what should hold of the doubles, score by score."""
    found = {}
    for key in (k for k in scores if k.startswith("Fréchet")):
        fid = {double: row[key] for double, row in rows.items()}
        noise = [fid[double] for double in ("resampler", "noise 0.1", "noise 0.3", "noise 1")]
        found[f"{key}: the resampler is best"] = min(fid, key=fid.get) == "resampler"
        found[f"{key}: worse with more noise"] = noise == sorted(noise)
    for start in ("inception", "coverage", "classification"):
        for key in (k for k in scores if k.startswith(start)):
            less = rows["dropped classes"][key] < rows["resampler"][key]
            found[f"{key}: lower with classes dropped"] = less
    copying = ("resampler", "dropped classes", "ten copies")
    for key in (k for k in scores if k.startswith("coverage")):
        least = min(copying, key=lambda double: rows[double][key])
        found[f"{key}: of those that copy lowest for ten copies"] = least == "ten copies"
    fresh = {double: row["memorization score, series"] for double, row in rows.items()}
    found["memorization: 0 for those that copy"] = max(fresh[d] for d in copying) == 0
    return found


def matrix_root(real, gen):
    """Compute the distance as Heusel et al. (2017, equation 6) write it, by a matrix root."""
    covariances = [np.cov(part, rowvar=False) for part in (real, gen)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    shift = np.square(real.mean(0) - gen.mean(0)).sum()
    value = shift + sum(np.trace(c) for c in covariances) - 2 * np.trace(root)
    return value, root


def run_frechet(cells, sets, options):
    """Compare at a size with more features than series, and at one with fewer."""
    warnings.simplefilter("ignore", FidelityWarning)  # fewer series than features, on purpose
    rng = np.random.default_rng(0)
    lines = []
    for n, d in ((300, 2000), (600, 128)):
        real, gen = rng.normal(size=(2, n, d))
        gen = 1.1 * gen + 0.05
        seconds = {"ours": [], "sqrtm": []}
        for _ in range(2):
            for key, function in (("ours", frechet_distance), ("sqrtm", matrix_root)):
                start = time.perf_counter()
                found = function(real, gen)
                seconds[key].append(time.perf_counter() - start)
                if key == "ours":
                    ours = found
        theirs, root = found
        lines.append(
            {
                "n": n,
                "d": d,
                "ours": ours,
                "sqrtm": f"{theirs:.6g}",
                "complex": str(np.iscomplexobj(root)),
                "ours s": min(seconds["ours"]),
                "sqrtm s": min(seconds["sqrtm"]),
                "times faster": min(seconds["sqrtm"]) / min(seconds["ours"]),
            }
        )
    print("\n".join(table(lines, list(lines[0]))))


MODES = {
    "referee": (run_referee, tuple(FCN)),
    "doubles": (run_doubles, DOUBLED),
    "frechet": (run_frechet, ()),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mode", choices=tuple(MODES))
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    run, sets = MODES[options.mode]
    sets = sets_of(options, sets, ("ItalyPowerDemand",))
    run(Cells(RESULTS / "scores.jsonl"), sets, options)


if __name__ == "__main__":
    main()
