"""Errors and warnings of skvqts that scikit-learn has no name for."""

import sys
import warnings

_INSIDE = ("joblib", "sklearn", "skvqts")


class DivergedError(RuntimeError):
    """Training produced a loss that is not finite or grew without bound."""


class ModelFileError(ValueError):
    """A file is not what was to be read from it: a model, or the checkpoint of a fit."""


class VersionWarning(UserWarning):
    """An estimator was kept by another version of skvqts than the one that opens it."""


class CollapseWarning(UserWarning):
    """A self-supervised representation in which all series are alike."""


class FidelityWarning(UserWarning):
    """A score of generated series that says less than it seems to."""


def warn_user(message, category=UserWarning):
    """Warn at the line of the caller's that led into skvqts, through scikit-learn or not."""
    level = 2
    frame = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        level += 1
        frame = frame.f_back
    warnings.warn(message, category, stacklevel=level)
