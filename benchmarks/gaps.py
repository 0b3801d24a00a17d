"""Gaps drawn in series, and scores of the draws that fill them."""

from functools import partial

import numpy as np


def blocks(shape, rng, share):
    """One block a series at a random place, in all channels."""
    n_series, _, n_timepoints = shape
    length = max(1, round(share * n_timepoints))
    starts = rng.integers(n_timepoints - length + 1, size=(n_series, 1))
    times = np.arange(n_timepoints)
    hidden = (starts <= times) & (times < starts + length)
    return np.broadcast_to(hidden[:, None], shape).copy()


def points(shape, rng, share):
    """Single points at random, as many in each channel, each channel on its own."""
    n_hidden = max(1, round(share * shape[2]))
    return rng.random(shape).argsort(2).argsort(2) < n_hidden


def channels(shape, rng):
    """A random half of the channels of each series, whole."""
    n_series, n_channels, _ = shape
    hidden = rng.random((n_series, n_channels, 1)).argsort(1).argsort(1) < n_channels // 2
    return np.broadcast_to(hidden, shape).copy()


def tails(shape, rng, share):
    """The last part of each series, in all channels; `rng` has no say."""
    hidden = np.zeros(shape, dtype=bool)
    hidden[..., shape[2] - max(1, round(share * shape[2])) :] = True
    return hidden


# Functions of a shape (n, c, t) and a random generator: a mask, True where hidden.
KINDS = {
    "blocks 10 %": partial(blocks, share=0.1),
    "blocks 30 %": partial(blocks, share=0.3),
    "points 30 %": partial(points, share=0.3),
    "channels": channels,
    "tails 20 %": partial(tails, share=0.2),
}


def kinds_of(n_channels):
    """Names of the kinds of gaps that series of so many channels can have."""
    return [kind for kind in KINDS if kind != "channels" or n_channels > 1]


def crps(y, draws):
    """Continuous ranked probability score of values ``(p,)`` by draws ``(m, p)``, for each value.

    E|X - y| - E|X - X'| / 2 (Gneiting and Raftery 2007, eq. 21), the second mean over pairs of
    different draws, which makes it unbiased: the score expected of m draws is that of their
    distribution. With one draw it is the absolute error.
    """
    m = len(draws)
    error = np.abs(draws - y).mean(0)
    if m == 1:
        return error
    # In sorted order the k-th of m is the larger one of k pairs and the smaller one of m - 1 - k.
    weights = 2 * np.arange(m) - (m - 1)
    return error - weights @ np.sort(draws, axis=0) / (m * (m - 1))


def coverage(y, draws, share=0.9):
    """Share of values ``(p,)`` between the quantiles that hold the central share of draws."""
    low, high = np.quantile(draws, [(1 - share) / 2, (1 + share) / 2], axis=0)
    return float(np.mean((low <= y) & (y <= high)))
