"""Scikit-learn-compatible discrete representation learning and generation of time series."""

from . import augmentation, objectives
from ._extractor import SSLFeatureExtractor
from ._fine_tuning import FineTunedClassifier
from ._tokenizer import VQTokenizer
from ._version import __version__
from .exceptions import CollapseWarning, DivergedError, NotInvertibleError, VersionWarning

__all__ = [
    "CollapseWarning",
    "DivergedError",
    "FineTunedClassifier",
    "NotInvertibleError",
    "SSLFeatureExtractor",
    "VQTokenizer",
    "VersionWarning",
    "__version__",
    "augmentation",
    "objectives",
]
