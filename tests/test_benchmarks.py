"""The parts of the benchmarks that numbers in the docs rest on."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline

from benchmarks import missing, oversampling, results
from benchmarks.cells import Cells, mean_and_spread, table
from benchmarks.features import ridge_accuracy
from benchmarks.fine_tuning import labelled
from benchmarks.gaps import KINDS, coverage, crps, kinds_of
from benchmarks.imputation import (
    RIVALS,
    TAILS,
    Gapped,
    Interpolation,
    Nearest,
    fills,
    period,
)
from benchmarks.imputation import scores as scores_of_filling
from benchmarks.probes import (
    ALPHAS,
    KMeansBag,
    SharedVariance,
    accuracies,
    headline,
    paper_probe,
    rows_for_probes,
)
from benchmarks.representations import token_means
from benchmarks.rivals import same_bits
from skvqts._nn.conv import total_stride

from .conftest import two_shapes
from .estimators import fitted, over_sampler, tokenizer


def test_a_cell_is_measured_once_and_a_cut_off_line_again(tmp_path):
    path = tmp_path / "results" / "cells.jsonl"
    calls = []

    def measure(value):
        calls.append(value)
        return {"value": np.float64(value)}

    cells = Cells(path)
    assert cells.measure({"set": "a"}, lambda: measure(1)) == {"set": "a", "value": 1.0}
    cells.measure({"set": "a"}, lambda: measure(2))
    cells.measure({"set": "b"}, lambda: measure(3))
    assert calls == [1, 3]
    path.write_text(path.read_text()[:-5])  # killed while it wrote
    again = Cells(path)
    assert again.measure({"set": "a"}, lambda: measure(4))["value"] == 1
    assert again.measure({"set": "b"}, lambda: measure(5))["value"] == 5
    assert Cells(path).rows == again.rows


def test_table_and_spread():
    lines = table([{"set": "Wafer", "MSE": 0.01234}, {"set": "A"}], ["set", "MSE"])
    assert lines == ["set    MSE", "Wafer  0.012", "A"]
    assert mean_and_spread([0.1, 0.2, 0.3]) == "0.200 ± 0.100"
    assert mean_and_spread([0.25]) == "0.250"


@given(n_timepoints=st.integers(20, 600), bits=st.floats(100, 2000))
def test_rivals_get_the_same_bits_within_a_tenth(n_timepoints, bits):
    parameters = same_bits(bits, n_timepoints)
    stride = total_stride(n_timepoints, parameters["downsampled_width"])
    ours = math.ceil(n_timepoints / stride) * math.log2(parameters["codebook_size"])
    if 8 <= parameters["codebook_size"] <= 512:
        assert ours == pytest.approx(bits, rel=0.1)


def test_bag_of_kmeans_codes_by_hand():
    """Series of one repeated window each: all the weight is on one code."""
    X = np.repeat([[0.0], [5.0], [9.0]], 64, axis=1)[:, None]
    bags = KMeansBag(3, seed=0).fit(X).transform(X)
    assert sorted(map(tuple, bags)) == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    mixed = np.concatenate([X[:1, :, :32], X[1:2, :, :32]], axis=2)
    bag = KMeansBag(3, seed=0).fit(X).transform(mixed)
    assert np.sum(bag**2) == pytest.approx(1)


def test_probes_learn_and_are_capped():
    X, y = two_shapes(80, noise=0.0)
    found = accuracies(X[:40], y[:40], X[40:], y[40:])
    assert set(found) == {"linear", "rbf", "5nn"}
    assert found["rbf"] > 0.9
    rows = rows_for_probes(5000)
    assert len(rows) == len(set(rows)) == 2000
    assert np.array_equal(rows_for_probes(7), np.arange(7))


def test_the_headline_is_that_which_the_training_set_prefers():
    X, y = two_shapes(160, noise=0.2)
    F = np.abs(np.fft.rfft(X))  # without the phase
    F = 5 * (F - F.mean(0)) / F.std(0) / np.sqrt(F.shape[1])
    found = headline(F[:80], y[:80], F[80:], y[80:])
    better = "svc" if found["svc cv"] >= found["ridge cv"] else "ridge"
    assert found["headline"] == found[better] > 0.9
    assert found["headline cv"] == max(found["svc cv"], found["ridge cv"]) > 0.9
    assert found["few"] > 0.8
    noise = headline(np.random.default_rng(0).normal(size=(80, 8)), y[:80])
    assert "svc" not in noise
    assert noise["few"] < 0.7
    assert paper_probe(F[:80], y[:80], F[80:], y[80:]) > 0.9


def test_token_means_are_those_of_the_quantised_latents():
    X = two_shapes(6)[0]
    tokenizer = fitted("VQTokenizer")
    means = token_means(tokenizer, "quantized", X)
    expected = tokenizer.codebook_[tokenizer.encode(X)].mean(1)
    np.testing.assert_allclose(means, expected, rtol=1e-4, atol=1e-5)
    assert tokenizer.output == "features"


def test_labelled_fractions_keep_every_class():
    y = np.repeat([0, 1, 2], [40, 20, 3])
    few = labelled(y, 0.1, seed=0)
    assert np.bincount(y[few]).tolist() == [4, 2, 1]
    assert np.array_equal(few, labelled(y, 0.1, seed=0))
    assert len(labelled(y, 1.0, seed=0)) == 63


def test_the_page_of_results_is_what_its_command_writes():
    assert results.PATH.read_bytes() == results.page().encode()


def test_the_table_of_networks_appears_once_there_are_cells():
    assert results.told_apart_by_networks([]) == ""
    cells = {"C2ST FCN": 0.75, "GRU": 0.0625, "series": 500, "seed": 0}
    rows = [{"set": "A", "model": model} | cells for model in ("train", "default")]
    table = results.told_apart_by_networks(rows).rpartition("\n\n")[2].splitlines()
    assert table[0] == "| set | model | series | C2ST FCN | GRU |"
    assert table[2:] == [f"| A | {model} | 500 | 0.750 | 0.062 |" for model in ("default", "train")]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_ridge_by_inner_products_is_that_of_scikit_learn(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 90)), np.arange(300) % n_classes
    X[:, :4] += 0.6 * y[:, None]
    for part in (slice(0, n_classes), slice(0, 40), slice(0, 75)):
        train, test = X[part], X[75:]
        found = ridge_accuracy(train, y[part], test, y[75:])
        ridge = make_pipeline(SharedVariance(), RidgeClassifierCV(ALPHAS)).fit(train, y[part])
        assert found == pytest.approx(ridge.score(test, y[75:]), abs=1e-9)


def test_paired_differences_by_hand():
    ours = [{"set": "a", "x": 1.0}, {"set": "a", "x": 3.0}, {"set": "b", "x": 4.0}, {"set": "c"}]
    theirs = [{"set": "a", "x": 1.5}, {"set": "b", "x": 4.5}, {"set": "d", "x": 9.0}]
    # 2 - 1.5 and 4 - 4.5: mean 0, deviation sqrt(0.5), over the root of two sets
    assert results.paired(ours, theirs, "x") == "+0.000 ± 0.500"
    assert results.paired(ours[:2], theirs, "x") == ""


def test_means_of_results_by_hand():
    rows = [
        {"set": "a", "seed": 0, "x": 1.0},
        {"set": "b", "seed": 0, "x": 2.0},
        {"set": "a", "seed": 1, "x": 3.0},
        {"set": "b", "seed": 1, "x": 4.0, "y": None},
    ]
    assert results.over_seeds(rows[::2], "x", digits=1) == "2.0 ± 1.4"
    assert results.over_sets(rows, "x") == "2.500 ± 1.414"
    assert results.over_seeds(rows, "y") == results.over_sets(rows, "y") == ""
    assert results.markdown([{"set": "a", "x": "1"}]) == "| set | x |\n| --- | --- |\n| a | 1 |\n"


# ---- gaps filled


def test_gaps_are_what_their_kinds_say():
    shape = (40, 4, 30)
    masks = {kind: draw(shape, np.random.default_rng(0)) for kind, draw in KINDS.items()}
    for kind, mask in masks.items():
        assert mask.shape == shape
        assert mask.dtype == bool
        assert np.array_equal(mask, KINDS[kind](shape, np.random.default_rng(0)))
    for kind, length in (("blocks 10 %", 3), ("blocks 30 %", 9)):
        assert (masks[kind] == masks[kind][:, :1]).all()  # all channels alike
        for series in masks[kind][:, 0]:
            first, last = np.flatnonzero(series)[[0, -1]]
            assert last - first + 1 == series.sum() == length
        starts = masks[kind][:, 0].argmax(1)
        assert len(set(starts)) > 10
        assert starts.max() <= 30 - length
    assert (masks["points 30 %"].sum(2) == 9).all()
    assert (masks["points 30 %"] != masks["points 30 %"][:, :1]).any()
    assert (masks["channels"].all(2) == masks["channels"].any(2)).all()
    assert (masks["channels"].all(2).sum(1) == 2).all()
    assert len({tuple(row) for row in masks["channels"].all(2)}) > 3
    assert masks[TAILS][..., 24:].all()
    assert not masks[TAILS][..., :24].any()
    assert set(kinds_of(4)) - set(kinds_of(1)) == {"channels"}


def test_block_gaps_reach_both_ends():
    starts = KINDS["blocks 30 %"]((400, 1, 10), np.random.default_rng(0))[:, 0].argmax(1)
    assert set(starts) == set(range(8))


@given(m=st.integers(1, 7), seed=st.integers(0, 99), ties=st.booleans())
def test_crps_is_that_of_all_pairs(m, seed, ties):
    rng = np.random.default_rng(seed)
    draws = rng.integers(3, size=(m, 4)).astype(float) if ties else rng.normal(size=(m, 4))
    y = rng.normal(size=4)
    for found, value, column in zip(crps(y, draws), y, draws.T, strict=True):
        pairs = [abs(column[i] - column[j]) for i in range(m) for j in range(m) if i != j]
        expected = np.mean([abs(draw - value) for draw in column])
        expected -= np.mean(pairs) / 2 if pairs else 0
        assert found == pytest.approx(expected, abs=1e-12)


def test_crps_by_hand():
    draws = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    # (1 + 1 + 3) / 3 - (2 + 4 + 2) / 3 / 2, and an error that all draws share.
    assert crps(np.array([1.0, 4.0]), draws) == pytest.approx([1 / 3, 3.0])


def test_crps_of_normal_draws_is_the_closed_form():
    """Of N(0, 1) at 0: 2 / sqrt(2 pi) - 1 / sqrt(pi), on average for few draws too."""
    draws = np.random.default_rng(0).normal(size=(5, 20_000))
    expected = 2 / math.sqrt(2 * math.pi) - 1 / math.sqrt(math.pi)
    assert crps(np.zeros(20_000), draws).mean() == pytest.approx(expected, abs=0.01)


def test_coverage_by_hand():
    draws = np.arange(101.0)[:, None].repeat(5, 1)  # quantiles 5 and 95
    assert coverage(np.array([4.9, 5.0, 50.0, 95.0, 95.1]), draws) == 0.6
    assert coverage(np.array([24.0, 25.0, 75.0, 76.0, 50.0]), draws, share=0.5) == 0.6


def test_scores_of_a_single_filling_and_of_draws():
    y = np.array([0.0, 1.0])
    assert scores_of_filling(y, np.array([1.0, 1.0])) == {"MAE": 0.5, "CRPS": 0.5}
    found = scores_of_filling(y, np.array([0.0, 1.0]), np.array([[-1.0, 1.0], [1.0, 1.0]]))
    assert found == {"MAE": 0.0, "CRPS": 0.0, "coverage": 1.0}


@pytest.mark.parametrize("model", RIVALS)
def test_rivals_fill_gaps_only(model):
    rng = np.random.default_rng(0)
    X = np.sin(np.arange(8) + rng.uniform(0, 6, (24, 2, 1)))
    data = Gapped(X[:16], X[16:])
    filler = RIVALS[model](0)
    filler.n_rounds, filler.choices = 1, (10,)  # of IterativeImputer, which is slow
    filler.fit(data.X_train)
    for kind in data.kinds:
        if not fills(model, kind):
            continue
        given = data.given[kind].copy()
        point, draws = filler.fill(given)
        for filled in [point] if draws is None else [point, *draws]:
            assert np.isfinite(filled).all()
            known = ~data.hidden[kind]
            np.testing.assert_array_equal(filled[known], data.X_test[known])
        np.testing.assert_array_equal(given, data.given[kind])  # left as it was


def test_simple_fillings_by_hand():
    nan = np.nan
    X = np.array([[[0.0, 1, 2, 3]], [[5.0, 5, 5, 5]], [[9.0, 9, 9, 9]]])
    simple = Interpolation()
    simple.fit(X)
    filled, _ = simple.fill(np.array([[[nan, 2, nan, 4]], [[nan] * 4]]))
    np.testing.assert_allclose(filled, [[[2, 2, 3, 4]], [[14 / 3, 5, 16 / 3, 17 / 3]]])
    nearest = Nearest()
    nearest.fit(np.repeat(X, [5, 5, 1], axis=0))
    point, draws = nearest.fill(np.array([[[0.0, 1.0, nan, 3.1]]]))
    np.testing.assert_allclose(point, [[[0, 1, 2, 3.1]]])
    assert draws.shape == (5, 1, 1, 4)
    naive = RIVALS["seasonal naive"](0)
    filled, _ = naive.fill(np.array([[[0.0, 1, 2, 0, 1, 2, 0, 1, 2, 0, nan, nan, nan, nan]]]))
    assert filled[0, 0, 10:].tolist() == [1, 2, 0, 1]
    assert period(np.sin(np.arange(60) * 2 * np.pi / 12)) == 12
    assert period(np.arange(20.0)) == 1


@pytest.mark.parametrize("way", missing.WAYS)
def test_features_of_series_with_gaps_are_judged(way, monkeypatch):
    monkeypatch.setattr(missing, "MODELS", {"tokenizer": tokenizer})
    X, y = two_shapes(60)
    data = X[:30, None], y[:30], X[30:, None], y[30:]
    row = missing.measure("tokenizer", way, data, seed=0)
    assert row["accuracy"] > 0.6
    assert row["seconds"] > 0
    assert np.isfinite(X).all()


def test_test_series_are_scored_in_units_of_the_training_series():
    rng = np.random.default_rng(0)
    X = rng.normal([[5.0], [-1.0]], [[3.0], [0.1]], (300, 2, 10))
    data = Gapped(X[:40], X[40:])
    assert len(data.X_test) == 200
    np.testing.assert_allclose(data.X_train.std(axis=(0, 2)), 1)
    lowest = (X[40:] - X[:40].mean((0, 2), keepdims=True)) / X[:40].std((0, 2), keepdims=True)
    assert all((series == lowest).all((1, 2)).any() for series in data.X_test)


# ---- rare classes


def test_a_rare_class_is_made_rarer_and_the_other_is_left_whole():
    y = np.array([3] * 20 + [5] * 100)[np.random.default_rng(0).permutation(120)]
    X = np.arange(120.0)[:, None, None]
    kept, labels, rare = oversampling.unbalanced(X, y, 20, seed=0)
    rows = kept.ravel().astype(int)
    assert rare == 3
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(labels, y[rows])
    assert set(np.flatnonzero(y == 5)) <= set(rows)
    assert (labels == 3).sum() == 5
    others = oversampling.unbalanced(X, y, 20, seed=1)[0]
    assert not np.array_equal(kept, others)


@pytest.mark.parametrize("model", oversampling.MODELS)
def test_models_add_series_of_the_rare_class_until_both_are_equally_frequent(model, monkeypatch):
    monkeypatch.setitem(oversampling.SAMPLERS, "ours", over_sampler)
    X, y = two_shapes(60)
    X, y, rare = oversampling.unbalanced(X[:, None], np.where(y == 0, "a", "b"), 4, seed=0)
    new, labels = oversampling.added(model, X, y, seed=0)
    n_missing = 0 if model in ("nothing", "class weights") else 23
    assert new.shape == (n_missing, 1, 32)
    assert (labels == rare).all()
    if model == "random over-sampling":
        assert all((X[y == rare] == series).all((1, 2)).any() for series in new)
    if model == "ours":
        assert not any((series == X).all((1, 2)).any() for series in new)
