"""Random views of series, a batch at a time.

Each function takes scaled series ``(B, C, T)`` and a CPU generator, and returns new series of that
shape on the same device. All channels of a series are changed alike, except by
:func:`gaussian_noise`. The draws are the same on every device. What is missing in a series (NaN)
is missing in its view, and moves with the values around it.
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from scipy.interpolate import CubicSpline

from .gaps import bridged, ends
from .spectral import istft, stft


def within_ends(augment, x, generator, ends):
    """A view of each series within its own length, made of those of one length at a time.

    Parameters
    ----------
    augment : callable
        ``augment(x, generator)`` makes views of series of one length.
    x : Tensor of shape (B, C, T)
    generator : torch.Generator
    ends : int64 Tensor of shape (B,) or None
        Lengths of the series; None: all have T time points.

    Raises
    ------
    TypeError, ValueError
        If `augment` returns no Tensor, one of another shape, or other than numbers.
    """
    if ends is None:
        return _checked_view(augment, x, generator)
    view = torch.full_like(x, math.nan)
    for end in ends.unique().tolist():
        rows = ends == end
        view[rows, :, :end] = _checked_view(augment, x[rows, :, :end], generator)
    return view


def _checked_view(augment, x, generator):
    """A view of series, of their shape: `augment` may be of the user's own making."""
    view = augment(x, generator)
    name = type(augment).__name__
    if not isinstance(view, torch.Tensor):
        raise TypeError(f"{name} must return a Tensor of series, got {type(view).__name__}.")
    if view.shape != x.shape:
        raise ValueError(
            f"{name} was given series of shape {tuple(x.shape)} and returned {tuple(view.shape)}: "
            "a view has the shape of its series."
        )
    if view.dtype == torch.bool or view.is_complex():
        raise TypeError(f"{name} must return series of real numbers, and not of {view.dtype}.")
    view = view.to(x)
    if not view.isfinite().all() and x.isfinite().all():
        raise ValueError(f"{name} returned values that are missing or infinite.")
    return view


def gaussian_noise(x, generator, scale):
    """``x + N(0, scale^2)``, independent for each value.

    NC-VQVAE (Mathisen 2024) calls it "gauss", with a scale of 0.05.
    """
    return x + scale * _normal(x.shape, generator, x)


def amplitude_resize(x, generator, scale):
    """``x (1 + N(0, scale^2))``, with one factor per series.

    It is the second part of "warp" in NC-VQVAE (Mathisen 2024), with a scale of 0.2.
    """
    return x * (1 + scale * _normal((len(x), 1, 1), generator, x))


def magnitude_warp(x, generator, n_knots, scale):
    """``x`` times a cubic spline through `n_knots` + 2 values of N(1, scale^2) (Um et al. 2017)."""
    knots = 1 + scale * _normal((len(x), 1, n_knots + 2), generator, x)
    return x * (knots @ _spline_basis(n_knots + 2, x.shape[2]).to(x))


def slope(x, generator, scale):
    """``x + s t`` with t in time points and one s per series, uniform in ``(-scale, scale)``."""
    steps = torch.arange(x.shape[2], device=x.device, dtype=x.dtype)
    return x + scale * _uniform((len(x), 1, 1), generator, x, -1, 1) * steps


def flip(x, generator, probability):
    """Reverse each series in time with the given probability."""
    flipped = _uniform((len(x), 1, 1), generator, x) < probability
    return torch.where(flipped, x.flip(2), x)


def time_mask(x, generator, ratio, block):
    """Set blocks of `block` points to 0, each with probability `ratio`."""
    hidden = block_mask(len(x), x.shape[2], generator, ratio, block).to(x.device)
    return x.masked_fill(hidden[:, None] & ~x.isnan(), 0.0)


def block_mask(n_series, length, generator, ratio, block):
    """Bool ``(n_series, length)`` on the CPU: each block is True with probability `ratio`."""
    block = min(block, length)
    blocks = (n_series, -(-length // block))
    chosen = torch.rand(blocks, generator=generator, device="cpu", dtype=torch.float32) < ratio
    return chosen.repeat_interleave(block, dim=1)[:, :length]


def hide(x, generator, strategy, ratio, block, value=0.0):
    """Hide parts of series that are to be reconstructed from the rest.

    Parameters
    ----------
    x : Tensor of shape (B, C, T)
        NaN where a value is missing.
    generator : torch.Generator
    strategy : {"blocks", "channels", "bands", "future"}
        "blocks" of time points in all channels and whole "channels", of which one stays, are hidden
        each with probability `ratio`, as are "bands" of frequencies, which are taken out of the
        series; "future" hides the last `ratio` of the time points of each series, at least one.
    ratio : float
        0 hides nothing, and all is reconstructed from itself.
    block : int
        Time points of a block, or frequencies of a band.
    value : float
        What stands in place of hidden values; but for "bands", which leave the other frequencies.

    Returns
    -------
    shown : Tensor of shape (B, C, T)
    compared : bool Tensor of shape (B, 1 or C, T)
        Where the reconstruction is compared with the series: where values are hidden. Of "bands",
        and with a `ratio` of 0, everywhere.

    Raises
    ------
    ValueError
        If channels are to be hidden of series that have one only.
    """
    n_series, n_channels, length = x.shape
    everywhere = torch.ones(n_series, 1, length, dtype=torch.bool, device=x.device)
    if ratio == 0:
        return x, everywhere
    if strategy == "bands":
        return _without_bands(x, generator, ratio, block), everywhere
    if strategy == "channels":
        hidden = _hidden_channels(n_series, n_channels, generator, ratio)
        hidden = hidden[..., None].expand(-1, -1, length)
    elif strategy == "future":
        lengths = ends(x)
        if lengths is None:
            lengths = torch.full((n_series,), length, device="cpu")
        lengths = lengths.cpu()
        first = lengths - (ratio * lengths).round().long().clamp(min=1)
        hidden = (torch.arange(length, device="cpu") >= first[:, None])[:, None]
    else:
        hidden = block_mask(n_series, length, generator, ratio, block)[:, None]
    hidden = hidden.to(x.device)
    return x.masked_fill(hidden, value), hidden


def _hidden_channels(n_series, n_channels, generator, ratio):
    """Bool ``(B, C)``: each channel is True with probability `ratio`, but never all of them."""
    if n_channels == 1:
        raise ValueError(
            "strategy='channels' hides whole channels, and these series have one only: take "
            "another strategy."
        )
    draws = torch.rand(n_series, n_channels, generator=generator, device="cpu", dtype=torch.float32)
    return (draws < ratio) & (draws < draws.amax(1, keepdim=True))


def _without_bands(x, generator, ratio, block):
    """Series without random bands of so many frequencies of their Fourier transform."""
    spectrum = torch.fft.rfft(bridged(x), dim=2)
    hidden = block_mask(len(x), spectrum.shape[2], generator, ratio, block)[:, None].to(x.device)
    shown = torch.fft.irfft(spectrum.masked_fill(hidden, 0), n=x.shape[2], dim=2)
    return torch.where(x.isnan(), x, shown)


def slice_and_shuffle(x, generator, n_segments):
    """Cut at ``n_segments - 1`` points and join the parts in random order.

    The points are drawn with replacement from all time points, so that parts can be empty.
    NC-VQVAE (Mathisen 2024) calls it "slice", with 4 segments.
    """
    n_series, _, length = x.shape
    cuts = torch.randint(length, (n_series, n_segments - 1), generator=generator, device="cpu")
    bounds = torch.cat(
        [torch.zeros(n_series, 1, dtype=torch.int64, device="cpu"), cuts.sort(1).values], dim=1
    )
    ends = torch.cat([bounds[:, 1:], torch.full((n_series, 1), length, device="cpu")], dim=1)
    draws = (n_series, n_segments)
    order = torch.rand(draws, generator=generator, device="cpu", dtype=torch.float32).argsort(1)
    lengths = (ends - bounds).gather(1, order)
    # Where each segment begins once the segments are in random order.
    starts = torch.zeros_like(order).scatter_(1, order, lengths.cumsum(1) - lengths)
    positions = torch.arange(length, device="cpu").expand(n_series, length)
    segments = torch.searchsorted(ends, positions.contiguous(), right=True)
    targets = positions + (starts - bounds).gather(1, segments)
    targets = targets[:, None].expand_as(x).to(x.device)
    return torch.zeros_like(x).scatter_(2, targets, x)


def crop(x, generator, ratio):
    """Stretch a random window of ``ratio * T`` points linearly to T points."""
    length = x.shape[2]
    window = max(1, round(ratio * length))
    starts = _starts(len(x), length - window + 1, generator)
    steps = torch.linspace(0, window - 1, length, dtype=torch.float64, device="cpu")
    return _interpolate(x, starts[:, None] + steps)


def window_warp(x, generator, ratio, low, high):
    """Stretch or squeeze a window by U(low, high), then bring the whole back to T points.

    The window has ``ratio * T`` points and starts anywhere; both resamplings are linear. It is
    the first part of "warp" in NC-VQVAE (Mathisen 2024), with 0.4, 0.9 and 2.
    """
    length = x.shape[2]
    window = max(1, round(ratio * length))
    starts = _starts(len(x), max(1, length - window), generator)[:, None]
    scales = torch.rand(len(x), 1, generator=generator, device="cpu", dtype=torch.float64)
    stretched = ((low + (high - low) * scales) * window).long().clamp(min=1)
    total = length - window + stretched
    steps = torch.arange(length, dtype=torch.float64, device="cpu") / max(1, length - 1)
    below, weight = _split(steps * (total - 1))
    # Both resamplings at once: the warped series is read only at the two points beside each step.
    corners = (_unwarp(below + k, starts, window, stretched, total) for k in (0, 1))
    first, second = (_interpolate(x, corner) for corner in corners)
    return _between(first, second, weight[:, None].to(x))


def _unwarp(positions, starts, window, stretched, total):
    """Positions in a series that whole-numbered positions in its warped form come from."""
    positions = positions.minimum(total - 1)
    inside = (positions - starts) * ((window - 1) / (stretched - 1).clamp(min=1).double()) + starts
    after = positions - stretched + window
    middle = torch.where(positions < starts + stretched, inside, after.double())
    return torch.where(positions < starts, positions.double(), middle)


def phase_shift(x, generator, n_fft, limit):
    """Turn each frequency of the STFT of a series by its own angle of U(-limit, limit)."""
    u = _spectrum(x, n_fft)
    angle = _uniform((len(x), 1, u.shape[2], 1), generator, x, -limit, limit)
    return _series(u * torch.polar(torch.ones_like(angle), angle), x, n_fft)


def band_dropout(x, generator, n_fft, probability):
    """Remove each frequency of the STFT of a series with the given probability."""
    u = _spectrum(x, n_fft)
    kept = _uniform((len(x), 1, u.shape[2], 1), generator, x) >= probability
    return _series(u * kept, x, n_fft)


def _spectrum(x, n_fft):
    """Complex STFT ``(B, C, n_fft // 2 + 1, W)``; short series are padded with their last value.

    Gaps are bridged.
    """
    x = F.pad(bridged(x), (0, max(0, n_fft // 2 + 1 - x.shape[2])), mode="replicate")
    parts = stft(x, n_fft).unflatten(1, (x.shape[1], 2))
    return torch.complex(parts[:, :, 0], parts[:, :, 1])


def _series(u, x, n_fft):
    """Series of the length of `x` from the result of :func:`_spectrum`."""
    length = x.shape[2]
    parts = torch.stack([u.real, u.imag], dim=2).flatten(1, 2)
    series = istft(parts, max(length, n_fft // 2 + 1), n_fft)[..., :length]
    return series.where(~x.isnan(), x)


def _normal(shape, generator, like):
    return torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32).to(like)


def _uniform(shape, generator, like, low=0.0, high=1.0):
    draw = torch.rand(shape, generator=generator, device="cpu", dtype=torch.float32)
    return (low + (high - low) * draw).to(like)


def _starts(n_series, n_positions, generator):
    return torch.randint(n_positions, (n_series,), generator=generator, device="cpu")


def _interpolate(x, positions):
    """Values of series ``(B, C, T)`` at fractional positions ``(B, M)``, interpolated linearly."""
    below, weight = _split(positions)
    below = below.to(x.device)[:, None].expand(-1, x.shape[1], -1)
    above = (below + 1).clamp(max=x.shape[2] - 1)
    return _between(x.gather(2, below), x.gather(2, above), weight[:, None].to(x))


def _between(first, second, weight):
    """Linear interpolation between values; where one of two is missing, the nearer one."""
    mixed = torch.lerp(first, second, weight)
    return mixed.where(~mixed.isnan(), torch.where(weight < 0.5, first, second))


def _split(positions):
    """Whole and fractional parts."""
    below = positions.floor()
    return below.long(), positions - below


@cache
def _spline_basis(n_knots, length):
    """The splines through the unit vectors, ``(n_knots, length)``, of which all others are sums."""
    double = {"dtype": torch.float64, "device": "cpu"}
    knots = torch.linspace(0, max(1, length - 1), n_knots, **double)
    spline = CubicSpline(knots.numpy(), torch.eye(n_knots, **double).numpy())
    return torch.from_numpy(spline(torch.arange(length, device="cpu").numpy())).T.contiguous()
