"""The two stages of a generator's fit: a tokenizer, then a prior over its tokens."""

from functools import partial

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from .._base import SeriesEstimator, held_out_by_class
from .._fitting.nested import fitted_inside, seeded_clone
from .._fitting.validation import (
    IntegerInterval,
    RealInterval,
    StrOptions,
    _fit_context,
    validate_labels,
)
from .._nn.initialise import build
from .._nn.prior import Prior
from .._tokenizer import VQTokenizer
from .prior_training import PriorTask, judged, repeated

_SHARED = ("precision", "device", "n_threads", "verbose")  # with the default tokenizer
_LEAST_STEPS = 800  # of a prior with max_epochs="auto"


def _two_a_series(n_series):
    """Steps: few series are learned by heart sooner than they are understood."""
    return min(2 * n_series, 2000)


def _dropout(n_series):
    """Enough of it to keep samples about as far from the training series as other real series."""
    return 0.4 if n_series < 32 else 0.3 if n_series < 400 else 0.1


def few_tokens(n_series):
    """Of the default tokenizer: a prior learns few tokens sooner, and few codes of few series."""
    plan = VQTokenizer()._plan(n_series).with_least(_two_a_series(n_series), n_series)
    return {
        "downsampled_width": 16,
        "codebook_size": 128 if n_series >= 200 else 32,
        "max_epochs": plan.n_epochs,
    }


class TokenPrior(SeriesEstimator):
    """Base of estimators that own a `VQTokenizer` (stage 1) and a prior over its tokens (stage 2).

    A subclass says whether the prior is `_causal` and by which `_schedule` it masks.
    """

    _parameter_constraints = {
        **SeriesEstimator._parameter_constraints,
        "tokenizer": [VQTokenizer, FrozenEstimator, None],
        "width": [IntegerInterval(1)],
        "n_layers": [IntegerInterval(0)],
        "n_heads": [IntegerInterval(1)],
        "head_dim": [IntegerInterval(1), StrOptions({"auto"})],
        "feedforward": [IntegerInterval(1), StrOptions({"auto"})],
        "dropout": [RealInterval(0, 0.99), StrOptions({"auto"})],
        "p_unconditional": [RealInterval(0, 1)],
        "ema_decay": [RealInterval(0, 1)],
        "code_temperature": [RealInterval(0)],
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

    def _prepare(self, series, warm, generator):
        tokenizer, self.X_fit_ = self.tokenizer, series.reshape(len(series), *self._series_shape)
        if isinstance(tokenizer, FrozenEstimator):
            self.tokenizer_ = fitted_inside(self, "tokenizer", (VQTokenizer,))
        else:
            if tokenizer is None:
                shared = {name: getattr(self, name) for name in _SHARED}
                tokenizer = VQTokenizer(**few_tokens(len(series)), **shared)
            self.tokenizer_ = seeded_clone(tokenizer, generator).fit(self.X_fit_)
        self._scaler = self.tokenizer_._scaler
        self._tokens = self._tokens_of(self.tokenizer_)
        self._codebook = self.tokenizer_.codebook_
        self._learned_unconditional = self.p_unconditional > 0
        self._architecture = self._network_arguments()
        residuals = self.tokenizer_._codec().residuals(series)
        scale = residuals.std(axis=(0, 2), dtype=np.float64)
        self.residual_scale_ = np.maximum(scale, np.finfo(np.float32).eps)

    def _network_arguments(self):
        head_dim, feedforward, dropout = self.head_dim, self.feedforward, self.dropout
        return {
            **self._tokens,
            "n_classes": len(self.classes_) if hasattr(self, "classes_") else 0,
            "transformer": {
                "width": self.width,
                "n_layers": self.n_layers,
                "n_heads": self.n_heads,
                "head_dim": max(1, self.width // self.n_heads) if head_dim == "auto" else head_dim,
                "feedforward": 2 * self.width if feedforward == "auto" else feedforward,
                "dropout": _dropout(len(self.X_fit_)) if dropout == "auto" else dropout,
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
        return max(_two_a_series(n_series), _LEAST_STEPS)

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

    def _tokenizer(self):
        """The fitted tokenizer, as long as it is the one that the prior has learned."""
        tokenizer = self.tokenizer_
        same = self._tokens_of(tokenizer) == self._tokens
        if not (same and np.array_equal(tokenizer.codebook_, self._codebook)):
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

    @property
    def _n_tokens(self):
        """Of each band."""
        return [rows * columns for rows, columns in self._tokens["grid"]]

    @property
    def _n_classes(self):
        return self._architecture["n_classes"]
