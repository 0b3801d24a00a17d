"""The parts of the benchmarks that numbers in the docs rest on."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import results
from benchmarks.cells import Cells, mean_and_spread, table
from benchmarks.fine_tuning import labelled
from benchmarks.probes import KMeansBag, accuracies, headline, paper_probe, rows_for_probes
from benchmarks.representations import token_means
from benchmarks.rivals import same_bits
from skvqts._nn.conv import total_stride

from .conftest import two_shapes
from .estimators import fitted


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
