"""Estimators inside estimators: a clone with a seed, or one that is used as it is."""

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted


def seeded_clone(estimator, generator):
    """An unfitted clone; without a `random_state` of its own it gets one from `generator`."""
    estimator = clone(estimator)
    if estimator.random_state is None:
        seed = torch.randint(2**31 - 1, (1,), generator=generator, device="cpu")
        estimator.set_params(random_state=int(seed))
    return estimator


def fitted_inside(owner, parameter, kinds):
    """The fitted estimator in the FrozenEstimator that `owner` has as `parameter`.

    Raises
    ------
    TypeError
        If it is not of one of the `kinds`, a tuple of classes.
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
