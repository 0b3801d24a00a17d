"""Scikit-learn-compatible discrete representation learning and generation of time series."""

from . import augmentation, metrics, objectives
from ._autoencoders.autoencoder import SeriesAutoencoder
from ._autoencoders.vae import SeriesVAE
from ._classical.stft import STFTTransformer
from ._classical.window_codes import WindowCodes
from ._fcn_classifier import FCNClassifier
from ._files.models import load
from ._fine_tuned_classifier import FineTunedClassifier
from ._fitting.unequal import as_series_list
from ._generation.autoregressive import AutoregressivePriorGenerator
from ._generation.flow.decoder import FlowDecoder
from ._generation.masked import MaskedPriorGenerator
from ._generation.oversampling import GenerativeOverSampler
from ._quantizer import Quantizer
from ._random_convolutions import RandomConvolutionExtractor
from ._recordings.windowed import WindowedEstimator
from ._recordings.windows import SlidingWindows
from ._ssl_features import SSLFeatureExtractor
from ._tokenizer import VQTokenizer
from ._version import __version__
from .exceptions import (
    CollapseWarning,
    DivergedError,
    FidelityWarning,
    ModelFileError,
    VersionWarning,
)

__all__ = [
    "AutoregressivePriorGenerator",
    "CollapseWarning",
    "DivergedError",
    "FCNClassifier",
    "FidelityWarning",
    "FineTunedClassifier",
    "FlowDecoder",
    "GenerativeOverSampler",
    "MaskedPriorGenerator",
    "ModelFileError",
    "Quantizer",
    "RandomConvolutionExtractor",
    "SSLFeatureExtractor",
    "STFTTransformer",
    "SeriesAutoencoder",
    "SeriesVAE",
    "SlidingWindows",
    "VQTokenizer",
    "VersionWarning",
    "WindowCodes",
    "WindowedEstimator",
    "__version__",
    "as_series_list",
    "augmentation",
    "load",
    "metrics",
    "objectives",
]
