"""Drawing tokens, the orders they are revealed in, and the loop that reveals them."""

from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from math import cos, exp, floor, inf, log, nextafter, pi

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from skvqts.functional.decoding import (
    Decoding,
    confidence,
    draw_tokens,
    fill,
    low_discrepancy_order,
    replay,
)
from skvqts.functional.masking import SCHEDULES, masked_counts

from .test_masking import Table

GARBAGE = 10**6
ALMOST_ONE = nextafter(1, 0)


def softmax(logits, temperature=1.0):
    """Softmax of a list of floats, in float64."""
    weights = [exp((value - max(logits)) / temperature) for value in logits]
    return [weight / sum(weights) for weight in weights]


def drawn_slowly(logits, uniform, temperature):
    if temperature == 0:
        return logits.index(max(logits))
    ends = list(accumulate(softmax(logits, temperature)))
    return next(k for k, end in enumerate(ends) if end > uniform * ends[-1])


@given(
    k=st.integers(1, 9),
    temperature=st.sampled_from([0, 0.05, 0.5, 1.0, 3.0]),
    seed=st.integers(0, 1000),
)
def test_draw_tokens_matches_one_token_at_a_time(k, temperature, seed):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(4, 5, k)).astype(np.float32)
    uniforms = rng.random((4, 5))
    ids, log_p = draw_tokens(torch.tensor(logits), torch.tensor(uniforms), temperature)
    assert ids.dtype == torch.int64
    assert log_p.dtype == torch.float32
    for token in np.ndindex(4, 5):
        token_logits = logits[token].tolist()
        assert ids[token] == drawn_slowly(token_logits, uniforms[token], temperature)
        expected = log(softmax(token_logits)[ids[token]])  # whatever the temperature
        assert log_p[token].item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_uniform_at_the_border_of_two_codes_draws_the_upper_one():
    uniforms = torch.tensor([0, 0.25, 0.5, 0.75], dtype=torch.float64)
    ends = torch.cat([uniforms, uniforms[1:] - 1e-12, torch.tensor([ALMOST_ONE])])
    ids, log_p = draw_tokens(torch.zeros(8, 4), ends)
    assert ids.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    np.testing.assert_allclose(log_p, -np.log(4), rtol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_of_codes_follow_the_softmax(temperature):
    """Evenly spaced uniforms draw each code as often as its share says, but for its two ends."""
    logits = torch.tensor([0.3, -1.0, 2.0, -inf, 1.1])
    n = 10_000
    uniforms = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    ids, _ = draw_tokens(logits.expand(n, 5), uniforms, temperature)
    shares = np.array(softmax(logits.tolist(), temperature))
    assert (np.abs(np.bincount(ids, minlength=5) - n * shares) <= 1).all()


@given(
    logits=st.lists(st.sampled_from([-inf, -1e4, -1.0, 0.0, 0.5, 1e4]), min_size=1, max_size=7),
    temperature=st.sampled_from([0, 1e-3, 1.0, 100.0]),
    middle=st.floats(0, ALMOST_ONE),
)
def test_extreme_logits_and_uniforms_draw_possible_codes(logits, temperature, middle):
    logits = [*logits, 1.0] if max(logits) == -inf else logits
    uniforms = torch.tensor([0.0, 5e-324, middle, ALMOST_ONE], dtype=torch.float64)
    ids, log_p = draw_tokens(torch.tensor(logits).expand(4, -1), uniforms, temperature)
    assert log_p.isfinite().all()
    assert all(0 <= k < len(logits) and logits[k] > -inf for k in ids.tolist())
    possible = [k for k, p in enumerate(softmax(logits, temperature or 1e-9)) if p > 0]
    if temperature:
        assert ids[0] == possible[0]
        if softmax(logits, temperature)[possible[-1]] > 1e-15:
            assert ids[-1] == possible[-1]


@given(seed=st.integers(0, 1000), tau=st.floats(0, 9), progress=st.floats(0, 1))
def test_confidence_matches_one_token_at_a_time(seed, tau, progress):
    rng = np.random.default_rng(seed)
    p, u = rng.random((2, 3)), rng.random((2, 3))
    sure = confidence(torch.tensor(p).log(), torch.tensor(u), tau, progress)
    for i, j in np.ndindex(2, 3):
        gumbel = -log(-log(u[i, j]))
        expected = log(p[i, j] + 1e-5) + tau * (1 - progress) * gumbel
        assert sure[i, j].item() == pytest.approx(expected, abs=1e-9)


def test_confidence_is_finite_and_has_no_noise_in_the_last_step():
    log_p = torch.tensor([[-inf, -1.0, 0.0]])
    extremes = torch.tensor([[0.0, 5e-324, ALMOST_ONE]], dtype=torch.float64)
    assert confidence(log_p, extremes, 4.0, 0.5).isfinite().all()
    expected = np.log(np.array([0, exp(-1), 1]) + 1e-5)[None]
    np.testing.assert_allclose(confidence(log_p, extremes, 4.0, 1.0), expected, rtol=1e-7)
    np.testing.assert_allclose(confidence(log_p, extremes, 0.0, 0.5), expected, rtol=1e-7)


def halton_slowly(rows, columns):
    """The order of cells in fractions, whose floor is exact."""

    def radical_inverse(index, base):
        digits = []
        while index:
            digits.append(index % base)
            index //= base
        return sum(Fraction(digit, base**i) for i, digit in enumerate(digits, 1))

    order = []
    index = 0
    while len(order) < rows * columns:
        cell = floor(radical_inverse(index, 3) * rows) * columns
        cell += floor(radical_inverse(index, 2) * columns)
        order += [] if cell in order else [cell]
        index += 1
    return order


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(1, 1), (3, 1), (1, 3), (5, 7), (2, 9), (4, 4), (1, 75), (9, 1), (9, 8), (27, 1)],
)
def test_the_low_discrepancy_order_is_that_of_a_halton_sequence(rows, columns):
    order = low_discrepancy_order(rows, columns)
    assert order.dtype == torch.int64
    assert sorted(order.tolist()) == list(range(rows * columns))
    assert order.tolist() == halton_slowly(rows, columns)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12))
def test_the_low_discrepancy_order_visits_every_cell_once(rows, columns):
    assert sorted(low_discrepancy_order(rows, columns).tolist()) == list(range(rows * columns))


def test_the_low_discrepancy_order_of_a_row_reverses_bits():
    expected = [int(f"{i:04b}"[::-1], 2) for i in range(16)]
    assert low_discrepancy_order(1, 16).tolist() == expected
    assert low_discrepancy_order(3, 1).tolist() == [0, 1, 2]


def discrepancy(cells, rows, columns):
    """Largest difference between share of cells and share of area, over boxes at the corner."""
    grid = np.zeros((rows, columns))
    grid.flat[cells] = 1 / len(cells)
    area = np.outer(np.arange(1, rows + 1) / rows, np.arange(1, columns + 1) / columns)
    return np.abs(grid.cumsum(0).cumsum(1) - area).max()


@pytest.mark.parametrize(("rows", "columns"), [(1, 64), (3, 20), (5, 7), (8, 8)])
def test_early_cells_lie_more_evenly_than_at_random(rows, columns):
    n = rows * columns
    rng = np.random.default_rng(0)
    prefixes = range(2, n)

    def spread(order):
        return np.mean([discrepancy(order[:i], rows, columns) for i in prefixes])

    chance = [spread(rng.permutation(n)) for _ in range(50)]
    assert spread(low_discrepancy_order(rows, columns).numpy()) < 0.9 * np.mean(chance)


class Chain:
    """A Markov chain of 8 symbols, and an oracle that knows it."""

    def __init__(self, n_symbols=8, length=32):
        moves = np.random.default_rng(0).dirichlet(np.full(n_symbols, 0.3), n_symbols)
        self.moves = torch.tensor(0.98 * moves + 0.02 / n_symbols)
        self.start = torch.linalg.matrix_power(self.moves, 4096)[0]
        self.bigrams = (self.start[:, None] * self.moves).flatten()
        powers = torch.stack([torch.linalg.matrix_power(self.moves, d) for d in range(length + 1)])
        shape = (length + 1, 1, n_symbols)  # what an unknown neighbour says: last row
        self.after = torch.cat([powers, self.start.expand(shape)], dim=1).log()
        self.before = torch.cat([powers.mT, torch.ones(shape, dtype=torch.float64)], dim=1).log()

    def oracle(self, ids, mask, progress):
        """Exact logits: a symbol depends on the nearest known ones on both sides only."""
        right = self._given_nearest(ids.flip(1), mask.flip(1), self.before).flip(1)
        return right + self._given_nearest(ids, mask, self.after)

    def _given_nearest(self, ids, mask, table):
        positions = torch.arange(ids.shape[1])
        nearest = positions.expand(ids.shape).masked_fill(mask, -1).cummax(1).values
        values = ids.gather(1, nearest.clamp(min=0)).masked_fill(nearest < 0, table.shape[2])
        return F.embedding((positions - nearest) * table.shape[1] + values, table.flatten(0, 1))

    def sample(self, shape, generator):
        ids = torch.multinomial(self.start, shape[0], True, generator=generator)[:, None]
        for _ in range(shape[1] - 1):
            step = torch.multinomial(self.moves[ids[:, -1]], 1, generator=generator)
            ids = torch.cat([ids, step], dim=1)
        return ids

    def distance(self, ids):
        """Total variation between the bigrams of samples and those of the chain."""
        pairs = torch.bincount((ids[:, :-1] * 8 + ids[:, 1:]).flatten(), minlength=64)
        return float((pairs / pairs.sum() - self.bigrams).abs().sum() / 2)


def test_chains_are_filled_exactly_token_by_token_and_nearly_so_in_few_steps():
    chain = Chain()
    shape = (4000, 32)
    generator = torch.Generator().manual_seed(0)
    floors = [chain.distance(chain.sample(shape, generator)) for _ in range(8)]

    def distance(n_steps, schedule, order):
        decoding = Decoding(n_steps, 1.0, order, 4.0, schedule)
        uniforms = torch.rand(n_steps, 2, *shape, generator=generator, dtype=torch.float64)
        nothing = torch.full(shape, GARBAGE), torch.ones(shape, dtype=torch.bool)
        return chain.distance(fill(chain.oracle, *nothing, decoding, uniforms))

    spread = low_discrepancy_order(1, 32)
    in_few_steps = distance(10, "cosine", spread)
    assert distance(32, "linear", spread) < 1.5 * np.mean(floors)
    assert in_few_steps < 2 * np.mean(floors)
    assert distance(10, "cosine", "confidence") > 5 * in_few_steps


class Recorded:
    """Random logits that depend on the known tokens of a row only; the calls are recorded."""

    def __init__(self, n_tokens, n_codes, seed):
        generator = torch.Generator().manual_seed(seed)
        shape = (n_tokens, n_codes + 1, n_tokens, n_codes)
        self.effects = torch.randn(shape, generator=generator)
        self.n_codes = n_codes
        self.calls = []

    def __call__(self, ids, mask, progress):
        self.calls.append((progress, mask.clone()))
        known = ids.masked_fill(mask, self.n_codes)
        return self.effects[torch.arange(ids.shape[1]), known].sum(1)


@st.composite
def cases(draw, orders=("confidence", "random", "fixed")):
    """The arguments of fill; ids of masked tokens are garbage."""
    n_rows = draw(st.integers(1, 3))
    n = draw(st.integers(1, 9))
    k = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    order = draw(st.sampled_from(orders))
    n_steps = draw(st.integers(1, 12))
    order = torch.tensor(rng.permutation(n)) if order == "fixed" else order
    mask = torch.tensor(rng.random((n_rows, n)) < rng.choice([0.3, 0.7, 1.0], (n_rows, 1)))
    ids = torch.tensor(rng.integers(0, k, mask.shape)).masked_fill(mask, GARBAGE)
    decoding = Decoding(
        n_steps,
        draw(st.sampled_from([0, 0.7, 1.0])),
        order,
        draw(st.sampled_from([0.0, 1.0, 4.0])),
        draw(st.sampled_from(SCHEDULES)),
    )
    uniforms = torch.tensor(rng.random((n_steps, 2, n_rows, n)))
    return Recorded(n, k, int(rng.integers(1000))), ids, mask, decoding, uniforms


@given(cases())
def test_fill_draws_what_is_masked_and_nothing_else(case):
    predict, ids, mask, *_ = case
    before = ids.clone(), mask.clone()
    filled = fill(*case)
    assert torch.equal(ids, before[0])
    assert torch.equal(mask, before[1])
    assert torch.equal(filled[~mask], ids[~mask])
    assert ((filled >= 0) & (filled < predict.n_codes)).all()


@given(cases())
def test_fill_predicts_only_in_steps_that_reveal_tokens_and_masks_as_scheduled(case):
    predict, _, mask, decoding, _ = case
    fill(*case)
    counts = masked_counts(mask.sum(1), decoding.n_steps, decoding.schedule)
    counts = torch.cat([mask.sum(1)[None], counts])
    steps = [i for i, step in enumerate(counts.diff(dim=0)) if step.any()]
    assert [progress for progress, _ in predict.calls] == [i / decoding.n_steps for i in steps]
    assert [m.sum(1).tolist() for _, m in predict.calls] == counts[steps].tolist()
    assert len(steps) <= min(decoding.n_steps, mask.sum())
    for (_, earlier), (_, later) in zip(predict.calls, predict.calls[1:], strict=False):
        assert not (later & ~earlier).any()


@given(cases(orders=["fixed", "random"]))
def test_fixed_and_random_orders_are_kept(case):
    """In each step the last tokens of the order are masked, of those that were masked at first."""
    predict, _, mask, decoding, uniforms = case
    fill(*case)
    for row in range(len(mask)):
        order = uniforms[0, 1, row].argsort() if decoding.order == "random" else decoding.order
        order = [i for i in order.tolist() if mask[row, i]]
        for _, hidden in predict.calls:
            left = int(hidden[row].sum())
            assert set(hidden[row].nonzero()[:, 0].tolist()) == set(order[len(order) - left :])


@given(cases())
def test_each_row_is_filled_as_if_it_were_alone(case):
    predict, ids, mask, decoding, uniforms = case
    together = fill(*case)
    for i in range(len(ids)):
        one = slice(i, i + 1)
        alone = fill(predict, ids[one], mask[one], decoding, uniforms[:, :, one])
        assert torch.equal(alone, together[one])


@given(cases())
def test_from_scratch_only_what_a_step_draws_is_predicted_and_the_result_is_the_same(case):
    predict, ids, mask, decoding, uniforms = case
    mask = torch.ones_like(mask)
    ids = torch.full_like(ids, GARBAGE)
    expected = fill(predict, ids, mask, decoding, uniforms)
    n_steps = len(predict.calls)
    asked = []

    def predict_some(ids, mask, progress, positions):
        asked.append(positions)
        logits = predict(ids, mask, progress)
        return torch.stack([row[wanted] for row, wanted in zip(logits, positions, strict=True)])

    found = fill(predict_some, ids, mask, decoding, uniforms, from_scratch=True)
    assert torch.equal(found, expected)
    assert len(asked) == n_steps
    if decoding.order != "confidence":  # each token is predicted in one step
        assert torch.cat(asked, dim=1).sort(1).values.tolist() == [
            list(range(ids.shape[1])) for _ in ids
        ]


def filled_as_published(predict, ids, mask, decoding, uniforms):
    """MaskGIT's loop for one row, token by token, and the tokens that stay masked in each step."""
    n = len(ids)
    ids = list(ids)
    left = [i for i in range(n) if mask[i]]
    total = len(left)
    histories = []
    for step in range(decoding.n_steps):
        r = (step + 1) / decoding.n_steps
        hidden = torch.tensor([[i in left for i in range(n)]])
        logits = predict(torch.tensor([ids]), hidden, 0.0)[0].tolist()
        sure = [inf] * n
        for i in left:
            ids[i] = drawn_slowly(logits[i], uniforms[step, 0, i].item(), decoding.temperature)
            gumbel = -log(-log(uniforms[step, 1, i].item()))
            p = softmax(logits[i])[ids[i]]
            sure[i] = log(p + 1e-5) + decoding.choice_temperature * (1 - r) * gumbel
        n_left = floor(total * cos(pi * r / 2) + 1e-9) if r < 1 else 0
        left = sorted(range(n), key=lambda i: (sure[i], -i))[:n_left]
        histories.append(set(left))
    return ids, histories


@given(cases(orders=["confidence"]))
def test_the_most_confident_tokens_are_revealed_as_in_maskgit(case):
    predict, ids, mask, decoding, uniforms = case
    decoding = replace(decoding, schedule="cosine")
    filled = fill(predict, ids, mask, decoding, uniforms)
    calls = list(predict.calls)  # the reference calls the predictor, too
    for row in range(len(ids)):
        expected, left = filled_as_published(
            predict, ids[row].tolist(), mask[row], decoding, uniforms[:, :, row]
        )
        assert filled[row].tolist() == expected
        for progress, hidden in calls[1:]:
            step = round(progress * decoding.n_steps)
            assert set(hidden[row].nonzero()[:, 0].tolist()) == left[step - 1]


def guided(table):
    """Logits that also depend on progress, as guidance makes them."""
    return lambda ids, mask, progress: (1 + progress) * table.logits(ids, mask)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 9])
def test_replayed_probabilities_of_all_sequences_sum_to_one(n_steps, temperature, schedule):
    for table, shape in ((Table(3, 4), (2, 2)), (Table(2, 5), (1, 5))):
        order = low_discrepancy_order(*shape)
        decoding = Decoding(n_steps, temperature, order, 0.0, schedule)
        log_p = replay(guided(table), table.sequences, decoding)
        assert log_p.dtype == torch.float64
        assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-10)


def test_replay_of_one_token_a_step_is_the_chain_rule():
    table = Table(3, 4)
    order = [2, 0, 3, 1]
    decoding = Decoding(4, 1.0, torch.tensor(order), 0.0, "linear")
    mask = torch.ones(1, 4, dtype=torch.bool)
    expected = 0.0
    for token in order:
        expected = expected + table.log_probabilities(mask)[0, :, token]
        mask[:, token] = False
    log_p = replay(lambda ids, mask, _: table.logits(ids, mask), table.sequences, decoding)
    np.testing.assert_allclose(log_p, expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("n_steps", "temperature", "schedule"),
    [(1, 1.0, "cosine"), (2, 0.7, "cosine"), (3, 2.0, "square"), (4, 1.0, "linear")],
)
def test_fill_draws_sequences_as_often_as_replay_says(n_steps, temperature, schedule):
    table = Table(3, 4)
    n = 40_000
    order = low_discrepancy_order(1, 4)
    decoding = Decoding(n_steps, temperature, order, 0.0, schedule)
    uniforms = torch.rand(
        n_steps, 2, n, 4, generator=torch.Generator().manual_seed(n_steps), dtype=torch.float64
    )
    nothing = torch.full((n, 4), GARBAGE), torch.ones(n, 4, dtype=torch.bool)
    ids = fill(guided(table), *nothing, decoding, uniforms)
    observed = torch.bincount((ids * torch.tensor([27, 9, 3, 1])).sum(1), minlength=81)
    expected = n * replay(guided(table), table.sequences, decoding).exp()
    rare = expected < 5  # too few for a chi-squared test, unless taken together
    observed = torch.cat([observed[~rare], observed[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None] + 1e-9])
    n_free = len(expected) - 1
    assert ((observed - expected) ** 2 / expected).sum() < n_free + 4 * (2 * n_free) ** 0.5
