"""Samples of a distribution, moved to agree with what was observed."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional.conditioning import agreement, ensemble_update, tempered_shares


def test_agreement_is_the_mean_squared_difference_of_what_was_observed():
    members = torch.tensor([[0.0, 1.0, 5.0], [2.0, 2.0, -7.0]])
    series = torch.tensor([1.0, 4.0, math.nan])
    known = torch.tensor([True, True, False])
    assert agreement(members, series, known).tolist() == [5.0, 2.5]
    assert agreement(members, series, torch.zeros(3, dtype=torch.bool)).tolist() == [0.0, 0.0]


def test_tempered_shares_are_worked_by_hand():
    shares = tempered_shares(torch.tensor([3.0, 1.0, 2.0]), 0.5)
    weights = [math.exp(-4), 1.0, math.exp(-2)]
    assert shares.tolist() == pytest.approx([weight / sum(weights) for weight in weights])


@given(
    n=st.integers(3, 9),
    d=st.integers(1, 12),
    seed=st.integers(0, 2**16),
    share=st.floats(0, 1),
)
def test_the_update_is_that_of_the_covariance_of_all_members(n, d, seed, share):
    rng = np.random.default_rng(seed)
    members = rng.normal(size=(n, d)) @ rng.normal(size=(d, d))
    series, noise = rng.normal(size=d), rng.uniform(0.1, 2, d)
    known = rng.random(d) < share
    chosen = rng.integers(n, size=4)
    covariance = np.cov(members.T).reshape(d, d)
    gain = covariance[np.ix_(~known, known)] @ np.linalg.inv(
        covariance[np.ix_(known, known)] + np.diag(noise[known])
    )
    expected = members[chosen][:, ~known] + (series - members[chosen])[:, known] @ gain.T
    parts = (members, chosen, series, known, noise)
    moved = ensemble_update(*(torch.from_numpy(part) for part in parts))
    np.testing.assert_allclose(moved.numpy(), expected, rtol=1e-7, atol=1e-7)


def test_moved_members_of_a_normal_distribution_are_draws_given_what_was_observed():
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.8, 0.3], [0.8, 2.0, 0.5], [0.3, 0.5, 1.5]])
    members = rng.multivariate_normal([1.0, -2.0, 0.5], covariance, size=1000)
    series = torch.tensor([2.0, 0.0, 0.0], dtype=torch.float64)
    known = torch.tensor([True, False, True])
    noise = torch.full((3,), 1e-6, dtype=torch.float64)
    moved = ensemble_update(torch.from_numpy(members), torch.arange(1000), series, known, noise)
    moved = moved.numpy()
    gain = covariance[1, [0, 2]] @ np.linalg.inv(covariance[np.ix_([0, 2], [0, 2])])
    mean = -2.0 + gain @ [1.0, -0.5]
    variance = 2.0 - gain @ covariance[[0, 2], 1]
    assert moved.mean() == pytest.approx(mean, abs=4 * math.sqrt(variance / 1000) + 0.1)
    assert moved.var() == pytest.approx(variance, rel=0.15)
