"""RandomConvolutionExtractor: features of series by random convolutions, without labels."""

from functools import partial

import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from ._files.encoding import storable
from ._fitting.reading import read_output, read_series, scaled_chunks
from ._fitting.runtime import allowed_threads, computing
from ._fitting.scaling import ColumnMoments, ColumnScaler, SeriesScaler
from ._fitting.state import TorchStateMixin, all_or_nothing
from ._fitting.validation import (
    IntegerInterval,
    StrOptions,
    _fit_context,
    generator_from,
    resolve_device,
    validate_series,
)
from ._nn.layers import build
from ._nn.random_convolutions import RandomConvolutions


@storable
class RandomConvolutionExtractor(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, TorchStateMixin, BaseEstimator
):
    """Features of series by random convolutions, after ROCKET [1]_ [2]_; nothing is trained.

    Kernels of nine points at all dilations, half of them on the differences of the series; of the
    activations of each, the share above a random threshold and the maximum. A referee that needs no
    labels: with the same `random_state`, the default, scores by it can be compared across
    generators of one set.

    Parameters
    ----------
    n_kernels : int, default=1000
        Two features each.

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        Most CPU threads of `fit` and of what follows it; None is one. Never more than
        `OMP_NUM_THREADS`, `torch.get_num_threads()` and the CPUs of the process (joblib's count)
        allow; `n_threads_` tells. The same number gives the same bits. More than one pays off
        only for large work on idle cores.

    random_state : int, RandomState instance or None, default=0
        Seed of kernels and thresholds. Fixed by default, so that scores can be compared.

    Attributes
    ----------
    scaler_ : SeriesScaler
        What standardises series before the kernels see them; its `mean_` and `scale_` have
        shape (1, n_channels_in_, 1).
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the kernels are.
    n_threads_ : int
        CPU threads used in `fit`.
    module_ : torch.nn.Module
        The kernels.

    See Also
    --------
    SSLFeatureExtractor : Such kernels and latents behind them, learned without labels.

    References
    ----------
    .. [1] Dempster, Petitjean, Webb. "ROCKET: exceptionally fast and accurate time series
       classification using random convolutional kernels", 2020.
    .. [2] Tan et al. "MultiRocket: multiple pooling operators and transformations for fast and
       effective time series classification", 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import RandomConvolutionExtractor
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> RandomConvolutionExtractor().fit_transform(X).shape
    (20, 2000)
    """

    _parameter_constraints = {
        "n_kernels": [IntegerInterval(1)],
        "scaling": [StrOptions({"train", "series"})],
        "device": [str, torch.device],
        "n_threads": [IntegerInterval(1), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self, n_kernels=1000, *, scaling="train", device="auto", n_threads=None, random_state=0
    ):
        self.n_kernels = n_kernels
        self.scaling = scaling
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y=None):
        """Draw kernels, and learn the scale of their activations and features.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : ignored

        Returns
        -------
        self : RandomConvolutionExtractor

        Raises
        ------
        ValueError
            If `X` or a parameter is not valid, or `device` is not present.
        TypeError
            If `X` is sparse or not numeric.
        """
        X = validate_series(self, X, reset=True, min_samples=2)
        device = resolve_device(self.device)
        self.device_ = str(device)
        self.n_threads_ = allowed_threads(self.n_threads)
        self.scaler_ = SeriesScaler(per_series=self.scaling == "series").fit(X)
        # Pickles rebuild the kernels from it, as `n_kernels` may be set anew after `fit`.
        self._n_kernels = int(self.n_kernels)
        with computing(device, self.n_threads_, training=True):
            kernels = build(self._network_constructor(), generator_from(self.random_state))
            self.module_ = kernels.eval().to(device)
        with computing(device, self.n_threads_):
            kernels.measure(scaled_chunks(self, X))
            moments = ColumnMoments()
            read_series(self, lambda x: [kernels(x)], X, lambda start, of: moments.add(of[0]))
            self._feature_scaler = ColumnScaler().fit(moments)
        return self

    def transform(self, X, *, out=None):
        """Features of series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Series of the fitted shape.
        out : array-like of shape (n, 2 * n_kernels) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        float32 ndarray of shape (n, 2 * n_kernels)
            Columns have mean 0 and the same variance over the training series, in all 25.
        """
        check_is_fitted(self)
        X = validate_series(self, X)
        return read_output(self, lambda x: [self.module_(x)], X, out, self._feature_scaler.scale)

    @property
    def _n_features_out(self):
        return 2 * self._n_kernels

    def _network_constructor(self):
        return partial(
            RandomConvolutions, self.n_channels_in_, self.n_timepoints_in_, self._n_kernels
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
