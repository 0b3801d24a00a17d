"""Generators of series of unequal length: lengths are drawn first, then tokens given these."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.frozen import FrozenEstimator

import skvqts
from skvqts import MaskedPriorGenerator, as_series_list
from skvqts._generation.sampling import TokenReader, decode_scaled
from skvqts._generation.stages import PriorStep
from skvqts._generation.unequal import encoded, lengths_of
from skvqts._nn.layers import build
from skvqts._nn.prior import Prior
from skvqts._tokenizer import code_ranges, tokens_of_lengths
from skvqts.functional.masking import masked_cross_entropy, stratified_masks
from skvqts.metrics import make_generation_scorer

from .estimators import autoregressive_prior, flow_decoder, masked_prior, tokenizer
from .refusals import assert_refused
from .test_unequal import LENGTHS, PANEL, SERIES, X, Y, generator, padded

VALUE = (ValueError,)
NESTED = {"one band": {}, "two bands": {"n_bands": 2}, "stft": {"frontend": "stft"}}


def new(nested=None, **parameters):
    """A small generator whose tokenizer takes series of unequal length."""
    nested = {"missing": "mask", "max_epochs": 3} | (nested or {})
    return masked_prior(nested, **{"decoder": None} | parameters)


@functools.cache
def fitted(name="one band", with_labels=True):
    return new(NESTED[name]).fit(SERIES, Y if with_labels else None)


def ids_of(model):
    return encoded(model, model.tokenizer_, padded(SERIES))


# ---- the prior


def prior(n_codes=5, grid=((1, 3), (2, 4))):
    make = functools.partial(Prior, grid, n_codes, 0, 4, width=8, n_layers=1, n_heads=2)
    sizes = {"head_dim": 4, "feedforward": 8, "dropout": 0.0, "causal": False}
    return build(functools.partial(make, ends=True, **sizes), generator())


def sequences(n=6, seed=1):
    """Tokens (n, 3 + 2 * 4) of two bands of 5 codes, of which most series have an end."""
    ids = torch.randint(5, (n, 11), generator=generator(seed))
    ids[:, 3:] += 5
    for row in range(1, n):
        columns = 1 + row % 4
        ids[row, min(3, columns) : 3] = -1
        ids[row, 3 + columns : 7] = -1
        ids[row, 7 + columns :] = -1
    return ids


def test_a_prior_sees_the_end_of_a_series_even_under_a_mask():
    model, ids = prior(), sequences()
    with torch.no_grad():
        model.bands[1].head.weight.normal_(generator=generator())
    classes = torch.zeros(6, dtype=torch.int64)
    hidden = torch.ones(6, 8, dtype=torch.bool)
    logits = model.logits(1, ids, hidden, classes)
    assert torch.equal(logits, model.logits(1, ids, hidden & (ids[:, 3:] >= 0), classes))
    other = ids.clone()
    other[1, 3:][other[1, 3:] < 0] = 5  # the same series without an end
    assert not torch.allclose(logits[1], model.logits(1, other, hidden & False, classes)[1])
    changed = model.logits(1, other, hidden, classes)
    assert not torch.allclose(logits[1], changed[1])
    assert torch.equal(logits[0], changed[0])


@pytest.mark.parametrize("schedule", ["cosine", "likelihood"])
def test_what_is_beyond_an_end_has_no_loss(schedule):
    model, ids = prior(), sequences()
    ids[:, 6], ids[:, 10] = -1, -1  # no series has the last column of the second band
    model.start_from(torch.randn(10, 4, generator=generator(2)), ids)
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    step = PriorStep(model, schedule, 0.0, 0.9, 0.0, generator(3)).train()
    step(ids, torch.zeros(6, dtype=torch.int64))["prior"].backward()
    gradient = model.bands[1].bias.grad
    assert gradient[[3, 7]].eq(0).all()
    assert gradient[[0, 4]].ne(0).any()


def test_first_predictions_are_the_frequencies_among_the_series_that_last_so_long():
    model = prior(grid=((1, 3),))
    ids = torch.tensor([[0, 1, 2], [0, 1, -1], [0, 3, -1], [4, -1, -1]])
    model.start_from(torch.randn(5, 4, generator=generator(2)), ids)
    counts = torch.tensor([[3.0, 0, 0, 0, 1], [0, 2, 0, 1, 0], [0, 0, 1, 0, 0]])
    overall = counts.sum(0) / 8
    expected = (counts + 2 * overall + 0.01) / (torch.tensor([[4.0], [3.0], [1.0]]) + 2)
    torch.testing.assert_close(model.bands[0].bias.exp(), expected)


def test_rows_that_hide_nothing_do_not_count():
    losses = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    masks = torch.tensor([[True, True], [False, False]])
    for schedule in ("likelihood", "cosine"):
        assert masked_cross_entropy(losses, masks, schedule) == 1.5
        assert masked_cross_entropy(losses, masks & False, schedule) == 0


# ---- samples


@pytest.mark.parametrize("name", NESTED)
def test_samples_are_series_of_the_lengths_of_the_training_set(name):
    model = fitted(name)
    drawn, y = model.sample(40, random_state=0, return_y=True)
    assert isinstance(drawn, list)
    lengths = [series.shape[1] for series in drawn]
    assert all(series.dtype == np.float32 and len(series) == 2 for series in drawn)
    assert all(np.isfinite(series).all() for series in drawn)
    for label in (0, 1):
        of_label = {length for length, of in zip(lengths, y, strict=True) if of == label}
        assert len(of_label) > 5
        assert of_label <= set(LENGTHS[label == Y])
    first = model.sample(7, random_state=0)
    assert all(np.array_equal(a, b) for a, b in zip(first, drawn, strict=False))


def test_every_length_is_drawn_as_often_as_it_occurs():
    model = fitted(with_labels=False)
    drawn = [series.shape[1] for series in model.sample(1000, random_state=1)]
    for length, count in zip(*np.unique(LENGTHS, return_counts=True), strict=True):
        expected = 1000 * count / 24
        assert abs(drawn.count(length) - expected) < 4 * expected**0.5


def test_lengths_can_be_given():
    model = fitted()
    lengths = [3, 32, 1, 17]
    drawn = model.sample(lengths=lengths, y=1, random_state=0, n_samples=4)
    assert [series.shape for series in drawn] == [(2, length) for length in lengths]
    again = model.sample(lengths=lengths[:2], y=[1, 1], random_state=0)
    assert all(np.array_equal(a, b) for a, b in zip(again, drawn, strict=False))
    assert len(model.sample(lengths=lengths)) == 4
    for bad, message in (([3], "for each of 2"), ([3, 33], "between 1 and 32")):
        call = functools.partial(model.sample, 2, lengths=bad)
        assert_refused(call, VALUE, message)


@pytest.mark.parametrize("order", ["low_discrepancy", "confidence", "random"])
@pytest.mark.parametrize("name", NESTED)
def test_ends_are_where_they_were_drawn_and_tokens_before_are_codes(name, order):
    model = fitted(name)
    inside = tokens_of_lengths(model.tokenizer_, LENGTHS)
    given = np.where(inside, 0, -1)
    classes = np.zeros(24, np.int64)
    model.set_params(order=order)
    ids = TokenReader(model).fill(given, inside, classes, 5, model._decodings())
    model.set_params(order="low_discrepancy")
    ranges = code_ranges(model.tokenizer_)
    assert np.array_equal(ids < 0, ~inside)
    assert ((ids >= ranges[:, 0]) & (ids < ranges[:, 1]))[inside].all()
    # They become series as the tokenizer decodes them.
    decoded = model.tokenizer_.scaler_.inverse(decode_scaled(model, ids))
    tokens = [row[of_row] for row, of_row in zip(ids, inside, strict=True)]
    expected = model.tokenizer_.decode(tokens, lengths=LENGTHS)
    for series, of_tokens in zip(decoded, expected, strict=True):
        assert np.array_equal(series[:, : of_tokens.shape[1]], of_tokens)


def test_series_are_drawn_given_their_length():
    """Long series are high and short ones low; what is drawn for a length is one of its own."""
    rng = np.random.default_rng(0)
    lengths = np.tile([12, 32], 40)
    series = [(1.0 if n > 20 else -1.0) + 0.1 * rng.normal(size=n) for n in lengths]
    model = new({"max_epochs": 12}, max_epochs=12, learning_rate=0.01).fit(series)
    drawn = model.sample(lengths=np.tile([12, 32], 20), random_state=0)
    levels = np.array([np.sign(of_series.mean()) for of_series in drawn])
    assert (levels[::2] < 0).mean() > 0.9
    assert (levels[1::2] > 0).mean() > 0.9
    assert drawn[0].shape == (12,)


# ---- likelihoods


@pytest.mark.parametrize("name", NESTED)
def test_likelihood_is_that_of_the_tokens_of_series_given_their_length(name):
    model = new(NESTED[name], n_layers=0).fit(SERIES)
    with torch.no_grad():  # predictions are the biases alone
        for band in model.module_.bands:
            band.head.weight.zero_()
    ids = ids_of(model)
    expected, start = np.zeros(24), 0
    for band in model.module_.bands:
        of_band = ids[:, start : start + band.n_tokens]
        log_p = F.log_softmax(band.bias.detach(), dim=1).numpy()
        masks, weights = stratified_masks(band.n_tokens, 32, generator())
        for row in range(24):
            for token in np.flatnonzero(of_band[row] >= 0):
                times = float((weights * masks[:, token]).sum())
                expected[row] += times * log_p[token, of_band[row, token] - band.first_code]
        start += band.n_tokens
    np.testing.assert_allclose(model.score_samples(SERIES), expected, rtol=1e-4)


def test_scores_of_series_do_not_depend_on_others_nor_on_their_form():
    model = fitted()
    scores = model.score_samples(SERIES)
    assert np.array_equal(model.score_samples(SERIES[4:5]), scores[4:5])
    assert np.array_equal(model.score_samples(padded(SERIES)), scores)
    assert model.class_log_likelihoods(SERIES).shape == (24, 2)
    assert np.isfinite(model.score(SERIES))
    assert (model.residual_scale_ > 0).all()
    # Of a series the density of its reconstruction counts up to its end.
    decoded = model.tokenizer_.decode(model.tokenizer_.encode(SERIES), lengths=LENGTHS)
    scaler, scale = model.tokenizer_.scaler_, model.residual_scale_[:, None]
    densities = []
    for a, b in zip(decoded, SERIES, strict=True):
        z = (scaler.transform(a[None].astype(float)) - scaler.transform(b[None]))[0] / scale
        densities.append(-(z**2 / 2 + np.log(scale * np.sqrt(2 * np.pi))).sum())
    both = model.score_samples(SERIES, include_reconstruction=True)
    np.testing.assert_allclose(both - scores, densities, rtol=1e-4)


# ---- input


def test_series_of_one_length_are_as_before():
    for form in (list(PANEL), PANEL.tolist()):
        model = masked_prior(decoder=None).fit(form)
        assert model.sample(3).shape == (3, 2, 32)
        assert "ends" not in model.architecture_
        assert_refused(lambda m=model: m.score_samples(SERIES), VALUE, "unequal length")
    assert_refused(lambda: model.sample(2, lengths=[3, 4]), VALUE, "lengths are for a")


@pytest.mark.parametrize("n_filled_up", [1, 24])
def test_series_of_one_length_may_be_filled_up_with_missing_values(n_filled_up):
    filled_up = [np.append(series, np.nan) for series in PANEL[:n_filled_up, 0]]
    plain = list(PANEL[:, 0])
    model = masked_prior(decoder=None).fit(filled_up + plain[n_filled_up:])
    expected = masked_prior(decoder=None).fit(plain)
    assert np.array_equal(model.sample(3, random_state=0), expected.sample(3, random_state=0))


def test_what_is_not_for_series_of_unequal_length_is_refused():
    model = fitted()
    gapped = padded(SERIES)
    for call, what in (
        (lambda: model.impute(gapped), "impute"),
        (lambda: model.forecast(PANEL, 3), "forecast"),
        (lambda: model.anomaly_score(SERIES), "anomaly_score"),
        (lambda: model.score_samples(SERIES, method="exact"), "method='exact'"),
    ):
        assert_refused(call, VALUE, f"{what} needs a MaskedPriorGenerator .* of one length")
    assert_refused(lambda: new(decoder=flow_decoder()).fit(SERIES), VALUE, "set decoder=None")
    inner = [series.copy() for series in SERIES]
    inner[3][0, 2] = np.nan
    for call in (lambda: new().fit(inner), lambda: model.score_samples(inner)):
        assert_refused(call, VALUE, "Series 3 of X has a missing value before its end")
    assert_refused(lambda: new().fit(gapped), VALUE, "MaskedPriorGenerator does not accept missing")
    too_long = [*SERIES, np.zeros((2, 40))]
    assert_refused(lambda: model.score_samples(too_long), VALUE, "at most 32")
    without = masked_prior(decoder=None)
    assert_refused(lambda: without.fit(SERIES), VALUE, "a `tokenizer` that has missing='mask'")
    assert not [name for name in vars(without) if name.endswith("_")]
    causal = autoregressive_prior(decoder=None)
    assert_refused(lambda: causal.fit(SERIES), VALUE, "unequal length.*pad or resample")


@pytest.mark.parametrize("score", ["neg_fid", "classification_accuracy", "memorization"])
def test_scorers_say_that_they_take_series_of_one_length(score):
    model, X = fitted(), PANEL
    scorer = make_generation_scorer(score, X_train=X, y_train=Y)
    assert_refused(lambda: scorer(model, X, Y), VALUE, "X_gen holds series of unequal length")


def test_a_fitted_tokenizer_of_longer_series_is_taken_and_series_of_one_channel():
    flat = [series[0] for series in SERIES]
    frozen = FrozenEstimator(tokenizer(missing="mask", downsampled_width=8).fit(flat))
    short = [series[:20] for series in flat]
    model = masked_prior(tokenizer=frozen, decoder="auto").fit(short)
    assert model.decoder_ is None
    assert model.n_timepoints_in_ == 32
    assert {series.shape for series in model.sample(5, lengths=[4, 4, 4, 4, 4])} == {(4,)}


def test_a_fit_to_series_of_one_length_forgets_the_lengths_of_the_one_before():
    model = new().fit(SERIES).fit(PANEL)
    assert model.lengths_ is None
    assert model.sample(2).shape == (2, 2, 32)


def test_generators_of_lists_are_kept(tmp_path):
    model = fitted()
    model.save(tmp_path / "model")
    opened = skvqts.load(tmp_path / "model")
    for found, expected in zip(
        opened.sample(5, random_state=3), model.sample(5, random_state=3), strict=True
    ):
        assert np.array_equal(found, expected)
    for found, expected in zip(model.X_fit_, SERIES, strict=True):
        assert np.array_equal(found, expected)
        assert not found.flags.writeable


def test_lengths_of_padded_series():
    assert np.array_equal(lengths_of(padded(SERIES)), LENGTHS)


@pytest.mark.slow
def test_defaults_take_lists():
    series = as_series_list(np.where(np.arange(32) < LENGTHS[:, None], X, np.nan))
    model = MaskedPriorGenerator(random_state=0).fit(series, Y)
    assert model.tokenizer_.missing == "mask"
    assert len(model.sample(4)) == 4
