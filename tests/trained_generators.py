"""Generators trained for a few seconds, long enough to model clearly different series."""

import functools

import numpy as np

from .estimators import autoregressive_prior, masked_prior

KINDS = {"masked": masked_prior, "autoregressive": autoregressive_prior}
_TOKENIZER = {"codebook_size": 16, "width": 16, "latent_dim": 16, "max_epochs": 80}
_PRIOR = {"width": 32, "batch_size": 64}


def bumps(n, t=40, *, seed=0):
    """Series (n, t) with an early or a late bump and little noise, and labels "early", "late"."""
    rng = np.random.default_rng(seed)
    late = np.arange(n) % 2
    middle = np.where(late, 0.7, 0.3) + rng.uniform(-0.08, 0.08, n)
    heights = rng.uniform(0.7, 1.3, (n, 1))
    X = heights * np.exp(-(((np.linspace(0, 1, t) - middle[:, None]) / 0.08) ** 2))
    return X + 0.03 * rng.normal(size=X.shape), np.where(late, "late", "early")


def sines(n, t=64, *, seed=0):
    """Series (n, t): four periods of a sine of random phase with little noise."""
    rng = np.random.default_rng(seed)
    phase = 4 * np.linspace(0, 1, t) + rng.uniform(0, 1, (n, 1))
    return np.sin(2 * np.pi * phase) + 0.03 * rng.normal(size=phase.shape)


@functools.cache
def fitted_to_bumps(kind):
    """A generator fitted to 80 bumps and their labels; not to be changed."""
    return KINDS[kind](_TOKENIZER, max_epochs=6, learning_rate=0.01, **_PRIOR).fit(*bumps(80))


@functools.cache
def fitted_to_sines():
    """A masked prior fitted to 80 sines; not to be changed."""
    nested = _TOKENIZER | {"downsampled_width": 16}
    longer = {"n_layers": 2, "max_epochs": 10, "learning_rate": 5e-3}
    return masked_prior(nested, **_PRIOR | longer).fit(sines(80))
