"""Reconstruction at equal seconds and equal bits: VQTokenizer, its "stft" front end, timevqvae.

    pip install --ignore-requires-python timevqvae
    python -m benchmarks.rivals [SET ...] [--seeds 0 1 2]

VQTokenizer trains for its default number of steps, with the tokens and codes that give it the
bits of its rival (tokens x log2 K, within 10 %). The rival then trains for at least as many
seconds, on as many threads, with a cosine schedule over them. The published architecture ("stft")
has its published sizes; timevqvae is the package with the model of its README, trained by AdamW
at 1e-3 in batches of 32. The mean squared error is that of the test series, in units of the
standard deviation of the training set. Cells are written to benchmarks/results as they finish.
"""

import argparse
import math
import time

import numpy as np
import torch

from benchmarks.cells import RESULTS, Cells, mean_and_spread, table
from benchmarks.data import default_folder, load, sets_of
from skvqts import VQTokenizer

SETS = ("TwoPatterns", "ECG200", "Wafer")
LARGEST_CODEBOOK = 512


def same_bits(bits, n_timepoints):
    """Choose parameters that give a tokenizer so many bits per series with the fewest tokens."""
    for stride in (8, 4, 2, 1):
        n_tokens = math.ceil(n_timepoints / stride)
        if bits / n_tokens <= math.log2(LARGEST_CODEBOOK):
            break
    return {
        "downsampled_width": round(n_timepoints / stride),
        "codebook_size": round(2 ** (bits / n_tokens)),
    }


def fitted(X, threads, **parameters):
    """Fit a tokenizer; return it, the seconds it took and its bits per series."""
    start = time.perf_counter()
    tokenizer = VQTokenizer(n_threads=threads, **parameters).fit(X)
    seconds = time.perf_counter() - start
    n_tokens = sum(rows * columns for rows, columns in tokenizer.token_shape_)
    return tokenizer, seconds, n_tokens * math.log2(tokenizer.codebook_size)


def row(who, seconds, bits, steps, mse):
    return {"who": who, "seconds": seconds, "bits": bits, "steps": steps, "MSE": mse}


def ours(X, X_test, bits, threads, seed):
    parameters = same_bits(bits, X.shape[2])
    tokenizer, seconds, bits = fitted(X, threads, random_state=seed, **parameters)
    steps = tokenizer.n_iter_ * -(-len(X) // tokenizer.batch_size)
    return row("VQTokenizer", seconds, bits, steps, -tokenizer.score(X_test))


def stft_bits(X):
    _, _, bits = fitted(X[:2], 1, frontend="stft", max_epochs=1)
    return bits


def stft(X, X_test, seconds, threads, seed):
    """Fit for at least the seconds; the number of epochs is guessed, and raised if too small."""
    parameters = {"frontend": "stft", "random_state": seed}
    epochs = 4
    spent = fitted(X, threads, max_epochs=epochs, **parameters)[1]
    while spent < seconds:
        epochs = math.ceil(1.05 * epochs * seconds / spent)
        tokenizer, spent, bits = fitted(X, threads, max_epochs=epochs, **parameters)
    steps = epochs * -(-len(X) // tokenizer.batch_size)
    return row("stft", spent, bits, steps, -tokenizer.score(X_test))


def timevqvae_model(n_channels, n_timepoints):
    """Build the model of the README of timevqvae."""
    from timevqvae.vqvae import VQVAE

    return VQVAE(
        in_channels=n_channels,
        input_length=n_timepoints,
        n_fft=4,
        init_dim=4,
        hid_dim=128,
        downsampled_width_l=8,
        downsampled_width_h=32,
        encoder_n_resnet_blocks=2,
        decoder_n_resnet_blocks=2,
        codebook_size_l=1024,
        codebook_size_h=1024,
        kmeans_init=True,
        codebook_dim=8,
    )


def timevqvae_bits(X):
    model = timevqvae_model(*X.shape[1:]).eval()
    x = torch.zeros(2, *X.shape[1:])
    with torch.no_grad():
        latents = model.encoder_l(x), model.encoder_h(x)
    return sum(z[0, 0].numel() for z in latents) * math.log2(1024)


def reconstruction_loss(model, x):
    """Compute the loss of the first stage as the README of timevqvae does."""
    out = model(x)
    return sum(out.recons_loss.values()) + sum(v["loss"] for v in out.vq_losses.values())


def train_for(seconds, model, loss_of, *data):
    """Train on batches of 32 until the seconds are over, with a cosine schedule over them.

    They are those that this thread computes: other processes on the machine do not cost it steps.
    """
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-3)
    model.train()
    start = time.thread_time()
    steps = 0
    while (spent := time.thread_time() - start) < seconds:
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * spent / seconds))
        picks = torch.randint(len(data[0]), (min(32, len(data[0])),))
        loss = loss_of(model, *(part[picks] for part in data))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    model.eval()
    return spent, steps


def timevqvae(X, X_test, seconds, threads, seed):
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    mean = X.mean()
    std = X.std()
    x, x_test = (torch.from_numpy(((part - mean) / std).astype(np.float32)) for part in (X, X_test))
    model = timevqvae_model(*X.shape[1:])
    spent, steps = train_for(seconds, model, reconstruction_loss, x)
    with torch.no_grad():
        errors = [((model(part).x_recon - part) ** 2).mean((1, 2)) for part in x_test.split(256)]
    mse = torch.cat(errors).mean().item()
    return row("timevqvae", spent, timevqvae_bits(X), steps, mse)


RIVALS = {"stft": (stft_bits, stft), "timevqvae": (timevqvae_bits, timevqvae)}


def compare(rival, name, folder, seed, threads, cells):
    """Measure VQTokenizer, then the rival, which trains for at least as long."""
    X, _, X_test, _ = load(name, folder)
    bits_of, train = RIVALS[rival]
    key = {"set": name, "seed": seed, "against": rival}
    tokenizer_row = cells.measure(
        key | {"who": "VQTokenizer"}, lambda: ours(X, X_test, bits_of(X), threads, seed)
    )
    rival_row = cells.measure(
        key | {"who": rival}, lambda: train(X, X_test, tokenizer_row["seconds"], threads, seed)
    )
    return tokenizer_row, rival_row


def print_table(rows):
    lines = []
    for row_key in dict.fromkeys((r["set"], r["against"], r["who"]) for r in rows):
        found = [r for r in rows if (r["set"], r["against"], r["who"]) == row_key]
        line = dict(zip(("set", "against", "who"), row_key, strict=True))
        for column in ("seconds", "bits", "steps"):
            line[column] = round(float(np.mean([r[column] for r in found])))
        lines.append(line | {"MSE": mean_and_spread([r["MSE"] for r in found])})
    print("\n".join(table(lines, ["set", "against", "who", "seconds", "bits", "steps", "MSE"])))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*")
    parser.add_argument("--folder", default=default_folder())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    cells = Cells(RESULTS / "rivals.jsonl")
    rows = []
    for seed in options.seeds:
        for name in sets_of(options, SETS):
            for rival in options.rivals:
                rows += compare(rival, name, options.folder, seed, options.threads, cells)
                for r in rows[-2:]:
                    print(
                        f"{name:<14}{seed:>2} {r['who']:<12}{r['seconds']:>7.1f} s"
                        f"{r['bits']:>7.0f} bits{r['steps']:>6} steps  MSE {r['MSE']:.4f}",
                        flush=True,
                    )
    print_table(rows)


if __name__ == "__main__":
    main()
