"""FID of what this version and an earlier one generate, judged by one referee on one machine.

    git worktree add ../other 792e675
    python -m benchmarks.earlier ../other [SET ...] [--seeds 0 1 2]

A referee, and so the FID of small sets, depends on the processor that it was trained on, so that
rows of `benchmarks.told_apart` from two machines do not tell which version is better. Here each
version is fitted in a process of its own, on one thread, and generates as many series as
`benchmarks.told_apart` shows its judges, of the same classes; "mean" is this version without its
sampled decoder. Cells are written to benchmarks/results as they finish.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np

from benchmarks.cells import RESULTS, Cells, mean_and_spread
from benchmarks.data import default_folder, load

HERE = Path(__file__).resolve().parents[1]


def generate(name, folder, seed, out):
    """Fit the version that is imported here, and save what it generates."""
    from skvqts import MaskedPriorGenerator

    X_train, y_train, X_test, y_test = load(name, folder)
    y = y_test[rows_shown(X_test)]
    generator = MaskedPriorGenerator(random_state=seed, n_threads=1).fit(X_train, y_train)
    generated = {"X": generator.sample(y=y, random_state=seed)}
    if getattr(generator, "decoder_", None) is not None:
        generator.decoder_ = None
        generated["mean"] = generator.sample(y=y, random_state=seed)
    np.savez(out, **generated)


def rows_shown(X_test):
    """Which test series are shown, as in `benchmarks.told_apart`, which old versions lack."""
    return np.random.default_rng(0).permutation(len(X_test))[:500]


def generated_by(tree, name, folder, seed, out):
    """What the version in a folder generates, by a process of its own if `out` is not there."""
    if not out.exists():
        worker = ["worker", name, str(folder or ""), str(seed), str(out)]
        path = os.pathsep.join([str(tree), str(HERE)])
        environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, __file__, *worker], check=True, env=environment)
    with np.load(out) as generated:
        return dict(generated)


@cache
def referee_and_real(name, folder):
    """A classifier trained on the training series, and its features of 1,000 test series."""
    from skvqts import FCNClassifier

    X_train, y_train, X_test, _ = load(name, folder)
    n_epochs = -(-1000 // -(-len(X_train) // 16))
    fcn = FCNClassifier(max_epochs=n_epochs, precision="float32", n_threads=1, random_state=0)
    fcn.fit(X_train, y_train)
    return fcn, fcn.transform(X_test[:1000])


def measure(tree, part, name, folder, seed, out):
    """One cell: the FID of what a version generates."""
    from skvqts.metrics import frechet_distance

    X = generated_by(tree, name, folder, seed, out)[part]
    referee, real = referee_and_real(name, folder)
    return {"FID": frechet_distance(real, referee.transform(X))}


def main():
    if sys.argv[1:2] == ["worker"]:
        name, folder, seed, out = sys.argv[2:]
        generate(name, folder or None, int(seed), out)
        return
    from benchmarks.chain import commit_of
    from benchmarks.told_apart import SETS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path, help="a checkout of the version to compare with")
    parser.add_argument("sets", nargs="*", metavar="SET", default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=default_folder())
    parser.add_argument("--scratch", type=Path, help="a folder to keep what is generated in")
    options = parser.parse_args()
    commit = commit_of(options.other)
    versions = {
        commit: (options.other.resolve(), "X"),
        "default": (HERE, "X"),
        "mean": (HERE, "mean"),
    }
    cells = Cells(RESULTS / "earlier.jsonl")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = options.scratch or Path(scratch)
        for name in options.sets:
            found = {version: [] for version in versions}
            for seed in options.seeds:
                for version, (tree, part) in versions.items():
                    key = {"set": name, "seed": seed, "version": version}
                    out = scratch / f"{commit if tree != HERE else 'here'}_{name}_{seed}.npz"
                    given = (tree, part, name, options.folder, seed, out)
                    found[version].append(cells.measure(key, partial(measure, *given))["FID"])
            means = (f"{version} {mean_and_spread(fids)}" for version, fids in found.items())
            print(f"{name:<22}", "  ".join(means), flush=True)


if __name__ == "__main__":
    main()
