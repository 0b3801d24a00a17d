"""The whole chain beside another version of it: seconds and quality, interleaved.

    git worktree add ../other 792e675
    python -m benchmarks.chain ../other [SET ...] [--seeds 0 1 2]

The chain is `MaskedPriorGenerator().fit`, 500 samples and `generation_report`, on one thread, each
version in a process of its own. "two stages" is this version with `decoder=None`, whose fit does
what that of other versions from before the sampled decoder does. What all have generated is judged
alike, by one referee, an `FCNClassifier` trained on the real training set in float32 for 1,000
steps. Cells are written to benchmarks/results as they finish, so a run can be stopped and
continued.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.cells import RESULTS, Cells, mean_and_spread, table
from benchmarks.data import default_folder, load

SETS = ("GunPoint", "TwoPatterns")
TWO_STAGES = "two stages"
N_SAMPLES = 500
SHOWN = ("total", "fit", "sample", "report", "FID", "FID rk", "CAS", "memorization")


def run_chain(version, name, folder, seed, out):
    """Run the chain with the version that is imported here; save what it generates."""
    import torch

    torch.set_num_threads(1)
    from skvqts import MaskedPriorGenerator
    from skvqts.metrics import generation_report

    data = load(name, folder)
    times = [time.perf_counter()]
    parameters = {"decoder": None} if version == TWO_STAGES else {}
    generator = MaskedPriorGenerator(random_state=seed, n_threads=1, **parameters).fit(*data[:2])
    times.append(time.perf_counter())
    X = generator.sample(N_SAMPLES, random_state=seed)
    times.append(time.perf_counter())
    generation_report(generator, *data, random_state=seed)
    times.append(time.perf_counter())
    counts = generator.class_counts_
    y = np.repeat(
        generator.classes_, np.maximum(1, np.round(counts * 1000 / counts.sum())).astype(int)
    )
    labelled = generator.sample(len(y), y=y, random_state=seed)
    np.savez(out, X=X, labelled=labelled, y=y)
    seconds = dict(zip(("fit", "sample", "report"), np.diff(times).tolist(), strict=True))
    print(json.dumps(seconds | {"total": times[-1] - times[0]}))


def measure(version, tree, name, folder, seed, referees):
    """Seconds of the chain of one version, and the scores of what it generated."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "generated.npz"
        worker = [version, name, str(folder or ""), str(seed), str(out)]
        command = [sys.executable, __file__, "worker", *worker]
        environment = os.environ | {
            # The other version first, then this folder for `benchmarks`, which it may not have.
            "PYTHONPATH": os.pathsep.join([str(tree), str(Path(__file__).resolve().parents[1])]),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        with np.load(out) as generated:
            scores = judge(name, folder, referees, **generated)
    return json.loads(done.stdout.splitlines()[-1]) | scores


def judge(name, folder, referees, X, labelled, y):
    """Scores of generated series against the test set, by a referee that all versions share."""
    from skvqts import FCNClassifier, RandomConvolutionExtractor
    from skvqts.metrics import (
        classification_accuracy_score,
        frechet_distance,
        memorization_score,
    )

    X_train, y_train, X_test, y_test = load(name, folder)
    if name not in referees:
        n_epochs = -(-1000 // -(-len(X_train) // 16))
        fcn = FCNClassifier(max_epochs=n_epochs, precision="float32", n_threads=1, random_state=0)
        kernels = RandomConvolutionExtractor(n_threads=1)
        referees[name] = fcn.fit(X_train, y_train), kernels.fit(X_train)
    fcn, kernels = (
        frechet_distance(referee.transform(X_test[:1000]), referee.transform(X))
        for referee in referees[name]
    )
    return {
        "FID": fcn,
        "FID rk": kernels,
        "CAS": classification_accuracy_score(labelled, y, X_test, y_test),
        "memorization": memorization_score(X, X_train, X_test[:1000]),
    }


def commit_of(tree):
    """The commit that a checkout is at, in short."""
    command = ["git", "-C", tree, "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main():
    if sys.argv[1:2] == ["worker"]:
        version, name, folder, seed, out = sys.argv[2:]
        run_chain(version, name, folder or None, int(seed), out)
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("sets", nargs="*", metavar="SET", default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=default_folder())
    options = parser.parse_args()
    commit = commit_of(options.other)
    here = Path(__file__).resolve().parents[1]
    trees = {commit: options.other.resolve(), TWO_STAGES: here, "default": here}
    cells = Cells(RESULTS / "chain.jsonl")
    referees = {}
    for name in options.sets:
        rows = {version: [] for version in trees}
        for seed in options.seeds:
            for version, tree in trees.items():
                key = {"set": name, "seed": seed, "version": version}
                given = (version, tree, name, options.folder, seed, referees)
                row = cells.measure(key, partial(measure, *given))
                rows[version].append(row)
        lines = [
            {"set": name, "version": version}
            | {column: mean_and_spread([row[column] for row in found]) for column in SHOWN}
            for version, found in rows.items()
        ]
        print("\n".join(table(lines, ["set", "version", *SHOWN])), flush=True)


if __name__ == "__main__":
    main()
