"""Generators of series of unequal length: their lengths are drawn first, then tokens given these.

Joint token ids ``(n, N)`` are -1 beyond the end of a series. A prior sees that, and draws what is
before. So what it learns is the distribution of series given their length.
"""

import numpy as np
from sklearn.frozen import FrozenEstimator

from .._fitting.validation import holds_series, series_of_list, validate_lengths, validate_series
from .._ssl_features import allowed_gaps
from .._tokenizer import aligned_tokens, tokens_of_lengths
from .sampling import checked_tokenizer, row_stream
from .stages import is_unequal


def validate_training_series(estimator, X):
    """Series ``(n, c, t)`` of a generator's `fit`, with NaN beyond the ends of those of a list.

    It sets `lengths_`: those of a list of series of unequal length, or None.

    Raises
    ------
    ValueError, TypeError
        As of `validate_series`; and of a list, if a value is missing before the end of a series, or
        the tokenizer does not take any.
    """
    estimator.lengths_ = None
    if not holds_series(X):
        return validate_series(estimator, X, reset=True, min_samples=2)
    name = type(estimator).__name__
    series = series_of_list(X, name)
    is_flat = all(np.ndim(of_series) == 1 for of_series in X)
    lengths = np.array([of_series.shape[1] for of_series in series])
    if len(np.unique(lengths)) == 1:
        X = np.stack(series)
        return validate_series(estimator, X[:, 0] if is_flat else X, reset=True, min_samples=2)
    tokenizer, n_timepoints = estimator.tokenizer, None
    takes_lists = tokenizer is None or getattr(tokenizer, "missing", None) == "mask"
    if isinstance(tokenizer, FrozenEstimator):
        takes_lists = allowed_gaps(tokenizer.estimator) == "mask"
        n_timepoints = getattr(tokenizer.estimator, "n_timepoints_in_", None)
    if not takes_lists:
        raise ValueError(
            f"X holds series of unequal length, which {name} does not accept: give it a "
            "`tokenizer` that has missing='mask', or pad or resample them to one length."
        )
    if is_flat:
        series = [of_series[0] for of_series in series]
    X = _validated_list(estimator, series, reset=True, min_samples=2, n_timepoints=n_timepoints)
    estimator.lengths_ = lengths
    return X


def validate_more_series(estimator, X):
    """Series ``(n, c, t)`` that a fitted generator judges, of any length if those of `fit` were."""
    return _validated_list(estimator, X) if is_unequal(estimator) else validate_series(estimator, X)


def _validated_list(estimator, X, **kwargs):
    """Series ``(n, c, t)`` with NaN beyond their ends, and nowhere else."""
    X = validate_series(estimator, X, missing="mask", **kwargs)
    for index, length in enumerate(lengths_of(X)):
        if np.isnan(X[index, :, :length]).any():
            raise ValueError(
                f"Series {index} of X has a missing value before its end: "
                f"{type(estimator).__name__} does not accept any, interpolate them or leave that "
                "series out."
            )
    return X


def refuse_unequal(estimator, what):
    """Say that something is not there after a fit to series of unequal length."""
    if is_unequal(estimator):
        raise ValueError(
            f"{what} needs a {type(estimator).__name__} that was fitted to series of one length."
        )


def lengths_of(X):
    """Lengths of series ``(n, c, t)`` with NaN beyond their ends."""
    return X.shape[2] - (~np.isnan(X).all(axis=1))[:, ::-1].argmax(axis=1)


def encoded(estimator, tokenizer, X):
    """Joint token ids ``(n, N)`` of valid series ``(n, c, t)``, -1 beyond their ends."""
    if not is_unequal(estimator):
        return tokenizer.encode(X)
    lengths = lengths_of(X)
    series = [of_series[:, :length] for of_series, length in zip(X, lengths, strict=True)]
    return aligned_tokens(tokenizer, tokenizer.encode(series), lengths)[0]


def lengths_to_sample(estimator, lengths):
    """What `sample_series` takes as `draw_lengths`: a function, or None for series of one length.

    Without `lengths` each series gets that of a training series of its class, drawn from its row's
    own stream.
    """
    if not is_unequal(estimator):
        if lengths is None:
            return None
        raise ValueError(
            f"lengths are for a {type(estimator).__name__} that was fitted to a list of series of "
            "unequal length."
        )

    def draw(classes, seed):
        drawn = lengths
        if drawn is None:
            drawn = [
                _drawn_length(estimator, row_stream(seed, row, 0).random(2)[1], index)
                for row, index in enumerate(classes)
            ]
        drawn = validate_lengths(estimator, drawn, len(classes))
        return drawn, tokens_of_lengths(checked_tokenizer(estimator), drawn)

    return draw


def _drawn_length(estimator, uniform, index):
    """The length of a training series of class number `index`, by a number in [0, 1)."""
    found = estimator.lengths_
    if hasattr(estimator, "classes_"):
        found = found[estimator._classes_of_lengths == index]
    return found[int(uniform * len(found))]
