"""The door between arrays and a trained network: encode, read out, decode."""

from typing import NamedTuple

import numpy as np
import torch

from .._nn.layers import recorded
from ..functional import readout
from .runtime import chunk_size, computing, in_chunks

POOLING = {"statistics": ("mean", "std", "variation"), "levels": (1, 4)}
ACTIVATION_POOLING = {
    "statistics": ("max", "min", "std", "shares", "positions", "stretches"),
    "levels": (1,),
}


class Reader:
    """Read-outs of series in the user's units by a trained network, chunk by chunk.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode.
    scaler : SeriesScaler
    device : str
    n_threads : int
    n_values : int
        Number of values of a series, which decides the size of the chunks.
    """

    outputs = {}  # functions of what `_encoded` gives, by name

    def __init__(self, network, scaler, device, n_threads, n_values):
        self.network, self.scaler = network, scaler
        self.device, self.n_threads = torch.device(device), n_threads
        self.rows = chunk_size(n_values)

    def read(self, series, *outputs):
        """Read-outs of series ``(n, c, t)``: one array ``(n, n_columns)`` for each output."""

        def read_chunk(chunk):
            encoded = self._encoded(self._scaled(chunk))
            return [self.outputs[output](encoded).cpu().numpy() for output in outputs]

        return self._chunked(read_chunk, series)

    def n_columns(self, series):
        """Number of columns of each output, by name."""
        outs = self.read(series[:1], *self.outputs)
        return {o: out.shape[1] for o, out in zip(self.outputs, outs, strict=True)}

    def _scaled(self, chunk):
        return torch.from_numpy(self.scaler.transform(chunk)).to(self.device)

    def _chunked(self, function, rows):
        with computing(self.device, self.n_threads):
            return in_chunks(function, rows, self.rows)


class Codec(Reader):
    """Encodes, reads out and decodes by a trained VQ-VAE."""

    def _encoded(self, x):
        return _Quantized(self.network, *self.network.encode_and_record(x))

    def residuals(self, series):
        """Reconstruction minus series ``(n, c, t)``, both scaled."""
        return self._chunked(lambda chunk: [self._residuals(chunk)], series)[0]

    def squared_errors(self, series):
        """Mean squared residual of each of the series ``(n, c, t)``, float64 ``(n,)``."""

        def error_chunk(chunk):
            return [np.square(self._residuals(chunk), dtype=np.float64).mean(axis=(1, 2))]

        return self._chunked(error_chunk, series)[0]

    def _residuals(self, chunk):
        x = self._scaled(chunk)
        z = self.network.quantized_latents(self.network.encode(x))
        return (self.network.decode(z) - x).cpu().numpy()

    def distances(self, series):
        """Squared distances ``(n, N, K)`` of latents to codes, infinite to those of other bands."""

        def distance_chunk(chunk):
            return [self.network.distances(self.network.encode(self._scaled(chunk))).cpu().numpy()]

        return self._chunked(distance_chunk, series)[0]

    def decode_ids(self, ids):
        """Series ``(n, c, t)`` of token ids ``(n, N)``."""
        return self._decode(self.network.embed, ids, self.scaler.inverse)

    def decode_scaled(self, ids):
        """The same, as scaled as what the network sees."""
        return self._decode(self.network.embed, ids, lambda x: x)

    def decode_latents(self, z):
        """Series ``(n, c, t)`` of decoder input ``(n, N, D)``."""
        return self._decode(lambda z: z, z, self.scaler.inverse)

    def _decode(self, embed, rows, in_units):
        def decode_chunk(chunk):
            x = self.network.decode(embed(torch.from_numpy(chunk).to(self.device)))
            return [in_units(x.cpu().numpy())]

        return self._chunked(decode_chunk, rows)[0]


class _Quantized(NamedTuple):
    """A chunk of series as the network sees it."""

    network: torch.nn.Module
    quantized: list  # of Quantized, one per band
    activations: list  # of the encoders, standardised, each (B, M, C)

    @property
    def tokens(self):
        return self.network.tokens(self.quantized)

    @property
    def latents(self):
        return self.network.latents(self.quantized)

    @property
    def quantized_latents(self):
        return self.network.quantized_latents(self.quantized)

    @property
    def n_codes(self):
        return len(self.network.codebook())


def _bag_of_codes(encoded):
    return readout.bag_of_codes(encoded.tokens, encoded.n_codes)


def _features(encoded):
    """Pooled latents, pooled activations, square root of the bag of codes (Hellinger)."""
    return torch.cat([_pooled(encoded), _bag_of_codes(encoded).sqrt()], dim=1)


def _pooled_latents(encoded):
    return readout.pool(encoded.latents, **POOLING)


def _pooled(encoded):
    """Pooled latents and pooled activations."""
    activations = [readout.pool(a, **ACTIVATION_POOLING) for a in encoded.activations]
    return torch.cat([_pooled_latents(encoded), *activations], dim=1)


Codec.outputs = OUTPUTS = {
    "features": _features,
    "tokens": lambda encoded: encoded.tokens,
    "one_hot": lambda encoded: readout.one_hot(encoded.tokens, encoded.n_codes),
    "bag_of_codes": _bag_of_codes,
    "quantized": lambda encoded: encoded.quantized_latents.flatten(1),
    "quantized_pooled": lambda encoded: readout.pool(encoded.quantized_latents, **POOLING),
    "continuous": lambda encoded: encoded.latents.flatten(1),
    "continuous_pooled": _pooled_latents,
}


class EncoderReader(Reader):
    """Reads out a trained encoder."""

    def _encoded(self, x):
        return _Encoded(*recorded(self.network, x))


class _Encoded(NamedTuple):
    """A chunk of series as an encoder sees it."""

    latents: torch.Tensor  # (B, N, D)
    activations: list  # standardised, each (B, M, C)


EncoderReader.outputs = ENCODER_OUTPUTS = {
    "features": _pooled,
    "latents": lambda encoded: encoded.latents.flatten(1),
    "latents_pooled": _pooled_latents,
}
