"""WindowCodes: vector quantisation of windows by k-means, without a network."""

from functools import partial

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._files.encoding import storable
from .._fitting.reading import (
    read_output,
    read_rows,
    read_series,
    reconstruction_errors,
    series_of_scaled,
)
from .._fitting.runtime import allowed_threads, computing
from .._fitting.scaling import SeriesScaler
from .._fitting.state import TorchStateMixin, all_or_nothing
from .._fitting.validation import (
    IntegerInterval,
    StrOptions,
    _fit_context,
    generator_from,
    resolve_device,
    validate_series,
    validate_tokens,
)
from .._nn.layers import build
from .._quantizer import code_usage, warn_of_few
from ..functional.codebook import kmeans, nearest_code
from ..functional.readout import bag_of_codes

_WINDOWS_PER_SERIES = 8  # side by side, of automatic length
_WINDOWS_PER_CODE = 256  # that k-means sees at most, on average
_ITERATIONS = 30  # of k-means


def _has_tokens(transformer):
    """Whether what `transform` returns can be turned back into series; for `available_if`."""
    if transformer.output == "tokens":
        return True
    raise AttributeError(
        f"output={transformer.output!r} cannot be inverted, as it has no order; WindowCodes "
        "inverts output='tokens'."
    )


@storable
class WindowCodes(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, TorchStateMixin, BaseEstimator
):
    """Vector quantisation of time series without a network: k-means codes of windows [1]_.

    Series are cut into windows; each becomes the id of the nearest of `codebook_size` mean windows.
    Their shares in a series are the bag of codes. The baseline beside the tokens of `VQTokenizer`,
    whose encoder learns what to quantise.

    Parameters
    ----------
    codebook_size : int, default=32
        Number of codes K.

    window : int or "auto", default="auto"
        Time points of a window, at most those of a series. "auto": an eighth of a series.

    stride : int or None, default=None
        Time points from the start of a window to that of the next; the last window ends where the
        series ends. None: half of a window.

    output : {"bag_of_codes", "tokens"}, default="bag_of_codes"
        "bag_of_codes": share of each code among the windows, float32, (n, K). "tokens": ids of the
        codes, int64, (n, N). It can be changed after `fit`.

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost.

    device : str or torch.device, default="auto"
        "auto" (a CUDA device where there is one), "cpu", "cuda", "cuda:1", "mps".

    n_threads : int or None, default=None
        Most CPU threads of `fit` and of what follows it; None is one. Never more than
        `OMP_NUM_THREADS`, `torch.get_num_threads()` and the CPUs of the process (joblib's count)
        allow; `n_threads_` tells. The same number gives the same bits.

    random_state : int, RandomState instance or None, default=None
        Seed of the windows that k-means begins with.

    Attributes
    ----------
    codebook_ : ndarray of shape (codebook_size, n_channels_in_ * window_)
        The codes, of scaled series: the window of each channel in turn.
    codebook_usage_ : ndarray of shape (codebook_size,)
        Share of each code among the windows of the training set.
    perplexity_ : float
        Perplexity of `codebook_usage_`: from 1 (one code) to the number of codes (all used alike).
    window_, stride_ : int
        Time points of a window, and between their starts.
    n_tokens_ : int
        Number N of windows of a series.
    token_starts_ : ndarray of shape (n_tokens_,)
        Time point at which each window starts.
    scaler_ : SeriesScaler
        What standardises series; its `mean_` and `scale_` have shape (1, n_channels_in_, 1).
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where the codes are.
    n_threads_ : int
        CPU threads used in `fit`.
    module_ : torch.nn.Module
        The codes.

    See Also
    --------
    VQTokenizer : Codes of what a network makes of series.

    References
    ----------
    .. [1] Gray. "Vector quantization", 1984.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import WindowCodes
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> codes = WindowCodes(codebook_size=8, random_state=0).fit(X)
    >>> codes.transform(X).shape, codes.encode(X).shape, codes.decode(codes.encode(X)).shape
    ((20, 8), (20, 19), (20, 40))
    """

    _parameter_constraints = {
        "codebook_size": [IntegerInterval(1)],
        "window": [IntegerInterval(1), StrOptions({"auto"})],
        "stride": [IntegerInterval(1), None],
        "output": [StrOptions({"bag_of_codes", "tokens"})],
        "scaling": [StrOptions({"train", "series"})],
        "device": [str, torch.device],
        "n_threads": [IntegerInterval(1), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        codebook_size=32,
        *,
        window="auto",
        stride=None,
        output="bag_of_codes",
        scaling="train",
        device="auto",
        n_threads=None,
        random_state=None,
    ):
        self.codebook_size = codebook_size
        self.window = window
        self.stride = stride
        self.output = output
        self.scaling = scaling
        self.device = device
        self.n_threads = n_threads
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y=None):
        """Learn the codes: k-means of windows of the training series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : ignored

        Returns
        -------
        self : WindowCodes

        Raises
        ------
        ValueError
            If `X` or a parameter is not valid, `window` is longer than the series, or `device` is
            not present.
        TypeError
            If `X` is sparse or not numeric.
        """
        X = validate_series(self, X, reset=True, min_samples=2)
        device = resolve_device(self.device)
        generator = generator_from(self.random_state)
        self.device_ = str(device)
        self.n_threads_ = allowed_threads(self.n_threads)
        self.window_, self.stride_ = window_and_stride(self, X.shape[2])
        self._codebook_size = int(self.codebook_size)  # `codebook_size` may be set anew
        self.scaler_ = SeriesScaler(per_series=self.scaling == "series").fit(X)
        with computing(device, self.n_threads_, training=True):
            network = build(self._network_constructor(), generator)
            self.n_tokens_ = len(network.starts)
            self.token_starts_ = np.array(network.starts)
            chosen = torch.randperm(len(X), generator=generator, device="cpu").numpy()
            n_wanted = -(-_WINDOWS_PER_CODE * self._codebook_size // self.n_tokens_)
            series = torch.from_numpy(self.scaler_.transform(X[np.sort(chosen[:n_wanted])]))
            windows = network.windows(series.to(device)).flatten(0, 1)
            codes, _ = kmeans(windows, self._codebook_size, generator, n_iterations=_ITERATIONS)
            network.codes.copy_(codes)
            self.module_ = network.eval().to(device)
        self.codebook_ = codes.cpu().numpy().copy()
        (tokens,) = read_series(self, lambda x: [network(x)], X)
        warn_of_few(tokens.size, self._codebook_size)
        counts = np.bincount(tokens.ravel(), minlength=self._codebook_size)
        self.codebook_usage_, self.perplexity_ = code_usage(counts)
        return self

    def transform(self, X, *, out=None):
        """Bag of codes or tokens of series, as `output` says.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Series of the fitted shape.

        out : array-like of shape (n, n_features_out) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        ndarray of shape (n, n_features_out)
            float32, or int64 for ``output="tokens"``.
        """
        self._validate_params()
        check_is_fitted(self)
        X = validate_series(self, X)

        def read(x):
            ids = self.module_(x)
            return [ids if self.output == "tokens" else bag_of_codes(ids, self._codebook_size)]

        return read_output(self, read, X, out)

    @available_if(_has_tokens)
    def inverse_transform(self, X):
        """Series of tokens; only for ``output="tokens"``.

        Parameters
        ----------
        X : array-like of shape (n, n_tokens)

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`
            As `decode` gives them.

        Raises
        ------
        ValueError
            If `X` are no ids of codes.
        """
        return self.decode(X)

    def encode(self, X, *, out=None):
        """Token ids of series, whatever `output` is.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        out : int64 array-like of shape (n, n_tokens) or None, default=None
            Where the ids are written, chunk by chunk, such as a memory map; it is returned then.

        Returns
        -------
        tokens : int64 ndarray of shape (n, n_tokens)
        """
        check_is_fitted(self)
        return read_output(self, lambda x: [self.module_(x)], validate_series(self, X), out)

    def decode(self, tokens):
        """Series of token ids: the mean of the codes at each time point.

        Parameters
        ----------
        tokens : array-like of shape (n, n_tokens)
            Whole numbers in ``[0, codebook_size)``.

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`
            0 of scaled series at time points that no window covers; float32, or float64 where that
            would lose detail (``scaler_.dtype``).

        Raises
        ------
        ValueError
            If `tokens` are no ids of codes.
        """
        check_is_fitted(self)
        ranges = np.tile([0, self._codebook_size], (self.n_tokens_, 1))
        ids = validate_tokens(self, tokens, ranges)
        (x,) = read_rows(self, lambda ids: [self.module_.decode(ids)], ids)
        return series_of_scaled(self, x)

    def score(self, X, y=None):
        """Negative mean squared reconstruction error, in units of the scaled series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : ignored

        Returns
        -------
        score : float
            At most 0; about -1 for reconstructions no better than the mean.
        """
        check_is_fitted(self)
        X = validate_series(self, X)
        network = self.module_
        return -float(reconstruction_errors(self, lambda x: network.decode(network(x)), X).mean())

    def _network_constructor(self):
        return partial(
            WindowQuantizer,
            self.n_channels_in_,
            self.n_timepoints_in_,
            self.window_,
            self.stride_,
            self._codebook_size,
        )

    @property
    def _n_features_out(self):
        return self.n_tokens_ if self.output == "tokens" else self._codebook_size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [] if self.output == "tokens" else ["float32"]
        return tags


class WindowQuantizer(nn.Module):
    """Series ``(B, C, T)`` to ids ``(B, N)`` of the nearest codes of their windows.

    Parameters
    ----------
    n_channels, n_timepoints : int
    window, stride : int
    n_codes : int
    """

    def __init__(self, n_channels, n_timepoints, window, stride, n_codes):
        super().__init__()
        self.n_channels = n_channels
        self.n_timepoints = n_timepoints
        self.window = window
        last = n_timepoints - window
        self.starts = [*range(0, last, stride), last]
        self.register_buffer("codes", torch.empty(n_codes, n_channels * window))

    def forward(self, x):
        windows = self.windows(x)
        return nearest_code(windows.flatten(0, 1), self.codes).view(windows.shape[:2])

    def windows(self, x):
        """The windows ``(B, N, C * window)`` of series."""
        parts = [x[..., start : start + self.window] for start in self.starts]
        return torch.stack(parts, dim=1).flatten(2)

    def decode(self, ids):
        """Series ``(B, C, T)`` of ids: the mean of all windows at each time point."""
        windows = self.codes[ids].unflatten(2, (self.n_channels, self.window))
        total = windows.new_zeros(len(ids), self.n_channels, self.n_timepoints)
        counts = windows.new_zeros(self.n_timepoints)
        for index, start in enumerate(self.starts):
            total[..., start : start + self.window] += windows[:, index]
            counts[start : start + self.window] += 1
        return total / counts.clamp(min=1)


def window_and_stride(estimator, n_timepoints):
    """Time points of a window, and between the starts of two, for series of some length."""
    window = estimator.window
    if window == "auto":
        window = max(1, n_timepoints // _WINDOWS_PER_SERIES)
    if window > n_timepoints:
        raise ValueError(f"window={window} is longer than the series, {n_timepoints} points.")
    stride = max(1, window // 2) if estimator.stride is None else estimator.stride
    return int(window), int(stride)
