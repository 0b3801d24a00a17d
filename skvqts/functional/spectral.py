"""Short-time Fourier transform of batches of series, with the published settings.

The window is a periodic Hann window of `n_fft` points and the hop ``n_fft // 4``; frames are
centred with reflection, and spectra are one-sided and not normalised, as in TimeVQVAE (Lee et
al. 2023) and NC-VQVAE (Mathisen 2024).
"""

import torch
import torch.nn.functional as F


def hop_length(n_fft):
    """Time points from one STFT frame to the next."""
    return n_fft // 4


def n_frames(n_timepoints, n_fft):
    """Number of STFT frames of a series of `n_timepoints` points."""
    return 1 + (n_timepoints - n_fft % 2) // hop_length(n_fft)


def stft(x, n_fft):
    """Real and imaginary parts of the STFT as channels.

    Parameters
    ----------
    x : Tensor of shape (B, C, T)
        ``T`` must exceed ``n_fft // 2``.

    Returns
    -------
    u : Tensor of shape (B, 2 C, n_fft // 2 + 1, W)
        Channel ``2 c`` is the real, ``2 c + 1`` the imaginary part of channel ``c``.
    """
    batch, channels, length = x.shape
    u = torch.stft(
        x.reshape(batch * channels, length),
        n_fft,
        hop_length=hop_length(n_fft),
        window=_window(n_fft, x),
        return_complex=True,
    )
    u = torch.view_as_real(u).permute(0, 3, 1, 2)
    return u.reshape(batch, 2 * channels, *u.shape[2:])


def istft(u, n_timepoints, n_fft):
    """Series of exactly `n_timepoints` points from the layout of :func:`stft`."""
    batch, channels, rows, width = u.shape
    u = u.reshape(batch * channels // 2, 2, rows, width).permute(0, 2, 3, 1)
    x = torch.istft(
        torch.view_as_complex(u.contiguous()),
        n_fft,
        hop_length=hop_length(n_fft),
        window=_window(n_fft, u),
        length=n_timepoints,
    )
    return x.reshape(batch, channels // 2, n_timepoints)


def split_bands(x, n_fft):
    """Low and high frequencies of series ``(B, C, T)``, which add up to them.

    The low band keeps the lowest row of the STFT, the high band is what is left (Lee et al. 2023,
    TimeVQVAE). Series too short for the window are padded with their last value until it fits.

    Returns
    -------
    bands : list of two Tensors of shape (B, C, T)
    """
    length = x.shape[-1]
    padded = F.pad(x, (0, max(0, n_fft // 2 + 1 - length)), mode="replicate")
    u = stft(padded, n_fft)
    u[:, :, 1:] = 0
    low = istft(u, padded.shape[-1], n_fft)[..., :length]
    return [low, x - low]


def _window(n_fft, like):
    return torch.hann_window(n_fft, dtype=like.dtype, device=like.device)
