"""What generators of series share: a tokenizer, a prior over its tokens, samples, likelihoods."""

from functools import partial

import numpy as np
import torch
from scipy.special import logsumexp
from sklearn.base import _fit_context
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ._base import SeriesEstimator, held_out_by_class
from ._nested import fitted_inside, seeded_clone
from ._nn.initialise import build
from ._nn.prior import Prior
from ._prior_reader import PriorReader, row_stream
from ._prior_training import PriorTask, judged, repeated
from ._tokenizer import VQTokenizer
from ._validation import (
    Decimal,
    Whole,
    checked_labels,
    random_seed,
    validate_labels,
    validate_n_samples,
    validate_series,
)

_SHARED = ("precision", "device", "n_threads", "verbose")  # with the default tokenizer
_DEFAULT_TOKENIZER = {"downsampled_width": 16}
_STEPS = 400, 1000  # of max_epochs="auto", at least and at most unless 8 epochs have more


class SeriesGenerator(SeriesEstimator):
    """Base of generators: a `VQTokenizer` and a prior over its tokens (stage 2).

    A subclass says whether the prior is `_causal`, by which `_schedule` it masks, how its tokens
    are revealed (``_decodings()``, one `Decoding` for each band) and how likely they are
    (``_log_likelihoods(ids, classes)``).
    """

    _parameter_constraints = {
        **SeriesEstimator._parameter_constraints,
        "tokenizer": [VQTokenizer, FrozenEstimator, None],
        "width": [Whole(1)],
        "n_layers": [Whole(0)],
        "n_heads": [Whole(1)],
        "head_dim": [Whole(1), StrOptions({"auto"})],
        "feedforward": [Whole(1), StrOptions({"auto"})],
        "dropout": [Decimal(0, 0.99)],
        "p_unconditional": [Decimal(0, 1)],
        "ema_decay": [Decimal(0, 1)],
        "code_temperature": [Decimal(0)],
        "temperature": [Decimal(0)],
        "guidance_scale": [Decimal(0)],
        "guidance_schedule": [StrOptions({"constant", "linear"})],
    }

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None):
        """Learn the tokenizer, then the prior over its tokens.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
            Training series, finite; at least two.
        y : array-like of shape (n,) or None, default=None
            Their classes, of any kind that can be sorted; the prior is then conditional on them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If `X`, `y` or a parameter is not valid, `device` is not present, or `tokenizer` holds
            one that was fitted to series of another shape.
        TypeError
            If `X` is sparse or not numeric, or `tokenizer` holds something else.
        NotFittedError
            If `tokenizer` is a FrozenEstimator of a tokenizer that is not fitted.
        DivergedError
            If a loss is not finite or explodes.
        KeyboardInterrupt
            On Ctrl-C; after the first epoch of the prior the estimator is fitted all the same.
        """
        return super().fit(X, y)

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
        seed = random_seed(random_state)
        if classes is None:
            classes = self._drawn_classes(n_samples, seed)
        hidden = np.ones((len(classes), sum(self._n_tokens)), dtype=bool)
        X = self._decoded(self._filled(np.zeros(hidden.shape, np.int64), hidden, classes, seed))
        return (X, self.classes_[classes]) if return_y else X

    def score_samples(self, X, *, include_reconstruction=False):
        """Log-likelihood of series, or a lower bound of it, in nats per series.

        Of their tokens, P(tokens) [the probability of a discrete sequence, at most 0]. With
        `include_reconstruction`, of the series themselves in units of the scaled series: plus the
        log-density of the series around its reconstruction, normal with the variance of the
        training set's reconstruction error (`residual_scale_`); this is a lower bound of the
        log-density (eq. 16) and comparable between tokenizers.

        Parameters
        ----------
        X : array-like of shape (n, t) or (n, c, t)
        include_reconstruction : bool, default=False

        Returns
        -------
        log_likelihood : float64 ndarray of shape (n,)
        """
        series, ids = self._encoded(X)
        of_tokens = self._marginal(ids, self._log_likelihoods)
        if include_reconstruction:
            of_tokens = of_tokens + self._reconstruction_log_density(series)
        return of_tokens

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

    def _encoded(self, X):
        """Checked series and their tokens."""
        check_is_fitted(self)
        self._validate_params()
        series = validate_series(self, X)
        return series, self._tokenizer().encode(series)

    def _marginal(self, ids, log_likelihoods):
        """Log-likelihood ``(n,)`` of tokens whatever their class."""
        if self._n_classes == 0 or self._learned_unconditional:
            return log_likelihoods(ids, np.full(len(ids), self._n_classes))
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

    def _tokenizer(self):
        """The fitted tokenizer, as long as it is the one that the prior has learned."""
        tokenizer = self.tokenizer_
        if self._tokens_of(tokenizer) != self._tokens:
            raise ValueError(
                f"The tokenizer of this {type(self).__name__} has been fitted anew since, to other "
                "tokens: fit the generator again."
            )
        return tokenizer

    @staticmethod
    def _tokens_of(tokenizer):
        grid = tokenizer.token_shape_
        n_codes = len(tokenizer.codebook_) // len(grid)
        return {"grid": grid, "n_codes": n_codes, "code_dim": tokenizer.codebook_.shape[1]}

    def _classes_to_sample(self, n_samples, y):
        """Indices of the classes `y`, or None; judges `n_samples` and `y`."""
        validate_n_samples(n_samples, np.prod(self._series_shape), type(self).__name__)
        if y is None:
            return None
        return self._known_classes(y, len(y) if np.ndim(y) and n_samples == 1 else n_samples)

    def _given_classes(self, y, n_samples):
        """Indices of the classes `y`; of no class in particular where they are not given."""
        if y is None:
            return np.full(n_samples, self._n_classes)
        return self._known_classes(y, n_samples)

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

    @property
    def _n_tokens(self):
        """Of each band."""
        return [rows * columns for rows, columns in self._tokens["grid"]]

    @property
    def _n_classes(self):
        return self._architecture["n_classes"]

    def _prior_reader(self):
        return PriorReader(self.module_, self.device_, self.n_threads_)

    # what `SeriesEstimator.fit` asks for

    def _prepare(self, series, warm, generator):
        tokenizer, series = self.tokenizer, series.reshape(len(series), *self._series_shape)
        if isinstance(tokenizer, FrozenEstimator):
            self.tokenizer_ = fitted_inside(self, "tokenizer", (VQTokenizer,))
        else:
            if tokenizer is None:
                shared = {name: getattr(self, name) for name in _SHARED}
                tokenizer = VQTokenizer(**_DEFAULT_TOKENIZER, **shared)
            self.tokenizer_ = seeded_clone(tokenizer, generator).fit(series)
        self.X_fit_, self._scaler = series, self.tokenizer_._scaler
        self._tokens = self._tokens_of(self.tokenizer_)
        self._learned_unconditional = self.p_unconditional > 0
        self._architecture = self._network_arguments()
        residuals = self.tokenizer_._codec().residuals(series.reshape(len(series), *_panel(self)))
        scale = residuals.std(axis=(0, 2), dtype=np.float64)
        self.residual_scale_ = np.maximum(scale, np.finfo(np.float32).eps)

    def _network_arguments(self):
        head_dim, feedforward = self.head_dim, self.feedforward
        return {
            **self._tokens,
            "n_classes": len(self.classes_) if hasattr(self, "classes_") else 0,
            "transformer": {
                "width": self.width,
                "n_layers": self.n_layers,
                "n_heads": self.n_heads,
                "head_dim": max(1, self.width // self.n_heads) if head_dim == "auto" else head_dim,
                "feedforward": 2 * self.width if feedforward == "auto" else feedforward,
                "dropout": self.dropout,
                "causal": self._causal,
            },
        }

    def _targets(self, y, series, warm):
        for name in ("classes_", "class_counts_", "y_fit_"):
            vars(self).pop(name, None)
        if y is None:
            return (np.zeros(len(series), dtype=np.int64),)
        self.classes_, indices = validate_labels(self, y, len(series))
        self.class_counts_, self.y_fit_ = np.bincount(indices), self.classes_[indices]
        return (indices,)

    def _module_constructor(self):
        return partial(Prior, **self._architecture)

    def _network(self, origin, generator):
        return build(self._module_constructor(), generator)

    def _work(self, plan, series):
        """In time points that cost a tokenizer as much: by default 16 a token."""
        rows = plan.n_epochs * self._n_rows(len(series))
        return rows * sum(self._n_tokens) * self.n_layers * self.width**2 // 2**12

    def _least_steps(self, n_series):
        """One a series: few series are learned by heart sooner than they are understood."""
        return min(max(n_series, _STEPS[0]), _STEPS[1])

    def _n_rows(self, n_series):
        return len(repeated(n_series))

    def _split(self, series, targets, device, generator):
        """Tokens and classes on the device; those held out with the masks they are judged by."""
        ids = torch.from_numpy(self.tokenizer_.encode(series))
        parts, n_held_out = [ids, *map(torch.from_numpy, targets)], self._n_held_out(len(series))
        if self.code_temperature > 0:
            parts.append(torch.from_numpy(self.tokenizer_._codec().distances(series)))
        order = held_out_by_class(targets[0], generator)
        train = order[n_held_out:][repeated(len(series) - n_held_out)]
        data = [part[train].to(device) for part in parts]
        if not n_held_out:
            return data, None
        rows, masks = judged(n_held_out, self._n_tokens, self._causal, generator)
        rows = order[:n_held_out][rows]
        return data, [part.to(device) for part in (ids[rows], parts[1][rows], masks)]

    def _task(self, network, data, plan, generator, warm):
        codebook = torch.from_numpy(self.tokenizer_.codebook_)
        network.start_from(codebook.to(data[0].device), data[0])
        return PriorTask(
            network,
            self._schedule,
            self.p_unconditional,
            self.ema_decay,
            self.code_temperature,
            generator,
        )

    def _describe(self, series):
        """Nothing to add: the network is all there is."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags


def _panel(generator):
    return generator.n_channels_in_, generator.n_timepoints_in_
