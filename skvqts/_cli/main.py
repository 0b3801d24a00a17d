"""The command line.

It fits a tokenizer, compares classifiers on its features, fits a generator, judges the series it
generates, and draws both.
"""

import argparse
import sys
import time
from copy import copy
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from .._generation.flow.decoder import FlowDecoder
from .._generation.masked import MaskedPriorGenerator
from .._generation.stages import default_tokenizer
from .._version import __version__
from ..exceptions import DivergedError
from ..metrics import generation_report
from ..metrics._report import MIN_SERIES
from .figures import draw_generated, draw_tokenizer
from .files import BUNDLED, load
from .understanding import READINGS, Flags


def main(arguments=None):
    """Run the command line.

    Parameters
    ----------
    arguments : list of str or None
        The words of the command line; those of the process if None.

    Returns
    -------
    status : int
        0, or 2 after an error that is reported in one line, or 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # alphabets that lack a letter get its number
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        flags = Flags(options.reading, options.time, options.channels, options.label)
        data = load(options.data or _default_data(), flags)
        if not options.tokenizer_only and len(data.X_test) < MIN_SERIES:
            raise ValueError(
                f"{data.name} has {len(data.X_test)} test series; judging generated series takes "
                f"at least {MIN_SERIES}. Use --tokenizer-only to leave that out."
            )
        Path(options.out).mkdir(parents=True, exist_ok=True)
        _run(data, options)
    except (ValueError, TypeError, OSError, ImportError, MemoryError, DivergedError) as error:
        told = str(error).splitlines() or [type(error).__name__]
        print(f"error: {told[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skvqts",
        description="Fit a VQTokenizer on time series, then a MaskedPriorGenerator; judge the "
        "features and the generated series, and draw both.",
    )
    parser.add_argument(
        "data",
        nargs="?",
        metavar="NAME_OR_FILE",
        help=f"a bundled set ({', '.join(BUNDLED)}), 'made', or a file: .ts, .csv, .tsv and .txt "
        "(also .gz; label first if it has no names), .parquet, .xlsx, .npz (X, y or X_train, ...), "
        ".npy; default: GunPoint",
    )
    parser.add_argument(
        "--as",
        dest="reading",
        choices=READINGS,
        help="what the file holds: one recording with a row for each time, a row for each series, "
        "or a row for each time of each series (default: what is plausible; where two are, it "
        "stops and says so)",
    )
    parser.add_argument(
        "--label", metavar="COLUMN", help="column of the classes, name or index; 'none' for none"
    )
    parser.add_argument("--time", metavar="COLUMN", help="column of the times of a recording")
    parser.add_argument(
        "--channels", metavar="A,B", help="columns of a table to use, others are left out"
    )
    parser.add_argument("--out", default=".", metavar="FOLDER", help="where the pictures go")
    parser.add_argument(
        "--codes",
        type=partial(_whole_number, 1),
        help="codebook size (default: 32, or 128 from 200 training series on)",
    )
    parser.add_argument(
        "--samples",
        type=partial(_whole_number, MIN_SERIES),
        default=500,
        metavar="N",
        help=f"number of series to generate, at least {MIN_SERIES} (default: 500)",
    )
    parser.add_argument(
        "--tokenizer-only", action="store_true", help="fit no prior and generate nothing"
    )
    parser.add_argument(
        "--epochs",
        type=partial(_whole_number, 1),
        help="epochs of tokenizer, decoder and prior (default: by the number of series)",
    )
    parser.add_argument(
        "--seed", type=partial(_whole_number, 0), default=0, help="random_state (default: 0)"
    )
    parser.add_argument(
        "--threads",
        type=partial(_whole_number, 1),
        metavar="N",
        help="n_threads of every fit, at most what OMP_NUM_THREADS and the CPUs allow (default: 1)",
    )
    parser.add_argument("--version", action="version", version=f"skvqts {__version__}")
    return parser


def _whole_number(minimum, text):
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {minimum}: {text!r}")
    return int(text)


def _default_data():
    if find_spec("aeon"):
        return "GunPoint"
    print("aeon is not installed (pip install 'skvqts[data]'): using made series, not real ones.")
    return "made"


def _run(data, options):
    if data.words:
        print(f"{data.name}: {data.words}")
    print(
        f"{data.name}: {len(data.X_train)} training and {len(data.X_test)} test series, "
        f"shape {np.shape(data.X_train)[1:]}",
        flush=True,
    )
    # verbose=1 prints lines; Ctrl-C while scikit-learn sets up its progress bar is a KeyError
    shared = {"random_state": options.seed, "n_threads": options.threads, "verbose": 1}
    if options.epochs is not None:
        shared["max_epochs"] = options.epochs
    tokenizer = default_tokenizer(len(data.X_train), np.shape(data.X_train)[-1]).set_params(
        **shared
    )
    if options.codes is not None:
        tokenizer.set_params(codebook_size=options.codes)
    _fit(tokenizer, data.X_train)
    _print_quality(tokenizer, data)
    if data.y_train is not None and len(np.unique(data.y_train)) > 1:
        _print_accuracy(tokenizer, data)
    path = Path(options.out) / f"skvqts_{data.name}_tokenizer.png"
    _save(path, draw_tokenizer, tokenizer, data.X_test, data.name)
    if not options.tokenizer_only:
        decoder = "auto" if options.epochs is None else FlowDecoder(**shared)
        generator = MaskedPriorGenerator(FrozenEstimator(tokenizer), decoder=decoder, **shared)
        _fit(generator, data.X_train, data.y_train)
        _generate(generator, data, options)


def _fit(estimator, *data):
    start = time.perf_counter()
    estimator.fit(*data)
    seconds = time.perf_counter() - start
    name = type(estimator).__name__
    print(f"{name} fitted in {seconds:.1f} s, {estimator.n_iter_} epochs", flush=True)


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
