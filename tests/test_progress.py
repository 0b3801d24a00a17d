"""What is told of long computations: how long they will take, and how far they are."""

import logging

import numpy as np
import pytest

from skvqts._fitting import progress
from skvqts._fitting.progress import Pace, duration

from .conftest import two_shapes
from .estimators import CLASSIFIERS, GENERATORS, TRANSFORMERS, UNTRAINED, fcn, masked_prior

X, Y = two_shapes(24)
ALL = TRANSFORMERS | CLASSIFIERS | GENERATORS
TRAINED = {name: make for name, make in ALL.items() if name not in UNTRAINED}


class Clock:
    """A clock that moves on by some seconds whenever it is read."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.now = 1000.0

    def monotonic(self):
        self.now += self.seconds
        return self.now


@pytest.fixture
def records(caplog):
    caplog.set_level(logging.INFO, logger="skvqts")
    return caplog


@pytest.fixture
def slow(monkeypatch):
    """Every step takes 4 seconds."""
    monkeypatch.setattr(progress, "time", Clock(4.0))


def told(records):
    return [(record.levelname, record.message) for record in records.records]


def test_a_long_computation_says_how_long_it_takes_and_then_how_far_it_is(records, slow):
    pace = Pace("Job")
    for step in range(1, 21):
        pace.step(step, 20)
    assert told(records) == [
        ("WARNING", "[Job] 20 steps will take about 72 s"),
        ("INFO", "[Job] step 10/20, about 40 s left"),
        ("INFO", "[Job] step 18/20, about 8 s left"),
    ]
    assert pace.seconds_left == 0


def test_the_slow_first_step_does_not_count(records, monkeypatch):
    clock = Clock(1.0)
    monkeypatch.setattr(progress, "time", clock)
    pace = Pace("Job")
    clock.now += 1000.0
    for step in range(1, 21):
        pace.step(step, 20)
    assert told(records) == []


@pytest.mark.parametrize(("seconds", "n_steps"), [(0.01, 5000), (1.0, 61), (59.0, 2)])
def test_what_takes_a_minute_or_less_says_nothing(records, monkeypatch, seconds, n_steps):
    monkeypatch.setattr(progress, "time", Clock(seconds))
    pace = Pace("Job")
    for step in range(1, n_steps + 1):
        pace.step(step, n_steps)
    assert "WARNING" not in [level for level, _ in told(records)]


def test_the_estimate_rests_on_a_second_of_steps_at_least(records, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock(0.25))
    pace = Pace("Job")
    for step in range(1, 5):
        pace.step(step, 1000)
    assert told(records) == []
    pace.step(5, 1000)
    assert told(records) == [("WARNING", "[Job] 1000 steps will take about 4 min")]


def test_verbose_prints_in_place_of_logging(records, slow, capsys):
    pace = Pace("Job", verbose=1)
    for step in range(1, 11):
        pace.step(step, 20)
    assert told(records) == []
    assert capsys.readouterr().out.splitlines() == [
        "[Job] 20 steps will take about 72 s",
        "[Job] step 10/20, about 40 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1 s"),
        (61.4, "61 s"),
        (99.9, "100 s"),
        (150.0, "2 min"),
        (5999.0, "100 min"),
        (9000.0, "2.5 h"),
    ],
)
def test_durations_are_rounded(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize("name", TRAINED)
def test_every_fit_that_takes_long_says_so(name, records, slow):
    estimator = TRAINED[name](max_epochs=8 if name in GENERATORS else 20).fit(X, Y)
    class_name = type(estimator).__name__
    levels = [level for level, message in told(records) if message.startswith(f"[{class_name}]")]
    assert levels[0] == "WARNING"
    assert "INFO" in levels


def test_a_default_fit_that_is_short_says_nothing(records, capsys):
    fcn(max_epochs=1).fit(X, Y)
    assert told(records) == []
    assert capsys.readouterr() == ("", "")


def test_long_reading_says_so(records, monkeypatch):
    fitted = fcn(max_epochs=1).fit(X, Y)
    monkeypatch.setattr(progress, "time", Clock(30.0))
    fitted.predict(np.tile(X, (20, 1)))
    assert told(records)[0][1].startswith("[FCNClassifier] ")


def test_long_sampling_says_so(records, monkeypatch):
    fitted = masked_prior(max_epochs=1).fit(X, Y)
    monkeypatch.setattr(progress, "time", Clock(30.0))
    fitted.sample(200, random_state=0)
    assert told(records)[0][1].startswith("[MaskedPriorGenerator] ")
