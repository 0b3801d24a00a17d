"""Results larger than memory: written into a given array, or sampled part by part."""

import numpy as np
import pytest
import torch

from skvqts._generation import sampling

from .conftest import two_shapes
from .estimators import GENERATORS, TRANSFORMERS, fcn, fitted, fitted_generator
from .refusals import assert_refused

X = two_shapes(77, seed=3)[0]
each_transformer = pytest.mark.parametrize("name", TRANSFORMERS)
each_generator = pytest.mark.parametrize("name", GENERATORS)


@each_transformer
def test_features_are_written_into_a_memory_map(name, tmp_path):
    transformer = fitted(name)
    expected = transformer.transform(X)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", expected.dtype, expected.shape)
    assert transformer.transform(X, out=out) is out
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)
    wider = np.empty(expected.shape, expected.dtype.kind + "8")
    assert np.array_equal(transformer.transform(X, out=wider), expected)


@pytest.mark.parametrize("name", ["VQTokenizer", "WindowCodes"])
def test_tokens_are_written_into_a_memory_map(name, tmp_path):
    tokenizer = fitted(name)
    expected = tokenizer.encode(X)
    out = np.lib.format.open_memmap(tmp_path / "out.npy", "w+", np.int64, expected.shape)
    assert tokenizer.encode(X, out=out) is out
    assert np.array_equal(np.load(tmp_path / "out.npy"), expected)


def test_features_of_a_classifier_are_written_into_a_given_array():
    classifier = fcn(max_epochs=1).fit(X, np.arange(77) % 2)
    expected = classifier.transform(X)
    out = np.full_like(expected, 7)
    assert classifier.transform(X, out=out) is out
    assert np.array_equal(out, expected)


@each_transformer
def test_arrays_of_another_shape_or_kind_are_refused_and_left_alone(name):
    transformer = fitted(name)
    expected = transformer.transform(X)
    cases = (
        (np.full_like(expected, 7)[:-1], ValueError, r"out must have shape \(77, "),
        (np.full_like(expected, 7)[:, :-1], ValueError, r"out must have shape \(77, "),
        (np.full(expected.shape, 7, np.int8), TypeError, "out must hold (float32|int64)"),
        ([[7]], ValueError, "out must have shape"),
        (torch.full(expected.shape, 7.0), TypeError, "out must be an array, .* and is a Tensor"),
    )
    for out, kind, message in cases:
        assert_refused(lambda out=out: transformer.transform(X, out=out), (kind,), message)
        assert np.all(np.asarray(out) == 7)
    with_gaps = fitted("VQTokenizer with gaps")
    assert_refused(
        lambda: with_gaps.encode([X[0], X[1, :9]], out=np.empty((2, 4))), (ValueError,), "list"
    )


@each_generator
@pytest.mark.parametrize("part_size", [1, 7, 20, 1000])
def test_parts_of_a_sample_are_the_sample(name, part_size):
    generator = fitted_generator(name)
    n = 20 if part_size > 1 else 3
    X, y = generator.sample(n, random_state=5, return_y=True)
    parts = generator.sample_in_parts(n, part_size=part_size, random_state=5, return_y=True)
    series, labels = zip(*parts, strict=True)
    assert {len(part) for part in series[:-1]} <= {part_size}
    assert np.array_equal(np.concatenate(series), X)
    assert np.array_equal(np.concatenate(labels), y)
    wanted = np.arange(n) % 2
    of_classes = generator.sample_in_parts(n, part_size=part_size, y=wanted, random_state=5)
    expected = generator.sample(n, y=wanted, random_state=5)
    as_many = generator.sample_in_parts(y=wanted, part_size=part_size, random_state=5)
    assert np.array_equal(np.concatenate(list(as_many)), expected)
    assert np.array_equal(np.concatenate(list(of_classes)), expected)


def test_a_sample_larger_than_memory_comes_in_parts_that_are_made_when_they_are_wanted(monkeypatch):
    generator = fitted_generator("MaskedPriorGenerator")
    expected = generator.sample(6, random_state=0)
    parts = generator.sample_in_parts(10**12, part_size=3, random_state=0)
    assert np.array_equal(np.concatenate([next(parts), next(parts)]), expected)
    monkeypatch.setattr(sampling.TokenReader, "fill", None)
    with pytest.raises(TypeError):
        next(parts)


@each_generator
def test_bad_arguments_are_refused_before_the_first_part(name):
    generator = fitted_generator(name)
    for arguments, message in (
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": 5, "part_size": 0}, "part_size"),
        ({"n_samples": 5, "part_size": 2.5}, "part_size"),
        ({"n_samples": 5, "y": [0, 1]}, "contradicts"),
        ({"n_samples": 5, "y": 9}, "unseen label"),
        ({"n_samples": 5, "random_state": -1}, "random_state"),
    ):
        call = lambda arguments=arguments: generator.sample_in_parts(**arguments)  # noqa: E731
        assert_refused(call, (ValueError, TypeError), message)
    with pytest.raises(MemoryError, match="series need"):
        generator.sample_in_parts(10**12, part_size=10**12)
