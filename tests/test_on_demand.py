"""Training series larger than memory: their rows are made when a batch asks for them."""

import numpy as np
import pytest
import torch

from skvqts import load
from skvqts._fitting import on_demand, scaling
from skvqts._fitting.on_demand import (
    RowsOnDemand,
    SlicedSeries,
    mapped,
    parts_of,
    rows_of,
    subset,
)
from skvqts._fitting.scaling import SeriesScaler

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
UNTRAINED = ("RandomConvolutionExtractor", "STFTTransformer", "WindowCodes")
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


class Sliced:
    """Nothing but a shape, a type and slices, as of a data set in a file."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.most = 0

    def __getitem__(self, index):
        rows = self.array[index]
        self.most = max(self.most, rows.size)
        return rows


FORMS = {
    "whole numbers in a memory map": lambda path: np.load(path, mmap_mode="r"),
    "an array-like": lambda path: Sliced(np.load(path)),
    "a panel": lambda path: Sliced(np.load(path)[:, None]),
}
CASES = [(name, "an array-like") for name in MAKERS]
CASES += [(name, form) for name in ("VQTokenizer", "MaskedPriorGenerator") for form in FORMS]


@pytest.mark.parametrize("size", ["large", pytest.param("small", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "form"), CASES)
def test_what_slices_is_read_by_slices_and_gives_the_same(name, form, size, tmp_path, monkeypatch):
    numbers = np.round(100 * X).astype(np.int16)
    np.save(tmp_path / "X.npy", numbers)
    source = FORMS[form](tmp_path / "X.npy")
    plain = numbers[:, None].astype(float) if form == "a panel" else numbers.astype(float)
    expected = learned(MAKERS[name]().fit(plain, Y), plain)
    if size == "large":
        monkeypatch.setattr(on_demand, "_AT_ONCE", 8 * 5 * 32)
        monkeypatch.setattr(on_demand, "_PART", 7)
    model = MAKERS[name]().fit(source, Y)
    for array, other in zip(learned(model, source), expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-5, atol=1e-5)
    assert model.n_features_in_ == (1 if form == "a panel" else 32)


def test_training_series_that_slice_are_saved_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(on_demand, "_AT_ONCE", 8 * 5 * 32)
    monkeypatch.setattr(on_demand, "_PART", 7)
    model = MAKERS["MaskedPriorGenerator"]().fit(Sliced(X), Y)
    model.save(tmp_path / "model", include_training_series=True)
    np.testing.assert_array_equal(load(tmp_path / "model").X_fit_, X)


def test_no_slice_holds_many_series(monkeypatch):
    monkeypatch.setattr(on_demand, "_AT_ONCE", 8 * 64 * 32)
    monkeypatch.setattr(on_demand, "_PART", 64)
    monkeypatch.setattr(scaling, "_BLOCK", 64 * 32)
    source = Sliced(two_shapes(500)[0])
    tokenizer(max_epochs=1).fit(source).transform(source)
    assert source.most <= 64 * 32


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_a_bad_value_in_a_slice_is_refused(value, monkeypatch):
    monkeypatch.setattr(on_demand, "_AT_ONCE", 8 * 5 * 32)
    series = X.copy()
    series[13, 4] = value
    with pytest.raises(ValueError, match=r"In X\[10:15\]: Input X contains (NaN|infinity)"):
        tokenizer().fit(Sliced(series))
    model = tokenizer().fit(Sliced(X))
    with pytest.raises(ValueError, match=r"In X\[10:15\]: Input X contains (NaN|infinity)"):
        model.transform(Sliced(series))
    with pytest.raises(ValueError, match=r"expecting 32 features|32 time points"):
        model.transform(Sliced(X[:, :-1]))


def test_a_channel_without_a_value_in_any_slice_is_refused(monkeypatch):
    monkeypatch.setattr(on_demand, "_AT_ONCE", 8 * 5 * 32)
    panel = np.stack([X, np.full_like(X, np.nan)], axis=1)
    with pytest.raises(ValueError, match=r"All values of X\[:, 1\] are missing"):
        tokenizer(missing="mask").fit(Sliced(panel))
    panel[23, 1, 0] = 1.0  # the last slice has one
    assert tokenizer(missing="mask").fit(Sliced(panel)).n_channels_in_ == 2


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in UNTRAINED])
def test_ctrl_c_leaves_a_fit_with_rows_on_demand_usable(
    name, monkeypatch, ctrl_c_in_the_third_epoch
):
    monkeypatch.setattr(on_demand, "_AT_ONCE", 0)
    model = MAKERS[name](max_epochs=4)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    if hasattr(model, "interrupted_"):  # else a part of it was interrupted, before its own training
        assert model.interrupted_
        assert model.n_features_in_ == 32


def test_rows_on_demand_have_the_shape_of_their_tensor():
    rows = RowsOnDemand(X, lambda part: part[:, None], CPU)
    assert rows.shape == (24, 1, 32)
    assert rows.subset(torch.tensor([3, 1])).shape == (2, 1, 32)


def test_scaling_by_slices_is_that_of_the_array(monkeypatch):
    monkeypatch.setattr(scaling, "_BLOCK", 100)
    for factor in (1.0, 2.0**-900):
        series = (X * factor)[:, None]
        for per_series in (False, True):
            of_slices = SeriesScaler(per_series).fit(SlicedSeries(Sliced(series)))
            of_array = SeriesScaler(per_series).fit(series)
            assert np.array_equal(of_slices.mean_, of_array.mean_)
            assert np.array_equal(of_slices.scale_, of_array.scale_)
