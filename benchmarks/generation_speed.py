"""A training step of the prior and sampling beside timevqvae's at the same sizes, interleaved.

    pip install --ignore-requires-python timevqvae
    python -m benchmarks.generation_speed [--threads 1 2]

40 tokens (8 of a low and 32 of a high band), 1,024 codes in each, transformers of 4 layers of 256
with two heads of 64 and feed-forward networks of 256 for both bands, batches of 256; sampling in
10 steps a band. timevqvae encodes its series in every step, ours are encoded once. "rate":
operations of our transformers' matrix products per second, as a share of the machine's rate in
float32 matrix products.
"""

import argparse
import time
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from skvqts._generation.generator.prior_training import PriorTask
from skvqts._generation.generator.sampling import PriorReader

from benchmarks.cells import table
from benchmarks.speed import medians
from skvqts._nn.initialise import build
from skvqts._nn.prior import Prior
from skvqts.functional.decoding import Decoding

GRID, CODES, WIDTH, LAYERS, HEADS, HEAD_DIM, BATCH = ((1, 8), (1, 32)), 1024, 256, 4, 2, 64, 256
SAMPLED, STEPS = 256, 10
TRANSFORMER = {
    "width": WIDTH,
    "n_layers": LAYERS,
    "n_heads": HEADS,
    "head_dim": HEAD_DIM,
    "feedforward": WIDTH,
    "dropout": 0.0,
    "causal": False,
}
# of one pass over a token, forward: projections, feed-forward network and head, twice per weight
OPERATIONS = 2 * (LAYERS * (4 * WIDTH * HEADS * HEAD_DIM + 2 * WIDTH * WIDTH) + WIDTH * CODES)


def descent(module, loss):
    """A training step of AdamW."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)

    def step():
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def ours(threads):
    generator = torch.Generator().manual_seed(0)
    prior = build(partial(Prior, GRID, CODES, 2, 8, transformer=TRANSFORMER), generator)
    task = PriorTask(prior, "cosine", 0.2, 0.99, 0.0, generator)
    task.module.train()
    ids = torch.cat(
        [torch.randint(CODES, (BATCH, 8)), CODES + torch.randint(CODES, (BATCH, 32))], 1
    )
    classes = torch.randint(2, (BATCH,))
    decodings = [Decoding(STEPS, 1.0, "confidence", 4.0, "cosine")] * 2
    reader = PriorReader(prior, "cpu", threads)

    def sample():
        prior.eval()
        hidden = np.ones((SAMPLED, 40), bool)
        labels = np.zeros(SAMPLED, np.int64)
        reader.fill(np.zeros(hidden.shape, np.int64), hidden, labels, 0, decodings, None)
        prior.train()

    loss = lambda: task.losses(ids, classes)["prior"]  # noqa: E731
    return {"step": descent(task.module, loss), "sampling": sample}


def theirs():
    from timevqvae.maskgit import MaskGIT, PriorModelConfig

    from benchmarks.rivals import timevqvae_model

    sizes = {"hidden_dim": WIDTH, "n_layers": LAYERS, "heads": HEADS, "ff_mult": 1}
    config = PriorModelConfig(
        **sizes, use_rmsnorm=True, p_unconditional=0.2, model_dropout=0.0, emb_dropout=0.0
    )
    vqvae = timevqvae_model(1, 128)
    with torch.no_grad():
        vqvae(torch.randn(4, 1, 128))  # it learns the number of its tokens
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
    x, classes = torch.randn(BATCH, 1, 128), torch.randint(2, (BATCH, 1))

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
    """Floating-point operations per second of float32 matrix products."""
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
        seconds, rate = medians(functions, options.repeats), product_rate()
        passes = BATCH * (9 + 41)  # tokens of both bands' transformers, the high one sees the low
        lines = []
        for model in models:
            step, sampling = seconds[model, "step"], seconds[model, "sampling"]
            lines.append(
                {
                    "threads": threads,
                    "who": model,
                    "step ms": 1e3 * step,
                    "rate": 3 * passes * OPERATIONS / step / rate,
                    "series/s": SAMPLED / sampling,
                    "step / ours": step / seconds["skvqts", "step"],
                    "sampling / ours": sampling / seconds["skvqts", "sampling"],
                }
            )
        print("\n".join(table(lines, list(lines[0]))), flush=True)


if __name__ == "__main__":
    main()
