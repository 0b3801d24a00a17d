"""The functions of the codebook against slow references, by hand and by properties."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional import codebook as cb

from . import reference


def _vectors(n, d, seed=0, scale=1.0, offset=0.0):
    rng = np.random.default_rng(seed)
    return torch.tensor(rng.normal(size=(n, d)) * scale + offset, dtype=torch.float32)


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e3, 1e4, 1e5])
@pytest.mark.parametrize(("n_codes", "dim"), [(32, 64), (512, 8)])
def test_nearest_code_is_right_far_from_the_origin(offset, n_codes, dim):
    z = _vectors(2000, dim, 0, offset=offset)
    codebook = _vectors(n_codes, dim, 1, offset=offset)
    ids = cb.nearest_code(z, codebook).numpy()
    _, distances = reference.nearest_code(z, codebook)
    chosen = distances[np.arange(len(z)), ids]
    assert (chosen <= distances.min(1) * (1 + 1e-6)).all()


@given(
    n=st.integers(1, 40),
    k=st.integers(1, 30),
    d=st.integers(1, 9),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-20, 1e-3, 1.0, 1e6]),
)
def test_no_code_is_nearer_than_the_nearest_code(n, k, d, seed, scale):
    z = _vectors(n, d, seed, scale)
    codebook = _vectors(k, d, seed + 1, scale)
    ids = cb.nearest_code(z, codebook).numpy()
    _, distances = reference.nearest_code(z, codebook)
    assert (distances[np.arange(n), ids] <= distances.min(1) * (1 + 1e-5)).all()


@given(k=st.integers(1, 50), d=st.integers(1, 9), seed=st.integers(0, 10_000))
def test_codes_are_their_own_nearest_whatever_their_order(k, d, seed):
    codebook = _vectors(k, d, seed)
    assert torch.equal(cb.nearest_code(codebook, codebook), torch.arange(k))
    order = torch.randperm(k, generator=_generator(seed))
    z = _vectors(30, d, seed + 1)
    assert torch.equal(order[cb.nearest_code(z, codebook[order])], cb.nearest_code(z, codebook))


@given(
    n=st.integers(1, 20),
    parts=st.integers(1, 4),
    k=st.integers(1, 6),
    d=st.integers(1, 5),
    seed=st.integers(0, 10_000),
)
def test_each_part_gets_the_nearest_code_of_its_own_codebook(n, parts, k, d, seed):
    z = _vectors(n, parts * d, seed).view(n, parts, d)
    codebooks = _vectors(parts * k, d, seed + 1).view(parts, k, d)
    ids = cb.nearest_in_each(z, codebooks)
    for part in range(parts):
        expected, _ = reference.nearest_code(z[:, part], codebooks[part])
        assert ids[:, part].tolist() == expected.tolist()


@given(n=st.integers(1, 5), f=st.integers(1, 9), p=st.integers(1, 6), seed=st.integers(0, 1000))
def test_columns_are_summed_up_in_their_places(n, f, p, seed):
    rng = np.random.default_rng(seed)
    places = torch.tensor(rng.integers(0, p, f))
    x, weights = _vectors(n, f, seed), _vectors(1, f, seed + 1)[0]
    out = cb.hashed(x, places, weights, p)
    expected = reference.hashed(x.numpy(), places.tolist(), weights.numpy(), p)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_nearest_code_ties_go_to_the_lowest_index():
    codebook = torch.tensor([[1.0], [-1.0], [1.0]])
    assert cb.nearest_code(torch.tensor([[0.0], [2.0], [-3.0]]), codebook).tolist() == [0, 0, 1]


@pytest.mark.parametrize(("k", "d"), [(32, 128), (17, 37), (8, 3)])
def test_the_first_of_equal_codes_is_nearest_whatever_the_other_vectors(k, d):
    codebook = _vectors(k, d, 0)
    z = _vectors(600, d, 1)
    codebook[k - k // 2 :] = codebook[: k // 2].clone()
    ids = cb.nearest_code(z, codebook)
    assert (ids < k - k // 2).all()
    assert torch.equal(ids, torch.cat([cb.nearest_code(row[None], codebook) for row in z]))
    assert torch.equal(ids, cb.nearest_code(z.flip(0), codebook).flip(0))


def test_straight_through_has_the_value_of_the_code_and_the_gradient_of_the_vector():
    z = _vectors(5, 3).requires_grad_()
    z_q = _vectors(5, 3, 1).requires_grad_()
    out = cb.straight_through(z, z_q)
    torch.testing.assert_close(out, z_q)
    out.backward(torch.full_like(out, 2.0))
    assert torch.equal(z.grad, torch.full_like(z, 2.0))
    assert z_q.grad is None


def test_commitment_and_codebook_loss_have_equal_values_and_gradients_on_one_side():
    z, z_q = _vectors(5, 3).requires_grad_(), _vectors(5, 3, 1).requires_grad_()
    commitment = cb.commitment_loss(z, z_q)
    codes = cb.codebook_loss(z, z_q)
    expected = ((z - z_q) ** 2).mean().item()
    assert commitment.item() == pytest.approx(expected)
    assert codes.item() == pytest.approx(expected)
    commitment.backward()
    assert z_q.grad is None
    torch.testing.assert_close(z.grad, (2 * (z - z_q) / z.numel()).detach())
    z.grad = None
    codes.backward()
    assert z.grad is None
    torch.testing.assert_close(z_q.grad, (2 * (z_q - z) / z.numel()).detach())


@given(seed=st.integers(0, 10_000), decay=st.floats(0, 1), k=st.integers(1, 8))
def test_ema_update_matches_reference(seed, decay, k):
    rng = np.random.default_rng(seed)
    codebook, sizes = rng.normal(size=(k, 3)), rng.uniform(0, 5, k) * rng.integers(0, 2, k)
    z, ids = rng.normal(size=(20, 3)), rng.integers(0, k, 20)
    got = cb.ema_update(*map(torch.tensor, (codebook, sizes, z, ids)), decay)
    references = reference.ema_update(codebook, sizes, z, ids, decay)
    for value, expected in zip(got, references, strict=True):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_ema_update_without_memory_is_the_mean_and_conserves_counts():
    z = _vectors(30, 4)
    ids = torch.arange(30) % 3
    codebook, sizes = cb.ema_update(torch.zeros(5, 4), torch.ones(5), z, ids, 0.0)
    for k in range(3):
        torch.testing.assert_close(codebook[k], z[ids == k].mean(0))
    assert torch.equal(codebook[3:], torch.zeros(2, 4))  # empty: they stay, never NaN
    assert sizes.sum() == 30


def test_revival_moves_only_dead_codes_onto_vectors():
    codebook = torch.full((4, 2), 9.0)
    sizes = torch.tensor([5.0, 0.0, 5.0, 0.4])
    z = _vectors(40, 2)
    revived, new_sizes = cb.revive_dead_codes(codebook, sizes, z, 0.05, _generator())
    assert torch.equal(revived[[0, 2]], codebook[[0, 2]])
    for k in (1, 3):  # below 0.05 * 40 / 4
        assert (revived[k] == z).all(1).any()
        assert new_sizes[k] == 10
    untouched, _ = cb.revive_dead_codes(codebook, sizes, z, 0.0, _generator())
    assert torch.equal(untouched, codebook)


def test_kmeans_finds_separated_clusters():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    z = centres.repeat(50, 1) + 0.1 * _vectors(150, 2)
    found = []
    for seed in range(5):  # random starts: some seed finds all three
        codebook, counts = cb.kmeans(z, 3, _generator(seed))
        assert counts.sum() == 150
        found.append(torch.cdist(centres, codebook).amin(1).max().item())
    assert min(found) < 0.1


def test_kmeans_with_fewer_vectors_than_codes_keeps_every_vector():
    z = _vectors(3, 2)
    codebook, counts = cb.kmeans(z, 8, _generator())
    assert torch.isfinite(codebook).all()
    assert counts.sum() == 3
    assert torch.equal(codebook[cb.nearest_code(z, codebook)], z)


@given(ids=st.lists(st.integers(0, 6), min_size=1, max_size=50))
def test_usage_sums_to_one_and_perplexity_matches_reference(ids):
    shares = cb.usage(torch.bincount(torch.tensor(ids), minlength=7))
    assert shares.sum().item() == pytest.approx(1)
    value = cb.perplexity(shares).item()
    assert value == pytest.approx(reference.perplexity(np.array(ids), 7))
    assert 1 - 1e-12 <= value <= 7 + 1e-12


def test_perplexity_is_the_number_of_equally_used_codes():
    assert cb.perplexity(torch.full((32,), 1 / 32, dtype=torch.float64)).item() == pytest.approx(32)
    assert cb.perplexity(torch.eye(32, dtype=torch.float64)[0]).item() == 1
