"""Views of series against loops over series with the same draws, and properties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional import augmentations as au


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def series(n=5, c=2, t=40, seed=1):
    return torch.randn(n, c, t, generator=generator(seed)).cumsum(2)


VIEWS = {
    "gaussian_noise": lambda x, g: au.gaussian_noise(x, g, 0.05),
    "amplitude_resize": lambda x, g: au.amplitude_resize(x, g, 0.2),
    "magnitude_warp": lambda x, g: au.magnitude_warp(x, g, 4, 0.2),
    "slope": lambda x, g: au.slope(x, g, 0.005),
    "flip": lambda x, g: au.flip(x, g, 0.5),
    "time_mask": lambda x, g: au.time_mask(x, g, 0.3, 5),
    "slice_and_shuffle": lambda x, g: au.slice_and_shuffle(x, g, 4),
    "crop": lambda x, g: au.crop(x, g, 0.6),
    "window_warp": lambda x, g: au.window_warp(x, g, 0.4, 0.9, 2.0),
    "phase_shift": lambda x, g: au.phase_shift(x, g, 8, 0.8),
    "band_dropout": lambda x, g: au.band_dropout(x, g, 8, 0.3),
}


@pytest.mark.parametrize("name", VIEWS)
@given(n=st.integers(1, 6), c=st.integers(1, 3), t=st.integers(1, 50), seed=st.integers(0, 2**31))
def test_views_have_the_shape_of_the_series_and_depend_on_the_seed_only(name, n, c, t, seed):
    x = series(n, c, t, seed)
    before = x.clone()
    view = VIEWS[name](x, generator(seed))
    assert view.shape == x.shape
    assert view.dtype == x.dtype
    assert torch.isfinite(view).all()
    assert torch.equal(x, before)
    assert torch.equal(view, VIEWS[name](x, generator(seed)))


@pytest.mark.parametrize("name", VIEWS)
def test_the_default_dtype_of_torch_changes_no_view(name):
    x = series()
    expected = VIEWS[name](x, generator())
    torch.set_default_dtype(torch.float64)
    try:
        view = VIEWS[name](x, generator())
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(view, expected)


@pytest.mark.parametrize("name", VIEWS)
def test_views_differ_between_series_and_between_calls(name):
    x = series(1).expand(20, -1, -1)
    g = generator()
    first, second = VIEWS[name](x, g), VIEWS[name](x, g)
    assert not torch.equal(first, second)
    assert len(torch.unique(first.flatten(1), dim=0)) > 1


@pytest.mark.parametrize("name", sorted(set(VIEWS) - {"gaussian_noise"}))
def test_all_channels_of_a_series_are_changed_alike(name):
    x = series(6, 1, 40).expand(-1, 3, -1)
    view = VIEWS[name](x, generator())
    assert torch.equal(view[:, 0], view[:, 2])


def test_gaussian_noise_has_its_standard_deviation():
    noise = au.gaussian_noise(torch.zeros(50, 2, 1000), generator(), 0.05)
    assert noise.std().item() == pytest.approx(0.05, rel=0.01)
    assert noise.mean().item() == pytest.approx(0, abs=1e-3)


def test_amplitude_resize_is_one_factor_per_series():
    x = series(4000, 1, 3)
    factors = au.amplitude_resize(x, generator(), 0.2) / x
    np.testing.assert_allclose(factors[:, 0, 0], factors[:, 0, 2], rtol=1e-4)
    assert factors[:, 0, 0].std().item() == pytest.approx(0.2, rel=0.05)


def test_slice_and_shuffle_matches_one_series_at_a_time():
    """The loop repeats the draws of the function."""
    x = series(30, 2, 25)
    n_segments = 4
    view = au.slice_and_shuffle(x, generator(3), n_segments)
    g = generator(3)
    cuts = torch.randint(25, (30, n_segments - 1), generator=g).sort(1).values
    orders = torch.rand(30, n_segments, generator=g).argsort(1)
    for row, points, order, found in zip(x, cuts, orders, view, strict=True):
        parts = torch.tensor_split(row, points, dim=1)
        assert torch.equal(torch.cat([parts[i] for i in order], dim=1), found)


def test_slice_and_shuffle_keeps_all_values_and_can_have_empty_parts():
    x = series(200, 1, 6)
    view = au.slice_and_shuffle(x, generator(), 4)
    assert torch.equal(x.sort(2).values, view.sort(2).values)
    assert (x == view).all(2).any()
    assert not (x == view).all()


def test_window_warp_matches_one_series_at_a_time():
    """The loop repeats the draws of the function and interpolates with NumPy."""
    n, length, ratio, low, high = 30, 37, 0.4, 0.9, 2.0
    x = series(n, 2, length).double()
    view = au.window_warp(x, generator(5), ratio, low, high)
    g = generator(5)
    window = round(ratio * length)
    starts = torch.randint(length - window, (n,), generator=g)
    scales = low + (high - low) * torch.rand(n, 1, generator=g, dtype=torch.float64)[:, 0]
    for i in range(n):
        s, stretched = int(starts[i]), int(scales[i] * window)
        for row, found in zip(x[i].numpy(), view[i], strict=True):
            steps = np.linspace(0, window - 1, stretched)
            middle = np.interp(steps, np.arange(window), row[s : s + window])
            whole = np.concatenate([row[:s], middle, row[s + window :]])
            steps = np.linspace(0, len(whole) - 1, length)
            expected = np.interp(steps, np.arange(len(whole)), whole)
            np.testing.assert_allclose(found, expected, atol=1e-9)


def test_crops_are_stretched_windows():
    x = series(20, 1, 31).double()
    view = au.crop(x, generator(7), 0.5)
    window = 16
    starts = torch.randint(31 - window + 1, (20,), generator=generator(7))
    for row, start, found in zip(x[:, 0].numpy(), starts, view[:, 0], strict=True):
        expected = np.interp(np.linspace(0, 15, 31), np.arange(16), row[start : start + 16])
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_magnitude_warp_goes_through_its_knots():
    x = torch.ones(8, 1, 51).double()
    view = au.magnitude_warp(x, generator(2), 4, 0.2)
    knots = 1 + 0.2 * torch.randn(8, 1, 6, generator=generator(2))
    np.testing.assert_allclose(view[:, 0, ::10], knots[:, 0], atol=1e-6)


def test_slope_adds_a_line_of_limited_slope():
    lines = au.slope(torch.zeros(2000, 1, 9), generator(), 0.005)
    slopes = lines[:, 0, 1]
    np.testing.assert_allclose(lines[:, 0], slopes[:, None] * torch.arange(9), atol=1e-7)
    assert 0.0049 < slopes.max() <= 0.005
    assert -0.005 <= slopes.min() < -0.0049


def test_flip_reverses_series_with_its_probability():
    x = series(4000, 1, 5)
    view = au.flip(x, generator(), 0.25)
    reversed_ = (view == x.flip(2)).all(2)[:, 0]
    assert torch.equal(view[~reversed_], x[~reversed_])
    assert reversed_.float().mean().item() == pytest.approx(0.25, abs=0.03)


@given(ratio=st.floats(0, 1), block=st.integers(1, 9), length=st.integers(1, 60))
def test_time_mask_hides_whole_blocks_in_all_channels(ratio, block, length):
    hidden = au.block_mask(50, length, generator(), ratio, block)
    assert hidden.shape == (50, length)
    for part in hidden.split(block, dim=1):
        assert (part.all(1) == part.any(1)).all()
    x = torch.ones(50, 2, length)
    assert torch.equal(au.time_mask(x, generator(), ratio, block)[:, 1] == 0, hidden)


@pytest.mark.parametrize("strategy", ["blocks", "channels", "bands", "future"])
def test_nothing_is_hidden_with_a_ratio_of_zero_and_all_is_compared(strategy):
    x = series(5, 2, 33)
    shown, compared = au.hide(x, generator(), strategy, 0.0, 4)
    assert torch.equal(shown, x)
    assert compared.shape == (5, 1, 33)
    assert compared.all()


def test_hidden_blocks_are_those_of_the_mask():
    x = series(5, 2, 33)
    shown, compared = au.hide(x, generator(), "blocks", 0.5, 4, value=9.0)
    assert torch.equal(compared[:, 0], au.block_mask(5, 33, generator(), 0.5, 4))
    assert torch.equal(shown, torch.where(compared, 9.0, x))


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_hidden_channels_are_whole_and_one_stays(ratio):
    x = series(400, 3, 7)
    shown, compared = au.hide(x, generator(), "channels", ratio, 4)
    assert torch.equal(shown, torch.where(compared, 0.0, x))
    hidden = compared[..., 0]
    assert torch.equal(compared, hidden[..., None].expand_as(compared))
    assert not hidden.all(1).any()
    expected = 2 / 3 if ratio == 1 else ratio - ratio**3 / 3
    assert hidden.float().mean().item() == pytest.approx(expected, abs=0.04)


def test_channels_of_series_with_one_cannot_be_hidden():
    with pytest.raises(ValueError, match="take another strategy"):
        au.hide(series(5, 1, 33), generator(), "channels", 0.5, 4)


def test_the_hidden_future_is_the_end_of_each_series():
    x = series(3, 2, 20)
    x[1, :, 10:] = torch.nan  # a shorter series
    x[2, 0, 4] = torch.nan  # a gap
    shown, compared = au.hide(x, generator(), "future", 0.3, 4)
    before = [14, 7, 14]  # 0.3 of 20, of 10 and of 20 are hidden
    for row, first in enumerate(before):
        assert compared[row, 0].tolist() == [t >= first for t in range(20)]
        assert torch.equal(shown[row, :, :first].isnan(), x[row, :, :first].isnan())
    assert au.hide(x, generator(), "future", 1e-9, 4)[1][0].sum() == 1


def test_hidden_bands_are_missing_from_the_spectrum_and_the_rest_stays():
    x = series(50, 2, 32).double()
    shown, compared = au.hide(x, generator(), "bands", 0.5, 4)
    assert compared.all()
    before, after = torch.fft.rfft(x).abs(), torch.fft.rfft(shown).abs()
    hidden = au.block_mask(50, 17, generator(), 0.5, 4)[:, None].expand_as(before)
    assert after[hidden].max() < 1e-10
    np.testing.assert_allclose(after[~hidden], before[~hidden], rtol=1e-9)


@pytest.mark.parametrize("n_fft", [4, 5, 6, 7, 8, 32, 100])
def test_phase_shift_and_band_dropout_of_size_zero_change_nothing(n_fft):
    x = series(5, 2, 33)
    np.testing.assert_allclose(au.phase_shift(x, generator(), n_fft, 0.0), x, atol=1e-5)
    np.testing.assert_allclose(au.band_dropout(x, generator(), n_fft, 0.0), x, atol=1e-5)


def test_band_dropout_of_all_bands_leaves_nothing():
    x = series(5, 2, 33)
    assert not au.band_dropout(x, generator(), 8, 1.0).abs().max() > 1e-6


def test_phase_shift_turns_a_wave_by_the_angles_of_its_rows():
    """A wave of period 8 lies in three rows of the STFT; each part turns by its row's angle."""
    t = torch.arange(64.0)
    wave = torch.sin(2 * torch.pi * t / 8)[None, None]
    angle = (2 * torch.rand(1, 1, 5, 1, generator=generator(4)) - 1) * 1.5
    view = au.phase_shift(wave, generator(4), 8, 1.5)[0, 0, 16:48]
    own_row = torch.sin(2 * torch.pi * t / 8 + angle[0, 0, 1, 0])[16:48]
    neighbours = [torch.sin(2 * torch.pi * t / 8 + angle[0, 0, k, 0])[16:48] for k in (0, 2)]
    # a Hann window spreads the wave over rows 0 to 2, with weights 1/6, 2/3, 1/6 in the sum
    mixed = 2 / 3 * own_row + 1 / 6 * sum(neighbours)
    np.testing.assert_allclose(view, mixed, atol=0.05)
