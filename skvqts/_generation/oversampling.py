"""GenerativeOverSampler: rare classes are filled up with generated series."""

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.frozen import FrozenEstimator

from .._files.encoding import storable
from .._fitting.reading import in_form_of_fit
from .._fitting.state import (
    TorchStateMixin,
    frozen_inside,
    seeded_clone,
    unchanged_on_failure,
    with_default_parts,
)
from .._fitting.validation import (
    RealInterval,
    StrOptions,
    _fit_context,
    as_array_like,
    generator_from,
    validate_labels,
    validate_series,
)
from .autoregressive import AutoregressivePriorGenerator
from .masked import MaskedPriorGenerator
from .unequal import refuse_unequal

_GENERATORS = (MaskedPriorGenerator, AutoregressivePriorGenerator)
_NUMBERS = "fiu"  # kinds of types that generated series can be given in


@storable
class GenerativeOverSampler(OneToOneFeatureMixin, TorchStateMixin, BaseEstimator):
    """Over-sampler that fills up rare classes with generated series.

    A generator learns all series with their classes; what the rare classes lack is sampled from
    it. It is a sampler as imbalanced-learn has them [1]_: a step of its Pipeline, which resamples
    the training series of each fit and lets test series pass. imbalanced-learn itself is not
    needed.

    Parameters
    ----------
    generator : MaskedPriorGenerator, AutoregressivePriorGenerator, FrozenEstimator or None, \
default=None
        What generates. As everywhere in scikit-learn it is cloned and fitted on the training
        series; ``FrozenEstimator(generator)`` uses a fitted one as it is, which has to have learned
        the classes that it is asked for, but no series that are to be predicted later, such as
        those of the test folds of a cross-validation. None: a `MaskedPriorGenerator`.

    sampling_strategy : float, str, dict or callable, default="auto"
        How many series the classes are to have, as in imbalanced-learn's over-samplers. A float,
        for two classes: the rarer one has that share of the series of the other. "minority",
        "not minority", "not majority", "all": these classes have as many as the largest one;
        "auto" is "not majority". A dict: the number of series of each class in it, the ones that
        are there included. A callable: it is given `y` and returns such a dict.

    random_state : int, RandomState instance or None, default=None
        Seed of what is sampled, and of `generator` where that has none.

    Attributes
    ----------
    generator_ : MaskedPriorGenerator or AutoregressivePriorGenerator or None
        The fitted generator; None if no series was missing. `fit`, which generates nothing, does
        not set it.
    sampling_strategy_ : dict of label to int
        Number of series to generate of each class that the strategy names.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    n_channels_in_, n_timepoints_in_ : int
        Shape of a series.
    n_features_in_ : int
        Number of time points for 2-D `X`, of channels for 3-D `X`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names, if `X` had them.

    See Also
    --------
    MaskedPriorGenerator : Generates as many series as are wanted, of any class.

    References
    ----------
    .. [1] Lemaître, Nogueira, Aridas. "Imbalanced-learn: a Python toolbox to tackle the curse of
       imbalanced datasets in machine learning", 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from skvqts import GenerativeOverSampler, MaskedPriorGenerator, VQTokenizer
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(24)[:, None])
    >>> y = np.where(np.arange(24) < 6, "rare", "usual")
    >>> tokenizer = VQTokenizer(codebook_size=8, max_epochs=20)
    >>> generator = MaskedPriorGenerator(tokenizer, decoder=None, width=32, max_epochs=2)
    >>> sampler = GenerativeOverSampler(generator, sampling_strategy=0.5, random_state=0)
    >>> X_resampled, y_resampled = sampler.fit_resample(X, y)
    >>> X_resampled.shape, y_resampled[24:].tolist()
    ((27, 40), ['rare', 'rare', 'rare'])
    >>> np.array_equal(X_resampled[:24], X)
    True
    """

    # What imbalanced-learn recognises a sampler by.
    _estimator_type = "sampler"
    _parameter_constraints = {
        "generator": [*_GENERATORS, FrozenEstimator, None],
        "sampling_strategy": [
            RealInterval(0, 1, closed="right"),
            StrOptions({"auto", "minority", "not minority", "not majority", "all"}),
            Mapping,
            callable,
        ],
        "random_state": ["random_state"],
    }

    def __init__(self, generator=None, *, sampling_strategy="auto", random_state=None):
        self.generator = generator
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state

    def set_params(self, **params):
        """Set parameters, also those of a generator that is not given.

        Parameters
        ----------
        **params : dict
            Such as ``generator__width=64``: a `generator` that is None becomes
            ``MaskedPriorGenerator()`` first.

        Returns
        -------
        self : GenerativeOverSampler
        """
        makers = {"generator": lambda _: MaskedPriorGenerator()}
        return super().set_params(**with_default_parts(self, params, makers))

    @_fit_context(prefer_skip_nested_validation=False)
    @unchanged_on_failure
    def fit(self, X, y):
        """Check series, labels and strategy, without learning; `fit_resample` does the work.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : array-like of shape (n,)

        Returns
        -------
        self : GenerativeOverSampler

        Raises
        ------
        ValueError, TypeError
            As `fit_resample` does, as far as it can be told without a generator.
        """
        self._check_data(X, y)
        return self

    @_fit_context(prefer_skip_nested_validation=False)
    @unchanged_on_failure
    def fit_resample(self, X, y):
        """Learn the series of all classes, and add generated ones to those that lack some.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,)
            Their classes: whole numbers, truth values or strings; at least two different ones.

        Returns
        -------
        X_resampled : array-like of shape (n_resampled, t) or (n_resampled, c, t)
            The series of `X`, unchanged and in their order, then the generated ones class by
            class. Of a pandas DataFrame it is one with the same columns, and its rows are numbered
            anew; of a list a list; of anything else an array. It has the type of the numbers in
            `X`: generated values are rounded where that is one of whole numbers. What holds
            numbers in another way, such as text, becomes float64.
        y_resampled : array-like of shape (n_resampled,)
            Their classes, in the same way: a Series or DataFrame of one, a list of a list, of
            anything else an array.

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, `y` has a single class, or the strategy does
            not fit the classes: a float for more than two, a class that `y` does not have, or fewer
            series of a class than there are.
        TypeError
            If `X` is sparse or not numeric, or `generator` holds something else.
        NotFittedError
            If `generator` is a FrozenEstimator of a generator that is not fitted.
        DivergedError
            If a loss of the generator is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; the sampler is then as it was before.
        """
        series, labels = self._check_data(X, y)
        rng = generator_from(self.random_state)
        # Each generated series has the label, in whatever form, of the first one of its class.
        first = [np.flatnonzero(labels == label)[0] for label in self.sampling_strategy_]
        numbers = list(self.sampling_strategy_.values())
        rows = np.repeat(np.array(first, dtype=int), np.array(numbers, dtype=int))
        self.generator_ = None
        generated = series[:0]
        if len(rows):
            self.generator_ = self._fitted_generator(series, labels, rng)
            seed = int(torch.randint(2**31 - 1, (1,), generator=rng, device="cpu"))
            generated = self.generator_.sample(y=labels[rows], random_state=seed)
            # A frozen generator may have learned series of one channel in the other form.
            generated = generated.reshape(-1, *self._series_shape)
        rows = np.concatenate([np.arange(len(series)), rows])
        return joined_series(X, series, generated), picked_labels(y, rows)

    def _check_data(self, X, y):
        """Series ``(n, t)`` or ``(n, c, t)`` and labels ``(n,)``; sets what is known from them."""
        series = validate_series(self, X, reset=True, min_samples=2)
        self.classes_, indices = validate_labels(self, y, len(series))
        labels = self.classes_[indices]
        self.sampling_strategy_ = n_missing(self.sampling_strategy, labels)
        vars(self).pop("generator_", None)  # of a previous call
        return in_form_of_fit(self, series), labels

    def _fitted_generator(self, X, y, rng):
        if isinstance(self.generator, FrozenEstimator):
            generator = frozen_inside(self, "generator", _GENERATORS)
            refuse_unequal(generator, "Over-sampling")
            return generator
        generator = MaskedPriorGenerator() if self.generator is None else self.generator
        return seeded_clone(generator, rng).fit(X, y)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "sampler"
        tags.target_tags.required = True
        return tags


def n_missing(sampling_strategy, y):
    """Number of series that each class lacks, as imbalanced-learn's over-samplers count them.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        See `GenerativeOverSampler`.
    y : ndarray of shape (n,)
        The label of each series that is there.

    Returns
    -------
    missing : dict of label to int
        In the order of the labels.

    Raises
    ------
    ValueError
        If there is one class only, or the strategy does not fit the classes.
    TypeError
        If a callable returns no dict.
    """
    classes, counts = np.unique(y, return_counts=True)
    present = dict(zip(classes, counts.tolist(), strict=True))
    if len(present) < 2:
        raise ValueError(
            "Over-sampling needs series of more than one class, and y has one class: "
            f"{classes.tolist()}."
        )
    if callable(sampling_strategy):
        sampling_strategy = sampling_strategy(y)
        if not isinstance(sampling_strategy, Mapping):
            raise TypeError(
                "A callable sampling_strategy must return a dict of class to number of series, got "
                f"{type(sampling_strategy).__name__}."
            )
    if isinstance(sampling_strategy, Mapping):
        return _up_to_numbers(sampling_strategy, present)
    # Of classes of one size the first counts as the rarest, and as the largest.
    rarest, largest = min(present, key=present.get), max(present, key=present.get)
    if isinstance(sampling_strategy, Real):
        return _up_to_share(sampling_strategy, present, largest)
    chosen = {
        "minority": [rarest],
        "not minority": [label for label in present if label != rarest],
        "not majority": [label for label in present if label != largest],
        "all": list(present),
    }
    named = chosen["not majority" if sampling_strategy == "auto" else sampling_strategy]
    return {label: present[largest] - present[label] for label in named}


def _up_to_numbers(wanted, present):
    """What classes lack of the numbers of series that a dict gives."""
    unknown = [label for label in wanted if label not in present]
    if unknown:
        raise ValueError(
            f"sampling_strategy names the class {unknown[0]}, which is not in y; there are "
            f"{', '.join(map(str, present))}."
        )
    for label, number in wanted.items():
        if not isinstance(number, Integral) or number < present[label]:
            raise ValueError(
                f"Over-sampling adds series, so sampling_strategy must give the class {label}, "
                f"which has {present[label]}, a whole number of at least as many. Got {number!r} "
                "instead."
            )
    return {label: int(wanted[label]) - n for label, n in present.items() if label in wanted}


def _up_to_share(share, present, largest):
    """What the rarer of two classes lacks of a share of the other."""
    if len(present) != 2:
        raise ValueError(
            f"sampling_strategy can be a float for two classes only, and y has {len(present)}: "
            "give a dict of class to number of series."
        )
    (rarest,) = (label for label in present if label != largest)
    lacking = int(present[largest] * share - present[rarest])
    if lacking <= 0:
        raise ValueError(
            f"The class {rarest} has {present[rarest]} series and the class {largest} has "
            f"{present[largest]}: sampling_strategy={share} leaves none to be added, increase it."
        )
    return {rarest: lacking}


def joined_series(X, series, generated):
    """The series of `X` followed by generated ones, in the form and type of number of `X`.

    Parameters
    ----------
    X : array-like of shape (n, t) or (n, c, t)
        As the user gave it.
    series : ndarray of shape (n, ...)
        The same as floats.
    generated : ndarray of shape (n_generated, ...)
    """
    if hasattr(X, "iloc"):
        return _joined_rows(X, series, generated)
    given = np.asarray(as_array_like(X, "GenerativeOverSampler"))
    if given.dtype.kind not in _NUMBERS:
        given = series.astype(np.float64)
    joined = np.empty((len(given) + len(generated), *given.shape[1:]), dtype=given.dtype)
    joined[: len(given)] = given
    joined[len(given) :] = as_type(generated, given.dtype)
    return joined.tolist() if isinstance(X, list) else joined


def _joined_rows(frame, series, generated):
    """A pandas DataFrame with rows added, column by column, as each has a type of its own."""
    import pandas as pd

    columns = []
    for i, dtype in enumerate(frame.dtypes):
        if dtype.kind in _NUMBERS:
            number = np.dtype(f"{dtype.kind}{dtype.itemsize}")  # of pandas' own types as well
            added = pd.Series(as_type(generated[:, i], number)).astype(dtype)
            columns.append(pd.concat([frame.iloc[:, i], added], ignore_index=True))
        else:
            values = np.concatenate([series[:, i], generated[:, i]], dtype=np.float64)
            columns.append(pd.Series(values))
    return pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)


def as_type(values, dtype):
    """Values of a type of number; they are rounded to whole numbers of its range."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    # The largest number of 64 bits is no float64: the nearest one is above it.
    largest = float(limits.max)
    largest = largest if int(largest) <= limits.max else np.nextafter(largest, 0)
    return np.rint(values.astype(np.float64)).clip(limits.min, largest).astype(dtype)


def picked_labels(y, rows):
    """The labels of some rows, in the form of `y`: array, list, Series or DataFrame."""
    if hasattr(y, "iloc"):
        return y.iloc[rows].reset_index(drop=True)
    return [y[row] for row in rows] if isinstance(y, list) else np.asarray(y)[rows]
