"""Scikit-learn-compatible discrete representation learning and generation of time series."""

from ._tokenizer import VQTokenizer
from ._version import __version__
from .exceptions import DivergedError, NotInvertibleError, VersionWarning

__all__ = ["DivergedError", "NotInvertibleError", "VQTokenizer", "VersionWarning", "__version__"]
