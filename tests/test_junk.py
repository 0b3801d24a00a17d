"""Public calls with junk of every kind end in a clear error or a right result."""

import contextlib
import io

import numpy as np
import pytest

pytest.importorskip("benchmarks.junk")
from benchmarks.junk import junk_calls

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("n", [150, pytest.param(5000, marks=pytest.mark.slow)])
def test_junk_is_refused_clearly_or_rightly_used(n):
    with contextlib.redirect_stdout(io.StringIO()):  # verbose=True is junk that is right
        found = junk_calls(n, np.random.default_rng(n))
    assert found["tries"] == n
    assert found["wrong"] == 0, found["remarks"]
