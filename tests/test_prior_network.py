"""The prior's transformers: what their logits depend on, their initial state, their layers."""

import copy
from functools import partial
from math import erf, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts._nn.layers import build
from skvqts._nn.prior import (
    Attention,
    Block,
    Dropout,
    Norm,
    Prior,
    rotary_angles,
    turning,
)

from .conftest import two_shapes
from .estimators import GENERATORS, fitted_generator

GRID, N_TOKENS, N_CODES, N_CLASSES = ((1, 4), (1, 5)), (4, 5), 6, 2
SIZES = {"width": 12, "n_layers": 2, "n_heads": 3, "head_dim": 4, "feedforward": 20}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def prior(causal, dropout=0.0):
    transformer = {**SIZES, "dropout": dropout, "causal": causal}
    network = partial(Prior, GRID, N_CODES, N_CLASSES, 3, **transformer)
    return build(network, seeded()).eval()


def tokens(n_rows, seed=1):
    """Random joint ids of both bands, and classes."""
    first = torch.randint(0, 6, (n_rows, 4), generator=seeded(seed))
    second = torch.randint(6, 12, (n_rows, 5), generator=seeded(seed + 1))
    classes = torch.randint(0, N_CLASSES + 1, (n_rows,), generator=seeded(seed + 2))
    return torch.cat([first, second], dim=1), classes


def with_next_token(ids, position):
    """Ids in which the token at one position is replaced by the next code of its band."""
    changed, first = ids.clone(), 0 if position < 4 else 6
    changed[:, position] = first + (ids[:, position] - first + 1) % N_CODES
    return changed


def positions_that_depend_on(network, band, masks, position):
    """Whether the logits at each position of a band depend on the token at `position`."""
    ids, classes = tokens(6)
    with torch.no_grad():
        before = network.logits(band, ids, masks.expand(6, -1), classes)
        after = network.logits(band, with_next_token(ids, position), masks.expand(6, -1), classes)
    changed = (before != after).any(2)
    assert (changed == changed[0]).all()
    return changed[0].tolist()


@pytest.mark.parametrize("causal", [False, True])
def test_logits_do_not_depend_on_later_bands(causal):
    network, masks = prior(causal), torch.tensor([[False, True, False, False]])
    for position in range(4, 9):
        assert positions_that_depend_on(network, 0, masks, position) == [False] * 4


@pytest.mark.parametrize("causal", [False, True])
def test_logits_depend_on_every_token_of_earlier_bands(causal):
    network = prior(causal)
    for masks in torch.zeros(1, 5, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool):
        for position in range(4):
            assert positions_that_depend_on(network, 1, masks, position) == [True] * 5


@pytest.mark.parametrize("band", [0, 1])
def test_logits_depend_on_visible_tokens_and_not_on_masked_ones(band):
    network, n, start = prior(causal=False), N_TOKENS[band], 4 * band
    for masks in torch.arange(2**n)[:, None] // 2 ** torch.arange(n) % 2 == 1:
        for i in range(n):
            depends = positions_that_depend_on(network, band, masks[None], start + i)
            assert depends == [not masks[i]] * n


@pytest.mark.parametrize("band", [0, 1])
def test_causal_logits_depend_on_preceding_tokens_only(band):
    network, n, start = prior(causal=True), N_TOKENS[band], 4 * band
    for i in range(n):
        masks = torch.zeros(1, n, dtype=torch.bool)
        depends = positions_that_depend_on(network, band, masks, start + i)
        assert depends == [j > i for j in range(n)]


@pytest.mark.parametrize("band", [0, 1])
def test_causal_logits_depend_on_preceding_tokens_also_where_all_are_masked(band):
    """In training and scoring all tokens are masked, that is, to be predicted."""
    network, n, start = prior(causal=True), N_TOKENS[band], 4 * band
    for i in range(n):
        masks = torch.ones(1, n, dtype=torch.bool)
        depends = positions_that_depend_on(network, band, masks, start + i)
        assert depends == [j > i for j in range(n)]


@pytest.mark.parametrize("causal", [False, True])
def test_logits_depend_on_the_class(causal):
    ids, _ = tokens(1)
    masks = torch.ones(1, 5, dtype=torch.bool)
    of_class = [prior(causal).logits(1, ids, masks, torch.tensor([c])) for c in range(3)]
    assert all(
        (a != b).any(2).all() for a, b in zip(of_class, [*of_class[1:], of_class[0]], strict=True)
    )


def naive_norm(x, weight):
    return np.array([weight * (row - row.mean()) / sqrt(np.var(row) + 1e-6) for row in x])


def naive_rotation(heads, angles, n_heads):
    """Rotate dimensions i and d - 1 - i of each head, as a complex number, by angle i."""
    turned = heads.copy()
    for first in range(0, heads.shape[1], heads.shape[1] // n_heads):
        last = first + heads.shape[1] // n_heads - 1
        for i, angle in enumerate(angles.T):
            pair = (heads[:, first + i] + 1j * heads[:, last - i]) * np.exp(1j * angle)
            turned[:, first + i], turned[:, last - i] = pair.real, pair.imag
    return turned


def naive_angles(times, head_dim):
    half = head_dim // 2
    return np.array([[t / max(100, *times) ** (i / half) for i in range(half)] for t in times])


def naive_attention(x, project, join, n_heads, head_dim, causal, times):
    """Attention of one row ``(L, width)`` by loops over heads and positions."""
    queries, keys, values = np.split(x @ project.T, 3, axis=1)
    angles = naive_angles(times, head_dim)
    queries, keys = (naive_rotation(part, angles, n_heads) for part in (queries, keys))
    mixed = np.zeros_like(queries)
    for head in range(n_heads):
        columns = slice(head * head_dim, (head + 1) * head_dim)
        for i in range(len(x)):
            visible = slice(0, i + 1 if causal else len(x))
            weights = np.exp(keys[visible, columns] @ queries[i, columns] / sqrt(head_dim))
            mixed[i, columns] = weights / weights.sum() @ values[visible, columns]
    return mixed @ join.T


def naive_block(x, weights, causal, times):
    """A block of the transformer; `weights` is the state dict of a `Block` in NumPy."""
    heads = SIZES["n_heads"], SIZES["head_dim"]
    attended = naive_norm(x, weights["norm.weight"])
    projections = weights["attention.project.weight"], weights["attention.join.weight"]
    x = x + naive_attention(attended, *projections, *heads, causal, times)
    hidden = naive_norm(x, weights["feed.0.weight"])
    hidden = hidden @ weights["feed.1.weight"].T + weights["feed.1.bias"]
    hidden = hidden * (1 + np.vectorize(erf)(hidden / sqrt(2))) / 2
    return x + hidden @ weights["feed.3.weight"].T + weights["feed.3.bias"]


def naive_logits(network, band, ids, classes):
    """Logits of one sequence at a time in float64; `ids` are masked where the network's are."""
    of_band = network.bands[band]
    weights = {name: value.double().numpy() for name, value in of_band.state_dict().items()}
    low, high = [0.625, 1.875, 3.125, 4.375], [0.5, 1.5, 2.5, 3.5, 4.5]
    times = np.array([0.0, *low, *(high if band else [])])
    rows = []
    for row, label in zip(ids.numpy(), classes.numpy(), strict=True):
        x = weights["codes"][row] @ weights["embed.weight"].T + weights["positions"]
        x = np.concatenate([weights["classes"][label][None], x])
        x, positions = (x[:-1], times[:-1]) if of_band.causal else (x, times)
        for layer in range(SIZES["n_layers"]):
            head = f"blocks.{layer}."
            block = {k.removeprefix(head): v for k, v in weights.items() if k.startswith(head)}
            x = naive_block(x, block, of_band.causal, positions)
        x = naive_norm(x, weights["norm.weight"])[-N_TOKENS[band] :]
        rows.append(x @ weights["head.weight"].T + weights["bias"])
    return np.array(rows)


@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("causal", [False, True])
def test_logits_match_a_naive_computation(causal, band):
    network, (ids, classes) = prior(causal), tokens(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():  # which are initialised to zeros or ones
            if name.endswith("bias") or "norm" in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=seeded(7))
    n, start = N_TOKENS[band], 4 * band
    masks = torch.zeros(3, n, dtype=torch.bool)
    if not causal:
        masks = torch.rand(3, n, generator=seeded(3)) < 0.5
    masked_ids = ids[:, : start + n].clone()
    masked_ids[:, start:][masks] = (6, 12)[band]
    with torch.no_grad():
        logits = network.logits(band, ids, masks, classes)
    assert logits.shape == (3, n, N_CODES)
    np.testing.assert_allclose(logits, naive_logits(network, band, masked_ids, classes), atol=2e-5)


@pytest.mark.parametrize("n_layers", [0, 2])
@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("causal", [False, True])
def test_logits_at_positions_are_those_among_all(causal, band, n_layers):
    transformer = SIZES | {"dropout": 0.0, "causal": causal, "n_layers": n_layers}
    network = build(partial(Prior, GRID, N_CODES, N_CLASSES, 3, **transformer), seeded()).eval()
    n = N_TOKENS[band]
    with torch.no_grad():
        network.bands[band].bias.normal_(generator=seeded(4))
    ids, classes = tokens(6)
    masks = torch.rand(6, n, generator=seeded(3)) < 0.5
    positions = torch.stack([torch.randperm(n, generator=seeded(i))[:3] for i in range(6)])
    with torch.no_grad():
        every = network.logits(band, ids, masks, classes)
        found = network.logits(band, ids, masks, classes, positions=positions)
    expected = torch.stack([row[wanted] for row, wanted in zip(every, positions, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_matches_a_naive_computation(causal):
    attention = build(partial(Attention, 6, 2, 5, causal), seeded())
    x = torch.randn(3, 7, 6, generator=seeded(1))
    weights = [
        w.detach().double().numpy() for w in (attention.project.weight, attention.join.weight)
    ]
    times = np.arange(7.0)
    expected = [naive_attention(row, *weights, 2, 5, causal, times) for row in x.double().numpy()]
    turns = turning(rotary_angles(torch.arange(7.0), 5), 5)
    np.testing.assert_allclose(attention.train()(x, *turns).detach(), expected, atol=1e-5)
    np.testing.assert_allclose(attention.eval()(x, *turns).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_blocks_match_a_naive_computation(causal):
    block = build(partial(Block, 12, 3, 4, 20, 0.1, causal), seeded()).eval()
    x = torch.randn(2, 5, 12, generator=seeded(1))
    weights = {name: value.double().numpy() for name, value in block.state_dict().items()}
    times = np.arange(5.0)
    expected = [naive_block(row, weights, causal, times) for row in x.double().numpy()]
    turns = turning(rotary_angles(torch.arange(5.0), 4), 4)
    np.testing.assert_allclose(block(x, *turns).detach(), expected, atol=1e-5)


@given(
    width=st.integers(1, 9), scale=st.sampled_from([0.0, 1e-4, 1.0, 1e4]), seed=st.integers(0, 99)
)
def test_layer_norm_matches_its_formula(width, scale, seed):
    norm, x = (
        build(partial(Norm, width), seeded()),
        torch.randn(4, width, generator=seeded(seed)),
    )
    assert norm.weight.tolist() == [1] * width
    with torch.no_grad():
        norm.weight.copy_(torch.randn(width, generator=seeded(seed + 1)))
    expected = naive_norm(scale * x.double().numpy(), norm.weight.detach().numpy())
    np.testing.assert_allclose(norm(scale * x).detach(), expected, rtol=1e-4, atol=1e-6)


def started(n_rows, causal=False, n_codes_used=6):
    """An untrained network, its tokens, whose frequencies differ by position, and its codebook."""
    network, generator = prior(causal), seeded(5)
    shares = torch.rand(9, 6, generator=generator) ** 3
    shares[:, n_codes_used:] = 0
    ids = torch.multinomial(shares, n_rows, True, generator=generator).T
    ids = ids + torch.tensor([0] * 4 + [6] * 5)
    codebook = 5 + 3 * torch.randn(12, 3, generator=generator)
    network.start_from(codebook, ids)
    return network, ids, codebook


def predictions(network):
    """Predicted probabilities of each band, given random other tokens."""
    ids, classes = tokens(2, seed=11)
    for band, n in enumerate(N_TOKENS):
        masks = torch.tensor([True, False, True, False, True])[:n].expand(2, -1)
        yield network.logits(band, ids, masks, classes).double().softmax(2).detach().numpy()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_codes_used", [1, 3, 6])
def test_initial_predictions_are_smoothed_frequencies(causal, n_codes_used):
    """Every position has two pseudo-counts by the band's frequencies and 0.01 for each code."""
    network, ids, _ = started(10, causal, n_codes_used)
    for start, n, first, predicted in zip(
        (0, 4), N_TOKENS, (0, 6), predictions(network), strict=True
    ):
        codes = ids[:, start : start + n].numpy() - first
        for i in range(n):
            weights = [
                np.sum(codes[:, i] == code) + 2 * np.mean(codes == code) + 0.01 for code in range(6)
            ]
            expected = np.array(weights) / sum(weights)
            np.testing.assert_allclose(predicted[:, i], [expected] * 2, rtol=1e-4)


def test_initial_predictions_from_many_rows_are_frequencies():
    network, ids, _ = started(5000)
    predicted = np.concatenate([p[0, :, :6] for p in predictions(network)])
    local = ids - torch.tensor([0] * 4 + [6] * 5)
    expected = [np.bincount(column, minlength=6) / 5000 for column in local.T.numpy()]
    np.testing.assert_allclose(predicted, expected, atol=5e-4)


def test_token_embeddings_start_as_centred_codes_of_unit_mean_square():
    network, _, codebook = started(10)
    for band, n_codes in zip(network.bands, (6, 12), strict=True):
        mask = band.codes[-1].clone()
        codes = codebook[:n_codes].double().numpy()
        codes = codes - codes.mean(0)
        expected = codes / np.sqrt(np.mean(codes**2))
        np.testing.assert_allclose(band.codes[:-1].detach(), expected, atol=1e-5)
        band.start_from(torch.full((n_codes, 3), 7.0), torch.full((4, band.n_tokens), n_codes - 1))
        assert (band.codes[:-1] == 0).all()  # equal codes, centred
        assert torch.equal(band.codes[-1], mask)


def dropped(p, x, seed=0):
    return Dropout(p).train()(x, seeded(seed))


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
def test_dropout_sets_a_share_to_zero_and_keeps_the_mean(p):
    n, rounded = 400_000, round(256 * p) / 256
    y = dropped(p, torch.full((n // 8, 8), 3.0)).double()
    assert y.unique().tolist() == pytest.approx([0, 3 / (1 - rounded)])
    error = (rounded * (1 - rounded) / n) ** 0.5
    assert abs(rounded - p) <= 1 / 512
    assert abs((y == 0).double().mean() - rounded) < 4 * error
    assert abs(y.mean() - 3) < 4 * 3 * error / (1 - rounded)
    lanes = (y == 0).double().mean(0)  # eight values share one random number
    assert (abs(lanes - rounded) < 4.5 * 8**0.5 * error).all()
    zero = (y == 0).double() - rounded
    together = zero.T @ zero / len(zero) / (rounded * (1 - rounded))
    assert together.fill_diagonal_(0).abs().max() < 5 * (8 / n) ** 0.5


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_dropout_is_determined_by_its_generator(shape, seed):
    x, state = torch.randn(shape, generator=seeded(1)), torch.get_rng_state()
    first, again = dropped(0.5, x, seed), dropped(0.5, x, seed)
    assert first.shape == x.shape
    assert torch.equal(first, again)
    assert ((first == 0) | (first == 2 * x)).all()
    assert torch.equal(torch.get_rng_state(), state)


def test_dropout_differs_between_seeds_and_between_calls():
    x = torch.ones(1000)
    assert not torch.equal(dropped(0.5, x, 0), dropped(0.5, x, 1))
    layer, generator = Dropout(0.5).train(), seeded()
    assert not torch.equal(layer(x, generator), layer(x, generator))


def test_dropout_passes_gradients_of_kept_values():
    x = torch.ones(100, requires_grad=True)
    y = dropped(0.25, x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.detach())


def test_dropout_does_nothing_in_evaluation_and_at_rate_zero():
    x = torch.randn(50, generator=seeded())
    for generator in (None, seeded()):
        assert torch.equal(Dropout(0.5).eval()(x, generator), x)
        assert torch.equal(Dropout(0.0).train()(x, generator), x)


def test_dropout_without_a_generator_draws_from_the_global_one():
    layer, x = Dropout(0.5).train(), torch.ones(64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert torch.equal(layer(x), dropped(0.5, x, 0))
        assert not torch.equal(layer(x), dropped(0.5, x, 0))
        state = torch.get_rng_state()
        assert torch.equal(layer(x, seeded(0)), dropped(0.5, x, 0))
        assert torch.equal(torch.get_rng_state(), state)


def test_training_logits_are_determined_by_the_generator():
    network, (ids, classes) = prior(causal=False, dropout=0.3).train(), tokens(2)
    given_, state = (1, ids, torch.ones(2, 5, dtype=torch.bool), classes), torch.get_rng_state()

    def of(seed):
        return network.logits(*given_, seeded(seed))

    assert torch.equal(of(0), of(0))
    assert not torch.equal(of(0), of(1))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():  # every layer of dropout draws from what is given
        torch.manual_seed(0)
        assert torch.equal(network.logits(*given_), of(0))
        assert not torch.equal(network.logits(*given_), of(0))
    assert torch.equal(network.eval().logits(*given_), prior(causal=False).logits(*given_))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", GENERATORS)
def test_the_network_of_a_fitted_generator_can_be_trained_further(name):
    X, y = two_shapes(24)
    generator = fitted_generator(name)
    ids, classes = torch.from_numpy(generator.tokenizer_.encode(X)), torch.from_numpy(y)
    network = copy.deepcopy(generator.module_)
    masks = [torch.ones(24, n, dtype=torch.bool) for n in network.n_tokens]
    for band, mask in enumerate(masks):
        in_evaluation = network.eval().logits(band, ids, mask, classes)
        with torch.random.fork_rng():
            first, second = (network.train().logits(band, ids, mask, classes) for _ in range(2))
        assert first.shape == in_evaluation.shape
        assert not torch.equal(first, second)  # its dropout is 0.1
        with torch.random.fork_rng():
            network.cross_entropy(band, ids, mask, classes).mean().backward()
        assert all(p.grad is not None for p in network.bands[band].parameters())
        assert torch.equal(network.eval().logits(band, ids, mask, classes), in_evaluation)


@pytest.mark.parametrize("causal", [False, True])
def test_logits_are_those_of_the_states_behind_the_last_block(causal):
    network = prior(causal)
    with torch.no_grad():
        network.bands[1].norm.weight.uniform_(0.5, 2, generator=seeded(3))
        network.bands[1].head.weight.normal_(generator=seeded(4))
        ids, classes = tokens(6)
        states = network.bands[1].states(ids, classes)
        assert [len(of_block) for of_block in states] == [6, 6]
        assert not torch.allclose(states[0], states[1])
        band = network.bands[1]
        logits = network.logits(1, ids, torch.zeros(6, 5, dtype=torch.bool), classes)
        expected = band.head(states[-1] * band.norm.weight) + band.bias
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(states[0].mean(2), torch.zeros(6, 5), rtol=0, atol=1e-6)
