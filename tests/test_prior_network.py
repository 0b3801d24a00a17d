"""The transformers that predict tokens: what they see, what they start from, their layers."""

from functools import partial
from math import erf, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts._nn.initialise import build
from skvqts._nn.prior import (
    Attention,
    Block,
    Dropout,
    Prior,
    RMSNorm,
    dropping,
    rotary_angles,
)

GRID, N_TOKENS, N_CODES, N_CLASSES = ((1, 4), (1, 5)), (4, 5), 6, 2
SIZES = {"width": 12, "n_layers": 2, "n_heads": 3, "head_dim": 4, "feedforward": 20}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def prior(causal, dropout=0.0):
    transformer = {**SIZES, "dropout": dropout, "causal": causal}
    network = partial(Prior, GRID, N_CODES, N_CLASSES, 3, transformer=transformer)
    return build(network, seeded()).eval()


def tokens(n_rows, seed=1):
    """Joint ids of both bands, and classes."""
    first = torch.randint(0, 6, (n_rows, 4), generator=seeded(seed))
    second = torch.randint(6, 12, (n_rows, 5), generator=seeded(seed + 1))
    classes = torch.randint(0, N_CLASSES + 1, (n_rows,), generator=seeded(seed + 2))
    return torch.cat([first, second], dim=1), classes


def other(ids, place):
    """The token at one place replaced by the next of its band."""
    changed, first = ids.clone(), 0 if place < 4 else 6
    changed[:, place] = first + (ids[:, place] - first + 1) % N_CODES
    return changed


def places_that_see(network, band, masks, place):
    """For each place of a band, whether its logits change with one token; 6 rows agree."""
    ids, classes = tokens(6)
    with torch.no_grad():
        before = network.logits(band, ids, masks.expand(6, -1), classes)
        after = network.logits(band, other(ids, place), masks.expand(6, -1), classes)
    changed = (before != after).any(2)
    assert (changed == changed[0]).all()
    return changed[0].tolist()


@pytest.mark.parametrize("causal", [False, True])
def test_later_bands_are_not_seen(causal):
    network, masks = prior(causal), torch.tensor([[False, True, False, False]])
    for place in range(4, 9):
        assert places_that_see(network, 0, masks, place) == [False] * 4


@pytest.mark.parametrize("causal", [False, True])
def test_earlier_bands_are_seen_from_everywhere(causal):
    network = prior(causal)
    for masks in torch.zeros(1, 5, dtype=torch.bool), torch.ones(1, 5, dtype=torch.bool):
        for place in range(4):
            assert places_that_see(network, 1, masks, place) == [True] * 5


@pytest.mark.parametrize("band", [0, 1])
def test_visible_tokens_are_seen_from_everywhere_and_hidden_ones_from_nowhere(band):
    network, n, start = prior(causal=False), N_TOKENS[band], 4 * band
    for masks in torch.arange(2**n)[:, None] // 2 ** torch.arange(n) % 2 == 1:
        for i in range(n):
            seen = places_that_see(network, band, masks[None], start + i)
            assert seen == [not masks[i]] * n


@pytest.mark.parametrize("band", [0, 1])
def test_causal_priors_see_the_tokens_before(band):
    network, n, start = prior(causal=True), N_TOKENS[band], 4 * band
    for i in range(n):
        masks = torch.zeros(1, n, dtype=torch.bool)
        seen = places_that_see(network, band, masks, start + i)
        assert seen == [j > i for j in range(n)]


@pytest.mark.parametrize("band", [0, 1])
def test_causal_priors_see_the_tokens_before_that_are_to_be_predicted_too(band):
    """As in training and judging, where all tokens count as hidden."""
    network, n, start = prior(causal=True), N_TOKENS[band], 4 * band
    for i in range(n):
        masks = torch.ones(1, n, dtype=torch.bool)
        seen = places_that_see(network, band, masks, start + i)
        assert seen == [j > i for j in range(n)]


@pytest.mark.parametrize("causal", [False, True])
def test_classes_are_seen(causal):
    ids, _ = tokens(1)
    masks = torch.ones(1, 5, dtype=torch.bool)
    of_class = [prior(causal).logits(1, ids, masks, torch.tensor([c])) for c in range(3)]
    assert all(
        (a != b).any(2).all() for a, b in zip(of_class, [*of_class[1:], of_class[0]], strict=True)
    )


def rms_norm_slowly(x, weight):
    return np.array([weight * row / sqrt(np.mean(row**2) + 1e-6) for row in x])


def turned_slowly(heads, angles, n_heads):
    """Each head's dimensions i and d // 2 + i as a complex number, turned by the angle i."""
    parts = []
    for head in np.split(heads, n_heads, axis=1):
        half = head.shape[1] // 2
        pairs = (head[:, :half] + 1j * head[:, half : 2 * half]) * np.exp(1j * angles)
        parts += [pairs.real, pairs.imag, head[:, 2 * half :]]
    return np.concatenate(parts, axis=1)


def angles_slowly(times, head_dim):
    half = head_dim // 2
    return np.array([[t / max(100, *times) ** (i / half) for i in range(half)] for t in times])


def attention_slowly(x, project, join, n_heads, head_dim, causal, times):
    """One row ``(L, width)``, one head and one place at a time."""
    queries, keys, values = np.split(x @ project.T, 3, axis=1)
    angles = angles_slowly(times, head_dim)
    queries, keys = (turned_slowly(part, angles, n_heads) for part in (queries, keys))
    mixed = np.zeros_like(queries)
    for head in range(n_heads):
        mine = slice(head * head_dim, (head + 1) * head_dim)
        for i in range(len(x)):
            seen = slice(0, i + 1 if causal else len(x))
            weights = np.exp(keys[seen, mine] @ queries[i, mine] / sqrt(head_dim))
            mixed[i, mine] = weights / weights.sum() @ values[seen, mine]
    return mixed @ join.T


def block_slowly(x, weights, causal, times):
    """Keys of `weights` as in the state of a `Block`."""
    heads = SIZES["n_heads"], SIZES["head_dim"]
    attended = rms_norm_slowly(x, weights["norm.weight"])
    projections = weights["attention.project.weight"], weights["attention.join.weight"]
    x = x + attention_slowly(attended, *projections, *heads, causal, times)
    hidden = rms_norm_slowly(x, weights["feed.0.weight"])
    hidden = hidden @ weights["feed.1.weight"].T + weights["feed.1.bias"]
    hidden = hidden * (1 + np.vectorize(erf)(hidden / sqrt(2))) / 2
    return x + hidden @ weights["feed.3.weight"].T + weights["feed.3.bias"]


def logits_slowly(network, band, ids, classes):
    """One sequence at a time, in float64, from the weights alone; ids as the network sees them."""
    of_band = network.bands[band]
    weights = {name: value.double().numpy() for name, value in of_band.state_dict().items()}
    low, high = [0.625, 1.875, 3.125, 4.375], [0.5, 1.5, 2.5, 3.5, 4.5]
    times = np.array([0.0, *low, *(high if band else [])])
    rows = []
    for row, label in zip(ids.numpy(), classes.numpy(), strict=True):
        x = weights["codes"][row] @ weights["embed.weight"].T + weights["positions"]
        x = np.concatenate([weights["classes"][label][None], x])
        x, places = (x[:-1], times[:-1]) if of_band.causal else (x, times)
        for layer in range(SIZES["n_layers"]):
            head = f"blocks.{layer}."
            mine = {k.removeprefix(head): v for k, v in weights.items() if k.startswith(head)}
            x = block_slowly(x, mine, of_band.causal, places)
        x = rms_norm_slowly(x, weights["norm.weight"])[-N_TOKENS[band] :]
        rows.append(x @ weights["head.weight"].T + weights["bias"])
    return np.array(rows)


@pytest.mark.parametrize("band", [0, 1])
@pytest.mark.parametrize("causal", [False, True])
def test_logits_match_one_place_at_a_time(causal, band):
    network, (ids, classes) = prior(causal), tokens(3)
    with torch.no_grad():
        for name, parameter in network.named_parameters():  # those that start as zeros or ones
            if name.endswith("bias") or "norm" in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=seeded(7))
    n, start = N_TOKENS[band], 4 * band
    masks = torch.zeros(3, n, dtype=torch.bool)
    if not causal:
        masks = torch.rand(3, n, generator=seeded(3)) < 0.5
    seen = ids[:, : start + n].clone()
    seen[:, start:][masks] = (6, 12)[band]
    with torch.no_grad():
        logits = network.logits(band, ids, masks, classes)
    assert logits.shape == (3, n, N_CODES)
    np.testing.assert_allclose(logits, logits_slowly(network, band, seen, classes), atol=2e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_matches_one_place_at_a_time(causal):
    attention = build(partial(Attention, 6, 2, 5, causal), seeded())
    x = torch.randn(3, 7, 6, generator=seeded(1))
    weights = [
        w.detach().double().numpy() for w in (attention.project.weight, attention.join.weight)
    ]
    times = np.arange(7.0)
    expected = [attention_slowly(row, *weights, 2, 5, causal, times) for row in x.double().numpy()]
    angles = rotary_angles(torch.arange(7.0), 5)
    turning = angles.cos(), angles.sin()
    np.testing.assert_allclose(attention(x, *turning).detach(), expected, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_blocks_match_one_place_at_a_time(causal):
    block = build(partial(Block, 12, 3, 4, 20, 0.1, causal), seeded()).eval()
    x = torch.randn(2, 5, 12, generator=seeded(1))
    weights = {name: value.double().numpy() for name, value in block.state_dict().items()}
    times = np.arange(5.0)
    expected = [block_slowly(row, weights, causal, times) for row in x.double().numpy()]
    angles = rotary_angles(torch.arange(5.0), 4)
    np.testing.assert_allclose(block(x, angles.cos(), angles.sin()).detach(), expected, atol=1e-5)


@given(
    width=st.integers(1, 9), scale=st.sampled_from([0.0, 1e-4, 1.0, 1e4]), seed=st.integers(0, 99)
)
def test_rms_norm_matches_its_formula(width, scale, seed):
    norm, x = (
        build(partial(RMSNorm, width), seeded()),
        torch.randn(4, width, generator=seeded(seed)),
    )
    assert norm.weight.tolist() == [1] * width
    with torch.no_grad():
        norm.weight.copy_(torch.randn(width, generator=seeded(seed + 1)))
    expected = rms_norm_slowly(scale * x.double().numpy(), norm.weight.detach().numpy())
    np.testing.assert_allclose(norm(scale * x).detach(), expected, rtol=1e-4, atol=1e-6)


def started(n_rows, causal=False, n_codes_used=6):
    """A network before training, and tokens it starts from, whose frequencies differ by place."""
    network, generator = prior(causal), seeded(5)
    shares = torch.rand(9, 6, generator=generator) ** 3
    shares[:, n_codes_used:] = 0
    ids = torch.multinomial(shares, n_rows, True, generator=generator).T
    ids = ids + torch.tensor([0] * 4 + [6] * 5)
    codebook = 5 + 3 * torch.randn(12, 3, generator=generator)
    network.start_from(codebook, ids)
    return network, ids, codebook


def predictions(network):
    """Probabilities of both bands, for tokens that it has not seen."""
    ids, classes = tokens(2, seed=11)
    for band, n in enumerate(N_TOKENS):
        masks = torch.tensor([True, False, True, False, True])[:n].expand(2, -1)
        yield network.logits(band, ids, masks, classes).double().softmax(2).detach().numpy()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("n_codes_used", [1, 3, 6])
def test_untrained_predictions_are_smoothed_frequencies(causal, n_codes_used):
    """Two more tokens by the whole band's frequencies at each place, and 0.01 of every code."""
    network, ids, _ = started(10, causal, n_codes_used)
    for start, n, first, predicted in zip(
        (0, 4), N_TOKENS, (0, 6), predictions(network), strict=True
    ):
        mine = ids[:, start : start + n].numpy() - first
        for i in range(n):
            weights = [
                np.sum(mine[:, i] == code) + 2 * np.mean(mine == code) + 0.01 for code in range(6)
            ]
            expected = np.array(weights) / sum(weights)
            np.testing.assert_allclose(predicted[:, i], [expected] * 2, rtol=1e-4)


def test_untrained_predictions_of_many_rows_are_frequencies():
    network, ids, _ = started(5000)
    predicted = np.concatenate([p[0, :, :6] for p in predictions(network)])
    local = ids - torch.tensor([0] * 4 + [6] * 5)
    expected = [np.bincount(column, minlength=6) / 5000 for column in local.T.numpy()]
    np.testing.assert_allclose(predicted, expected, atol=5e-4)


def test_tokens_start_as_their_codes_centred_and_of_mean_square_one():
    network, _, codebook = started(10)
    for band, n_seen in zip(network.bands, (6, 12), strict=True):
        mask = band.codes[-1].clone()
        seen = codebook[:n_seen].double().numpy()
        seen = seen - seen.mean(0)
        expected = seen / np.sqrt(np.mean(seen**2))
        np.testing.assert_allclose(band.codes[:-1].detach(), expected, atol=1e-5)
        band.start_from(torch.full((n_seen, 3), 7.0), torch.full((4, band.n_tokens), n_seen - 1))
        assert (band.codes[:-1] == 0).all()  # codes that are all the same
        assert torch.equal(band.codes[-1], mask)


def dropped(p, x, seed=0):
    with dropping(seeded(seed)):
        return Dropout(p).train()(x)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.99])
def test_dropout_sets_a_share_to_zero_and_keeps_the_mean(p):
    n, rounded = 400_000, round(256 * p) / 256
    y = dropped(p, torch.full((n // 8, 8), 3.0)).double()
    assert y.unique().tolist() == pytest.approx([0, 3 / (1 - rounded)])
    error = (rounded * (1 - rounded) / n) ** 0.5
    assert abs(rounded - p) <= 1 / 512
    assert abs((y == 0).double().mean() - rounded) < 4 * error
    assert abs(y.mean() - 3) < 4 * 3 * error / (1 - rounded)
    lanes = (y == 0).double().mean(0)  # the 8 values that share one random number
    assert (abs(lanes - rounded) < 4.5 * 8**0.5 * error).all()
    zero = (y == 0).double() - rounded
    together = zero.T @ zero / len(zero) / (rounded * (1 - rounded))
    assert together.fill_diagonal_(0).abs().max() < 5 * (8 / n) ** 0.5


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=3), seed=st.integers(0, 99))
def test_dropout_depends_on_nothing_but_the_generator(shape, seed):
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
    with dropping(generator):
        assert not torch.equal(layer(x), layer(x))


def test_dropout_passes_gradients_of_what_it_kept():
    x = torch.ones(100, requires_grad=True)
    y = dropped(0.25, x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.detach())


def test_dropout_is_idle_in_evaluation_and_at_zero():
    x = torch.randn(50, generator=seeded())
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)


def test_dropout_in_training_needs_a_generator_and_gives_it_back():
    layer, x, outer, inner = Dropout(0.5).train(), torch.ones(64), seeded(0), seeded(1)
    with pytest.raises(LookupError):
        layer(x)
    with dropping(outer):
        with pytest.raises(KeyError), dropping(inner):
            raise KeyError
        assert torch.equal(layer(x), dropped(0.5, x, 0))
    with pytest.raises(LookupError):
        layer(x)


def test_training_logits_depend_on_nothing_but_the_generator():
    network, (ids, classes) = prior(causal=False, dropout=0.3).train(), tokens(2)
    given_, state = (1, ids, torch.ones(2, 5, dtype=torch.bool), classes), torch.get_rng_state()

    def of(seed):
        with dropping(seeded(seed)):
            return network.logits(*given_)

    assert torch.equal(of(0), of(0))
    assert not torch.equal(of(0), of(1))
    with pytest.raises(LookupError):
        network.logits(*given_)
    assert torch.equal(network.eval().logits(*given_), prior(causal=False).logits(*given_))
    assert torch.equal(torch.get_rng_state(), state)
