"""Imputation of gaps and anomaly scores of time points."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch

from skvqts._fitting.scaling import SeriesScaler
from skvqts._generation.anomalies import window_masks
from skvqts._generation.gaps import interpolated
from skvqts._generation.imputation import draw_proposals, drawn_errors
from skvqts._generation.sampling import TokenReader

from .conftest import two_shapes
from .estimators import GENERATORS, fitted_generator, masked_prior
from .trained_generators import bumps, fitted_to_bumps, fitted_to_sines, sines

X, Y = two_shapes(24)
MASKED = [name for name in GENERATORS if name.startswith("Masked")]
each_masked_prior = pytest.mark.parametrize("name", MASKED)
GAPS = {
    "middle": np.s_[:, 10:17],
    "start": np.s_[:, :5],
    "end": np.s_[:, 28:],
    "points": np.s_[:, ::3],
    "one point": np.s_[3, 7],
    "all of some series": np.s_[::2],
    "everything": np.s_[:],
    "all but one point": np.s_[:, 1:],
}


def with_gap(gap):
    hidden = X.copy()
    hidden[gap] = np.nan
    return hidden


@pytest.fixture(scope="module")
def panel():
    """Series of three channels of different levels and scales, and a prior fitted to them."""
    series = np.stack([X, 100 - 10 * X, 1e4 * np.roll(X, 5, 1) + 1e6], axis=1)
    return series, masked_prior().fit(series, Y)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("gap", GAPS)
@each_masked_prior
def test_gaps_are_filled_and_observed_values_are_kept_exactly(name, gap):
    hidden = with_gap(GAPS[gap])
    before = hidden.copy()
    filled = fitted_generator(name).impute(hidden, random_state=0)
    assert filled.shape == X.shape
    assert filled.dtype == np.float64
    assert np.isfinite(filled).all()
    observed = ~np.isnan(hidden)
    assert np.array_equal(filled[observed], X[observed])
    assert np.array_equal(hidden, before, equal_nan=True)
    assert np.abs(filled).max() < 10


@each_masked_prior
def test_errors_for_missing_values_mention_impute(name):
    hidden = with_gap(GAPS["middle"])
    for method in ("score_samples", "anomaly_score", "class_log_likelihoods"):
        with pytest.raises(ValueError, match="fill them with `impute`"):
            getattr(fitted_generator(name), method)(hidden)
    with pytest.raises(ValueError, match="interpolate them"):
        GENERATORS[name]().fit(hidden)


@each_masked_prior
def test_complete_series_are_returned_unchanged(name):
    generator = fitted_generator(name)
    assert np.array_equal(generator.impute(X), X)
    single = X.astype(np.float32)
    assert np.array_equal(generator.impute(single), single.astype(np.float64))
    assert np.array_equal(generator.impute(np.round(X).astype(int)), np.round(X))
    some = with_gap(np.s_[::2, 3:9])
    assert np.array_equal(generator.impute(some)[1::2], X[1::2])


@each_masked_prior
def test_draws_differ_and_are_reproducible(name):
    generator, hidden = fitted_generator(name), with_gap(np.s_[:, 5:25])
    draws = generator.impute(hidden, n_draws=3, random_state=0)
    assert draws.shape == (3, 24, 32)
    assert np.array_equal(generator.impute(hidden, n_draws=3, random_state=0), draws)
    assert np.array_equal(generator.impute(hidden, random_state=0), draws[0])
    assert generator.impute(hidden, n_draws=1, random_state=0).shape == (1, 24, 32)
    assert len(np.unique(draws, axis=0)) == 3
    assert np.array_equal(draws[:, :, :5], np.stack([X[:, :5]] * 3))
    assert not np.array_equal(generator.impute(hidden, random_state=1), draws[0])
    assert np.array_equal(generator.impute(hidden[:7], random_state=0), draws[0][:7])


@pytest.mark.parametrize("n_draws", [0, -1, 2.5, "2", True], ids=repr)
def test_invalid_n_draws_are_refused(n_draws):
    with pytest.raises(ValueError, match="The 'n_draws' parameter of impute must be"):
        fitted_generator("MaskedPriorGenerator").impute(X, n_draws=n_draws)


@pytest.mark.filterwarnings("error")
def test_missing_channels_are_imputed(panel):
    series, generator = panel
    for channels in ([0], [2], [0, 2], [0, 1, 2]):
        hidden = series.copy()
        hidden[3:9, channels] = np.nan
        filled = generator.impute(hidden, random_state=0)
        observed = ~np.isnan(hidden)
        assert filled.shape == series.shape
        assert np.array_equal(filled[observed], series[observed])
        levels, scales = series.mean(axis=(0, 2)), series.std(axis=(0, 2))
        away = (filled - levels[:, None]) / scales[:, None]
        assert np.abs(away).max() < 5


def test_a_gap_may_be_in_one_channel_only(panel):
    series, generator = panel
    hidden = series.copy()
    hidden[:, 1, 8:14] = np.nan
    filled = generator.impute(hidden, random_state=0)
    assert np.isfinite(filled).all()
    assert np.array_equal(filled[:, [0, 2]], series[:, [0, 2]])


@pytest.mark.filterwarnings("ignore:X has feature names")
def test_missing_values_may_be_in_any_container():
    hidden = with_gap(np.s_[:, 4:9])
    generator = fitted_generator("MaskedPriorGenerator")
    expected = generator.impute(hidden, random_state=0)
    for container in (hidden.tolist(), pd.DataFrame(hidden), hidden[:, None]):
        assert np.array_equal(generator.impute(container, random_state=0), expected)
    nullable = pd.DataFrame(hidden).convert_dtypes()
    assert nullable.isna().to_numpy().any()
    assert np.array_equal(generator.impute(nullable, random_state=0), expected)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300])
def test_infinite_values_are_refused(value):
    hidden = with_gap(np.s_[:, 4:9])
    hidden[2, 20] = value
    with pytest.raises(ValueError, match="infinity or a value too large"):
        fitted_generator("MaskedPriorGenerator").impute(hidden)


def test_imputation_of_smooth_series_is_better_than_the_mean():
    series = sines(40, seed=1)
    for gap in (np.s_[:, 24:36], np.s_[:, :12], np.s_[:, 52:]):
        hidden = series.copy()
        hidden[gap] = np.nan
        draws = fitted_to_sines().impute(hidden, n_draws=3, random_state=0)
        errors = np.sqrt(np.square(draws - series)[:, gap[0], gap[1]].mean(axis=(1, 2)))
        assert errors.max() < 0.6 * np.sqrt(np.square(series[gap]).mean())


def test_without_a_decoder_filled_gaps_join_the_observed_values_beside_them(monkeypatch):
    results, inverse = [], SeriesScaler.inverse_like
    record = lambda *a: (results.append(a[1]), inverse(*a))[1]  # noqa: E731
    monkeypatch.setattr(SeriesScaler, "inverse_like", record)
    generator = masked_prior(decoder=None).fit(X, Y)
    hidden = with_gap(np.s_[:, 10:17])
    hidden[:, 28:] = np.nan
    filled = generator.impute(hidden, random_state=0)
    (scaled,) = results
    known = ~np.isnan(hidden)
    expected = generator.tokenizer_.scaler_.transform(X[:, None])[:, 0]
    np.testing.assert_allclose(scaled[:, 0][known], expected[known], atol=1e-6)
    assert np.isfinite(filled).all()
    jumps = np.abs(filled[:, [10, 28]] - filled[:, [9, 27]])
    assert jumps.mean() < np.abs(np.diff(X, axis=1)).mean() * 2


def autoregressive(n, correlation, scale, n_timepoints=40, seed=0):
    """Errors ``(n, 2, t)`` of two channels, and which of their values are known."""
    rng = np.random.default_rng(seed)
    errors = rng.normal(size=(n, 2, n_timepoints))
    for time in range(1, n_timepoints):
        errors[..., time] *= np.sqrt(1 - correlation**2)
        errors[..., time] += correlation * errors[..., time - 1]
    known = np.ones(errors.shape, dtype=bool)
    known[..., 12:20] = False  # a block
    known[:, 0, 30] = False  # a point
    known[:, :, 36:] = False  # a tail
    return errors * scale[:, None], known


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_drawn_errors_are_spread_as_what_interpolation_misses(correlation):
    scale = np.array([0.5, 3.0])
    errors, known = autoregressive(4000, correlation, scale)
    missed = errors - interpolated(errors, known)
    hidden = np.where(known, errors, 99.0)  # what stands there has no part
    drawn = drawn_errors(hidden, known, scale, [(1, row) for row in range(4000)])
    assert (drawn[known] == 0).all()
    assert abs(drawn.mean()) < 0.02
    # The correlation is taken from each series, of some 50 pairs, so it is not quite that of all.
    np.testing.assert_allclose(
        drawn.std(axis=0)[~known[0]], missed.std(axis=0)[~known[0]], rtol=0.25
    )
    again = drawn_errors(hidden[7:9], known[7:9], scale, [(1, 7), (1, 8)])
    np.testing.assert_array_equal(again, drawn[7:9])
    # Series whose errors are three times those of the training set miss three times as much.
    larger = drawn_errors(3 * hidden, known, scale, [(1, row) for row in range(4000)])
    size = larger.std(axis=0)[~known[0]] / drawn.std(axis=0)[~known[0]]
    assert ((size > 2) & (size < 3)).all()
    # A channel of which nothing is known has errors that are in proportion.
    known[:, 1] = False
    drawn = drawn_errors(errors, known, scale, [(2, row) for row in range(4000)])
    np.testing.assert_allclose(drawn[:, 1].std(axis=0), scale[1], rtol=0.1)


def test_without_a_decoder_nine_tenths_of_hidden_values_lie_within_the_quantiles():
    X = np.random.default_rng(0).normal(0, 0.3, (80, 64)) + sines(80, 64)
    generator = masked_prior(decoder=None, max_epochs=5).fit(X[:60])
    gaps = X[60:].copy()
    gaps[:, 20:34] = np.nan
    low, high = np.quantile(generator.impute(gaps, n_draws=100, random_state=0), [0.05, 0.95], 0)
    covered = (low < X[60:]) & (X[60:] < high)
    assert 0.8 < covered[:, 20:34].mean() < 0.99


@pytest.mark.filterwarnings("error")
def test_what_stands_under_a_mask_has_no_part_in_the_result():
    generator, hidden = fitted_generator("MaskedPriorGenerator"), with_gap(np.s_[:, 5:12])
    expected = generator.impute(hidden, n_draws=2, random_state=0)
    for value in (0.0, -9.0, 1e6, np.nan, np.inf):
        masked = np.ma.MaskedArray(X.copy(), mask=np.isnan(hidden))
        masked.data[np.isnan(hidden)] = value
        assert np.array_equal(generator.impute(masked, n_draws=2, random_state=0), expected)
    # A list of masked series, and whole numbers, which have no NaN of their own.
    assert np.array_equal(generator.impute(list(masked), n_draws=2, random_state=0), expected)
    whole = np.ma.MaskedArray(np.round(X).astype(int), mask=np.isnan(hidden))
    filled = generator.impute(whole, random_state=0)
    assert np.array_equal(filled[~np.isnan(hidden)], np.round(X)[~np.isnan(hidden)])
    with pytest.raises(ValueError, match="masked array with masked values"):
        generator.score_samples(masked)


def test_proposals_are_of_the_given_class_and_of_all_classes_without_one():
    generator = fitted_to_bumps("masked")
    proposals = draw_proposals(generator, generator._decodings(), seed=0)
    nothing = torch.zeros(40, dtype=torch.bool)
    series = torch.zeros(40, dtype=torch.float64)
    shares = generator.class_counts_ / generator.class_counts_.sum()
    posterior = proposals.posterior(series, nothing, None).numpy()
    of_classes = np.bincount(proposals.classes, posterior)
    np.testing.assert_allclose(of_classes, shares)
    for label in (0, 1):
        given = proposals.posterior(series, nothing, label).numpy()
        assert (given[proposals.classes != label] == 0).all()
        np.testing.assert_allclose(given[proposals.classes == label], 2 / len(given))


def test_a_thousand_series_are_proposed_and_twenty_of_each_class_at_least(monkeypatch):
    generator = fitted_to_bumps("masked")
    assert len(draw_proposals(generator, generator._decodings(), 0).classes) == 100
    monkeypatch.undo()
    assert len(draw_proposals(generator, generator._decodings(), 0).classes) == 1000
    monkeypatch.setattr("skvqts._generation.imputation._LEAST_OF_CLASS", 501)
    assert len(draw_proposals(generator, generator._decodings(), 0).classes) == 1002


def test_draws_are_chosen_by_what_was_observed_of_all_channels():
    """Of two channels that are alike, one that is hidden is filled by the other."""
    series = sines(60, seed=0)
    panel = np.stack([series, series], axis=1)
    generator = masked_prior({"max_epochs": 60, "codebook_size": 16}, max_epochs=40).fit(panel)
    test = sines(20, seed=1)
    hidden = np.stack([test, np.full_like(test, np.nan)], axis=1)
    draws = generator.impute(hidden, n_draws=5, random_state=0)
    assert np.array_equal(draws[:, :, 0], np.stack([test] * 5))
    errors = np.abs(np.median(draws[:, :, 1], axis=0) - test).mean()
    assert errors < 0.5 * np.abs(test).mean()


def test_imputation_follows_the_given_class():
    generator = fitted_to_bumps("masked")
    hidden = np.full((20, 40), np.nan)
    for label, position in (("early", 12), ("late", 28)):
        filled = generator.impute(hidden, y=label, random_state=0)
        assert np.abs(filled.argmax(axis=1) - position).max() < 8
    labels = np.repeat(["early", "late"], 10)
    filled = generator.impute(hidden, y=labels, random_state=0)
    assert np.array_equal(np.where(filled.argmax(axis=1) < 20, "early", "late"), labels)


def test_imputation_follows_the_observed_part_of_the_series():
    """A series without a bump in the first half has one in the second."""
    series, labels = bumps(40, seed=1)
    hidden = series.copy()
    hidden[:, 20:] = np.nan
    filled = fitted_to_bumps("masked").impute(hidden, random_state=0)
    has_bump = filled[:, 20:].max(axis=1) > 0.4
    assert (has_bump == (labels == "late")).mean() >= 0.8


def test_imputation_with_per_series_scaling_keeps_the_level_and_scale_of_each_series():
    level, scale = (np.repeat(pair, 12)[:, None] for pair in ([-7.0, 300.0], [0.01, 100.0]))
    series = np.concatenate([X[:12], X[:12]]) * scale + level
    generator = masked_prior({"scaling": "series"}).fit(series)
    hidden = series.copy()
    hidden[:, 10:22] = np.nan
    halves = [generator.impute(half, random_state=0) for half in (hidden[:12], hidden[12:])]
    filled = (np.concatenate(halves) - level) / scale
    assert np.abs(filled).max() < 10
    np.testing.assert_allclose(filled[:12], filled[12:], atol=1e-4)  # equal but for their scale
    assert filled[:, 10:22].std() > 0.1
    # Of the first twelve series nothing is observed, of the others a level but no scale.
    hidden[:12], hidden[12:, 1:] = np.nan, np.nan
    filled = generator.impute(hidden, random_state=0)
    nowhere, somewhere = filled[:12], filled[12:]
    average = series.std(axis=1).mean()
    for part, middle in ((nowhere, level.mean()), (somewhere, series[12:, :1])):
        assert 0.2 * average < np.abs(part - middle).max() < 5 * average


def test_imputation_far_from_zero_keeps_its_precision():
    hidden = with_gap(np.s_[:, 8:24]) + 1e8
    generator = masked_prior().fit(X + 1e8)
    filled = generator.impute(hidden, random_state=0)
    steps = np.diff(filled[:, 8:24] - 1e8)
    assert len(np.unique(steps)) > 0.9 * steps.size  # in float32 they are multiples of 8


def test_gaps_and_forecasts_of_whole_numbers_and_constants_hold_such():
    series = np.stack([np.round(9 * X), np.full_like(X, 2.7)], axis=1)
    generator = masked_prior().fit(series)
    generator.decoder_.is_used_ = True
    hidden = series.copy()
    hidden[:, :, 10:22] = np.nan
    filled = generator.impute(hidden, n_draws=2, random_state=0)
    assert len(np.unique(filled[..., 0, 10:22])) > 3
    draws = generator.forecast(series[..., :20], 12, n_draws=2, random_state=0)
    for found in (filled, draws):
        np.testing.assert_array_equal(found[..., 0, :], np.rint(found[..., 0, :]))
        assert (found[..., 1, :] == 2.7).all()


def test_imputation_without_labels_needs_no_unconditional_prior():
    generator = masked_prior(p_unconditional=0.0, max_epochs=1).fit(X, Y)
    hidden = with_gap(np.s_[:, 8:14])
    with pytest.raises(ValueError, match="has not learned series of unknown class"):
        generator.anomaly_score(X)
    assert np.isfinite(generator.impute(hidden)).all()
    assert np.isfinite(generator.impute(hidden, y=Y)).all()
    assert np.isfinite(generator.score_samples(X)).all()  # a mixture of the classes
    free = masked_prior(p_unconditional=0.0, max_epochs=1).fit(X)
    assert np.isfinite(free.impute(hidden)).all()
    assert np.isfinite(free.anomaly_score(X)).all()


# ---- forecasts


@pytest.mark.filterwarnings("error")
def test_a_forecast_is_the_imputation_of_a_tail():
    generator, hidden = fitted_generator("MaskedPriorGenerator"), with_gap(np.s_[:, 24:])
    tails = generator.impute(hidden, n_draws=3, random_state=0)[..., 24:]
    draws = generator.forecast(X[:, :24], 8, n_draws=3, random_state=0)
    assert draws.shape == (24, 3, 8)
    assert np.array_equal(draws, tails.transpose(1, 0, 2))
    # The last values of longer series are seen; shorter ones have no beginning.
    longer = np.concatenate([np.full((24, 9), 5.0), X[:, :24]], axis=1)
    assert np.array_equal(generator.forecast(longer, 8, n_draws=3, random_state=0), draws)
    shorter = X[:, 20:24]
    hidden[:, :20] = np.nan
    expected = generator.impute(hidden, n_draws=2, random_state=0)[..., 24:]
    drawn = generator.forecast(shorter, 8, n_draws=2, random_state=0)
    assert np.array_equal(drawn, expected.transpose(1, 0, 2))


@pytest.mark.filterwarnings("error")
def test_forecasts_after_a_fit_to_a_table_do_not_warn():
    columns = [f"t{t}" for t in range(32)]
    generator = masked_prior().fit(pd.DataFrame(X, columns=columns), Y)
    expected = masked_prior().fit(X, Y).forecast(X[:, :24], 8, n_draws=2, random_state=0)
    drawn = generator.forecast(X[:, :24], 8, n_draws=2, random_state=0)
    assert np.array_equal(drawn, expected)


def test_without_a_number_of_draws_a_forecast_is_their_median(panel):
    series, generator = panel
    given = series[:4, :, :20]
    median = generator.forecast(given, 12, random_state=0)
    assert median.shape == (4, 3, 12)
    draws = generator.forecast(given, 12, n_draws=100, random_state=0)
    assert draws.shape == (4, 100, 3, 12)
    assert np.array_equal(median, np.median(draws, axis=1))


def test_forecasts_take_missing_values_labels_and_any_container():
    generator, given = fitted_generator("MaskedPriorGenerator"), X[:, :24].copy()
    given[:, 3:6] = np.nan
    expected = generator.forecast(given, 8, n_draws=1, random_state=0)
    assert np.isfinite(expected).all()
    masked = np.ma.MaskedArray(np.nan_to_num(given), mask=np.isnan(given))
    for container in (given.tolist(), pd.DataFrame(given), given[:, None], masked):
        drawn = generator.forecast(container, 8, n_draws=1, random_state=0)
        assert np.array_equal(drawn, expected)


@pytest.mark.parametrize("horizon", [0, -1, 2.5, "8", True, 32, 40], ids=repr)
def test_invalid_horizons_are_refused(horizon):
    with pytest.raises(ValueError, match="horizon"):
        fitted_generator("MaskedPriorGenerator").forecast(X, horizon)


def test_forecasts_of_other_channels_are_refused(panel):
    with pytest.raises(ValueError, match="X has 1 channels, but"):
        panel[1].forecast(X, 8)


# ---- anomalies


def test_the_context_of_a_window_has_not_seen_the_window(monkeypatch):
    generator, given = fitted_generator("MaskedPriorGenerator"), []
    judge = TokenReader.hidden_losses

    def recorded(self, ids, classes, masks):
        given.append(np.where(np.concatenate([mask.numpy() for mask in masks], 1), -1, ids))
        return judge(self, ids, classes, masks)

    monkeypatch.setattr(TokenReader, "hidden_losses", recorded)
    generator.anomaly_score(X, window=8)
    before, given[:] = list(given), []
    tokenizer = generator.tokenizer_
    _, points = window_masks(8, tokenizer.token_shape_, tokenizer.module_.strides, 32)
    for window, covered in enumerate(points):
        changed = X.copy()
        changed[:, covered] = np.random.default_rng(window).normal(0, 9, (24, covered.sum()))
        given[:] = []
        generator.anomaly_score(changed, window=8)
        assert np.array_equal(given[window], before[window])


@each_masked_prior
@pytest.mark.filterwarnings("error")
def test_every_time_point_has_an_anomaly_score(name):
    for window in (None, 1, 2, 3, 5, 8, 31, 32):
        scores = fitted_generator(name).anomaly_score(X, window)
        assert scores.shape == (24, 32)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all(), window
        assert (scores >= 0).all()
    # The last window is the whole series.
    np.testing.assert_allclose(scores, np.repeat(scores[:, :1], 32, axis=1))


@pytest.mark.parametrize("columns", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, 8))])
@pytest.mark.filterwarnings("ignore:The training set has only")
def test_anomaly_scores_are_finite_for_any_length(columns):
    for length in (1, 5, 17, 39, 40):
        series = two_shapes(8, length)[0]
        nested = {"downsampled_width": columns, "max_epochs": 1}
        generator = masked_prior(nested, n_layers=0, batch_size=1024).fit(series)
        for window in (None, 1, length):
            assert np.isfinite(generator.anomaly_score(series, window)).all(), (length, window)


@pytest.mark.parametrize("window", [0, -1, 2.5, "8", True, float("nan")], ids=repr)
def test_invalid_windows_are_refused(window):
    with pytest.raises(ValueError, match="The 'window' parameter of anomaly_score must be an int"):
        fitted_generator("MaskedPriorGenerator").anomaly_score(X, window)


def test_windows_longer_than_the_series_are_refused():
    with pytest.raises(ValueError, match="window=33 is longer than the series, 32 points"):
        fitted_generator("MaskedPriorGenerator").anomaly_score(X, 33)


@each_masked_prior
def test_anomaly_scores_do_not_depend_on_other_series(name):
    generator = fitted_generator(name)
    whole = generator.anomaly_score(X)
    assert np.array_equal(generator.anomaly_score(X[5:9]), whole[5:9])
    assert np.array_equal(generator.anomaly_score(X[:, None]), whole)


def test_anomaly_scores_over_many_windows_do_not_depend_on_other_series():
    generator, series = fitted_to_sines(), sines(12, seed=2)
    for window in (16, 24, 32):
        whole = generator.anomaly_score(series, window)
        alone = [generator.anomaly_score(series[[row]], window)[0] for row in range(12)]
        assert np.array_equal(np.stack(alone), whole)


@pytest.mark.parametrize("kind", ["burst", "flat"])
def test_anomaly_scores_are_highest_at_the_anomaly(kind):
    series = sines(40, seed=1)
    broken = series.copy()
    if kind == "burst":
        broken[:, 28:38] += np.random.default_rng(5).normal(0, 1.5, (40, 10))
    else:
        broken[:, 28:40] = broken[:, [28]]
    generator = fitted_to_sines()
    scores = generator.anomaly_score(broken)
    peaks = scores.argmax(axis=1)
    assert ((peaks >= 20) & (peaks < 48)).mean() >= 0.8
    assert scores.max(axis=1).mean() > 1.5 * generator.anomaly_score(series).max(axis=1).mean()


def test_anomaly_scores_do_not_depend_on_sampling_parameters():
    generator = copy.deepcopy(fitted_generator("MaskedPriorGenerator"))
    expected = generator.anomaly_score(X)
    generator.set_params(temperature=0.3, n_steps=2, guidance_scale=4.0, order="random")
    assert np.array_equal(generator.anomaly_score(X), expected)
