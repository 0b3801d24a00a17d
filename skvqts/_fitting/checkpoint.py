"""Checkpoints: what a fit has learned so far is kept in a file, from which it can go on.

A fit does the same things in the same order whenever it is run with the same data, parameters and
random numbers, and nearly all of its time goes into trainings: of a generator those of tokenizer,
decoder and prior. So a checkpoint holds the random numbers that the fit began with and the state of
its trainings. A fit that finds one begins anew, and each training takes its state from there.
"""

import os
import time
from numbers import Number

import joblib
import numpy as np
import torch

from .._files.container import read_file, remove_file, write_file
from .._files.encoding import Decoder, Encoder
from .._files.models import state_digest
from .._version import __version__
from ..exceptions import ModelFileError, warn_user
from .on_demand import SlicedSeries
from .runtime import allowed_threads
from .validation import resolve_device, resolve_precision

_PAUSE = 30.0  # seconds between two writings
_SHARE = 0.05  # of the time of a fit that writing may take
_IGNORED = "verbose"  # a parameter that does not change what is learned


class Checkpoint:
    """The trainings of a fit under way, in a file or nowhere.

    Each training calls `begin` first, asks `is_due` after each step, and then calls `write` with
    its state, and `finish` at its end.

    Parameters
    ----------
    owner : estimator
        Whose fit it is; the fits of nested estimators share it.
    path : str, path-like or None
        None keeps nothing.
    identity : dict of str to str
        What the fit depends on, in words.
    generator : torch.Generator
        The random numbers of the fit, at its beginning.
    trainings : list of dict
        The states of its trainings so far, of which the last may not be done.
    """

    def __init__(self, owner, path, identity, generator, trainings=()):
        self.owner = owner
        self.path = path
        self.identity = identity
        self.start = generator.get_state()
        self.trainings = list(trainings)
        self.n_begun = 0
        self.next_writing = time.monotonic() + _PAUSE

    def begin(self):
        """The state of the training that begins now, or None if nothing is known of it."""
        self.n_begun += 1
        return self.trainings[self.n_begun - 1] if self.n_begun <= len(self.trainings) else None

    def is_due(self):
        """Whether it is time to write again."""
        return self.path is not None and time.monotonic() >= self.next_writing

    def write(self, state):
        """Write all trainings to the file; `state` is that of the one under way.

        It warns, and the fit goes on, where the file cannot be written.
        """
        began = time.monotonic()
        self._keep(state)
        encoder = Encoder(short_names=True)
        content = {"identity": self.identity, "start": self.start, "trainings": self.trainings}
        manifest = {"content": "checkpoint", "state": encoder.encode(content, "fit")}
        try:
            write_file(self.path, manifest, encoder.arrays)
        except (OSError, ValueError) as error:
            warn_user(f"The checkpoint of the fit could not be written, and it goes on: {error}")
        now = time.monotonic()
        self.next_writing = now + max(_PAUSE, (now - began) / _SHARE)

    def finish(self, state):
        """Remember what a training has led to, for what will be written later."""
        if self.path is not None:
            self._keep(state)

    def close(self, estimator):
        """Remove the file once the fit of its owner is done, unless Ctrl-C ended it early."""
        if self.path is not None and estimator is self.owner and not estimator.interrupted_:
            try:
                remove_file(self.path)
            except OSError as error:
                warn_user(f"The fit is done, and its checkpoint could not be removed: {error}")

    def _keep(self, state):
        self.trainings[self.n_begun - 1 :] = [state]


def open_checkpoint(path, estimator, X, y, generator, weights=None):
    """The checkpoint of a fit that begins.

    Parameters
    ----------
    path : str, path-like, None or Checkpoint
        What `fit` was given: the file, or the checkpoint of the fit that this one is a part of.
    estimator : estimator
    X : ndarray of shape (n, c, t)
        Valid training series.
    y : array-like of shape (n,) or None
    generator : torch.Generator
        It is set to where the fit that the file is of began.
    weights : ndarray of shape (n,) or None
        Of the series.

    Returns
    -------
    checkpoint : Checkpoint

    Raises
    ------
    TypeError
        If `path` is of no such kind.
    ValueError
        If the file is the checkpoint of a fit with other data or parameters.
    ModelFileError
        If it is no checkpoint, or damaged.
    FileNotFoundError
        If there is no folder for the file.
    """
    if isinstance(path, Checkpoint):
        return path
    if path is None:
        return Checkpoint(estimator, None, {}, generator)
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"checkpoint of {type(estimator).__name__}.fit must be the path of a file, got "
            f"{type(path).__name__}."
        )
    if "\0" in os.fsdecode(path) or not os.fsdecode(path):
        raise ValueError(f"checkpoint={path!r} is no path of a file.")
    identity = _identity(estimator, X, y, weights)
    if not os.path.exists(path):
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"There is no folder {folder!r} for a checkpoint.")
        return Checkpoint(estimator, path, identity, generator)
    kept = _read(path)
    _refuse_another_fit(path, kept["identity"], identity)
    generator.set_state(kept["start"])
    return Checkpoint(estimator, path, identity, generator, kept["trainings"])


def fit_part(checkpoint, estimator, *data):
    """Fit an estimator as a part of another fit, whose checkpoint keeps its training as well."""
    if checkpoint.path is None:  # it need not know of checkpoints then
        return estimator.fit(*data)
    return estimator.fit(*data, checkpoint=checkpoint)


def _read(path):
    """What `Checkpoint.write` wrote."""
    manifest, arrays = read_file(path)
    name = repr(os.fsdecode(path))
    if manifest.get("content") != "checkpoint":
        raise ModelFileError(f"{name} is a file of skvqts, but not the checkpoint of a fit.")
    try:
        kept = Decoder([], arrays).decode(manifest["state"])
        torch.Generator("cpu").set_state(kept["start"])
        is_whole = isinstance(kept["identity"], dict) and all(
            isinstance(state, dict) for state in kept["trainings"]
        )
    except Exception as error:
        raise ModelFileError(f"{name} is not a valid checkpoint: {error}") from error
    if not is_whole:
        raise ModelFileError(f"{name} is not a valid checkpoint.")
    return kept


def _refuse_another_fit(path, before, now):
    """Raise if a fit depended on something else before than it does now, and name it."""
    shared = [name for name in now if name in before]
    # Parameters of a nested estimator that only one of both has follow from others.
    for name in [*shared, *(now.keys() ^ before.keys())]:
        if before.get(name) != now.get(name):
            raise ValueError(
                f"The checkpoint {os.fsdecode(path)!r} is of another fit: {name} was "
                f"{before.get(name, 'not there')} and is {now.get(name, 'not there')}. Remove that "
                "file to begin anew, or give this fit another one."
            )


def _identity(estimator, X, y, weights):
    """What a fit depends on, each in words that show a difference."""
    device = resolve_device(estimator.device)
    identity = {
        "the class": type(estimator).__name__,
        "the version of skvqts": __version__,
        "the version of torch": str(torch.__version__),
        "the shape of X": str(X.shape),
        "X": f"array {_hash_of(X)}",
        "y": "None" if y is None else f"array {joblib.hash(np.asarray(y))}",
    }
    if weights is not None:
        identity["the weights of the series"] = f"array {joblib.hash(weights)}"
    for name, value in estimator.get_params(deep=True).items():
        if name.split("__")[-1] != _IGNORED:
            identity[name] = _in_words(value)
    identity["the device"] = str(device)
    identity["the precision in use"] = resolve_precision(estimator.precision, device)
    identity["the number of threads in use"] = str(allowed_threads(estimator.n_threads))
    if getattr(estimator, "warm_start", False) and hasattr(estimator, "module_"):
        identity["the network to continue"] = f"network {state_digest(estimator)}"
    return identity


def _hash_of(X):
    if isinstance(X, SlicedSeries):
        return joblib.hash([joblib.hash(X[rows]) for rows in X.blocks()])
    return joblib.hash(X)


def _in_words(value):
    """The value of a parameter in words; nested estimators have their parameters beside them."""
    if value is None or isinstance(value, (Number, str, torch.device)):
        return repr(value)
    name = type(value).__name__
    if not hasattr(value, "get_params"):
        return f"{name} {joblib.hash(value)}"
    if any(key.endswith("_") and not key.startswith("_") for key in vars(value)):  # it is fitted
        return f"{name} {state_digest(value)}"
    return name
