"""What is larger than memory is a MemoryError that says what to change."""

import time

import numpy as np
import pytest
import torch

from skvqts import exceptions
from skvqts._fitting.runtime import computing

from .conftest import two_shapes
from .estimators import (
    CLASSIFIERS,
    TRANSFORMERS,
    extractor,
    fcn,
    fine_tuned,
    fitted,
    fitted_generator,
    masked_prior,
    random_convolutions,
    tokenizer,
)

X, Y = two_shapes(24)


@pytest.mark.parametrize(
    "estimator",
    [
        tokenizer(codebook_size=10**12),
        tokenizer(width=10**10),
        extractor(width=10**9),
        fcn(width=10**9),
        fcn(width=10**12),
        fine_tuned(pretrained=extractor(latent_dim=10**11)),
        random_convolutions(n_kernels=10**13),
        masked_prior(width=10**8, n_heads=1),
    ],
    ids=str,
)
def test_a_network_larger_than_memory_is_refused_at_once(estimator):
    start = time.process_time()
    with pytest.raises(MemoryError, match=r"needs .* GiB, more than this machine has: choose"):
        estimator.fit(X, Y)
    assert time.process_time() - start < 5
    assert not hasattr(estimator, "module_")


def test_a_sample_larger_than_memory_is_refused():
    with pytest.raises(MemoryError, match=r"n_samples=10000000000 series need .*: sample in parts"):
        fitted_generator("MaskedPriorGenerator").sample(10**10)


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(exceptions, "_LIMIT_OF_CONTAINER", limit)
    tokenizer(max_epochs=1).fit(X)
    limit.write_text("max\n")
    tokenizer(max_epochs=1).fit(X)
    limit.write_text("1000\n")
    with pytest.raises(MemoryError, match="more than this machine has"):
        tokenizer(max_epochs=1).fit(X)


@pytest.mark.parametrize("training", [False, True])
def test_what_torch_says_of_memory_becomes_a_memory_error(training):
    lacking = pytest.raises(MemoryError, match="smaller network")
    with lacking as caught, computing(torch.device("cpu"), 1, training=training):
        torch.empty(2**60)
    assert ("batch_size" in str(caught.value)) == training
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(RuntimeError, match="shapes"), computing(torch.device("cpu"), 1):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_fitted_estimator_is_as_it_was_after_a_lack_of_memory(monkeypatch):
    model = tokenizer().fit(X)
    before = model.transform(X)

    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes.")

    monkeypatch.setattr(type(model.module_), "encode", fail)
    for call in (model.transform, model.fit):
        with pytest.raises(MemoryError, match="not enough memory"):
            call(X)
    monkeypatch.undo()
    assert np.array_equal(model.transform(X), before)
    assert np.array_equal(fitted("VQTokenizer").transform(X), before)


@pytest.mark.parametrize("name", ["VQTokenizer", "SSLFeatureExtractor", "FCNClassifier"])
def test_what_a_gpu_cannot_read_at_once_is_read_in_halves(name, monkeypatch):
    model = {**TRANSFORMERS, **CLASSIFIERS}[name]().fit(X, Y)
    expected = model.transform(X)
    scaled = model.scaler_.transform
    most, sizes = 5, []

    def limited(rows):
        sizes.append(len(rows))
        if len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 8 bytes.")
        return scaled(rows)

    monkeypatch.setattr(model.scaler_, "transform", limited)
    found = model.transform(X)
    assert max(sizes) > most
    assert np.allclose(found, expected, rtol=1e-5, atol=1e-5)
    most = 0
    with pytest.raises(MemoryError, match="not enough memory"):
        model.transform(X)
