"""How time and memory grow with the number of series, their length and channels, codes and classes.

    python -m benchmarks.growth [AXIS ...]

Each cell is a process of its own: it fits a small estimator for a fixed number of epochs, so that
the work is in proportion to the series, and reads the series once. It notes the CPU seconds of both
and the peak of anonymous memory above that of before. Exponents are slopes of straight lines
through the logarithms of size and measurement, over the larger half of the sizes, where what a fit
costs whatever its data are does not show. Needs Linux; everything runs on one thread.
"""

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.cells import RESULTS, Cells

BASE = {"series": 1000, "length": 128, "channels": 1, "codes": 32, "classes": 2}
AXES = {
    "series": (300, 1000, 3000, 10_000, 30_000),
    "length": (64, 200, 640, 2000, 6400),
    "channels": (1, 4, 16, 64),
    "codes": (16, 64, 256, 1024),
    "classes": (2, 8, 32, 128),
}
ESTIMATORS = ("VQTokenizer", "SSLFeatureExtractor", "MaskedPriorGenerator")
# Where an axis means nothing to an estimator.
WITHOUT = {
    "VQTokenizer": ("classes",),
    "SSLFeatureExtractor": ("codes", "classes"),
    "MaskedPriorGenerator": (),
}
MEASURES = ("fit seconds", "read seconds", "fit MB", "read MB")


def estimator_of(name, codes):
    """A small estimator that is trained for one epoch."""
    import skvqts

    small = {"max_epochs": 1, "random_state": 0}
    tokenizer = skvqts.VQTokenizer(codes, width=16, latent_dim=16, **small)
    if name == "VQTokenizer":
        return tokenizer
    if name == "SSLFeatureExtractor":
        return skvqts.SSLFeatureExtractor(width=8, latent_dim=16, **small)
    return skvqts.MaskedPriorGenerator(
        tokenizer.set_params(downsampled_width=16), decoder=None, width=32, n_layers=1, **small
    )


def cell(name, sizes):
    """CPU seconds and megabytes of a fit and of a reading, in this process."""
    shape = (sizes["series"], sizes["channels"], sizes["length"])
    X = np.random.default_rng(0).normal(size=shape).astype(np.float32).cumsum(axis=2)
    y = np.arange(len(X)) % sizes["classes"]
    estimator = estimator_of(name, sizes["codes"])
    warm = estimator_of(name, 16).fit(X[:64], y[:64] % 2)  # what is imported at first use
    read_of = {"MaskedPriorGenerator": "score_samples"}.get(name, "transform")
    getattr(warm, read_of)(X[:8])
    row = {}
    for step, function in (
        ("fit", lambda: estimator.fit(X, y)),
        ("read", lambda: getattr(estimator, read_of)(X)),
    ):
        start = time.process_time()
        with PeakMemory() as peak:
            function()
        row[f"{step} seconds"] = time.process_time() - start
        row[f"{step} MB"] = peak.mb
    return row


class PeakMemory:
    """The most anonymous memory in use while the block runs, in MB above that at its start."""

    def __enter__(self):
        self.start, self.mb, self.is_on = anonymous_mb(), 0.0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_on = False
        self.thread.join()

    def _watch(self):
        while self.is_on:
            self.mb = max(self.mb, anonymous_mb() - self.start)
            time.sleep(0.01)


def anonymous_mb():
    """MB of memory that belongs to this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def in_a_process(name, sizes):
    """`cell` in a process of its own."""
    code = f"from benchmarks.growth import *; print(json.dumps(cell({name!r}, {sizes!r})))"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def exponent(sizes, values):
    """The slope of the logarithms over the larger half of the sizes."""
    half = len(sizes) // 2
    x, y = np.log(sizes[half:]), np.log(np.maximum(values[half:], 1e-9))
    return float(np.polyfit(x, y, 1)[0])


def main():
    """Measure what is missing, and print the exponents."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("axes", nargs="*", default=list(AXES), metavar="AXIS")
    cells = Cells(RESULTS / "growth.jsonl")
    for axis in parser.parse_args().axes:
        for name in ESTIMATORS:
            if axis in WITHOUT[name]:
                continue
            rows = []
            for size in AXES[axis]:
                sizes = BASE | {axis: size}
                key = {"estimator": name, "axis": axis, "size": size}
                rows.append(cells.measure(key, lambda n=name, s=sizes: in_a_process(n, s)))
            found = {m: exponent(AXES[axis], [row[m] for row in rows]) for m in MEASURES}
            print(name, axis, ", ".join(f"{m} {value:.2f}" for m, value in found.items()))


if __name__ == "__main__":
    main()
