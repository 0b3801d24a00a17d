"""Training series larger than memory: their rows are made when a batch asks for them."""

import numpy as np
import pytest
import torch

from skvqts._fitting import on_demand
from skvqts._fitting.on_demand import RowsOnDemand, mapped, parts_of, rows_of, subset

from .conftest import two_shapes
from .estimators import CLASSIFIERS, TRANSFORMERS, extractor, flow_decoder, masked_prior, tokenizer

X, Y = two_shapes(24)
CPU = torch.device("cpu")
MAKERS = {
    **TRANSFORMERS,
    **CLASSIFIERS,
    "VQTokenizer per series": lambda **more: tokenizer(scaling="series", **more),
    "VQTokenizer and moco": lambda **more: tokenizer(ssl="moco", **more),
    "SSLFeatureExtractor masked": lambda **more: extractor(objective="masked", **more),
    "MaskedPriorGenerator": masked_prior,
    "FlowDecoder": lambda **more: flow_decoder(early_stopping=True, **more),
}
WITH_GAPS = [name for name in TRANSFORMERS if "gaps" in name]


def learned(model, series):
    """All that a fitted model has learned, as arrays."""
    weights = model.module_.state_dict() if hasattr(model, "module_") else {}
    arrays = [value.numpy() for value in weights.values()]
    for method in ("transform", "predict_proba", "score_samples"):
        if hasattr(model, method):
            arrays.append(getattr(model, method)(series))
    return arrays


def assert_the_same(make, monkeypatch, series=X):
    expected = learned(make().fit(series, Y), series)
    monkeypatch.setattr(on_demand, "_AT_ONCE", 0)
    monkeypatch.setattr(on_demand, "_PART", 7)
    for array, other in zip(learned(make().fit(series, Y), series), expected, strict=True):
        assert np.array_equal(array, other)


@pytest.mark.parametrize("name", MAKERS)
def test_a_fit_with_rows_on_demand_has_the_same_bits(name, monkeypatch):
    assert_the_same(MAKERS[name], monkeypatch)


@pytest.mark.parametrize("name", ["VQTokenizer", "SSLFeatureExtractor", "FCNClassifier"])
def test_the_same_with_early_stopping(name, monkeypatch):
    def make():
        return MAKERS[name](early_stopping=True, validation_fraction=0.4)

    assert_the_same(make, monkeypatch)


@pytest.mark.parametrize("name", WITH_GAPS)
def test_the_same_with_missing_values_and_unequal_lengths(name, monkeypatch):
    series = X.copy()
    series[3, 5:9] = np.nan
    series[10:14, 25:] = np.nan
    assert_the_same(MAKERS[name], monkeypatch, series)


def test_rows_are_made_of_slices_indices_and_subsets(monkeypatch):
    def make():
        return rows_of(X, lambda rows: 2 * rows, CPU)

    whole = make()
    assert torch.equal(whole, torch.from_numpy(2 * X))
    monkeypatch.setattr(on_demand, "_AT_ONCE", 0)
    monkeypatch.setattr(on_demand, "_PART", 5)
    rows = make()
    assert isinstance(rows, RowsOnDemand)
    index = torch.tensor([3, 0, 7, 7])
    part = subset(rows, index)
    doubled = mapped(part, lambda tensor: 2 * tensor)
    assert (len(rows), len(part), len(doubled)) == (24, 4, 4)
    assert torch.equal(rows[index], whole[index])
    assert torch.equal(rows[2:9:3], whole[2:9:3])
    assert torch.equal(part[1:3], whole[index][1:3])
    assert torch.equal(subset(part, torch.tensor([2]))[:], whole[index][[2]])
    assert torch.equal(doubled[index[:0]], whole[:0])
    assert torch.equal(doubled[:], 2 * whole[index])
    assert torch.equal(torch.cat(list(parts_of(rows))), whole)
