"""The prior over tokens: networks that predict the tokens of a band from those around them.

Each band has a transformer, or gated convolutions, which see the tokens of all bands before it and
those of its band that are not masked (or, if it is causal, those that come before). One band is the
plain model.
"""

import torch
import torch.nn.functional as F
from torch import nn

from .layers import Dropout, Norm
from .sequence.causal_convolutions import GatedConvolution

_EXPLICIT_ATTENTION = 256  # tokens up to which training computes attention step by step
_EMBEDDED = 0.5  # standard deviation of new embeddings; those of codes have about 0.6


def rotary_angles(times, head_dim):
    """Angles ``(n, head_dim // 2)`` by which queries and keys are turned (Su et al. 2021, RoPE).

    Parameters
    ----------
    times : Tensor of shape (n,)
        Where each token lies in time.
    head_dim : int
    """
    half = head_dim // 2
    # RoPE has base 10,000; sequences are short here, so 100, or the length of longer ones.
    slowest = max(100.0, float(times.max()))
    exponents = torch.arange(half, device=times.device, dtype=times.dtype) / max(1, half)
    return times[:, None] * slowest**-exponents


def turning(angles, head_dim):
    """Cosines and signed sines ``(n, head_dim)`` of angles, as `rotated` takes them."""
    middle = angles.new_zeros(len(angles), head_dim % 2)  # of an odd number, which stays
    cosines = torch.cat([angles, middle, angles.flip(1)], dim=1).cos()
    sines = torch.cat([-angles, middle, angles.flip(1)], dim=1).sin()
    return cosines, sines


def rotated(x, cosines, sines):
    """Turn pairs of dimensions i and d - 1 - i of ``(..., n, d)`` by angles."""
    cosines = cosines.to(x.dtype)
    sines = sines.to(x.dtype)
    return torch.addcmul(x * cosines, x.flip(-1), sines)


class Attention(nn.Module):
    """Self-attention of all tokens, or causal, by rotary positions and without biases."""

    def __init__(self, width, n_heads, head_dim, causal):
        super().__init__()
        self.n_heads = n_heads
        self.causal = causal
        self.project = nn.Linear(width, 3 * n_heads * head_dim, bias=False)
        self.join = nn.Linear(n_heads * head_dim, width, bias=False)

    def forward(self, x, cosines, sines):
        # (B, n, 3 n_heads, head_dim): the queries, keys and values of all heads.
        heads = self.project(x).unflatten(2, (3 * self.n_heads, -1))
        turned, values = heads.split((2 * self.n_heads, self.n_heads), dim=2)
        turned = rotated(turned, cosines[:, None], sines[:, None])
        queries, keys = turned.transpose(1, 2).chunk(2, dim=1)
        values = values.transpose(1, 2)
        if self.training and x.shape[1] <= _EXPLICIT_ATTENTION:
            mixed = attention(queries, keys, values, self.causal)
        else:
            mixed = F.scaled_dot_product_attention(queries, keys, values, is_causal=self.causal)
        return self.join(mixed.transpose(1, 2).flatten(2))

    def at(self, positions, x, cosines, sines):
        """What `forward` returns of the tokens at positions ``(B, m)``; only they ask, all answer.

        It is for inference.
        """
        size = self.join.in_features
        of_queries, of_others = self.project.weight.split((size, 2 * size))
        queries = F.linear(at_positions(x, positions), of_queries).unflatten(2, (self.n_heads, -1))
        others = F.linear(x, of_others).unflatten(2, (2 * self.n_heads, -1))
        keys, values = others.chunk(2, dim=2)
        queries = rotated(queries, cosines[positions][:, :, None], sines[positions][:, :, None])
        keys = rotated(keys, cosines[:, None], sines[:, None])
        seen = None
        if self.causal:
            times = torch.arange(x.shape[1], device=x.device)
            seen = (times <= positions[..., None])[:, None]
        queries, keys, values = (heads.transpose(1, 2) for heads in (queries, keys, values))
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
        return self.join(mixed.transpose(1, 2).flatten(2))


def attention(queries, keys, values, causal):
    """Scaled dot-product attention, step by step (Vaswani et al. 2017, equation 1).

    With its backward pass it takes 0.5 to 0.8 of the time of torch's own function in bfloat16, and
    for up to some 60 tokens less than that in float32, too.
    """
    scores = queries * queries.shape[-1] ** -0.5 @ keys.mT
    if causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return scores.softmax(-1) @ values


class Block(nn.Module):
    """Attention and a feed-forward network, both normalised before (pre-norm) and added."""

    def __init__(self, width, n_heads, head_dim, feedforward, dropout, causal):
        super().__init__()
        self.norm = Norm(width)
        self.attention = Attention(width, n_heads, head_dim, causal)
        self.dropout = Dropout(dropout)
        self.feed = nn.Sequential(
            Norm(width),
            nn.Linear(width, feedforward),
            nn.GELU(),
            nn.Linear(feedforward, width),
        )

    def forward(self, x, cosines, sines, generator=None, positions=None):
        """Update tokens ``(B, n, width)``, or only those at positions ``(B, m)``."""
        if positions is None:
            gathered = self.attention(self.norm(x), cosines, sines)
        else:
            gathered = self.attention.at(positions, self.norm(x), cosines, sines)
            x = at_positions(x, positions)
        x = x + self.dropout(gathered, generator)
        return x + self.dropout(self.feed(x), generator)


def at_positions(x, positions):
    """Tokens ``(B, m, d)`` at positions ``(B, m)`` of ``(B, n, d)``."""
    return x.gather(1, positions[..., None].expand(-1, -1, x.shape[2]))


class BandPrior(nn.Module):
    """Logits ``(B, N, K)`` of the tokens of one band.

    Parameters
    ----------
    times : sequence of float
        Where the tokens of earlier bands and then the N of this one lie in time, in units of the
        finest band's columns.
    n_tokens : int
        Tokens N of this band.
    first_code, n_codes : int
        Ids of this band's codes: K from the first on, for each token if they are `separate`.
        Smaller ids are those of earlier bands; the one after the last is the mask.
    n_classes : int
        The class id `n_classes` stands for no class in particular.
    code_dim : int
    width, n_layers, n_heads, head_dim, feedforward, dropout
        Sizes and dropout of the transformer.
    causal : bool
        Predict each token from those before it.
    ends : bool
        Whether ids may be -1, beyond the end of a series; these are always seen.
    convolutional : bool
        Gated convolutions in place of attention; the prior is causal then, and the sizes of heads
        and feed-forward networks have no meaning.
    separate : bool
        Whether each token has K codes of its own, one after the other.
    """

    def __init__(
        self,
        times,
        n_tokens,
        first_code,
        n_codes,
        n_classes,
        code_dim,
        *,
        width,
        n_layers,
        n_heads,
        head_dim,
        feedforward,
        dropout,
        causal,
        ends=False,
        convolutional=False,
        separate=False,
    ):
        super().__init__()
        self.times = times
        self.n_tokens = n_tokens
        self.first_code = first_code
        self.step = n_codes if separate else 0
        self.mask_id = first_code + n_codes * (n_tokens if separate else 1)
        self.causal = causal
        self.convolutional = convolutional
        self.head_dim = head_dim
        self.end_id = self.mask_id + 1  # that has a row only with `ends`
        self.codes = nn.Parameter(torch.empty(self.mask_id + 1 + ends, code_dim))
        self.embed = nn.Linear(code_dim, width, bias=False)
        self.positions = nn.Parameter(torch.empty(len(times), width))
        self.classes = nn.Parameter(torch.empty(n_classes + 1, width))
        self.register_buffer("angles", torch.empty(1 + len(times), head_dim // 2))
        self.dropout = Dropout(dropout)
        if convolutional:
            blocks = [GatedConvolution(width, index, dropout) for index in range(n_layers)]
        else:
            sizes = (width, n_heads, head_dim, feedforward, dropout, causal)
            blocks = [Block(*sizes) for _ in range(n_layers)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = Norm(width)
        self.head = nn.Linear(width, n_codes, bias=False)
        self.bias = nn.Parameter(torch.empty(n_tokens, n_codes))

    def initialise(self, generator):
        """Random embeddings, as large as those of the codes, or masked tokens all look the same."""
        nn.init.normal_(self.codes, generator=generator)
        for embedding in (self.positions, self.classes):
            nn.init.normal_(embedding, std=_EMBEDDED, generator=generator)
        nn.init.zeros_(self.bias)
        # The class comes before the first token.
        times = torch.tensor([0.0, *self.times], device="cpu", dtype=torch.float32)
        self.angles.copy_(rotary_angles(times, 2 * self.angles.shape[1]))

    def first_codes(self, device):
        """Id of the first code of each token, int64 ``(N,)``."""
        return self.first_code + self.step * torch.arange(self.n_tokens, device=device)

    @torch.no_grad()
    def start_from(self, codebook, ids):
        """Embed tokens as their codes, and predict the frequencies of ``ids`` at each position.

        Parameters
        ----------
        codebook : Tensor of shape (mask_id, code_dim)
        ids : int64 Tensor of shape (n, N)
            The training tokens of this band.
        """
        # Codes of any size get a mean square of 1; mask and end keep their random start.
        centred = codebook - codebook.mean(0)
        scale = centred.square().mean().sqrt().clamp(min=1e-12)
        self.codes[: self.mask_id] = centred / scale
        inside = (ids >= 0)[..., None]
        codes = (ids - self.first_codes(ids.device)).clamp(min=0)
        counts = (F.one_hot(codes, self.bias.shape[1]) * inside).float().sum(0)
        overall = counts.sum(0) / counts.sum()
        # Two pseudo-counts shared out by overall frequency; 0.01 keeps unseen codes finite.
        self.bias.copy_(((counts + 2 * overall + 0.01) / (inside.sum(0) + 2)).log())
        # So the first prediction is the bias alone.
        nn.init.zeros_(self.head.weight)

    def forward(self, ids, classes, generator=None, positions=None):
        """Logits given token ids ``(B, len(times))`` and classes ``(B,)``.

        With `positions`, int64 ``(B, m)``, of this band's tokens at these positions only: the last
        block then leaves out what nothing depends on.
        """
        x = self.dropout(self.embedded(ids, classes), generator)
        kept = None if positions is None else positions + (x.shape[1] - self.n_tokens)
        if self.convolutional:
            told = F.embedding(classes, self.classes)
            for block in self.blocks:
                x = block(x, told, generator)
        else:
            cosines, sines = turning(self.angles[: x.shape[1]], self.head_dim)
            for block in self.blocks:
                is_last = block is self.blocks[-1]
                x = block(x, cosines, sines, generator, kept if is_last else None)
        if positions is None:
            return self.head(self.norm(x[:, -self.n_tokens :])) + self.bias
        if self.convolutional or not self.blocks:
            x = at_positions(x, kept)
        return self.head(self.norm(x)) + F.embedding(positions, self.bias)

    def embedded(self, ids, classes):
        """The class ``(B,)`` and token ids ``(B, len(times))`` as the first block takes them."""
        ids = ids.masked_fill(ids < 0, self.end_id)
        x = self.embed(F.embedding(ids, self.codes)) + self.positions
        x = torch.cat([F.embedding(classes, self.classes)[:, None], x], dim=1)
        # Behind the class, position i predicts token i; the last token predicts nothing.
        return x[:, :-1] if self.causal else x

    def states(self, ids, classes):
        """States ``(B, N, width)`` of this band's tokens behind each block, arguments as before.

        Each is normalised, as a block takes it; without blocks they are those of the embeddings.
        """
        x = self.embedded(ids, classes)
        cosines, sines = turning(self.angles[: x.shape[1]], self.head_dim)
        behind = [] if self.blocks else [x]
        for block in self.blocks:
            x = block(x, cosines, sines)
            behind.append(x)
        return [
            F.layer_norm(x[:, -self.n_tokens :], x.shape[2:], eps=self.norm.eps) for x in behind
        ]


class Prior(nn.Module):
    """The priors of all bands.

    Parameters
    ----------
    grid : sequence of (int, int)
        Rows and columns of the tokens of each band.
    n_codes : int
        Number of codes of each band.
    n_classes, code_dim : int
    n_series_tokens : int
        Tokens of the first entry of `grid`, if that is no band but tokens of the whole series, each
        with `n_codes` of its own.
    **transformer
        Sizes, dropout and direction of each band's transformer, as of `BandPrior`.
    """

    def __init__(self, grid, n_codes, n_classes, code_dim, n_series_tokens=0, **transformer):
        super().__init__()
        self.n_tokens = tuple(rows * columns for rows, columns in grid)
        self.unconditional = n_classes  # the class id that stands for no class in particular
        self.bands = nn.ModuleList()
        finest = max(columns for _, columns in grid)
        times = []
        first_code = 0
        for index, (rows, columns) in enumerate(grid):
            separate = index == 0 and n_series_tokens > 0
            # Each token lies at its middle in time, in units of the finest band's columns.
            middles = [(column + 0.5) * finest / columns for column in range(columns)]
            times = times + middles * rows
            self.bands.append(
                BandPrior(
                    times,
                    self.n_tokens[index],
                    first_code,
                    n_codes,
                    n_classes,
                    code_dim,
                    separate=separate,
                    **transformer,
                )
            )
            first_code = self.bands[-1].mask_id

    def start_from(self, codebook, ids):
        """Embeddings from the codes and biases from the training tokens ``(n, N)``."""
        for band, of_band in zip(self.bands, ids.split(self.n_tokens, dim=1), strict=True):
            band.start_from(codebook[: band.mask_id], of_band)

    def span(self, band):
        """First token of a band and the one after its last."""
        stop = sum(self.n_tokens[: band + 1])
        return stop - self.n_tokens[band], stop

    def logits(self, band, ids, masks, classes, generator=None, positions=None):
        """Logits ``(B, N_b, K_b)`` of band number `band`, or ``(B, m, K_b)`` at positions.

        Parameters
        ----------
        band : int
        ids : int64 Tensor of shape (B, N)
            Joint ids of the tokens of all bands, of which those of later bands are not used. -1
            beyond the end of a series, which is never hidden.
        masks : bool Tensor of shape (B, N_b)
            Tokens of the band that are hidden; a causal prior sees all that come before, hidden or
            not.
        classes : int64 Tensor of shape (B,)
        generator : torch.Generator or None
            What dropout draws from in training mode.
        positions : int64 Tensor of shape (B, m) or None
            Tokens of the band to predict; None for all.
        """
        prior = self.bands[band]
        start, stop = self.span(band)
        of_band = ids[:, start:stop]
        # Causal attention itself hides the tokens to be predicted.
        if not prior.causal:
            of_band = of_band.masked_fill(masks & (of_band >= 0), prior.mask_id)
        return prior(torch.cat([ids[:, :start], of_band], dim=1), classes, generator, positions)

    def cross_entropy(self, band, ids, masks, classes, generator=None):
        """Cross-entropy ``(B, N_b)`` of the tokens of a band; arguments are those of `logits`.

        Beyond the end of a series it means nothing.
        """
        start, stop = self.span(band)
        targets = (ids[:, start:stop] - self.bands[band].first_codes(ids.device)).clamp(min=0)
        logits = self.logits(band, ids, masks, classes, generator).float()
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return losses.view(targets.shape)
