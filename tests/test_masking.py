"""Masks, their counts and weights, and the losses and bounds made of them."""

from itertools import chain, combinations, permutations, product
from math import ceil, comb, cos, floor, pi

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional.masking import (
    SCHEDULES,
    draw_counts,
    draw_masks,
    likelihood_bound,
    masked_counts,
    masked_cross_entropy,
    masked_share,
    ranks,
    stratified_masks,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Table:
    """Random conditionals, one row of logits for each set of visible tokens.

    They agree with no joint distribution, as those of a trained network.
    """

    def __init__(self, n_codes, n_tokens, seed=0):
        self.n_codes, self.n_tokens = n_codes, n_tokens
        self.powers = (n_codes + 1) ** torch.arange(n_tokens)
        shape = ((n_codes + 1) ** n_tokens, n_tokens, n_codes)
        self.rows = 1.5 * torch.randn(shape, generator=seeded(seed), dtype=torch.float64)
        self.sequences = torch.tensor(list(product(range(n_codes), repeat=n_tokens)))

    def logits(self, ids, mask):
        return self.rows[(ids.masked_fill(mask, self.n_codes) * self.powers).sum(-1)]

    def log_probabilities(self, masks):
        """Log-probabilities ``(M, B, N)`` of all tokens of all sequences."""
        logits = self.logits(self.sequences, masks[:, None])
        ids = self.sequences.expand(len(masks), -1, -1)
        return logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]

    def log_likelihoods(self):
        """Log-likelihoods ``(N!, B)`` of all sequences, for each order of revealing the tokens."""
        totals = []
        for order in permutations(range(self.n_tokens)):
            mask = torch.ones(1, self.n_tokens, dtype=torch.bool)
            total = 0.0
            for token in order:
                total = total + self.log_probabilities(mask)[0, :, token]
                mask[:, token] = False
            totals.append(total)
        return torch.stack(totals)

    def all_masks(self, n_hidden):
        chosen = combinations(range(self.n_tokens), n_hidden)
        return torch.tensor([[i in c for i in range(self.n_tokens)] for c in chosen])


@pytest.mark.parametrize(
    ("n_tokens", "counts"),
    [
        (40, [39, 38, 35, 32, 28, 23, 18, 12, 6, 0]),
        (75, [74, 71, 66, 60, 53, 44, 34, 23, 11, 0]),
    ],
)
def test_masked_counts_of_ten_cosine_steps_are_the_published_ones(n_tokens, counts):
    assert masked_counts(torch.tensor([n_tokens]), 10, "cosine")[:, 0].tolist() == counts


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [
        ("cosine", [(1 / 3, 3**0.5 / 2), (0.5, 0.5**0.5), (2 / 3, 0.5)]),
        ("linear", [(0.25, 0.75), (0.5, 0.5), (0.9, 0.1)]),
        ("square", [(0.25, 0.9375), (0.5, 0.75), (0.8, 0.36)]),
    ],
)
def test_masked_shares_by_hand(schedule, middle):
    u, share = torch.tensor([(0.0, 1.0), *middle, (1.0, 0.0)], dtype=torch.float64).T
    np.testing.assert_allclose(masked_share(u, schedule), share, rtol=0, atol=1e-15)


@given(
    totals=st.lists(st.integers(0, 300), min_size=1, max_size=4),
    n_steps=st.integers(1, 40),
    schedule=st.sampled_from(SCHEDULES),
)
def test_masked_counts_fall_to_zero_in_each_row_as_if_it_were_alone(totals, n_steps, schedule):
    counts = masked_counts(torch.tensor(totals), n_steps, schedule)
    assert counts.shape == (n_steps, len(totals))
    steps = torch.cat([torch.tensor([totals]), counts]).diff(dim=0)
    assert (steps <= 0).all()
    assert (steps[0, torch.tensor(totals) > 0] < 0).all()  # something is revealed at once
    assert (counts[-1] == 0).all()
    for total, of_row in zip(totals, counts.T.tolist(), strict=True):
        assert of_row == masked_counts(torch.tensor([total]), n_steps, schedule)[:, 0].tolist()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_masked_counts_are_the_floor_of_exact_shares(schedule):
    """Fractions are computed in integers; a cosine of exactly one half may not lose a token."""
    exact = {
        "linear": lambda n, i, t: n * (t - i) // t,
        "square": lambda n, i, t: n * (t * t - i * i) // (t * t),
        "cosine": lambda n, i, t: floor(n * cos(pi * i / (2 * t)) + 1e-9),
    }[schedule]
    wrong = [
        (n, t, i)
        for t in range(1, 41)
        for i, row in enumerate(masked_counts(torch.arange(101), t, schedule).tolist(), 1)
        for n, count in enumerate(row)
        if count != exact(n, i, t)
    ]
    assert wrong == []


@pytest.mark.parametrize("n_tokens", [1, 5, 10, 32, 47])
def test_as_many_linear_steps_as_tokens_reveal_one_token_each(n_tokens):
    counts = masked_counts(torch.tensor([n_tokens]), n_tokens, "linear")
    assert counts[:, 0].tolist() == list(range(n_tokens))[::-1]


@given(
    n_tokens=st.integers(1, 50),
    schedule=st.sampled_from([*SCHEDULES, "likelihood"]),
    seed=st.integers(0, 1000),
)
def test_drawn_counts_lie_between_one_token_and_all(n_tokens, schedule, seed):
    counts = draw_counts(200, n_tokens, schedule, seeded(seed))
    assert counts.dtype == torch.int64
    assert counts.shape == (200,)
    assert 1 <= counts.min() <= counts.max() <= n_tokens


@pytest.mark.parametrize(
    ("schedule", "integral"),
    [("cosine", 2 / pi), ("linear", 1 / 2), ("square", 2 / 3), ("likelihood", 1 / 2)],
)
def test_mean_of_drawn_counts_is_the_integral_of_the_schedule(schedule, integral):
    shares = draw_counts(100_000, 10_000, schedule, seeded()).double() / 10_000
    assert abs(shares.mean() - integral) < 1e-4 + 4 * shares.std() / len(shares) ** 0.5


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_drawn_counts_are_rounded_up(schedule):
    """The frequency of each count of 7 tokens is compared with that on a grid of times."""
    drawn = np.bincount(draw_counts(100_000, 7, schedule, seeded(1)), minlength=8) / 100_000
    share = {"cosine": lambda u: cos(pi / 2 * u), "linear": lambda u: 1 - u}
    share = share.get(schedule, lambda u: 1 - u * u)
    counts = [ceil(7 * share((i + 0.5) / 20_000)) for i in range(20_000)]
    np.testing.assert_allclose(drawn, np.bincount(counts, minlength=8) / 20_000, atol=0.007)


def test_the_likelihood_schedule_draws_each_count_equally_often():
    drawn = np.bincount(draw_counts(90_000, 9, "likelihood", seeded()), minlength=10)
    assert drawn[0] == 0
    assert (np.abs(drawn[1:] - 10_000) < 4.5 * 10_000**0.5).all()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 1000))
def test_masks_hide_the_given_number_of_tokens(counts, seed):
    masks = draw_masks(torch.tensor(counts), 9, seeded(seed))
    assert masks.shape == (len(counts), 9)
    assert masks.sum(1).tolist() == counts


def test_all_masks_of_a_count_are_equally_likely():
    masks = draw_masks(torch.full((56_000,), 3), 8, seeded())
    observed = np.bincount((masks * 2 ** torch.arange(8)).sum(1))
    observed = observed[observed > 0]
    assert len(observed) == comb(8, 3)
    assert ((observed - 1000) ** 2 / 1000).sum() < 55 + 4 * 110**0.5


@given(st.lists(st.lists(st.integers(0, 3), min_size=5, max_size=5), min_size=1, max_size=3))
def test_a_rank_counts_the_smaller_values_and_the_equal_ones_before(rows):
    expected = [
        [sum(w < v for w in row) + row[:i].count(v) for i, v in enumerate(row)] for row in rows
    ]
    assert ranks(torch.tensor(rows)).tolist() == expected


@given(n_tokens=st.integers(1, 12), times=st.integers(1, 4), seed=st.integers(0, 1000))
def test_a_multiple_of_n_tokens_stratified_masks_has_each_count_equally_often(
    n_tokens, times, seed
):
    masks, weights = stratified_masks(n_tokens, times * n_tokens, seeded(seed))
    counts = masks.sum(1)
    assert np.bincount(counts).tolist() == [0] + [times] * n_tokens
    np.testing.assert_allclose(weights, 1 / (counts.double() * times), rtol=1e-12)


@given(n_tokens=st.integers(1, 12), n_masks=st.integers(1, 40), seed=st.integers(0, 1000))
def test_counts_of_stratified_masks_lie_in_their_strata(n_tokens, n_masks, seed):
    masks, weights = stratified_masks(n_tokens, n_masks, seeded(seed))
    assert masks.shape == (n_masks, n_tokens)
    counts = masks.sum(1).tolist()
    for i, (count, weight) in enumerate(zip(counts, weights.tolist(), strict=True)):
        assert 1 + i * n_tokens // n_masks <= count <= ceil((i + 1) * n_tokens / n_masks)
        assert weight == pytest.approx(n_tokens / (count * n_masks))


@pytest.mark.parametrize(("n_codes", "n_tokens"), [(3, 3), (3, 4), (2, 5), (4, 1)])
def test_the_bound_over_all_masks_is_the_mean_log_likelihood_over_all_orders(n_codes, n_tokens):
    table = Table(n_codes, n_tokens)
    parts = [table.all_masks(m) for m in range(1, n_tokens + 1)]
    weights = [1 / (m * len(part)) for m, part in enumerate(parts, 1) for _ in part]
    masks = torch.cat(parts)
    bound = likelihood_bound(
        table.log_probabilities(masks), masks, torch.tensor(weights, dtype=torch.float64)
    )
    log_likelihoods = table.log_likelihoods()
    np.testing.assert_allclose(bound, log_likelihoods.mean(0), rtol=0, atol=1e-10)
    assert (bound <= log_likelihoods.exp().mean(0).log() + 1e-12).all()


@pytest.mark.parametrize("n_masks", [4, 3, 1, 6])
def test_the_bound_over_stratified_masks_is_unbiased(n_masks):
    table = Table(3, 4)
    estimates = []
    for seed in range(600):
        masks, weights = stratified_masks(4, n_masks, seeded(seed))
        estimates.append(likelihood_bound(table.log_probabilities(masks), masks, weights)[::9])
    estimates = torch.stack(estimates)
    exact = table.log_likelihoods().mean(0)[::9]
    z = (estimates.mean(0) - exact) / (estimates.std(0) / len(estimates) ** 0.5)
    assert z.abs().max() < 4
    assert z.square().mean() < 3  # of 9 sequences


@given(b=st.integers(1, 4), n=st.integers(1, 6), seed=st.integers(0, 1000))
def test_masked_cross_entropy_matches_one_token_at_a_time(b, n, seed):
    rng = np.random.default_rng(seed)
    losses, masks = rng.normal(size=(b, n)), rng.random((b, n)) < 0.5
    masks[:, 0] = True
    rows = [
        [loss for loss, hidden in zip(*row, strict=True) if hidden]
        for row in zip(losses, masks, strict=True)
    ]
    tensors = torch.tensor(losses), torch.tensor(masks)
    mean_of_tokens = masked_cross_entropy(*tensors, "cosine").item()
    mean_of_rows = masked_cross_entropy(*tensors, "likelihood").item()
    assert mean_of_tokens == pytest.approx(np.mean(list(chain(*rows))))
    assert mean_of_rows == pytest.approx(np.mean([np.mean(row) for row in rows]))


def test_the_likelihood_loss_is_minus_the_bound_per_token():
    """The batch holds all masks, repeated so that each count of hidden tokens is equally often."""
    table = Table(3, 4)
    parts = [table.all_masks(m) for m in range(1, 5)]
    masks = torch.cat([part.repeat(12 // len(part), 1) for part in parts])
    log_p = table.log_probabilities(masks)
    log_likelihoods = table.log_likelihoods()
    for sequence in range(0, 81, 8):
        loss = masked_cross_entropy(-log_p[:, sequence], masks, "likelihood")
        bound = log_likelihoods[:, sequence].mean()
        assert loss.item() == pytest.approx(-bound.item() / 4, abs=1e-12)
