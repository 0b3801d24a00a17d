"""Measures of collapse against cases worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional.collapse import effective_rank, has_collapsed, relative_std


@given(rank=st.integers(1, 6), seed=st.integers(0, 1000))
def test_effective_rank_counts_directions_of_equal_variance(rank, seed):
    """The rows are orthonormal columns of mean 0, turned at random."""
    rng = np.random.default_rng(seed)
    columns = np.linalg.qr(np.c_[np.ones(20), rng.normal(size=(20, rank))])[0][:, 1:]
    turn = np.linalg.qr(rng.normal(size=(9, 9)))[0][:rank]
    assert effective_rank(torch.tensor(5 + columns @ turn)) == pytest.approx(rank)


def test_effective_rank_by_hand():
    z = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    p = np.array([0.75, 0.25])  # singular values 3 and 1, times the root of 2
    assert effective_rank(z) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert effective_rank(torch.full((5, 3), 7.3)) == 0


def test_relative_std_by_hand():
    latents = torch.tensor([[[1.0, 2.0], [1.0, -2.0]], [[-1.0, 2.0], [-1.0, -2.0]]])
    std = relative_std(latents, latents.mean(1))
    assert std.tolist() == [1, 0]  # the second dimension has the same mean in all series
    assert relative_std(0 * latents, 0 * latents.mean(1)).tolist() == [0, 0]


def test_collapsed_are_no_deviation_and_a_single_direction_of_many():
    one = torch.outer(torch.linspace(-1, 1, 20), torch.tensor([1.0, 2.0, -1.0]))
    many = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert has_collapsed(0.5, effective_rank(one), 20, 3)
    assert not has_collapsed(0.5, effective_rank(one[:, :1]), 20, 1)  # there is no other direction
    assert not has_collapsed(0.5, effective_rank(many), 20, 3)
    assert not has_collapsed(0.5, 1.0, 2, 3)  # two series differ in one direction
    assert has_collapsed(0.001, effective_rank(many), 20, 3)
    assert has_collapsed(0.001, 1.0, 20, 1)
