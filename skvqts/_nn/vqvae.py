"""The VQ-VAE over one or several bands: an encoder, a quantiser and a decoder for each.

The plain model has one band. Everything outside sees one sequence of tokens,
the bands one after the other, and one codebook, the codes of the bands one
after the other; the ids of a band start where those of the last one end.
"""

import math

import torch
from torch import nn

from ..functional.gaps import ended, ends, lasting
from .encoders import FRONT_ENDS, BandEncoders, split_series, tokens_inside, widths_of_bands


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
    """

    def __init__(self, bands):
        super().__init__()
        self.bands = nn.ModuleList(bands)

    @property
    def encoder(self):
        """The part that makes continuous latents ``(B, N, D)``; its modules are shared."""
        # A property: as a second submodule its weights would be in `state_dict` twice.
        encoder = BandEncoders(band.encoder for band in self.bands)
        encoder.training = self.training
        return encoder

    @property
    def grid(self):
        """Rows and columns of the tokens of each band."""
        return tuple(band.encoder.grid for band in self.bands)

    @property
    def strides(self):
        """Time points from one column of tokens to the next, of each band."""
        return tuple(band.encoder.stride for band in self.bands)

    def forward(self, x):
        """Series ``(B, C, T)`` encoded, quantised and decoded."""
        return self.decode(self.quantized_latents(self.encode(x)))

    def encode(self, x, activations=None, whole=None):
        """Latents of series ``(B, C, T)``, quantised: one `Quantized` per band.

        The standardised activations of the encoders are added to a list of `activations`. The
        series end where those of `whole` do, of which `x` may be a part; None: where `x` does.
        """
        lengths = ends(x if whole is None else whole)
        parts = zip(self.bands, split_series(lasting(x, lengths), len(self.bands)), strict=True)
        return [
            band.quantizer(band.encoder(part, activations), tokens_inside(band.encoder, lengths))
            for band, part in parts
        ]

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
        """Continuous latents ``(B, N, D)``."""
        return torch.cat([of_band.z for of_band in quantized], dim=1)

    def quantized_latents(self, quantized):
        """Decoder input ``(B, N, D)``."""
        return torch.cat([of_band.z_q for of_band in quantized], dim=1)

    def inside(self, quantized):
        """Which tokens ``(B, N)`` are of the series and not beyond their ends; None: all are."""
        masks = [of_band.inside for of_band in quantized]
        return None if masks[0] is None else torch.cat(masks, dim=1)

    def tokens(self, quantized):
        """Token ids ``(B, N)`` in the joint codebook."""
        parts = zip(quantized, self._first_codes(), strict=True)
        return torch.cat([of_band.ids + first for of_band, first in parts], dim=1)

    def embed(self, ids):
        """Decoder input ``(B, N, D)`` of token ids ``(B, N)`` in the joint codebook.

        Ids of -1 stand for what is beyond the end of a series, as in `encode`. Others below those
        of their band, as of rows that pad a chunk, are taken as its first.
        """
        parts = zip(self.bands, self._per_band(ids), self._first_codes(), strict=True)
        z_q = torch.cat(
            [band.quantizer.embed((i - first).clamp(min=0)) for band, i, first in parts], dim=1
        )
        return ended(z_q, ids >= 0)

    def distances(self, quantized):
        """Squared distances ``(B, N, K)`` to the joint codebook, infinite to other bands' codes."""
        codes = self.codebook()
        distances = torch.cat(
            [torch.cdist(of_band.vectors, codes).square() for of_band in quantized], dim=1
        )
        parts = zip(self._per_band(distances), self._first_codes(), self.bands, strict=True)
        for of_band, first, band in parts:
            of_band[..., :first] = torch.inf
            of_band[..., first + len(band.quantizer.codebook) :] = torch.inf
        return distances

    def codebook(self):
        """The joint codebook ``(K, d)``."""
        return torch.cat([band.quantizer.codes() for band in self.bands])

    def _per_band(self, tokens):
        return tokens.split([math.prod(shape) for shape in self.grid], dim=1)

    def _first_codes(self):
        sizes = [len(band.quantizer.codebook) for band in self.bands]
        return [sum(sizes[:index]) for index in range(len(sizes))]


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
    **sizes,
):
    """A VQ-VAE of one band, or of low and high frequencies.

    Parameters
    ----------
    quantizer : callable
        ``quantizer(latent_dim)`` makes the quantiser of a band.
    n_channels, n_timepoints, frontend, n_bands, downsampled_width, gaps, **sizes
        As of `make_encoder`; the decoders have the same sizes.
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
    return VQVAE(bands)
