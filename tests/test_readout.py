import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional import readout

from . import reference


@given(b=st.integers(1, 5), n=st.integers(1, 9), k=st.integers(1, 6), seed=st.integers(0, 1000))
def test_bag_and_one_hot_match_reference(b, n, k, seed):
    ids = np.random.default_rng(seed).integers(0, k, (b, n))
    bag = readout.bag_of_codes(torch.tensor(ids), k).numpy()
    np.testing.assert_allclose(bag, reference.bag_of_codes(ids, k), rtol=1e-6)
    cells = readout.one_hot(torch.tensor(ids), k).numpy().reshape(b, n, k)
    assert (cells.sum(2) == 1).all()
    assert (cells.argmax(2) == ids).all()


def test_pool_by_hand():
    z = torch.tensor([[[1.0, -1.0], [3.0, 0.0], [5.0, 4.0], [7.0, 5.0]]])
    pooled = readout.pool(z, ("mean", "max"), (1, 2))
    assert pooled.tolist() == [[4, 2, 7, 5, 2, -0.5, 3, 0, 6, 4.5, 7, 5]]
    assert readout.pool(z, ("variation",), (1, 4)).tolist() == [[2, 2] + [0] * 8]
    spread = readout.pool(z, ("std",), (1,)).numpy()
    np.testing.assert_allclose(spread, np.std(z.numpy(), axis=1), rtol=1e-6)


@given(n=st.integers(1, 12), levels=st.lists(st.integers(1, 8), min_size=1, max_size=3))
def test_pool_width(n, levels):
    z = torch.zeros(2, n, 3)
    width = 3 * readout.n_pooled(n, ("mean", "std"), levels)
    assert readout.pool(z, ("mean", "std"), levels).shape == (2, width)
