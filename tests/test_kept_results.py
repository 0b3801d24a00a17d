"""Referees and features of the same series are computed once, and kept up to a size."""

import gc
import threading
import weakref

import numpy as np
import pytest
from sklearn.decomposition import PCA

from skvqts import FCNClassifier, RandomConvolutionExtractor
from skvqts._fitting import memory
from skvqts._fitting.memory import Memory, fitted_once, transformed_once
from skvqts.metrics import generation_report, get_scorer, make_generation_scorer

from .conftest import two_shapes
from .doubles import ResamplingGenerator
from .estimators import fcn, random_convolutions

X, Y = two_shapes(40, 24, noise=0.15)
X_TEST, Y_TEST = two_shapes(30, 24, noise=0.15, seed=1)


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """A memory of its own for each test."""
    monkeypatch.setattr(memory, "MEMORY", Memory(2**20))
    return memory.MEMORY


@pytest.fixture
def calls(monkeypatch):
    """Names of the fits and transforms of both referees that really happened."""
    made = []
    for cls in (FCNClassifier, RandomConvolutionExtractor):
        for method in ("fit", "transform"):
            original = getattr(cls, method)

            def counted(self, *data, original=original, name=f"{cls.__name__}.{method}"):
                made.append(name)
                return original(self, *data)

            monkeypatch.setattr(cls, method, counted)
    return made


def test_what_was_used_longest_ago_is_dropped_where_all_do_not_fit():
    kept = Memory(10)
    computed = []

    def get(key):
        return kept.get(key, lambda: computed.append(key) or key, lambda _: 4)

    for key in "abac":  # "b" makes way for "c"
        assert get(key) == key
    assert computed == ["a", "b", "c"]
    for key in "acb":
        get(key)
    assert computed == ["a", "b", "c", "b"]
    assert kept.n_used == 8


def test_a_result_larger_than_the_memory_is_not_kept():
    kept = Memory(10)
    results = [kept.get("key", lambda n=n: n, lambda _: 11) for n in range(2)]
    assert results == [0, 1]
    assert (kept.n_used, len(kept.results)) == (0, 0)


def test_nothing_is_kept_of_a_computation_that_fails():
    kept = Memory(10)
    with pytest.raises(ZeroDivisionError):
        kept.get("key", lambda: 1 // 0, lambda _: 1)
    assert kept.get("key", lambda: 5, lambda _: 1) == 5


def test_results_that_are_dropped_are_freed():
    kept = Memory(10**6)
    reference = weakref.ref(kept.get(1, lambda: np.ones(9).view(Kept), lambda _: 10**6))
    kept.get(2, lambda: 0, lambda _: 1)
    gc.collect()
    assert reference() is None


class Kept(np.ndarray):
    """An array that a weak reference can be made to."""


def test_threads_that_compute_the_same_at_once_agree_on_its_size():
    kept = Memory(10**6)
    both = threading.Barrier(2)

    def compute():
        both.wait(timeout=60)
        return 0

    threads = [
        threading.Thread(target=kept.get, args=("key", compute, lambda _: 7)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.n_used == 7


@pytest.mark.parametrize("make", [fcn, random_convolutions])
def test_the_same_fit_is_done_once_and_another_one_anew(make, calls):
    first = fitted_once(make(random_state=0), X, Y)
    assert fitted_once(make(random_state=0), X.copy(), Y.copy()) is first
    assert len(calls) == 1
    others = [
        fitted_once(make(random_state=1), X, Y),
        fitted_once(make(random_state=0, scaling="series"), X, Y),
        fitted_once(make(random_state=0), X + 1, Y),
        fitted_once(make(random_state=0), X, Y[::-1].copy()),
    ]
    assert len(calls) == 5
    assert first not in others


@pytest.mark.parametrize("seed", [None, np.random.RandomState(0)])
def test_a_fit_that_is_not_the_same_each_time_is_done_each_time(seed, calls):
    fitted = [fitted_once(fcn(random_state=seed, max_epochs=1), X, Y) for _ in range(2)]
    assert fitted[0] is not fitted[1]
    assert calls == ["FCNClassifier.fit"] * 2


def test_what_is_kept_has_the_bits_of_what_is_computed():
    kept = [fitted_once(fcn(), X, Y) for _ in range(2)][1]
    features = [transformed_once(kept, X_TEST) for _ in range(2)][1]
    np.testing.assert_array_equal(features, fcn().fit(X, Y).transform(X_TEST))
    assert not features.flags.writeable


def test_features_are_those_of_the_fitted_state(calls):
    referee = fcn(random_state=0).fit(X, Y)
    before = transformed_once(referee, X_TEST)
    after = transformed_once(referee.set_params(random_state=1).fit(X, Y), X_TEST)
    assert not np.array_equal(before, after)
    assert calls.count("FCNClassifier.transform") == 2


def test_estimators_of_other_libraries_are_not_kept(empty):
    pca = fitted_once(PCA(2, random_state=0), X)
    transformed_once(pca, X)
    assert not empty.results


@pytest.mark.parametrize("name", ["neg_fid", "neg_fcn_fid"])
def test_a_scorer_fits_its_referee_and_reads_real_series_once_for_all_candidates(name, calls):
    scorer = get_scorer(name)
    if name == "neg_fcn_fid":
        scorer = make_generation_scorer(name, referee=fcn(random_state=0))
    candidates = [ResamplingGenerator(noise=noise).fit(X, Y) for noise in (0.1, 0.2, 0.3)]
    found = [scorer(candidate, X_TEST, Y_TEST) for candidate in candidates]
    assert len(set(found)) == 3
    assert [call.split(".")[1] for call in calls].count("fit") == 1
    assert [call.split(".")[1] for call in calls].count("transform") == 1 + 3


@pytest.mark.filterwarnings("ignore::skvqts.FidelityWarning")
def test_a_second_report_on_the_same_series_trains_no_referee(calls):
    quick = {"referee": fcn(random_state=0), "n_repeats": 2}
    reports = []
    for noise in (0.1, 0.2):
        calls.clear()
        generator = ResamplingGenerator(noise=noise).fit(X, Y)
        reports.append(generation_report(generator, X, Y, X_TEST, Y_TEST, **quick))
    assert "FCNClassifier.fit" not in calls
    assert calls.count("FCNClassifier.transform") == 1  # of what is generated
    assert reports[0].referees == reports[1].referees
