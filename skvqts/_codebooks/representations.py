"""What windows are cut from: series, their differences, their running sums and their spectrum.

Each is a function of series ``(B, C, T)`` without missing values and of where they are known,
``inside`` of shape ``(B, 1, T)`` or None for everywhere. What it returns is 0 beyond the ends.
"""

import torch
import torch.nn.functional as F

from ..functional.gaps import bridged, ends


def represented(x, name):
    """A representation of scaled series, and where it lies within their ends.

    Parameters
    ----------
    x : Tensor of shape (B, C, T)
        NaN where a value is missing: lines are drawn across gaps.
    name : str
        A key of `REPRESENTATIONS`.

    Returns
    -------
    z : Tensor of shape (B, C, length_of(name, T))
    inside : bool Tensor of shape (B, length) or None
        None where all series last to the end, and for the spectrum, which has no time.
    """
    lengths = ends(x)
    inside = None
    if lengths is not None:
        inside = torch.arange(x.shape[2], device=x.device) < lengths[:, None]
    mask = None if inside is None else inside[:, None]
    z = REPRESENTATIONS[name](bridged(x), mask)
    return z, None if name == "spectrum" else inside


def length_of(name, n_timepoints):
    """Number of positions of a representation of series of so many time points."""
    return n_timepoints // 2 if name == "spectrum" else n_timepoints


def series(x, inside):
    """The series themselves."""
    return _within(x, inside)


def differences(x, inside):
    """Differences of neighbouring values, 0 at the first."""
    return _within(F.pad(x.diff(dim=2), (1, 0)), inside)


def running_sums(x, inside):
    """Sums of the centred values up to each time point, over the square root of the length."""
    centred, counts = _centred(x, inside)
    return _within(centred.cumsum(2) / counts.sqrt(), inside)


def spectrum(x, inside):
    """Logarithm of one plus the power at each frequency but 0, in units of its mean.

    A transform takes series for periods: beyond its end a series goes on in a straight line to its
    first value, as a step would add power at all frequencies.
    """
    centred, _ = _centred(x, inside)
    if inside is not None:
        lengths = inside.sum(2, keepdim=True)
        last = centred.gather(2, (lengths - 1).expand(-1, x.shape[1], -1))
        beyond = torch.arange(x.shape[2], device=x.device) - (lengths - 1)
        shares = beyond / (x.shape[2] + 1 - lengths)
        centred = torch.where(inside, centred, torch.lerp(last, centred[..., :1], shares))
    power = torch.fft.rfft(centred, dim=2)[..., 1:].abs().square()
    return (power / power.mean(2, keepdim=True).clamp(min=1e-9)).log1p()


REPRESENTATIONS = {
    "series": series,
    "differences": differences,
    "running_sums": running_sums,
    "spectrum": spectrum,
}


def _centred(x, inside):
    """Series less their mean, 0 beyond their ends, and their numbers of time points."""
    if inside is None:
        return x - x.mean(2, keepdim=True), torch.tensor(
            float(x.shape[2]), dtype=x.dtype, device=x.device
        )
    counts = inside.sum(2, keepdim=True).to(x.dtype)
    mean = _within(x, inside).sum(2, keepdim=True) / counts
    return _within(x - mean, inside), counts


def _within(x, inside):
    return x if inside is None else torch.where(inside, x, 0.0)
