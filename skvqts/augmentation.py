"""Augmentations as parameter objects: the views that self-supervision compares.

Each is an estimator without `fit`: `get_params`, `set_params`, `clone` and a grid over
``tok__augmentation__scale`` work. Magnitudes refer to scaled series, of standard deviation 1.
"""

# `__call__` is documented once, in Augmentation.
# ruff: noqa: D102

import math

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone

from ._files.encoding import storable
from ._fitting.runtime import computing
from ._fitting.validation import (
    IntegerInterval,
    RealInterval,
    _BaseComposition,
    as_array_like,
    check_array,
    check_values,
    generator_from,
)
from .functional import augmentations as views

__all__ = [
    "AmplitudeResize",
    "Augmentation",
    "BandDropout",
    "Compose",
    "Crop",
    "Flip",
    "GaussianNoise",
    "MagnitudeWarp",
    "PhaseShift",
    "SliceAndShuffle",
    "Slope",
    "TimeMask",
    "WindowWarp",
]

_SHARE = [RealInterval(0, 1, closed="both")]
_SIZE = [RealInterval(0)]


class Augmentation(BaseEstimator):
    """A random change of a batch of series."""

    def __call__(self, x, generator):
        """Change each series at random.

        Parameters
        ----------
        x : Tensor of shape (B, C, T)
            Scaled series, NaN where a value is missing.
        generator : torch.Generator
            A CPU generator; the draw is the same on every device.

        Returns
        -------
        view : Tensor of shape (B, C, T)
            NaN where a value is missing.

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        raise NotImplementedError

    def view(self, X, random_state=None):
        """Change each series of an array at random.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Finite series of standard deviation about 1.
        random_state : int, RandomState instance or None, default=None

        Returns
        -------
        view : float32 ndarray of the shape of `X`

        Raises
        ------
        ValueError
            If `X` is not 2-D or 3-D, empty or not finite, or a parameter is not valid.
        """
        name = type(self).__name__
        rules = {"dtype": np.float32, "allow_nd": True, "ensure_all_finite": False}
        X = check_array(as_array_like(X, name), estimator=name, input_name="X", **rules)
        if 0 in X.shape:
            raise ValueError(f"X has no channel or no time point: its shape is {X.shape}.")
        check_values(X, self)
        x = torch.from_numpy(X.reshape(len(X), -1, X.shape[-1]).copy())
        # On one thread of ours: in a forked child, torch's own would be waited for without end.
        with computing(torch.device("cpu"), 1):
            view = views.within_ends(self, x, generator_from(random_state), None)
        return view.numpy().reshape(X.shape)


@storable
class GaussianNoise(Augmentation):
    """Add independent normal noise to each value ("gauss" in NC-VQVAE, Mathisen 2024).

    Parameters
    ----------
    scale : float, default=0.05
        Standard deviation of the noise.
    """

    _parameter_constraints = {"scale": _SIZE}

    def __init__(self, scale=0.05):
        self.scale = scale

    def __call__(self, x, generator):
        self._validate_params()
        return views.gaussian_noise(x, generator, scale=self.scale)


@storable
class AmplitudeResize(Augmentation):
    """Multiply each series by ``1 + N(0, scale^2)``.

    Parameters
    ----------
    scale : float, default=0.2
        Standard deviation of the factor.
    """

    _parameter_constraints = {"scale": _SIZE}

    def __init__(self, scale=0.2):
        self.scale = scale

    def __call__(self, x, generator):
        self._validate_params()
        return views.amplitude_resize(x, generator, scale=self.scale)


@storable
class MagnitudeWarp(Augmentation):
    """Multiply each series by a smooth curve around 1, a cubic spline (Um et al. 2017).

    Parameters
    ----------
    n_knots : int, default=4
        Number of knots of the spline between the two at the ends.
    scale : float, default=0.2
        Standard deviation of the curve at its knots.
    """

    _parameter_constraints = {"n_knots": [IntegerInterval(0)], "scale": _SIZE}

    def __init__(self, n_knots=4, scale=0.2):
        self.n_knots = n_knots
        self.scale = scale

    def __call__(self, x, generator):
        self._validate_params()
        return views.magnitude_warp(x, generator, n_knots=self.n_knots, scale=self.scale)


@storable
class Slope(Augmentation):
    """Add a straight line to each series.

    Parameters
    ----------
    scale : float, default=0.005
        Largest slope per time point.
    """

    _parameter_constraints = {"scale": _SIZE}

    def __init__(self, scale=0.005):
        self.scale = scale

    def __call__(self, x, generator):
        self._validate_params()
        return views.slope(x, generator, scale=self.scale)


@storable
class Flip(Augmentation):
    """Reverse series in time.

    Parameters
    ----------
    probability : float, default=0.5
        Probability that a series is reversed.
    """

    _parameter_constraints = {"probability": _SHARE}

    def __init__(self, probability=0.5):
        self.probability = probability

    def __call__(self, x, generator):
        self._validate_params()
        return views.flip(x, generator, probability=self.probability)


@storable
class TimeMask(Augmentation):
    """Set blocks of time points to 0, the mean of scaled series.

    Parameters
    ----------
    ratio : float, default=0.2
        Probability that a block is hidden.
    block : int, default=8
        Time points of a block.
    """

    _parameter_constraints = {"ratio": _SHARE, "block": [IntegerInterval(1)]}

    def __init__(self, ratio=0.2, block=8):
        self.ratio = ratio
        self.block = block

    def __call__(self, x, generator):
        self._validate_params()
        return views.time_mask(x, generator, ratio=self.ratio, block=self.block)


@storable
class SliceAndShuffle(Augmentation):
    """Cut series at random points and join the parts in random order.

    It is "slice" in NC-VQVAE (Mathisen 2024).

    Parameters
    ----------
    n_segments : int, default=4
        Number of parts, some of which can be empty.
    """

    _parameter_constraints = {"n_segments": [IntegerInterval(1)]}

    def __init__(self, n_segments=4):
        self.n_segments = n_segments

    def __call__(self, x, generator):
        self._validate_params()
        return views.slice_and_shuffle(x, generator, n_segments=self.n_segments)


@storable
class Crop(Augmentation):
    """Stretch a random window of each series to the whole length.

    Parameters
    ----------
    ratio : float, default=0.6
        Length of the window as a share of the series.
    """

    _parameter_constraints = {"ratio": _SHARE}

    def __init__(self, ratio=0.6):
        self.ratio = ratio

    def __call__(self, x, generator):
        self._validate_params()
        return views.crop(x, generator, ratio=self.ratio)


@storable
class WindowWarp(Augmentation):
    """Stretch or squeeze a random window in time, and bring the whole back to its length.

    Parameters
    ----------
    ratio : float, default=0.4
        Length of the window as a share of the series.
    low, high : float, default=0.9, 2.0
        Smallest and largest factor by which the window is stretched.
    """

    _parameter_constraints = {"ratio": _SHARE, "low": _SIZE, "high": _SIZE}

    def __init__(self, ratio=0.4, low=0.9, high=2.0):
        self.ratio = ratio
        self.low = low
        self.high = high

    def __call__(self, x, generator):
        self._validate_params()
        return views.window_warp(x, generator, ratio=self.ratio, low=self.low, high=self.high)


@storable
class PhaseShift(Augmentation):
    """Turn each frequency of the STFT by a random angle.

    Parameters
    ----------
    n_fft : int, default=32
        Window of the STFT in time points.
    limit : float, default=pi / 4
        Largest angle in radians.
    """

    _parameter_constraints = {"n_fft": [IntegerInterval(4)], "limit": _SIZE}

    def __init__(self, n_fft=32, limit=math.pi / 4):
        self.n_fft = n_fft
        self.limit = limit

    def __call__(self, x, generator):
        self._validate_params()
        return views.phase_shift(x, generator, n_fft=self.n_fft, limit=self.limit)


@storable
class BandDropout(Augmentation):
    """Remove frequencies of the STFT at random.

    Parameters
    ----------
    n_fft : int, default=32
        Window of the STFT in time points.
    probability : float, default=0.1
        Probability that a frequency is removed.
    """

    _parameter_constraints = {"n_fft": [IntegerInterval(4)], "probability": _SHARE}

    def __init__(self, n_fft=32, probability=0.1):
        self.n_fft = n_fft
        self.probability = probability

    def __call__(self, x, generator):
        self._validate_params()
        return views.band_dropout(x, generator, n_fft=self.n_fft, probability=self.probability)


@storable
class Compose(_BaseComposition, Augmentation):
    """Apply augmentations one after the other.

    Parameters
    ----------
    steps : list of (str, augmentation)
        Names make the parameters of each searchable, as in a Pipeline:
        ``compose.set_params(noise__scale=0.1)``.
    """

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, x, generator):
        """Change each series by all steps in turn.

        Parameters
        ----------
        x : Tensor of shape (B, C, T)
            Scaled series.
        generator : torch.Generator
            A CPU generator; the draw is the same on every device.

        Returns
        -------
        view : Tensor of shape (B, C, T)

        Raises
        ------
        ValueError
            If `steps` are not pairs of a name and an augmentation, or a parameter is not valid.
        """
        self._check_steps()
        for _, augmentation in self.steps:
            x = augmentation(x, generator)
        return x

    def _check_steps(self):
        pairs = isinstance(self.steps, (list, tuple)) and all(
            isinstance(step, tuple) and len(step) == 2 for step in self.steps
        )
        if not pairs or not all(isinstance(step, Augmentation) for _, step in self.steps):
            raise ValueError(
                "steps of Compose must be pairs of a name and an augmentation, such as "
                f"('noise', GaussianNoise()). Got {self.steps!r} instead."
            )
        self._validate_names([name for name, _ in self.steps])

    def get_params(self, deep=True):
        """Parameters of all steps, by ``name__parameter``, and the steps.

        Parameters
        ----------
        deep : bool, default=True
            False: the list of steps alone.

        Returns
        -------
        dict of str to object
        """
        return self._get_params("steps", deep=deep)

    def set_params(self, **parameters):
        """Set parameters of the steps, or a whole step by its name.

        Parameters
        ----------
        **parameters : object
            Values by ``name__parameter``, steps by ``name``, or all `steps`.

        Returns
        -------
        self : Compose
        """
        self._set_params("steps", **parameters)
        return self


PRESETS = {
    "gauss": GaussianNoise(),
    "slice": SliceAndShuffle(),
    "warp": Compose([("warp", WindowWarp()), ("amplitude", AmplitudeResize())]),
}


def make_augmentation(augmentation):
    """A new augmentation of the given name, or a clone of the given augmentation."""
    return clone(PRESETS[augmentation]) if isinstance(augmentation, str) else clone(augmentation)
