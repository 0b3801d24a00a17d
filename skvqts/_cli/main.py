"""The command line: tokenize series, judge the features, generate new ones, judge and draw them."""

import argparse
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from .._generation.masked import MaskedPriorGenerator
from .._generation.stages import default_tokenizer
from .._version import __version__
from ..exceptions import DivergedError
from ..metrics import generation_report
from ..metrics._report import MIN_SERIES
from .files import BUNDLED, load


def main(arguments=None):
    """Run the command line; exit status 0, 2 after an error told in one line, 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        data = load(options.data or _default_data(), options.label)
        if not options.tokenizer_only and len(data.X_test) < MIN_SERIES:
            raise ValueError(
                f"{data.name} has {len(data.X_test)} test series; judging generated ones takes "
                f"{MIN_SERIES} at least. --tokenizer-only does without."
            )
        Path(options.out).mkdir(parents=True, exist_ok=True)
        _run(data, options)
    except (ValueError, TypeError, OSError, ImportError, DivergedError) as error:
        print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skvqts",
        description="Fit a VQTokenizer on time series, then a MaskedPriorGenerator; judge the "
        "features and the generated series, draw both.",
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="NAME_OR_FILE",
        help=f"a bundled set ({', '.join(BUNDLED)}), 'made', or a file: .ts, .tsv (label first), "
        ".csv, .npz (X, y or X_train, ...), .npy; default: GunPoint",
    )
    parser.add_argument("--label", metavar="COLUMN", help="label column of a .csv, name or index")
    parser.add_argument("--out", default=".", metavar="FOLDER", help="where the picture goes")
    parser.add_argument(
        "--codes", type=partial(_whole, 1), help="codebook size (default: 32, or 128 of many)"
    )
    parser.add_argument(
        "--samples",
        type=partial(_whole, MIN_SERIES),
        default=500,
        metavar="N",
        help=f"series to generate, {MIN_SERIES} at least",
    )
    parser.add_argument(
        "--tokenizer-only", action="store_true", help="no prior, nothing is generated"
    )
    parser.add_argument(
        "--epochs", type=partial(_whole, 1), help="of tokenizer and prior (default: as needed)"
    )
    parser.add_argument(
        "--seed", type=partial(_whole, 0), default=0, help="random_state (default: 0)"
    )
    parser.add_argument("--version", action="version", version=f"skvqts {__version__}")
    return parser


def _whole(least, text):
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be a whole number, {least} at least: {text!r}")
    return int(text)


def _default_data():
    if find_spec("aeon"):
        return "GunPoint"
    print("aeon is not installed (pip install 'skvqts[data]'): using a made set, not a real one.")
    return "made"


def _run(data, options):
    print(f"{data.name}: {len(data.X_train)} training and {len(data.X_test)} test series,", end=" ")
    print(f"shape {np.shape(data.X_train)[1:]}", flush=True)
    # printed lines, not scikit-learn's bar: Ctrl-C while that is set up ends in a KeyError
    shared = {"random_state": options.seed, "verbose": 1}
    codes = {} if options.codes is None else {"codebook_size": options.codes}
    epochs = {} if options.epochs is None else {"max_epochs": options.epochs}
    tokenizer = default_tokenizer(len(data.X_train)).set_params(**codes, **epochs, **shared)
    _fit(tokenizer, data.X_train)
    _print_quality(tokenizer, data)
    if data.y_train is not None and len(np.unique(data.y_train)) > 1:
        _print_accuracy(tokenizer, data)
    _save("draw_tokenizer", options, data, tokenizer, data.X_test, title=data.name)
    if not options.tokenizer_only:
        generator = MaskedPriorGenerator(FrozenEstimator(tokenizer), **epochs, **shared)
        _fit(generator, data.X_train, data.y_train)
        _generate(generator, data, options)


def _fit(estimator, *data):
    start = time.perf_counter()
    estimator.fit(*data)
    spent, name = time.perf_counter() - start, type(estimator).__name__
    print(f"{name} fitted in {spent:.1f} s, {estimator.n_iter_} epochs", flush=True)


def _generate(generator, data, options):
    start = time.perf_counter()
    generated = generator.sample(options.samples, random_state=options.seed)
    print(f"{len(generated)} series generated in {time.perf_counter() - start:.1f} s", flush=True)
    _save("draw_generated", options, data, data.X_test, generated, title=data.name)
    print("judging them, which trains a referee ...", flush=True)
    start = time.perf_counter()
    report = generation_report(
        generator,
        *data[1:],
        n_samples=min(options.samples, len(data.X_test)),
        random_state=options.seed,
    )
    print(f"judged in {time.perf_counter() - start:.1f} s", report, sep="\n\n")


def _print_quality(tokenizer, data):
    tokens, codes = sum(r * c for r, c in tokenizer.token_shape_), len(tokenizer.codebook_)
    print(f"{tokens} tokens a series, {codes} codes, perplexity {tokenizer.perplexity_:.1f}")
    print("reconstruction error (1 = no better than the mean):", end=" ")
    train, test = -tokenizer.score(data.X_train), -tokenizer.score(data.X_test)
    print(f"training {train:.4f}, test {test:.4f}")


def _print_accuracy(tokenizer, data):
    parts = [data.X_train, data.X_test]
    features = [tokenizer.transform(X) for X in parts]
    raw = [np.reshape(X, (len(X), -1)) for X in parts]
    rows = {
        "SVC on tokenizer features": (SVC(kernel="linear"), features),
        "5-NN on tokenizer features": (KNeighborsClassifier(min(5, len(raw[0]))), features),
        "1-NN on the raw series": (KNeighborsClassifier(1), raw),
    }
    print("test accuracy:")
    for name, (classifier, (train, test)) in rows.items():
        accuracy = classifier.fit(train, data.y_train).score(test, data.y_test)
        print(f"  {name:<28}{accuracy:.3f}")


def _save(draw, options, data, *drawn, title):
    """One of the pictures of `_figures`, where matplotlib is installed."""
    if not find_spec("matplotlib"):
        print("matplotlib is not installed (pip install 'skvqts[plot]'): no picture.")
        return
    from . import figures

    path = Path(options.out) / f"skvqts_{data.name}_{draw.removeprefix('draw_')}.png"
    getattr(figures, draw)(*drawn, title=title).savefig(path, dpi=150)
    print(f"picture: {path}", flush=True)
