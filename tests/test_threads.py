"""Computations use one CPU thread by default, and never more than is allowed."""

import functools
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import joblib
import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from skvqts._fitting.runtime import allowed_threads, computing
from skvqts._fitting.training import training_plan
from skvqts._generation.stages import prior_plan

from .conftest import NO_LIMIT, PRELUDE, needs_fork, run_python, two_shapes
from .estimators import (
    CLASSIFIERS,
    autoregressive_prior,
    extractor,
    masked_prior,
    random_convolutions,
    tokenizer,
    vae,
)

X, Y = two_shapes(24)
CPU = torch.device("cpu")
ESTIMATORS = {
    "VQTokenizer": tokenizer,
    # Threads are counted where a network is called, which the default features need not.
    "SSLFeatureExtractor": functools.partial(extractor, output="encoder_features"),
    "RandomConvolutionExtractor": random_convolutions,
    "SeriesVAE": vae,
    **CLASSIFIERS,
    "MaskedPriorGenerator": masked_prior,
    "AutoregressivePriorGenerator": autoregressive_prior,
}
each_estimator = pytest.mark.parametrize("name", ESTIMATORS)


def make(name, n_threads):
    """An estimator of one epoch that asks for so many threads, and so does the one inside it."""
    estimator = ESTIMATORS[name]()
    new = {"n_threads": n_threads, "max_epochs": 1}
    last = {parameter: parameter.split("__")[-1] for parameter in estimator.get_params()}
    return estimator.set_params(**{p: new[end] for p, end in last.items() if end in new})


def read(estimator):
    """What is read from a fitted estimator: samples, probabilities or features."""
    if hasattr(estimator, "sample"):
        return estimator.sample(3, random_state=0)
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(X)
    return estimator.transform(X)


@contextmanager
def counted_threads():
    """A set of the numbers of threads that networks are called with meanwhile."""
    counts = set()
    hook = register_module_forward_pre_hook(lambda *_: counts.add(torch.get_num_threads()))
    try:
        yield counts
    finally:
        hook.remove()


def in_a_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


# ---- the default


@each_estimator
def test_one_thread_is_the_default_and_has_the_bits_of_one(name, allow_threads):
    allow_threads(3)
    with counted_threads() as counts:
        fitted = make(name, None).fit(X, Y)
        found = read(fitted)
    assert counts == {1}
    assert fitted.n_threads_ == 1
    assert np.array_equal(found, read(make(name, 1).fit(X, Y)))


def test_large_work_is_done_on_one_thread_too(allow_threads):
    allow_threads(3)
    n_series = 10**8
    large = tokenizer()
    large.n_timepoints_in_ = 10**6
    plan = training_plan(large, n_series, least_steps=600, most_points=10**18)
    assert plan.n_threads == 1
    assert prior_plan(masked_prior(), np.zeros((10**5, 16)), 1).n_threads == 1
    five_million_points = np.zeros((2, 2_500_000), np.float32)
    assert random_convolutions(n_kernels=1).fit(five_million_points).n_threads_ == 1


# ---- the limits


@pytest.mark.parametrize(("wanted", "n_threads"), [(None, 1), (1, 1), (3, 3), (4, 4), (9, 4)])
def test_as_many_threads_are_allowed_as_wanted_within_the_limits(wanted, n_threads, allow_threads):
    allow_threads(4)
    assert allowed_threads(wanted) == n_threads


@pytest.mark.parametrize(
    ("given", "n_threads"),
    [
        ("2", 2),
        ("1", 1),
        (" 3 ", 3),
        ("2,4", 2),
        ("8,1", 4),
        ("", 4),
        (",2", 4),
        ("x", 4),
        ("-1", 4),
        ("0", 4),
        ("2.5", 4),
    ],
)
def test_openmp_limits_threads(given, n_threads, allow_threads, monkeypatch):
    allow_threads(4)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert allowed_threads(9) == n_threads
    with computing(CPU, 9):
        assert torch.get_num_threads() == n_threads


def limit_torch(monkeypatch):
    torch.set_num_threads(2)


def limit_openmp(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def limit_joblib(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)


LIMITS = [limit_torch, limit_openmp, limit_joblib]
LATER = [limit_torch, *(pytest.param(limit, marks=pytest.mark.slow) for limit in LIMITS[1:])]


@pytest.mark.parametrize("limit", LATER)  # threads of the environment are their quick form, too
@each_estimator
def test_no_estimator_fits_or_reads_with_more_threads_than_allowed(
    name, limit, allow_threads, monkeypatch
):
    allow_threads(3)
    limit(monkeypatch)
    with counted_threads() as counts:
        fitted = make(name, 9).fit(X, Y)
        read(fitted)
    assert counts == {2}
    assert fitted.n_threads_ == 2


@each_estimator
def test_reading_is_limited_by_what_is_allowed_then(name, allow_threads, monkeypatch):
    allow_threads(3)
    with counted_threads() as counts:
        fitted = make(name, 3).fit(X, Y)
    assert counts == {3}
    pickled = pickle.dumps(fitted)
    for limit in LIMITS:
        with monkeypatch.context() as context, counted_threads() as counts:
            limit(context)
            read(fitted)
            read(pickle.loads(pickled))
        assert counts == {2}
        assert fitted.n_threads_ == 3  # in `fit`
        torch.set_num_threads(3)
    with counted_threads() as counts:
        read(fitted)
    assert counts == {3}


@pytest.mark.parametrize(
    "variable", ["OMP_NUM_THREADS", pytest.param("LOKY_MAX_CPU_COUNT", marks=pytest.mark.slow)]
)
def test_variables_of_the_environment_limit_a_process(variable):
    code = """
import os
import joblib, torch
from tests.estimators import random_convolutions
os.cpu_count = lambda: 4
os.sched_getaffinity = lambda pid: set(range(4))
torch.set_num_threads(4)
if sys.argv[1] != "OMP_NUM_THREADS":
    os.environ.pop("OMP_NUM_THREADS", None)
print(random_convolutions(n_threads=4).fit(X).n_threads_)
del os.environ[sys.argv[1]]
print(random_convolutions(n_threads=4).fit(X).n_threads_ == joblib.cpu_count())
"""
    assert run_python(code, variable, **{variable: "1"}).split() == ["1", "True"]


# ---- other processes


def threads_of_a_worker(fitted):
    """What a worker allows that only the variable of joblib limits, what it uses, the variable."""
    joblib.cpu_count = lambda: 64
    torch.set_num_threads(64)
    with counted_threads() as counts:
        read(fitted)
    n_threads = random_convolutions(n_threads=3).fit(X).n_threads_
    return allowed_threads(64), n_threads, counts, int(os.environ["OMP_NUM_THREADS"])


@pytest.mark.parametrize(
    "inner",
    [pytest.param(None, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow)],
)
def test_joblib_limits_its_workers(inner, allow_threads):
    allow_threads(3)
    fitted = make("RandomConvolutionExtractor", 3).fit(X)
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=inner):
        found = joblib.Parallel()(joblib.delayed(threads_of_a_worker)(fitted) for _ in "ab")
    for allowed, in_fit, in_transform, variable in found:
        assert inner in (None, variable)
        assert allowed == min(64, variable)
        assert in_fit == min(3, variable)
        assert in_transform == {min(3, variable)}


@needs_fork
def test_forked_children_use_one_thread():
    code = """
import os, signal, torch
from tests.test_threads import allowed_threads, counted_threads, read, random_convolutions
torch.set_num_threads(3)
fitted = random_convolutions(n_threads=3).fit(X)
print(fitted.n_threads_, flush=True)
child = os.fork()
if child == 0:
    signal.alarm(30)  # it would wait for threads that it does not have
    with counted_threads() as counts:
        read(fitted)
        print(allowed_threads(3), fitted.fit(X).n_threads_, *counts, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    assert run_python(code, prelude=PRELUDE + NO_LIMIT).split() == ["3", "1", "1", "1"]


# ---- computations inside and beside others


def test_nested_computations_are_limited_by_the_users_number(allow_threads):
    allow_threads(3)
    with computing(CPU, 1):
        assert allowed_threads(9) == 3
        with computing(CPU, 2):
            assert torch.get_num_threads() == 2
            with computing(CPU, 9):
                assert torch.get_num_threads() == 3
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
        with counted_threads() as counts:
            assert random_convolutions(n_threads=9).fit(X).n_threads_ == 3
        assert counts == {3}
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_the_limit_of_nested_computations_is_that_of_the_outermost_one(allow_threads):
    allow_threads(3)
    with computing(CPU, 3):
        pass
    torch.set_num_threads(2)  # as many as the user allows from now on
    with computing(CPU, 1), computing(CPU, 9):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 2


def test_threads_started_during_a_computation_are_limited_by_the_users_number(allow_threads):
    def compute():
        allowed = allowed_threads(9)
        with computing(CPU, 1):
            nested = allowed_threads(9)
        with computing(CPU, 9):
            return allowed, nested, torch.get_num_threads()

    allow_threads(3)
    with computing(CPU, 1):
        assert in_a_thread(compute) == (3, 3, 3)
    with computing(CPU, 2):
        assert in_a_thread(compute) == (3, 3, 3)


def test_a_thread_with_a_number_of_its_own_is_limited_by_that(allow_threads):
    def compute():
        torch.set_num_threads(2)
        allowed = allowed_threads(9)
        with computing(CPU, 1):
            nested = allowed_threads(9)
        with computing(CPU, 9):
            inside = torch.get_num_threads()
        return allowed, nested, inside, torch.get_num_threads()

    allow_threads(3)
    with computing(CPU, 1):
        assert in_a_thread(compute) == (2, 2, 2, 2)
        assert allowed_threads(9) == 3


def test_a_thread_that_planned_during_a_computation_keeps_the_users_number(allow_threads):
    planned, ended = threading.Event(), threading.Event()

    def compute():
        allowed = allowed_threads(9)
        planned.set()
        ended.wait(60)
        with computing(CPU, 9):
            inside = torch.get_num_threads()
        return allowed, inside, torch.get_num_threads()

    allow_threads(3)
    with ThreadPoolExecutor(1) as pool:
        with computing(CPU, 1):
            found = pool.submit(compute)
            planned.wait(60)
        ended.set()
        assert found.result() == (3, 3, 3)


@each_estimator
def test_the_users_number_is_restored_also_after_an_error(name, allow_threads):
    def fail(*_):
        raise RuntimeError("amid the computation")

    allow_threads(3)
    fitted = make(name, 2).fit(X, Y)
    assert torch.get_num_threads() == 3
    read(fitted)
    assert torch.get_num_threads() == 3
    hook = register_module_forward_pre_hook(fail)
    try:
        for function in (read, lambda estimator: estimator.fit(X, Y)):
            with pytest.raises(RuntimeError, match="amid the computation"):
                function(fitted)
            assert torch.get_num_threads() == 3
    finally:
        hook.remove()
    with computing(CPU, 1), computing(CPU, 9):  # the failed computations are over
        assert torch.get_num_threads() == 3
