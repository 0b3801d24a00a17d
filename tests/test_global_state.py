"""Estimators leave global state as it was, and their results do not depend on it."""

import hashlib
import logging
import os
import pickle
import random
import signal
import sys
import threading
import warnings
from functools import partial

import numpy as np
import pytest
import torch

from skvqts import load, objectives
from skvqts._fitting.memory import Memory
from skvqts._fitting.progress import Progress
from skvqts._fitting.runtime import computing
from skvqts._generation import imputation
from skvqts._generation.stages import PriorStep
from skvqts.metrics import discriminative_score, inception_score

from .conftest import NO_LIMIT, PRELUDE, needs_fork, run_python, two_shapes
from .estimators import (
    CLASSIFIERS,
    GENERATORS,
    TRANSFORMERS,
    UNTRAINED,
    VARIANTS,
    fitted,
    fitted_generator,
    masked_prior,
)

NAMES = list(TRANSFORMERS)


@pytest.fixture
def X():
    return two_shapes(24)[0]


def global_state():
    """Global state that a library could disturb, in a form that can be compared."""
    generators = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    torch_state = (
        torch.random.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.backends.mkldnn.enabled,
        torch.get_float32_matmul_precision(),
        torch.is_autocast_enabled("cpu"),
    )
    python = (
        tuple(warnings.filters),
        np.geterr(),
        dict(os.environ),
        os.getcwd(),
        signal.getsignal(signal.SIGINT),
        tuple(logging.getLogger().handlers),
        logging.getLogger().level,
    )
    return generators, torch_state, python


@pytest.mark.parametrize("name", NAMES)
def test_transformers_leave_global_state_unchanged(name, X):
    fitted(name).transform(X)  # torch imports parts of itself at first use
    before = global_state()
    transformer = TRANSFORMERS[name]().fit(X)
    out = transformer.transform(X)
    if hasattr(transformer, "inverse_transform"):
        transformer.inverse_transform(out)
    for bad in (np.full((4, 9), np.nan), X[:, :3]):
        with pytest.raises(ValueError, match=r"NaN|features"):
            transformer.transform(bad)
    with pytest.raises(ValueError, match="n_threads"):
        TRANSFORMERS[name](n_threads=-1).fit(X)
    assert global_state() == before


class _Setting:
    """A context manager that switches a setting on and off."""

    def __init__(self, on, off):
        self.on, self.off = on, off

    def __enter__(self):
        self.on()

    def __exit__(self, *_):
        self.off()


def _errors_from_warnings():
    context = warnings.catch_warnings()
    return _Setting(
        lambda: (context.__enter__(), warnings.simplefilter("error")),
        lambda: context.__exit__(None, None, None),
    )


SETTINGS = {
    "default dtype float64": lambda: _Setting(
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "default dtype float16": lambda: _Setting(
        lambda: torch.set_default_dtype(torch.float16),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "deterministic algorithms": lambda: _Setting(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "default device": lambda: _Setting(
        lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)
    ),
    "warnings as errors": _errors_from_warnings,
    "NumPy raises": lambda: np.errstate(all="raise"),
    "two threads": lambda: _Setting(
        lambda: torch.set_num_threads(2), lambda: torch.set_num_threads(1)
    ),
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", NAMES)
def test_settings_of_the_user_do_not_change_what_transformers_compute(name, setting, X):
    expected = fitted(name).transform(X)
    with SETTINGS[setting]():
        transformer = TRANSFORMERS[name]().fit(X)
        assert np.array_equal(transformer.transform(X), expected)
    assert np.array_equal(transformer.transform(X), expected)


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_user_do_not_change_what_files_and_pickles_hold(setting, X, tmp_path):
    model = fitted("VQTokenizer")
    model.save(tmp_path / "model.skvqts")
    kept = pickle.dumps(model)
    with SETTINGS[setting]():
        for again in (load(tmp_path / "model.skvqts"), pickle.loads(kept)):
            assert np.array_equal(again.transform(X), model.transform(X))


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_the_user_do_not_change_the_discriminative_score(setting, X):
    score = partial(discriminative_score, X, 10 * X, n_steps=20, random_state=1)
    expected = score()
    assert expected > 0
    with SETTINGS[setting]():
        before = global_state()
        assert score() == expected
        assert global_state() == before


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        pytest.param(name, setting, marks=[] if i % len(GENERATORS) == j else pytest.mark.slow)
        for j, name in enumerate(GENERATORS)
        for i, setting in enumerate(SETTINGS)
    ],
)
def test_settings_of_the_user_do_not_change_what_generators_compute(name, setting, X):
    def results(generator):
        yield generator.sample(3, random_state=0)
        yield generator.score_samples(X[:3])

    expected = list(results(fitted_generator(name)))
    with SETTINGS[setting]():
        found = list(results(GENERATORS[name]().fit(*two_shapes(24))))
    assert all(map(np.array_equal, found, expected))


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param(name, marks=[] if name == "default dtype float64" else pytest.mark.slow)
        for name in SETTINGS
    ],
)
def test_settings_of_the_user_do_not_change_how_gaps_are_filled(setting, X, monkeypatch):
    def results():
        monkeypatch.setattr(imputation, "MEMORY", Memory(2**24))  # nothing has been drawn yet
        generator = fitted_generator("MaskedPriorGenerator")
        yield generator.impute(np.where(X[:2] > 0.9, np.nan, X[:2]), random_state=0)
        yield generator.score_samples(X[:3], method="exact")
        yield generator.anomaly_score(X[:2])

    expected = list(results())
    with SETTINGS[setting]():
        found = list(results())
    assert all(map(np.array_equal, found, expected))


def in_threads(function, n=4):
    """What `function` returns in each of `n` concurrent threads."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(function())) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == n
    assert torch.get_num_threads() == 1
    return found


def thread_count_in_a_new_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def three_threads(allow_threads):
    allow_threads(3)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize(("n_other", "n_here"), [(1, 2), (1, 3), (3, 1), (2, 2)])
def test_thread_counts_are_restored_after_overlapping_computations(n_other, n_here):
    inside, leave = threading.Event(), threading.Event()
    after = []

    def other():
        with computing(torch.device("cpu"), n_other):
            inside.set()
            leave.wait(60)
        after.append(torch.get_num_threads())

    first, late = (threading.Thread(target=other) for _ in "ab")
    first.start()
    inside.wait(60)
    try:
        with computing(torch.device("cpu"), n_here):
            counts = [torch.get_num_threads()]
        counts.append(torch.get_num_threads())
        late.start()
    finally:
        leave.set()
        first.join()
    late.join()
    assert counts == [n_here, 3]
    assert after == [3, 3]
    assert torch.get_num_threads() == thread_count_in_a_new_thread() == 3


@pytest.mark.usefixtures("three_threads")
def test_threads_started_during_a_computation_get_the_users_thread_count():
    found = []

    def nested():
        with computing(torch.device("cpu"), 1):
            pass
        found.append(torch.get_num_threads())

    with computing(torch.device("cpu"), 2):
        thread = threading.Thread(target=nested)
        thread.start()
        thread.join()
        with computing(torch.device("cpu"), 1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    assert found == [3]
    assert torch.get_num_threads() == thread_count_in_a_new_thread() == 3


@pytest.mark.usefixtures("three_threads")
def test_a_computation_with_the_users_thread_count_does_not_disturb_concurrent_ones():
    started, inside, leave = (threading.Event() for _ in range(3))
    found = []

    def early():
        torch.get_num_threads()  # from now on the thread has a count of its own
        started.set()
        inside.wait(60)
        with computing(torch.device("cpu"), 3):
            thread = threading.Thread(target=late)
            thread.start()
            thread.join()
        leave.set()

    def late():
        with computing(torch.device("cpu"), 2):
            pass
        found.append(torch.get_num_threads())

    thread = threading.Thread(target=early)
    thread.start()
    started.wait(60)
    with computing(torch.device("cpu"), 1):
        inside.set()
        leave.wait(60)
    thread.join()
    assert found == [3]
    assert torch.get_num_threads() == thread_count_in_a_new_thread() == 3


@pytest.mark.parametrize(("n_threads_of_tokenizer", "n_threads"), [(1, 2), (2, 1)])
def test_a_prior_trains_with_the_n_threads_of_the_generator(
    n_threads_of_tokenizer, n_threads, allow_threads, monkeypatch
):
    allow_threads(2)
    counts, forward = set(), PriorStep.forward
    record = lambda *a: counts.add(torch.get_num_threads()) or forward(*a)  # noqa: E731
    monkeypatch.setattr(PriorStep, "forward", record)
    generator = masked_prior({"n_threads": n_threads_of_tokenizer}, n_threads=n_threads)
    assert generator.fit(*two_shapes(24)).n_threads_ == n_threads
    assert counts == {n_threads}


@pytest.mark.parametrize("name", NAMES)
def test_concurrent_transforms_and_fits_do_not_interfere(name, X):
    expected = fitted(name).transform(X)
    for pair in in_threads(
        lambda: (fitted(name).transform(X), TRANSFORMERS[name]().fit_transform(X))
    ):
        assert all(np.array_equal(out, expected) for out in pair)


@pytest.mark.parametrize("name", GENERATORS)
def test_concurrent_samples_and_fits_do_not_interfere(name):
    X, y = two_shapes(24)
    generator = fitted_generator(name)
    expected = generator.sample(5, random_state=0), generator.score_samples(X)
    for sample, scores, sample_of_fit in in_threads(
        lambda: (
            generator.sample(5, random_state=0),
            generator.score_samples(X),
            GENERATORS[name]().fit(X, y).sample(5, random_state=0),
        )
    ):
        assert np.array_equal(sample, expected[0])
        assert np.array_equal(scores, expected[1])
        assert np.array_equal(sample_of_fit, expected[0])


def test_checks_of_arrays_in_threads_leave_the_filters_of_warnings_alone():
    probabilities = np.full((4, 3), 1 / 3)

    def check():
        for _ in range(50):
            inception_score(probabilities)

    interval, before = sys.getswitchinterval(), warnings.filters[:]
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):  # one in five times, they were changed
            in_threads(check, 8)
            assert warnings.filters == before
    finally:
        sys.setswitchinterval(interval)
        warnings.filters[:] = before


@needs_fork
def test_transform_works_in_forked_children():
    code = """
import torch
from joblib import Parallel, delayed
torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)
from tests.estimators import VARIANTS
for name in TRANSFORMERS.keys() - VARIANTS:
    transformer = TRANSFORMERS[name](n_threads=2).fit(X)
    parts = Parallel(2, backend="multiprocessing")(delayed(transformer.transform)(X) for _ in "ab")
    print(np.isclose(parts, transformer.transform(X), atol=1e-3).mean() > 0.99)
"""
    found = run_python(code, prelude=PRELUDE + NO_LIMIT).split()
    assert found == ["True"] * len(TRANSFORMERS.keys() - VARIANTS)


_FORK_PRELUDE = (
    PRELUDE
    + NO_LIMIT
    + """
import hashlib, os, pickle, signal, threading
import torch
from tests.estimators import (
    CLASSIFIERS,
    GENERATORS,
    autoregressive_prior,
    masked_prior,
    tokenizer,
)
X, y = two_shapes(24)

def in_a_forked_child(function):
    "A hash of the array that `function` returns there, or nothing if it fails or hangs."
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(30)
            os.write(writing, hashlib.sha256(function().tobytes()).digest())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    return found

def same(function):
    "Whether `function` gives the same bits here and in a forked child."
    expected = hashlib.sha256(function().tobytes()).digest()
    return in_a_forked_child(function) == expected

# From now on torch has threads that a forked child does not inherit and must not wait for.
torch.set_num_threads(2)
torch.zeros(10**6).add_(1).sum()
"""
)


@pytest.mark.slow  # what children transform is its quick form
@needs_fork
def test_forked_children_do_not_hang():
    code = """
for name, make in TRANSFORMERS.items():
    fitted = make(n_threads=1).fit(X)
    print(name, same(lambda: fitted.transform(X)), same(lambda: make().fit_transform(X)))
for name, make in CLASSIFIERS.items():
    fitted = make(n_threads=1).fit(X, y)
    print(name, same(lambda: fitted.predict_proba(X)))
    print(name, same(lambda: make().fit(X, y).predict_proba(X)))
for name, make in GENERATORS.items():
    fitted = make(n_threads=1).fit(X, y)
    sample = lambda generator: generator.sample(3, random_state=0)
    print(name, same(lambda: sample(fitted)), same(lambda: sample(make().fit(X, y))))
    print(name, same(lambda: fitted.score_samples(X)))
"""
    words = run_python(code, prelude=_FORK_PRELUDE).split()
    assert words.count("True") == 2 * len(NAMES) + 2 * len(CLASSIFIERS) + 3 * len(GENERATORS)
    assert "False" not in words


@needs_fork
@pytest.mark.slow  # small models, in the test above, are its quick form
@pytest.mark.parametrize("kind", ["masked", "autoregressive"])
def test_forked_children_fit_and_load_large_models(kind):
    """Torch computes with several threads where an array has more than 32,768 values."""
    code = """
X = two_shapes(8, 256)[0]
many_tokens = {"codebook_size": 512, "downsampled_width": 128, "max_epochs": 1}
make = {"masked": masked_prior, "autoregressive": autoregressive_prior}[sys.argv[1]]
new = make(many_tokens, n_threads=2)
generator = make(many_tokens, n_threads=1).fit(X)
wide = tokenizer(width=128, latent_dim=256, max_epochs=1, n_threads=1).fit(X)
more = {"n_masks": 512} if sys.argv[1] == "masked" else {}
pickled, also = pickle.dumps(generator), pickle.dumps(wide)
print(len(in_a_forked_child(lambda: new.fit(X).sample(2, random_state=0))))
print(same(lambda: generator.score_samples(X[:2], **more)))
print(same(lambda: pickle.loads(pickled).sample(2, random_state=0)))
print(same(lambda: pickle.loads(also).transform(X)))
"""
    found = run_python(code, kind, prelude=_FORK_PRELUDE).split()
    assert found == ["32", "True", "True", "True"]


@pytest.mark.slow  # forks while threads fit are its quick form
@needs_fork
def test_forked_children_do_not_wait_for_computations_of_other_threads():
    """The parent forks while a thread of it computes, and while one sets the number of threads.

    That one holds a lock, which the child inherits and nobody there will ever release.
    """
    code = """
from skvqts._fitting.runtime import computing
fitted = TRANSFORMERS["VQTokenizer"]().fit(X)
generator = GENERATORS["MaskedPriorGenerator"]().fit(X, y)
set_num_threads = torch.set_num_threads
calls = (
    lambda: fitted.transform(X),
    lambda: TRANSFORMERS["VQTokenizer"]().fit_transform(X),
    lambda: GENERATORS["MaskedPriorGenerator"]().fit(X, y).sample(3, random_state=0),
)
expected = [hashlib.sha256(call().tobytes()).digest() for call in calls]

def in_a_child_of_a_busy_process(call, held_inside):
    inside, leave = threading.Event(), threading.Event()

    def wait():
        inside.set()
        leave.wait(60)

    def slowly(n_threads):
        wait()
        set_num_threads(n_threads)

    def compute():
        if held_inside:
            with computing(torch.device("cpu"), 2):
                wait()
        else:
            torch.set_num_threads = slowly
            fitted.transform(X)

    def call_in_child():
        torch.set_num_threads = set_num_threads
        return call()

    thread = threading.Thread(target=compute)
    thread.start()
    assert inside.wait(60)
    try:
        return in_a_forked_child(call_in_child)
    finally:
        torch.set_num_threads = set_num_threads
        leave.set()
        thread.join()

for held_inside in (True, False):
    for call, hashed in zip(calls, expected):
        print(in_a_child_of_a_busy_process(call, held_inside) == hashed)
assert torch.get_num_threads() == 2
"""
    assert run_python(code, prelude=_FORK_PRELUDE).split() == ["True"] * 6


@needs_fork
def test_forked_children_do_not_hang_while_threads_of_the_parent_fit():
    code = """
stop = threading.Event()

def fit_again_and_again():
    while not stop.is_set():
        TRANSFORMERS["VQTokenizer"](n_threads=2).fit(X)

fitted = TRANSFORMERS["VQTokenizer"]().fit(X)
expected = hashlib.sha256(fitted.transform(X).tobytes()).digest()
threads = [threading.Thread(target=fit_again_and_again) for _ in "ab"]
for thread in threads:
    thread.start()
try:
    for _ in range(20):
        print(in_a_forked_child(lambda: fitted.transform(X)) == expected)
finally:
    stop.set()
for thread in threads:
    thread.join()
"""
    assert run_python(code, prelude=_FORK_PRELUDE).split() == ["True"] * 20


def test_results_do_not_depend_on_the_process(X):
    code = """
import hashlib
for make in TRANSFORMERS.values():
    print(hashlib.sha256(make().fit_transform(X).tobytes()).hexdigest())
"""
    expected = [hashlib.sha256(fitted(name).transform(X).tobytes()).hexdigest() for name in NAMES]
    others = {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "4"}
    assert run_python(code, **others).split() == expected


@pytest.mark.slow  # a first fit of one estimator is its quick form
def test_no_fit_imports_the_compiler_of_torch():
    """That takes seconds, and after a Ctrl-C meanwhile no later fit of the process would work."""
    code = """
from skvqts import metrics, objectives
from tests.estimators import CLASSIFIERS, GENERATORS
X, y = two_shapes(24)

def imported():
    return {name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules}

assert not imported()
for name, make in (TRANSFORMERS | CLASSIFIERS | GENERATORS).items():
    for options in ({}, {"early_stopping": True}, {"precision": "bfloat16"}):
        estimator = make()
        if options.keys() <= estimator.get_params().keys():
            estimator.set_params(**options).fit(X, y)
            assert not imported(), (name, options, imported())
    print(name)
for name in sys.argv[1:]:
    TRANSFORMERS["SSLFeatureExtractor"](objective=getattr(objectives, name)()).fit(X)
    assert not imported(), (name, imported())
    print(name)
metrics.discriminative_score(X, -X, n_steps=1)
assert not imported(), imported()
"""
    each_objective = sorted(set(objectives.__all__) - {"Objective"})  # which is their base class
    names = [*TRANSFORMERS, *CLASSIFIERS, *GENERATORS, *each_objective]
    assert run_python(code, *each_objective).splitlines() == names


def test_importing_the_package_changes_no_global_state_and_writes_no_file(tmp_path):
    code = """
import os, random, signal, sys, warnings
import numpy as np
import sklearn.neighbors, torch  # scikit-learn imports rich, which draws from `random`
torch.set_num_threads(3)
def state():
    return (
        torch.get_num_threads(),
        torch.random.get_rng_state().tolist(),
        torch.get_default_dtype(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        np.geterr(),
        dict(os.environ),
        list(warnings.filters),
        signal.getsignal(signal.SIGINT),
        os.getcwd(),
    )
before = state()
import skvqts
assert state() == before
assert not torch.cuda.is_initialized()
print(os.listdir(sys.argv[1]))
"""
    assert run_python(code, str(tmp_path), prelude="") == "[]"


@needs_fork
@pytest.mark.parametrize("imported", [pytest.param("torch", marks=pytest.mark.slow), "skvqts"])
def test_importing_the_package_changes_nothing_in_forked_children(imported):
    """torch alone gives a forked child its parent's number of threads; so it does with skvqts."""
    code = f"""
import os
import torch
torch.set_num_threads(3)
import {imported}
child = os.fork()
if child == 0:
    print(torch.get_num_threads(), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run_python(code, prelude="") == "3"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_views_of_augmentations_in_a_forked_child_do_not_hang():
    code = """
import multiprocessing
import torch
from skvqts.augmentation import GaussianNoise
torch.set_num_threads(2)
torch.randn(600, 600) @ torch.randn(600, 600)
large = np.zeros((2000, 64))
child = multiprocessing.get_context("fork").Process(target=GaussianNoise().view, args=[large])
child.start()
child.join(60)
print(child.exitcode)
child.kill()
"""
    assert run_python(code) == "0"


@pytest.mark.parametrize("name", NAMES)
def test_progress_is_handed_what_the_user_passed(name, X, monkeypatch):
    seen = []
    start = Progress.__init__

    def record(progress, estimator, plan, X, y=None):
        seen.append(X)
        start(progress, estimator, plan, X, y)

    monkeypatch.setattr(Progress, "__init__", record)
    given = X.tolist()
    TRANSFORMERS[name]().fit(given)
    assert all(one is given for one in seen)
    assert len(seen) == (name not in UNTRAINED)
