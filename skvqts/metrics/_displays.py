"""Pictures of generated beside real series, of latents, of few labels; they need matplotlib."""

import time
from collections.abc import Mapping

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_random_state

from .._fitting.validation import (
    _safe_indexing,
    as_array_like,
    checked_labels,
    holds_series,
    random_seed,
)
from ._validation import (
    dense,
    refuse_columns_not_of_fit,
    restore_ndim,
    series_sampled,
    validate_choice,
    validate_classifier,
    validate_integer,
    validate_one_kind,
    validate_two_panels,
    with_names_of_fit,
)

_AXES = {"pca": "principal component", "tsne": "t-SNE dimension"}
_PERPLEXITY = 30  # of t-SNE, as published, for samples that are large enough
_REAL_AND_GENERATED = ("#1f77b4", "#d95f02")
_LEGEND_ROWS = 20


class _ScatterDisplay:
    """Points of the plane in groups: what both displays of embeddings have in common."""

    def __init__(self, points, groups, *, method, name=None):
        self.points = points
        self.groups = groups
        self.method = method
        self.name = name

    def plot(self, ax=None, **scatter_kw):
        """Draw the points with a colour for each group.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        **scatter_kw : dict
            Handed to ``ax.scatter``.

        Returns
        -------
        display : the display
            With attributes ``ax_`` and ``figure_``.
        """
        if ax is None:
            _, ax = _pyplot().subplots()
        style = _style({"s": 8, "alpha": 0.5, "linewidths": 0}, scatter_kw, "PathCollection")
        groups = list(dict.fromkeys(self.groups.tolist()))
        for group, color in zip(groups, _colors(len(groups)), strict=True):
            x, y = self.points[self.groups == group].T
            # colours of the caller's, under either name that scatter has for them, come first
            own_color = {} if {"c", "color"} & style.keys() else {"color": color}
            ax.scatter(x, y, **{"label": str(group)} | style, **own_color)
        name = _AXES[self.method]
        ax.set(xlabel=f"first {name}", ylabel=f"second {name}")
        # Names are drawn as they are, dollar signs and all.
        ax.set_title(self.name or "", parse_math=False)
        n_columns = -(-len(groups) // _LEGEND_ROWS)
        legend = ax.legend(frameon=False, markerscale=2, ncols=n_columns)
        for text in legend.get_texts():
            text.set_parse_math(False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


class EmbeddingDisplay(_ScatterDisplay):
    """Real and generated series as points of the plane, by PCA or t-SNE.

    Make it with `from_estimator` or `from_samples`. It is a picture to look at and no evidence.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        The series in the plane.
    groups : ndarray of shape (n,)
        "real" or "generated".
    method : {"pca", "tsne"}
        Where the points come from.
    name : str or None, default=None
        Title of the picture.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    @classmethod
    def from_samples(
        cls,
        X_real,
        X_gen,
        *,
        method="pca",
        extractor=None,
        max_samples=1000,
        random_state=0,
        name=None,
        ax=None,
        **scatter_kw,
    ):
        """Draw real and generated series.

        Parameters
        ----------
        X_real, X_gen : array-like of shape (n, t) or (n, c, t)
            Real and generated series.
        method : {"pca", "tsne"}, default="pca"
            Principal components are those of the real series.
        extractor : fitted transformer or None, default=None
            Its features are drawn instead of the series themselves.
        max_samples : int, default=1000
            Number of series of either kind, at most; they are drawn at random.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice of series and of the method.
        name : str or None, default=None
            Title of the picture.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        **scatter_kw : dict
            Handed to ``ax.scatter``.

        Returns
        -------
        display : EmbeddingDisplay
        """
        validate_integer("max_samples", max_samples, 2, 10**9)
        rng = check_random_state(random_state)
        features = []
        for X in validate_two_panels(X_real, X_gen, min_samples=2):
            X = restore_ndim(X[rng.permutation(len(X))[:max_samples]], np.ndim(X_real))
            if extractor is None:
                features.append(X.reshape(len(X), -1))
            else:
                features.append(dense(extractor.transform(with_names_of_fit(extractor, X))))
        n_real, n_gen = map(len, features)
        groups = np.repeat(["real", "generated"], [n_real, n_gen])
        points = _in_the_plane(np.concatenate(features), method, rng, n_fitted=n_real)
        return cls(points, groups, method=method, name=name).plot(ax, **scatter_kw)

    @classmethod
    def from_estimator(cls, generator, X, *, n_samples=None, random_state=0, **kwargs):
        """Draw real series beside as many that a generator samples.

        Parameters
        ----------
        generator : fitted generator
            With a method ``sample(n_samples, random_state=None)``.
        X : array-like of shape (n, t) or (n, c, t)
            Real series.
        n_samples : int or None, default=None
            Number of series to generate; None: as many as real ones.
        random_state : int, RandomState instance or None, default=0
            Seed of sampling, of the choice of series and of the method.
        **kwargs : dict
            Parameters of `from_samples`.

        Returns
        -------
        display : EmbeddingDisplay
        """
        refuse_columns_not_of_fit(generator, X)
        n_samples = len(X) if n_samples is None else n_samples
        generated = series_sampled(generator, n_samples, random_state)
        return cls.from_samples(X, generated, random_state=random_state, **kwargs)


class LatentDisplay(_ScatterDisplay):
    """Features or latents of series as points of the plane, with a colour for each class.

    Make it with `from_estimator`.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
        The series in the plane.
    groups : ndarray of shape (n,)
        Their classes.
    method : {"pca", "tsne"}
        Where the points come from.
    name : str or None, default=None
        Title of the picture.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    @classmethod
    def from_estimator(
        cls,
        transformer,
        X,
        y=None,
        *,
        method="pca",
        max_samples=1000,
        random_state=0,
        name=None,
        ax=None,
        **scatter_kw,
    ):
        """Draw ``transformer.transform(X)``.

        Parameters
        ----------
        transformer : fitted transformer
            A tokenizer with ``output="continuous_pooled"`` shows its latents alone.
        X : array-like of shape (n, t) or (n, c, t)
            Series.
        y : array-like of shape (n,) or None, default=None
            Their classes; None draws all in one colour.
        method : {"pca", "tsne"}, default="pca"
            How features become points of the plane.
        max_samples : int, default=1000
            Number of series, at most; they are drawn at random.
        random_state : int, RandomState instance or None, default=0
            Seed of the choice of series and of the method.
        name : str or None, default=None
            Title of the picture.
        ax : matplotlib Axes or None, default=None
            Axes to draw in; None makes new ones.
        **scatter_kw : dict
            Handed to ``ax.scatter``.

        Returns
        -------
        display : LatentDisplay
        """
        validate_integer("max_samples", max_samples, 2, 10**9)
        rng = check_random_state(random_state)
        X = list(X) if holds_series(X) else array_with_gaps(X, "LatentDisplay")
        if len(X) < 2:
            raise ValueError(f"LatentDisplay draws two series at least, got {len(X)}.")
        drawn = rng.permutation(len(X))[:max_samples]
        some = [X[row] for row in drawn] if isinstance(X, list) else X[drawn]
        if not isinstance(X, list):
            some = with_names_of_fit(transformer, some)
        features = dense(transformer.transform(some))
        y = np.full(len(X), "series") if y is None else checked_labels(y, len(X), "y")
        groups = y[drawn]
        order = np.argsort(groups, kind="stable")  # classes stand in their order in the legend
        points = _in_the_plane(features[order], method, rng)
        return cls(points, groups[order], method=method, name=name).plot(ax, **scatter_kw)


class SeriesDisplay:
    """Real and generated series overlaid, with a row for each class.

    Make it with `from_estimator` or `from_samples`.

    Parameters
    ----------
    panels : list of (str, ndarray of shape (n, t), ndarray of shape (m, t))
        Title, real and generated series of each row.
    name : str or None, default=None
        Title of the picture.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_rows, 2)
    figure_ : matplotlib Figure
    """

    def __init__(self, panels, *, name=None):
        self.panels = panels
        self.name = name

    @classmethod
    def from_samples(
        cls, X_real, X_gen, y_real=None, y_gen=None, *, n_series=20, channel=0, name=None, **line_kw
    ):
        """Draw series.

        Parameters
        ----------
        X_real, X_gen : array-like of shape (n, t) or (n, c, t)
            Real and generated series.
        y_real, y_gen : array-like of shape (n,) or None, default=None
            Their classes; without both there is one row.
        n_series : int, default=20
            The first series of each kind and class that are drawn, at most.
        channel : int, default=0
            Index of the channel that is drawn.
        name : str or None, default=None
            Title of the picture.
        **line_kw : dict
            Handed to ``ax.plot``.

        Returns
        -------
        display : SeriesDisplay
        """
        real, gen = validate_two_panels(X_real, X_gen)
        n_channels = real.shape[1]
        validate_integer("channel", channel, -n_channels, n_channels - 1)
        validate_integer("n_series", n_series, 1, 10**9)
        real = real[:, channel]
        gen = gen[:, channel]
        if y_real is None or y_gen is None:
            panels = [("", real[:n_series], gen[:n_series])]
        else:
            y_real = checked_labels(y_real, len(real), "y_real")
            y_gen = checked_labels(y_gen, len(gen), "y_gen")
            validate_one_kind(y_real, y_gen, ("y_real", "y_gen"))
            panels = [
                (f"class {c}", real[y_real == c][:n_series], gen[y_gen == c][:n_series])
                for c in np.union1d(y_real, y_gen)
            ]
        return cls(panels, name=name).plot(**line_kw)

    @classmethod
    def from_estimator(cls, generator, X, y=None, *, n_series=20, random_state=0, **kwargs):
        """Draw real series beside those that a generator samples, class by class.

        Parameters
        ----------
        generator : fitted generator
            With a method ``sample(n_samples, y=None, random_state=None)``.
        X : array-like of shape (n, t) or (n, c, t)
            Real series.
        y : array-like of shape (n,) or None, default=None
            Their classes, if the generator was fitted with labels.
        n_series : int, default=20
            Number of series of each kind and class, at most.
        random_state : int, RandomState instance or None, default=0
            Seed of sampling.
        **kwargs : dict
            Parameters of `from_samples`.

        Returns
        -------
        display : SeriesDisplay
        """
        refuse_columns_not_of_fit(generator, X)
        validate_integer("n_series", n_series, 1, 10**9)
        if y is None:
            y_gen = None
            generated = series_sampled(generator, n_series, random_state)
        else:
            y_gen = np.repeat(np.unique(y), n_series)
            generated = series_sampled(generator, len(y_gen), random_state, y_gen)
        return cls.from_samples(X, generated, y, y_gen, n_series=n_series, **kwargs)

    def plot(self, **line_kw):
        """Draw the series: real ones on the left, generated ones on the right.

        Parameters
        ----------
        **line_kw : dict
            Handed to ``ax.plot``.

        Returns
        -------
        display : SeriesDisplay
        """
        size = (9, 1 + 1.5 * len(self.panels))
        self.figure_, self.axes_ = _pyplot().subplots(
            len(self.panels), 2, sharex=True, sharey="row", squeeze=False, figsize=size,
            layout="constrained",
        )  # fmt: skip
        style = _style({"linewidth": 0.8, "alpha": 0.6}, line_kw)
        for row, (title, *parts) in zip(self.axes_, self.panels, strict=True):
            for ax, kind, series, color in zip(
                row, ("real", "generated"), parts, _REAL_AND_GENERATED, strict=True
            ):
                ax.plot(series.T, **{"color": color} | style)
                ax.set_title(f"{title} {kind}".strip(), fontsize=9, loc="left", parse_math=False)
        self.figure_.suptitle(self.name, parse_math=False)
        return self


class LabelFractionsDisplay:
    """Draw how accurate classifiers are, and how long they take, given few labels and many.

    Make one with `from_estimators`.

    Parameters
    ----------
    n_labels : int ndarray of shape (n_fractions,)
        Number of labelled series.
    accuracies, seconds : dict of str to ndarray of shape (n_fractions, n_draws)
        Of each classifier, by name.
    name : str or None, default=None
        Title.

    Attributes
    ----------
    axes_ : ndarray of shape (2,) of matplotlib Axes
        Of accuracy and of time, once plotted.
    figure_ : matplotlib Figure
    """

    def __init__(self, n_labels, accuracies, seconds, *, name=None):
        self.n_labels = n_labels
        self.accuracies = accuracies
        self.seconds = seconds
        self.name = name

    @classmethod
    def from_estimators(
        cls,
        estimators,
        X,
        y,
        X_test,
        y_test,
        *,
        fractions=(0.05, 0.2, 1.0),
        n_draws=5,
        random_state=0,
        name=None,
        **plot_kw,
    ):
        """Fit classifiers to fractions of the labelled series, and draw their test accuracy.

        Parameters
        ----------
        estimators : dict of str to classifier
            They are cloned for each fit. What is to learn from all series without their labels is
            fitted before, and frozen inside a pipeline (`sklearn.frozen.FrozenEstimator`).
        X : array-like of shape (n, t) or (n, c, t)
            Training series.
        y : array-like of shape (n,)
            Their labels.
        X_test, y_test : array-like
            Series and labels that accuracies are of.
        fractions : sequence of float, default=(0.05, 0.2, 1.0)
            Shares of each class that are labelled, above 0, at most 1; at least one series is.
        n_draws : int, default=5
            Number of random choices of each fraction; all classifiers see the same ones.
        random_state : int, RandomState instance or None, default=0
            Seed of the choices.
        name : str or None, default=None
            Title.
        **plot_kw : dict
            Handed to `plot`.

        Returns
        -------
        display : LabelFractionsDisplay
            Drawn.

        Raises
        ------
        ValueError
            If a fraction is not above 0 and at most 1, there is no classifier, or labels are not
            valid.
        TypeError
            If `estimators` is no dict of classifiers.
        """
        if not isinstance(estimators, Mapping):
            raise TypeError(
                "estimators must be a dict of names and classifiers, got "
                f"{type(estimators).__name__}."
            )
        fractions = np.atleast_1d(np.asarray(fractions, dtype=np.float64))
        if not estimators or fractions.size == 0 or not ((fractions > 0) & (fractions <= 1)).all():
            raise ValueError(
                "There must be classifiers, and fractions above 0 and at most 1; got "
                f"{len(estimators)} classifiers and fractions {fractions.tolist()}."
            )
        validate_integer("n_draws", n_draws, 1, 10_000)
        for estimator in estimators.values():
            validate_classifier(estimator)
        if holds_series(X):
            X = list(X)
        elif not hasattr(X, "columns"):  # tables keep their names
            X = array_with_gaps(X, "LabelFractionsDisplay")
        y = checked_labels(y, len(X), "y")
        y_test = checked_labels(y_test, len(X_test), "y_test")
        rng = check_random_state(random_state)
        chosen = [[_some_of_each(y, f, rng) for _ in range(n_draws)] for f in fractions]
        shape = (len(fractions), n_draws)
        accuracies = {key: np.empty(shape) for key in estimators}
        seconds = {key: np.empty(shape) for key in estimators}
        for key, estimator in estimators.items():
            for place in np.ndindex(shape):
                few = chosen[place[0]][place[1]]
                start = time.perf_counter()
                classifier = clone(estimator).fit(_safe_indexing(X, few), y[few])
                seconds[key][place] = time.perf_counter() - start
                accuracies[key][place] = np.mean(classifier.predict(X_test) == y_test)
        n_labels = np.array([len(draws[0]) for draws in chosen])
        return cls(n_labels, accuracies, seconds, name=name).plot(**plot_kw)

    def plot(self, **line_kw):
        """Draw means and standard deviations over draws, with a line for each classifier.

        Parameters
        ----------
        **line_kw : dict
            Handed to ``ax.errorbar``.

        Returns
        -------
        display : LabelFractionsDisplay
        """
        self.figure_, self.axes_ = _pyplot().subplots(1, 2, figsize=(9, 3.5), layout="constrained")
        style = _style({"marker": "o", "markersize": 4, "capsize": 2}, line_kw)
        for ax, values, label in zip(
            self.axes_, (self.accuracies, self.seconds), ("test accuracy", "seconds"), strict=True
        ):
            for (key, of_one), color in zip(values.items(), _colors(len(values)), strict=True):
                own = {} if color is None or "color" in style else {"color": color}
                own |= {"label": str(key)} | style
                ax.errorbar(self.n_labels, of_one.mean(1), of_one.std(1), **own)
            ax.set(xlabel="labelled series", ylabel=label, xscale="log")
        self.axes_[1].set_yscale("log")
        for text in self.axes_[0].legend(frameon=False).get_texts():
            text.set_parse_math(False)
        self.figure_.suptitle(self.name, parse_math=False)
        return self


def _some_of_each(y, fraction, rng):
    """Indices of a fraction of each class at random, at least one series of each."""
    picks = []
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        picks.append(members[: max(1, round(fraction * len(members)))])
    return np.sort(np.concatenate(picks))


def array_with_gaps(X, caller):
    """An array of series, whose masked values are NaN."""
    return np.asarray(as_array_like(X, caller, missing=True))


def _in_the_plane(features, method, rng, n_fitted=None):
    """Points ``(n, 2)`` for features ``(n, d)``; principal components are of the first rows."""
    validate_choice("method", method, tuple(_AXES))
    features = np.asarray(features, dtype=np.float64)
    n, d = features.shape
    features = np.pad(features, ((0, 0), (0, max(0, 2 - d))))  # a single feature gets a plane, too
    seed = random_seed(rng)
    # arrays, also where the caller has set transformers to give data frames
    if method == "pca":
        pca = PCA(2, random_state=seed).set_output(transform="default")
        return pca.fit(features[:n_fitted]).transform(features)
    tsne = TSNE(perplexity=min(_PERPLEXITY, (n - 1) / 3), random_state=seed)
    return tsne.set_output(transform="default").fit_transform(features)


def _style(usual, given, artist="Line2D"):
    """The usual properties of an artist of matplotlib and those given, under any of their names."""
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    kind = {"Line2D": Line2D, "PathCollection": PathCollection}[artist]
    return normalize_kwargs(usual, kind) | normalize_kwargs(given, kind)


def _colors(n):
    """A colour for each of n groups; None stands for the next one of matplotlib's cycle."""
    import matplotlib as mpl

    if n <= len(mpl.rcParams["axes.prop_cycle"]):
        return [None] * n
    return mpl.colormaps["turbo"](np.linspace(0, 1, n))


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib: pip install 'skvqts[plot]'.") from error
    return plt
