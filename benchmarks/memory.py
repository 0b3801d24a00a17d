"""Peak memory of fits and readings of a memory map of many series.

    python -m benchmarks.memory [NAME ...] [--series 100000 1000000]

Series of length 140, as int16, lie in a file; each estimator is small, and fitted for one epoch in
a process of its own, and then reads all of them. What is counted is anonymous memory (RssAnon of
Linux, which leaves pages of mapped files out) above that of a process that has fitted and read 500
series, less what a reading returns and 16 bytes for each token. The bound is 300 MB. What
`transform` and `encode` return is written into a memory map (``out=``), others are returned.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from inspect import signature
from pathlib import Path

import numpy as np

from benchmarks.cells import RESULTS, Cells
from benchmarks.growth import PeakMemory

LENGTH = 140
_SMALL = {"max_epochs": 1, "batch_size": 512, "random_state": 0}
_NETWORK = _SMALL | {"width": 8, "latent_dim": 8}


def makers():
    """A function for each estimator that makes a small one."""
    import skvqts

    def tokenizer():
        return skvqts.VQTokenizer(8, downsampled_width=8, **_NETWORK)

    def prior(kind):
        return kind(tokenizer(), decoder=None, width=16, n_layers=1, **_SMALL)

    return {
        "VQTokenizer": tokenizer,
        "SSLFeatureExtractor": lambda: skvqts.SSLFeatureExtractor(n_codebooks=8, **_NETWORK),
        "RandomConvolutionExtractor": lambda: skvqts.RandomConvolutionExtractor(100),
        "SeriesAutoencoder": lambda: skvqts.SeriesAutoencoder(**_NETWORK),
        "SeriesVAE": lambda: skvqts.SeriesVAE(**_NETWORK),
        "WindowCodes": lambda: skvqts.WindowCodes(8, random_state=0),
        "STFTTransformer": lambda: skvqts.STFTTransformer(),
        "FCNClassifier": lambda: skvqts.FCNClassifier(width=8, **_SMALL),
        "MaskedPriorGenerator": lambda: prior(skvqts.MaskedPriorGenerator),
        "AutoregressivePriorGenerator": lambda: prior(skvqts.AutoregressivePriorGenerator),
    }


READINGS = ("transform", "encode", "predict_proba", "score_samples")


def write_series(path, n):
    """Write random series to a file, a part at a time."""
    X = np.lib.format.open_memmap(path, "w+", np.int16, (n, LENGTH))
    rng = np.random.default_rng(0)
    for start in range(0, n, 10_000):
        part = rng.normal(size=(min(10_000, n - start), LENGTH)).cumsum(1)
        X[start : start + len(part)] = 100 * part
    X.flush()


def cell(name, path, folder):
    """MB and seconds of the fit and of each reading, in this process."""
    X = np.load(path, mmap_mode="r")
    y = np.arange(len(X)) % 2
    make = makers()[name]
    few = make().fit(X[:500], y[:500])
    readings = [method for method in READINGS if hasattr(few, method)]
    for method in readings:
        getattr(few, method)(X[:500])
    row = {}
    start = time.process_time()
    with PeakMemory() as peak:
        model = make().fit(X, y)
    n_tokens = _tokens_of(model, X)
    row["fit"] = peak.mb - 16 * len(X) * n_tokens / 2**20
    row["fit seconds"] = time.process_time() - start
    for method in readings:
        start = time.process_time()
        shown = getattr(model, method)(X[:2])
        more = {}
        if "out" in signature(getattr(model, method)).parameters:
            out = np.lib.format.open_memmap(
                Path(folder) / "out.npy", "w+", shown.dtype, (len(X), *shown.shape[1:])
            )
            more = {"out": out}
        with PeakMemory() as peak:
            result = getattr(model, method)(X, **more)
        row[method] = peak.mb - (0 if more else result.nbytes / 2**20)
        row[f"{method} seconds"] = time.process_time() - start
        del result
    return row


def _tokens_of(model, X):
    if hasattr(model, "tokenizer_"):
        model = model.tokenizer_
    return model.encode(X[:2]).shape[1] if hasattr(model, "encode") else 0


def in_a_process(name, path, folder):
    """Run `cell` in a process of its own."""
    code = "import sys; from benchmarks.memory import *; print(json.dumps(cell(*sys.argv[1:])))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, name, str(path), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(makers()))
    parser.add_argument("--series", type=int, nargs="+", default=[100_000, 1_000_000])
    options = parser.parse_args()
    cells = Cells(RESULTS / "memory.jsonl")
    with tempfile.TemporaryDirectory() as folder:
        for n in options.series:
            path = Path(folder) / f"{n}.npy"
            for name in options.names:
                key = {"estimator": name, "series": n}
                if not path.exists():
                    write_series(path, n)
                print(
                    cells.measure(key, lambda m=name, p=path: in_a_process(m, p, folder)),
                    flush=True,
                )


if __name__ == "__main__":
    main()
