"""Series of unequal length: the door, tokens and features up to their ends, decoding to them."""

import functools
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

import skvqts
from skvqts import Quantizer, SSLFeatureExtractor, VQTokenizer, as_series_list
from skvqts._nn.encoders import tokens_inside
from skvqts._nn.layers import build
from skvqts._nn.quantizer import VectorQuantizer
from skvqts._nn.self_supervision import mean_and_maximum
from skvqts._nn.vqvae import make_vqvae
from skvqts._tokenizer import VQStep, start_codebooks
from skvqts.augmentation import PRESETS, Crop, Flip
from skvqts.functional import gaps, readout
from skvqts.functional.augmentations import within_ends

from .conftest import two_shapes
from .estimators import autoregressive_prior, extractor, fcn, fine_tuned, tokenizer
from .refusals import assert_refused

VALUE = (ValueError,)
TYPE = (TypeError,)
X, Y = two_shapes(24)
PANEL = np.stack([X, 3 - X[::-1]], axis=1)
LENGTHS = np.random.default_rng(0).integers(3, 33, 24)
LENGTHS[:3] = 32, 1, 5
SERIES = [series[:, :length] for series, length in zip(PANEL, LENGTHS, strict=True)]
EVEN = {"downsampled_width": 8}
MODELS = {
    "conv": functools.partial(tokenizer, **EVEN),
    "conv, a token for each point": tokenizer,
    "multiscale, each series scaled": functools.partial(
        tokenizer, frontend="multiscale", scaling="series", **EVEN
    ),
    "stft": functools.partial(tokenizer, frontend="stft"),
    "two bands": functools.partial(tokenizer, n_bands=2, early_stopping=True, **EVEN),
    "self-supervised": functools.partial(tokenizer, ssl="vicreg", augmentation="slice", **EVEN),
    "codes by the gradient": functools.partial(
        tokenizer, quantizer=Quantizer("gradient", code_dim=2), ssl="byol", **EVEN
    ),
    "extractor": extractor,
    "extractor stft": functools.partial(extractor, frontend="stft", objective="masked"),
}
TOKENIZERS = [name for name in MODELS if "extractor" not in name]


def generator(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def padded(series, length=32):
    """An array of series (c, t_i) with NaN beyond their ends."""
    X = np.full((len(series), len(series[0]), length), np.nan)
    for i, of_series in enumerate(series):
        X[i, :, : of_series.shape[1]] = of_series
    return X


@functools.cache
def fitted(name):
    return MODELS[name](missing="mask").fit(SERIES)


# ---- the door


def long_table(series, make=pd.DataFrame):
    """A shuffled long table of series; the ids of the first ones come last in the alphabet."""
    rows = [
        {"id": f"s{99 - i}", "time": 10.0 * t, "a": float(s[0, t]), "b": float(s[1, t])}
        for i, s in enumerate(series)
        for t in range(s.shape[1])
    ]
    firsts = [row for row in rows if row["time"] == 0]
    others = [row for row in rows if row["time"] > 0]
    order = np.random.default_rng(0).permutation(len(others))
    return make([*firsts, *(others[i] for i in order)])


FORMS = {
    "list": list,
    "tuple": tuple,
    "tensors": lambda series: [torch.tensor(s) for s in series],
    "nested lists": lambda series: [s.tolist() for s in series],
    "a Series of arrays": pd.Series,
    "padded array": padded,
    "masked array": lambda series: np.ma.masked_invalid(padded(series)),
    "padded list": lambda series: list(padded(series, 40)),
    "pandas": long_table,
    "polars": functools.partial(long_table, make=pl.DataFrame),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_becomes_the_same_list(form):
    found = as_series_list(FORMS[form](SERIES))
    assert len(found) == len(SERIES)
    for got, expected in zip(found, SERIES, strict=True):
        assert got.dtype == np.float64
        assert np.array_equal(got, expected)


def test_series_of_one_channel_need_no_axis_for_it():
    rows = [series[0] for series in SERIES]
    objects = np.empty(len(rows), dtype=object)
    objects[:] = rows
    nested = torch.nested.nested_tensor([torch.tensor(row) for row in rows])
    for form in (rows, objects, nested, padded(SERIES)[:, 0], [row.tolist() for row in rows]):
        found = as_series_list(form)
        assert all(np.array_equal(a, b[None]) for a, b in zip(found, rows, strict=True))


def test_gaps_inside_stay_and_what_is_beyond_the_last_known_value_goes():
    n = np.nan
    (series,) = as_series_list([np.array([[n, 1, n, n, n], [n, n, n, 2, n]])])
    np.testing.assert_array_equal(series, [[n, 1, n, n], [n, n, n, 2]])


def test_names_of_columns_are_arguments_and_missing_values_of_tables_are_nan():
    table = pd.DataFrame(
        {
            "patient": [7, 7, 3, 3],
            "day": pd.to_datetime(["2026-01-02", "2026-01-01", "2026-01-01", "2026-01-09"]),
            "x": pd.array([1, None, 3, 4], dtype="Int64"),
        }
    )
    found = as_series_list(table, id="patient", time="day")
    np.testing.assert_array_equal(found[0], [[np.nan, 1]])
    np.testing.assert_array_equal(found[1], [[3, 4]])


TABLE = pd.DataFrame({"id": [1, 1, 2], "time": [1, 2, 1], "x": [1.0, 2.0, 3.0]})
REFUSED_FORMS = {
    "no ids": (TABLE.drop(columns="id"), VALUE, "needs one column 'id' of ids.*'time', 'x'"),
    "no times": (TABLE.drop(columns="time"), VALUE, "needs one column 'time' of times"),
    "no values": (TABLE[["id", "time"]], VALUE, "needs columns of values besides"),
    "a time twice": (TABLE.assign(time=1), VALUE, "Series 1 of X has a time twice"),
    "a missing id": (TABLE.assign(id=[1, np.nan, 2]), VALUE, "'id' of X lacks an id"),
    "a missing time": (TABLE.assign(time=[1, np.nan, 2]), VALUE, "'time' of X lacks a time"),
    "times of text": (TABLE.assign(time=["1", "10", "2"]), TYPE, "'time' of X holds text, which"),
    "text": (TABLE.assign(x="a"), TYPE, "Column 'x' of X holds .* no numbers"),
    "no rows": (TABLE[:0], VALUE, "was given no series"),
    "an empty list": ([], VALUE, "none of these|no series"),
    "one series": ([1.0, 2.0, 3.0], VALUE, r"shape \(3,\) is none of these"),
    "a number": (3.0, VALUE, "is none of these"),
    "other channels": ([PANEL[0], PANEL[1, :1]], VALUE, "Series 1 of X has 1 channels.*first"),
    "three dimensions": ([PANEL, PANEL[:1, :1]], VALUE, "has shape"),
    "words": ([np.array(["a", "b"]), np.array(["c"])], TYPE, "no real numbers"),
    "a table in a cell": ([TABLE, TABLE], TYPE, "Series 0 of X is a table"),
    "nothing known": ([X[0], np.full(4, np.nan)], VALUE, "Series 1 of X has no known value"),
    "no time point": ([X[0], np.array([])], VALUE, "Series 1 of X has no known value"),
}


@pytest.mark.parametrize("case", REFUSED_FORMS)
def test_other_forms_are_refused(case):
    bad, types, message = REFUSED_FORMS[case]
    assert_refused(lambda: as_series_list(bad), types, message)


# ---- ends and what is inside of them


def naive_end(series):
    """Number of time points of a tensor (C, T) up to the last known value."""
    return max(
        (t + 1 for t in range(series.shape[1]) if not series[:, t].isnan().all()),
        default=series.shape[1],
    )


@given(
    b=st.integers(1, 5),
    c=st.integers(1, 3),
    t=st.integers(1, 9),
    share=st.sampled_from([0.1, 0.5, 0.9]),
    seed=st.integers(0, 99),
)
def test_ends_match_a_loop(b, c, t, share, seed):
    hidden = torch.rand((b, c, t), generator=generator(seed)) < share
    x = torch.zeros(b, c, t).masked_fill(hidden, math.nan)
    expected = [naive_end(series) for series in x]
    found = gaps.ends(x)
    if found is None:
        assert expected == [t] * b
    else:
        assert found.tolist() == expected


def test_encoders_are_shown_the_last_value_beyond_the_end_and_gaps_before_it():
    n = math.nan
    x = torch.tensor([[[1.0, n, n, n, n], [n, n, 2.0, n, n]], [[1.0, n, 5.0, n, n], [n] * 5]])
    shown = gaps.lasting(x, torch.tensor([4, 3]))  # one time point before the first end was hidden
    expected = [[[1, n, n, n, 1], [n, n, 2, n, 2]], [[1, n, 5, 5, 5], [n, n, n, 0, 0]]]
    np.testing.assert_array_equal(shown.numpy(), expected)
    assert gaps.lasting(x, None) is x
    assert gaps.gap_depth(shown)[:, :, 4].eq(0).all()


def test_positions_inside_match_a_loop():
    ends = torch.tensor([1, 4, 5, 8, 20])
    found = gaps.positions_inside(ends, 20, 2, 5)
    expected = [
        [4 * column < end for _ in range(2) for column in range(5)] for end in (1, 4, 5, 8, 20)
    ]
    assert found.tolist() == expected


@given(
    n=st.integers(1, 12),
    n_rows=st.integers(1, 2),
    seed=st.integers(0, 99),
)
def test_pooling_is_that_of_the_tokens_inside_as_if_there_were_no_others(n, n_rows, seed):
    z = torch.randn(6, n_rows * n, 3, generator=generator(seed))
    counts = torch.randint(1, n + 1, (6,), generator=generator(seed))
    counts[0] = n
    inside = (torch.arange(n) < counts[:, None]).repeat(1, n_rows)
    names = ("mean", "max", "min", "std", "variation", "shares", "positions", "stretches")
    junk = z.masked_fill(~inside[..., None], 1e9)
    for levels in ((1,), (1, 4)):
        found = readout.pool(junk, names, levels, inside)
        n_parts = sum(min(level, n_rows * n) for level in levels)
        assert found.shape == (6, n_parts * 16 * 3)
        for i in range(6):
            cut = z[i : i + 1, inside[i]]
            if cut.shape[1] < max(levels) and len(levels) > 1:
                continue  # it would have fewer parts
            expected = readout.pool(cut, names, levels)
            torch.testing.assert_close(found[i : i + 1], expected, rtol=1e-5, atol=1e-5)
        # Series of full length have the bits that they have without others.
        assert torch.equal(found[:1], readout.pool(z, names, levels)[:1])


def test_parts_of_fewer_tokens_than_parts_repeat_the_last_one():
    z = torch.tensor([[[1.0], [2.0], [9.0], [9.0], [9.0]]])
    inside = torch.tensor([[True, True, False, False, False]])
    assert readout.pool(z, ("mean", "max"), (4,), inside).tolist() == [[1, 1, 2, 2, 2, 2, 2, 2]]


def test_the_bag_of_codes_leaves_out_what_is_beyond_the_end():
    ids = torch.tensor([[0, 1, 1, 2], [2, 2, 0, 1]])
    inside = torch.tensor([[True, True, True, False], [True, True, False, False]])
    bag = readout.bag_of_codes(ids, 3, inside)
    torch.testing.assert_close(bag, torch.tensor([[1 / 3, 2 / 3, 0], [0, 0, 1]]))


@pytest.mark.parametrize("augment", [PRESETS["warp"], PRESETS["slice"], Flip(1.0), Crop()], ids=str)
def test_views_are_made_of_series_within_their_own_length(augment):
    x = torch.from_numpy(padded(SERIES)).float()
    view = within_ends(augment, x, generator(1), gaps.ends(x))
    for i, length in enumerate(LENGTHS):
        assert view[i, :, :length].isfinite().all()
        assert view[i, :, length:].isnan().all()
        limits = x[i, :, :length].aminmax()
        if augment != PRESETS["warp"]:  # whose second part changes amplitudes
            assert view[i, :, :length].min() >= limits.min
            assert view[i, :, :length].max() <= limits.max
    alone = within_ends(augment, x[:1], generator(1), gaps.ends(x[:1]))
    assert torch.equal(alone, augment(x[:1], generator(1)))


# ---- codes


def network(n_codes=6, **parameters):
    """A VQ-VAE for gaps of series of two channels and 32 time points, with 8 tokens."""
    sizes = {"width": 8, "latent_dim": 4, "n_blocks": 1, "downsampled_width": 8, "gaps": True}
    make = functools.partial(make_vqvae, lambda dim: VectorQuantizer(dim, n_codes), 2, 32)
    return build(functools.partial(make, frontend="conv", **sizes | parameters), generator())


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_losses_and_updates_of_codes_are_those_of_the_tokens_of_the_series(update):
    z = torch.randn(5, 7, 4, generator=generator(1))
    counts = torch.tensor([7, 1, 3, 5, 2])
    inside = torch.arange(7) < counts[:, None]
    junk = z.masked_fill(~inside[..., None], 77.0)

    def make():
        return VectorQuantizer(4, 6, update=update, revival_threshold=0.5)

    ended, cut = (build(make, generator()).train() for _ in range(2))
    of_ended, of_cut = ended(junk, inside), cut(z[inside][None])
    assert torch.equal(of_ended.z_q[inside][None], of_cut.z_q)
    assert of_ended.z_q[~inside].eq(0).all()
    assert ended.losses(of_ended) == cut.losses(of_cut)
    ended.update(of_ended, generator(2))
    cut.update(of_cut, generator(2))
    assert torch.equal(ended.codebook, cut.codebook)
    assert torch.equal(ended.cluster_size, cut.cluster_size)


def test_codes_start_at_centres_of_the_tokens_of_the_series():
    model = network(n_codes=1)
    x = torch.from_numpy(padded(SERIES)).float()
    inside = tokens_inside(model.encoder, gaps.ends(x))
    # The mean of one centre does not depend on the order of the series.
    order = torch.randperm(24, generator=generator(3))[: math.ceil(64 / 8)]
    shown = gaps.lasting(x[order], gaps.ends(x[order]))
    expected = model.encoder(shown)[inside[order]].mean(0)
    start_codebooks(model, "kmeans", x, 64, generator(3))
    torch.testing.assert_close(model.codebook()[0], expected)
    assert model.bands[0].quantizer.cluster_size.item() == pytest.approx(inside.sum().item())


@pytest.mark.parametrize("n_bands", [1, 2])
def test_latents_beyond_the_end_get_no_gradient_from_any_term(n_bands):
    model = network(n_bands=n_bands).train()
    latents = []
    for band in model.bands:
        band.encoder.register_forward_hook(lambda _, __, z: latents.append(z) or z.retain_grad())
    x = torch.from_numpy(padded(SERIES)).float()
    for _ in range(4):  # with values hidden at random, also just before the ends
        latents.clear()
        sum(VQStep(model, 1.0, generator(4), gaps=True)(x).values()).backward()
        for band, z in zip(model.bands, latents, strict=True):
            inside = tokens_inside(band.encoder, torch.from_numpy(LENGTHS))
            assert z.grad[~inside].eq(0).all()
            assert z.grad[inside].abs().sum(1).gt(0).all()


def test_pooled_latents_of_losses_are_those_of_the_tokens_of_the_series():
    z = torch.randn(3, 6, 2, generator=generator(1))
    inside = torch.arange(6) < torch.tensor([[6], [2], [1]])
    found = mean_and_maximum(z, inside)
    for i, count in enumerate((6, 2, 1)):
        expected = mean_and_maximum(z[i : i + 1, :count])
        torch.testing.assert_close(found[i : i + 1], expected)


# ---- estimators


@pytest.mark.parametrize("name", MODELS)
def test_a_list_and_an_array_padded_with_nan_are_the_same_series(name):
    model, array = fitted(name), MODELS[name](missing="mask").fit(padded(SERIES))
    assert model.n_timepoints_in_ == 32
    features = model.transform(SERIES)
    assert features.shape[0] == 24
    assert np.isfinite(features).all()
    assert np.array_equal(features, array.transform(padded(SERIES)))
    # Nor does it matter what else is read, or how far a list was padded.
    assert np.array_equal(model.transform(list(padded(SERIES, 50)[5:9])), features[5:9])
    for curve in model.loss_curve_.values():
        assert np.isfinite(curve).all()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_series_has_as_many_tokens_as_its_length_needs(name):
    model = fitted(name)
    tokens = model.encode(SERIES)
    assert isinstance(tokens, list)
    rectangular = model.encode(padded(SERIES))
    assert rectangular.shape == (24, sum(math.prod(shape) for shape in model.token_shape_))
    for of_series, row, length in zip(tokens, rectangular, LENGTHS, strict=True):
        assert of_series.dtype == np.int64
        cut, first = [], 0
        for (n_rows, n_columns), stride in zip(
            model.token_shape_, model.module_.strides, strict=True
        ):
            band = row[first : first + n_rows * n_columns].reshape(n_rows, n_columns)
            cut.append(band[:, : math.ceil(length / stride)].ravel())
            first += n_rows * n_columns
        assert np.array_equal(of_series, np.concatenate(cut))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_decoded_tokens_are_the_reconstruction_of_the_network(name):
    model = fitted(name)
    tokens = model.encode(SERIES)
    decoded = model.decode(tokens, lengths=LENGTHS)
    assert [series.shape for series in decoded] == [series.shape for series in SERIES]
    scaled = model.scaler_.transform(padded(SERIES))
    with torch.no_grad():
        whole = model.scaler_.inverse(model.module_(torch.from_numpy(scaled)).numpy())
    for series, expected in zip(decoded, whole, strict=True):
        np.testing.assert_allclose(series, expected[:, : series.shape[1]], atol=1e-5)
    # Without lengths, all time points that the tokens stand for.
    stride = min(model.module_.strides)
    for series, expected, length in zip(model.decode(tokens), decoded, LENGTHS, strict=True):
        assert length <= series.shape[1] < length + stride
        assert np.array_equal(series[:, :length], expected)
    errors = [
        np.mean((model.scaler_.transform(a[None].astype(float)) - b[:, : a.shape[1]]) ** 2)
        for a, b in zip(decoded, scaled, strict=True)
    ]
    if model.scaling == "train":
        assert model.score(SERIES) == pytest.approx(-np.mean(errors), rel=1e-4)


def test_an_array_of_tokens_can_be_decoded_to_lengths():
    model = fitted("conv")
    expected = model.decode(model.encode(SERIES), lengths=LENGTHS)
    found = model.decode(model.encode(padded(SERIES)), lengths=LENGTHS)
    assert np.array_equal(found, padded(expected), equal_nan=True)
    assert model.decode(model.encode(padded(SERIES))).shape == PANEL.shape


def test_usage_of_codes_is_that_of_the_tokens_of_series():
    for name in ("conv", "two bands"):
        model = fitted(name)
        counts = np.bincount(np.concatenate(model.encode(SERIES)), minlength=len(model.codebook_))
        np.testing.assert_allclose(model.codebook_usage_, counts / counts.sum())
        bags = clone(model).set_params(output="bag_of_codes").fit(SERIES).transform(SERIES)
        for bag, tokens in zip(bags, model.encode(SERIES), strict=True):
            np.testing.assert_allclose(bag, np.bincount(tokens, minlength=len(bag)) / len(tokens))


def test_series_without_an_axis_of_channels_stay_so():
    flat = [series[0] for series in SERIES]
    model = tokenizer(missing="mask").fit(flat)
    assert model.decode(model.encode(flat))[4].shape == (LENGTHS[4],)
    array = padded(SERIES)[:, 0]
    assert np.array_equal(model.transform(flat), model.transform(array))
    assert np.array_equal(model.transform([s[:1] for s in SERIES]), model.transform(array))


def test_lists_of_series_of_one_length_are_lists_and_nested_lists_are_arrays():
    model = fitted("conv")
    assert isinstance(model.encode(list(PANEL)), list)
    assert np.array_equal(np.stack(model.encode(list(PANEL))), model.encode(PANEL))
    assert np.array_equal(model.encode(PANEL.tolist()), model.encode(PANEL))
    plain = tokenizer(**EVEN).fit(PANEL)
    assert plain.encode(list(PANEL)).shape == (24, 8)


@pytest.mark.parametrize("name", ["conv", "extractor"])
def test_lists_that_do_not_fit_are_refused(name):
    model = fitted(name)
    too_long = [*SERIES, np.zeros((2, 65))]
    message = "Series 24 of X has 65 time points, and .* series of at most 32"
    assert_refused(lambda: model.transform(too_long), VALUE, message)
    assert_refused(lambda: model.transform([s[:1] for s in SERIES]), VALUE, "1 channels")
    unknown = [*SERIES, np.full((2, 3), np.nan)]
    assert_refused(lambda: model.transform(unknown), VALUE, r"All values of X\[24\]")
    plain = MODELS[name]()
    advice = r"unequal length, which .* missing='mask' \(see skvqts.as_series_list\)"
    assert_refused(lambda: plain.fit(SERIES), VALUE, advice)
    fitted_to_panel = plain.fit(PANEL)
    assert_refused(lambda: fitted_to_panel.transform(SERIES), VALUE, advice)


def test_of_series_longer_than_all_of_fit_the_beginning_is_read_with_a_warning():
    longer = [*SERIES, np.cumsum(np.ones((2, 40)), axis=1)]
    cut = [series[:, :32] for series in longer]
    classifier = fine_tuned(pretrained=FrozenEstimator(fitted("extractor"))).fit(SERIES, Y)
    message = "1 series of X are longer .* up to time point 32, as series 24 of 40"
    for read in (
        fitted("conv").transform,
        fitted("conv").score,
        fitted("extractor").transform,
        classifier.predict_proba,
    ):
        with pytest.warns(UserWarning, match=message):
            found = read(longer)
        np.testing.assert_array_equal(found, read(cut))
    assert_refused(lambda: fitted("conv").encode(longer), VALUE, "Series 24 of X has 40")
    assert_refused(lambda: classifier.fit(longer, [*Y, 0]), VALUE, "Series 24 of X has 40")


@pytest.mark.filterwarnings("ignore:1 series of X are longer")
def test_lists_can_be_cross_validated_though_one_fold_holds_the_longest():
    lists = [PANEL[0], *(series[:, :30] for series in SERIES[1:])]
    for model in (
        make_pipeline(tokenizer(missing="mask", **EVEN), SVC()),
        make_pipeline(extractor(missing="mask"), SVC()),
        fine_tuned(pretrained=extractor(missing="mask")),
    ):
        assert cross_val_score(model, lists, Y, cv=2, error_score="raise").shape == (2,)


def test_nested_lists_of_another_length_than_that_of_fit_are_refused_with_advice():
    model, message = fitted("conv"), "X has 20 time points, .* as a list of arrays"
    for short in (PANEL[:1, :, :20], PANEL[:2, :, :20]):
        for read in (model.encode, model.transform, fitted("extractor").transform):
            assert_refused(functools.partial(read, short.tolist()), VALUE, message)
        assert len(model.encode(list(short))) == len(short)
    assert_refused(lambda: model.encode(PANEL[..., :20]), VALUE, "X has 20 time points")


def test_estimators_without_gaps_refuse_lists():
    for model in (fcn(), autoregressive_prior(decoder=None)):
        assert_refused(lambda m=model: m.fit(SERIES, Y), VALUE, "unequal length.*pad or resample")


def test_outputs_with_columns_for_each_token_are_refused_for_lists():
    model = tokenizer(missing="mask", **EVEN).fit(SERIES)
    for output in ("tokens", "one_hot", "quantized", "continuous"):
        model.set_params(output=output)
        assert_refused(lambda: model.transform(SERIES), VALUE, f"{output}.*use `encode`")
        assert model.transform(padded(SERIES)).shape[0] == 24
    assert np.isfinite(model.set_params(output="quantized_pooled").transform(SERIES)).all()
    latents = extractor(missing="mask", output="latents").fit(SERIES)
    assert_refused(lambda: latents.transform(SERIES), VALUE, "use 'latents_pooled'")
    pooled = latents.set_params(output="latents_pooled").transform(SERIES)
    assert np.array_equal(pooled, latents.transform(padded(SERIES)))


def test_tokens_and_lengths_that_do_not_fit_each_other_are_refused():
    model = fitted("conv")
    tokens = model.encode(SERIES)
    empty = [*tokens[:1], tokens[1][:0]]
    assert_refused(lambda: model.decode(empty), VALUE, "Series 1 has 0 tokens")
    longer = [np.append(tokens[0], 0)]
    assert_refused(lambda: model.decode(longer), VALUE, "Series 0 has 9 tokens.* 32 has 8")
    wrong = LENGTHS.copy()
    wrong[4] = 32
    assert_refused(lambda: model.decode(tokens, lengths=wrong), VALUE, "Series 4 has")
    for bad, message in (
        (LENGTHS[:5], "for each of 24"),
        (LENGTHS + 0.5, "whole number"),
        (LENGTHS * 0, "between 1 and 32"),
        (LENGTHS * 9, "between 1 and 32"),
    ):
        assert_refused(lambda b=bad: model.decode(tokens, lengths=b), VALUE, message)
    for bad in (-1, 6, 0.5):
        ids = [of_series.astype(float) for of_series in tokens]
        ids[3][0] = bad
        assert_refused(lambda i=ids: model.decode(i), VALUE, "whole numbers in")
    plain = tokenizer(**EVEN).fit(PANEL)
    rows = plain.encode(PANEL)
    assert_refused(lambda: plain.decode(rows, lengths=LENGTHS), VALUE, "missing='mask'")


def test_the_spread_of_latents_is_measured_within_series():
    model = fitted("extractor")
    X = padded(SERIES)
    with torch.no_grad():
        x = torch.from_numpy(model.scaler_.transform(X))
        z = model.encoder_(gaps.lasting(x, torch.from_numpy(LENGTHS)))
    stride = model.encoder_.stride
    cut = [of_series[: math.ceil(n / stride)] for of_series, n in zip(z, LENGTHS, strict=True)]
    pooled = torch.stack([of_series.mean(0) for of_series in cut])
    scale = torch.cat(cut).square().mean(0).sqrt()
    expected = pooled.std(0, correction=0) / scale
    np.testing.assert_allclose(model.latent_std_, expected.numpy(), rtol=1e-4)


def test_models_of_lists_are_kept(tmp_path):
    model = fitted("conv")
    model.save(tmp_path / "model")
    opened = skvqts.load(tmp_path / "model")
    for found, expected in zip(opened.encode(SERIES), model.encode(SERIES), strict=True):
        assert np.array_equal(found, expected)


# ---- what is built on them


def test_pipelines_and_fine_tuned_classifiers_take_lists():
    pipeline = make_pipeline(extractor(missing="mask"), SVC())
    assert pipeline.fit(SERIES, Y).score(SERIES, Y) > 0.5
    assert np.isfinite(cross_val_score(pipeline, SERIES, Y, cv=2)).all()
    frozen = FrozenEstimator(fitted("conv"))
    for pretrained in (extractor(missing="mask"), frozen):
        for parameters in ({}, {"train_encoder": False}):
            model = fine_tuned(pretrained=pretrained, **parameters).fit(SERIES, Y)
            probabilities = model.predict_proba(SERIES)
            assert np.array_equal(probabilities, model.predict_proba(padded(SERIES)))
    # A classifier of shorter series than a fitted transformer has seen.
    short = [series[:, :20] for series in SERIES]
    model = fine_tuned(pretrained=frozen).fit(short, Y)
    assert model.n_timepoints_in_ == 32
    assert model.predict(SERIES).shape == (24,)
    assert_refused(lambda: fine_tuned().fit(SERIES, Y), VALUE, "unequal length")


@pytest.mark.slow
@pytest.mark.parametrize("make", [VQTokenizer, SSLFeatureExtractor])
def test_classes_are_found_in_series_of_unequal_length(make):
    X, y = two_shapes(160, 64, seed=3)
    lengths = np.random.default_rng(1).integers(20, 65, 160)
    series = [row[:length] for row, length in zip(X, lengths, strict=True)]
    series[0] = X[0]
    model = make_pipeline(make(missing="mask", random_state=0), SVC(kernel="linear"))
    assert model.fit(series[:80], y[:80]).score(series[80:], y[80:]) > 0.9
