"""STFTTransformer: the short-time Fourier transform of series, and series of it."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._files.encoding import storable
from .._fitting.reading import read_output, read_rows, series_of_scaled
from .._fitting.runtime import allowed_threads, computing
from .._fitting.scaling import SeriesScaler
from .._fitting.state import TorchStateMixin, all_or_nothing
from .._fitting.validation import (
    IntegerInterval,
    StrOptions,
    _fit_context,
    validate_read_out,
    validate_series,
)
from ..exceptions import refuse_beyond_memory
from ..functional.spectral import istft, stft


def _has_phases(transformer):
    """Whether what `transform` returns can be turned back into series; for `available_if`."""
    if transformer.output == "parts":
        return True
    raise AttributeError(
        f"output={transformer.output!r} cannot be inverted, as it has no phases; STFTTransformer "
        "inverts output='parts'."
    )


@storable
class STFTTransformer(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, TorchStateMixin, BaseEstimator
):
    """Short-time Fourier transform of time series, with an exact inverse ([1]_; [2]_).

    How strong each frequency is around each time. It is what the "stft" front end of `VQTokenizer`
    sees: windows of `n_fft` points (periodic Hann), a quarter of that from one to the next, centred
    with reflection at the ends. Series shorter than half a window are repeated at their last
    value.

    Parameters
    ----------
    n_fft : int, default=8
        Time points of a window, 4 at least; there are ``n_fft // 2 + 1`` frequencies.

    output : {"parts", "magnitude"}, default="parts"
        "parts": real and imaginary parts. "magnitude": absolute values, without phases, which
        cannot be inverted.

    scaling : {"train", "series"}, default="train"
        Standardise each channel by the mean and standard deviation of the training set, or of each
        series; then level and scale of a series are lost.

    n_threads : int or None, default=None
        Most CPU threads of what follows `fit`; None is one. Never more than
        `OMP_NUM_THREADS`, `torch.get_num_threads()` and the CPUs of the process (joblib's count)
        allow; `n_threads_` tells.

    Attributes
    ----------
    spectrum_shape_ : tuple of (int, int, int)
        Parts, frequencies and windows of a series; a row of "parts" reshaped to it has the real
        and the imaginary part of each channel in turn.
    scaler_ : SeriesScaler
        What standardises series; its `mean_` and `scale_` have shape (1, n_channels_in_, 1).
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series seen in `fit`.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.
    device_ : str
        Where it is computed: "cpu".
    n_threads_ : int
        CPU threads that `fit` was allowed.

    References
    ----------
    .. [1] Allen, Rabiner. "A unified approach to short-time Fourier analysis and synthesis", 1977.
    .. [2] Griffin, Lim. "Signal estimation from modified short-time Fourier transform", 1984.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import STFTTransformer
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> transformer = STFTTransformer().fit(X)
    >>> spectra = transformer.transform(X)
    >>> spectra.shape, transformer.spectrum_shape_
    ((20, 210), (2, 5, 21))
    >>> bool(np.allclose(transformer.inverse_transform(spectra), X, atol=1e-5))
    True
    """

    _parameter_constraints = {
        "n_fft": [IntegerInterval(4)],
        "output": [StrOptions({"parts", "magnitude"})],
        "scaling": [StrOptions({"train", "series"})],
        "n_threads": [IntegerInterval(1), None],
    }

    def __init__(self, n_fft=8, *, output="parts", scaling="train", n_threads=None):
        self.n_fft = n_fft
        self.output = output
        self.scaling = scaling
        self.n_threads = n_threads

    @_fit_context(prefer_skip_nested_validation=True)
    @all_or_nothing
    def fit(self, X, y=None):
        """Learn the scale of series.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : ignored

        Returns
        -------
        self : STFTTransformer

        Raises
        ------
        ValueError
            If `X` or a parameter is not valid.
        TypeError
            If `X` is sparse or not numeric.
        MemoryError
            If the memory does not hold the transform of one series.
        """
        X = validate_series(self, X, reset=True, min_samples=2)
        self.device_ = "cpu"
        self.n_threads_ = allowed_threads(self.n_threads)
        self.scaler_ = SeriesScaler(per_series=self.scaling == "series").fit(X)
        self._n_fft = int(self.n_fft)  # `n_fft` may be set anew
        # Of one series padded to a window: five windows of as many parts, as float64 and float32.
        refuse_beyond_memory(
            60 * self.n_channels_in_ * self._n_padded * 2,
            f"The transform of a series with n_fft={self._n_fft} needs",
            "choose a smaller n_fft",
        )
        shape = (1, self.n_channels_in_, self._n_padded)
        silence = torch.zeros(shape, dtype=torch.float32, device="cpu")
        with computing(silence.device, self.n_threads_):
            self.spectrum_shape_ = tuple(stft(silence, self._n_fft).shape[1:])
        return self

    def transform(self, X, *, out=None):
        """Short-time Fourier transform of series, as `output` says.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Series of the fitted shape.

        out : array-like of shape (n, n_features_out) or None, default=None
            Where the result is written, chunk by chunk, such as a memory map; it is returned
            then, in the container that `set_output` asks for.

        Returns
        -------
        float32 ndarray of shape (n, n_features_out)
            Parts, frequencies and windows of a series, in row-major order.
        """
        self._validate_params()
        check_is_fitted(self)
        X = validate_series(self, X)

        def read(x):
            x = F.pad(x, (0, self._n_padded - x.shape[2]), mode="replicate")
            u = stft(x, self._n_fft)
            if self.output == "magnitude":
                real, imaginary = u.unflatten(1, (-1, 2)).unbind(2)
                u = torch.hypot(real, imaginary)
            return [u.flatten(1)]

        return read_output(self, read, X, out)

    @available_if(_has_phases)
    def inverse_transform(self, X):
        """Series of real and imaginary parts; only for ``output="parts"``.

        Of parts that are of no series it is the one whose transform is nearest to them, but for
        the edges ([2]_).

        Parameters
        ----------
        X : array-like of shape (n, n_features_out)

        Returns
        -------
        X : ndarray of shape (n, t) or (n, c, t), as in `fit`
            Of exactly the fitted length, in the units of the training set; float32, or float64
            where that would lose detail (``scaler_.dtype``).

        Raises
        ------
        ValueError
            If `X` is not finite or of another width.
        """
        check_is_fitted(self)
        parts = validate_read_out(self, X, int(np.prod(self.spectrum_shape_)))

        def series(parts):
            x = istft(parts.unflatten(1, self.spectrum_shape_), self._n_padded, self._n_fft)
            return [x[..., : self.n_timepoints_in_]]

        (x,) = read_rows(self, series, parts)
        return series_of_scaled(self, x)

    @property
    def _n_padded(self):
        """Length of series that a window can be reflected at the ends of."""
        return max(self.n_timepoints_in_, self._n_fft // 2 + 1)

    @property
    def _n_features_out(self):
        n_parts, n_frequencies, n_windows = self.spectrum_shape_
        return n_parts // (1 if self.output == "parts" else 2) * n_frequencies * n_windows

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
