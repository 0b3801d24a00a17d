"""What generators of series share: samples and likelihoods, by a prior over tokens."""

import numpy as np
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from .._fitting.validation import (
    RealInterval,
    StrOptions,
    checked_labels,
    random_seed,
    validate_n_samples,
    validate_parameter_constraints,
    validate_series,
)
from .sampling import PriorReader, row_stream
from .stages import TokenPrior


class SeriesGenerator(TokenPrior):
    """Base of generators.

    Besides what `TokenPrior` asks for, a subclass says how tokens are revealed (``_decodings()``,
    one `Decoding` for each band) and how likely they are (``_log_likelihoods(ids, classes)``).
    """

    _parameter_constraints = {
        **TokenPrior._parameter_constraints,
        "temperature": [RealInterval(0)],
        "guidance_scale": [RealInterval(0)],
        "guidance_schedule": [StrOptions({"constant", "linear"})],
    }

    def sample(self, n_samples=1, *, y=None, random_state=None, return_y=False):
        """Generate series.

        Row i depends on `random_state`, i and its class only: the first rows of a larger sample
        are those of a smaller one.

        Parameters
        ----------
        n_samples : int, default=1
            Number of series; may be left out with an array `y`.
        y : label, array-like of shape (n_samples,) or None, default=None
            Classes to generate: one for each series, or one for all. None: of a fit with labels,
            classes drawn by their frequencies in the training set.
        random_state : int, RandomState instance or None, default=None
            None: the `random_state` of the generator.
        return_y : bool, default=False
            Return the classes too; needs a fit with labels.

        Returns
        -------
        X : float32 ndarray of shape (n_samples, t) or (n_samples, c, t), as in `fit`
            In the units of the training set.
        y : ndarray of shape (n_samples,)
            Only if `return_y`.

        Raises
        ------
        ValueError
            If `n_samples` is no positive whole number, or `y` holds a class that `fit` did not see
            or has another length.
        """
        check_is_fitted(self)
        self._validate_params()
        classes = self._classes_to_sample(n_samples, y)
        if return_y and self._n_classes == 0:
            raise ValueError(f"return_y=True needs a {type(self).__name__} fitted with labels.")
        seed = self._seed(random_state)
        if classes is None:
            classes = self._drawn_classes(n_samples, seed)
        hidden = np.ones((len(classes), sum(self._n_tokens)), dtype=bool)
        X = self._decoded(self._filled(np.zeros(hidden.shape, np.int64), hidden, classes, seed))
        return (X, self.classes_[classes]) if return_y else X

    def score_samples(self, X, *, include_reconstruction=False):
        """Log-likelihood of series, or a lower bound of it, in nats per series.

        Of their tokens: the logarithm of a probability, at most 0. With `include_reconstruction`,
        of the series themselves, scaled: plus the log-density of the series around its
        reconstruction, normal with the variance of the training set's reconstruction error
        (`residual_scale_`); a lower bound of the log-density (eq. 16) and comparable between
        tokenizers.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        include_reconstruction : bool, default=False

        Returns
        -------
        log_likelihood : float64 ndarray of shape (n,)
        """
        given = {"include_reconstruction": include_reconstruction}
        validate_parameter_constraints(
            {"include_reconstruction": ["boolean"]}, given, "score_samples"
        )
        return self._scores(X, include_reconstruction, self._marginal, self._log_likelihoods)

    def score(self, X, y=None):
        """Mean log-density bound per series, see `score_samples(X, include_reconstruction=True)`.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        y : ignored

        Returns
        -------
        score : float
            Greater is better; comparable between tokenizers and priors, not between scalings.
        """
        return float(self.score_samples(X, include_reconstruction=True).mean())

    def class_log_likelihoods(self, X):
        """Log-likelihood of the tokens of each series, or a lower bound of it, given each class.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)

        Returns
        -------
        log_likelihoods : float64 ndarray of shape (n, n_classes)
            In nats, in the order of `classes_`.

        Raises
        ------
        ValueError
            If the generator was fitted without labels.
        """
        _, ids = self._encoded(X)
        if self._n_classes == 0:
            raise ValueError(
                f"class_log_likelihoods needs a {type(self).__name__} fitted with labels."
            )
        return self._of_classes(ids, self._log_likelihoods)

    def _seed(self, random_state):
        return random_seed(self.random_state if random_state is None else random_state)

    def _encoded(self, X):
        """Checked series and their tokens."""
        check_is_fitted(self)
        self._validate_params()
        series = validate_series(self, X)
        return series, self._tokenizer().encode(series)

    def _scores(self, X, include_reconstruction, of_any_class, log_likelihoods):
        """Of tokens, by one of the two methods below, and of the series around them if wanted."""
        series, ids = self._encoded(X)
        of_tokens = of_any_class(ids, log_likelihoods)
        if include_reconstruction:
            return of_tokens + self._reconstruction_log_density(series)
        return of_tokens

    def _marginal(self, ids, log_likelihoods):
        """Log-likelihood ``(n,)`` of tokens whatever their class."""
        if self._learned_unconditional:
            return log_likelihoods(ids, np.full(len(ids), self._n_classes))
        return self._of_mixture(ids, log_likelihoods)

    def _of_mixture(self, ids, log_likelihoods):
        """Log-likelihood ``(n,)`` with classes as frequent as in the training set."""
        if self._n_classes == 0:
            return log_likelihoods(ids, np.zeros(len(ids), np.int64))
        shares = self.class_counts_ / self.class_counts_.sum()
        return logsumexp(self._of_classes(ids, log_likelihoods) + np.log(shares), axis=1)

    def _of_classes(self, ids, log_likelihoods):
        n, k = len(ids), self._n_classes
        columns = [log_likelihoods(ids, np.full(n, c)) for c in range(k)]
        return np.stack(columns, axis=1)

    def _filled(self, ids, masks, classes, seed):
        """Tokens with the masked ones drawn."""
        return self._prior_reader().fill(
            ids, masks, classes, seed, self._decodings(), self._guidance()
        )

    def _guidance(self):
        """Scale of the guidance along the steps; None where there is nothing to guide."""
        if self.guidance_scale == 1:
            return None
        if self._n_classes == 0 or not self._learned_unconditional:
            raise ValueError(
                f"guidance_scale={self.guidance_scale} needs a {type(self).__name__} fitted with "
                "labels and p_unconditional above 0."
            )
        excess = self.guidance_scale - 1
        if self.guidance_schedule == "linear":
            return lambda progress: 1 + excess * progress
        return lambda progress: 1 + excess

    def _reconstruction_log_density(self, series):
        residuals = self._tokenizer()._codec().residuals(series).astype(np.float64)
        scale = self.residual_scale_[:, None]
        return -(np.square(residuals / scale) / 2 + np.log(scale * np.sqrt(2 * np.pi))).sum((1, 2))

    def _decoded(self, ids):
        series = self._tokenizer()._codec().decode_ids(ids)
        return series.reshape(len(series), *self._series_shape)

    def _classes_to_sample(self, n_samples, y):
        """Indices of the classes `y`, or None; judges `n_samples` and `y`."""
        n_values = np.prod(self._series_shape) + 10 * sum(self._n_tokens)
        validate_n_samples(n_samples, n_values, type(self).__name__)
        if y is None:
            return None
        if np.ndim(y) and n_samples == 1:
            n_samples = max(1, len(y))  # none at all is refused as too few
        return self._known_classes(y, n_samples)

    def _given_classes(self, y, n_samples):
        """Indices of the classes `y`; of no class in particular where they are not given."""
        if y is not None:
            return self._known_classes(y, n_samples)
        if self._n_classes and not self._learned_unconditional:
            raise ValueError(
                f"A {type(self).__name__} fitted with labels and p_unconditional=0 has not learned "
                "series of unknown class: give y to impute, or fit with p_unconditional above 0."
            )
        return np.full(n_samples, self._n_classes)

    def _known_classes(self, y, n_samples):
        """Indices of classes that `fit` saw: a label for each series, or one for all."""
        name = type(self).__name__
        if self._n_classes == 0:
            raise ValueError(f"y is for a {name} fitted with labels; this one was fitted without.")
        y = np.asarray([y] * n_samples) if np.ndim(y) == 0 else y
        y = checked_labels(y, n_samples, "y", name)
        unseen = sorted(set(y.tolist()) - set(self.classes_.tolist()))
        if unseen:
            raise ValueError(
                f"y contains unseen label: {unseen[0]!r}; this {name} has learned "
                f"{self.classes_.tolist()}."
            )
        return np.searchsorted(self.classes_, y)

    def _drawn_classes(self, n_samples, seed):
        """Class indices by training frequency, each from its row's own stream; 0 without labels."""
        if self._n_classes == 0:
            return np.zeros(n_samples, dtype=np.int64)
        heights = np.array([row_stream(seed, i, 0).random() for i in range(n_samples)])
        ends = np.cumsum(self.class_counts_) / self.class_counts_.sum()
        return np.searchsorted(ends, heights, side="right").clip(max=self._n_classes - 1)

    def _prior_reader(self):
        return PriorReader(self.module_, self.device_, self.n_threads_)
