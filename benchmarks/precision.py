"""Every estimator trained in float32 and in bfloat16: seconds and quality.

    python -m benchmarks.precision [SET ...] [--seeds 0 1 2]

"accuracy" is the test accuracy of a ridge classifier on the features of transformers, and of the
classifier itself. The FID of a default generator is that of an `FCNClassifier` trained in float32,
the same for both, at as many generated as test series, 1,000 at most. Where the processor has no
instructions for bfloat16, expect ten times the seconds. Cells are written to benchmarks/results as
they finish, so a run can be stopped and continued.
"""

import argparse

import numpy as np
from sklearn.linear_model import RidgeClassifierCV

from benchmarks.cells import RESULTS, Cells, mean_and_spread, seconds_of, table
from benchmarks.data import default_folder, load, sets_of
from skvqts import FCNClassifier, MaskedPriorGenerator, SSLFeatureExtractor, VQTokenizer
from skvqts.metrics import frechet_distance

SETS = ("ItalyPowerDemand", "SonyAIBORobotSurface2", "ECG200", "SyntheticControl")
ESTIMATORS = {
    "VQTokenizer": VQTokenizer,
    "SSLFeatureExtractor": SSLFeatureExtractor,
    "FCNClassifier": FCNClassifier,
    "MaskedPriorGenerator": MaskedPriorGenerator,
}


def measure(name, precision, data, seed, referee):
    """Fit one estimator in one precision; its seconds, and its accuracy or FID."""
    X_train, y_train, X_test, y_test = data
    estimator = ESTIMATORS[name](precision=precision, n_threads=1, random_state=seed)
    row = {"seconds": seconds_of(estimator, X_train, y_train)}
    if name == "MaskedPriorGenerator":
        X_real = X_test[:1000]
        generated = estimator.sample(len(X_real), random_state=seed)
        features = (referee(data).transform(X) for X in (X_real, generated))
        return row | {"FID": frechet_distance(*features)}
    if name != "FCNClassifier":
        ridge = RidgeClassifierCV(np.logspace(-3, 3, 13))
        ridge.fit(estimator.transform(X_train), y_train)
        return row | {"accuracy": ridge.score(estimator.transform(X_test), y_test)}
    return row | {"accuracy": estimator.score(X_test, y_test)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", metavar="SET")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", default=default_folder())
    options = parser.parse_args()
    cells = Cells(RESULTS / "precision.jsonl")
    for set_name in sets_of(options, SETS):
        data = load(set_name, options.folder)
        kept = {}

        def referee(data, kept=kept):
            if "fcn" not in kept:
                fcn = FCNClassifier(precision="float32", n_threads=1, random_state=0)
                kept["fcn"] = fcn.fit(*data[:2])
            return kept["fcn"]

        for name in ESTIMATORS:
            lines = []
            for precision in ("float32", "bfloat16"):
                rows = []
                for seed in options.seeds:
                    key = {"set": set_name, "estimator": name, "precision": precision, "seed": seed}
                    job = (name, precision, data, seed, referee)
                    rows.append(cells.measure(key, lambda job=job: measure(*job)))
                quality = "FID" if "FID" in rows[0] else "accuracy"
                lines.append(
                    {"set": set_name, "estimator": name, "precision": precision}
                    | {"seconds": mean_and_spread([row["seconds"] for row in rows], 1)}
                    | {quality: mean_and_spread([row[quality] for row in rows])}
                )
            print("\n".join(table(lines, list(lines[0]))), flush=True)


if __name__ == "__main__":
    main()
