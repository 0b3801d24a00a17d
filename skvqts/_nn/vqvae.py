"""VQ-VAE over one or several bands: an encoder, a quantiser and a decoder for each.

The plain model has one band. Everything outside sees one sequence of tokens,
the bands one after the other, and one codebook, the codes of the bands one
after the other; the ids of a band start where those of the last one end.
"""

import math
from functools import partial

import torch
from torch import nn

from ..functional.spectral import split_bands
from .conv import ConvDecoder, ConvEncoder
from .layers import recorded
from .multiscale import MultiScaleEncoder
from .quantizer import Quantizer
from .stft import N_FFT, STFTDecoder, STFTEncoder

_KMEANS_VECTORS = 64  # per code, drawn for the initial codebook
_FEWER_LOW_TOKENS = 4  # times as many tokens along time has the high band (TimeVQVAE: 8 and 32)


class Band(nn.Module):
    """Encoder ``(B, C, T) -> (B, N, D)``, quantiser, decoder ``(B, N, D) -> (B, C, T)``."""

    def __init__(self, encoder, quantizer, decoder):
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder


class Encoders(nn.Module):
    """Continuous latents ``(B, N, D)`` of series: the encoders of all bands.

    Parameters
    ----------
    encoders : iterable of nn.Module
    split : callable
    """

    def __init__(self, encoders, split):
        super().__init__()
        self.encoders, self.split = nn.ModuleList(encoders), split

    def forward(self, x):
        parts = zip(self.encoders, self.split(x), strict=True)
        return torch.cat([encoder(part) for encoder, part in parts], dim=1)


class VQVAE(nn.Module):
    """Bands whose decoded series add up.

    Parameters
    ----------
    bands : iterable of Band
        All with latents of the same dimension.
    split : callable or None
        ``(B, C, T)`` to one series per band that add up to it; None for one band.
    """

    def __init__(self, bands, split=None):
        super().__init__()
        self.bands = nn.ModuleList(bands)
        self.split = split or _whole

    @property
    def grid(self):
        """Rows and columns of the tokens of each band."""
        return tuple(band.encoder.grid for band in self.bands)

    @property
    def strides(self):
        """Time points from one column of tokens to the next, of each band."""
        return tuple(band.encoder.stride for band in self.bands)

    def forward(self, x):
        """Continuous latents ``(B, N, D)`` of series, past the codebook."""
        return self.encoders()(x)

    def encoders(self):
        """The part that makes latents; its modules are shared."""
        return Encoders([band.encoder for band in self.bands], self.split)

    def encode(self, x):
        """Latents of series ``(B, C, T)``, quantised: one `Quantized` per band."""
        parts = zip(self.bands, self.split(x), strict=True)
        return [band.quantizer(band.encoder(part)) for band, part in parts]

    def encode_and_record(self, x):
        """As `encode`, and the standardised activations of the encoders, each ``(B, M, C)``."""
        return recorded(self.encode, x)

    @torch.no_grad()
    def initialise_codebooks(self, start, data, batch_size, generator):
        """Codes at k-means centres of the latents of series drawn from `data` ``(n, C, T)``.

        With ``start="normal"`` they stay where they are. Either way each code begins
        with the number of vectors it can expect of a batch.
        """
        for index, band in enumerate(self.bands):
            n_tokens, n_codes = math.prod(self.grid[index]), len(band.quantizer.codebook)
            per_batch = min(batch_size, len(data)) * n_tokens
            if start == "normal":
                band.quantizer.cluster_size.fill_(per_batch / n_codes)
                continue
            n_series = max(2, math.ceil(_KMEANS_VECTORS * n_codes / n_tokens))
            order = torch.randperm(len(data), generator=generator, device="cpu").to(data.device)
            batches = data[order[:n_series]].split(batch_size)
            z = torch.cat([band.encoder(self.split(x)[index]) for x in batches])
            band.quantizer.initialise_from(z, per_batch, generator)

    def losses(self, x, quantized):
        """Unweighted terms of eq. 21, summed over bands, by name."""
        of_codes = [b.quantizer.losses(q) for b, q in zip(self.bands, quantized, strict=True)]
        return self.reconstruction(x, self.quantized_latents(quantized)) | _summed(of_codes)

    def reconstruction(self, x, z):
        """Unweighted terms of the error of series decoded from `z`, summed over bands, by name."""
        parts = zip(self.bands, self.split(x), self._per_band(z), strict=True)
        return _summed([band.decoder.losses(part, latents) for band, part, latents in parts])

    def update(self, quantized, generator):
        """Let the codebooks follow a training batch."""
        for band, q in zip(self.bands, quantized, strict=True):
            band.quantizer.update(q, generator)

    def latents(self, quantized):
        """Continuous latents ``(B, N, D)``."""
        return torch.cat([q.z for q in quantized], dim=1)

    def quantized_latents(self, quantized):
        """Decoder input ``(B, N, D)``."""
        return torch.cat([q.z_q for q in quantized], dim=1)

    def tokens(self, quantized):
        """Token ids ``(B, N)`` in the joint codebook."""
        ids = zip(quantized, self._code_offsets(), strict=True)
        return torch.cat([q.ids + offset for q, offset in ids], dim=1)

    def distances(self, quantized):
        """Squared distances ``(B, N, K)`` to the joint codebook, infinite to other bands' codes."""
        codes = self.codebook()
        every = torch.cat([torch.cdist(q.vectors, codes).square() for q in quantized], dim=1)
        for own, start, band in zip(
            self._per_band(every), self._code_offsets(), self.bands, strict=True
        ):
            stop = start + len(band.quantizer.codebook)
            own[..., :start], own[..., stop:] = torch.inf, torch.inf
        return every

    def embed(self, ids):
        """Decoder input ``(B, N, D)`` of token ids ``(B, N)`` in the joint codebook.

        Ids below those of their band, as of rows that pad a chunk, are taken as its first.
        """
        parts = zip(self.bands, self._per_band(ids), self._code_offsets(), strict=True)
        own = [(band.quantizer, (i - offset).clamp(min=0)) for band, i, offset in parts]
        return torch.cat([quantizer.embed(i) for quantizer, i in own], dim=1)

    def decode(self, z):
        """Series ``(B, C, T)`` of decoder input ``(B, N, D)``."""
        parts = zip(self.bands, self._per_band(z), strict=True)
        return sum(band.decoder(part).float() for band, part in parts)

    def codebook(self):
        """The joint codebook ``(K, d)``."""
        return torch.cat([band.quantizer.codes() for band in self.bands])

    def _per_band(self, tokens):
        return tokens.split([math.prod(shape) for shape in self.grid], dim=1)

    def _code_offsets(self):
        offset = 0
        for band in self.bands:
            yield offset
            offset += len(band.quantizer.codebook)


def _whole(x):
    return [x]


def _summed(terms):
    """The sum of each term over dicts of terms."""
    return {name: sum(part[name] for part in terms) for name in terms[0]}


FRONT_ENDS = {
    "conv": (ConvEncoder, ConvDecoder),
    "multiscale": (MultiScaleEncoder, ConvDecoder),
    "stft": (STFTEncoder, STFTDecoder),
}
_SIZES = {
    "conv": {"width": 64, "latent_dim": 128, "n_blocks": 2, "downsampled_width": 32},
    "multiscale": {"width": 64, "latent_dim": 128, "n_blocks": 2, "downsampled_width": 32},
    "stft": {"width": 64, "latent_dim": 64, "n_blocks": 4, "downsampled_width": 8},
}


def front_end_size(frontend, **size):
    """Sizes of a network, where those that are "auto" are the front end's own."""
    return {
        name: _SIZES[frontend][name] if value == "auto" else value for name, value in size.items()
    }


def make_encoder(n_channels, n_timepoints, *, frontend, size):
    """The encoder of a front end."""
    return FRONT_ENDS[frontend][0](n_channels, n_timepoints, **size)


def make_decoder(n_channels, n_timepoints, grid, *, frontend, size):
    """The decoder of a front end, for tokens of shape `grid`."""
    return FRONT_ENDS[frontend][1](n_channels, n_timepoints, grid, **size)


def make_vqvae(n_channels, n_timepoints, *, frontend, size, quantizer, n_bands):
    """A VQ-VAE of one band, or of low and high frequencies.

    Parameters
    ----------
    n_channels, n_timepoints : int
    frontend : {"conv", "multiscale", "stft"}
    size : dict
        Width, depth and so on, parameters of the encoder and the decoder. The low band has a
        quarter of the tokens along time.
    quantizer : dict
        Parameters of `Quantizer`.
    n_bands : {1, 2}
    """
    shape = {"n_channels": n_channels, "n_timepoints": n_timepoints, "frontend": frontend}
    if n_bands == 1:
        return VQVAE([_make_band(**shape, size=size, quantizer=quantizer)])
    columns = max(1, size["downsampled_width"] // _FEWER_LOW_TOKENS)
    sizes = size | {"downsampled_width": columns}, size
    bands = [_make_band(**shape, size=of_band, quantizer=quantizer) for of_band in sizes]
    return VQVAE(bands, partial(split_bands, n_fft=N_FFT))


def _make_band(*, size, quantizer, **shape):
    encoder = make_encoder(**shape, size=size)
    decoder = make_decoder(**shape, grid=encoder.grid, size=size)
    return Band(encoder, Quantizer(size["latent_dim"], **quantizer), decoder)


def make_encoders(**architecture):
    """The encoders of a VQ-VAE."""
    return make_vqvae(**architecture).encoders()
