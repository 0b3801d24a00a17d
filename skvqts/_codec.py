"""The door between arrays and the network of a fitted tokenizer: encode, read out, decode."""

from collections.abc import Callable
from typing import NamedTuple

import torch

from ._runtime import chunk_size, computing, in_chunks
from .functional import readout

POOLING = {"statistics": ("mean", "std", "variation"), "levels": (1, 4)}


class Codec:
    """A trained VQ-VAE for arrays in the user's units, chunk by chunk.

    Parameters
    ----------
    network : VQVAE
        In evaluation mode.
    scaler : SeriesScaler
    device : str
    n_threads : int
    n_values : int
        Number of values of a series, which decides the size of the chunks.
    """

    def __init__(self, network, scaler, device, n_threads, n_values):
        self.network, self.scaler = network, scaler
        self.device, self.n_threads = torch.device(device), n_threads
        self.rows = chunk_size(n_values)

    def read(self, series, *outputs):
        """Read-outs of series ``(n, c, t)``: one array ``(n, n_columns)`` for each of `OUTPUTS`."""

        def read_chunk(chunk):
            quantized = self.network.encode(self._scaled(chunk))
            outs = [OUTPUTS[output].read(self.network, quantized) for output in outputs]
            return [out.cpu().numpy() for out in outs]

        return self._chunked(read_chunk, series)

    def residuals(self, series):
        """Reconstruction minus series ``(n, c, t)``, both scaled."""

        def residual_chunk(chunk):
            x = self._scaled(chunk)
            z = self.network.quantized_latents(self.network.encode(x))
            return [(self.network.decode(z) - x).cpu().numpy()]

        return self._chunked(residual_chunk, series)[0]

    def decode_ids(self, ids):
        """Series ``(n, c, t)`` of token ids ``(n, N)``."""
        return self._decode(self.network.embed, ids)

    def decode_latents(self, z):
        """Series ``(n, c, t)`` of decoder input ``(n, N, D)``."""
        return self._decode(lambda z: z, z)

    def _decode(self, embed, rows):
        def decode_chunk(chunk):
            x = self.network.decode(embed(torch.from_numpy(chunk).to(self.device)))
            return [self.scaler.inverse(x.cpu().numpy())]

        return self._chunked(decode_chunk, rows)[0]

    def _scaled(self, chunk):
        return torch.from_numpy(self.scaler.transform(chunk)).to(self.device)

    def _chunked(self, function, rows):
        with computing(self.device, self.n_threads):
            return in_chunks(function, rows, self.rows)


class _Output(NamedTuple):
    """One of the outputs of VQTokenizer."""

    read: Callable  # (network, quantized) -> Tensor (B, n_columns)
    n_columns: Callable  # (n_tokens, latent_dim, n_codes) -> int


def _one_hot(network, quantized):
    return readout.one_hot(network.tokens(quantized), len(network.codebook()))


def _bag_of_codes(network, quantized):
    return readout.bag_of_codes(network.tokens(quantized), len(network.codebook()))


def _pooled(latents):
    return lambda network, quantized: readout.pool(latents(network, quantized), **POOLING)


def _flat(latents):
    return lambda network, quantized: latents(network, quantized).flatten(1)


def _continuous(network, quantized):
    return network.latents(quantized)


def _quantized(network, quantized):
    return network.quantized_latents(quantized)


def _features(network, quantized):
    """Pooled latents beside the square root of the bag of codes (a Hellinger embedding)."""
    bag = _bag_of_codes(network, quantized)
    return torch.cat([_pooled(_continuous)(network, quantized), bag.sqrt()], dim=1)


def _n_pooled(n_tokens, dim):
    return readout.n_pooled(n_tokens, **POOLING) * dim


OUTPUTS = {
    "features": _Output(_features, lambda n, d, k: _n_pooled(n, d) + k),
    "tokens": _Output(lambda network, quantized: network.tokens(quantized), lambda n, d, k: n),
    "one_hot": _Output(_one_hot, lambda n, d, k: n * k),
    "bag_of_codes": _Output(_bag_of_codes, lambda n, d, k: k),
    "quantized": _Output(_flat(_quantized), lambda n, d, k: n * d),
    "quantized_pooled": _Output(_pooled(_quantized), lambda n, d, k: _n_pooled(n, d)),
    "continuous": _Output(_flat(_continuous), lambda n, d, k: n * d),
    "continuous_pooled": _Output(_pooled(_continuous), lambda n, d, k: _n_pooled(n, d)),
}
