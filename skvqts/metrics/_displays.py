"""Pictures of generated beside real series, and of latents by class; they need matplotlib."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.utils import check_random_state

from .._fitting.validation import checked_labels, random_seed
from ._validation import restore_ndim, validate_choice, validate_two_panels

_METHODS = ("pca", "tsne")
_PERPLEXITY = 30  # t-SNE's neighbours, as it has them, or fewer for few series
_COLORS = ("#1f77b4", "#d95f02")


class _Scatter:
    """Points of the plane in groups; what both displays of embeddings share."""

    def __init__(self, points, groups, *, method, name=None):
        self.points, self.groups = points, groups
        self.method, self.name = method, name

    def plot(self, ax=None, **scatter_kw):
        """Draw the points, a colour per group.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            None: new ones.
        **scatter_kw : dict
            Handed to ``ax.scatter``.

        Returns
        -------
        display : the display
            With attributes ``ax_`` and ``figure_``.
        """
        self.ax_, self.figure_ = _axes(ax)
        style = {"s": 8, "alpha": 0.5, "linewidths": 0} | scatter_kw
        for group in dict.fromkeys(self.groups.tolist()):
            mine = self.points[self.groups == group]
            self.ax_.scatter(mine[:, 0], mine[:, 1], label=str(group), **style)
        axes = {"pca": "principal component", "tsne": "t-SNE dimension"}[self.method]
        self.ax_.set(xlabel=f"first {axes}", ylabel=f"second {axes}", title=self.name)
        self.ax_.legend(frameon=False, markerscale=2)
        return self


class EmbeddingDisplay(_Scatter):
    """Real and generated series as points of the plane, by PCA or t-SNE.

    Make it with `from_estimator` or `from_samples`. To be looked at, not to be taken as evidence.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
    groups : ndarray of shape (n,)
        "real" or "generated".
    method : {"pca", "tsne"}
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
        method : {"pca", "tsne"}, default="pca"
            Principal components are those of the real series.
        extractor : fitted transformer or None, default=None
            Draws features instead of the series themselves.
        max_samples : int, default=1000
            Of either kind, drawn at random.
        random_state : int, RandomState instance or None, default=0
        name : str or None, default=None
        ax : matplotlib Axes or None, default=None
        **scatter_kw : dict
            Handed to ``ax.scatter``.

        Returns
        -------
        display : EmbeddingDisplay
        """
        rng = check_random_state(random_state)
        panels = validate_two_panels(X_real, X_gen, min_samples=2)
        panels = [X[rng.permutation(len(X))[:max_samples]] for X in panels]
        parts = [_features(extractor, restore_ndim(X, np.ndim(X_real))) for X in panels]
        groups = np.repeat(["real", "generated"], [len(part) for part in parts])
        points = _plane(np.concatenate(parts), method, rng, n_fitted=len(parts[0]))
        return cls(points, groups, method=method, name=name).plot(ax, **scatter_kw)

    @classmethod
    def from_estimator(cls, generator, X, *, n_samples=None, random_state=0, **more):
        """Draw real series beside as many that a generator samples.

        Parameters
        ----------
        generator : fitted generator
        X : array-like of shape (n, t) or (n, c, t)
            Real series.
        n_samples : int or None, default=None
            Series to generate; None: as many as real ones.
        random_state : int, RandomState instance or None, default=0
        **more : dict
            Parameters of `from_samples`.

        Returns
        -------
        display : EmbeddingDisplay
        """
        n_samples = len(X) if n_samples is None else n_samples
        generated = generator.sample(n_samples, random_state=random_state)
        return cls.from_samples(X, generated, random_state=random_state, **more)


class LatentDisplay(_Scatter):
    """What a transformer makes of series, as points of the plane, a colour per class.

    Make it with `from_estimator`.

    Parameters
    ----------
    points : ndarray of shape (n, 2)
    groups : ndarray of shape (n,)
        Classes.
    method : {"pca", "tsne"}
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
        y : array-like of shape (n,) or None, default=None
            Classes.
        method : {"pca", "tsne"}, default="pca"
        max_samples : int, default=1000
            Series drawn, at random.
        random_state : int, RandomState instance or None, default=0
        name : str or None, default=None
        ax : matplotlib Axes or None, default=None
        **scatter_kw : dict
            Handed to ``ax.scatter``.

        Returns
        -------
        display : LatentDisplay
        """
        rng = check_random_state(random_state)
        X = np.asarray(X)
        picks = rng.permutation(len(X))[:max_samples]
        features = np.asarray(transformer.transform(X[picks]), dtype=np.float64)
        y = np.full(len(X), "series") if y is None else checked_labels(y, len(X), "y")
        groups = y[picks]
        order = np.argsort(groups, kind="stable")
        points = _plane(features[order], method, rng)
        return cls(points, groups[order], method=method, name=name).plot(ax, **scatter_kw)


class SeriesDisplay:
    """Real and generated series overlaid, a row per class.

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
        self.panels, self.name = panels, name

    @classmethod
    def from_samples(
        cls, X_real, X_gen, y_real=None, y_gen=None, *, n_series=20, channel=0, name=None, **line_kw
    ):
        """Draw series.

        Parameters
        ----------
        X_real, X_gen : array-like of shape (n, t) or (n, c, t)
        y_real, y_gen : array-like of shape (n,) or None, default=None
            Their classes; without both there is one row.
        n_series : int, default=20
            Of each kind and class, at most: the first.
        channel : int, default=0
        name : str or None, default=None
        **line_kw : dict
            Handed to ``ax.plot``.

        Returns
        -------
        display : SeriesDisplay
        """
        real, gen = (X[:, channel] for X in validate_two_panels(X_real, X_gen))
        if y_real is None or y_gen is None:
            panels = [("", real[:n_series], gen[:n_series])]
        else:
            labels = [
                checked_labels(y, len(series), name)
                for y, series, name in ((y_real, real, "y_real"), (y_gen, gen, "y_gen"))
            ]
            panels = [
                (f"class {label}", real[labels[0] == label][:n_series], mine[:n_series])
                for label in np.unique(labels[0])
                for mine in [gen[labels[1] == label]]
            ]
        return cls(panels, name=name).plot(**line_kw)

    @classmethod
    def from_estimator(cls, generator, X, y=None, *, n_series=20, random_state=0, **more):
        """Draw real series beside those that a generator samples, class by class.

        Parameters
        ----------
        generator : fitted generator
        X : array-like of shape (n, t) or (n, c, t)
            Real series.
        y : array-like of shape (n,) or None, default=None
            Their classes, if the generator was fitted with labels.
        n_series : int, default=20
            Of each kind and class, at most.
        random_state : int, RandomState instance or None, default=0
        **more : dict
            Parameters of `from_samples`.

        Returns
        -------
        display : SeriesDisplay
        """
        if y is None:
            generated, y_gen = generator.sample(n_series, random_state=random_state), None
        else:
            y_gen = np.repeat(np.unique(y), n_series)
            generated = generator.sample(len(y_gen), y=y_gen, random_state=random_state)
        return cls.from_samples(X, generated, y, y_gen, n_series=n_series, **more)

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
        style = {"linewidth": 0.8, "alpha": 0.6} | line_kw
        for row, (title, *parts) in zip(self.axes_, self.panels, strict=True):
            for ax, kind, series, color in zip(
                row, ("real", "generated"), parts, _COLORS, strict=True
            ):
                ax.plot(series.T, **{"color": color} | style)
                ax.set_title(f"{title} {kind}".strip(), fontsize=9, loc="left")
        self.figure_.suptitle(self.name)
        return self


def _features(extractor, X):
    if extractor is None:
        return X.reshape(len(X), -1)
    return np.asarray(extractor.transform(X), dtype=np.float64)


def _plane(features, method, rng, n_fitted=None):
    validate_choice("method", method, _METHODS)
    features = np.pad(features, ((0, 0), (0, max(0, 2 - features.shape[1]))))
    if method == "pca":
        pca = PCA(2, random_state=random_seed(rng)).set_output(transform="default")
        return pca.fit(features[:n_fitted]).transform(features)
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    tsne = TSNE(perplexity=perplexity, random_state=random_seed(rng))
    return tsne.set_output(transform="default").fit_transform(features)


def _axes(ax):
    if ax is None:
        _, ax = _pyplot().subplots()
    return ax, ax.figure


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError("Displays need matplotlib: pip install 'skvqts[plot]'.") from error
    return plt
