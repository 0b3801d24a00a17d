"""Features from tokens and latents against slow references and by hand."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional import readout

from . import reference


@given(b=st.integers(1, 5), n=st.integers(1, 9), k=st.integers(1, 6), seed=st.integers(0, 1000))
def test_bag_of_codes_and_one_hot_match_reference(b, n, k, seed):
    ids = np.random.default_rng(seed).integers(0, k, (b, n))
    bag = readout.bag_of_codes(torch.tensor(ids), k).numpy()
    np.testing.assert_allclose(bag, reference.bag_of_codes(ids, k), rtol=1e-6)
    one_hot = readout.one_hot(torch.tensor(ids), k).numpy().reshape(b, n, k)
    assert (one_hot.sum(2) == 1).all()
    assert (one_hot.argmax(2) == ids).all()


@given(
    b=st.integers(1, 3),
    grid=st.sampled_from([((1, 1),), ((1, 7),), ((1, 35),), ((2, 5),), ((1, 3), (1, 20))]),
    k=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_positional_bag_matches_one_part_at_a_time(b, grid, k, seed):
    n_tokens = sum(rows * columns for rows, columns in grid)
    codes = np.random.default_rng(seed).integers(0, k, (b, n_tokens))
    bag = readout.positional_bag(torch.tensor(codes), k, grid).numpy()
    np.testing.assert_allclose(bag, reference.positional_bag(codes, k, grid), rtol=1e-6)
    everywhere = torch.ones(b, n_tokens, dtype=torch.bool)
    assert np.array_equal(readout.positional_bag(torch.tensor(codes), k, grid, everywhere), bag)


def test_positional_bag_leaves_out_what_is_beyond_the_end():
    codes = torch.tensor([[0, 1, 1, 0, 2, 2, 0, 1]])
    inside = torch.tensor([[True] * 4 + [False] * 4])
    bag = readout.positional_bag(codes, 3, ((1, 8),), inside)[0].view(-1, 3)
    # Of fewer tokens than parts the last token is all further parts, as of `pool`.
    known = readout.positional_bag(codes[:, :4], 3, ((1, 4),))[0].view(-1, 3)
    torch.testing.assert_close(bag[:7] * 15**0.5, known * 7**0.5)
    codes_of_parts = bag[7:].argmax(1)
    assert codes_of_parts.tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    torch.testing.assert_close(bag[7:], torch.eye(3)[codes_of_parts] / 15**0.5)


def test_pool_by_hand():
    z = torch.tensor([[[1.0, -1.0], [3.0, 0.0], [5.0, 4.0], [7.0, 5.0]]])
    pooled = readout.pool(z, ("mean", "max"), (1, 2))
    assert pooled.tolist() == [[4, 2, 7, 5, 2, -0.5, 3, 0, 6, 4.5, 7, 5]]
    assert readout.pool(z, ("variation",), (1, 4)).tolist() == [[2, 2] + [0] * 8]
    assert readout.pool(z, ("min",), (1, 2)).tolist() == [[1, -1, 1, -1, 5, 4]]
    spread = readout.pool(z, ("std",), (1,)).numpy()
    np.testing.assert_allclose(spread, np.std(z.numpy(), axis=1), rtol=1e-6)


def test_shares_by_hand():
    z = torch.tensor([[[-3.0], [-0.7], [0.2], [1.5]], [[0.0], [0.0], [0.0], [3.0]]])
    shares = readout.pool(z, ("shares",), (1,))  # above -2, -1, -0.5, 0, 0.5, 1, 2
    assert shares.tolist() == [
        [0.75, 0.75, 0.5, 0.5, 0.25, 0.25, 0],
        [1, 1, 1, 0.25, 0.25, 0.25, 0.25],
    ]


def run_and_position(values):
    """Longest run and mean position of the positive values of one column."""
    n = len(values)
    longest = run = 0
    positions = []
    for i, value in enumerate(values):
        run = run + 1 if value > 0 else 0
        longest = max(longest, run)
        if value > 0:
            positions.append((i + 0.5) / n)
    return longest / n, np.mean(positions) if positions else -1.0


@given(n=st.integers(1, 9) | st.sampled_from([64, 65, 200]), seed=st.integers(0, 1000))
def test_positions_and_stretches_match_one_value_at_a_time(n, seed):
    z = np.random.default_rng(seed).integers(-1, 2, (3, n, 2)).astype(np.float32)
    pooled = readout.pool(torch.tensor(z), ("stretches", "positions"), (1,)).numpy()
    for row, series in zip(pooled, z, strict=True):
        expected = [run_and_position(sign * column) for sign in (1, -1) for column in series.T]
        np.testing.assert_allclose(row, np.transpose(expected).ravel(), rtol=1e-6)


@given(n=st.integers(1, 12), levels=st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_pool_has_the_documented_number_of_features(n, levels):
    z = torch.zeros(2, n, 3)
    n_parts = sum(min(level, n) for level in levels)
    for statistics, width in ((("mean", "std"), 2), (("min", "shares", "max"), 9)):
        assert readout.pool(z, statistics, levels).shape == (2, 3 * width * n_parts)
