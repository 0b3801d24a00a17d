"""Missing values of series ``(B, C, T)``, for which NaN stands, and series of unequal length.

A tensor of series is its own mask: what is NaN was not observed, and everything that takes such
series asks `isnan` of them. A network sees lines across gaps and how deep in a gap each value lies;
a loss sees the values that are known.

Series of unequal length are missing after their ends. There nothing was to be observed either: what
a network makes of the time beyond the end of a series counts nowhere.
"""

import math

import torch
import torch.nn.functional as F

_DEPTH = 8.0  # time points
_MOST_HIDDEN = 0.6  # share of the values of a series
_LONGEST_BLOCK = 0.25  # share of its time points


def bridged(x):
    """Series with missing values on straight lines between the known ones of their channel.

    Before the first and after the last known value those are repeated; a channel without any is 0,
    the mean of scaled series. Known values stay as they are.
    """
    missing = x.isnan()
    if not torch.compiler.is_exporting() and not missing.any():
        return x
    length = x.shape[2]
    times, before, after = _times_of_known(missing)
    left = before.where(before >= 0, after).clamp(max=length - 1)
    right = after.where(after < length, before).clamp(min=0)
    weights = (times - left).to(x.dtype) / (right - left).clamp(min=1)
    lines = torch.lerp(x.gather(2, left), x.gather(2, right), weights)
    return torch.where(missing, lines.nan_to_num(nan=0.0), x)


def gap_depth(x):
    """How deep in a gap each value of series lies, from 0 to 1: the mask that an encoder sees.

    A value d time points from the nearest known one of its channel has ``1 - exp(-(d - 1) / 8)``:
    0 at the border of a gap, as where a value is known, since a line is right there, and near 1
    where nothing is known about. So single points that are missing do not show, whose places say
    nothing of a series.
    """
    missing = x.isnan()
    length = x.shape[2]
    times, before, after = _times_of_known(missing)
    # What is beyond the last known value has one neighbour; a channel without any has none.
    since = torch.where(before >= 0, times - before, length)
    until = torch.where(after < length, after - times, length)
    distance = torch.minimum(since, until).to(x.dtype)
    return 1 - torch.exp(-(distance - 1).clamp(min=0) / _DEPTH)


def _times_of_known(missing):
    """Times, and those of the last known value up to each and of the first from it on.

    They are -1 and T where there is none.
    """
    length = missing.shape[2]
    times = torch.arange(length, device=missing.device)
    before = times.where(~missing, -1).cummax(2).values
    after = times.where(~missing, length).flip(2).cummin(2).values.flip(2)
    return times, before, after


def hidden_at_random(x, generator):
    """Series of which about half have lost values at random.

    Of each of those a share of U(0, 0.6) is hidden, in each channel on its own. Values are hidden
    in blocks of one length, which is drawn anew for each batch, from a single value to a
    quarter of the series, short ones more often than long ones (log-uniform).
    """
    n_series, n_channels, length = x.shape
    draw = {"generator": generator, "device": "cpu", "dtype": torch.float32}
    longest = max(1.0, _LONGEST_BLOCK * length)
    block = int(math.exp(float(torch.rand(1, **draw)) * math.log(longest)))
    shares = _MOST_HIDDEN * (2 * torch.rand(n_series, 1, 1, **draw) - 1).clamp(min=0)
    n_blocks = math.ceil(length / block) + 1
    hidden = torch.rand(n_series, n_channels, n_blocks, **draw) < shares
    # The blocks of a batch begin anywhere, and not at multiples of their length.
    first = int(torch.randint(block, (1,), generator=generator, device="cpu"))
    hidden = hidden.repeat_interleave(block, dim=2)[..., first : first + length]
    return x.masked_fill(hidden.to(x.device), math.nan)


def ends(x):
    """Number of time points up to the last that has a known value, in any channel: ``(B,)`` int64.

    None where all series last to the end of the tensor. Nothing is known of a series of NaN alone,
    not its end either; it counts as lasting. In a program that is exported, all last.
    """
    if torch.compiler.is_exporting():
        return None
    known = ~x.isnan()
    if known[..., -1].any(1).all():
        return None
    length = x.shape[2]
    since_end = known.any(1).flip(1).to(torch.uint8).argmax(1)
    return (length - since_end).masked_fill(~known.flatten(1).any(1), length)


def lasting(x, ends):
    """Series whose last known values are repeated beyond their ends, as an encoder is shown them.

    There nothing is missing, so that no gap is to be seen: all views of a series would share its
    depth, and a self-supervised encoder would learn to tell series by nothing else.

    Parameters
    ----------
    x : Tensor of shape (B, C, T)
        Missing values are NaN, and stay so before the ends.
    ends : int64 Tensor of shape (B,) or None
        Lengths of the series; None: all have T time points.
    """
    if ends is None:
        return x
    beyond = torch.arange(x.shape[2], device=x.device) >= ends[:, None]
    return torch.where(beyond[:, None], bridged(x), x)


def positions_inside(ends, n_timepoints, n_rows, n_columns):
    """Which positions ``(B, n_rows * n_columns)`` of a network begin before the ends of series.

    Parameters
    ----------
    ends : int64 Tensor of shape (B,)
    n_timepoints : int
        Time points that `n_columns` positions share, one after the other.
    n_rows : int
        Positions are in row-major order, with time as column.
    n_columns : int
    """
    first_points = torch.arange(n_columns, device=ends.device) * n_timepoints
    return (first_points < n_columns * ends[:, None]).repeat(1, n_rows)


def ended(z, inside, value=0.0):
    """Latents or ids ``(B, N, ...)``, with one value in place of those beyond the ends of series.

    `inside` is True ``(B, N)`` where they are not, or None where none is.
    """
    if inside is None:
        return z
    return z.masked_fill(~inside.view(*inside.shape, *(1,) * (z.ndim - 2)), value)


def filled(x, values):
    """Series with missing values taken from other series of their shape, without a gradient."""
    return torch.where(x.isnan(), values.detach(), x)


def inverse_known_share(x):
    """Number of values over number of known ones, at least 1: a mean over all becomes one of those.

    It is exactly 1 where nothing is missing.
    """
    known = (~x.isnan()).sum().to(x.dtype)
    return x.numel() / known.clamp(min=1)


def known_squared_error(reconstruction, x):
    """Mean squared error of the values of series that are known.

    It is the first term of van den Oord et al. (2017), eq. 3, over what was observed, as the
    likelihood of autoencoders of incomplete data (Nazabal et al. 2020, HI-VAE): a missing value
    has no part in it, and its reconstruction no gradient.

    Parameters
    ----------
    reconstruction, x : Tensor of shape (B, C, T)
        Missing values of `x` are NaN.

    Returns
    -------
    error : scalar Tensor
        0 if nothing is known.
    """
    return F.mse_loss(reconstruction, filled(x, reconstruction)) * inverse_known_share(x)
