"""FlowDecoder: series drawn given their tokens, and what becomes of it in a generator."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator

from skvqts import FlowDecoder, MaskedPriorGenerator, VQTokenizer
from skvqts._generation.flow import decoder as module
from skvqts._generation.flow.training import NearCodes, draw_shown

from .conftest import two_shapes
from .estimators import autoregressive_prior, flow_decoder, masked_prior, tokenizer

X, Y = two_shapes(24)
KINDS = {"masked": masked_prior, "autoregressive": autoregressive_prior}


def rough(n, t=32, *, seed=0):
    """Series of pure noise: tokens tell almost nothing, their mean is smooth."""
    return np.random.default_rng(seed).normal(size=(n, t))


def standardised(series):
    return (series - series.mean(-1, keepdims=True)) / series.std(-1, keepdims=True)


@pytest.fixture(scope="module")
def decoder():
    return flow_decoder(max_epochs=2).fit(X, Y)


@pytest.fixture(scope="module")
def noise_decoder():
    return flow_decoder(max_epochs=10, batch_size=64, n_steps=4, width=8).fit(rough(200))


# ---- what is drawn


def test_series_are_drawn_in_the_form_and_the_units_of_the_training_set(decoder):
    tokens = decoder.tokenizer_.encode(X[:5])
    drawn = decoder.sample(tokens, random_state=0)
    assert drawn.shape == (5, 32)
    assert drawn.dtype == np.float32
    panel = flow_decoder().fit(X[:, None] * 1000 + 5e5)
    drawn = panel.sample(panel.tokenizer_.encode(X[:5, None] * 1000 + 5e5), random_state=0)
    assert drawn.shape == (5, 1, 32)
    assert abs(drawn.mean() - 5e5) < 3000


def test_draws_are_rough_where_means_are_smooth(noise_decoder):
    tokens = noise_decoder.tokenizer_.encode(rough(100, seed=1))
    means = noise_decoder.tokenizer_.decode(tokens)
    drawn = noise_decoder.sample(tokens, random_state=0)
    assert np.diff(means).std() < 0.75 * np.sqrt(2)
    assert np.diff(drawn).std() == pytest.approx(np.sqrt(2), rel=0.15)
    assert drawn.std() == pytest.approx(1, rel=0.15)
    # Two draws of the same tokens differ.
    assert np.abs(drawn - noise_decoder.sample(tokens, random_state=1)).mean() > 0.2


def test_the_class_matters_where_tokens_say_nothing():
    quiet, loud = 0.1 * rough(100), 3 * rough(100, seed=1)
    y = np.repeat(["quiet", "loud"], 100)
    one_code = FrozenEstimator(tokenizer(codebook_size=1).fit(np.concatenate([quiet, loud])))
    new = flow_decoder(tokenizer=one_code, max_epochs=15, batch_size=64, width=8, n_steps=4)
    fitted = new.fit(np.concatenate([quiet, loud]), y)
    tokens = fitted.tokenizer_.encode(loud[:50])
    spread = {label: fitted.sample(tokens, y=label, random_state=0).std() for label in set(y)}
    assert spread["loud"] > 3 * spread["quiet"]


def test_a_row_depends_on_the_seed_its_number_its_tokens_and_its_class_only(decoder):
    tokens = np.tile(decoder.tokenizer_.encode(X), (4, 1))
    all_rows = decoder.sample(tokens, y=np.tile(Y, 4), random_state=3)
    np.testing.assert_array_equal(decoder.sample(tokens[:7], y=Y[:7], random_state=3), all_rows[:7])
    changed = tokens.copy()
    changed[1:] = tokens[0]
    np.testing.assert_array_equal(decoder.sample(changed, y=Y[0], random_state=3)[0], all_rows[0])
    assert not np.array_equal(all_rows[:24], all_rows[24:48])  # of the same tokens
    assert not np.array_equal(decoder.sample(tokens, random_state=4), all_rows)


def test_pickles_and_clones_draw_the_same_bits(decoder):
    tokens = decoder.tokenizer_.encode(X)
    drawn = decoder.sample(tokens, random_state=0)
    opened = pickle.loads(pickle.dumps(decoder))
    np.testing.assert_array_equal(opened.sample(tokens, random_state=0), drawn)
    again = clone(decoder).fit(X, Y)
    np.testing.assert_array_equal(again.sample(tokens, random_state=0), drawn)


def test_unknown_classes_and_tokens_are_refused(decoder):
    tokens = decoder.tokenizer_.encode(X[:2])
    with pytest.raises(ValueError, match="unseen label: 'other'"):
        decoder.sample(tokens, y="other")
    with pytest.raises(ValueError, match="whole numbers in"):
        decoder.sample(tokens + 1000)
    with pytest.raises(ValueError, match="fitted without"):
        flow_decoder().fit(X).sample(tokens, y=Y[:2])


def test_a_tokenizer_that_was_fitted_anew_since_is_refused():
    inside = tokenizer().fit(X)
    fitted = flow_decoder(tokenizer=FrozenEstimator(inside)).fit(X, Y)
    tokens = inside.encode(X)
    inside.set_params(random_state=1).fit(X)
    with pytest.raises(ValueError, match="fitted anew"):
        fitted.sample(tokens)


# ---- what training series have exactly


def test_samples_of_standardised_series_are_standardised():
    series = standardised(rough(24))
    fitted = flow_decoder().fit(series)
    drawn = fitted.sample(fitted.tokenizer_.encode(series), random_state=0)
    np.testing.assert_allclose(drawn.mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(drawn.std(1), 1, atol=1e-5)


@pytest.mark.slow  # what is imposed on series is tested without a decoder
def test_samples_hold_their_values_as_often_as_training_series_do():
    series = np.repeat(rough(200, 8), 4, axis=1)  # three in four values repeat the one before
    fitted = flow_decoder(max_epochs=15, batch_size=64, width=8, n_steps=4).fit(series)
    drawn = fitted.sample(fitted.tokenizer_.encode(series), random_state=0)
    held = np.diff(drawn) == 0
    assert held.mean() == pytest.approx((np.diff(series) == 0).mean(), abs=0.05)
    # Runs of four begin at every fourth value.
    assert held[:, 3::4].mean() < 0.1


def test_samples_of_whole_numbers_are_whole():
    series = np.round(3 * rough(24)) + 100
    fitted = flow_decoder().fit(series)
    drawn = fitted.sample(fitted.tokenizer_.encode(series), random_state=0)
    np.testing.assert_allclose(drawn % 1, 0, atol=1e-3)


# ---- few series


def test_series_are_held_out_and_after_an_early_end_all_are_learned_from_the_start():
    seen = []
    original = module.train

    def spy(step, data, plan, generator, validation, *others):
        record = original(step, data, plan, generator, validation, *others)
        seen.append((len(torch.unique(data[0], dim=0)), validation is None, record))
        return record

    eager = flow_decoder(early_stopping=True, max_epochs=12, n_iter_no_change=1, learning_rate=0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "train", spy)
        fitted = eager.fit(X, Y)
    (n_first, no_validation, first), (n_second, without, second) = seen
    assert (n_first, no_validation, n_second, without) == (19, False, 24, True)
    assert first.n_epochs < 12
    best = int(np.argmin(first.losses["validation"])) + 1
    assert second.n_epochs == fitted.n_iter_ == min(2 * best, 12)
    (mean, draws), distances = fitted.energy_scores_, fitted.sample_distances_
    assert mean > 0
    assert fitted.is_used_ == (draws < mean and distances[1] < distances[0] + 0.005)


@pytest.mark.parametrize(
    ("scores", "distances"), [((1.0, 1.5), (0.5, 0.1)), ((1.0, 0.5), (0.1, 0.12))]
)
def test_draws_that_are_worse_than_the_mean_are_not_used(monkeypatch, scores, distances):
    monkeypatch.setattr(module, "energy_scores", lambda *_: scores)
    monkeypatch.setattr(module, "sample_distances", lambda *_: distances)
    with pytest.warns(UserWarning, match="decoded to their mean"):
        fitted = flow_decoder(early_stopping=True).fit(X, Y)
    tokens = fitted.tokenizer_.encode(X)
    assert not fitted.is_used_
    np.testing.assert_array_equal(fitted.sample(tokens), fitted.tokenizer_.decode(tokens))
    with pytest.warns(UserWarning, match="decoded to their mean"):
        generator = masked_prior(decoder=flow_decoder(early_stopping=True)).fit(X, Y)
    same = generator.sample(5, random_state=0)
    decoder, generator.decoder_ = generator.decoder_, None
    np.testing.assert_array_equal(generator.sample(5, random_state=0), same)
    gap = X[:3].copy()
    gap[:, 10:20] = np.nan
    filled = generator.impute(gap, random_state=0)
    generator.decoder_ = decoder
    np.testing.assert_array_equal(generator.impute(gap, random_state=0), filled)


@pytest.mark.filterwarnings("error")
def test_draws_that_are_as_good_as_the_mean_are_used():
    assert module.is_better((1.0, 0.9), (0.1, 0.102))
    assert flow_decoder(early_stopping=False).fit(X).is_used_  # nothing was held out to tell


def test_a_decoder_that_was_not_judged_before_ctrl_c_is_not_used(ctrl_c_in_the_third_epoch):
    # The tokenizer has fewer epochs; the decoder is interrupted before it is judged.
    tokens = FrozenEstimator(tokenizer(max_epochs=2).fit(X))
    decoder = FlowDecoder(tokens, width=4, max_epochs=5, random_state=0)
    with pytest.raises(KeyboardInterrupt):
        decoder.fit(X)
    assert (decoder.interrupted_, decoder.is_used_) == (True, False)
    assert (decoder.energy_scores_, decoder.sample_distances_) == (None, None)


def test_draws_of_noise_are_more_like_it_than_its_means_are(noise_decoder):
    series, classes = rough(200), np.zeros(200, dtype=np.int64)
    ids = torch.from_numpy(noise_decoder.tokenizer_.encode(series))
    generator = torch.Generator().manual_seed(0)
    means, draws = module.sample_distances(noise_decoder, series[:, None], ids, classes, generator)
    assert 0 <= abs(draws) < means / 4


# ---- how it is disturbed and what it is shown


def test_some_tokens_are_drawn_anew_from_near_codes_of_their_band():
    fitted = VQTokenizer(codebook_size=6, n_bands=2, max_epochs=2, random_state=0).fit(rough(50))
    near = NearCodes(fitted)
    ids = torch.from_numpy(fitted.encode(rough(400, seed=1)))
    redrawn = near.redraw(ids, torch.Generator().manual_seed(0))
    assert torch.equal(redrawn < 6, ids < 6)
    changed = redrawn != ids
    assert 0.05 < changed.float().mean() < 0.3
    # Naive shares: softmax of minus squared distances over the median of the nearest ones.
    codes = fitted.codebook_.astype(np.float64)
    squared = ((codes[:, None] - codes) ** 2).sum(-1)
    nearest = [
        squared[i, [j for j in range(6 * (i // 6), 6 * (i // 6) + 6) if j != i]].min()
        for i in range(12)
    ]
    typical = np.sort(nearest)[5]  # torch's median is the lower of the two in the middle
    code = int(ids.flatten().mode().values)
    band = slice(6 * (code // 6), 6 * (code // 6) + 6)
    weights = np.exp(-squared[code, band] / typical)
    expected = 0.7 * (np.arange(12)[band] == code) + 0.3 * weights / weights.sum()
    found = np.bincount(redrawn[ids == code].numpy(), minlength=12)[band]
    np.testing.assert_allclose(found / found.sum(), expected, atol=0.03)


def test_a_single_code_is_never_another():
    fitted = tokenizer(codebook_size=1).fit(X)
    near = NearCodes(fitted)
    ids = torch.from_numpy(fitted.encode(X))
    assert torch.equal(near.redraw(ids, torch.Generator().manual_seed(0)), ids)


def test_a_quarter_of_the_series_is_shown_in_part():
    shown = draw_shown((4000, 3, 20), torch.Generator().manual_seed(0))
    share = shown.mean(dim=(1, 2))
    assert set(shown.unique().tolist()) == {0.0, 1.0}
    assert (share > 0).float().mean() == pytest.approx(0.25, abs=0.03)
    some = shown[(share > 0) & (share < 1)]
    # In some all channels are hidden alike, in others some channels are shown throughout.
    alike = (some == some[:, :1]).all(dim=2).all(dim=1)
    assert 0.3 < alike.float().mean() < 0.8
    assert some.mean(dim=2).amax(dim=1).eq(1).float().mean() > 0.3


# ---- in a generator


@pytest.mark.parametrize("kind", KINDS)
def test_generators_draw_their_series_by_default(kind, monkeypatch):
    original = module.flow_plan
    monkeypatch.setattr(module, "flow_plan", lambda *of: replace(original(*of), n_epochs=1))
    monkeypatch.setattr(module, "is_better", lambda *_: True)
    fitted = KINDS[kind](decoder="auto").fit(X[:12], Y[:12])
    assert isinstance(fitted.decoder_, FlowDecoder)
    assert fitted.decoder_.tokenizer_ is fitted.tokenizer_
    drawn = fitted.sample(6, random_state=0)
    fitted.decoder_ = None
    assert not np.array_equal(fitted.sample(6, random_state=0), drawn)


@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_can_be_left_out(kind):
    fitted = KINDS[kind](decoder=None).fit(X, Y)
    assert fitted.decoder_ is None
    smooth = fitted.sample(3, random_state=0)
    means = fitted.tokenizer_.decode(fitted.tokenizer_.encode(X))
    assert smooth.shape == (3, 32)
    assert means.shape == X.shape


def test_few_series_are_decoded_to_their_mean():
    assert masked_prior(decoder="auto").fit(X[:9], Y[:9]).decoder_ is None


def test_its_parameters_can_be_searched():
    generator = MaskedPriorGenerator(decoder=FlowDecoder(width=4))
    assert generator.get_params()["decoder__width"] == 4
    assert clone(generator).set_params(decoder__n_steps=2).decoder.n_steps == 2


def test_samples_of_a_generator_depend_on_seed_and_row_only():
    fitted = masked_prior(decoder=flow_decoder()).fit(X, Y)
    drawn = fitted.sample(70, random_state=5)
    np.testing.assert_array_equal(fitted.sample(3, random_state=5), drawn[:3])
    opened = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(opened.sample(70, random_state=5), drawn)
    again = clone(fitted).fit(X, Y).sample(70, random_state=5)
    np.testing.assert_array_equal(again, drawn)


@pytest.mark.parametrize(
    "dtype", [torch.float64, pytest.param(torch.float16, marks=pytest.mark.slow)]
)
def test_settings_of_the_user_do_not_change_what_is_judged(dtype):
    new = flow_decoder(early_stopping=True, max_epochs=2)
    expected = clone(new).fit(X, Y)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.no_grad():
            found = clone(new).fit(X, Y)
    finally:
        torch.set_default_dtype(before)
    assert found.energy_scores_ == expected.energy_scores_
    assert found.sample_distances_ == expected.sample_distances_
    tokens = expected.tokenizer_.encode(X)
    drawn = expected.sample(tokens, random_state=0)
    np.testing.assert_array_equal(found.sample(tokens, random_state=0), drawn)


@pytest.mark.parametrize("form", ["pandas", pytest.param("polars", marks=pytest.mark.slow)])
def test_tables_as_the_usual_output_do_not_change_what_is_judged(form):
    new = flow_decoder(early_stopping=True, max_epochs=2)
    expected = clone(new).fit(X, Y)
    with config_context(transform_output=form):
        found = clone(new).fit(X, Y)
    assert found.sample_distances_ == expected.sample_distances_
