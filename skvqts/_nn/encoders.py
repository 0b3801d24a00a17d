"""The front ends: encoders of series, their decoders, and the sizes that each has by default."""

import torch
from torch import nn

from ..functional.gaps import bridged, positions_inside
from ..functional.spectral import split_bands
from .conv import ConvDecoder, ConvEncoder
from .multiscale import MultiScaleEncoder
from .sequence.patches import PatchEncoder
from .stft import N_FFT, STFTDecoder, STFTEncoder

FRONT_ENDS = {
    "conv": (ConvEncoder, ConvDecoder),
    "multiscale": (MultiScaleEncoder, ConvDecoder),
    "patches": (PatchEncoder, ConvDecoder),
    "stft": (STFTEncoder, STFTDecoder),
}
_DEFAULT_SIZES = {
    "conv": {"latent_dim": 128, "n_blocks": 2, "downsampled_width": 32},
    "multiscale": {"latent_dim": 128, "n_blocks": 2, "downsampled_width": 32},
    "patches": {"latent_dim": 128, "n_blocks": 2, "downsampled_width": 32},
    "stft": {"latent_dim": 64, "n_blocks": 4, "downsampled_width": 8},
}
_HIGH_COLUMNS_PER_LOW = 4  # TimeVQVAE has 32 and 8 columns of tokens


def resolved_sizes(frontend, **sizes):
    """Sizes of an encoder, where each that is "auto" becomes the front end's default."""
    return {
        name: _DEFAULT_SIZES[frontend][name] if value == "auto" else value
        for name, value in sizes.items()
    }


class BandEncoders(nn.Module):
    """Continuous latents ``(B, N, D)`` of series ``(B, C, T)``: the encoders of all bands.

    Parameters
    ----------
    bands : iterable of nn.Module
        The encoder of each band, all with latents of the same dimension D.
    """

    def __init__(self, bands):
        super().__init__()
        self.bands = nn.ModuleList(bands)

    @property
    def latent_dim(self):
        """The dimension D of the latents."""
        return self.bands[0].latent_dim

    def forward(self, x, activations=None):
        parts = zip(self.bands, split_series(x, len(self.bands)), strict=True)
        return torch.cat([band(part, activations) for band, part in parts], dim=1)


def tokens_inside(encoder, ends):
    """Which tokens ``(B, N)`` of an encoder stand for time points before the ends of series.

    Parameters
    ----------
    encoder : nn.Module
        An encoder of a front end, or `BandEncoders`.
    ends : int64 Tensor of shape (B,) or None

    Returns
    -------
    inside : bool Tensor of shape (B, N) or None
        None for `ends` of None: all do.
    """
    if ends is None:
        return None
    encoders = encoder.bands if isinstance(encoder, BandEncoders) else [encoder]
    masks = []
    for of_band in encoders:
        n_rows, n_columns = of_band.grid
        masks.append(positions_inside(ends, of_band.stride * n_columns, n_rows, n_columns))
    return torch.cat(masks, dim=1)


def activations_inside(encoder, ends, n_timepoints, activations):
    """Which positions of the activations ``(B, M, C)`` of an encoder begin before ends of series.

    One bool Tensor ``(B, M)`` for each of them, or None for `ends` of None: all do.
    """
    if ends is None:
        return None
    one = encoder.bands[0] if isinstance(encoder, BandEncoders) else encoder
    n_rows = one.grid[0]  # layers have as many as there are rows of tokens
    return [
        positions_inside(ends, n_timepoints, n_rows, of_layer.shape[1] // n_rows)
        for of_layer in activations
    ]


def split_series(x, n_bands):
    """Series ``(B, C, T)`` as one series per band, which add up to them.

    What is missing in series is missing in their bands.
    """
    if n_bands == 1:
        return [x]
    return [band.where(~x.isnan(), x) for band in split_bands(bridged(x), N_FFT)]


def make_encoder(n_channels, n_timepoints, *, frontend, n_bands=None, downsampled_width, **sizes):
    """An encoder of series ``(B, C, T)``, with latents ``(B, N, D)``.

    Parameters
    ----------
    n_channels, n_timepoints : int
    frontend : {"conv", "multiscale", "patches", "stft"}
    n_bands : {1, 2} or None
        None makes the encoder of the front end itself, a number the `BandEncoders` of a VQ-VAE.
    downsampled_width : int
        About how many tokens there are along time; the low of two bands has a quarter of them.
    **sizes
        `width`, `latent_dim` and `n_blocks` of the encoders, and `gaps`, whether series may have
        missing values (NaN).
    """
    encoder_class = FRONT_ENDS[frontend][0]
    if n_bands is None:
        return encoder_class(n_channels, n_timepoints, downsampled_width=downsampled_width, **sizes)
    return BandEncoders(
        encoder_class(n_channels, n_timepoints, downsampled_width=width, **sizes)
        for width in widths_of_bands(downsampled_width, n_bands)
    )


def make_decoder(n_channels, n_timepoints, grid, *, frontend, gaps=False, **sizes):
    """The decoder of a front end, for tokens of shape `grid`; sizes are as of `make_encoder`.

    It is the same whether series have gaps or not.
    """
    return FRONT_ENDS[frontend][1](n_channels, n_timepoints, grid, **sizes)


def widths_of_bands(downsampled_width, n_bands):
    """About how many tokens each band has along time."""
    if n_bands == 1:
        return [downsampled_width]
    return [max(1, downsampled_width // _HIGH_COLUMNS_PER_LOW), downsampled_width]
