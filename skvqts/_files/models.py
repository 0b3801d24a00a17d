"""Models in files: what `save` writes and `load` opens."""

import hashlib
import json
import os

import joblib
import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from .._version import __version__
from ..exceptions import ModelFileError
from .container import read_file, write_file
from .encoding import Decoder, Encoder

_TRAINING_SERIES = ("X_fit_", "y_fit_")
_NOT_LEARNED = (
    "_skvqts_version",
    "_sklearn_version",
    "device",
    "device_",
    "n_threads",
    "n_threads_",
    "verbose",
    "name",
)


def save_model(model, path, *, include_training_series=False):
    """Write a fitted model to a file; see `TorchStateMixin.save`, which documents it."""
    name = type(model).__name__
    _check_path(path, f"{name}.save")
    if hasattr(model, "fit"):
        check_is_fitted(model)
        model._validate_params()  # or `load` would find it not valid
    encoder = Encoder()
    manifest = {"content": "model", "skvqts": __version__, "model": encoder.encode(model, name)}
    if include_training_series:
        series = {key: vars(model)[key] for key in _TRAINING_SERIES if key in vars(model)}
        if not series:
            raise ValueError(
                f"This {name} holds no training series: only generators keep them, in the process "
                "that fitted them."
            )
        # What is read by slices, such as a data set of HDF5, is read here.
        whole = {
            key: values if isinstance(values, (list, np.ndarray)) else np.asarray(values[:])
            for key, values in series.items()
        }
        manifest["training_series"] = encoder.encode(whole, name)
    manifest["objects"] = encoder.objects
    try:
        _model(manifest, encoder.arrays)
    except Exception as error:
        raise ValueError(f"This {name} cannot be kept in a file: {error}") from error
    write_file(path, manifest, encoder.arrays)


def content_digest(model):
    """SHA-256 digest of what a model has learned: 64 hex digits.

    Where and by which versions it was learned, and how it is called, is left out.
    """
    encoder = Encoder()
    encoder.encode(model, "model")
    objects = [
        {"class": item["class"]}
        | {name: value for name, value in item["state"].items() if name not in _NOT_LEARNED}
        for item in encoder.objects
    ]
    digest = hashlib.sha256(json.dumps(objects, sort_keys=True).encode())
    for name in sorted(encoder.arrays):
        array = np.ascontiguousarray(encoder.arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def state_digest(estimator):
    """`content_digest`, or the hash of the pickle of what no model file can hold."""
    try:
        return content_digest(estimator)
    except TypeError:  # not of this library, or with a part that is not
        return joblib.hash(estimator)


def load(path):
    """Open a model that was kept by its method `save`.

    The file is trusted in nothing: a checksum over all of it is verified before anything is used,
    no code in it is run, and only classes of skvqts are made from it. A file from a stranger can
    still hold a model that is wrong.

    Parameters
    ----------
    path : str, bytes or os.PathLike

    Returns
    -------
    model : estimator or ReferenceStatistics
        Of the class that was saved, fitted; it gives the same bits as the one that was saved.
        A model fitted on a GPU opens on a machine without one, on the CPU.

    Raises
    ------
    ModelFileError
        If the file is not a model of this library, is damaged, or was written by a newer skvqts.
    OSError
        If there is no file, or it cannot be read.

    Warns
    -----
    VersionWarning
        If another version of skvqts wrote it.
    UserWarning
        If it was fitted on a device that is not present here; it opens on the CPU then.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> import skvqts
    >>> X = np.sin(np.linspace(0, 6, 40) + np.arange(20)[:, None])
    >>> extractor = skvqts.RandomConvolutionExtractor().fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "extractor.skvqts")
    ...     extractor.save(path)
    ...     same = skvqts.load(path)
    >>> np.array_equal(same.transform(X), extractor.transform(X))
    True
    """
    _check_path(path, "load")
    name = repr(os.fsdecode(path))
    manifest, arrays = read_file(path)
    content = manifest.get("content")
    if content == "checkpoint":
        raise ModelFileError(
            f"{name} is the checkpoint of a fit that is not done, not a model: run that fit again."
        )
    if content != "model":
        raise ModelFileError(f"{name} holds a {content!r}, not a model.")
    try:
        return _model(manifest, arrays)
    except Warning:  # the user turns warnings into errors
        raise
    # Whatever stands in a file that someone else has sealed, one error tells of it.
    except Exception as error:
        raise ModelFileError(f"{name} is not a valid model: {error}") from error


def _check_path(path, caller):
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"{caller} takes the path of a file, got {type(path).__name__}.")


def _model(manifest, arrays):
    """The model that a file holds; any exception if it is not valid."""
    decoder = Decoder(manifest["objects"], arrays, str(manifest["skvqts"]))
    model = decoder.decode(manifest["model"])
    series = decoder.decode(manifest.get("training_series", {"dict": []}))
    if not set(series) <= set(_TRAINING_SERIES):
        raise ValueError(f"it holds {sorted(series)} as training series.")
    if decoder.arrays:
        raise ValueError(f"it holds an array {min(decoder.arrays)!r} that belongs nowhere.")
    for part in decoder.objects:
        if hasattr(type(part), "_parameter_constraints"):
            part._validate_params()
        if hasattr(part, "module_"):
            _check_weights(part)
    if not hasattr(type(model), "save"):
        raise ValueError(f"it holds a {type(model).__name__}, which is only a part of a model.")
    if hasattr(model, "fit"):
        check_is_fitted(model)
    for key, values in series.items():
        for array in values if isinstance(values, list) else [values]:
            array.setflags(write=False)
        vars(model)[key] = values
    return model


def _check_weights(estimator):
    for name, values in estimator.module_.state_dict().items():
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise ValueError(f"the weights {name} of a {type(estimator).__name__} are not finite.")
