"""State of fitted estimators: what a fit sets, keeps and restores, pickles, nested estimators."""

from copy import deepcopy
from functools import wraps

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from .._files.models import save_model
from .._nn.layers import build, restore
from .._version import __version__
from ..exceptions import VersionWarning, warn_user
from .runtime import computing
from .scaling import SeriesScaler
from .validation import resolve_device

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn older than 1.9

    class CallbackSupportMixin:
        """Stands in for scikit-learn's: no callbacks can be set."""

    def with_callbacks(method):
        """Stand in for scikit-learn's decorator: nothing to set up or tear down."""
        return method


class TorchStateMixin:
    """Keeps an estimator in a file or a pickle, and says that it takes panels.

    Its network is kept as NumPy arrays.

    A class that uses it has, once fitted, `module_`, `device_` and ``_network_constructor()``,
    which gives a function that builds an equal network from other fitted attributes.
    A model fitted on a GPU opens on a machine without one.
    """

    def save(self, path, *, include_training_series=False):
        """Keep the fitted estimator in a file that `skvqts.load` opens, without pickle.

        Callbacks and requests of metadata are not kept.

        The file is written beside `path` first, and then takes its place: whatever happens, the old
        file or the new one is there. It is a zip archive of NumPy arrays, which
        ``numpy.load(path)`` reads as well, and of JSON. Equal models make equal files.

        Parameters
        ----------
        path : str, bytes or os.PathLike
        include_training_series : bool, default=False
            Write the training series of a generator too, which scorers compare samples with. By
            default no file holds any.

        Raises
        ------
        NotFittedError
            If it is not fitted.
        TypeError
            If it holds an object that is not of this library, such as an objective of your own.
        ValueError
            If a parameter is not valid, there are no training series to include, or there is more
            than a file holds, such as parameters nested eight deep.
        OSError
            If the file cannot be written.
        """
        save_model(self, path, include_training_series=include_training_series)

    def __getstate__(self):
        state = dict(super().__getstate__())
        for name in ("X_fit_", "y_fit_"):  # training series stay in this process
            state.pop(name, None)
        module = state.pop("module_", None)
        if module is not None:
            state["_module_arrays"] = {
                name: value.cpu().numpy() for name, value in module.state_dict().items()
            }
        return state | {"_skvqts_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        name = type(self).__name__
        version = state.pop("_skvqts_version", "unknown")
        if version != __version__:
            warn_user(
                f"This {name} was kept by skvqts {version} and is opened by {__version__}: it may "
                "not work, or give other results.",
                VersionWarning,
            )
        arrays = state.pop("_module_arrays", None)
        super().__setstate__(state)
        if arrays is not None:
            self.device_ = _device_here(self.device_, name)
            # A copy of large arrays takes threads too, which a forked child must not wait for.
            with computing(torch.device("cpu"), 1, training=True):
                network = restore(self._network_constructor(), arrays)
                self.module_ = network.eval().to(self.device_)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _device_here(device, name):
    """The device that an estimator was fitted on, or the CPU where this machine has none such."""
    try:
        return str(resolve_device(device))
    except ValueError:
        warn_user(
            f"This {name} was fitted on {device!r}, which is not present here; "
            "it continues on the CPU."
        )
        return "cpu"


def unchanged_on_failure(method):
    """Decorate a method: whatever it raises, the estimator is left with the attributes it had."""

    @wraps(method)
    def call_or_restore(estimator, *args, **kwargs):
        # A shallow copy will do: a fit replaces attributes and changes none of them in place.
        before = dict(vars(estimator))
        try:
            return method(estimator, *args, **kwargs)
        except BaseException:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return call_or_restore


def all_or_nothing(fit):
    """Decorate a `fit`: whatever it raises, the estimator is left with the attributes it had.

    Where Ctrl-C ended the training early, the estimator is fitted with what was learned until then,
    and KeyboardInterrupt is raised, so that a search stops. Callbacks are torn down in any case.
    """
    fit = unchanged_on_failure(with_callbacks(fit))

    @wraps(fit)
    def fit_or_interrupt(estimator, *args, **kwargs):
        fit(estimator, *args, **kwargs)
        if getattr(estimator, "interrupted_", False):
            raise KeyboardInterrupt
        return estimator

    return fit_or_interrupt


def network_to_train(estimator, X, shaped_by, warm, generator):
    """The network of the previous fit, or a new one beside a new scaler, `scaler_`.

    Parameters
    ----------
    estimator : estimator
        It remembers in `_shaped_by` what shaped its network and scaling.
    X : ndarray of shape (n, c, t)
        Training series.
    shaped_by : tuple
        What shapes them now.
    warm : bool
        Continue with a copy of the network, and with the scaler, of the previous fit.
    generator : torch.Generator
        What the weights of a new network are drawn from.

    Raises
    ------
    ValueError
        If what shapes a network that is to be continued has changed.
    """
    if not warm:
        estimator._shaped_by = shaped_by
        estimator.scaler_ = SeriesScaler(per_series=estimator.scaling == "series").fit(X)
        return build(estimator._network_constructor(), generator)
    if shaped_by != estimator._shaped_by:
        raise ValueError(
            f"{type(estimator).__name__}(warm_start=True) continues with the network of the "
            "previous fit, but parameters that shape the network, its codebook or the scaling "
            "have changed since: set them back, or set warm_start=False."
        )
    return deepcopy(estimator.module_)


def with_default_parts(estimator, params, makers):
    """Parameters for `set_params`, with the parts whose parameters are set though they are None.

    A part that is None, or a name, stands for a default; it is made here, so that its parameters
    can be searched.

    Parameters
    ----------
    estimator : estimator
    params : dict
        As `set_params` takes them.
    makers : dict of str to callable
        ``make(value)`` gives the object that a value of a parameter stands for.
    """
    parts = {}
    for name, make in makers.items():
        value = params.get(name, getattr(estimator, name))
        is_nested = any(key.startswith(f"{name}__") for key in params)
        if is_nested and (value is None or isinstance(value, str)):
            parts[name] = make(value)
            if parts[name] is None:
                raise ValueError(
                    f"{name}={value!r} of this {type(estimator).__name__} has no parameters: set "
                    f"{name} to an object that has."
                )
    return params | parts


def shared_parameters(estimator, names, params):
    """Parameters of an estimator that its default parts have too, as `params` will set them."""
    return {name: params.get(name, getattr(estimator, name)) for name in names}


def seeded_clone(estimator, generator):
    """An unfitted clone; without a `random_state` of its own it gets one from `generator`.

    One that has no such parameter, as a Pipeline, gets one for each of its parts.
    """
    estimator = clone(estimator)
    names = ["random_state"]
    if not hasattr(estimator, "random_state"):
        names = sorted(n for n in estimator.get_params() if n.endswith("__random_state"))
    for name in names:
        if estimator.get_params()[name] is None:
            seed = torch.randint(2**31 - 1, (1,), generator=generator, device="cpu")
            estimator.set_params(**{name: int(seed)})
    return estimator


def frozen_inside(owner, parameter, kinds):
    """The fitted estimator in the FrozenEstimator that `owner` has as a parameter.

    Parameters
    ----------
    owner : estimator
        Whose shape of series is known.
    parameter : str
        Name of its parameter.
    kinds : tuple of classes

    Raises
    ------
    TypeError
        If the estimator is not of one of the `kinds`.
    NotFittedError
        If it is not fitted.
    ValueError
        If it was fitted to series of another shape, or with other feature names, than `owner`.
    """
    estimator = getattr(owner, parameter).estimator
    name = type(estimator).__name__
    if not isinstance(estimator, kinds):
        wanted = " or ".join(f"a fitted {kind.__name__}" for kind in kinds)
        raise TypeError(f"FrozenEstimator as `{parameter}` must hold {wanted}, got {name}.")
    check_is_fitted(estimator)
    ours, theirs = (getattr(e, "feature_names_in_", None) for e in (owner, estimator))
    if ours is not None and theirs is not None and not np.array_equal(ours, theirs):
        raise ValueError(
            f"The feature names should match those that were passed to fit of the {name} "
            f"in `{parameter}`."
        )
    for shape, unit in (("n_channels_in_", "channels"), ("n_timepoints_in_", "time points")):
        ours, theirs = getattr(owner, shape), getattr(estimator, shape)
        if ours != theirs:
            raise ValueError(
                f"X has {ours} {unit}, but the {name} in `{parameter}` is expecting {theirs} "
                f"{unit} as input."
            )
    return estimator
