"""The report of a set of series.

It fits a tokenizer, compares classifiers on its features, fits a generator, judges the series it
generates, and draws both.
"""

import time
from copy import copy
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from ..metrics import generation_report
from ..metrics._report import MIN_SERIES
from .figures import draw_generated, draw_tokenizer
from .models import fit, new_generator, new_tokenizer


def report_on_series(data, options):
    """Print what is found out about a set of series, and save two pictures.

    Parameters
    ----------
    data : Split
    options : argparse.Namespace

    Raises
    ------
    ValueError
        If there are too few test series.
    """
    if not options.tokenizer_only and len(data.X_test) < MIN_SERIES:
        raise ValueError(
            f"{data.name} has {len(data.X_test)} test series; judging generated series takes "
            f"at least {MIN_SERIES}. Use --tokenizer-only to leave that out."
        )
    print(
        f"{data.name}: {len(data.X_train)} training and {len(data.X_test)} test series, "
        f"shape {np.shape(data.X_train)[1:]}",
        flush=True,
    )
    tokenizer = fit(new_tokenizer(options, np.shape(data.X_train)), data.X_train)
    _print_quality(tokenizer, data)
    if data.y_train is not None and len(np.unique(data.y_train)) > 1:
        _print_accuracy(tokenizer, data)
    path = Path(options.out) / f"skvqts_{data.name}_tokenizer.png"
    _save(path, draw_tokenizer, tokenizer, data.X_test, data.name)
    if not options.tokenizer_only:
        generator = new_generator(options, FrozenEstimator(tokenizer))
        _generate(fit(generator, data.X_train, data.y_train), data, options)


def _print_quality(tokenizer, data):
    n_tokens = sum(rows * columns for rows, columns in tokenizer.token_shape_)
    train_error = -tokenizer.score(data.X_train)
    test_error = -tokenizer.score(data.X_test)
    print(
        f"{n_tokens} tokens per series, {len(tokenizer.codebook_)} codes, "
        f"perplexity {tokenizer.perplexity_:.1f}"
    )
    print(
        "reconstruction error (1 is no better than the mean): "
        f"training {train_error:.4f}, test {test_error:.4f}"
    )


def _print_accuracy(tokenizer, data):
    parts = [data.X_train, data.X_test]
    features = [tokenizer.transform(X) for X in parts]
    raw = [np.reshape(X, (len(X), -1)) for X in parts]
    n_neighbors = min(5, len(data.X_train))
    rows = {
        "SVC on tokenizer features": (SVC(kernel="linear"), features),
        "5-NN on tokenizer features": (KNeighborsClassifier(n_neighbors), features),
        "1-NN on the raw series": (KNeighborsClassifier(1), raw),
    }
    print("test accuracy:")
    for name, (classifier, (train, test)) in rows.items():
        accuracy = classifier.fit(train, data.y_train).score(test, data.y_test)
        print(f"  {name:<28}{accuracy:.3f}")


def _generate(generator, data, options):
    start = time.perf_counter()
    generated = generator.sample(options.samples, random_state=options.seed)
    print(f"{len(generated)} series generated in {time.perf_counter() - start:.1f} s", flush=True)
    path = Path(options.out) / f"skvqts_{data.name}_generated.png"
    means = copy(generator)
    means.decoder_ = None  # the same tokens, decoded to their mean
    smooth = means.sample(options.samples, random_state=options.seed)
    _save(path, draw_generated, data.X_test, generated, smooth, data.name)
    start = time.perf_counter()
    report = generation_report(
        generator,
        data.X_train,
        data.y_train,
        data.X_test,
        data.y_test,
        n_samples=min(options.samples, len(data.X_test)),
        n_threads=options.threads,
        verbose=1,
        random_state=options.seed,
    )
    print(f"judged in {time.perf_counter() - start:.1f} s", report, sep="\n\n")


def _save(path, draw, *arguments):
    """Save the figure that ``draw(*arguments)`` returns, if matplotlib is installed."""
    if not find_spec("matplotlib"):
        print("matplotlib is not installed (pip install 'skvqts[plot]'): no picture.")
        return
    try:
        draw(*arguments).savefig(path, dpi=150)
    except Exception as error:  # a picture is a by-product: what was computed is not thrown away
        print(f"no picture {path}: {error or type(error).__name__}", flush=True)
    else:
        print(f"picture: {path}", flush=True)
