"""Classifiers that judge features, and what a user would pick instead of a tokenizer."""

import time

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeClassifierCV
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC

MAX_ROWS = 2000  # training rows of a probe
WINDOW = 16
STRIDE = 4

PROBES = {
    "linear": lambda: SVC(kernel="linear", cache_size=1000),
    "rbf": lambda: SVC(C=10, cache_size=1000),
    "5nn": lambda: KNeighborsClassifier(5),
}


class SharedVariance(StandardScaler):
    """Scale columns to a total variance of 25, as the features of VQTokenizer are."""

    def transform(self, X):
        return super().transform(X) * (5 / np.sqrt(X.shape[1]))


def rows_for_probes(n, seed=0):
    """Choose at most `MAX_ROWS` training rows at random; return their indices."""
    return np.sort(np.random.default_rng(seed).permutation(n)[:MAX_ROWS])


def accuracies(train, y, test, y_test, scaled=False):
    """Compute the test accuracy of each probe on features, standardised first unless `scaled`."""
    found = {}
    for name, probe in PROBES.items():
        model = probe() if scaled else make_pipeline(SharedVariance(), probe())
        found[name] = model.fit(train, y).score(test, y_test)
    return found


def baselines(X, y, X_test, y_test, n_codes, seed):
    """Compute accuracies without a tokenizer: raw series, a bag of k-means codes, MiniRocket."""
    flat, flat_test = (np.reshape(part, (len(part), -1)) for part in (X, X_test))
    start = time.perf_counter()
    bag = KMeansBag(n_codes, seed).fit(X)
    bags = bag.transform(X), bag.transform(X_test)
    seconds = time.perf_counter() - start
    return (
        {"raw 1nn": KNeighborsClassifier(1).fit(flat, y).score(flat_test, y_test)}
        | _named("raw", accuracies(flat, y, flat_test, y_test))
        | _named("kmeans bag", accuracies(bags[0], y, bags[1], y_test))
        | {"kmeans bag seconds": seconds}
        | minirocket(X, y, X_test, y_test, seed)
    )


# ---- SVC and ridge, chosen on the training set

C_GRID = (0.1, 1.0, 10.0, 100.0, 1000.0)
ALPHAS = np.logspace(-3, 3, 13)


def standardised(train, test):
    """Standardise both parts by the columns of the training set, to a total variance of 25."""
    scaler = SharedVariance().fit(train)
    return scaler.transform(train), scaler.transform(test)


def headline(train, y, test=None, y_test=None):
    """Compute accuracies of an RBF SVC, its C chosen by cross-validation, of ridge and of 5-NN.

    Features have a total variance of about 25, the SVC a kernel width to match. "headline" is
    the accuracy of SVC or ridge, whichever has the higher cross-validated accuracy on (at most
    2,000 series of) the training set; "... cv" are those accuracies. "few" is the accuracy of the
    better of both with five labels a class, on other training series, over ten draws.
    """
    few = rows_for_probes(len(train))
    folds = list(_folds(y[few]))
    distances = euclidean_distances(train.astype(np.float64), squared=True)
    c, svc_cv = _best_c(_kernel(distances[np.ix_(few, few)]), y[few], folds)
    ridge_cv = cross_val_score(_ridge(), train[few], y[few], cv=folds).mean()
    near = KNeighborsClassifier(5)
    found = {"svc cv": svc_cv, "ridge cv": ridge_cv, "headline cv": max(svc_cv, ridge_cv)}
    found["5nn cv"] = cross_val_score(near, train[few], y[few], cv=folds).mean()
    found["few"] = _few_labels(distances, train, y, c)
    if test is None:
        return found
    svc = SVC(C=c, kernel="precomputed").fit(_kernel(distances), y)
    across = euclidean_distances(test.astype(np.float64), train.astype(np.float64), squared=True)
    found["svc"] = svc.score(_kernel(across), y_test)
    ridge = _ridge()
    ridge.gcv_mode = "svd"  # the same leave-one-out errors, several times faster on many rows
    found["ridge"] = ridge.fit(train, y).score(test, y_test)
    found["headline"] = found["svc" if svc_cv >= ridge_cv else "ridge"]
    found["5nn"] = near.fit(train, y).score(test, y_test)
    return found


def paper_probe(train, y, test, y_test):
    """Compute the accuracy of a linear SVC on features scaled to (-1, 1), as NC-VQVAE does."""
    probe = make_pipeline(MinMaxScaler((-1, 1)), SVC(kernel="linear", cache_size=1000))
    return probe.fit(train, y).score(test, y_test)


def _few_labels(distances, train, y, c, n_draws=10, n_labels=5):
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(n_draws):
        order = rng.permutation(len(y))
        rank = np.empty(len(y), int)  # of each series among those of its class, in random order
        for label in np.unique(y):
            members = order[y[order] == label]
            rank[members] = np.arange(len(members)) - min(0, len(members) // 2 - n_labels)
        known = np.flatnonzero(rank < n_labels)
        others = np.flatnonzero(rank >= n_labels)
        others = others[:MAX_ROWS]
        svc = SVC(C=c, kernel="precomputed").fit(_kernel(distances[np.ix_(known, known)]), y[known])
        across = _kernel(distances[np.ix_(others, known)])
        ridge = _ridge().fit(train[known], y[known])
        scores.append([svc.score(across, y[others]), ridge.score(train[others], y[others])])
    return np.mean(scores, axis=0).max()


def _ridge():
    return RidgeClassifierCV(ALPHAS)


def _kernel(squared_distances):
    return np.exp(-squared_distances / 25)


def _folds(y):
    """Split into three folds, repeated for few series; every class is in every training part."""
    n_splits = int(np.clip(np.bincount(y)[np.unique(y)].min(), 2, 3))
    repeats = 1 if len(y) >= 100 else 5
    return RepeatedStratifiedKFold(n_splits=n_splits, n_repeats=repeats, random_state=0).split(y, y)


def _best_c(kernel, y, folds):
    scores = []
    for c in C_GRID:
        svc = SVC(C=c, kernel="precomputed")
        scores.append(cross_val_score(svc, kernel, y, cv=folds).mean())
    best = int(np.argmax(scores))
    return C_GRID[best], scores[best]


def _named(prefix, values):
    return {f"{prefix} {name}": value for name, value in values.items()}


class KMeansBag:
    """The square root of the share of each of K k-means codes among the windows of a series."""

    def __init__(self, n_codes, seed):
        self.kmeans = KMeans(n_codes, n_init=3, random_state=seed)

    def fit(self, X):
        windows = _windows(X)
        self.kmeans.fit(windows.reshape(-1, windows.shape[2]))
        return self

    def transform(self, X):
        windows = _windows(X)
        n_codes = self.kmeans.n_clusters
        ids = self.kmeans.predict(windows.reshape(-1, windows.shape[2])).reshape(len(X), -1)
        counts = np.stack([np.bincount(row, minlength=n_codes) for row in ids])
        return np.sqrt(counts / ids.shape[1])


def _windows(X):
    """Cut windows of 16 points, a new one every 4 points: ``(n, m, 16 c)`` float32."""
    width = min(WINDOW, X.shape[2])
    windows = np.lib.stride_tricks.sliding_window_view(X, width, axis=2)[:, :, ::STRIDE]
    return windows.transpose(0, 2, 1, 3).reshape(len(X), windows.shape[2], -1).astype(np.float32)


def minirocket(X, y, X_test, y_test, seed):
    """Compute the accuracy of ridge on MiniRocket features (Dempster et al., 2021)."""
    from aeon.transformations.collection.convolution_based import MiniRocket

    start = time.perf_counter()
    rocket = MiniRocket(random_state=seed)
    ridge = make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(np.logspace(-3, 3, 7)))
    ridge.fit(np.asarray(rocket.fit_transform(_at_least_nine(X))), y)
    score = ridge.score(np.asarray(rocket.transform(_at_least_nine(X_test))), y_test)
    return {"minirocket": score, "minirocket seconds": time.perf_counter() - start}


def _at_least_nine(X):
    """Pad series to the nine points of the kernels of MiniRocket."""
    return np.pad(X.astype(np.float32), ((0, 0), (0, 0), (0, max(0, 9 - X.shape[2]))), mode="edge")
