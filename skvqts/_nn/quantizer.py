"""Vector quantisers: of latents, with the update and the losses of the codes; of whole series."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..functional import codebook as cb
from ..functional.gaps import ended


class Quantized(NamedTuple):
    """What the quantiser makes of latents ``(B, N, D)``.

    Beyond the end of a series latents and the decoder's input are 0, and ids mean nothing.
    """

    z: Tensor  # (B, N, D), the latents themselves
    z_q: Tensor  # (B, N, D), the decoder's input, straight-through gradient
    ids: Tensor  # (B, N) int64
    vectors: Tensor  # (B, N, d), the latents in the space of the codes
    codes: Tensor  # (B, N, d), the nearest codes
    inside: Tensor | None = None  # (B, N) booleans, tokens of the series; None: all are

    def counted(self, values):
        """Values ``(B, N, ...)`` of the tokens that are of the series."""
        return values if self.inside is None else values[self.inside]


class VectorQuantizer(nn.Module):
    """Nearest-code quantisation in float32 (van den Oord et al. 2017).

    Parameters
    ----------
    dim : int
        Dimension D of the latents.
    codebook_size : int
        Number of codes K.
    code_dim : int or None
        Dimension d of the codes; with a value, latents are mapped linearly to
        the codes and back (Yu et al. 2022).
    normalize_codes : bool
        L2-normalise latents and codes, so that the nearest code is that of
        highest cosine.
    update : {"ema", "gradient"}
        Codes as running means of their vectors, or by the gradient of the codebook term of
        van den Oord et al. (2017), eq. 3.
    ema_decay : float
    revival_threshold : float
        Codes used less than this share of the average are revived; 0 for never.
    """

    def __init__(
        self,
        dim,
        codebook_size,
        *,
        code_dim=None,
        normalize_codes=False,
        update="ema",
        ema_decay=0.95,
        revival_threshold=0.05,
    ):
        super().__init__()
        self.normalize_codes = normalize_codes
        self.update_rule = update
        self.ema_decay = ema_decay
        self.revival_threshold = revival_threshold
        self.project = nn.Identity() if code_dim is None else nn.Linear(dim, code_dim)
        self.expand = nn.Identity() if code_dim is None else nn.Linear(code_dim, dim)
        codes = torch.empty(codebook_size, code_dim or dim)
        if update == "gradient":
            self.codebook = nn.Parameter(codes)
        else:
            self.register_buffer("codebook", codes)
        self.register_buffer("cluster_size", torch.empty(codebook_size))

    def initialise(self, generator):
        """Standard normal codes, each counted once."""
        with torch.no_grad():
            self.codebook.normal_(generator=generator)
            self.cluster_size.fill_(1.0)

    @torch.no_grad()
    def start_at_centres(self, z, tokens_per_batch, generator):
        """Move the codes to the k-means centres of latents ``(..., D)``.

        Each begins with the number of vectors that it can expect of a training batch.
        """
        vectors = self.vectors(z).reshape(-1, self.codebook.shape[1])
        codes, counts = cb.kmeans(vectors, len(self.codebook), generator)
        self.codebook.copy_(codes)
        self.cluster_size.copy_(counts * (tokens_per_batch / len(vectors)))

    def forward(self, z, inside=None):
        # Distances and codes are float32 even where the network runs in bfloat16.
        with torch.autocast(z.device.type, enabled=False):
            z = ended(z.float(), inside)
            vectors = self.vectors(z)
            codebook = self.codes()
            ids = cb.nearest_code(vectors.flatten(0, -2), codebook).view(vectors.shape[:-1])
            codes = F.embedding(ids, codebook)
            # In evaluation exactly the codes: `z + (code - z)` rounds, and decoding ids must agree.
            z_q = self.expand(cb.straight_through(vectors, codes) if self.training else codes)
        return Quantized(z, ended(z_q, inside), ids, vectors, codes, inside)

    def vectors(self, z):
        """Latents in the space of the codes."""
        vectors = self.project(z)
        return F.normalize(vectors, dim=-1) if self.normalize_codes else vectors

    def codes(self):
        """The codebook as it is compared with vectors, ``(K, d)``."""
        return F.normalize(self.codebook, dim=1) if self.normalize_codes else self.codebook

    def embed(self, ids):
        """The decoder's input ``(B, N, D)`` for token ids ``(B, N)``."""
        return self.expand(F.embedding(ids, self.codes()))

    def losses(self, quantized):
        """The unweighted terms of van den Oord et al. (2017), eq. 3, that concern the codes."""
        vectors, codes = map(quantized.counted, (quantized.vectors, quantized.codes))
        terms = {"commitment": cb.commitment_loss(vectors, codes)}
        if self.update_rule == "gradient":
            terms["codebook"] = cb.codebook_loss(vectors, codes)
        return terms

    @torch.no_grad()
    def update(self, quantized, generator):
        """Let running means follow a training batch, and revive dead codes."""
        vectors = quantized.counted(quantized.vectors).flatten(0, -2).detach()
        ids = quantized.counted(quantized.ids).flatten()
        codes, size = cb.ema_update(self.codebook, self.cluster_size, vectors, ids, self.ema_decay)
        if self.update_rule == "gradient":  # the optimiser moves the codes; only their use is kept
            codes = self.codebook
        codes, size = cb.revive_dead_codes(codes, size, vectors, self.revival_threshold, generator)
        # A mean of unit vectors is shorter than 1.
        self.codebook.copy_(F.normalize(codes, dim=1) if self.normalize_codes else codes)
        self.cluster_size.copy_(size)


class SeriesQuantizer(nn.Module):
    """Tokens of a whole series: product quantisation of its features (Jégou et al. 2011).

    The features are standardised, and each goes with a random sign to a random place in the vector
    of one of the tokens. The vector of each token is replaced by the nearest of its own codes. So
    every token says something of all of the series, and all together much of its features.

    Parameters
    ----------
    n_features : int
        Number F of features of a series.
    n_tokens : int
        Number G of tokens.
    codebook_size : int
        Number K of codes of each token.
    dim : int
        Dimension d of the codes.
    """

    def __init__(self, n_features, n_tokens, codebook_size, dim):
        super().__init__()
        self.n_tokens = n_tokens
        self.dim = dim
        self.register_buffer("mean", torch.empty(n_features))
        self.register_buffer("weights", torch.empty(n_features))
        self.register_buffer("places", torch.empty(n_features, dtype=torch.int64))
        self.register_buffer("codebook", torch.empty(n_tokens * codebook_size, dim))

    @property
    def codebooks(self):
        """The codes of each token, ``(G, K, d)``."""
        return self.codebook.unflatten(0, (self.n_tokens, -1))

    @torch.no_grad()
    def initialise(self, generator):
        """Random places, all about as often, and random signs; `learn` sets the rest."""
        n_places = self.n_tokens * self.dim
        order = torch.randperm(len(self.places), generator=generator, device="cpu")
        self.places.copy_(order % n_places)
        self.weights.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)
        self.mean.zero_()
        self.codebook.zero_()

    @torch.no_grad()
    def learn(self, features, generator):
        """Standardise by the features ``(n, F)`` of training series; codes are k-means centres."""
        std, mean = torch.std_mean(features, dim=0, correction=0)
        # Rounding lets constants deviate from their mean.
        is_constant = std <= 10 * torch.finfo(torch.float32).eps * mean.abs()
        self.mean.copy_(mean)
        self.weights.mul_(torch.where(is_constant, 0.0, 1 / std))
        n_codes = len(self.codebook) // self.n_tokens
        vectors = self.vectors(features).unbind(1)
        codes = [cb.kmeans(of_token, n_codes, generator)[0] for of_token in vectors]
        self.codebook.copy_(torch.cat(codes))

    def vectors(self, features):
        """Features ``(B, F)`` as a vector for each token, ``(B, G, d)``."""
        n_places = self.n_tokens * self.dim
        hashed = cb.hashed(features - self.mean, self.places, self.weights, n_places)
        return hashed.unflatten(1, (self.n_tokens, self.dim))

    def forward(self, features):
        vectors = self.vectors(features)
        codebooks = self.codebooks
        n_codes = codebooks.shape[1]
        first = n_codes * torch.arange(self.n_tokens, device=features.device)
        ids = cb.nearest_in_each(vectors, codebooks) + first
        codes = F.embedding(ids, self.codebook)
        return Quantized(vectors, codes, ids, vectors, codes)
