"""New recordings, and the future of old ones, from a generator of windows."""

import numpy as np
import torch

from .._fitting.runtime import computing
from .._fitting.validation import random_seed
from ..functional.conditioning import agreement, tempered_shares

_CHOICE = 4  # times as many windows are drawn as are put into a row
_LEAST_POOL, _MOST_POOL = 250, 1000  # windows drawn at a time
_TEMPERATURE = 0.5  # as a share of the difference of the fourth best window
_RIVALS = 4
_LEAST_DIFFERENCE = 1e-12
_SEAM = 8  # a seam is a window over this


def sampled_recording(generator, n_timepoints, length, scale, random_state):
    """A recording ``(c, n_timepoints)`` like those that the windows of a generator come from.

    Windows are drawn and put into a row, each overlapping half of the one before. The next one is
    drawn from those that were not used yet, with probabilities that fall with the squared
    difference over the overlap: it goes on where the last one was going. The seam, an eighth of a
    window in the middle of each overlap, is then filled by the generator given what lies on both
    sides.

    Parameters
    ----------
    generator : fitted generator
        With `sample` and `impute`, of windows.
    n_timepoints : int
    length : int
        Of a window.
    scale : ndarray of shape (c, 1)
        By which channels are made comparable.
    random_state : RandomState instance
    """
    stride = length // 2
    n_windows = max(1, -(-(n_timepoints - length) // stride) + 1)
    windows, last = [], None
    while len(windows) < n_windows:
        n_next = min(_MOST_POOL // _CHOICE, n_windows - len(windows))
        n_drawn = max(_LEAST_POOL, _CHOICE * n_next)
        pool = generator.sample(n_drawn, random_state=random_seed(random_state))
        pool = pool.reshape(n_drawn, -1, length).astype(np.float64)
        windows += chained(pool, n_next, length - stride, scale, last, random_state)
        last = windows[-1]
    recording, seams = put_together(windows, stride)
    if len(seams):
        fill_seams(generator, recording, seams, length, random_seed(random_state))
    return recording[:, :n_timepoints]


def chained(pool, n_windows, overlap, scale, last, random_state):
    """Windows of a pool ``(N, c, w)``, each of which goes on where the one before was going.

    Parameters
    ----------
    pool : float64 ndarray of shape (N, c, w)
    n_windows : int
        At most N.
    overlap : int
        Time points that a window shares with the one before.
    scale : ndarray of shape (c, 1)
    last : float64 ndarray of shape (c, w) or None
        The window before the first one; without it that is any.
    random_state : RandomState instance

    Returns
    -------
    windows : list of n_windows ndarrays of shape (c, w)
    """
    with computing(torch.device("cpu"), 1):
        beginnings = torch.from_numpy((pool / scale)[:, :, :overlap].reshape(len(pool), -1))
        known = torch.ones(beginnings.shape[1], dtype=torch.bool)
        unused = torch.ones(len(pool), dtype=torch.bool)
        windows = []
        for height in random_state.uniform(size=n_windows):
            differences = torch.zeros(len(pool), dtype=torch.float64)
            if last is not None:
                end = torch.from_numpy((last / scale)[:, -overlap:].ravel())
                differences = agreement(beginnings, end, known)
            rivals = differences[unused].kthvalue(min(_RIVALS, int(unused.sum()))).values
            temperature = max(float(rivals) * _TEMPERATURE, _LEAST_DIFFERENCE)
            shares = tempered_shares(torch.where(unused, differences, torch.inf), temperature)
            ends = shares.cumsum(0).numpy()
            chosen = min(int(np.searchsorted(ends, height * ends[-1], side="right")), len(pool) - 1)
            unused[chosen] = False
            last = pool[chosen]
            windows.append(last)
    return windows


def put_together(windows, stride):
    """A recording ``(c, t)`` of overlapping windows, and where in it they take over.

    Each window takes over from the one before in the middle of what both cover.
    """
    n_channels, length = windows[0].shape
    recording = np.empty((n_channels, length + stride * (len(windows) - 1)))
    recording[:, :length] = windows[0]
    skipped = (length - stride) // 2
    starts = np.arange(1, len(windows)) * stride
    for window, start in zip(windows[1:], starts, strict=True):
        recording[:, start + skipped : start + length] = window[:, skipped:]
    return recording, starts + skipped


def fill_seams(generator, recording, seams, length, seed):
    """Fill a recording ``(c, t)`` anew around each seam, in place, given what lies beside it."""
    first = seams - length // 2
    times = first[:, None] + np.arange(length)
    around = recording[:, times].swapaxes(0, 1)  # (n, c, w)
    of_seams = np.zeros(recording.shape[1], dtype=bool)
    width = max(1, length // _SEAM)
    places = seams[:, None] - width // 2 + np.arange(width)
    of_seams[places] = True
    # Other seams in the same window are not known either.
    around = np.where(of_seams[times][:, None], np.nan, around)
    filled = generator.impute(around, random_state=seed)
    inside = places - first[:, None]
    of_window = np.take_along_axis(filled, inside[:, None], axis=2)
    recording[:, places] = of_window.swapaxes(0, 1)


def forecasted(generator, values, horizon, length, n_draws, random_state):
    """Draws ``(n_draws, c, horizon)`` of how a recording ``(c, t)`` goes on, half a window a time.

    Parameters
    ----------
    generator : fitted generator
        With `forecast`, of windows.
    values : float64 ndarray of shape (c, t)
    horizon : int
    length : int
        Of a window.
    n_draws : int
    random_state : RandomState instance
    """
    seen = values[None, :, -length:]
    parts = []
    for start in range(0, horizon, max(1, length // 2)):
        step = min(max(1, length // 2), horizon - start)
        seed = random_seed(random_state)
        wanted = n_draws if start == 0 else 1
        draws = generator.forecast(seen, step, n_draws=wanted, random_state=seed)
        drawn = draws.reshape(n_draws, -1, step)
        parts.append(drawn)
        seen = np.concatenate([np.repeat(seen, n_draws // len(seen), axis=0), drawn], axis=2)
        seen = seen[:, :, -length:]
    return np.concatenate(parts, axis=2)
