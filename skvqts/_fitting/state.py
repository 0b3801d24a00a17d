"""State of fitted estimators: pickled as NumPy arrays, untouched by a failed fit."""

import warnings
from contextlib import contextmanager

import torch

from .._nn.initialise import allocate
from .._version import __version__
from ..exceptions import VersionWarning
from .validation import resolve_device


class TorchStateMixin:
    """Pickles the network of an estimator as NumPy arrays.

    A class that uses it has, once fitted, `module_`, `device_` and
    ``_module_constructor()``, which builds an equal network from other fitted attributes.
    A model fitted on a GPU opens on a machine without one.
    """

    def __getstate__(self):
        state = dict(super().__getstate__())
        module = state.pop("module_", None)
        if module is not None:
            state["_module_arrays"] = {
                name: value.cpu().numpy() for name, value in module.state_dict().items()
            }
        return state | {"_skvqts_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        name, version = type(self).__name__, state.pop("_skvqts_version", "unknown")
        if version != __version__:
            warnings.warn(
                f"This {name} was pickled by skvqts {version} and is opened by {__version__}: it "
                "may not work, or give other results.",
                VersionWarning,
                stacklevel=2,
            )
        arrays = state.pop("_module_arrays", None)
        super().__setstate__(state)
        if arrays is not None:
            self.device_ = _available(self.device_, name)
            self.module_ = _restored(self._module_constructor(), arrays).to(self.device_)


def _restored(constructor, arrays):
    module = allocate(constructor)
    module.load_state_dict({name: torch.tensor(value) for name, value in arrays.items()})
    return module.eval()


def _available(device, name):
    try:
        return str(resolve_device(device))
    except ValueError:
        warnings.warn(
            f"This {name} was fitted on {device!r}, which is not present here; "
            "it continues on the CPU.",
            stacklevel=4,
        )
        return "cpu"


@contextmanager
def unchanged_on_failure(estimator):
    """Whatever is raised inside, `estimator` is left with the attributes it had before."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
