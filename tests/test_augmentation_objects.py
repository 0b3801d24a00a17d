"""Augmentations as parameter objects."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skvqts import augmentation as ag
from skvqts.functional import augmentations as views

from .conftest import two_shapes

CLASSES = [
    cls
    for _, cls in inspect.getmembers(ag, inspect.isclass)
    if issubclass(cls, ag._Function) and cls is not ag._Function
]


def generator():
    return torch.Generator().manual_seed(0)


def test_every_function_has_its_class():
    functions = {cls._function for cls in CLASSES}
    public = {
        function
        for name, function in inspect.getmembers(views, inspect.isfunction)
        if function.__module__ == views.__name__ and not name.startswith("_")
    }
    assert public - functions == {views.block_mask}


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_reach_the_function_and_survive_copies(cls):
    augmentation, x = cls(), torch.randn(4, 2, 40, generator=generator())
    expected = cls._function(x, generator(), **augmentation.get_params())
    for copy in (augmentation, clone(augmentation), pickle.loads(pickle.dumps(augmentation))):
        assert torch.equal(copy(x, generator()), expected)
    assert set(cls._parameter_constraints) == set(augmentation.get_params())


@pytest.mark.parametrize("cls", CLASSES)
def test_parameters_outside_their_range_are_refused(cls):
    for name in cls().get_params():
        for bad in (-1, "a", None, float("nan")):
            with pytest.raises(
                InvalidParameterError, match=f"'{name}' parameter of {cls.__name__}"
            ):
                cls(**{name: bad})(torch.zeros(2, 1, 8), generator())


@pytest.mark.parametrize("cls", CLASSES)
def test_views_of_arrays_have_their_shape_and_follow_the_seed(cls):
    X = two_shapes(6)[0]
    for series in (X, X[:, None], np.stack([X, X], axis=1)):
        view = cls().view(series, random_state=0)
        assert view.shape == series.shape
        assert view.dtype == np.float32
        assert np.array_equal(view, cls().view(series.tolist(), random_state=0))
    assert np.array_equal(X, two_shapes(6)[0])


def test_a_composition_applies_its_steps_in_turn():
    compose = ag.Compose([("noise", ag.GaussianNoise()), ("flip", ag.Flip())])
    x, g = torch.randn(4, 2, 40, generator=generator()), generator()
    assert torch.equal(ag.Flip()(ag.GaussianNoise()(x, g), g), compose(x, generator()))
    assert compose.get_params()["noise__scale"] == 0.05
    changed = clone(compose).set_params(noise__scale=0.5, flip=ag.Slope())
    assert changed.get_params()["flip__scale"] == 0.005
    assert compose.get_params()["noise__scale"] == 0.05
    assert changed.view(two_shapes(3)[0], random_state=0).shape == (3, 32)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros(16), "Expected 2D array, got 1D"),
        (np.zeros((0, 16)), r"0 sample\(s\)"),
        (np.zeros((2, 0, 16)), "no channel or no time point"),
        (np.zeros((2, 3, 0)), "no channel or no time point"),
        (np.full((2, 16), np.nan), "Input X contains NaN"),
        (np.zeros((2, 1, 1, 16)), "dim <= 3"),
        ([[1.0, 2.0], [1.0]], "unequal length"),
    ],
    ids=("one series", "none", "no channel", "no point", "missing", "four dimensions", "lengths"),
)
def test_views_of_what_are_no_series(X, message):
    with pytest.raises(ValueError, match=message):
        ag.Crop().view(X)


def test_the_published_sets():
    assert ag.make_augmentation("gauss").get_params() == {"scale": 0.05}
    assert ag.make_augmentation("slice").get_params() == {"n_segments": 4}
    warp = ag.make_augmentation("warp").get_params()
    wanted = {"warp__ratio": 0.4, "warp__low": 0.9, "warp__high": 2.0, "amplitude__scale": 0.2}
    assert wanted.items() <= warp.items()
    assert ag.make_augmentation("gauss") is not ag.make_augmentation("gauss")
    mine = ag.Crop(ratio=0.3)
    assert ag.make_augmentation(mine) is not mine
    assert ag.make_augmentation(mine).ratio == 0.3


@pytest.mark.parametrize(
    "steps",
    [[("a", "warp")], [ag.GaussianNoise()], ag.GaussianNoise(), [("a", ag.GaussianNoise)]],
    ids=str,
)
def test_compose_says_what_its_steps_are(steps):
    with pytest.raises(ValueError, match="pairs of a name and an augmentation"):
        ag.Compose(steps).view(np.zeros((2, 9)))


def test_names_of_steps_are_unique():
    twice = ag.Compose([("noise", ag.GaussianNoise()), ("noise", ag.Flip())])
    with pytest.raises(ValueError, match="Names provided are not unique"):
        twice.view(np.zeros((2, 9)))
