"""Objectives as parameter objects."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skvqts import objectives as public
from skvqts._nn.layers import build
from skvqts._nn.self_supervision import mean_and_maximum
from skvqts.functional import objectives as ob
from skvqts.objectives import (
    OBJECTIVES,
    BarlowTwins,
    Objective,
    VCReg,
    VIbCReg,
    VICReg,
    make_objective,
)

from .conftest import two_shapes
from .estimators import extractor, tokenizer
from .test_branches import Encoder, generator, view


def test_a_star_import_gives_the_public_classes_and_nothing_else():
    names = {}
    exec("from skvqts.objectives import *", names)
    del names["__builtins__"]
    classes = {
        name
        for name, cls in inspect.getmembers(public, inspect.isclass)
        if cls.__module__ == public.__name__ and not name.startswith("_")
    }
    assert set(names) == classes
    assert classes == {cls.__name__ for cls in (public.Objective, *OBJECTIVES.values())}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_parameter_can_be_set_and_is_cloned(name):
    objective = OBJECTIVES[name]()
    for parameter in objective.get_params():
        objective.set_params(**{parameter: 7})
    assert set(clone(objective).get_params().values()) == {7}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_make_objective_gives_a_new_one(name):
    objective = OBJECTIVES[name]()
    assert make_objective(objective) is not objective
    assert isinstance(make_objective(name), OBJECTIVES[name])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_parameter_outside_its_range_is_refused_by_name(name):
    for parameter in OBJECTIVES[name]().get_params():
        objective = OBJECTIVES[name](**{parameter: -1})
        with pytest.raises(ValueError, match=f"The '{parameter}' parameter of"):
            objective.make_branch(6, 50)


WEIGHTED = {
    "barlow": (BarlowTwins(0.5, 8), lambda a, b: ob.barlow_twins(a, b, 0.5)),
    "vicreg": (VICReg(1.0, 2.0, 3.0, 8), lambda a, b: ob.vicreg(a, b, 1, 2, 3)),
    "vibcreg": (VIbCReg(1.0, 2.0, 3.0, 8), lambda a, b: ob.vibcreg(a, b, 1, 2, 3)),
    "vcreg": (VCReg(2.0, 3.0, 8), lambda a, b: ob.vicreg(a, b, 0, 2, 3)),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_parameters_reach_the_loss(name):
    objective, loss = WEIGHTED[name]
    branch = build(lambda: objective.make_branch(6, 50), generator())
    encoder = build(Encoder, generator()).train()
    first, second = view(encoder), view(encoder, seed=1)
    branch.eval()
    projected = [branch.projector(mean_and_maximum(v.latents)) for v in (first, second)]
    assert projected[0].shape == (6, 8)
    assert branch(first, second).item() == pytest.approx(loss(*projected).item())


class Agreement(Objective):
    """An objective of the user's own making, by the documentation of `Objective` alone."""

    def make_branch(self, dim, n_series):
        class Branch(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.linear = torch.nn.Linear(dim, 4)

            def forward(self, first, second):
                difference = self.linear(first.pooled()) - self.linear(second.pooled())
                return difference.square().mean()

        return Branch()


@pytest.mark.parametrize("make", [lambda o: tokenizer(ssl=o), lambda o: extractor(objective=o)])
def test_an_objective_of_the_users_own_needs_a_branch_and_no_more(make):
    X = two_shapes(24)[0]
    curves = [make(Agreement()).fit(X).loss_curve_["ssl"] for _ in range(2)]
    assert np.isfinite(curves[0]).all()
    np.testing.assert_array_equal(*curves)
