"""The commands: a few lines each over the estimators, on a set of series or on one recording."""

from pathlib import Path

import numpy as np

from .._files.models import load as load_model
from .._recordings.windowed import WindowedEstimator
from .files import Recorded, load_whole
from .models import fit, new_generator, new_tokenizer, new_windowed
from .output import columns_of, series_table, write_table
from .understanding import Flags

_WINDOWS = 1000  # of a recording, to train on


def fit_model(options):
    """Fit a model to a file, and keep it."""
    data = _data(options)
    path = options.out or f"{data.name}.skvqts"
    _new_model(options, data).save(path)
    print(f"model: {path}", flush=True)


def encode(options):
    """Write the tokens of series, or of a recording with the times at which they start."""
    data, model = _data_and_model(options)
    if isinstance(data, Recorded):
        tokens = model.encode(data.table)
        return _write(options, data, {"time": tokens.times, "token": tokens.ids})
    tokens = getattr(model, "tokenizer_", model).encode(data.X_train)
    return _write(options, data, columns_of(tokens, "token"))


def sample(options):
    """Write new series, with their classes if the model knows any, or a new recording."""
    if options.data is None and options.model is None:
        raise ValueError("sample needs a file, or a fitted model by --model.")
    data = None if options.data is None else _data(options)
    model = _model(options, data, "sample")
    if isinstance(model, WindowedEstimator):
        recording = np.atleast_2d(model.sample(options.number, random_state=options.seed))
        names = model.channel_names_ or [f"channel{i}" for i in range(len(recording))]
        return _write(options, data, dict(zip(names, recording, strict=True)))
    n_samples = options.number or (100 if data is None else len(data.X_train))
    has_labels = hasattr(model, "classes_")
    drawn = model.sample(n_samples, random_state=options.seed, return_y=has_labels)
    X, y = drawn if has_labels else (drawn, None)
    return _write(options, data, series_table(X, y))


def score(options):
    """Write the log-likelihood of each series, or of each window of a recording."""
    data, model = _data_and_model(options, "score_samples")
    if isinstance(data, Recorded):
        scores = model.score_samples(data.table)
        columns = {"time": model.window_starts(data.table), "log_likelihood": scores}
    else:
        scores = model.score_samples(data.X_train)
        columns = {"log_likelihood": scores}
    print(f"mean log-likelihood of tokens: {scores.mean():.2f} nats", flush=True)
    _write(options, data, columns)


def impute(options):
    """Write a recording, or series, with missing values filled."""
    data, model = _data_and_model(options, "impute")
    n_draws = None if options.draws == 1 else options.draws
    if not isinstance(data, Recorded):
        filled = model.impute(data.X_train, n_draws=n_draws, random_state=options.seed)
        filled = filled if n_draws is None else np.median(filled, axis=0)
        return _write(options, data, series_table(filled, data.y_train))
    if n_draws is None:
        return _write(options, data, model.impute(data.table, random_state=options.seed))
    draws = model.impute(data.recording.values[None], n_draws=n_draws, random_state=options.seed)
    names = data.recording.names or [f"channel{i}" for i in range(draws.shape[1])]
    columns = {} if data.recording.times is None else {"time": data.recording.times}
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95], axis=0)
    for i, name in enumerate(names):
        columns |= {name: middle[i], f"{name} 5 %": low[i], f"{name} 95 %": high[i]}
    return _write(options, data, columns)


def anomalies(options):
    """Write how strange every time point is, and name the strangest stretches."""
    data, model = _data_and_model(options, "anomaly_score")
    if isinstance(data, Recorded):
        for stretch in model.anomalies(data.table, n_stretches=options.top):
            print(f"{stretch.start} to {stretch.stop}: {stretch.score:.2f}", flush=True)
        scores = model.anomaly_score(data.recording.values[None])
        columns = {"time": data.recording.times} if data.recording.times is not None else {}
        return _write(options, data, columns | {"anomaly_score": np.ravel(scores)})
    scores = model.anomaly_score(data.X_train)
    for row in np.argsort(-scores.max(axis=1), kind="stable")[: options.top]:
        at = int(scores[row].argmax())
        print(f"series {row}, time point {at}: {scores[row, at]:.2f}", flush=True)
    return _write(options, data, columns_of(scores, "t"))


def _data(options):
    """What the file holds, after saying so."""
    if options.data is None:
        raise ValueError("a file is needed, or the name of a bundled set.")
    flags = Flags(options.reading, options.time, options.channels, options.label)
    data = load_whole(options.data, flags)
    if data.words:
        print(f"{data.name}: {data.words}", flush=True)
    return data


def _data_and_model(options, method=None):
    data = _data(options)
    return data, _model(options, data, method)


def _model(options, data, method=None):
    """The model of a file, or one that is fitted to the data first; with the method it needs."""
    needs_generator = f"{options.job.__name__} needs a generator of series"
    if options.model is None:
        if method is not None and options.tokenizer_only:
            raise ValueError(f"{needs_generator}: leave --tokenizer-only out.")
        return _new_model(options, data)
    model = load_model(options.model)
    if method is not None and not hasattr(model, method):
        raise ValueError(f"{needs_generator}, and {options.model} holds none.")
    kinds = {True: "one recording", False: "a set of series"}
    of_model = kinds[isinstance(model, WindowedEstimator)]
    of_data = kinds[isinstance(data, Recorded)]
    if data is not None and of_model != of_data:
        raise ValueError(
            f"the model {options.model} is one of {of_model}, and {options.data} holds {of_data}: "
            "say --as recording or --as series, or take another model."
        )
    return model


def _new_model(options, data):
    if isinstance(data, Recorded):
        return fit(new_windowed(options, _WINDOWS), data.table)
    is_complete = np.isfinite(data.X_train).all(axis=tuple(range(1, np.ndim(data.X_train))))
    X = data.X_train[is_complete] if is_complete.sum() > 1 else data.X_train
    tokenizer = new_tokenizer(options, X.shape)
    if options.tokenizer_only:
        return fit(tokenizer, X)
    y = None if data.y_train is None else data.y_train[is_complete]
    return fit(new_generator(options, tokenizer), X, y)


def _write(options, data, table):
    """Write a table, and print where it is."""
    name = Path(options.model).stem if data is None else data.name
    path = Path(options.out or f"{name}_{options.job.__name__}.csv")
    print(f"{path}: {write_table(table, path)} rows", flush=True)
