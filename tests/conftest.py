"""Settings and fixtures of all tests: one thread and one core for each worker, small series."""

import os
import pickle
import signal
import subprocess
import sys

os.environ["SCIPY_ARRAY_API"] = "1"  # scipy reads it when it is imported
if "PYTEST_XDIST_WORKER" in os.environ and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))  # threads that share cores with others are slow
    os.sched_setaffinity(0, {cores[int(os.environ["PYTEST_XDIST_WORKER"][2:]) % len(cores)]})

import joblib
import numpy as np
import pytest
import torch
from hypothesis import settings
from threadpoolctl import threadpool_limits

from skvqts import _fcn_classifier, _fine_tuned_classifier
from skvqts._fitting.progress import Progress
from skvqts._fitting.training import train
from skvqts._generation import imputation

settings.register_profile("default", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("default")
torch.set_num_threads(1)
threadpool_limits(1)


@pytest.fixture(autouse=True)
def few_proposals(monkeypatch):
    """Gaps are filled from a hundred proposals: a thousand cost a second for each call."""
    monkeypatch.setattr(imputation, "_N_PROPOSALS", 100)


def two_shapes(n, t=32, *, seed=0, noise=0.1):
    """Series (n, t), sines and sawtooth waves of random phase, and their labels."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    phase = np.linspace(0, 2, t) + rng.uniform(0, 1, (n, 1))
    X = np.where(y[:, None] == 0, np.sin(2 * np.pi * phase), 2 * (phase % 1) - 1)
    return X + noise * rng.normal(size=X.shape), y


def results_in_a_new_process(folder, estimators, call, X):
    """Pickle estimators and evaluate an expression in `estimator` and `X` in a new process."""
    (folder / "estimators").write_bytes(pickle.dumps(estimators))
    np.save(folder / "X.npy", X)
    code = (
        "import pickle, numpy as np\n"
        "estimators, X = pickle.load(open('estimators', 'rb')), np.load('X.npy')\n"
        f"np.savez('out.npz', *[{call} for estimator in estimators])\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder)
    with np.load(folder / "out.npz") as out:
        return list(out.values())


# What code for `run_python` starts with.
PRELUDE = """
import sys
import numpy as np
from tests.conftest import two_shapes
from tests.estimators import TRANSFORMERS
X = two_shapes(24)[0]
"""
# Nothing but the user's number of threads, which the code then sets, limits computations.
NO_LIMIT = """
import os
import joblib
os.environ.pop("OMP_NUM_THREADS", None)
joblib.cpu_count = lambda: 8
"""
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def run_python(code, *arguments, prelude=PRELUDE, **environment):
    """What a fresh interpreter prints within two minutes."""
    done = subprocess.run(
        [sys.executable, "-c", prelude + code, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session", autouse=True)
def sigint_raises_keyboard_interrupt():
    """A shell that runs the tests in the background lets them ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def ctrl_c_in_the_third_epoch(monkeypatch):
    """Interrupt every training at the end of its third epoch."""
    after = Progress.epoch

    def interrupted(progress, epoch, terms):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)
        return after(progress, epoch, terms)

    monkeypatch.setattr(Progress, "epoch", interrupted)


@pytest.fixture
def held_out(monkeypatch):
    """A list; every fit of a classifier adds what it measures its validation loss on, or None."""
    recorded = []

    def recording_train(step, data, plan, generator, validation, *others):
        recorded.append(validation)
        return train(step, data, plan, generator, validation, *others)

    for module in (_fcn_classifier, _fine_tuned_classifier):
        monkeypatch.setattr(module, "train", recording_train)
    return recorded


@pytest.fixture
def allow_threads(monkeypatch):
    """A function that allows computations so many threads, whatever this machine has."""

    def allow(n):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        monkeypatch.setattr(joblib, "cpu_count", lambda: n)
        torch.set_num_threads(n)

    yield allow
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def series():
    return two_shapes(24)[0]


@pytest.fixture(scope="session")
def panel():
    rng = np.random.default_rng(1)
    return np.cumsum(rng.normal(size=(12, 3, 20)), axis=2)


@pytest.hookimpl(tryfirst=True)  # before slow tests are left out
def pytest_collection_modifyitems(items):
    from .estimators import QUICK_VARIANTS, VARIANTS  # which needs this module

    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        names = {value for value in values if isinstance(value, str)}
        if names & VARIANTS and item.path.name not in QUICK_VARIANTS:
            item.add_marker(pytest.mark.slow)
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="no CUDA device here")
        for item in items:
            if "cuda" in item.keywords:
                item.add_marker(skip)
