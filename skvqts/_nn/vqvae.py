"""VQ-VAE over one or several bands: an encoder, a quantiser and a decoder for each.

The plain model has one band. Everything outside sees one sequence of tokens,
the bands one after the other, and one codebook, the codes of the bands one
after the other; the ids of a band start where those of the last one end.
"""

import math
from collections import defaultdict

import torch
from torch import nn

from .conv import ConvDecoder, ConvEncoder
from .layers import recorded_activations
from .quantizer import Quantizer
from .stft import STFTDecoder, STFTEncoder

_KMEANS_VECTORS = 64  # per code, drawn for the initial codebook


class Band(nn.Module):
    """Encoder ``(B, C, T) -> (B, N, D)``, quantiser, decoder ``(B, N, D) -> (B, C, T)``."""

    def __init__(self, encoder, quantizer, decoder):
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder


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

    def encode(self, x):
        """Latents of series ``(B, C, T)``, quantised: one `Quantized` per band."""
        parts = zip(self.bands, self.split(x), strict=True)
        return [band.quantizer(band.encoder(part)) for band, part in parts]

    def encode_and_record(self, x):
        """As `encode`, and the standardised activations of the encoders, each ``(B, M, C)``."""
        with recorded_activations() as activations:
            quantized = self.encode(x)
        return quantized, [a.flatten(2).transpose(1, 2) for a in activations]

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
        terms = defaultdict(float)
        for band, part, q in zip(self.bands, self.split(x), quantized, strict=True):
            for name, value in (
                band.decoder.losses(part, q.z_q) | band.quantizer.losses(q)
            ).items():
                terms[name] = terms[name] + value
        return dict(terms)

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

    def embed(self, ids):
        """Decoder input ``(B, N, D)`` of token ids ``(B, N)`` in the joint codebook."""
        parts = zip(self.bands, self._per_band(ids), self._code_offsets(), strict=True)
        return torch.cat([band.quantizer.embed(i - offset) for band, i, offset in parts], dim=1)

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


_FRONT_ENDS = {
    "conv": (ConvEncoder, ConvDecoder),
    "stft": (STFTEncoder, STFTDecoder),
}
_SIZES = {
    "conv": {"width": 64, "latent_dim": 128, "n_blocks": 2, "downsampled_width": 32},
    "stft": {"width": 64, "latent_dim": 64, "n_blocks": 4, "downsampled_width": 8},
}


def front_end_size(frontend, **size):
    """Sizes of a network, where those that are "auto" are the front end's own."""
    return {
        name: _SIZES[frontend][name] if value == "auto" else value for name, value in size.items()
    }


def make_vqvae(n_channels, n_timepoints, *, frontend, size, quantizer):
    """The plain VQ-VAE: one band.

    Parameters
    ----------
    n_channels, n_timepoints : int
    frontend : {"conv", "stft"}
    size : dict
        Width, depth and so on, parameters of the encoder and the decoder.
    quantizer : dict
        Parameters of `Quantizer`.
    """
    encoder_class, decoder_class = _FRONT_ENDS[frontend]
    encoder = encoder_class(n_channels, n_timepoints, **size)
    decoder = decoder_class(n_channels, n_timepoints, encoder.grid, **size)
    return VQVAE([Band(encoder, Quantizer(size["latent_dim"], **quantizer), decoder)])
