"""A signal handler that raises during the first fit of a process leaves later fits intact."""

import pytest

from .conftest import needs_fork, run_python

# In one process, which forks a child for each moment and itself fits nothing.
CODE = """
import os, pkgutil, signal, joblib, torch, skvqts
from tests.estimators import GENERATORS

# The handler is called in the first call of each of these functions.
MOMENTS = [
    None,
    "skvqts._nn.layers.allocate",
    "skvqts._fitting.training._weighted_terms",
    "torch.Tensor.backward",
    "skvqts._fitting.training.adamw",
    "skvqts._fitting.training._check_divergence",
    "skvqts._fitting.progress.Progress.step",
    "skvqts._fitting.reading.in_chunks",
]
X, y = two_shapes(24)

class Late(Exception):
    pass

def handler(*_):
    raise Late

def fit_interrupted(estimator, moment):
    owner, _, attribute = moment.rpartition(".")
    owner = pkgutil.resolve_name(owner)
    original = getattr(owner, attribute)

    def interrupted(*arguments, **options):
        setattr(owner, attribute, original)
        signal.raise_signal(signal.SIGTERM)

    setattr(owner, attribute, interrupted)
    try:
        estimator.fit(X, y)
    except Late:
        assert not hasattr(estimator, "module_")
        return
    raise AssertionError(f"no call of {moment}")

def child(make, moment):
    signal.signal(signal.SIGTERM, handler)
    if moment:
        fit_interrupted(make(), moment)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    print(moment, torch.get_num_threads(), joblib.hash(make().fit(X, y)), flush=True)

for moment in MOMENTS:
    process = os.fork()
    if process == 0:
        child(lambda: (TRANSFORMERS | GENERATORS)[sys.argv[1]](max_epochs=2), moment)
        os._exit(0)
    os.waitpid(process, 0)
"""


@needs_fork
@pytest.mark.parametrize(
    "name",
    [
        "VQTokenizer",
        pytest.param("SSLFeatureExtractor", marks=pytest.mark.slow),
        pytest.param("MaskedPriorGenerator", marks=pytest.mark.slow),
    ],
)
def test_a_first_fit_that_a_signal_ends_leaves_later_fits_intact(name):
    moments, *states = zip(*map(str.split, run_python(CODE, name).splitlines()), strict=True)
    assert len(set(moments)) == 8
    for state in states:  # the number of threads, and a hash of what was fitted
        assert len(set(state)) == 1
