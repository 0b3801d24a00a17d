"""Missing values: lines across gaps, masks, losses of known values, estimators that take them."""

import functools
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils import get_tags

import skvqts
from skvqts import SSLFeatureExtractor, VQTokenizer, augmentation, objectives
from skvqts._fitting import scaling as _scaling
from skvqts._fitting.scaling import SeriesScaler
from skvqts._nn.encoders import FRONT_ENDS, make_decoder, make_encoder, split_series
from skvqts._nn.layers import ZeroConv, build
from skvqts.functional import gaps
from skvqts.functional.objectives import masked_error
from skvqts.functional.spectral import stft

from .conftest import two_shapes
from .estimators import extractor, fine_tuned, masked_prior, tokenizer
from .refusals import assert_refused

VALUE = (ValueError,)
X, Y = two_shapes(24)
PANEL = np.stack([X, 3 - X[::-1]], axis=1)
SIZES = {"width": 8, "latent_dim": 4, "n_blocks": 1, "downsampled_width": 8}


def generator(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def with_gaps(X, share=0.3, seed=0):
    """Series of which values are missing at random, and a stretch at the start of the first."""
    hidden = np.random.default_rng(seed).random(X.shape) < share
    hidden[0, ..., :10] = True
    return np.where(hidden, np.nan, X)


def batch(shape=(6, 2, 21), share=0.3, seed=0):
    """Scaled series (B, C, T), and the same with missing values."""
    x = torch.randn(shape, generator=generator(seed))
    hidden = torch.rand(shape, generator=generator(seed + 1)) < share
    return x, x.masked_fill(hidden, math.nan)


def known_values(x):
    """Triples of row, channel and time of the values that are not missing."""
    return [tuple(index) for index in (~x.isnan()).nonzero().tolist()]


# ---- lines across gaps


@pytest.mark.parametrize("share", [0.0, 0.2, 0.6, 0.95])
@pytest.mark.parametrize("length", [1, 2, 21])
def test_gaps_are_bridged_by_straight_lines(share, length):
    x, gapped = batch((8, 2, length), share)
    expected = gapped.double().numpy()
    for channel in expected.reshape(-1, length):
        known = ~np.isnan(channel)
        values = (
            np.interp(np.arange(length), known.nonzero()[0], channel[known]) if known.any() else 0
        )
        channel[:] = values
    bridged = gaps.bridged(gapped)
    np.testing.assert_allclose(bridged.numpy(), expected, atol=1e-5)
    assert torch.equal(bridged[~gapped.isnan()], x[~gapped.isnan()])


def test_gaps_worked_by_hand():
    n = math.nan
    x = torch.tensor([[[n, 1.0, n, n, 7.0, n]], [[n] * 6], [[n, n, n, n, n, -2.0]]])
    expected = [[1.0, 1.0, 3.0, 5.0, 7.0, 7.0], [0.0] * 6, [-2.0] * 6]
    assert gaps.bridged(x)[:, 0].tolist() == expected


def test_how_deep_in_a_gap_values_lie():
    x = torch.full((3, 1, 12), math.nan)
    x[0, 0, [1, 7]] = 5.0
    x[1, 0, 11] = 5.0
    distances = [
        [1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 4],
        list(range(11, -1, -1)),
        [12] * 12,  # nothing is known of the channel
    ]
    expected = [[1 - math.exp(-max(0, d - 1) / 8) for d in row] for row in distances]
    np.testing.assert_allclose(gaps.gap_depth(x)[:, 0].tolist(), expected, rtol=1e-6)
    assert gaps.gap_depth(torch.zeros(2, 1, 5)).eq(0).all()


# ---- values hidden at random in training


def test_about_half_of_the_series_lose_values_and_the_others_none():
    _, x = batch((400, 2, 40), share=0.1)
    shares = []
    for seed in range(20):
        shown = gaps.hidden_at_random(x, generator(seed))
        # What is left is as it was, and what was missing still is.
        assert torch.equal(shown[~shown.isnan()], x[~shown.isnan()])
        assert shown.isnan()[x.isnan()].all()
        lost = shown.isnan() & ~x.isnan()
        shares.append(lost.sum((1, 2)) / (~x.isnan()).sum((1, 2)))
    untouched = torch.stack(shares).eq(0).float().mean()
    assert 0.45 < untouched < 0.65  # long blocks may miss a series altogether
    # Half of the mean of U(0, 0.6).
    assert abs(float(torch.stack(shares).mean()) - 0.15) < 0.02


def test_what_is_hidden_follows_the_generator_and_begins_anywhere():
    x = torch.zeros(64, 1, 64)
    first, again = (gaps.hidden_at_random(x, generator(3)).isnan() for _ in range(2))
    assert torch.equal(first, again)
    hidden = [gaps.hidden_at_random(x, generator(seed)).isnan() for seed in range(60)]
    starts = torch.cat([h[..., 1:] & ~h[..., :-1] for h in hidden]).any(0)[0]
    assert starts.float().mean() > 0.9
    runs = [float(h.sum() / max(1, (h[..., 1:] & ~h[..., :-1]).sum())) for h in hidden]
    assert min(runs) < 2 < 8 < max(runs)  # single values in some batches, long blocks in others


# ---- losses of what is known


def test_known_squared_error_is_a_mean_over_the_known_values():
    _, x = batch()
    reconstruction = torch.randn(x.shape, generator=generator(5), requires_grad=True)
    errors = [float(reconstruction.detach()[i] - x[i]) ** 2 for i in known_values(x)]
    loss = gaps.known_squared_error(reconstruction, x)
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    loss.backward()
    assert reconstruction.grad[x.isnan()].eq(0).all()
    assert reconstruction.grad[~x.isnan()].ne(0).all()


def test_known_squared_error_of_complete_series_is_the_mean_squared_error_to_the_bit():
    x, _ = batch()
    reconstruction = torch.randn(x.shape, generator=generator(5))
    expected = torch.nn.functional.mse_loss(reconstruction, x)
    assert torch.equal(gaps.known_squared_error(reconstruction, x), expected)
    assert gaps.known_squared_error(reconstruction, torch.full_like(x, math.nan)) == 0


def test_hidden_values_that_are_missing_as_well_are_not_compared():
    _, x = batch()
    hidden = torch.rand(len(x), 1, x.shape[2], generator=generator(2)) < 0.5
    reconstruction = torch.randn(x.shape, generator=generator(5), requires_grad=True)
    errors = [
        float(reconstruction.detach()[row, channel, time] - x[row, channel, time]) ** 2
        for row, channel, time in known_values(x)
        if hidden[row, 0, time]
    ]
    loss = masked_error(reconstruction, x, hidden)
    assert loss.item() == pytest.approx(sum(errors) / len(errors), rel=1e-5)
    loss.backward()
    assert reconstruction.grad.isfinite().all()
    assert reconstruction.grad[x.isnan()].eq(0).all()


@pytest.mark.parametrize("length", [3, 21])
def test_the_spectral_error_rewards_no_lines_across_gaps(length):
    x, gapped = batch((4, 2, length))
    encoder = build(lambda: make_encoder(2, length, frontend="stft", **SIZES), generator())
    make = functools.partial(make_decoder, 2, length, encoder.grid, frontend="stft", **SIZES)
    decoder = build(make, generator()).eval()
    z = torch.randn(4, math.prod(encoder.grid), 4, generator=generator(1))
    u = decoder.decode_spectrum(z)
    decoded = decoder(z)
    target = x.clone()
    for index in gapped.isnan().nonzero().tolist():
        target[tuple(index)] = decoded[tuple(index)]
    padded = torch.nn.functional.pad(target, (0, max(0, 5 - length)), mode="replicate")
    share = len(known_values(gapped)) / gapped.numel()
    expected = (u - stft(padded, 8)).square().mean() / share
    terms = decoder.losses(gapped, z)
    torch.testing.assert_close(terms["spectral"], expected)
    errors = [float((decoded[i] - x[i]) ** 2) for i in known_values(gapped)]
    assert float(terms["reconstruction"]) == pytest.approx(sum(errors) / len(errors), rel=1e-4)
    # Series that are right where they are known have no error, whatever stands in the gaps.
    perfect = stft(torch.nn.functional.pad(x, (0, max(0, 5 - length)), mode="replicate"), 8)
    decoder.decode_spectrum = lambda z: perfect
    if length > 4:  # what was padded to the window is no series of the decoder's
        assert all(float(term) < 1e-8 for term in decoder.losses(gapped, z).values())


# ---- encoders


@pytest.mark.parametrize("n_channels", [1, 2])
@pytest.mark.parametrize("frontend", FRONT_ENDS)
def test_an_encoder_for_gaps_starts_as_that_of_bridged_series(frontend, n_channels):
    make = functools.partial(make_encoder, n_channels, 21, frontend=frontend, **SIZES)
    plain, encoder = (
        build(make, generator()),
        build(functools.partial(make, gaps=True), generator()),
    )
    x, gapped = batch((5, n_channels, 21), share=0.7)
    assert torch.equal(encoder(x), plain(x))
    assert torch.equal(encoder(gapped), plain(gaps.bridged(gapped)))
    # Once it has learned, gaps are seen; complete series are read as before.
    (of_gaps,) = [layer for layer in encoder.modules() if isinstance(layer, ZeroConv)]
    torch.nn.init.normal_(of_gaps.weight, generator=generator(1))
    assert torch.equal(encoder(x), plain(x))
    assert not torch.allclose(encoder(gapped), plain(gaps.bridged(gapped)))


def test_what_is_missing_in_series_is_missing_in_their_bands():
    x, gapped = batch()
    bands = split_series(gapped, 2)
    assert all(torch.equal(band.isnan(), gapped.isnan()) for band in bands)
    known = ~gapped.isnan()
    torch.testing.assert_close(sum(bands)[known], x[known])
    complete = split_series(x, 2)
    torch.testing.assert_close(sum(complete), x)


# ---- views


def augmentations():
    named = {name: getattr(augmentation, name) for name in augmentation.__all__}
    plain = {
        name: make() for name, make in named.items() if name not in ("Augmentation", "Compose")
    }
    return plain | {"warp": augmentation.PRESETS["warp"]}


@pytest.mark.parametrize("name", augmentations())
def test_what_is_missing_moves_with_the_series(name):
    augment = augmentations()[name]
    x, gapped = batch((40, 2, 64), share=0.2)
    view, whole = augment(gapped, generator(7)), augment(x, generator(7))
    missing = view.isnan()
    assert whole.isfinite().all()
    assert 0.15 < missing.float().mean() < 0.3  # warps widen gaps a little where they stretch
    differences = (view - whole)[~missing].abs()
    if name in ("Crop", "WindowWarp", "warp"):  # beside gaps the nearer value stands
        assert (differences < 1e-6).float().mean() > 0.5
        assert differences.mean() < 0.4
    elif name in ("PhaseShift", "BandDropout"):  # these see lines across gaps
        assert torch.equal(missing, gapped.isnan())
    else:
        assert differences.max() < 1e-6


# ---- scaling


@pytest.mark.parametrize("block", [2**7, 2**20])
@pytest.mark.parametrize("per_series", [False, True])
def test_scaling_is_that_of_the_known_values(per_series, block, monkeypatch):
    monkeypatch.setattr(_scaling, "_BLOCK", block)
    gapped = with_gaps(PANEL * [[3.0], [0.01]] + 7)
    gapped[3, 1] = np.nan  # a whole channel
    axis = 2 if per_series else (0, 2)
    scaler = SeriesScaler(per_series).fit(gapped)
    with np.testing.suppress_warnings() as sup:
        sup.filter(RuntimeWarning)
        mean = np.nanmean(gapped, axis, keepdims=True)
        std = np.nanstd(gapped, axis, keepdims=True)
    expected = (gapped - mean) / np.where(std > 0, std, 1)
    np.testing.assert_allclose(scaler.transform(gapped), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scaler.mean_, np.nanmean(mean, 0, keepdims=True))
    np.testing.assert_allclose(scaler.scale_, np.nanmean(std, 0, keepdims=True))
    assert np.isfinite(scaler.inverse(np.zeros((2, 2, 32), np.float32))).all()


# ---- estimators

MODELS = {
    "tokenizer conv": tokenizer,
    "tokenizer multiscale, each series scaled": functools.partial(
        tokenizer, frontend="multiscale", scaling="series"
    ),
    "tokenizer stft": functools.partial(tokenizer, frontend="stft"),
    "tokenizer two bands": functools.partial(tokenizer, n_bands=2, early_stopping=True),
    "tokenizer self-supervised": functools.partial(
        tokenizer, ssl="vicreg", augmentation="slice", early_stopping=True
    ),
    "extractor": functools.partial(extractor, early_stopping=True),
    "extractor conv": functools.partial(extractor, frontend="conv"),
}


@functools.cache
def fitted_with_gaps(name):
    return MODELS[name](missing="mask").fit(with_gaps(PANEL))


def outputs(model, X):
    """What a transformer makes of series, by its methods."""
    made = {"transform": model.transform(X)}
    if hasattr(model, "encode"):
        tokens = model.encode(X)
        made |= {"encode": tokens, "score": model.score(X), "decode": model.decode(tokens)}
    return made


@pytest.mark.parametrize("name", MODELS)
def test_transformers_take_missing_values(name):
    model = fitted_with_gaps(name)
    assert get_tags(model).input_tags.allow_nan
    for curve in model.loss_curve_.values():
        assert np.isfinite(curve).all()
    for X in (with_gaps(PANEL, 0.5, seed=1), PANEL):
        for values in outputs(model, X).values():
            assert np.isfinite(values).all()


@pytest.mark.parametrize("name", MODELS)
def test_values_under_a_mask_have_no_part_in_anything(name):
    hidden = np.isnan(with_gaps(PANEL))
    expected = outputs(fitted_with_gaps(name), with_gaps(PANEL))
    for value in (0.0, -9e9, np.inf):
        masked = np.ma.MaskedArray(np.where(hidden, value, PANEL), mask=hidden)
        model = MODELS[name](missing="mask").fit(masked)
        for method, values in outputs(model, masked).items():
            np.testing.assert_array_equal(values, expected[method], err_msg=method)


@pytest.mark.parametrize("name", ["tokenizer conv", "extractor"])
def test_rows_do_not_depend_on_the_gaps_of_others(name):
    model, gapped = fitted_with_gaps(name), with_gaps(PANEL)
    together = model.transform(gapped)
    assert np.array_equal(together[5:6], model.transform(gapped[5:6]))
    mixed = np.concatenate([gapped[:4], PANEL[4:]])
    assert np.array_equal(model.transform(mixed)[:4], together[:4])


def test_missing_values_may_be_in_any_container():
    gapped = with_gaps(np.round(4 * X))
    expected = tokenizer(missing="mask").fit_transform(gapped)
    nullable = pd.DataFrame(gapped).astype("Int64")
    assert nullable.isna().any(axis=None)
    masked = [np.ma.masked_invalid(row) for row in gapped]
    objects = np.where(np.isnan(gapped), None, gapped)
    for container in (nullable, masked, objects, torch.tensor(gapped), gapped.tolist()):
        model = tokenizer(missing="mask").fit(container)
        assert np.array_equal(model.transform(container), expected)


@pytest.mark.parametrize("make", [tokenizer, extractor])
def test_extreme_gaps(make):
    gapped = PANEL.copy()
    gapped[0, :, :31] = np.nan  # all but the end
    gapped[1, :, 1:] = np.nan  # all but the start
    gapped[2, 0] = np.nan  # a channel
    gapped[3, 0], gapped[3, 1, 1:] = np.nan, np.nan  # all but a single value
    gapped[:, :, 20] = np.nan  # a time point
    for scaling in ("train", "series"):
        model = make(missing="mask", scaling=scaling).fit(gapped)
        assert np.isfinite(model.transform(gapped)).all()


@pytest.mark.parametrize("name", ["tokenizer conv", "extractor"])
def test_series_and_channels_without_a_known_value_are_refused(name):
    gapped = with_gaps(PANEL)
    gapped[7] = gapped[9] = np.nan
    message = r"All values of X\[7\] are missing"
    model, new = fitted_with_gaps(name), MODELS[name](missing="mask")
    assert_refused(lambda: new.fit(gapped), VALUE, message)
    assert_refused(lambda: model.transform(gapped), VALUE, message)
    without_channel = with_gaps(PANEL)
    without_channel[:, 1] = np.nan
    assert_refused(lambda: new.fit(without_channel), VALUE, r"X\[:, 1\] are missing")
    assert np.isfinite(model.transform(without_channel)).all()


def test_refusals_say_how_to_allow_missing_values():
    gapped, masked = with_gaps(X), np.ma.masked_invalid(with_gaps(X))
    for make in (tokenizer, extractor):
        for call in (make().fit, make().fit(X).transform):
            advice = "fit it with missing='mask', interpolate them or leave those series out"
            assert_refused(lambda c=call: c(gapped), VALUE, f"contains NaN: .*{advice}")
            assert_refused(lambda c=call: c(masked), VALUE, "masked values.*missing='mask'")
    assert_refused(lambda: fine_tuned().fit(gapped, Y), VALUE, "`pretrained` that has missing")
    assert_refused(lambda: tokenizer(missing="fill").fit(X), VALUE, "'missing' parameter")


def test_the_network_decides_and_not_a_parameter_that_was_changed_after_the_fit():
    plain = tokenizer().fit(X).set_params(missing="mask")
    assert_refused(lambda: plain.transform(with_gaps(X)), VALUE, "contains NaN")
    model = tokenizer(missing="mask").fit(X)
    before = model.transform(with_gaps(X))
    assert np.array_equal(model.set_params(missing="refuse").transform(with_gaps(X)), before)
    model.set_params(warm_start=True)
    assert_refused(lambda: model.fit(X), VALUE, "warm_start=True")


def test_by_default_nothing_is_allowed_and_nothing_added():
    model = tokenizer().fit(X)
    assert not get_tags(model).input_tags.allow_nan
    assert "gaps" not in model.architecture_
    assert not [m for m in model.module_.modules() if isinstance(m, ZeroConv)]


def test_the_mask_is_learned_even_of_complete_series():
    model = tokenizer(missing="mask").fit(X)
    (of_gaps,) = [m for m in model.module_.modules() if isinstance(m, ZeroConv)]
    assert of_gaps.weight.abs().max() > 1e-3
    assert np.isfinite(model.transform(with_gaps(X))).all()


@pytest.mark.parametrize("objective", objectives.OBJECTIVES)
def test_every_objective_learns_of_series_with_gaps(objective):
    views = objective != "masked"
    model = extractor(objective=objective, missing="mask", frontend="conv").fit(with_gaps(X))
    assert np.isfinite(model.loss_curve_["loss"]).all()
    both = tokenizer(ssl=objective, missing="mask", max_epochs=1).fit(with_gaps(X))
    assert np.isfinite(both.transform(with_gaps(X))).all()
    assert ("augmented" in both.loss_curve_) == views


def test_the_score_is_that_of_the_known_values():
    model, gapped = fitted_with_gaps("tokenizer conv"), with_gaps(PANEL)
    scaled = model.scaler_.transform(gapped)
    lengths = [np.flatnonzero(~np.isnan(s).all(0))[-1] + 1 for s in gapped]
    decoded = model.decode(model.encode(gapped), lengths=lengths)
    decoded = model.scaler_.transform(decoded.astype(np.float64))
    of_series = np.nanmean((decoded - scaled) ** 2, axis=(1, 2))
    assert model.score(gapped) == pytest.approx(-of_series.mean(), rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_models_that_take_gaps_are_kept_and_cloned(name, tmp_path):
    model = fitted_with_gaps(name)
    model.save(tmp_path / "model")
    opened = skvqts.load(tmp_path / "model")
    gapped = with_gaps(PANEL, seed=2)
    assert np.array_equal(opened.transform(gapped), model.transform(gapped))
    assert clone(model).missing == "mask"


def test_a_fit_goes_on_from_the_previous_one():
    model = tokenizer(missing="mask", warm_start=True).fit(with_gaps(X))
    first = model.transform(with_gaps(X))
    assert not np.array_equal(model.fit(with_gaps(X)).transform(with_gaps(X)), first)


# ---- what is built on them


def test_a_pipeline_and_a_fine_tuned_classifier_take_gaps():
    gapped = with_gaps(X)
    assert make_pipeline(extractor(missing="mask"), SVC()).fit(gapped, Y).score(gapped, Y) > 0.5
    for pretrained in (
        extractor(missing="mask"),
        FrozenEstimator(tokenizer(missing="mask").fit(X)),
    ):
        for parameters in ({}, {"train_encoder": False}, {"start": "random"}):
            model = fine_tuned(pretrained=pretrained, **parameters).fit(gapped, Y)
            assert get_tags(model).input_tags.allow_nan
            assert np.isfinite(model.predict_proba(gapped)).all()
    without = FrozenEstimator(tokenizer().fit(X).set_params(missing="mask"))
    assert_refused(lambda: fine_tuned(pretrained=without).fit(gapped, Y), VALUE, "contains NaN")


def test_a_generator_of_such_a_tokenizer_needs_complete_series_and_fills_gaps():
    new = masked_prior(tokenizer=tokenizer(missing="mask", downsampled_width=8), decoder=None)
    assert_refused(lambda: new.fit(with_gaps(X)), VALUE, "MaskedPriorGenerator does not accept")
    model = new.fit(X)
    gapped = with_gaps(X)
    filled = model.impute(gapped, random_state=0)
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[~np.isnan(gapped)], X[~np.isnan(gapped)])
    on_gaps = FrozenEstimator(tokenizer(missing="mask", downsampled_width=8).fit(gapped))
    assert masked_prior(tokenizer=on_gaps, decoder=None).fit(X).sample(2).shape == (2, 32)


@pytest.mark.slow
@pytest.mark.parametrize("make", [VQTokenizer, SSLFeatureExtractor])
def test_classes_are_found_in_spite_of_gaps(make):
    series, labels = two_shapes(160, 64, seed=3)
    gapped = with_gaps(series)
    model = make_pipeline(make(missing="mask", random_state=0), SVC(kernel="linear"))
    assert model.fit(gapped[:80], labels[:80]).score(gapped[80:], labels[80:]) > 0.95
