"""How a flow decoder learns: disturbed tokens, shown values, its loss, and how it is judged."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn

from ..._tokenizer import code_ranges
from ...functional.flow import (
    energy_score,
    flow_matching_loss,
    logistic_normal,
    straight_path,
    walk,
)

_REDRAWN = 0.3  # share of tokens that training draws anew from near codes
_UNCONDITIONAL = 0.1  # share of series whose class training does not show
_SHOWN = 0.25  # share of series of which training shows a part
_EMA_DECAY = 0.99
_HELD_OUT_ROWS = 256  # rows of the validation loss, at least
_LATE = 0.8  # time from which on the validation loss is measured
_SCALE_ROWS = 1024  # series that the size of residuals is measured on, at most
_DRAWS = 8  # of each held-out series, by which draws are judged
_WINDOWS = (1, 4, 16)  # time points over which they are


class TokenMeans:
    """The mean of scaled series given their tokens, as a fitted tokenizer decodes it.

    Parameters
    ----------
    tokenizer : fitted VQTokenizer
    device : torch.device
        Where the means are wanted.
    """

    def __init__(self, tokenizer, device):
        self.network = tokenizer.module_
        self.tokenizer_device = tokenizer.device_
        self.device = device

    @torch.no_grad()
    def __call__(self, ids):
        """Code vectors ``(B, N, D)`` and scaled series ``(B, C, T)`` of token ids ``(B, N)``."""
        ids = ids.to(self.tokenizer_device)
        # Residuals are small: bfloat16 would change them.
        with torch.autocast(ids.device.type, enabled=False):
            codes = self.network.embed(ids)
            return codes.to(self.device), self.network.decode(codes).to(self.device)


class NearCodes:
    """Tokens of which some are drawn anew, as a prior errs: the nearer a code, the more often.

    A code is drawn with the softmax of minus the squared distance, over the median of those between
    each code and the one nearest to it.

    Parameters
    ----------
    tokenizer : fitted VQTokenizer
    """

    def __init__(self, tokenizer):
        codes = torch.from_numpy(tokenizer.codebook_)
        squared = torch.cdist(codes, codes).square()
        # A token stays within its band.
        starts = torch.from_numpy(code_ranges(tokenizer)[:, 0]).unique()
        band = torch.bucketize(torch.arange(len(codes), device="cpu"), starts, right=True)
        squared.masked_fill_(band[:, None] != band, torch.inf)
        nearest = squared.clone().fill_diagonal_(torch.inf).amin(1)
        typical = nearest[nearest.isfinite()].median() if len(codes) > len(starts) else 1.0
        shares = F.softmax(-squared.double().fill_diagonal_(0) / max(float(typical), 1e-12), dim=1)
        # Row i, the cumulative shares of code i, lies between i and i + 1: one ascending vector.
        ends = shares.cumsum(1)
        first = torch.arange(len(codes), device="cpu")[:, None]
        self.n_codes = len(codes)
        self.ends = (first + ends / ends[:, -1:]).flatten()

    def redraw(self, ids, generator):
        """Token ids ``(B, N)``, three in ten of them drawn anew."""
        device, ids = ids.device, ids.cpu()
        uniforms = torch.rand(2, *ids.shape, generator=generator, device="cpu", dtype=torch.float32)
        drawn = torch.searchsorted(self.ends, ids + uniforms[0].double(), right=True)
        drawn = (drawn - ids * self.n_codes).clamp(0, self.n_codes - 1)
        return torch.where(uniforms[1] < _REDRAWN, drawn, ids).to(device)


def draw_shown(shape, generator):
    """Which values of series ``(B, C, T)`` a training step shows: 1 where it does, else 0.

    Most series are not shown at all. Of the others a block or single points are hidden, in all
    channels or only in some.
    """
    n_series, n_channels, n_timepoints = shape
    uniforms = torch.rand(n_series, 5, 1, generator=generator, device="cpu", dtype=torch.float32)
    any_shown, by_blocks, size, place, all_channels = uniforms.unbind(1)
    times = torch.arange(n_timepoints, device="cpu")
    length = size * n_timepoints
    start = place * (n_timepoints - length)
    in_block = (times >= start) & (times < start + length)
    points = (
        torch.rand(n_series, n_timepoints, generator=generator, device="cpu", dtype=torch.float32)
        < size
    )
    hidden = torch.where(by_blocks < 0.5, in_block, points)[:, None]
    channels = (
        torch.rand(n_series, n_channels, 1, generator=generator, device="cpu", dtype=torch.float32)
        < 0.5
    )
    hidden = hidden & (channels | (all_channels < 0.5)[..., None])
    return (~hidden & (any_shown < _SHOWN)[..., None]).float()


class FlowStep(nn.Module):
    """Flow matching of what tokens leave out: residuals and repeats of series, given their mean.

    A running mean of the weights is kept; it is what held-out series are measured with.

    Parameters
    ----------
    network : VelocityNetwork
    means : TokenMeans
    near_codes : NearCodes
    scale : Tensor of shape (C, 1)
        Standard deviation of the residuals, by which they are divided.
    repeating : sequence of int
        The channels whose repeats flow along.
    generator : torch.Generator
        On the CPU.
    """

    def __init__(self, network, means, near_codes, scale, repeating, generator):
        super().__init__()
        self.network = network
        self.average = deepcopy(network).requires_grad_(False)
        self.means = means
        self.near_codes = near_codes
        self.scale = scale
        self.repeating = repeating
        self.generator = generator

    def forward(self, series, repeats, ids, classes, *drawn):
        """Loss of scaled series ``(B, C, T)``, repeats ``(B, R, T)``, tokens and classes.

        In training whatever is random is drawn here; held-out series come with it.
        """
        if not self.training:
            return {"flow": self.loss(self.average, series, repeats, ids, classes, *drawn)}
        drawn = self.draw(series, repeats)
        ids = self.near_codes.redraw(ids, self.generator)
        u = torch.rand(len(ids), generator=self.generator, device="cpu", dtype=torch.float32)
        unconditional = len(self.network.classes) - 1
        classes = classes.masked_fill((u < _UNCONDITIONAL).to(classes.device), unconditional)
        loss = self.loss(self.network, series, repeats, ids, classes, *drawn, self.generator)
        return {"flow": loss}

    def draw(self, series, repeats):
        """Shown values ``(B, C, T)``, times ``(B,)`` and noise ``(B, C + R, T)``."""
        n_flowing = series.shape[1] + repeats.shape[1]
        shape = (len(series), n_flowing, series.shape[2])
        shown = draw_shown(series.shape, self.generator)
        times = logistic_normal(
            torch.randn(len(series), generator=self.generator, device="cpu", dtype=torch.float32)
        )
        noise = torch.randn(shape, generator=self.generator, device="cpu", dtype=torch.float32)
        return [tensor.to(series.device) for tensor in (shown, times, noise)]

    def loss(self, network, series, repeats, ids, classes, shown, times, noise, generator=None):
        """Flow matching loss of a network, over what is not shown."""
        codes, decoded = self.means(ids)
        residuals = (series - decoded) / self.scale
        data = torch.cat([residuals, 2 * repeats - 1], dim=1)
        points, velocity = straight_path(noise, data, times)
        given = (codes, decoded, residuals * shown, shown, classes)
        predicted = network(points, times, *given, generator).float()
        hidden = 1 - torch.cat([shown, shown[:, self.repeating]], dim=1)
        return flow_matching_loss(predicted, velocity, hidden)

    @torch.no_grad()
    def after_step(self, n_taken):
        """Let the running mean follow the weights, faster in the first steps."""
        decay = min(_EMA_DECAY, n_taken / (n_taken + 9))
        torch._foreach_lerp_(
            list(self.average.parameters()), list(self.network.parameters()), 1 - decay
        )


def residual_scale(means, near_codes, series, ids, generator):
    """Standard deviation ``(C, 1)`` of series around the mean of their disturbed tokens."""
    rows = torch.randperm(len(ids), generator=generator, device="cpu")[:_SCALE_ROWS]
    rows = rows.to(ids.device)
    redrawn = near_codes.redraw(ids[rows], generator)
    parts = zip(series[rows].split(64), redrawn.split(64), strict=True)
    residuals = torch.cat([part - means(of_part)[1] for part, of_part in parts])
    return residuals.std(dim=(0, 2), correction=0)[:, None].clamp(min=1e-6)


def with_draws(step, held_out):
    """Held-out series, each several times, with all that their loss is to draw at random.

    Their times are late. At early ones the shape of few series is soon known by heart, long before
    the detail is learned that makes samples look like them, and tells when training is done.
    """
    n_times = -(-_HELD_OUT_ROWS // len(held_out[0]))
    series, repeats, ids, classes = (part.repeat_interleave(n_times, 0) for part in held_out)
    ids = step.near_codes.redraw(ids, step.generator)
    shown, times, noise = step.draw(series, repeats)
    return [series, repeats, ids, classes, shown, _LATE + (1 - _LATE) * times, noise]


@torch.no_grad()
def energy_scores(step, held_out, n_steps):
    """Energy score of the mean of held-out series and of draws, by windows of several lengths.

    Their tokens are disturbed, as those of a prior are; the tokenizer has seen these series.
    """
    series, _, ids, classes = held_out
    codes, decoded = step.means(step.near_codes.redraw(ids, step.generator))
    residuals = (series - decoded) / step.scale
    nothing = torch.zeros_like(series)
    n_channels = series.shape[1]

    def predict(points, time):
        times = points.new_full((len(points),), time)
        return step.average(points, times, codes, decoded, nothing, nothing, classes).float()

    draws = []
    for _ in range(_DRAWS):
        _, _, noise = step.draw(*held_out[:2])
        draws.append(walk(predict, noise, n_steps)[:, :n_channels])
    windows = [window for window in _WINDOWS if window <= series.shape[2]]
    candidates = (torch.zeros_like(residuals)[None], torch.stack(draws))
    return tuple(
        float(sum(energy_score(draws, residuals, window) for window in windows) / len(windows))
        for draws in candidates
    )
