"""Values of estimators as JSON and arrays, and back: a closed list of kinds, and of classes.

JSON stands for None, truth values, whole numbers, finite floats, strings and lists. Anything else
is an object with one key, which names its kind. Instances of the classes that are marked by
`storable` become a class name and the values of their attributes; a fitted one is written once,
however often it is referred to.
"""

import math
import re
from inspect import signature
from numbers import Integral

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from .._version import __version__

_PLAIN = (bool, int, str, type(None))
_CLASSES = {"FrozenEstimator": FrozenEstimator}
# What belongs to the process that fitted an estimator, not to what it has learned.
_NOT_KEPT = ("_skl_callbacks", "_metadata_request")
_MOST_NESTED = 8  # objects within each other: messages show them, in a time that doubles with each
_MOST_OBJECTS = 200
# Attributes that networks are built from, and sizes that may be larger than they have weights.
_SHAPING = (
    "architecture_",
    "_shaped_by",
    "_series_sizes",
    "_n_kernels",
    "_n_features_out",
    "n_channels_in_",
    "n_timepoints_in_",
)
_LENGTHS = ("n_timepoints", "n_timepoints_in_", "downsampled_width")
_LONGEST = 10**9
_LAYERS = ("n_layers", "n_blocks")
_ARRAYS_OF_A_LAYER = 6  # at least


def storable(cls):
    """Mark a class whose instances may be in files; a decorator.

    Its state is ``__getstate__()``, put back by ``__setstate__(state)`` if it has one.
    """
    _CLASSES[cls.__name__] = cls
    return cls


class Encoder:
    """Turns values into what JSON can hold, and collects objects and arrays on the way.

    Parameters
    ----------
    short_names : bool
        Number the arrays, in place of names that say where they belong.

    Attributes
    ----------
    objects : list of dict
        Class and state of each object; it refers to objects before it by their number.
    arrays : dict of str to ndarray
    """

    def __init__(self, short_names=False):
        self.objects = []
        self.arrays = {}
        self._short_names = short_names
        self._numbers = {}  # of objects that are written, by identity
        self._kept = []  # so that no identity is used twice

    def encode(self, value, place):
        """A value as JSON.

        Parameters
        ----------
        value : object
        place : str
            Where it belongs, such as ``VQTokenizer.scaler_``.

        Raises
        ------
        TypeError
            If it is of no kind that files can hold.
        """
        if isinstance(value, np.generic):
            return {"scalar": self._add_array(np.asarray(value), place)}
        if isinstance(value, float):
            return float(value) if math.isfinite(value) else {"float": str(value)}
        if type(value) in _PLAIN:
            return value
        if isinstance(value, np.ndarray):
            return self._encoded_array(value, place)
        if isinstance(value, torch.Tensor):
            return {"tensor": self._add_array(value.detach().cpu().numpy(), place)}
        if type(value) is list:
            return [self.encode(item, f"{place}.{i}") for i, item in enumerate(value)]
        if type(value) is tuple:
            return {"tuple": [self.encode(item, f"{place}.{i}") for i, item in enumerate(value)]}
        if type(value) is dict:
            return {
                "dict": [
                    [self.encode(key, place), self.encode(item, f"{place}/{key}")]
                    for key, item in value.items()
                ]
            }
        if isinstance(value, torch.device):
            return {"device": str(value)}
        if isinstance(value, np.random.RandomState) and _is_usual(value):
            return {"random_state": self.encode(value.get_state(), place)}
        return {"object": self._add_object(value, place)}

    def _encoded_array(self, array, place):
        if array.dtype.kind == "V":
            raise TypeError(f"{place} is an array of records, which a model file cannot hold.")
        if array.dtype.kind != "O":
            return {"array": self._add_array(array, place)}
        # Labels, as lists and tables of text give them.
        if all(type(item) is str and not item.endswith("\0") for item in array.ravel()):
            return {"strings": self._add_array(array.astype(str), place)}
        items = [self.encode(item, place) for item in array.ravel()]
        return {"objects": [list(array.shape), items]}

    def _add_array(self, array, place):
        # A name in an archive cannot be anything.
        place = str(len(self.arrays)) if self._short_names else re.sub(r"[^\w./ -]", "_", place)
        name, number = place, 1
        while name in self.arrays:
            number += 1
            name = f"{place} {number}"
        self.arrays[name] = array
        return name

    def _add_object(self, value, place):
        if id(value) in self._numbers:
            return self._numbers[id(value)]
        cls = type(value)
        if _CLASSES.get(cls.__name__) is not cls:
            raise TypeError(
                f"{place} is a {cls.__module__}.{cls.__qualname__}, and a model file holds no "
                "class but those of skvqts, so that opening one never runs other code. Keep such "
                "an estimator with skops, or with pickle."
            )
        state = {name: item for name, item in value.__getstate__().items() if name not in _NOT_KEPT}
        encoded = {name: self.encode(item, f"{place}.{name}") for name, item in state.items()}
        self.objects.append({"class": cls.__name__, "state": encoded})
        if _is_fitted(state):
            self._kept.append(value)
            self._numbers[id(value)] = len(self.objects) - 1
        return len(self.objects) - 1


class Decoder:
    """Turns what an Encoder made back into values.

    Parameters
    ----------
    objects : list of dict
    arrays : dict of str to ndarray
        Each of them belongs to one value; those that are left over belong to none.
    version : str
        Of the skvqts that made them.

    Raises
    ------
    Exception
        Of any class, if they are not what an Encoder makes.
    """

    def __init__(self, objects, arrays, version=__version__):
        self.arrays = dict(arrays)
        self.version = version
        self.objects = []
        self._depths = []  # of what is nested in each object
        self._handed_out = set()  # numbers of those that are not fitted: each has one place
        if len(objects) > _MOST_OBJECTS:
            raise ValueError(f"it holds {len(objects)} objects.")
        for item in objects:  # each refers to objects before it only
            self._depth = 0
            self.objects.append(self._object(item["class"], item["state"]))
            self._depths.append(self._depth + 1)
            if self._depths[-1] > _MOST_NESTED:
                raise ValueError("its objects are nested too deeply.")

    def decode(self, value):
        """The value that some JSON stands for."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        match kind:
            case "float":
                return float(content)
            case "tuple":
                return tuple(self.decode(item) for item in content)
            case "dict":
                return {self.decode(key): self.decode(item) for key, item in content}
            case "array":
                return self._array(content)
            case "scalar":
                return self._array(content)[()]
            case "tensor":
                return torch.from_numpy(self._array(content))
            case "strings":
                return self._array(content).astype(object)
            case "objects":
                shape, items = content
                array = np.empty(len(items), dtype=object)
                array[:] = [self.decode(item) for item in items]
                return array.reshape(shape)
            case "device":
                return torch.device(content)
            case "random_state":
                random_state = np.random.RandomState()
                random_state.set_state(self.decode(content))
                return random_state
            case "object":
                return self._referred_to(content)
        raise ValueError(f"it holds a value of the kind {kind!r}.")

    def _array(self, name):
        if name not in self.arrays:
            raise ValueError(f"it does not hold the array {name!r}, or not for two values.")
        return self.arrays.pop(name)

    def _referred_to(self, number):
        if number not in range(len(self.objects)):
            raise ValueError(f"it refers to an object {number!r} that it does not hold.")
        # Shared parts could be shown in messages again and again without end.
        if number in self._handed_out:
            raise ValueError(f"it refers to the object {number} twice.")
        if not _is_fitted(vars(self.objects[number])):
            self._handed_out.add(number)
        self._depth = max(self._depth, self._depths[number])
        return self.objects[number]

    def _object(self, class_name, state):
        if class_name not in _CLASSES:
            raise ValueError(f"it holds a {class_name!r}, which is no class of model files.")
        cls = _CLASSES[class_name]
        state = {name: self.decode(value) for name, value in state.items()}
        self._complete(cls, state)
        if "_module_arrays" in state:
            _check_sizes(state)
        value = cls.__new__(cls)
        if hasattr(cls, "__setstate__"):
            value.__setstate__(state)
        else:
            vars(value).update(state)
        return value

    def _complete(self, cls, state):
        """Refuse a state that hides what the class defines; parameters of later versions are added.

        A parameter that the version of the file did not have has its default.
        """
        parameters = {}
        if hasattr(cls, "get_params"):
            defaults = signature(cls).parameters
            parameters = {name: defaults[name].default for name in cls._get_param_names()}
        for name in set(state) - set(parameters):
            if hasattr(cls, name) or not name.isidentifier() or name.startswith("__"):
                raise ValueError(f"a {cls.__name__} in it has an attribute {name!r}.")
        for name in set(parameters) - set(state):
            if self.version == __version__:
                raise ValueError(f"a {cls.__name__} in it has no {name}.")
            state[name] = parameters[name]


def _is_usual(random_state):
    """Whether its numbers are of the kind that NumPy makes by default."""
    return random_state.get_state(legacy=False)["bit_generator"] == "MT19937"


def _is_fitted(attributes):
    return any(name.endswith("_") and not name.startswith("_") for name in attributes)


def _check_sizes(state):
    """Refuse sizes that the weights in a file are too few for, before a network is built of them.

    Every size of a network is at most the number of its weights, and each layer has some arrays.
    """
    arrays = state["_module_arrays"].values()
    n_weights = sum(array.size for array in arrays)

    def check(name, value):
        if isinstance(value, dict):
            for key, item in value.items():
                check(key, item)
        elif isinstance(value, (list, tuple)):
            for item in value:
                check(name, item)
        elif isinstance(value, Integral):
            most = _LONGEST if name in _LENGTHS else max(2, n_weights)
            if name in _LAYERS:
                most = len(arrays) // _ARRAYS_OF_A_LAYER
            if not 0 <= value <= most:
                raise ValueError(f"{name}={value} is more than it has weights for.")
        elif isinstance(value, np.ndarray):
            raise ValueError(f"the size {name} of a network in it is an array.")

    for name in _SHAPING:
        check(name, state.get(name))
