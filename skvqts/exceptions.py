"""Errors and warnings of skvqts that scikit-learn has no name for."""

import os
import sys
import warnings
from pathlib import Path

_LIMIT_OF_CONTAINER = Path("/sys/fs/cgroup/memory.max")
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


def refuse_beyond_memory(n_bytes, needs, advice):
    """Raise a MemoryError if something needs more bytes than this machine, or container, has.

    Parameters
    ----------
    n_bytes : int
    needs : str
        The beginning of a sentence, with a verb, that goes on with a number of bytes.
    advice : str
        What to do about it.
    """
    if n_bytes > _memory_in_bytes():
        raise MemoryError(
            f"{needs} {n_bytes / 2**30:.0f} GiB, more than this machine has: {advice}."
        )


def _memory_in_bytes():
    """All that this process could ever have; infinite where that is not known."""
    limits = [float("inf")]
    if hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    try:
        limit = _LIMIT_OF_CONTAINER.read_text().strip()
    except OSError:
        limit = "max"
    return min(*limits, int(limit) if limit.isdecimal() else float("inf"))
