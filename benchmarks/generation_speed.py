"""A training step of the prior and sampling beside timevqvae's at the same sizes, interleaved.

    pip install --ignore-requires-python timevqvae
    python -m benchmarks.generation_speed [--threads 1 2]

40 tokens (8 of a low and 32 of a high band), 1,024 codes in each, transformers of 4 layers of 256
with two heads of 64 and feed-forward networks of 256 for both bands, batches of 256; sampling in 10
steps a band, by confidence as timevqvae does, and in our default order. timevqvae encodes its
series in every step, ours are encoded once; our step includes the running mean of the weights, our
sampling the decoding of the tokens. "rate": operations of our transformers' matrix products per
second, as a share of the machine's rate in float32 matrix products.
"""

import argparse
import time
from importlib.util import find_spec

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator

from benchmarks.cells import table
from benchmarks.speed import medians
from skvqts import MaskedPriorGenerator, VQTokenizer

CODES = 1024
WIDTH = 256
LAYERS = 4
HEADS = 2
HEAD_DIM = 64
BATCH = 256
LENGTH = 128
SAMPLED = 256
STEPS = 10
TRAINED = 1024  # series, so that an epoch has TRAINED / BATCH steps
SHORT = 1  # epochs of two fits, whose difference is timed
LONG = 3
# of one pass over a token, forward: projections, feed-forward network and head, twice per weight
OPERATIONS = 2 * (LAYERS * (4 * WIDTH * HEADS * HEAD_DIM + 2 * WIDTH * WIDTH) + WIDTH * CODES)


def descent(module, loss):
    """Make a function that does a training step of AdamW."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)

    def step():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def ours(threads):
    """Make two fits of the prior, which differ by some steps, and a function that samples."""
    X = np.random.default_rng(0).normal(size=(TRAINED, LENGTH)).cumsum(1)
    y = np.arange(TRAINED) % 2
    shared = {"n_threads": threads, "random_state": 0}
    tokenizer = VQTokenizer(CODES, n_bands=2, downsampled_width=32, max_epochs=1, **shared)
    frozen = FrozenEstimator(tokenizer.fit(X))

    def generator(n_epochs, order="confidence"):
        return MaskedPriorGenerator(
            frozen,
            decoder=None,
            width=WIDTH,
            n_layers=LAYERS,
            n_heads=HEADS,
            head_dim=HEAD_DIM,
            feedforward=WIDTH,
            dropout=0.0,
            order=order,
            n_steps=STEPS,
            batch_size=BATCH,
            max_epochs=n_epochs,
            **shared,
        )

    fitted = generator(SHORT).fit(X, y)
    by_default = generator(SHORT, "low_discrepancy").fit(X, y)
    return {
        "short fit": lambda: generator(SHORT).fit(X, y),
        "long fit": lambda: generator(LONG).fit(X, y),
        "sampling": lambda: fitted.sample(SAMPLED, random_state=0),
        "sampling, default order": lambda: by_default.sample(SAMPLED, random_state=0),
    }


def theirs():
    from timevqvae.maskgit import MaskGIT, PriorModelConfig

    from benchmarks.rivals import timevqvae_model

    sizes = {"hidden_dim": WIDTH, "n_layers": LAYERS, "heads": HEADS, "ff_mult": 1}
    config = PriorModelConfig(
        **sizes, use_rmsnorm=True, p_unconditional=0.2, model_dropout=0.0, emb_dropout=0.0
    )
    vqvae = timevqvae_model(1, LENGTH)
    with torch.no_grad():
        vqvae(torch.randn(4, 1, LENGTH))  # it learns the number of its tokens
    model = MaskGIT(
        vqvae=vqvae.eval(),
        lf_choice_temperature=4.0,
        hf_choice_temperature=4.0,
        lf_num_sampling_steps=STEPS,
        hf_num_sampling_steps=STEPS,
        lf_codebook_size=CODES,
        hf_codebook_size=CODES,
        transformer_embedding_dim=WIDTH,
        lf_prior_model_config=config,
        hf_prior_model_config=config,
        classifier_free_guidance_scale=1.0,
        n_classes=2,
    )
    x = torch.randn(BATCH, 1, LENGTH)
    classes = torch.randint(2, (BATCH, 1))

    @torch.no_grad()
    def sample():
        model.eval()
        model.iterative_decoding(
            num_samples=SAMPLED, mode="cosine", class_condition=classes[:SAMPLED], device="cpu"
        )
        model.train()

    loss = lambda: model(x, classes).total_mask_prediction_loss  # noqa: E731
    return {"step": descent(model, loss), "sampling": sample}


def product_rate(size=1024, repeats=10):
    """Measure the floating-point operations per second of float32 matrix products."""
    a = torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        a @ a
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=8)
    options = parser.parse_args()
    for threads in options.threads:
        torch.set_num_threads(threads)
        models = {"skvqts": ours(threads)}
        if find_spec("timevqvae"):
            models["timevqvae"] = theirs()
        functions = {(m, f): run for m, parts in models.items() for f, run in parts.items()}
        seconds = medians(functions, options.repeats)
        difference = seconds["skvqts", "long fit"] - seconds["skvqts", "short fit"]
        seconds["skvqts", "step"] = difference / ((LONG - SHORT) * TRAINED // BATCH)
        rate = product_rate()
        passes = BATCH * (9 + 41)  # tokens of both bands' transformers, the high one sees the low
        lines = []
        for model in models:
            step = seconds[model, "step"]
            sampling = seconds[model, "sampling"]
            ordered = seconds["skvqts", "sampling, default order"]
            lines.append(
                {
                    "threads": threads,
                    "who": model,
                    "step ms": 1e3 * step,
                    "rate": 3 * passes * OPERATIONS / step / rate,
                    "series/s": SAMPLED / sampling,
                    "step / ours": step / seconds["skvqts", "step"],
                    "sampling / ours": sampling / seconds["skvqts", "sampling"],
                    "sampling / ours, default order": sampling / ordered,
                }
            )
        print("\n".join(table(lines, list(lines[0]))), flush=True)


if __name__ == "__main__":
    main()
