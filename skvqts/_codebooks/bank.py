"""A bank of codebooks: many small ones, at all dilations of several representations of series."""

import math

import numpy as np
import torch

from .._files.encoding import storable
from .counting import N_STATISTICS, activations, code_statistics
from .representations import REPRESENTATIONS, length_of, represented

WIDTH = 9  # points of a window
N_CODES = 8  # of a codebook
_CACHED = 2**19  # activations that are worked on at a time


@storable
class CodebookBank:
    """Codebooks of windows, and how features are counted with them.

    Codebooks are in the order of their blocks; those of a block share representation and dilation.

    Parameters
    ----------
    blocks : list of (str, int, int)
        Representation, dilation and number of codebooks of each block.
    codes : float32 ndarray of shape (G, 8, 9)
        Of mean 0 and norm 1.
    channels : bool ndarray of shape (G, C)
        The channels whose sum each codebook sees.
    thresholds : float32 ndarray of shape (G, 8, 2)
        Levels of activation of each code.
    """

    def __init__(self, blocks, codes, channels, thresholds):
        self.blocks_ = [tuple(block) for block in blocks]
        self.codes_ = codes
        self.channels_ = channels
        self.thresholds_ = thresholds

    def __setstate__(self, state):
        """Refuse what no bank can be: it may come from a file."""
        self.__init__(
            *(state[f"{name}_"] for name in ("blocks", "codes", "channels", "thresholds"))
        )
        n_codebooks = sum(count for _, _, count in self.blocks_)
        shapes = (
            (self.codes_, np.float32, (n_codebooks, N_CODES, WIDTH)),
            (self.channels_, np.bool_, (n_codebooks, self.channels_.shape[-1])),
            (self.thresholds_, np.float32, (n_codebooks, N_CODES, N_STATISTICS - 2)),
        )
        valid = (
            set(state) == {"blocks_", "codes_", "channels_", "thresholds_"}
            and all(
                values.dtype == kind and values.shape == shape for values, kind, shape in shapes
            )
            and all(np.isfinite(part).all() for part, _, _ in shapes)
            and all(
                name in REPRESENTATIONS and dilation >= 1 and count >= 1
                for name, dilation, count in self.blocks_
            )
        )
        if not valid:
            raise ValueError("its codebooks do not fit together.")

    @property
    def n_features(self):
        """Number of columns of the features."""
        return len(self.codes_) * N_CODES * N_STATISTICS

    def features(self, x):
        """Statistics of the codes along scaled series: ``(B, C, T)`` to ``(B, G * 8 * 4)``.

        NaN stands for missing values; what lies beyond the end of a series does not count.
        """
        columns = []
        known = {}
        for name, dilation, chosen in self._blocks():
            if name not in known:
                known[name] = represented(x, name)
            z, inside = known[name]
            codes, channels, thresholds = self._tensors(chosen, x.device)
            parts = []
            for rows in _few_rows(len(z), codes[..., 0].numel() * z.shape[2]):
                a = activations(z[rows], codes, channels, dilation)
                mask = None if inside is None else inside[rows]
                parts.append(code_statistics(a, thresholds, mask))
            columns.append(torch.cat(parts).flatten(1))
        return torch.cat(columns, dim=1)

    def keep(self, indices):
        """A bank of some of the codebooks, given by increasing indices."""
        blocks = []
        for name, dilation, chosen in self._blocks():
            count = int(((indices >= chosen.start) & (indices < chosen.stop)).sum())
            if count:
                blocks.append((name, dilation, count))
        parts = (self.codes_, self.channels_, self.thresholds_)
        return CodebookBank(blocks, *(part[indices] for part in parts))

    def _blocks(self):
        """Representation, dilation and slice of the codebooks of each block."""
        start = 0
        for name, dilation, count in self.blocks_:
            yield name, dilation, slice(start, start + count)
            start += count

    def _tensors(self, chosen, device):
        parts = (self.codes_, self.channels_, self.thresholds_)
        return [torch.from_numpy(part[chosen]).to(device) for part in parts]


def _few_rows(n_rows, n_activations):
    """Slices of so many rows that their activations stay in a processor's cache.

    Their number is a power of two, as is that of a chunk: all slices of it have one shape, so that
    what is computed for a row does not depend on its place.
    """
    most = max(1, _CACHED // n_activations)
    step = 2 ** (most.bit_length() - 1)
    return [slice(start, start + step) for start in range(0, n_rows, step)]


# Shares of the codebooks: a third see the series, a third its differences.
_SHARES = {"series": 2, "differences": 2, "running_sums": 1, "spectrum": 1}


def blocks_for(n_timepoints, n_codebooks):
    """Share codebooks out among representations and dilations, for series of so many time points.

    Dilations are powers of two up to where a window spans the series.

    Returns
    -------
    blocks : list of (str, int, int)
        Representation, dilation and number of codebooks, at least one each.
    """
    scales = []
    for name, share in _SHARES.items():
        length = length_of(name, n_timepoints)
        if length < 2 and name != "series":
            continue  # it has nothing to tell
        longest = max(1, (length - 1) // (WIDTH - 1))
        n_dilations = int(math.log2(longest)) + 1
        scales += [(name, 2**i, share / n_dilations) for i in range(n_dilations)]
    shares = np.array([share for _, _, share in scales])
    borders = np.round(n_codebooks * np.cumsum(shares) / shares.sum()).astype(int)
    counts = np.diff(borders, prepend=0)
    return [
        (name, dilation, int(count))
        for (name, dilation, _), count in zip(scales, counts, strict=True)
        if count
    ]
