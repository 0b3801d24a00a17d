"""Fits that have to end with equal bits however they are run, and not to leave memory behind.

Run as figures of benchmarks/robustness.py.

    python -m benchmarks.sameness digests N_JOBS BACKEND   # of fits of every estimator, as JSON
    python -m benchmarks.sameness growth NAME N            # MB that N fits leave behind
"""

import gc
import itertools
import json
import os
import subprocess
import sys

import numpy as np
from joblib import Parallel, delayed

from benchmarks.growth import anonymous_mb
from skvqts._files.models import content_digest

BACKENDS = ("loky", "threading", "multiprocessing")
_WARM = 40  # fits until memory has its usual size
_MOST = 5.0  # MB that fits may leave behind


def same_bits(n, rng):
    """Fit and read every estimator in each way of running; those whose bits differ."""
    expected, wrong, n_tries = {}, [], 0
    for n_jobs, backend, threads in itertools.product((1, 2), BACKENDS, (1, 2)):
        command = [sys.executable, "-m", "benchmarks.sameness", "digests", str(n_jobs), backend]
        found = json.loads(_output_of(command, {"OMP_NUM_THREADS": str(threads)}))
        expected = expected or found
        n_tries += len(found)
        way = f"n_jobs={n_jobs}, {backend}, {threads} threads"
        wrong += [f"{name} with {way}" for name in found if found[name] != expected[name]]
    return {"tries": n_tries, "wrong": len(wrong), "remarks": "; ".join(wrong)}


def fits_without_growth(n, rng):
    """Fit every estimator n times in a process of its own; those that leave memory behind."""
    from benchmarks.robustness import estimators

    grown = {}
    for name in estimators():
        command = [sys.executable, "-m", "benchmarks.sameness", "growth", name, str(n)]
        grown[name] = float(_output_of(command, {}))
    wrong = [name for name, mb in grown.items() if mb > _MOST]
    told = ", ".join(f"{name} {mb:+.1f} MB" for name, mb in grown.items())
    return {"tries": n * len(grown), "wrong": len(wrong), "remarks": told}


def _output_of(command, environment):
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment
    )
    return done.stdout.splitlines()[-1]


def _small(name):
    """An estimator whose fits, and those of its parts, take one epoch."""
    from benchmarks.robustness import estimators

    model = estimators()[name]()
    epochs = [parameter for parameter in model.get_params() if parameter.endswith("max_epochs")]
    return model.set_params(**dict.fromkeys(epochs, 1))


def digest(name):
    """Digest what a small fit has learned, and what it reads."""
    from benchmarks.robustness import series

    X, y = series()
    model = _small(name).fit(X, y)
    if hasattr(model, "sample") and not hasattr(model, "tokenizer"):
        read = model.sample(5)
    elif hasattr(model, "score_samples"):
        read = np.r_[model.sample(5).ravel(), model.score_samples(X)]
    else:
        method = "predict_proba" if hasattr(model, "predict_proba") else "transform"
        read = getattr(model, method)(X) if hasattr(model, method) else np.zeros(1)
    return content_digest(model) + np.asarray(read, np.float64).tobytes().hex()


def _digests(n_jobs, backend):
    from benchmarks.robustness import estimators

    names = list(estimators())
    found = Parallel(n_jobs, backend=backend)(delayed(digest)(name) for name in names)
    print(json.dumps(dict(zip(names, found, strict=True))))


def _growth(name, n):
    from benchmarks.robustness import series

    X, y = series()
    for i in range(_WARM + n):
        if i == _WARM:
            gc.collect()
            before = anonymous_mb()
        _small(name).fit(X, y)
    gc.collect()
    print(anonymous_mb() - before)


if __name__ == "__main__":
    if sys.argv[1] == "digests":
        _digests(int(sys.argv[2]), sys.argv[3])
    else:
        _growth(sys.argv[2], int(sys.argv[3]))
