"""Slow, obvious versions of what the library computes fast."""

import numpy as np


def nearest_code(z, codebook):
    """Index of the nearest code and the squared distances to all codes, in float64."""
    z, codebook = np.asarray(z, np.float64), np.asarray(codebook, np.float64)
    distances = ((z[:, None, :] - codebook[None, :, :]) ** 2).sum(-1)
    return distances.argmin(1), distances


def ema_update(codebook, sizes, z, ids, decay):
    """Moving averages of one code at a time."""
    codebook, sizes = codebook.copy(), sizes.copy()
    for k in range(len(codebook)):
        members = z[ids == k]
        size = decay * sizes[k] + (1 - decay) * len(members)
        total = decay * sizes[k] * codebook[k] + (1 - decay) * members.sum(0)
        if size > 0:
            codebook[k] = total / size
        sizes[k] = size
    return codebook, sizes


def stft(x, n_fft):
    """Real and imaginary STFT of one series, frame by frame, bin by bin."""
    hop, half = n_fft // 4, n_fft // 2
    padded = np.pad(np.asarray(x, np.float64), half, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    frames = range(0, len(padded) - n_fft + 1, hop)
    bins = np.arange(half + 1)[:, None] * np.arange(n_fft)[None, :]
    waves = np.exp(-2j * np.pi * bins / n_fft)
    spectrum = np.stack([waves @ (window * padded[s : s + n_fft]) for s in frames], axis=1)
    return np.stack([spectrum.real, spectrum.imag])


def perplexity(ids, n_codes):
    shares = np.bincount(ids, minlength=n_codes) / len(ids)
    return np.exp(-sum(p * np.log(p) for p in shares if p > 0))


def bag_of_codes(ids, n_codes):
    return np.array([[np.mean(row == k) for k in range(n_codes)] for row in ids])


def positional_bag(codes, n_codes, grid):
    """Roots of shares, row by row of tokens, part by part; larger parts come first."""
    bags = []
    for of_series in codes:
        bag, start = [], 0
        for rows, columns in grid:
            for _ in range(rows):
                row = list(of_series[start : start + columns])
                start += columns
                for n_parts in sorted({min(n, columns) for n in (1, 2, 4, 8, 16)}):
                    first = 0
                    for part in range(n_parts):
                        size = columns // n_parts + (part < columns % n_parts)
                        members = row[first : first + size]
                        first += size
                        bag += [(members.count(k) / size) ** 0.5 for k in range(n_codes)]
        bags.append(np.array(bag) / np.linalg.norm(bag))
    return np.array(bags)


def hashed(x, places, weights, n_places):
    """One value at a time."""
    out = np.zeros((len(x), n_places))
    for row in range(len(x)):
        for column, place in enumerate(places):
            out[row, place] += weights[column] * x[row, column]
    return out
