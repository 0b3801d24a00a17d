"""How codebooks are learned without labels, and how random ones are drawn."""

import math

import torch

from ..functional.augmentations import within_ends
from ..functional.gaps import ends
from .bank import N_CODES, WIDTH, CodebookBank, blocks_for
from .counting import N_STATISTICS, activations
from .invariance import ViewInvariance
from .representations import represented

_CANDIDATES = 2  # codebooks drawn for each that is kept
_N_VIEWS = 2  # of a series, that say which codebooks are reliable
_MOST_SERIES = 256  # that codebooks are learned from
_MOST_VIEWED = 128  # that invariance is learned from
_VIEWS_OF_INVARIANCE = 6  # of each of these
_MOST_LANDMARKS = 512
_MOST_POINTS = 2**17  # of each of these
_N_LEVELS = 2048  # activations that thresholds are quantiles of
_CHUNK_POINTS = 2**13
_MOST_CHANNELS = 9  # that a codebook sees
_BELOW = 1e-4  # standard deviations of the activations
_LEAST_CONTRAST = 1e-4  # of a window that becomes a code
_FLOATS = {"device": "cpu", "dtype": torch.float32}  # whatever the user's default is


def learn_codebooks(x, n_codebooks, augmentation, generator):
    """Draw codebooks of windows of series, and keep those that tell series from their views.

    Twice as many are drawn. Codes are windows of training series, centred and of norm 1, and
    thresholds are quantiles of their activations. A codebook is reliable if its columns vary
    between series but hardly between a series and its random views, which show the same; the more
    reliable half is kept.

    Parameters
    ----------
    x : Tensor of shape (n, C, T)
        Scaled training series, NaN where a value is missing.
    n_codebooks : int
    augmentation : callable
        ``augmentation(x, generator)`` makes random views of series.
    generator : torch.Generator
        On the CPU.

    Returns
    -------
    bank : CodebookBank
        With `n_codebooks` codebooks.
    """
    x = _some_series(x, _MOST_SERIES, generator)
    candidates = _draw(x, _CANDIDATES * n_codebooks, generator, from_windows=True)
    features = _read(candidates, x)
    views = _read_views(candidates, x, _N_VIEWS, augmentation, generator)
    reliable = reliability(features, views).unflatten(0, (-1, N_CODES * N_STATISTICS)).mean(1)
    # In random order, so that of equally reliable ones not all have one representation.
    order = torch.randperm(len(reliable), generator=generator, device="cpu")
    best = order[reliable.cpu()[order].argsort(descending=True, stable=True)][:n_codebooks]
    return candidates.keep(best.sort().values.numpy())


def learn_invariance(bank, x, augmentation, generator):
    """Learn what views of series change in the features of a bank; see `learn_codebooks`.

    Returns
    -------
    invariance : ViewInvariance
    """
    landmarks = _read(bank, _some_series(x, _MOST_LANDMARKS, generator))
    x = _some_series(x, _MOST_VIEWED, generator)
    views = _read_views(bank, x, _VIEWS_OF_INVARIANCE, augmentation, generator)
    return ViewInvariance.learn(_read(bank, x), views, landmarks)


def random_codebooks(x, n_codebooks, generator):
    """Codebooks of normal noise and normal thresholds, in units of the activations' deviation.

    Of the series nothing is learned but these units; see `learn_codebooks`, which has the same
    parameters.
    """
    x = _some_series(x, _MOST_SERIES, generator)
    return _draw(x, n_codebooks, generator, from_windows=False)


def reliability(features, views):
    """Share of the variance of each column that views of one series do not explain.

    Parameters
    ----------
    features : Tensor of shape (n, d)
        Of series.
    views : list of Tensors of shape (n, d)
        Of random views of them.

    Returns
    -------
    reliability : Tensor of shape (d,)
        ``1 - E (v - f)^2 / (2 Var f)``, from -1 (clipped) to 1; 0 for constant columns.
    """
    variance = features.var(0, correction=0)
    within = torch.stack([(view - features).square().mean(0) / 2 for view in views]).mean(0)
    rounding = (1e-5 * features.abs().amax(0)).square()
    share = 1 - within / variance.clamp(min=1e-30)
    return torch.where(variance > rounding, share.clamp(min=-1), 0.0)


def _some_series(x, most, generator):
    """At most so many series in random order, of as many time points as take a few seconds."""
    most = max(2, min(most, _MOST_POINTS // x[:1].numel()))
    return x[torch.randperm(len(x), generator=generator, device="cpu")[:most].to(x.device)]


def _read(bank, x):
    """Features of series, a chunk at a time."""
    rows = max(1, _CHUNK_POINTS // x[:1].numel())
    return torch.cat([bank.features(chunk) for chunk in x.split(rows)])


def _read_views(bank, x, n_views, augmentation, generator):
    """Features of some random views of each series."""
    lengths = ends(x)
    views = (within_ends(augmentation, x, generator, lengths) for _ in range(n_views))
    return [_read(bank, view) for view in views]


def _draw(x, n_codebooks, generator, from_windows):
    """A bank of codebooks that are windows of series, or noise."""
    blocks = blocks_for(x.shape[2], n_codebooks)
    parts = []
    for name, dilation, count in blocks:
        z, inside = represented(x, name)
        channels = _draw_channels(count, x.shape[1], generator)
        if from_windows:
            codes = _draw_windows(z, inside, channels, dilation, generator)
        else:
            codes = torch.randn(count, N_CODES, WIDTH, generator=generator, **_FLOATS)
        codes = codes - codes.mean(2, keepdim=True)
        codes = codes / codes.norm(dim=2, keepdim=True)
        levels = _some_activations(z, inside, codes, channels, dilation, generator)
        thresholds = _draw_thresholds(levels, generator, from_windows)
        parts.append((codes, channels, thresholds))
    return CodebookBank(blocks, *(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


def _draw_channels(n_codebooks, n_channels, generator):
    """Random channels for each codebook, from one to nine, few more often than many."""
    most = math.log2(min(n_channels, _MOST_CHANNELS) + 1)
    sizes = (2 ** (most * torch.rand(n_codebooks, generator=generator, **_FLOATS))).long()
    ranks = torch.rand(n_codebooks, n_channels, generator=generator, **_FLOATS)
    return ranks.argsort(1).argsort(1) < sizes[:, None].clamp(1, n_channels)


def _draw_positions(n, z, inside, generator):
    """Random rows, and random positions within the ends of those: two int64 Tensors of shape n."""
    rows = torch.randint(len(z), n, generator=generator, device="cpu")
    lengths = torch.full((len(z),), z.shape[2], device="cpu")
    if inside is not None:
        lengths = inside.sum(1).cpu()
    shares = torch.rand(n, generator=generator, device="cpu", dtype=torch.float64)
    return rows, (shares * lengths[rows]).long()


def _draw_windows(z, inside, channels, dilation, generator):
    """Windows ``(G, 8, 9)`` of the sums of the channels that each codebook sees.

    Of four times as many, those without contrast are used last: a flat window says nothing.
    """
    rows, times = _draw_positions((len(channels), 4 * N_CODES), z, inside, generator)
    times = times[..., None] + dilation * (torch.arange(WIDTH, device="cpu") - WIDTH // 2)
    outside = (times < 0) | (times >= z.shape[2])
    values = z.cpu().transpose(1, 2)[rows[..., None], times.clamp(0, z.shape[2] - 1)]
    windows = torch.einsum("gnwc,gc->gnw", values, channels.to(z.dtype))
    windows = windows.masked_fill(outside, 0.0)
    flat = windows.std(2, correction=0) <= _LEAST_CONTRAST
    order = flat.to(torch.uint8).argsort(dim=1, stable=True)[:, :N_CODES]
    windows = windows.gather(1, order[..., None].expand(-1, -1, WIDTH))
    noise = torch.randn(windows.shape, generator=generator, **_FLOATS)
    return windows + 1e-6 * noise  # so that flat windows have a direction, too


def _some_activations(z, inside, codes, channels, dilation, generator):
    """Activations ``(2048, G, 8)`` of codes at random positions of some series."""
    n_rows = max(1, min(len(z), 2 * _CHUNK_POINTS // z.shape[2]))
    z, inside = z[:n_rows], None if inside is None else inside[:n_rows]
    a = activations(z, codes.to(z.device), channels.to(z.device), dilation).cpu()
    rows, times = _draw_positions((_N_LEVELS,), z, inside, generator)
    return a.permute(0, 3, 1, 2)[rows, times]


def _draw_thresholds(levels, generator, from_windows):
    """Two thresholds ``(G, 8, 2)`` of each code: random quantiles, or normal draws."""
    shape = (*levels.shape[1:], N_STATISTICS - 2)
    if not from_windows:
        normal = torch.randn(shape, generator=generator, **_FLOATS)
        return normal * levels.std(0, correction=0)[..., None]
    ranks = (torch.rand(shape, generator=generator, **_FLOATS) * len(levels)).long()
    quantiles = levels.sort(0).values.permute(1, 2, 0).gather(2, ranks)
    # A little below, so that the window that a quantile is of lies above it whatever the rounding.
    return quantiles - _BELOW * levels.std(0, correction=0)[..., None]
