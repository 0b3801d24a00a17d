"""Scikit-learn-compatible discrete representation learning and generation of time series."""

from ._tokenizer import VQTokenizer
from .exceptions import DivergedError, NotInvertibleError

__all__ = ["DivergedError", "NotInvertibleError", "VQTokenizer"]
__version__ = "0.1.0"
