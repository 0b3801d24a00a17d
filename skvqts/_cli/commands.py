"""The commands: a few lines each over the estimators, on a set of series or on one recording."""

from pathlib import Path

import numpy as np

from .._autoencoders.vae import SeriesVAE
from .._files.models import load as load_model
from .._recordings.anomalies import top_stretches
from .._recordings.gaps import bridged, near_long_gaps
from .._recordings.windowed import WindowedEstimator
from .files import Recorded, load_whole
from .models import fit, new_generator, new_scorer, new_tokenizer, new_windowed
from .output import check_writable, columns_of, series_table, write_table
from .understanding import Flags

_WINDOWS = 1000  # of a recording, to train on


def fit_model(options):
    """Fit a model to a file, and keep it."""
    data = _data(options)
    path = check_writable(options.out or f"{data.name}.skvqts")
    _new_model(options, data).save(path)
    print(f"model: {path}", flush=True)


def encode(options):
    """Write the tokens of series, or of a recording with the times at which they start."""
    data = _data(options, complete=True)
    path = _path(options, data)
    model = _model(options, data)
    if not (hasattr(model, "encode") or hasattr(model, "tokenizer_")):
        raise ValueError(f"encode needs a tokenizer or a generator, and {options.model} has none.")
    if isinstance(data, Recorded):
        tokens = model.encode(data.recording.values[None])
        table = {"time": data.column_of_times(tokens.times), "token": tokens.ids}
    else:
        table = columns_of(getattr(model, "tokenizer_", model).encode(data.X_train), "token")
    _write(table, path)


def sample(options):
    """Write new series, with their classes if the model knows any, or a new recording."""
    if options.data is None and options.model is None:
        raise ValueError("sample needs a file, or a fitted model by --model.")
    data = None if options.data is None else _data(options)
    path = _path(options, data)
    model = _model(options, data, "sample")
    if isinstance(model, WindowedEstimator):
        new = model.sample(options.number, random_state=options.seed)
        new = new.reshape(model.n_channels_in_, -1)
        names = model.channel_names_ or [f"channel{i}" for i in range(len(new))]
        return _write(dict(zip(names, new, strict=True)), path)
    n_samples = options.number or (100 if data is None else len(data.X_train))
    has_labels = hasattr(model, "classes_")
    drawn = model.sample(n_samples, random_state=options.seed, return_y=has_labels)
    X, y = drawn if has_labels else (drawn, None)
    return _write(series_table(X, y), path)


def score(options):
    """Write the log-likelihood of each series, or of each window of a recording."""
    data = _data(options, complete=True)
    path = _path(options, data)
    model = _model(options, data, "score_samples")
    if isinstance(data, Recorded):
        values = data.recording.values[None]
        scores = model.score_samples(values)
        times = data.column_of_times(model.window_starts(values))
        table = {"time": times, "log_likelihood": scores}
    else:
        scores = model.score_samples(data.X_train)
        table = {"log_likelihood": scores}
    of_what = "series" if isinstance(model, SeriesVAE) else "tokens"
    print(f"mean log-likelihood of {of_what}: {scores.mean():.2f} nats", flush=True)
    _write(table, path)


def impute(options):
    """Write a recording, or series, with missing values filled."""
    data = _data(options)
    path = _path(options, data)
    model = _model(options, data, "impute")
    n_draws = None if options.draws == 1 else options.draws
    if not isinstance(data, Recorded):
        filled = model.impute(data.X_train, n_draws=n_draws, random_state=options.seed)
        if n_draws is None:
            return _write(series_table(filled, data.y_train), path)
        low, middle, high = np.quantile(filled, [0.05, 0.5, 0.95], axis=0)
        table = series_table(middle, data.y_train)
        if path.suffix.lower() != ".npy":
            for bound, of_bound in (("5 %", low), ("95 %", high)):
                values = series_table(of_bound, None)
                names = [name for name in values if name not in ("id", "time")]
                table |= {f"{name} {bound}": values[name] for name in names}
        return _write(table, path)
    if n_draws is None:
        return _write(model.impute(data.table, random_state=options.seed), path)
    draws = model.impute(data.recording.values[None], n_draws=n_draws, random_state=options.seed)
    names = data.recording.names or [f"channel{i}" for i in range(draws.shape[1])]
    table = {"time": data.column_of_times(np.arange(draws.shape[2]))}
    low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95], axis=0)
    for i, name in enumerate(names):
        table |= {name: middle[i], f"{name} 5 %": low[i], f"{name} 95 %": high[i]}
    return _write(table, path)


def anomalies(options):
    """Write how anomalous every time point is, and name the most anomalous stretches."""
    data = _data(options)
    if not isinstance(data, Recorded):
        _refuse_gaps(options, data.X_train)
    path = _path(options, data)
    if not isinstance(data, Recorded):
        scores = _model(options, data, "anomaly_score").anomaly_score(data.X_train)
        for row in np.argsort(-scores.max(axis=1), kind="stable")[: options.top]:
            at = int(scores[row].argmax())
            print(f"series {row}, time point {at}: {scores[row, at]:.2f}", flush=True)
        return _write(columns_of(scores, "t"), path)
    values = data.recording.values
    lines = bridged(values)[None]  # what lies near a long gap has no score
    if options.model is None:
        model = new_scorer(data.length, options).fit(lines)
    else:
        model = _model(options, data)
    length = model.windows_.length_
    scores = np.ravel(model.anomaly_score(lines))
    scores[near_long_gaps(values, length)] = np.nan
    for stretch in top_stretches(scores, options.top, length):
        first, last = data.in_words(stretch.start), data.in_words(stretch.stop - 1)
        print(f"{first} to {last}: {stretch.score:.2f}", flush=True)
    table = {"time": data.column_of_times(np.arange(len(scores))), "anomaly_score": scores}
    return _write(table, path)


def _data(options, complete=False):
    """What the file holds, after saying so; where it is to be complete, without missing values."""
    if options.data is None:
        raise ValueError("a file is needed, or the name of a bundled set.")
    flags = Flags(options.reading, options.time, options.channels, options.label)
    data = load_whole(options.data, flags)
    if data.words:
        print(f"{data.name}: {data.words}", flush=True)
    values = data.recording.values if isinstance(data, Recorded) else np.asarray(data.X_train)
    if np.isinf(values).any():
        raise ValueError(f"{options.data} has infinite values.")
    if complete:
        _refuse_gaps(options, values)
    return data


def _refuse_gaps(options, values):
    n_missing = int(np.isnan(values).sum())
    if n_missing:
        raise ValueError(
            f"{options.data} has missing values ({n_missing:,}): fill them first, by the "
            "command impute."
        )


def _model(options, data, method=None):
    """The model of a file, or one that is fitted to the data first; with the method it needs."""
    needs_generator = f"{options.job.__name__} needs a generator here"
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
    if isinstance(data, Recorded):
        _check_names(options, data.recording.names, model.channel_names_)
    return model


def _check_names(options, names, known):
    """Refuse channels of other names than those that a model has learned."""
    if None not in (names, known) and names != known:
        raise ValueError(
            f"the channels of {options.data} are {names}, and those of the model {known}: choose "
            "them by --channels."
        )


def _new_model(options, data):
    if isinstance(data, Recorded):
        # Arrays have no names: these are kept, so that later recordings are checked against them.
        return fit(
            new_windowed(options, data.recording.values.shape, data.length, _WINDOWS), data.table
        )
    is_complete = ~np.isnan(data.X_train).any(axis=tuple(range(1, np.ndim(data.X_train))))
    if is_complete.sum() < 2:
        is_complete[:] = True  # the fit says what is missing
    X = data.X_train[is_complete]
    tokenizer = new_tokenizer(options, X.shape)
    if options.tokenizer_only:
        return fit(tokenizer, X)
    y = None if data.y_train is None else data.y_train[is_complete]
    return fit(new_generator(options, tokenizer), X, y)


def _path(options, data):
    """The file that a command writes, which must be possible before anything is fitted."""
    name = Path(options.model).stem if data is None else data.name
    return check_writable(options.out or f"{name}_{options.job.__name__}.csv")


def _write(table, path):
    """Write a table, and print where it is."""
    print(f"{path}: {write_table(table, path)} rows", flush=True)
