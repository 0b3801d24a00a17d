"""What discrete latents and a prior that is learned buy: autoencoder, VAE and VQ-VAE side by side.

    python -m benchmarks.latents [SET ...] [--seeds 0 1 2] [--seconds 20] [--threads 1]

All have the same encoder and decoder, and each is trained for the same seconds of the processor,
shared out equally among its stages: one of `SeriesAutoencoder` and `SeriesVAE`, two of a tokenizer
and the prior over its tokens, three with a `FlowDecoder`. So epochs are found out by short fits,
and not those of the defaults. `WindowCodes`, which has nothing to train for longer, stands beside
them. Generators are judged by `generation_report`, with an FCN trained on the real training set.
"probe" is the test accuracy of the one of ridge and RBF SVC on what `transform` returns that
cross-validation on the training set prefers.

The VAE learns series given their classes, for samples of classes, and once more without labels,
for its probe: latents beside a decoder that is told the class need not tell classes apart.
Cells are written to benchmarks/results as they finish, so a run can be stopped and continued.
"""

import argparse
import time

import numpy as np
from sklearn.frozen import FrozenEstimator

from benchmarks.cells import RESULTS, Cells
from benchmarks.data import default_folder, load, sets_of
from benchmarks.generation import SETS, SHOWN, Referees, judged
from benchmarks.probes import headline, standardised
from skvqts import (
    AutoregressivePriorGenerator,
    FlowDecoder,
    MaskedPriorGenerator,
    SeriesAutoencoder,
    SeriesVAE,
    VQTokenizer,
    WindowCodes,
)
from skvqts.metrics import code_length

TOKENIZER = {"codebook_size": 32, "downsampled_width": 16}
_MOST_BOUNDED = 500  # test series that likelihoods are measured on, evenly spaced
C2ST = "two-sample accuracy, trained classifier"


def timed(estimator, *data):
    """Fit an estimator; return it and the seconds of the processor that it took."""
    start = time.process_time()
    estimator.fit(*data)
    return estimator, time.process_time() - start


def trained(new, seconds, *data):
    """Fit ``new(n_epochs)`` for about so many seconds of the processor, in all, and return both."""
    new(1).fit(*data)  # whatever is imported or allocated first
    _, short = timed(new(1), *data)
    n_epochs = 4
    while (longer := timed(new(n_epochs), *data)[1] - short) < 0.5:
        n_epochs *= 4
    return timed(new(max(1, round(seconds * (n_epochs - 1) / longer))), *data)


def probe(estimator, data):
    """Compute the test accuracy on what `transform` returns."""
    X, y, X_test, y_test = data
    features = (estimator.transform(part).astype(np.float64) for part in (X, X_test))
    train, test = standardised(*features)
    return {"probe": headline(train, y, test, y_test)["headline"]}


def some(X_test):
    """Choose the test series that likelihoods are measured on."""
    return X_test[:: -(-len(X_test) // _MOST_BOUNDED)]


def autoencoder(data, seconds, settings):
    model, taken = trained(
        lambda n: SeriesAutoencoder(max_epochs=n, **settings), seconds, data[0], data[1]
    )
    return None, {"seconds": taken, "MSE": -model.score(data[2])} | probe(model, data)


def vae(data, seconds, settings):
    model, taken = trained(lambda n: SeriesVAE(max_epochs=n, **settings), seconds, *data[:2])
    return model, {"seconds": taken, "bound": model.score(some(data[2]))}


def vae_without_labels(data, seconds, settings):
    given = settings | {"conditional": False}
    model, taken = trained(lambda n: SeriesVAE(max_epochs=n, **given), seconds, *data[:2])
    X_test = data[2]
    again = model.decode(model.transform(X_test))
    scale = model.scaler_.scale_[0, :, 0]
    error = np.square((again - X_test) / scale[:, None]).mean()
    row = {"seconds": taken, "MSE": error, "bound": model.score(some(X_test))}
    return None, row | {"active": model.n_active_latents_} | probe(model, data)


def window_codes(data, seconds, settings):
    model, taken = timed(WindowCodes(codebook_size=32, **settings), *data[:2])
    return None, {"seconds": taken, "MSE": -model.score(data[2])} | probe(model, data)


def tokenizer_for(data, seconds, settings):
    new = lambda n: VQTokenizer(max_epochs=n, **TOKENIZER, **settings)  # noqa: E731
    return trained(new, seconds, data[0])


def with_prior(prior_class):
    """A tokenizer and the prior of a generator without a decoder, half of the seconds each."""

    def model(data, seconds, settings):
        tokenizer, first = tokenizer_for(data, seconds / 2, settings)
        given = {"decoder": None, **settings}
        new = lambda n: prior_class(FrozenEstimator(tokenizer), max_epochs=n, **given)  # noqa: E731
        generator, second = trained(new, seconds / 2, *data[:2])
        return generator, discrete(generator, data, first + second)

    return model


def with_decoder(data, seconds, settings):
    """A tokenizer, a masked prior and a decoder that draws series, a third of the seconds each."""
    tokenizer, first = tokenizer_for(data, seconds / 3, settings)
    frozen = FrozenEstimator(tokenizer)
    given = {"decoder": None, **settings}
    prior = lambda n: MaskedPriorGenerator(frozen, max_epochs=n, **given)  # noqa: E731
    generator, second = trained(prior, seconds / 3, *data[:2])
    stop = {"early_stopping": False, **settings}
    flow = lambda n: FlowDecoder(frozen, max_epochs=n, **stop)  # noqa: E731
    decoder, third = trained(flow, seconds / 3, *data[:2])
    generator.decoder_ = decoder
    return generator, discrete(generator, data, first + second + third)


def discrete(generator, data, seconds):
    """Compute what is said of a generator over tokens beside its report."""
    lengths = code_length(generator, some(data[2]))
    row = {"seconds": seconds, "MSE": -generator.tokenizer_.score(data[2])}
    row |= {"bound": generator.score(some(data[2])), "log K": lengths.uniform}
    row |= {"usage": lengths.usage, "learned": lengths.learned}
    return row | probe(generator.tokenizer_, data)


MODELS = {
    "window codes": window_codes,
    "AE": autoencoder,
    "VAE, no labels": vae_without_labels,
    "VAE": vae,
    "VQ-VAE, autoregressive": with_prior(AutoregressivePriorGenerator),
    "VQ-VAE, masked": with_prior(MaskedPriorGenerator),
    "VQ-VAE, masked, sampled decoder": with_decoder,
}


def cell(model, data, referee, seed, options):
    """Train a model and judge it."""
    settings = {"random_state": seed, "n_threads": options.threads}
    generator, row = MODELS[model](data, options.seconds, settings)
    if generator is not None:
        found = judged(generator, data, referee, seed)
        names = [*SHOWN.values(), C2ST]
        row |= {key: value for key, value in found.items() if key.startswith(tuple(names))}
    return row


def show(row):
    """Print a cell in one line."""
    columns = {"MSE": "MSE", "probe": "probe", "bound": "bound", **SHOWN, "C2ST": C2ST}
    parts = [f"{row['set']:<22}{row['seed']}  {row['model']:<32}{row['seconds']:4.0f} s"]
    parts += [f"{short} {row[key]:.3f}" for short, key in columns.items() if key in row]
    print("  ".join(parts), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    cells = Cells(RESULTS / "latents.jsonl")
    referees = Referees(options.threads)
    for seed in options.seeds:
        for name in sets_of(options, SETS["final"]):
            data = load(name, options.folder)
            for model in options.models:
                key = {"set": name, "seed": seed, "model": model, "budget": options.seconds}
                referee = referees.of(name, data)
                show(cells.measure(key, lambda m=model, r=referee: cell(m, data, r, seed, options)))  # noqa: B023


if __name__ == "__main__":
    main()
