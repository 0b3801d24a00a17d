"""Codebooks of windows: representations, counts, reliability, and what is learned of series."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeClassifierCV

from skvqts import SSLFeatureExtractor
from skvqts._codebooks.bank import CodebookBank, blocks_for
from skvqts._codebooks.counting import activations, code_statistics
from skvqts._codebooks.invariance import (
    ViewInvariance,
    leaning_on_neighbours,
    principal_directions,
)
from skvqts._codebooks.learning import learn_codebooks, random_codebooks, reliability
from skvqts._codebooks.representations import REPRESENTATIONS, length_of, represented, spectrum
from skvqts.augmentation import GaussianNoise, make_augmentation

from .conftest import two_shapes


def draw(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def padded(series, length):
    """Series with NaN after their ends."""
    return torch.nn.functional.pad(series, (0, length - series.shape[2]), value=math.nan)


def naive_statistics(series, codes, channels, thresholds, dilation):
    """Statistics ``(G, K, 4)`` of one series ``(C, T)`` by loops, in Python's floats."""
    n_timepoints = series.shape[1]
    out = np.zeros((*codes.shape[:2], 4))
    for g, codebook in enumerate(codes.tolist()):
        seen = [row for row, chosen in zip(series.tolist(), channels[g], strict=True) if chosen]
        for t in range(n_timepoints):
            fits = []
            for code in codebook:
                fit = 0.0
                for k, weight in enumerate(code):
                    at = t + (k - len(code) // 2) * dilation
                    if 0 <= at < n_timepoints:
                        fit += weight * sum(row[at] for row in seen)
                fits.append(fit)
            best, worst = int(np.argmax(fits)), int(np.argmin(fits))
            if fits[best] > 1e-4:
                out[g, best, 0] += fits[best] / n_timepoints
            if fits[worst] < -1e-4:
                out[g, worst, 1] += 1 / n_timepoints
            for k, fit in enumerate(fits):
                for j in range(2):
                    out[g, k, 2 + j] += (fit > float(thresholds[g, k, j])) / n_timepoints
    out[..., :2] = np.sqrt(out[..., :2])
    return out


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("dilation", [1, 4])
def test_statistics_match_loops(n_channels, dilation):
    x, codes, thresholds = draw(3, n_channels, 20), draw(2, 4, 5, seed=1), draw(2, 4, 2, seed=2)
    channels = torch.ones(2, n_channels, dtype=torch.bool)
    channels[1, 1:] = False
    statistics = code_statistics(activations(x, codes, channels, dilation), thresholds)
    expected = [naive_statistics(row, codes, channels, thresholds, dilation) for row in x]
    np.testing.assert_allclose(statistics, np.stack(expected), rtol=1e-4, atol=1e-5)


def test_nobody_wins_where_a_series_is_flat():
    codes = draw(1, 4, 5)
    codes -= codes.mean(2, keepdim=True)
    a = activations(torch.full((1, 1, 30), 7.0), codes, torch.ones(1, 1, dtype=torch.bool), 1)
    inside = torch.zeros(1, 30, dtype=torch.bool)
    inside[:, 5:25] = True  # away from the borders, where a window sees zeros
    statistics = code_statistics(a, torch.full((1, 4, 2), 1.0), inside)
    assert not statistics.any()


@pytest.mark.parametrize("name", REPRESENTATIONS)
def test_representations_match_their_formulas(name):
    x = draw(2, 3, 12)
    z, inside = represented(x, name)
    values = x.double().numpy()
    centred = values - values.mean(2, keepdims=True)
    power = np.abs(np.fft.rfft(centred))[..., 1:] ** 2
    expected = {
        "series": values,
        "differences": np.diff(values, prepend=values[..., :1]),
        "running_sums": centred.cumsum(2) / math.sqrt(12),
        "spectrum": np.log1p(power / power.mean(2, keepdims=True)),
    }[name]
    assert inside is None
    assert z.shape == (2, 3, length_of(name, 12))
    np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["series", "differences", "running_sums"])
def test_representations_of_a_shorter_series_are_its_own(name):
    x = draw(2, 1, 12)
    longer = padded(x, 20)
    longer = torch.cat([longer, draw(1, 1, 20, seed=1)])
    z, inside = represented(longer, name)
    np.testing.assert_allclose(z[:2, :, :12], represented(x, name)[0], rtol=1e-4, atol=1e-5)
    assert not z[:2, :, 12:].any()
    assert inside.sum(1).tolist() == [12, 12, 20]


def test_columns_of_time_do_not_see_what_is_beyond_an_end():
    x = draw(4, 1, 24)
    bank = random_codebooks(x, 20, torch.Generator().manual_seed(0))
    of_time = sum(count for name, _, count in bank.blocks_ if name != "spectrum") * 32
    longer = torch.cat([padded(x, 40), draw(1, 1, 40, seed=1)])
    np.testing.assert_allclose(
        bank.features(longer)[:4, :of_time], bank.features(x)[:, :of_time], rtol=1e-4, atol=1e-5
    )


def test_reliability_by_hand():
    features = torch.tensor([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0]])  # variances 1, 1, 0
    views = [features, features + torch.tensor([0.0, 1.0, 1.0])]
    # within series, half of the mean square difference: 0 and (0 + 1) / 2 / 2
    np.testing.assert_allclose(reliability(features, views), [1.0, 0.75, 0.0])
    far = [features + 100]
    np.testing.assert_allclose(reliability(features, far), [-1.0, -1.0, 0.0])


@pytest.mark.parametrize("n_timepoints", [1, 2, 5, 24, 150, 2000])
@pytest.mark.parametrize("n_codebooks", [1, 7, 256])
def test_all_codebooks_are_shared_out(n_timepoints, n_codebooks):
    blocks = blocks_for(n_timepoints, n_codebooks)
    assert sum(count for _, _, count in blocks) == n_codebooks
    assert min(count for _, _, count in blocks) >= 1
    for name, dilation, _ in blocks:
        assert dilation == 1 or 8 * dilation < length_of(name, n_timepoints)


def test_learned_codes_are_windows_of_the_series():
    """Of single-channel series the codes of the block of dilation 2 are found again by search."""
    x = torch.sin(torch.linspace(0, 9, 40) + torch.arange(6)[:, None])[:, None]
    bank = learn_codebooks(x, 24, make_augmentation("warp"), torch.Generator().manual_seed(0))
    start = 0
    for name, dilation, count in bank.blocks_:
        if (name, dilation) == ("series", 2):
            codes = bank.codes_[start : start + count].reshape(-1, 9)
        start += count
    windows = torch.nn.functional.pad(x[:, 0], (8, 8)).unfold(1, 17, 1)[..., ::2].reshape(-1, 9)
    windows = windows - windows.mean(1, keepdim=True)
    windows = windows / windows.norm(dim=1, keepdim=True)
    assert len(codes) >= 8
    np.testing.assert_allclose((codes @ windows.numpy().T).max(1), 1, atol=1e-4)


def test_codes_are_centred_and_of_norm_one_and_thresholds_are_quantiles():
    x = draw(30, 2, 50).cumsum(2)
    bank = learn_codebooks(x, 40, make_augmentation("warp"), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(bank.codes_.mean(2), 0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(bank.codes_, axis=2), 1, rtol=1e-5)
    shares = bank.features(x).unflatten(1, (40, 8, 4))[..., 2:].mean(0)
    assert 0.4 < shares.mean() < 0.6  # of ranks that are drawn from U(0, 1)
    assert 0.2 < shares.std() < 0.4


@pytest.mark.parametrize("factor", [1 - 1e-6, 1 + 1e-6])
def test_rounding_hardly_changes_features_of_training_series(factor):
    """Thresholds are levels that occur in these: a window must not lie on one of them."""
    x = draw(30, 2, 50).cumsum(2)
    bank = learn_codebooks(x, 40, make_augmentation("warp"), torch.Generator().manual_seed(0))
    changed = (bank.features(x * factor) - bank.features(x)).abs() > 1e-4
    assert changed.float().mean() < 1e-4


def test_what_differs_between_views_only_is_not_kept():
    """Classes differ in a slow wave; fast noise, which the views draw anew, is all the rest."""
    rng = np.random.default_rng(0)
    waves = np.sin(np.linspace(0, 6, 128) + rng.uniform(0, 6, (60, 1)))
    x = torch.from_numpy(waves[:, None].astype(np.float32))
    noisy = GaussianNoise(0.7)
    x = noisy(x, torch.Generator().manual_seed(1))
    learned = learn_codebooks(x, 60, noisy, torch.Generator().manual_seed(0))
    long = sum(count for _, dilation, count in learned.blocks_ if dilation >= 8)
    usual = sum(count for _, dilation, count in blocks_for(128, 60) if dilation >= 8)
    assert long > 1.2 * usual


@pytest.mark.parametrize("codebooks", ["learned", "random"])
def test_counts_tell_shapes_of_random_phase(codebooks):
    """The classes are sines and sawtooth waves in noise; series themselves hardly tell them."""
    X, y = two_shapes(140, 48, noise=0.6)
    extractor = SSLFeatureExtractor(
        codebooks=codebooks, n_codebooks=16, width=4, max_epochs=1, random_state=0
    )
    Z = extractor.fit(X).transform(X)
    scores = [
        RidgeClassifierCV(np.logspace(-3, 3, 7)).fit(F[:40], y[:40]).score(F[40:], y[40:])
        for F in (X, Z)
    ]
    assert scores[0] <= 0.65
    assert scores[1] >= 0.9


@pytest.mark.parametrize("n_timepoints", [1, 2, 3, 8])
def test_short_series(n_timepoints):
    x = draw(5, 1, n_timepoints)
    bank = learn_codebooks(x, 6, make_augmentation("gauss"), torch.Generator().manual_seed(0))
    features = bank.features(x)
    assert features.shape == (5, bank.n_features)
    assert torch.isfinite(features).all()


def test_a_bank_that_does_not_fit_together_is_refused():
    bank = random_codebooks(draw(4, 1, 20), 5, torch.Generator().manual_seed(0))
    state = pickle.loads(pickle.dumps(bank)).__getstate__()
    same = CodebookBank.__new__(CodebookBank)
    same.__setstate__(dict(state))
    assert np.array_equal(same.codes_, bank.codes_)
    for change in (
        {"codes_": bank.codes_[:-1]},
        {"codes_": bank.codes_.astype(np.float64)},
        {"thresholds_": np.full_like(bank.thresholds_, np.nan)},
        {"blocks_": [("no_such", 1, 5)]},
        {"more_": 1},
    ):
        with pytest.raises(ValueError, match="do not fit together"):
            CodebookBank.__new__(CodebookBank).__setstate__({**state, **change})


# ---- invariance


def test_principal_directions_are_those_of_the_singular_values():
    deviations = draw(4, 9)
    deviations[3] = deviations[0] - deviations[1]  # rank 3
    directions, squares = principal_directions(deviations)
    _, values, right = np.linalg.svd(deviations.numpy().astype(float), full_matrices=False)
    np.testing.assert_allclose(squares.flip(0), values[:3] ** 2, rtol=1e-4)
    cosines = np.abs(directions.flip(0).numpy() @ right[:3].T)
    np.testing.assert_allclose(cosines, np.eye(3), atol=1e-3)


def test_no_deviation_has_no_directions():
    directions, squares = principal_directions(torch.zeros(3, 5))
    assert directions.shape == (0, 5)
    assert squares.shape == (0,)


def test_scatter_of_views_is_whitened_as_the_formula_says():
    """Columns are of variance 1, so that the formula can be written with a dense matrix."""
    others = draw(400, 6)
    others = (others - others.mean(0)) / others.std(0, correction=0)
    deviations = draw(8, 6, seed=1) * torch.tensor([3.0, 1.0, 0.3, 0.1, 0.0, 0.0])
    features = draw(8, 6, seed=2)
    learned = ViewInvariance.learn(features, [features + deviations], others)
    scatter = (deviations.T @ deviations).double().numpy()
    ridge = 0.1 * np.trace(scatter) / 8
    values, vectors = np.linalg.eigh(np.eye(6) + scatter / ridge)
    expected = others.double().numpy() @ (vectors / np.sqrt(values)) @ vectors.T
    np.testing.assert_allclose(learned.invariant(others), expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(learned.landmarks_, expected, rtol=1e-3, atol=1e-3)


def test_constant_columns_stay_zero():
    others = torch.cat([draw(20, 3), torch.full((20, 1), 5.0)], dim=1)
    views = [others + draw(20, 4, seed=1)]
    learned = ViewInvariance.learn(others, views, others)
    assert not learned.apply(others)[:, 3].any()


def test_series_lean_on_the_four_nearest_others():
    landmarks, features = draw(9, 5), draw(3, 5, seed=1)
    features[0] = landmarks[2]  # a training series, which is no neighbour of its own
    moved = leaning_on_neighbours(features, landmarks)
    for row, out in zip(features, moved, strict=True):
        cosines = [
            -2.0 if torch.equal(row, other) else float(torch.cosine_similarity(row, other, dim=0))
            for other in landmarks
        ]
        nearest = np.argsort(cosines)[::-1][:4].copy()
        expected = 0.75 * row + 0.25 * landmarks[torch.from_numpy(nearest)].mean(0)
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_a_series_without_neighbours_stays():
    alone = draw(1, 5)
    np.testing.assert_array_equal(leaning_on_neighbours(alone, alone), alone)
    np.testing.assert_array_equal(leaning_on_neighbours(alone, alone[:0]), alone)
    others = torch.cat([alone, draw(1, 5, seed=1)])  # one neighbour, which is all of the mean
    expected = 0.75 * alone + 0.25 * others[1:]
    np.testing.assert_allclose(leaning_on_neighbours(alone, others), expected, rtol=1e-6)


def test_an_invariance_that_does_not_fit_together_is_refused():
    others = draw(6, 4)
    learned = ViewInvariance.learn(others, [others + draw(6, 4, seed=1)], others)
    state = dict(learned.__getstate__())
    same = ViewInvariance.__new__(ViewInvariance)
    same.__setstate__(dict(state))
    np.testing.assert_array_equal(same.apply(others), learned.apply(others))
    for change in (
        {"shares_": learned.shares_[:-1]},
        {"scale_": -learned.scale_},
        {"landmarks_": learned.landmarks_[:, :-1]},
        {"mean_": np.full_like(learned.mean_, np.nan)},
        {"more_": 1},
    ):
        with pytest.raises(ValueError, match="does not fit together"):
            ViewInvariance.__new__(ViewInvariance).__setstate__({**state, **change})


def test_the_spectrum_of_a_series_that_ends_early_has_no_step_at_its_end():
    x = torch.tensor(np.random.default_rng(0).normal(size=(3, 2, 40)).cumsum(2)).float()
    lengths = torch.tensor([40, 39, 20])
    inside = torch.arange(40) < lengths[:, None, None]
    expected = []
    for series, length in zip(x.numpy(), lengths.tolist(), strict=True):
        borders = zip(series[:, length - 1], series[:, 0], strict=True)
        line = [np.interp(np.arange(length, 40), [length - 1, 40], pair) for pair in borders]
        whole = np.concatenate([series[:, :length], line], axis=1)
        power = np.abs(np.fft.rfft(whole - whole[:, :1], axis=1)[:, 1:]) ** 2
        expected.append(np.log1p(power / power.mean(1, keepdims=True)))
    found = spectrum(x, inside)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    assert torch.equal(spectrum(x[:1], None), spectrum(x[:1], inside[:1]))
