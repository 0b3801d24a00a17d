"""The door between arrays and the network of a fitted tokenizer: encode, read out, decode."""

import torch

from ._runtime import chunk_size, computing, in_chunks
from .functional import readout

POOLING = {"statistics": ("mean", "max", "std", "variation"), "levels": (1, 2, 4)}


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

    def read(self, series, *kinds):
        """Read-outs of series ``(n, c, t)``: one array ``(n, ...)`` for each kind.

        Kinds are the outputs of VQTokenizer, "features" before they are
        scaled, and "error", the squared reconstruction error of each value.
        """

        def read_chunk(chunk):
            x = torch.from_numpy(self.scaler.transform(chunk)).to(self.device)
            quantized = self.network.encode(x)
            return [_read_out(kind, self.network, x, quantized).cpu().numpy() for kind in kinds]

        return self._chunked(read_chunk, series)

    def decode_ids(self, ids):
        """Series ``(n, c, t)`` of token ids ``(n, N)``."""

        def decode_chunk(chunk):
            z = self.network.embed(torch.from_numpy(chunk).to(self.device))
            return [self._series(z)]

        return self._chunked(decode_chunk, ids)[0]

    def decode_latents(self, z):
        """Series ``(n, c, t)`` of decoder input ``(n, N, D)``."""

        def decode_chunk(chunk):
            return [self._series(torch.from_numpy(chunk).to(self.device))]

        return self._chunked(decode_chunk, z)[0]

    def _series(self, z):
        return self.scaler.inverse(self.network.decode(z).cpu().numpy())

    def _chunked(self, function, rows):
        with computing(self.device, self.n_threads):
            return in_chunks(function, rows, self.rows)


def n_columns(output, n_tokens, dim, n_codes):
    """Number of columns of an output of VQTokenizer."""
    pooled = readout.n_pooled(n_tokens, **POOLING) * dim
    return {
        "features": pooled + n_codes,
        "tokens": n_tokens,
        "one_hot": n_tokens * n_codes,
        "bag_of_codes": n_codes,
        "quantized": n_tokens * dim,
        "quantized_pooled": pooled,
        "continuous": n_tokens * dim,
        "continuous_pooled": pooled,
    }[output]


def _read_out(kind, network, x, quantized):
    """One read-out of a batch ``x (B, C, T)`` that was encoded to `quantized`."""
    tokens, n_codes = network.tokens(quantized), len(network.codebook())
    if kind == "tokens":
        return tokens
    if kind == "one_hot":
        return readout.one_hot(tokens, n_codes)
    if kind == "bag_of_codes":
        return readout.bag_of_codes(tokens, n_codes)
    if kind == "error":
        return (network.decode(network.quantized_latents(quantized)) - x).square().flatten(1)
    if kind == "features":
        bag = readout.bag_of_codes(tokens, n_codes)
        return torch.cat([readout.pool(network.latents(quantized), **POOLING), bag.sqrt()], dim=1)
    latents, _, pooled = kind.partition("_")
    z = (
        network.latents(quantized)
        if latents == "continuous"
        else network.quantized_latents(quantized)
    )
    return readout.pool(z, **POOLING) if pooled else z.flatten(1)
