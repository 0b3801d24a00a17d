"""The estimators that the command line fits, as its options say."""

import time

from .._generation.flow.decoder import FlowDecoder
from .._generation.masked import MaskedPriorGenerator
from .._generation.stages import default_tokenizer
from .._random_convolutions import RandomConvolutionExtractor
from .._recordings.windowed import WindowedEstimator, n_training_windows

_QUICK_EPOCHS = 16  # of some 1,100 windows each, as few are gone through again


def new_tokenizer(options, shape):
    """The tokenizer of a set of series of a shape ``(n, t)`` or ``(n, c, t)``."""
    n_channels = shape[1] if len(shape) == 3 else 1
    tokenizer = default_tokenizer(shape[0], n_channels, shape[-1]).set_params(**_shared(options))
    return tokenizer if options.codes is None else tokenizer.set_params(codebook_size=options.codes)


def new_generator(options, tokenizer=None):
    """A generator of series, with the tokenizer that it is given."""
    shared = _shared(options)
    decoder = "auto" if options.epochs is None else FlowDecoder(**shared)
    return MaskedPriorGenerator(tokenizer, decoder=decoder, **shared)


def new_windowed(options, shape, length, max_windows, quick=False):
    """A generator, or a tokenizer alone, on windows of a `length` of a recording.

    Parameters
    ----------
    options : argparse.Namespace
    shape : tuple
        (c, t) of the recording.
    length, max_windows : int
        Of windows.
    quick : bool
        It is fitted in two thirds of the usual time, for what is only looked at.
    """
    tokenizer = None
    if options.tokenizer_only or options.codes is not None or options.epochs is not None:
        n_windows = n_training_windows(shape[1] - length + 1, length, max_windows)
        tokenizer = new_tokenizer(options, (n_windows, shape[0], length))
    wrapped = tokenizer if options.tokenizer_only else new_generator(options, tokenizer)
    if quick and options.epochs is None and not options.tokenizer_only:
        # No series are held out to judge the decoder by, which would train it twice.
        decoder = FlowDecoder(early_stopping=False, max_epochs=_QUICK_EPOCHS, **_shared(options))
        wrapped.set_params(decoder=decoder, max_epochs=_QUICK_EPOCHS)
    return WindowedEstimator(
        wrapped, length=length, max_windows=max_windows, random_state=options.seed
    )


def new_scorer(length, options):
    """What scores anomalies of a recording best, as measured, and is fitted in seconds."""
    features = RandomConvolutionExtractor(n_threads=options.threads, random_state=options.seed)
    return WindowedEstimator(features, length=length, random_state=options.seed)


def fit(estimator, *data):
    """Fit an estimator, and print how long it took."""
    start = time.perf_counter()
    estimator.fit(*data)
    seconds = time.perf_counter() - start
    fitted = getattr(estimator, "estimator_", estimator)  # of windows
    name = type(fitted).__name__
    print(f"{name} fitted in {seconds:.1f} s, {fitted.n_iter_} epochs", flush=True)
    return estimator


def _shared(options):
    # verbose=1 prints lines; Ctrl-C while scikit-learn sets up its progress bar is a KeyError
    shared = {"random_state": options.seed, "n_threads": options.threads, "verbose": 1}
    return shared if options.epochs is None else shared | {"max_epochs": options.epochs}
