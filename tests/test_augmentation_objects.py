"""Augmentations as parameter objects."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skvqts import augmentation as ag
from skvqts.augmentation import Augmentation, TimeMask
from skvqts.functional import augmentations as views
from skvqts.objectives import MaskedModelling

from .conftest import two_shapes
from .estimators import extractor, tokenizer
from .refusals import assert_refused

FUNCTIONS = {
    ag.AmplitudeResize: views.amplitude_resize,
    ag.BandDropout: views.band_dropout,
    ag.Crop: views.crop,
    ag.Flip: views.flip,
    ag.GaussianNoise: views.gaussian_noise,
    ag.MagnitudeWarp: views.magnitude_warp,
    ag.PhaseShift: views.phase_shift,
    ag.SliceAndShuffle: views.slice_and_shuffle,
    ag.Slope: views.slope,
    ag.TimeMask: views.time_mask,
    ag.WindowWarp: views.window_warp,
}


def generator():
    return torch.Generator().manual_seed(0)


def test_a_star_import_gives_the_public_classes_and_nothing_else():
    names = {}
    exec("from skvqts.augmentation import *", names)
    del names["__builtins__"]
    public = {
        name
        for name, cls in inspect.getmembers(ag, inspect.isclass)
        if cls.__module__ == ag.__name__ and not name.startswith("_")
    }
    assert set(names) == public
    assert public == {cls.__name__ for cls in (*FUNCTIONS, ag.Augmentation, ag.Compose)}


def test_every_augmenting_function_has_its_class():
    public = {
        function
        for name, function in inspect.getmembers(views, inspect.isfunction)
        if function.__module__ == views.__name__ and not name.startswith("_")
    }
    assert public - set(FUNCTIONS.values()) == {views.block_mask, views.hide, views.within_ends}


@pytest.mark.parametrize("cls", FUNCTIONS)
def test_an_augmentation_and_its_copies_call_the_function_with_their_parameters(cls):
    augmentation = cls()
    x = torch.randn(4, 2, 40, generator=generator())
    expected = FUNCTIONS[cls](x, generator(), **augmentation.get_params())
    for copy in (augmentation, clone(augmentation), pickle.loads(pickle.dumps(augmentation))):
        assert torch.equal(copy(x, generator()), expected)
    assert set(cls._parameter_constraints) == set(augmentation.get_params())


@pytest.mark.parametrize("cls", FUNCTIONS)
def test_parameters_outside_their_range_are_refused(cls):
    for name in cls().get_params():
        for bad in (-1, "a", None, float("nan")):
            with pytest.raises(
                InvalidParameterError, match=f"'{name}' parameter of {cls.__name__}"
            ):
                cls(**{name: bad})(torch.zeros(2, 1, 8), generator())


@pytest.mark.parametrize("cls", FUNCTIONS)
def test_a_view_of_an_array_has_its_shape_and_depends_on_the_seed_only(cls):
    X = two_shapes(6)[0]
    for series in (X, X[:, None], np.stack([X, X], axis=1)):
        view = cls().view(series, random_state=0)
        assert view.shape == series.shape
        assert view.dtype == np.float32
        assert np.array_equal(view, cls().view(series.tolist(), random_state=0))
    assert np.array_equal(X, two_shapes(6)[0])


def test_a_composition_applies_its_steps_in_turn():
    compose = ag.Compose([("noise", ag.GaussianNoise()), ("flip", ag.Flip())])
    x = torch.randn(4, 2, 40, generator=generator())
    g = generator()
    assert torch.equal(ag.Flip()(ag.GaussianNoise()(x, g), g), compose(x, generator()))


def test_parameters_of_steps_are_those_of_the_composition_under_their_names():
    compose = ag.Compose([("noise", ag.GaussianNoise()), ("flip", ag.Flip())])
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
    ids=(
        "one series",
        "no series",
        "no channel",
        "no time point",
        "missing values",
        "four dimensions",
        "unequal lengths",
    ),
)
def test_view_refuses_what_is_no_batch_of_finite_series(X, message):
    with pytest.raises(ValueError, match=message):
        ag.Crop().view(X)


def test_names_stand_for_the_published_augmentations():
    assert ag.make_augmentation("gauss").get_params() == {"scale": 0.05}
    assert ag.make_augmentation("slice").get_params() == {"n_segments": 4}
    warp = ag.make_augmentation("warp").get_params()
    wanted = {"warp__ratio": 0.4, "warp__low": 0.9, "warp__high": 2.0, "amplitude__scale": 0.2}
    assert wanted.items() <= warp.items()
    assert ag.make_augmentation("gauss") is not ag.make_augmentation("gauss")


def test_an_augmentation_that_is_passed_is_cloned():
    crop = ag.Crop(ratio=0.3)
    assert ag.make_augmentation(crop) is not crop
    assert ag.make_augmentation(crop).ratio == 0.3


@pytest.mark.parametrize(
    "steps",
    [[("a", "warp")], [ag.GaussianNoise()], ag.GaussianNoise(), [("a", ag.GaussianNoise)]],
    ids=str,
)
def test_compose_refuses_steps_that_are_no_pairs_of_a_name_and_an_augmentation(steps):
    with pytest.raises(ValueError, match="pairs of a name and an augmentation"):
        ag.Compose(steps).view(np.zeros((2, 9)))


def test_compose_refuses_two_steps_of_one_name():
    twice = ag.Compose([("noise", ag.GaussianNoise()), ("noise", ag.Flip())])
    with pytest.raises(ValueError, match="Names provided are not unique"):
        twice.view(np.zeros((2, 9)))


class Returning(Augmentation):
    """An augmentation of the user's own making, which returns what it is told to."""

    def __init__(self, change=None):
        self.change = change

    def __call__(self, x, generator):
        return self.change(x)


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        (lambda x: x[..., :7], ValueError, r"returned \(\d+, 1, 7\): a view has the shape"),
        (lambda x: x[:1], ValueError, r"returned \(1, 1, 32\)"),
        (lambda x: x.numpy(), TypeError, "must return a Tensor of series, got ndarray"),
        (lambda x: x > 0, TypeError, "must return series of real numbers, and not of torch.bool"),
        (lambda x: x * 1j, TypeError, "must return series of real numbers, and not of"),
        (lambda x: x * torch.nan, ValueError, "returned values that are missing or infinite"),
    ],
)
def test_what_an_augmentation_returns_is_judged(change, kind, told):
    X = two_shapes(24)[0]
    augmentation = Returning(change)
    for call in (
        lambda: augmentation.view(X),
        lambda: extractor(augmentation=augmentation).fit(X),
        lambda: tokenizer(ssl="vicreg", augmentation=augmentation).fit(X),
    ):
        assert_refused(call, (kind,), f"Returning .*{told}")


@pytest.mark.parametrize("dtype", [torch.float64, torch.int32])
def test_views_of_another_type_are_cast_to_that_of_the_series(dtype):
    X = np.round(two_shapes(24)[0])
    found, expected = (
        extractor(objective="vicreg", augmentation=Returning(change)).fit(X).transform(X)
        for change in (lambda x: x.round().to(dtype), torch.round)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("value", "told"),
    [(np.nan, "NaN: Flip does not accept missing values: interp"), (np.inf, "inf.* of Flip.$")],
)
def test_augmentations_say_themselves_that_values_are_not_finite(value, told):
    X = two_shapes(24)[0]
    X[3, 2] = value
    assert_refused(lambda: ag.Flip().view(X), (ValueError,), f"Input X contains {told}")


@pytest.mark.parametrize("strategy", ["blocks", "bands"])
def test_a_block_longer_than_the_series_is_the_series(strategy):
    X = two_shapes(24)[0]
    whole = TimeMask(ratio=0.5, block=32).view(X, random_state=0)
    np.testing.assert_array_equal(TimeMask(ratio=0.5, block=10**12).view(X, random_state=0), whole)
    huge = MaskedModelling(strategy=strategy, block=10**12)
    assert tokenizer(ssl=huge).fit(X).n_iter_ >= 1
