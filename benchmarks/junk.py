"""Calls with junk of every kind, and whether each ends in a clear error or a right result.

Run as a figure of benchmarks/robustness.py. A call goes right if it returns finite numbers, of as
many series as it was given, or if it raises one of the usual errors, with a message, inside of
skvqts or scikit-learn: an error from within torch or NumPy tells a user nothing.
"""

import datetime
import decimal
import fractions
import inspect
import io
import itertools
import math
import os
import traceback
from functools import cache, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import skvqts
from skvqts import metrics

CLEAR = (ValueError, TypeError, NotFittedError, MemoryError, OSError, AttributeError, KeyError)
N, T = 24, 16
PACKAGES = {"skvqts", "sklearn"}
_DEFAULTS = ("pretrained", "tokenizer", "decoder", "max_epochs")  # a fit of minutes
_AMOUNTS = ("epochs", "n_steps", "n_masks", "n_draws", "n_layers", "n_blocks", "n_samples", "width")


@cache
def series():
    """Twenty-four series of two shapes, and their classes."""
    rng = np.random.default_rng(0)
    y = np.arange(N) % 2
    phases = np.linspace(0, 2, T) + rng.uniform(0, 1, (N, 1))
    X = np.where(y[:, None] == 0, np.sin(2 * np.pi * phases), 2 * (phases % 1) - 1)
    return X + rng.normal(0, 0.1, X.shape), y


def junk():
    """Objects of every kind by name, of which some are series after all."""
    X, y = series()

    def with_value(value, dtype=float):
        changed = X.astype(dtype)
        changed[3, 5] = value
        return changed

    records = np.zeros(4, dtype=[("a", float), ("b", int)])
    frame = pd.DataFrame(X)
    cyclic = []
    cyclic.append(cyclic)
    scalars = {
        repr(value): value
        for value in (
            *(None, True, False, -1, 0, 1, 3, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-300, 1e300),
            *(math.nan, math.inf, 1j, "", "a", "auto", "é\0", b"x", ..., NotImplemented),
            *(fractions.Fraction(1, 3), decimal.Decimal("0.1"), datetime.date(2020, 1, 1)),
            *(np.float32(2), np.int8(3), np.bool_(True), np.datetime64("2020-01-01")),
        )
    }
    containers = {
        "[]": [],
        "()": (),
        "{}": {},
        "set": {1, 2},
        "dict of lists": {"a": [1, 2]},
        "range": range(T),
        "iterator": iter([1, 2]),
        "function": len,
        "class": dict,
        "object": object(),
        "module": math,
        "file": io.StringIO("1,2"),
        "list that holds itself": cyclic,
        "list of text": ["a", "b"],
        "list of None": [None] * N,
        "list of lists": X.tolist(),
        "ragged list": [[1.0, 2.0], [1.0]],
        "list of arrays of unequal length": [X[0], X[1, :9]],
        "deep list": [[[[[1.0]]]]],
        "dates": [datetime.date(2020, 1, 1)] * N,
    }
    arrays = {
        "no numbers": np.array([]),
        "0-d": np.array(3.0),
        "1-d": X[0],
        "no series": X[:0],
        "no time points": X[:, :0],
        "one series": X[:1],
        "too short": X[:, :-1],
        "too long": np.tile(X, 2),
        "3-d": X[:, None],
        "two channels": np.stack([X, X], axis=1),
        "4-d": X[:, None, None],
        "labels": y,
        "text": X.astype(str),
        "bytes": X.astype("S"),
        "letters": np.full((N, T), "a"),
        "objects": X.astype(object),
        "objects with None": with_value(None, object),
        "objects with a dict": with_value({}, object),
        "complex": X.astype(complex),
        "booleans": X > 0,
        "int8": np.round(50 * X).astype(np.int8),
        "uint64": np.abs(np.round(50 * X)).astype(np.uint64),
        "float16": X.astype(np.float16),
        "longdouble": X.astype(np.longdouble),
        "big-endian": X.astype(">f8"),
        "dates in an array": np.full((N, T), np.datetime64("2020-01-01")),
        "durations": np.full((N, T), np.timedelta64(1, "s")),
        "records": records,
        "NaN": with_value(np.nan),
        "all NaN": np.full((N, T), np.nan),
        "infinity": with_value(np.inf),
        "1e300": with_value(1e300),
        "1e38": with_value(1e38),
        "constant": np.ones((N, T)),
        "zeros": np.zeros((N, T)),
        "masked": np.ma.masked_greater(X, 0.5),
        "nothing masked": np.ma.masked_greater(X, 50),
        "read-only, by columns": np.asfortranarray(X),
        "negative strides": X[::-1, ::-1],
        "matrix": np.asmatrix(X),
        "sparse": sparse.csr_matrix(X),
        "tensor": torch.tensor(X),
        "tensor with gradient": torch.tensor(X, requires_grad=True),
        "bfloat16": torch.tensor(X, dtype=torch.bfloat16),
        "tensor without values": torch.empty(N, T, device="meta"),
        "complex tensor": torch.tensor(X).to(torch.complex64),
        "frame": frame,
        "frame with text": frame.assign(a="x"),
        "frame with dates": frame.assign(a=pd.Timestamp("2020-01-01")),
        "frame with NA": frame.astype("Float64").mask(frame > 1),
        "categories": frame.round().astype("category"),
        "pandas series": frame[0],
        "pandas series of lists": pd.Series(X.tolist()),
        "index": pd.RangeIndex(N),
    }
    return scalars | containers | arrays


@cache
def fitted():
    """Small fitted estimators of every class."""
    X, y = series()
    small = {"width": 4, "latent_dim": 4, "max_epochs": 1, "random_state": 0}
    tokenizer = skvqts.VQTokenizer(6, downsampled_width=4, **small)
    extractor = skvqts.SSLFeatureExtractor(**small)
    prior = {
        "tokenizer": tokenizer,
        "width": 8,
        "n_layers": 1,
        "batch_size": 1024,
        "max_epochs": 1,
        "random_state": 0,
    }
    decoder = skvqts.FlowDecoder(tokenizer, width=4, n_steps=1, max_epochs=1, random_state=0)
    made = {
        "VQTokenizer": tokenizer,
        "VQTokenizer, tokens": clone(tokenizer).set_params(output="tokens"),
        "VQTokenizer with gaps": clone(tokenizer).set_params(missing="mask"),
        "SSLFeatureExtractor": extractor,
        "RandomConvolutionExtractor": skvqts.RandomConvolutionExtractor(5),
        "FCNClassifier": skvqts.FCNClassifier(width=4, max_epochs=1, random_state=0),
        "FineTunedClassifier": skvqts.FineTunedClassifier(extractor, max_epochs=1, random_state=0),
        "FlowDecoder": decoder,
        "MaskedPriorGenerator": skvqts.MaskedPriorGenerator(decoder=None, **prior),
        "AutoregressivePriorGenerator": skvqts.AutoregressivePriorGenerator(decoder=None, **prior),
        "SeriesAutoencoder": skvqts.SeriesAutoencoder(**small),
        "SeriesVAE": skvqts.SeriesVAE(**small),
        "STFTTransformer": skvqts.STFTTransformer(4),
        "WindowCodes": skvqts.WindowCodes(4, random_state=0),
    }
    return {name: clone(model).fit(X, y) for name, model in made.items()}


# Methods that take series first, and other arguments of methods, by name.
OF_SERIES = (
    *("transform", "encode", "predict", "predict_proba", "predict_log_proba", "decision_function"),
    *("score_samples", "class_log_likelihoods", "anomaly_score", "impute"),
)
OF_TOKENS = ("decode", "inverse_transform")
ARGUMENTS = {
    "sample": ("n_samples", "y", "random_state", "return_y", "lengths"),
    "sample_in_parts": ("n_samples", "part_size", "y", "random_state"),
    "score_samples": ("method", "n_masks", "include_reconstruction"),
    "anomaly_score": ("window",),
    "forecast": ("horizon", "n_draws", "random_state", "y"),
    "transform": ("out",),
    "encode": ("out",),
    "decode": ("lengths",),
    "fit": ("sample_weight", "checkpoint"),
}
SCORES = {
    name: getattr(metrics, name)
    for name in (
        *("frechet_distance", "kernel_distance", "density_coverage", "inception_score"),
        *("discriminative_score", "classifier_two_sample_test"),
    )
}


def calls():
    """Calls by name: ``call(junk)`` makes it; whether the junk stands for series is told too."""
    X, _ = series()
    found = {}
    for name, model in fitted().items():
        for method in OF_SERIES:
            if hasattr(model, method):
                found[f"{name}.{method}(X)"] = getattr(model, method), True
        for method in OF_TOKENS:
            if hasattr(model, method):
                found[f"{name}.{method}(tokens)"] = getattr(model, method), True
        found[f"{name}.fit(X)"] = partial(_fit, model, "X"), False
        found[f"{name}.fit(y)"] = partial(_fit, model, "y"), False
        for method, arguments in ARGUMENTS.items():
            if not hasattr(model, method):
                continue
            known = inspect.signature(getattr(model, method)).parameters
            for argument in arguments:
                if argument in known:
                    found[f"{name}.{method}({argument}=)"] = (
                        partial(_call, model, method, argument),
                        False,
                    )
        for parameter in model.get_params(deep=False):
            found[f"{name}({parameter}=)"] = partial(_fit_with, model, parameter), False
    for name, score in SCORES.items():
        quick = {"n_steps": 1} if name == "discriminative_score" else {}
        if name == "inception_score":
            found[f"{name}(X)"] = score, False
            continue
        found[f"{name}(X, junk)"] = partial(score, X, **quick), False
        found[f"{name}(junk, X)"] = partial(lambda s, k, j: s(j, X, **k), score, quick), False
    found["as_series_list(X)"] = skvqts.as_series_list, False
    found["SlidingWindows(length=)"] = partial(_windows, "length"), False
    found["SlidingWindows.fit(X)"] = windows_of, False
    found["load(path)"] = skvqts.load, False
    found["get_scorer(name)"] = metrics.get_scorer, False
    return found


def _fit(model, argument, value):
    X, y = series()
    model = clone(model)
    return model.fit(value, y) if argument == "X" else model.fit(X, value)


def _fit_with(model, parameter, value):
    return clone(model).set_params(**{parameter: value}).fit(*series())


def _call(model, method, argument, value):
    X, y = series()
    if method == "fit":
        return clone(model).fit(X, y, **{argument: value})
    first = {
        "forecast": (X[:2, :9],) if argument == "horizon" else (X[:2, :9], 3),
        "decode": (np.zeros((2, 4), int),),
        "sample_in_parts": () if argument == "n_samples" else (3,),
        "sample": () if argument in ("n_samples", "y", "lengths") else (3,),
    }
    if isinstance(model, skvqts.FlowDecoder):
        first["sample"] = (np.zeros((N, 4), int),)
    first = first.get(method, (X,))
    result = getattr(model, method)(*first, **{argument: value})
    return next(result) if method == "sample_in_parts" else result


def windows_of(X):
    """Cut a recording into windows."""
    return skvqts.SlidingWindows(8).fit_transform(X)


def _windows(parameter, value):
    return skvqts.SlidingWindows(**{parameter: value}).fit_transform(series()[0][0])


def junk_calls(n, rng):
    """Make calls with junk, drawn at random; those that went wrong."""
    found, values = calls(), junk()
    pairs = [
        (name, kind)
        for name, kind in itertools.product(found, values)
        if not _is_work(name, values[kind])
    ]
    n = min(n, len(pairs))
    wrong, kinds = [], {"clear": 0, "right": 0}
    folder = os.getcwd()
    for index in rng.permutation(len(pairs))[:n]:
        name, kind = pairs[index]
        problem = judged(*found[name], values[kind], kinds)
        if problem is not None:
            wrong.append(f"{name} with {kind}: {problem}")
        os.chdir(folder)
    remarks = f"{kinds['clear']} clear errors, {kinds['right']} results. " + "; ".join(wrong[:20])
    return {"tries": n, "wrong": len(wrong), "remarks": remarks.strip()}


def judged(call, of_series, value, kinds):
    """What is wrong about a call, or None."""
    try:
        with np.errstate(all="ignore"):
            result = call(value)
    except Exception as error:
        kinds["clear"] += 1
        return _unclear(error)
    kinds["right"] += 1
    if call in (skvqts.as_series_list, windows_of):  # NaN stays missing there
        return None
    return _not_right(result, value if of_series else None)


def _unclear(error):
    told = f"{type(error).__name__}: {str(error)[:120]}"
    if not isinstance(error, (*CLEAR, skvqts.DivergedError)) or not str(error).strip():
        return told
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if not PACKAGES & set(Path(frame.filename).parts):
        return f"{told} in {Path(frame.filename).name}:{frame.lineno}"
    return None


def _not_right(result, given):
    parts = result if isinstance(result, (tuple, list)) else [result]
    for part in parts:
        part = part.numpy() if isinstance(part, torch.Tensor) else part
        if not isinstance(part, (np.ndarray, float, int)):
            continue
        if np.asarray(part).dtype.kind in "fiu" and not np.isfinite(part).all():
            return "not finite"
    counted = given is not None and hasattr(result, "__len__") and hasattr(given, "__len__")
    if counted and len(result) != len(given):
        return f"{len(result)} results of {len(given)}"
    return None


def _is_work(name, value):
    """Whether a call is right to take hours, as it is asked for so many steps."""
    if value is None or (isinstance(value, str) and value == "auto"):
        return any(f"({word}=)" in name for word in _DEFAULTS)
    number = isinstance(value, (int, float)) and value > 1000
    return number and any(word in name for word in _AMOUNTS)
