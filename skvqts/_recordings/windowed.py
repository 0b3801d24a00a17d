"""WindowedEstimator: tokens, features, gaps, anomalies and futures of one long recording."""

from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._files.encoding import storable
from .._fitting.state import (
    TorchStateMixin,
    all_or_nothing,
    seeded_clone,
    with_default_parts,
)
from .._fitting.validation import (
    IntegerInterval,
    StrOptions,
    _fit_context,
    _get_output_config,
    generator_from,
    random_seed,
    validate_parameter_constraints,
)
from .._generation.masked import MaskedPriorGenerator
from .anomalies import NearestWindows, Stretch, top_stretches
from .gaps import bridged, filled_recording, near_long_gaps, runs
from .generation import forecasted, sampled_recording
from .recording import (
    as_recording,
    check_channels,
    continued_like,
    index_at,
    is_array,
    like_recording,
    times_after,
)
from .windows import SlidingWindows, overlap_add, triangle

_BRIDGED = 20  # gaps of at most a window over this are bridged in training
_CLOSEST = 16  # windows to train on start at least a window over this after each other
_DRAWS_OF_MEDIAN = 100


class RecordingTokens(NamedTuple):
    """Tokens of a recording in the order of time.

    Attributes
    ----------
    ids : int64 ndarray of shape (n,)
    times : ndarray of shape (n,)
        Where each token starts: a date, or without a time axis an int64 time point.
    """

    ids: np.ndarray
    times: np.ndarray


def _wrapped(windowed):
    """What an estimator wraps: the fitted one, the frozen one, or what will be fitted."""
    wrapped = getattr(windowed, "estimator_", windowed.estimator)
    wrapped = MaskedPriorGenerator() if wrapped is None else wrapped
    return wrapped.estimator if isinstance(wrapped, FrozenEstimator) else wrapped


def _wrapped_has(*names):
    """Whether what is wrapped has methods of these names; for `available_if`."""

    def check(windowed):
        for name in names:
            getattr(_wrapped(windowed), name)  # an AttributeError says which one is missing
        return True

    return check


def _makes_tokens(windowed):
    """Whether what is wrapped is a tokenizer or has one; for `available_if`."""
    wrapped = _wrapped(windowed)
    return hasattr(wrapped, "encode") or hasattr(wrapped, "tokenizer")


@storable
class WindowedEstimator(TransformerMixin, TorchStateMixin, BaseEstimator):
    """An estimator of series on one long recording, which it sees through windows.

    A tokenizer, extractor or generator is fitted to windows of the recording. What it then finds
    is given on the axis of the recording: tokens with their times, features of each window or each
    time point, filled gaps, what comes next, and new recordings of any length.

    Parameters
    ----------
    estimator : estimator or None, default=None
        What is fitted to windows ``(n, c, length)``. It is cloned;
        ``FrozenEstimator(estimator)`` uses a fitted one as it is, with windows of the length that
        it knows. None: a `MaskedPriorGenerator`.

    length : int or "auto", default="auto"
        Time points of a window, as of `SlidingWindows`: "auto" is two dominant periods.

    stride : int or None, default=None
        Time points from the start of a window to that of the next in `transform`. None: half of a
        window.

    per : {"window", "point"}, default="window"
        What `transform` has a row for: each window, or each time point, which gets the weighted
        mean of the features of the windows over it.

    max_windows : int, default=1000
        Most windows to train on. They are drawn evenly over the recording, so that the time of a
        fit does not grow with its length.

    random_state : int, RandomState instance or None, default=None
        Seed of the windows to train on, and of `estimator` if it has none.

    Attributes
    ----------
    estimator_ : estimator
        The fitted estimator of windows.
    windows_ : SlidingWindows
        What cuts recordings into windows; its `length_` and `period_` tell why.
    n_windows_ : int
        Windows that were trained on.
    scale_ : ndarray of shape (n_channels_in_, 1)
        Standard deviation of each channel, 1 for one that is constant.
    n_channels_in_, n_timepoints_in_ : int
        Of the recording that was seen in `fit`.
    channel_names_ : list of str or None
        Of a table.

    See Also
    --------
    SlidingWindows : Only cuts a recording into windows, as the first step of a Pipeline.

    Notes
    -----
    A recording is an array of shape (t,) or (1, c, t), a Series, or a DataFrame with a row for each
    time and a column for each channel, whose index or one column may be dates. It is returned in
    the same form, with a row for every time. Where the times have a zone, dates of tokens, windows
    and anomalies are in UTC.

    `stride` and `per` may be changed after `fit`.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import VQTokenizer, WindowedEstimator
    >>> recording = np.sin(np.arange(2000) * 2 * np.pi / 40)
    >>> tokenizer = VQTokenizer(codebook_size=8, downsampled_width=8, max_epochs=2)
    >>> model = WindowedEstimator(tokenizer, random_state=0).fit(recording)
    >>> tokens = model.encode(recording)
    >>> tokens.ids.shape, tokens.times[:4]
    ((250,), array([ 0,  8, 16, 24]))
    >>> model.reconstruct(recording).shape
    (2000,)
    """

    _parameter_constraints = {
        "estimator": [BaseEstimator, None],
        "length": [IntegerInterval(2), StrOptions({"auto"})],
        "stride": [IntegerInterval(1), None],
        "per": [StrOptions({"window", "point"})],
        "max_windows": [IntegerInterval(2)],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        length="auto",
        stride=None,
        per="window",
        max_windows=1000,
        random_state=None,
    ):
        self.estimator = estimator
        self.length = length
        self.stride = stride
        self.per = per
        self.max_windows = max_windows
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=False)
    @all_or_nothing
    def fit(self, X, y=None):
        """Fit the estimator to windows of a recording.

        Where it takes no missing values, gaps of up to a twentieth of a window are bridged by
        straight lines, and windows with longer ones are left out.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            One recording; NaN stands for a missing value.
        y : ignored

        Returns
        -------
        self : WindowedEstimator

        Raises
        ------
        ValueError
            If `X` is no recording, not longer than a window, or has gaps in almost all of them.
        TypeError
            If it holds what is not a number, or `estimator` is neither a transformer nor a
            generator.
        """
        recording = as_recording(X, "WindowedEstimator")
        values = recording.values
        generator = generator_from(self.random_state)
        estimator = MaskedPriorGenerator() if self.estimator is None else self.estimator
        length = self._checked_length(estimator, len(values))
        self.windows_ = SlidingWindows(length, stride=self.stride).fit(values[None])
        self.n_channels_in_, self.n_timepoints_in_ = values.shape
        self.channel_names_ = recording.names
        deviations = _deviations(values)
        self.scale_ = np.where(deviations > 0, deviations, 1.0)[:, None]
        if isinstance(estimator, FrozenEstimator):
            self.estimator_, self.n_windows_ = estimator.estimator, 0
            return self
        panel = training_windows(
            values,
            self.windows_.length_,
            self.max_windows,
            get_tags(estimator).input_tags.allow_nan,
            np.random.default_rng(int(generator.initial_seed())),
        )
        self.n_windows_ = len(panel)
        self.estimator_ = seeded_clone(estimator, generator).fit(panel)
        return self

    def set_params(self, **params):
        """Set parameters, also those of the estimator that None stands for.

        Parameters
        ----------
        **params : dict
            Such as ``estimator__width=64``: an `estimator` that is None becomes a
            `MaskedPriorGenerator` first.

        Returns
        -------
        self : WindowedEstimator
        """
        makers = {"estimator": lambda _: MaskedPriorGenerator()}
        return super().set_params(**with_default_parts(self, params, makers))

    def _checked_length(self, estimator, n_channels):
        """The length of windows, after refusing what cannot be wrapped."""
        is_frozen = isinstance(estimator, FrozenEstimator)
        inner = estimator.estimator if is_frozen else estimator
        name = type(inner).__name__
        needs_labels = is_classifier(inner) and not is_frozen
        if needs_labels or not (hasattr(inner, "transform") or hasattr(inner, "sample")):
            raise TypeError(f"WindowedEstimator wraps transformers and generators, got {name}.")
        if not is_frozen:
            return self.length
        check_is_fitted(inner)
        for shape, here in (("n_channels_in_", n_channels), ("n_timepoints_in_", self.length)):
            known = getattr(inner, shape, None)
            if known is None:
                raise TypeError(f"The {name} in `estimator` does not tell its {shape}.")
            if here not in ("auto", known):
                wrong = "length" if shape == "n_timepoints_in_" else "channels of X"
                raise ValueError(
                    f"The {name} in `estimator` was fitted with {shape}={known}, got {here} as "
                    f"{wrong}."
                )
        return inner.n_timepoints_in_

    def transform(self, X):
        """Features of the windows of a recording, or of its time points.

        They are those of the tokenizer where a generator is wrapped.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            Without missing values, unless the estimator takes them.

        Returns
        -------
        features : ndarray of shape (n_windows, d) or (t, d)
            As `per` says. `window_starts` tells the time of each window. With
            ``set_output(transform="pandas")`` times are the index.
        """
        check_is_fitted(self)
        self._validate_params()
        transformer = self._transformer()
        recording = self._recording(X, transformer)
        windows = self._present_windows(recording)
        starts = windows.starts(recording.values[None])
        # An array, whatever container the estimator of windows is set to give.
        features = np.asarray(transformer.transform(windows.transform(recording.values[None])))
        if self.per == "point":
            features = features_of_points(features, starts, self.windows_.length_)
            starts = np.arange(recording.values.shape[1])
        if _get_output_config("transform", self)["dense"] != "pandas":
            return features
        import pandas as pd  # optional, but here it was asked for

        return pd.DataFrame(features, index=index_at(X, recording, starts))

    @available_if(_makes_tokens)
    def encode(self, X):
        """Tokens of a recording, with the times at which they start.

        The windows lie end to end; of the last one, which ends with the recording, those tokens
        are left out that start in the window before. Tokens of one time (of several bands or
        frequencies) follow each other.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            Without missing values, unless the tokenizer takes them.

        Returns
        -------
        tokens : RecordingTokens
            With `ids` (n,), int64, and `times` (n,): dates of the time axis, or time points.
        """
        check_is_fitted(self)
        tokenizer = self._transformer()
        recording = self._recording(X, tokenizer)
        length = self.windows_.length_
        end_to_end = SlidingWindows(length, stride=length).fit(recording.values[None])
        starts = end_to_end.starts(recording.values[None])
        ids = tokenizer.encode(end_to_end.transform(recording.values[None]))
        times = starts[:, None] + tokenizer.token_starts_
        is_new = times >= np.append(0, starts[:-1] + length)[:, None]
        ids, times = ids[is_new], times[is_new]
        order = np.argsort(times, kind="stable")
        return RecordingTokens(ids[order], _at(recording, times[order]))

    @available_if(_makes_tokens)
    def reconstruct(self, X):
        """The recording that its tokens stand for.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            Without missing values, unless the tokenizer takes them.

        Returns
        -------
        recording
            In the form of `X`: the weighted mean of decoded windows that overlap by half.
        """
        check_is_fitted(self)
        tokenizer = self._transformer()
        recording = self._recording(X, tokenizer)
        windows = SlidingWindows(self.windows_.length_).fit(recording.values[None])
        tokens = tokenizer.encode(windows.transform(recording.values[None]))
        decoded = tokenizer.decode(tokens).reshape(len(tokens), self.n_channels_in_, -1)
        values = overlap_add(decoded, windows.starts(recording.values[None]))
        return like_recording(X, recording, values)

    def anomaly_score(self, X, reference=None):
        """How far the windows around each time point are from all others, in the space of features.

        It is the mean distance of their features to those of the two nearest windows that overlap
        neither them nor each other [1]_ [2]_, for whole windows, halves and quarters of them. The
        three are standardised and averaged.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            Without missing values, unless the estimator takes them: short gaps are then bridged by
            straight lines, and up to half a window from gaps of more than an eighth of one there is
            no score, but NaN.
        reference : array-like of shape (t,) or (1, c, t), Series, DataFrame or None, default=None
            The recording that others are compared with, such as that of `fit`. None: `X` itself,
            as in a matrix profile. A fault that happened twice is found all the same. Windows are
            not compared with themselves where `X` is the reference, begins with it or is its
            beginning; give no other part of the reference.

        Returns
        -------
        scores
            In the form of `X`, with one column "anomaly_score", or of shape (t,) for an array.
            Higher is more anomalous; 0 is usual in the reference, and 1 is a median absolute
            deviation above that.

        References
        ----------
        .. [1] Ramaswamy, Rastogi, Shim. "Efficient algorithms for mining outliers from large data
           sets", 2000.
        .. [2] Yeh et al. "Matrix profile I: all pairs similarity joins for time series", 2016.
        """
        check_is_fitted(self)
        transformer = self._transformer()
        recording = self._recording(X, transformer)
        others = recording if reference is None else self._recording(reference, transformer)
        nearest = NearestWindows(self.windows_.length_).fit(transformer, bridged(others.values))
        is_known = begin_alike(recording.values, others.values)
        scores = nearest.score(transformer, bridged(recording.values), is_known)
        scores[near_long_gaps(recording.values, self.windows_.length_)] = np.nan
        if is_array(X):
            return scores
        return like_recording(X, recording, scores[None], ["anomaly_score"])

    def anomalies(self, X, reference=None, *, n_stretches=5):
        """The stretches of a recording with the highest anomaly scores.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
        reference : array-like of shape (t,) or (1, c, t), Series, DataFrame or None, default=None
            As for `anomaly_score`.
        n_stretches : int, default=5

        Returns
        -------
        stretches : list of Stretch
            The highest first: `start` and `stop`, the time points or dates of its first point and
            of the one after its last, and `score`. Each is a window around the highest point
            that does not overlap those before it, so that there may be fewer.
        """
        validate_parameter_constraints(
            {"n_stretches": [IntegerInterval(1)]}, {"n_stretches": n_stretches}, "anomalies"
        )
        check_is_fitted(self)
        recording = self._recording(X)
        scores = self.anomaly_score(
            recording.values[None],
            None if reference is None else self._recording(reference).values[None],
        )
        stretches = top_stretches(scores, n_stretches, self.windows_.length_)
        if recording.times is None:
            return stretches
        times = np.append(recording.times, times_after(recording, 1))
        return [Stretch(times[s.start], times[s.stop], s.score) for s in stretches]

    @available_if(_wrapped_has("score_samples"))
    def score_samples(self, X):
        """Log-likelihood of each window of a recording, as the generator gives it of series.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame

        Returns
        -------
        log_likelihood : float64 ndarray of shape (n_windows,)
            `window_starts` tells the time of each window.
        """
        check_is_fitted(self)
        recording = self._recording(X, self.estimator_)
        windows = self._present_windows(recording).transform(recording.values[None])
        return self.estimator_.score_samples(windows)

    @available_if(_wrapped_has("impute"))
    def impute(self, X, *, n_draws=None, random_state=None):
        """Fill the gaps of a recording with draws of what may stand there.

        A gap of up to half a window is filled in a window around its middle; a longer one is filled
        from the left, half a window at a time, given what was filled before.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            NaN stands for a missing value. Times without a row are filled as well.
        n_draws : int or None, default=None
            How many times the gaps are filled. None: once.
        random_state : int, RandomState instance or None, default=None
            None: the `random_state` of this estimator.

        Returns
        -------
        recording
            In the form of `X`, or, if `n_draws` is given, an ndarray of shape (n_draws, c, t), or
            (n_draws, t) where `X` has one dimension. Observed values are those of `X`.
        """
        validate_parameter_constraints(
            {"n_draws": [IntegerInterval(1), None]}, {"n_draws": n_draws}, "impute"
        )
        check_is_fitted(self)
        recording = self._recording(X)
        draws = filled_recording(
            self.estimator_,
            recording.values,
            self.windows_.length_,
            1 if n_draws is None else n_draws,
            self._random_state(random_state),
        )
        if n_draws is None:
            return like_recording(X, recording, draws[0])
        return draws[:, 0] if np.ndim(X) == 1 else draws

    @available_if(_wrapped_has("forecast"))
    def forecast(self, X, horizon, *, n_draws=None, random_state=None):
        """Continue a recording, half a window at a time.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame
            Its last window is seen; NaN stands for a missing value.
        horizon : int
            Number of time points.
        n_draws : int or None, default=None
            How many times it is continued. None: the median of 100 draws.
        random_state : int, RandomState instance or None, default=None
            None: the `random_state` of this estimator.

        Returns
        -------
        future : float64 ndarray of shape (horizon,) or (1, c, horizon), Series or DataFrame
            In the form of `X`; dates go on at its step. If `n_draws` is given, a float64 ndarray
            of shape (n_draws, c, horizon), or (n_draws, horizon) where `X` has one dimension.
        """
        validate_parameter_constraints(
            {"horizon": [IntegerInterval(1)], "n_draws": [IntegerInterval(1), None]},
            {"horizon": horizon, "n_draws": n_draws},
            "forecast",
        )
        check_is_fitted(self)
        recording = self._recording(X)
        draws = forecasted(
            self.estimator_,
            recording.values,
            horizon,
            self.windows_.length_,
            _DRAWS_OF_MEDIAN if n_draws is None else n_draws,
            self._random_state(random_state),
        )
        if n_draws is None:
            return continued_like(X, recording, np.median(draws, axis=0))
        return draws[:, 0] if np.ndim(X) == 1 else draws

    @available_if(_wrapped_has("sample", "impute"))
    def sample(self, n_timepoints=None, *, random_state=None):
        """A new recording of any length.

        Windows that the generator draws are put into a row, each going on where the one before was
        going, and their seams are filled given what lies on both sides.

        Parameters
        ----------
        n_timepoints : int or None, default=None
            Its length; None: that of the recording seen in `fit`.
        random_state : int, RandomState instance or None, default=None
            None: the `random_state` of this estimator.

        Returns
        -------
        recording : float64 ndarray of shape (t,) or (1, c, t)
            (t,) for one channel.
        """
        check_is_fitted(self)
        n_timepoints = self.n_timepoints_in_ if n_timepoints is None else n_timepoints
        validate_parameter_constraints(
            {"n_timepoints": [IntegerInterval(1)]}, {"n_timepoints": n_timepoints}, "sample"
        )
        values = sampled_recording(
            self.estimator_,
            n_timepoints,
            self.windows_.length_,
            self.scale_,
            self._random_state(random_state),
        )
        return values[0] if len(values) == 1 else values[None]

    def window_starts(self, X):
        """When each window of `transform` starts: dates of a time axis, or time points.

        Parameters
        ----------
        X : array-like of shape (t,) or (1, c, t), Series or DataFrame

        Returns
        -------
        starts : ndarray of shape (n_windows,)
        """
        check_is_fitted(self)
        recording = self._recording(X)
        return _at(recording, self._present_windows(recording).starts(recording.values[None]))

    def get_feature_names_out(self, input_features=None):
        """Names of the features, which are those of the estimator of windows.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str of shape (d,)
        """
        check_is_fitted(self)
        return self._transformer().get_feature_names_out()

    def _present_windows(self, recording):
        """Windows of a recording with the `stride` of now, which may be set anew after `fit`."""
        windows = SlidingWindows(self.windows_.length_, stride=self.stride)
        return windows.fit(recording.values[None])

    def _transformer(self):
        """The fitted estimator, or of a generator its tokenizer."""
        return getattr(self.estimator_, "tokenizer_", self.estimator_)

    def _recording(self, X, reader=None):
        """The recording that `X` is; a reader that takes no missing values must find none."""
        recording = as_recording(X, "WindowedEstimator")
        check_channels(recording, self.n_channels_in_, self.channel_names_, "WindowedEstimator")
        n_timepoints = recording.values.shape[1]
        if n_timepoints < self.windows_.length_:
            raise ValueError(
                f"The recording has {n_timepoints} time points, fewer than the window of "
                f"{self.windows_.length_} that WindowedEstimator was fitted with."
            )
        if reader is not None and not get_tags(reader).input_tags.allow_nan:
            n_missing = int(np.isnan(recording.values).sum())
            if n_missing:
                raise ValueError(
                    f"The recording has missing values ({n_missing:,}), and "
                    f"{type(reader).__name__} takes none: fill them first, as `impute` does "
                    "where a generator is wrapped."
                )
        longest = np.diff(runs(np.isnan(recording.values).all(axis=0))).max(initial=0)
        if reader is not None and longest >= self.windows_.length_:
            raise ValueError(
                f"The recording has a gap of {longest} points, in which a whole window of "
                f"{self.windows_.length_} has no known value: fill it first, or take the parts "
                "before and after it as two recordings."
            )
        return recording

    def _random_state(self, random_state):
        own = self.random_state if random_state is None else random_state
        return np.random.RandomState(random_seed(own))


def training_windows(values, length, max_windows, allow_nan, random_state):
    """Windows ``(n, c, length)`` of a recording ``(c, t)`` to train on.

    Each starts at a random point of its share of the recording, so that they are in step with no
    period. Those without a known value, or without `allow_nan` with a missing one, are left out.

    Raises
    ------
    ValueError
        If fewer than two are left.
    """
    n_starts = values.shape[1] - length + 1
    if n_starts < 2:
        raise ValueError(
            f"The recording has {values.shape[1]} time points, no more than a window of {length}: "
            "give a smaller length."
        )
    n_windows = n_training_windows(n_starts, length, max_windows)
    shares = np.linspace(0, n_starts, n_windows + 1)
    places = shares[:-1] + random_state.uniform(size=n_windows) * np.diff(shares)
    starts = np.minimum(places.astype(np.int64), n_starts - 1)
    if not allow_nan:
        values = bridged(values, length // _BRIDGED)
    views = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)
    panel = views[:, starts].swapaxes(0, 1)
    is_known = np.isfinite(panel)
    panel = panel[is_known.any(axis=(1, 2)) if allow_nan else is_known.all(axis=(1, 2))]
    if len(panel) < 2:
        raise ValueError(
            f"The recording has hardly a window of {length} time points without long gaps: give a "
            "smaller length, or an estimator that takes missing values. Times without a row are "
            "missing, such as nights between hours; without a time axis rows are taken as they "
            "come."
        )
    return panel


def n_training_windows(n_starts, length, max_windows):
    """Number of windows that are trained on where they can start at `n_starts` time points."""
    return min(max_windows, max(2, n_starts // max(1, length // _CLOSEST)))


def features_of_points(features, starts, length):
    """Features ``(t, d)`` of points: the weighted mean of those ``(n, d)`` of the windows there."""
    weights = triangle(length)
    total = np.zeros((starts[-1] + length, features.shape[1]), dtype=np.float32)
    weight = np.zeros(len(total), dtype=np.float32)
    for row, start in zip(features, starts, strict=True):
        total[start : start + length] += weights[:, None] * row
        weight[start : start + length] += weights
    if (weight == 0).any():
        raise ValueError(
            "per='point' with a stride above the length of a window leaves points without features."
        )
    return total / weight[:, None]


def begin_alike(first, second):
    """Whether two recordings ``(c, t)`` are the same as long as both last."""
    n_timepoints = min(first.shape[1], second.shape[1])
    return np.array_equal(first[:, :n_timepoints], second[:, :n_timepoints], equal_nan=True)


def _at(recording, places):
    """Dates of time points, or without a time axis the time points."""
    return places if recording.times is None else recording.times[places]


def _deviations(values):
    """Standard deviations ``(c,)`` of the channels, of their known values; 0 without any."""
    known = ~np.isnan(values)
    counts = np.maximum(1, known.sum(axis=1))
    means = np.where(known, values, 0.0).sum(axis=1) / counts
    squares = np.where(known, values - means[:, None], 0.0) ** 2
    return np.sqrt(squares.sum(axis=1) / counts)
