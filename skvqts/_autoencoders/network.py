"""Networks of autoencoders: a front end, a bottleneck, and the decoder of the front end."""

import torch
import torch.nn.functional as F
from torch import nn

from .._nn.encoders import make_decoder, make_encoder

# The logarithm of a posterior's standard deviation stays within these.
_LOG_SCALES = (-10.0, 5.0)


class Bottleneck(nn.Module):
    """Tokens ``(B, N, W)`` of an encoder to M vectors, and M vectors to input of a decoder.

    Parameters
    ----------
    n_tokens, width : int
        N and W.
    per_token : bool
        True: M is N, and every token is squeezed by itself. False: M is 1, a vector for a series.
    n_out : int
        Dimension of the vectors that tokens are squeezed to.
    n_in : int
        Dimension of those that are expanded.
    """

    def __init__(self, n_tokens, width, per_token, n_out, n_in):
        super().__init__()
        self.shape = (n_tokens, width)
        self.n_vectors = n_tokens if per_token else 1
        size = width if per_token else n_tokens * width
        self.squeezing = nn.Linear(size, n_out)
        self.expanding = nn.Linear(n_in, size)

    def squeeze(self, tokens):
        """Vectors ``(B, M, n_out)`` of tokens ``(B, N, W)``."""
        tokens = tokens.reshape(len(tokens), self.n_vectors, -1)
        if self.training or tokens.device.type == "mps":
            return self.squeezing(tokens)
        # A product of matrices rounds a row by its place among the others: in float64 the latents
        # of a series do not depend on it.
        weight, bias = self.squeezing.weight.double(), self.squeezing.bias.double()
        return F.linear(tokens.double(), weight, bias).float()

    def expand(self, vectors):
        """Tokens ``(B, N, W)`` of vectors ``(B, M, n_in)``."""
        return self.expanding(vectors).reshape(len(vectors), *self.shape)


class Autoencoder(nn.Module):
    """Series ``(B, C, T)`` to latents ``(B, M, k)`` and back.

    Parameters
    ----------
    n_channels, n_timepoints : int
        C and T.
    latent_dim : int
        k.
    per_token : bool
        M is the number of tokens of the encoder, or else 1.
    frontend, width, n_blocks, downsampled_width
        As of `make_encoder`; the tokens of the encoder have dimension `width`.
    """

    def __init__(self, n_channels, n_timepoints, *, latent_dim, per_token, **sizes):
        super().__init__()
        self.encoder, self.decoder, n_tokens = _encoder_and_decoder(
            n_channels, n_timepoints, **sizes
        )
        self.bottleneck = Bottleneck(n_tokens, sizes["width"], per_token, latent_dim, latent_dim)
        self.latent_shape = (self.bottleneck.n_vectors, latent_dim)

    def encode(self, x):
        """Latents ``(B, M, k)`` of series ``(B, C, T)``."""
        return self.bottleneck.squeeze(self.encoder(x)).float()

    def decode(self, z):
        """Series ``(B, C, T)`` of latents ``(B, M, k)``."""
        return self.decoder(self.bottleneck.expand(z)).float()

    def reconstruction_losses(self, x, z):
        """Unweighted terms of the error of series decoded from latents, by name."""
        return self.decoder.losses(x, self.bottleneck.expand(z))


class VariationalAutoencoder(nn.Module):
    """Series ``(B, C, T)`` to a normal posterior of latents ``(B, M, k)``, and latents to series.

    Parameters
    ----------
    n_channels, n_timepoints : int
        C and T.
    n_classes : int
        Above 0, the decoder is told the class of a series. The posterior is that of any class.
    latent_dim : int
        k.
    per_token : bool
        M is the number of tokens of the encoder, or else 1.
    full_covariance : bool
        Whether the k dimensions of a latent vector are correlated in the posterior.
    frontend, width, n_blocks, downsampled_width
        As of `make_encoder`; the tokens of the encoder have dimension `width`.
    """

    def __init__(
        self,
        n_channels,
        n_timepoints,
        *,
        n_classes,
        latent_dim,
        per_token,
        full_covariance,
        **sizes,
    ):
        super().__init__()
        self.n_classes = n_classes
        self.full_covariance = full_covariance
        self.encoder, self.decoder, n_tokens = _encoder_and_decoder(
            n_channels, n_timepoints, **sizes
        )
        n_below = latent_dim * (latent_dim - 1) // 2 if full_covariance else 0
        self.bottleneck = Bottleneck(
            n_tokens, sizes["width"], per_token, 2 * latent_dim + n_below, latent_dim + n_classes
        )
        self.latent_shape = (self.bottleneck.n_vectors, latent_dim)
        # Standard deviation of each channel around what is decoded; not learned by gradients.
        self.register_buffer("noise_scale", torch.empty(n_channels))

    def initialise(self, generator):
        """The unit likelihood; `generator` has no say."""
        nn.init.ones_(self.noise_scale)

    def posterior(self, x):
        """Mean ``(B, M, k)`` and scale of the latents of series, as `elbo` takes them."""
        k = self.latent_shape[1]
        out = self.bottleneck.squeeze(self.encoder(x)).float()
        mean, log_scale, below = out.split([k, k, out.shape[2] - 2 * k], dim=2)
        scale = log_scale.clamp(*_LOG_SCALES).exp()
        if not self.full_covariance:
            return mean, scale
        rows, columns = torch.tril_indices(k, k, -1, device=out.device)
        factor = scale.diag_embed()
        factor[..., rows, columns] = below
        return mean, factor

    def decode(self, z, classes):
        """Mean series ``(B, C, T)`` of latents ``(B, M, k)``, of classes ``(B,)``."""
        if self.n_classes:
            told = F.one_hot(classes, self.n_classes).to(z.dtype)[:, None]
            z = torch.cat([z, told.expand(-1, z.shape[1], -1)], dim=2)
        return self.decoder(self.bottleneck.expand(z)).float()


def _encoder_and_decoder(n_channels, n_timepoints, **sizes):
    """Both halves of a front end, with tokens as wide as its convolutions, and their number."""
    sizes = sizes | {"latent_dim": sizes["width"]}
    encoder = make_encoder(n_channels, n_timepoints, **sizes)
    decoder = make_decoder(n_channels, n_timepoints, encoder.grid, **sizes)
    n_rows, n_columns = encoder.grid
    return encoder, decoder, n_rows * n_columns
