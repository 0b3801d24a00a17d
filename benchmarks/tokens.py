"""What tokens alone say of the class: a linear SVC on fixed functions of token ids.

    python -m benchmarks.tokens [SET ...] [--seeds 0 1 2] [--models MODEL ...]

Each `VQTokenizer` is fitted to the training series of a set without labels, at its default number
of steps: plain, and with an objective of self-supervision. The tokens of the bands are those of the
default; with those of the whole series (``n_series_tokens="auto"``) a series takes twice the bits,
and the reconstruction is the same. `LinearSVC(C=1)` is then fitted to all training series, and
judged on the test series, on functions of token ids that nothing was fitted for: the bag of tokens,
their positional bag and their one-hot sequence. `WindowCodes` with as many codes is the baseline
without a network. Beside them stand raw series and, as functions of tokens that were learned, the
features of the prior of a `MaskedPriorGenerator` (`transform`) with its default tokenizer, fitted
without labels. Cells are written to benchmarks/results as they finish, so a run can be stopped and
continued.
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import default_folder, load, sets_of
from benchmarks.probes import standardised
from skvqts import MaskedPriorGenerator, VQTokenizer, WindowCodes
from skvqts.functional import readout

MODELS = {"plain": {}, "barlow_twins": {"ssl": "barlow_twins"}}
WINDOWS = "window codes"
PRIOR = "masked prior"
TOKENS = ("bands", "series", "both")
FUNCTIONS = ("bag", "positional bag", "one-hot")


def accuracy(train, y, test, y_test):
    """Test accuracy of `LinearSVC(C=1)`, on all training series."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        probe = LinearSVC(C=1, random_state=0).fit(csr_matrix(train), y)
    return probe.score(csr_matrix(test), y_test)


def functions_of(tokenizer, ids):
    """Functions of the token ids ``(n, N)`` of a fitted tokenizer, by tokens and name."""
    network = tokenizer.module_
    n_codes = tokenizer.codebook_size
    ids = torch.from_numpy(ids)
    codes = ids - network.first_codes
    of_series, of_bands = codes.tensor_split([network.n_series_tokens], dim=1)
    # All have length 1. Tokens of the series have no order in time.
    whole = readout.one_hot(of_series, n_codes) / of_series.shape[1] ** 0.5
    bands = {
        "bag": readout.bag_of_codes(of_bands, n_codes).sqrt(),
        "positional bag": readout.positional_bag(of_bands, n_codes, network.latent_grid),
        "one-hot": readout.one_hot(of_bands, n_codes) / of_bands.shape[1] ** 0.5,
    }
    both = {name: torch.cat([whole, of_band], dim=1) for name, of_band in bands.items()}
    functions = {"bands": bands, "series": {"one-hot": whole}, "both": both}
    return {
        (tokens, name): values.numpy()
        for tokens, of_tokens in functions.items()
        for name, values in of_tokens.items()
    }


def tokenizer_cell(name, folder, seed, parameters, threads):
    X, y, X_test, y_test = load(name, folder)
    tokenizer = VQTokenizer(
        n_series_tokens="auto", n_threads=threads, random_state=seed, **parameters
    )
    start = time.process_time()
    tokenizer.fit(X)
    seconds = time.process_time() - start
    n_tokens = tokenizer.module_.n_series_tokens
    bits = n_tokens * float(np.log2(tokenizer.codebook_size))
    row = {"seconds": seconds, "MSE": -tokenizer.score(X_test)}
    row |= {"tokens": n_tokens, "bits of bands": bits, "bits of both": 2 * bits}
    train = functions_of(tokenizer, tokenizer.encode(X))
    test = functions_of(tokenizer, tokenizer.encode(X_test))
    for key, values in train.items():
        row[" ".join(key)] = accuracy(values, y, test[key], y_test)
    return row


def windows_cell(name, folder, seed):
    """Judge the codes of k-means, as many as the tokenizer has, without a network."""
    X, y, X_test, y_test = load(name, folder)
    codes = WindowCodes(VQTokenizer().codebook_size, random_state=seed)
    start = time.process_time()
    codes.fit(X)
    row = {"seconds": time.process_time() - start, "MSE": -codes.score(X_test)}
    row["bits of bands"] = codes.n_tokens_ * float(np.log2(codes.codebook_size))
    train, test = (functions_of_codes(codes, codes.encode(part)) for part in (X, X_test))
    for function, values in train.items():
        row[f"bands {function}"] = accuracy(values, y, test[function], y_test)
    return row


def functions_of_codes(estimator, ids):
    """The same functions of the ids ``(n, N)`` of codes along time."""
    n_codes, n_tokens = estimator.codebook_size, ids.shape[1]
    ids = torch.from_numpy(ids)
    found = {
        "bag": readout.bag_of_codes(ids, n_codes).sqrt(),
        "positional bag": readout.positional_bag(ids, n_codes, [(1, n_tokens)]),
        "one-hot": readout.one_hot(ids, n_codes) / n_tokens**0.5,
    }
    return {name: values.numpy() for name, values in found.items()}


def prior_cell(name, folder, seed, threads):
    X, y, X_test, y_test = load(name, folder)
    generator = MaskedPriorGenerator(decoder=None, n_threads=threads, random_state=seed)
    start = time.process_time()
    generator.fit(X)
    seconds = time.process_time() - start
    features = standardised(generator.transform(X), generator.transform(X_test))
    alphabet = generator.architecture_
    n_tokens = sum(rows * columns for rows, columns in alphabet["grid"])
    return {
        "seconds": seconds,
        "bits of bands": n_tokens * float(np.log2(alphabet["n_codes"])),
        "features": accuracy(features[0], y, features[1], y_test),
    }


def cell(model, name, folder, seed, threads):
    if model == WINDOWS:
        return windows_cell(name, folder, seed)
    if model == PRIOR:
        return prior_cell(name, folder, seed, threads)
    return tokenizer_cell(name, folder, seed, MODELS[model], threads)


def raw_cell(name, folder):
    X, y, X_test, y_test = load(name, folder)
    mean, scale = X.mean(), X.std()
    flat, flat_test = (((part - mean) / scale).reshape(len(part), -1) for part in (X, X_test))
    return {"accuracy": accuracy(flat, y, flat_test, y_test)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    usual = (*MODELS, WINDOWS, PRIOR)
    parser.add_argument("--models", nargs="+", choices=usual, default=usual)
    parser.add_argument("--threads", type=int, help="of each fit; one if absent")
    options = parser.parse_args()
    cells = Cells(RESULTS / "tokens.jsonl")
    sets = sets_of(options)
    for name in sets:
        cells.measure(
            {"set": name, "model": "raw series"}, lambda n=name: raw_cell(n, options.folder)
        )
    for seed in options.seeds:
        for model in options.models:
            for name in sets:
                row = cells.measure(
                    {"set": name, "seed": seed, "model": model},
                    partial(cell, model, name, options.folder, seed, options.threads),
                )
                keys = ("bands positional bag", "both positional bag", "features")
                found = "  ".join(f"{row[key]:.3f}" for key in keys if key in row)
                print(
                    f"{name:<24}{seed:>2} {model:<14}{row['seconds']:>6.0f} s  {found}", flush=True
                )


if __name__ == "__main__":
    main()
