"""The VQ-VAE over one or several bands: an encoder, a quantiser and a decoder for each.

The plain model has one band. Everything outside sees one sequence of tokens,
the bands one after the other, and one codebook, the codes of the bands one
after the other; the ids of a band start where those of the last one end.
Tokens of the whole series come before them, each with codes of its own. They are
made of what is read from the encoders; the decoders do not need them.
"""

import math

import torch
from torch import nn

from ..functional import readout
from ..functional.gaps import ended, ends, lasting
from .encoders import (
    FRONT_ENDS,
    BandEncoders,
    activations_inside,
    split_series,
    tokens_inside,
    widths_of_bands,
)


class Band(nn.Module):
    """Encoder ``(B, C, T) -> (B, N, D)``, quantiser, decoder ``(B, N, D) -> (B, C, T)``."""

    def __init__(self, encoder, quantizer, decoder):
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder


class VQVAE(nn.Module):
    """Bands whose decoded series add up (van den Oord et al. 2017; Lee et al. 2023).

    Parameters
    ----------
    bands : iterable of Band
        All have latents of the same dimension D.
    series : SeriesQuantizer or None
        What makes tokens of whole series, where there are any; it comes to a trained network.

    Outside of the bands, ids ``(B, N)`` are those of all tokens, ``G`` of the whole series and then
    those of the bands; latents ``(B, N - G, D)`` are those of the bands.
    """

    def __init__(self, bands, series=None):
        super().__init__()
        self.bands = nn.ModuleList(bands)
        self.register_module("series", series)

    @property
    def encoder(self):
        """The part that makes continuous latents ``(B, N, D)``; its modules are shared."""
        # A property: as a second submodule its weights would be in `state_dict` twice.
        encoder = BandEncoders(band.encoder for band in self.bands)
        encoder.training = self.training
        return encoder

    @property
    def latent_grid(self):
        """Rows and columns of the tokens of each band."""
        return tuple(band.encoder.grid for band in self.bands)

    @property
    def n_series_tokens(self):
        """Number G of tokens of the whole series."""
        return 0 if self.series is None else self.series.n_tokens

    @property
    def grid(self):
        """Rows and columns of all tokens: those of the whole series in one column, then bands."""
        of_series = () if self.series is None else ((self.n_series_tokens, 1),)
        return of_series + self.latent_grid

    @property
    def strides(self):
        """Time points from one column of `grid` to the next; a series has one for all of it."""
        of_bands = tuple(band.encoder.stride for band in self.bands)
        longest = max(
            stride * columns
            for (_, columns), stride in zip(self.latent_grid, of_bands, strict=True)
        )
        return of_bands if self.series is None else (longest, *of_bands)

    @property
    def n_codes(self):
        """Number K of codes that a token can have."""
        return len(self.bands[0].quantizer.codebook)

    @property
    def first_codes(self):
        """Id of the first code of each token, int64 ``(N,)``."""
        # Each token of the series has codes of its own, those of a band share theirs.
        n_tokens = [1] * self.n_series_tokens + [math.prod(shape) for shape in self.latent_grid]
        codebooks = self.n_codes * torch.arange(len(n_tokens), device="cpu")
        return codebooks.repeat_interleave(torch.tensor(n_tokens, device="cpu"))

    def forward(self, x):
        """Series ``(B, C, T)`` encoded, quantised and decoded."""
        return self.decode(self.quantized_latents(self.encode(x, bands_only=True)))

    def encode(self, x, activations=None, whole=None, bands_only=False):
        """Latents of series ``(B, C, T)``, quantised: one `Quantized` per band.

        The standardised activations of the encoders are added to a list of `activations`. The
        series end where those of `whole` do, of which `x` may be a part; None: where `x` does.
        Where there are tokens of whole series, a `Quantized` of what these stand for comes first,
        unless only the bands are wanted.
        """
        bands_only = bands_only or self.series is None
        if activations is None and not bands_only:
            activations = []
        lengths = ends(x if whole is None else whole)
        parts = zip(self.bands, split_series(lasting(x, lengths), len(self.bands)), strict=True)
        of_bands = [
            band.quantizer(band.encoder(part, activations), tokens_inside(band.encoder, lengths))
            for band, part in parts
        ]
        if bands_only:
            return of_bands
        return [self.series(self.features(x, of_bands, activations)), *of_bands]

    def features(self, x, quantized, activations):
        """What is pooled of latents and activations ``(B, F)`` of series ``(B, C, T)``."""
        masks = activations_inside(self.encoder, ends(x), x.shape[2], activations)
        latents = self.latents(quantized)
        return readout.pooled_features(latents, activations, self.inside(quantized), masks)

    def decode(self, z):
        """Series ``(B, C, T)`` of decoder input ``(B, N, D)``."""
        parts = zip(self.bands, self._per_band(z), strict=True)
        return sum(band.decoder(part).float() for band, part in parts)

    def reconstruction_losses(self, x, z):
        """Unweighted terms of the error of series decoded from `z`, summed over bands, by name."""
        series = split_series(x, len(self.bands))
        parts = zip(self.bands, series, self._per_band(z), strict=True)
        return _summed([band.decoder.losses(part, latents) for band, part, latents in parts])

    def quantizer_losses(self, quantized):
        """Unweighted terms that concern the codes, summed over bands, by name."""
        parts = zip(self.bands, quantized, strict=True)
        return _summed([band.quantizer.losses(of_band) for band, of_band in parts])

    def latents(self, quantized):
        """Continuous latents ``(B, N - G, D)``."""
        return torch.cat([of_band.z for of_band in self._of_bands(quantized)], dim=1)

    def quantized_latents(self, quantized):
        """Decoder input ``(B, N - G, D)``."""
        return torch.cat([of_band.z_q for of_band in self._of_bands(quantized)], dim=1)

    def inside(self, quantized):
        """Which latents ``(B, N - G)`` are of the series and not beyond their ends; None: all."""
        masks = [of_band.inside for of_band in self._of_bands(quantized)]
        return None if masks[0] is None else torch.cat(masks, dim=1)

    def of_all_tokens(self, inside):
        """Which tokens ``(B, N)`` are of the series, if those of the bands ``(B, N - G)`` are."""
        if inside is None or self.series is None:
            return inside
        return torch.cat([inside.new_ones(len(inside), self.n_series_tokens), inside], dim=1)

    def tokens(self, quantized):
        """Token ids ``(B, N)`` in the joint codebook."""
        of_bands = self._of_bands(quantized)
        ids = [of_band.ids + first for of_band, first in zip(of_bands, self._firsts(), strict=True)]
        return torch.cat([of_series.ids for of_series in quantized[: -len(of_bands)]] + ids, dim=1)

    def embed(self, ids):
        """Decoder input ``(B, N - G, D)`` of token ids ``(B, N)`` in the joint codebook.

        Ids of -1 stand for what is beyond the end of a series, as in `encode`. Others below those
        of their band, as of rows that pad a chunk, are taken as its first.
        """
        ids = ids[:, self.n_series_tokens :]
        parts = zip(self.bands, self._per_band(ids), self._firsts(), strict=True)
        z_q = torch.cat(
            [band.quantizer.embed((i - first).clamp(min=0)) for band, i, first in parts], dim=1
        )
        return ended(z_q, ids >= 0)

    def distances(self, quantized):
        """Squared distances ``(B, N, M)`` to all M codes, infinite to those of other tokens."""
        codes = self.codebook()
        distances = torch.cat([torch.cdist(part.vectors, codes).square() for part in quantized], 1)
        first = self.first_codes.to(codes.device)[:, None]
        ids = torch.arange(len(codes), device=codes.device)
        return distances.masked_fill_((ids < first) | (ids >= first + self.n_codes), torch.inf)

    def codebook(self):
        """The joint codebook ``(M, d)``."""
        of_series = [] if self.series is None else [self.series.codebook]
        return torch.cat(of_series + [band.quantizer.codes() for band in self.bands])

    def _of_bands(self, quantized):
        return quantized[-len(self.bands) :]

    def _per_band(self, latents):
        return latents.split([math.prod(shape) for shape in self.latent_grid], dim=1)

    def _firsts(self):
        """The first code of each band."""
        numbers = range(self.n_series_tokens, self.n_series_tokens + len(self.bands))
        return [self.n_codes * number for number in numbers]


def _summed(terms):
    """The sum of each term over dicts of terms."""
    return {name: sum(part[name] for part in terms) for name in terms[0]}


def make_vqvae(
    quantizer,
    n_channels,
    n_timepoints,
    *,
    frontend,
    n_bands=1,
    downsampled_width,
    gaps=False,
    series=None,
    **sizes,
):
    """A VQ-VAE of one band, or of low and high frequencies.

    Parameters
    ----------
    quantizer : callable
        ``quantizer(latent_dim)`` makes the quantiser of a band.
    n_channels, n_timepoints, frontend, n_bands, downsampled_width, gaps, **sizes
        As of `make_encoder`; the decoders have the same sizes.
    series : callable or None
        ``series()`` makes the quantiser of whole series.
    """
    encoder_class, decoder_class = FRONT_ENDS[frontend]
    bands = []
    for width in widths_of_bands(downsampled_width, n_bands):
        encoder = encoder_class(
            n_channels, n_timepoints, downsampled_width=width, gaps=gaps, **sizes
        )
        decoder = decoder_class(
            n_channels, n_timepoints, encoder.grid, downsampled_width=width, **sizes
        )
        bands.append(Band(encoder, quantizer(sizes["latent_dim"]), decoder))
    return VQVAE(bands, None if series is None else series())
