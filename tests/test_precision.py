"""Training in bfloat16: where it is the default, what runs in it, and that it learns as much."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode

from skvqts._fitting import validation
from skvqts._fitting.validation import resolve_precision
from skvqts._nn.quantizer import VectorQuantizer

from .conftest import two_shapes
from .estimators import CLASSIFIERS, GENERATORS, autoencoder, extractor, tokenizer, vae

X, Y = two_shapes(24)
TRAINED = {
    "VQTokenizer": tokenizer,
    "VQTokenizer Barlow Twins": lambda **more: tokenizer(ssl="barlow_twins", **more),
    "SSLFeatureExtractor": extractor,
    "SeriesAutoencoder": autoencoder,
    "SeriesVAE": vae,
    **CLASSIFIERS,
    **GENERATORS,
}


@pytest.mark.parametrize(("length", "expected"), [(15, "float32"), (16, "bfloat16")])
def test_short_series_are_trained_on_in_float32(length, expected):
    X = two_shapes(24, length)[0]
    assert tokenizer(precision="bfloat16").fit(X).precision_ == expected


@pytest.mark.parametrize("length", [4, 20])
def test_one_column_of_a_spectrum_is_computed_in_float32(length):
    """Of it bfloat16 was left uninitialised on some processors: NaN in half of the fits."""
    X = two_shapes(24, length)[0]
    sizes = {"frontend": "stft", "downsampled_width": 1, "precision": "bfloat16"}
    losses = [tokenizer(**sizes).fit(X).loss_curve_["loss"] for _ in range(4)]
    assert np.isfinite(losses).all()
    assert len(np.unique(losses, axis=0)) == 1


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name.endswith(("bands", "stft")) else ())
        for name in TRAINED
    ],
)
def test_training_in_bfloat16_follows_training_in_float32(name):
    curves = [
        TRAINED[name](max_epochs=8, learning_rate=0.01, precision=precision)
        .fit(X, Y)
        .loss_curve_["loss"]
        for precision in ("float32", "bfloat16")
    ]
    assert not np.array_equal(*curves)
    change = np.ptp(curves[0])
    np.testing.assert_allclose(curves[1], curves[0], atol=0.2 * change, rtol=0)


CPUS = {
    "AVX-512 bfloat16": ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, "bfloat16"),
    "AMX": ({"avx512_bf16": False, "amx_bf16": True}, "bfloat16"),
    "AVX-512 only": ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "float32"),
    "ARM": ({"neon": True, "bf16": True}, "float32"),
    "torch that cannot tell": ({}, "float32"),
}


@pytest.fixture(params=CPUS)
def cpu(request, monkeypatch):
    """The precision that "auto" means on a CPU with other capabilities than this one."""
    capabilities, precision = CPUS[request.param]
    monkeypatch.setattr(validation, "cpu_capabilities", lambda: capabilities)
    return precision


def test_auto_is_bfloat16_on_cpus_with_instructions_for_it(cpu):
    assert resolve_precision("auto", torch.device("cpu")) == cpu


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_precision_that_is_asked_for_is_taken_on_every_cpu(cpu, precision):
    assert resolve_precision(precision, torch.device("cpu")) == precision


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_auto_is_float32_on_devices_that_were_not_measured(cpu, device):
    assert resolve_precision("auto", torch.device(device)) == "float32"


def test_this_cpu_tells_what_it_can_do():
    if hasattr(torch.cpu, "get_capabilities"):
        assert "architecture" in validation.cpu_capabilities()


STEPS = (
    "SelfSupervisedVQStep",
    "VQStep",
    "TwoViewStep",
    "ClassificationStep",
    "PriorStep",
    "ReconstructionStep",
    "ELBOStep",
)


class Precisions(TorchDispatchMode):
    """Notes the precisions of what every operation gives."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor) and output.is_floating_point():
            self.seen.add(output.dtype)
        return output


@contextmanager
def observed_steps():
    """Precisions of the operations, the losses and the quantisers of training steps."""
    seen = {"operations": set(), "losses": set(), "codes": set()}
    running = []

    def begin(module, inputs):
        if type(module).__name__ in STEPS:
            running.append(Precisions().__enter__())

    def end(module, inputs, output):
        if type(module).__name__ in STEPS:
            precisions = running.pop()
            precisions.__exit__(None, None, None)
            seen["operations"] |= precisions.seen
            seen["losses"] |= {term.dtype for term in output.values()}
        elif isinstance(module, VectorQuantizer) and running:
            seen["codes"] |= {output.vectors.dtype, output.codes.dtype}

    hooks = [register_module_forward_pre_hook(begin), register_module_forward_hook(end)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("cpu", ["AVX-512 bfloat16", "AVX-512 only"], indirect=True)
@pytest.mark.parametrize("name", TRAINED)
def test_steps_run_their_products_in_the_precision_of_the_cpu(name, cpu):
    with observed_steps() as seen:
        estimator = TRAINED[name](max_epochs=2, precision="auto").fit(X, Y)
    assert estimator.precision_ == cpu
    assert (torch.bfloat16 in seen["operations"]) == (cpu == "bfloat16")
    assert seen["losses"] == {torch.float32}
    assert seen["codes"] <= {torch.float32}


@pytest.mark.parametrize("name", TRAINED)
def test_what_was_trained_in_bfloat16_is_read_in_float32(name):
    estimator = TRAINED[name](max_epochs=2, precision="bfloat16").fit(X, Y)
    with Precisions() as precisions:
        if name in GENERATORS:
            estimator.sample(2)
        else:
            getattr(estimator, "predict" if name in CLASSIFIERS else "transform")(X)
    assert torch.float32 in precisions.seen
    assert torch.bfloat16 not in precisions.seen
    assert {p.dtype for p in estimator.module_.parameters()} == {torch.float32}
