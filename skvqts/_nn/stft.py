"""The published front end: STFT, 2-D convolutions, inverse STFT (NC-VQVAE, TimeVQVAE).

Latents leave the encoder and enter the decoder as tokens ``(B, N, D)``, with
``N = rows * columns`` in row-major order (frequency rows, then time).
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from ..functional.gaps import bridged, filled, gap_depth, inverse_known_share, known_squared_error
from ..functional.spectral import hop_length, istft, n_frames, stft
from .layers import BatchNorm2d, Readable, ZeroConv, run_layers

N_FFT = 8
MIN_TIMEPOINTS = N_FFT // 2 + 1  # what the window needs to be reflected at the edges


def n_halvings(n_timepoints, downsampled_width):
    """Number of stride-2 blocks for about `downsampled_width` columns."""
    if n_timepoints < downsampled_width:
        return 1
    # As published: log2(8) - 1 = 2 happens to be the hop, so that this is frames per column.
    rate = round(n_timepoints / (math.log2(N_FFT) - 1) / downsampled_width)
    # At least one column has to be left.
    longest = int(math.log2(n_frames(max(n_timepoints, MIN_TIMEPOINTS), N_FFT)))
    return min(max(1, int(math.log2(max(rate, 1)))), longest)


_HALVING = {"kernel_size": (3, 4), "stride": (1, 2), "padding": (1, 1)}


def _in_float32(convolve, x, is_narrow):
    """What a halving convolution makes of `x`, in float32 where one side of it is one column wide.

    Of one column bfloat16 is wrong on processors with AMX: torch 2.13 leaves it uninitialised.
    """
    if not is_narrow:
        return convolve(x)
    with torch.autocast(x.device.type, enabled=False):
        return convolve(x.float())


class _Halve(nn.Conv2d):
    """``(B, C, H, W) -> (B, D, H, W // 2)``, as a convolution."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, padding_mode="replicate", **_HALVING)

    def forward(self, x):
        return _in_float32(super().forward, x, is_narrow=x.shape[3] < 4)


class _Down(Readable, nn.Sequential):
    """``(B, C, H, W) -> (B, D, H, W // 2)``."""

    def __init__(self, in_channels, out_channels):
        super().__init__(
            _Halve(in_channels, out_channels),
            BatchNorm2d(out_channels),
            nn.LeakyReLU(),
        )

    def forward(self, x, activations=None):
        return run_layers(self, x, activations)


class _Up(nn.ConvTranspose2d):
    """``(B, C, H, W) -> (B, D, H, 2 W)``."""

    def __init__(self, in_channels, out_channels):
        super().__init__(in_channels, out_channels, **_HALVING)

    def forward(self, x):
        return _in_float32(super().forward, x, is_narrow=x.shape[3] == 1)


class _Residual(Readable, nn.Module):
    """``x + f(x)``, then batch normalisation; in the encoder, `f` has another one inside."""

    def __init__(self, dim, inner_norm):
        super().__init__()
        self.f = nn.Sequential(
            nn.LeakyReLU(),
            nn.Conv2d(dim, dim, kernel_size=3, padding=1),
            BatchNorm2d(dim) if inner_norm else nn.Identity(),
            nn.LeakyReLU(),
            nn.Conv2d(dim, dim, kernel_size=1),
        )
        self.norm = BatchNorm2d(dim)

    def forward(self, x, activations=None):
        return self.norm(x + run_layers(self.f, x, activations), activations)


def _project(in_channels, out_channels):
    """Nothing, as published, unless the latents have another dimension than the convolutions."""
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Conv2d(in_channels, out_channels, kernel_size=1)


class STFTEncoder(nn.Module):
    """Series ``(B, C, T)`` to latents ``(B, 5 W', D)``.

    Series shorter than 5 points are repeated at their last value up to 5, where
    the window of 8 can be reflected. With `gaps` their values may be missing (NaN): the first
    convolution sees the STFT of lines across gaps, and another one that of the depth in them.
    """

    def __init__(
        self,
        n_channels,
        n_timepoints,
        *,
        width,
        latent_dim,
        n_blocks,
        downsampled_width,
        gaps=False,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.padding = max(0, MIN_TIMEPOINTS - n_timepoints)
        halvings = n_halvings(n_timepoints, downsampled_width)
        columns = n_frames(n_timepoints + self.padding, N_FFT) // 2**halvings
        self.stride = hop_length(N_FFT) * 2**halvings
        self.grid = (N_FFT // 2 + 1, columns)
        self.down = nn.Sequential(
            _Down(2 * n_channels, width), *(_Down(width, width) for _ in range(halvings - 1))
        )
        self.of_gaps = ZeroConv(2 * n_channels, width, **_HALVING) if gaps else None
        self.blocks = nn.Sequential(
            *(_Residual(width, inner_norm=True) for _ in range(n_blocks)),
            _project(width, latent_dim),
        )

    def forward(self, x, activations=None):
        if self.of_gaps is None:
            return self.encode_spectrum(spectrum(x, self.padding), activations)
        u = spectrum(gap_depth(x), self.padding)
        of_gaps = _in_float32(self.of_gaps, u, is_narrow=u.shape[3] < 4)
        return self.encode_spectrum(spectrum(bridged(x), self.padding), activations, of_gaps)

    def encode_spectrum(self, u, activations=None, of_gaps=None):
        """Latents of an STFT ``(B, 2 C, 5, W)``; gaps add something to the first convolution."""
        (convolution, *first), *halvings = self.down
        u = convolution(u) if of_gaps is None else convolution(u) + of_gaps
        u = run_layers([*first, *halvings, *self.blocks], u, activations)
        return u.flatten(2).transpose(1, 2)


class STFTDecoder(nn.Module):
    """Tokens ``(B, 5 W', D)`` to series ``(B, C, T)`` of exactly the fitted length."""

    def __init__(
        self,
        n_channels,
        n_timepoints,
        grid,
        *,
        width,
        latent_dim,
        n_blocks,
        downsampled_width,
    ):
        super().__init__()
        self.n_timepoints = n_timepoints
        self.padding = max(0, MIN_TIMEPOINTS - n_timepoints)
        self.grid = grid
        self.size = (grid[0], n_frames(n_timepoints + self.padding, N_FFT))
        halvings = n_halvings(n_timepoints, downsampled_width)
        layers = [_project(latent_dim, width)]
        layers += [_Residual(width, inner_norm=False) for _ in range(n_blocks)]
        for _ in range(halvings - 1):
            layers += [_Up(width, width), BatchNorm2d(width), nn.LeakyReLU()]
        # As published, one doubling more than the encoder halves; interpolation then sets the size.
        layers += [_Up(width, 2 * n_channels), _Up(2 * n_channels, 2 * n_channels)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z):
        return self.series(self.decode_spectrum(z))

    def decode_spectrum(self, z):
        """STFT ``(B, 2 C, 5, W)`` of tokens."""
        u = self.layers(z.transpose(1, 2).unflatten(2, self.grid))
        return F.interpolate(u, self.size, mode="bilinear", align_corners=True)

    def series(self, u):
        """Series of exactly the fitted length from an STFT."""
        x = istft(u.float(), self.n_timepoints + self.padding, N_FFT)
        return x[..., : self.n_timepoints]

    def losses(self, x, z):
        """Squared error in time and in time-frequency, equally weighted as published.

        Where values are missing, the STFT is compared with that of series that have the decoded
        values there: no line across a gap is rewarded.
        """
        u = self.decode_spectrum(z)
        series = self.series(u)
        target = spectrum(filled(x, series), self.padding)
        return {
            "reconstruction": known_squared_error(series, x),
            "spectral": F.mse_loss(u.float(), target) * inverse_known_share(x),
        }


def spectrum(x, padding):
    """STFT of series, repeated at their last value by `padding` points."""
    return stft(F.pad(x, (0, padding), mode="replicate") if padding else x, N_FFT)
