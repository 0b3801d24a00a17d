"""SAITS (Du et al. 2023) of PyPOTS, in a process of its own with the Python that has it.

    python -m benchmarks.saits_rival IN.npz OUT.npz SECONDS SEED

IN holds `X`, standardised training series (n, c, t), and under other names series with gaps (NaN).
OUT holds them filled, the seconds of filling as "seconds NAME", and the "seconds" and "steps" of
training. The network, its two losses, batches of 32 and Adam at 1e-3 are those of PyPOTS; the
learning rate falls along a cosine over the seconds. The sizes are those of its README, but a width
of 64 in place of 256: in 35 seconds of ECG200 and NATOPS it had 4 and 5 times the steps, and less
error on held-out training series in every kind of gap. PyPOTS hides single points for the masked
imputation task; here a series of a batch has a gap of a kind drawn from those of the benchmark,
anew in each step. One thread.
"""

import math
import sys
import time

import numpy as np
import torch

from benchmarks.gaps import KINDS, kinds_of

BATCH_SIZE = 32
WIDTH = 64
N_HEADS = 4
CHUNK = 100  # series that are filled at a time


def gapped_batch(X, rng):
    """Training input of SAITS for series (b, c, t): each has a gap of a kind drawn at random."""
    kinds = rng.choice(kinds_of(X.shape[1]), len(X))
    hidden = np.concatenate([KINDS[kind]((1, *X.shape[1:]), rng) for kind in kinds])
    complete, gap = (
        torch.from_numpy(array.astype(np.float32)).transpose(1, 2) for array in (X, hidden)
    )
    return {
        "X": complete * (1 - gap),
        "missing_mask": 1 - gap,  # PyPOTS: 1 where observed
        "X_ori": complete,
        "indicating_mask": gap,
    }


def trained(X, seconds, seed):
    """Train for the seconds; return the SAITS and its steps."""
    from pypots.imputation import SAITS

    torch.manual_seed(seed)
    saits = SAITS(
        n_steps=X.shape[2],
        n_features=X.shape[1],
        n_layers=2,
        d_model=WIDTH,
        n_heads=N_HEADS,
        d_k=WIDTH // N_HEADS,
        d_v=WIDTH // N_HEADS,
        d_ffn=128,
        dropout=0.1,
        device="cpu",
    )
    rng = np.random.default_rng(seed)
    optimizer = saits.optimizer.torch_optimizer
    rate = optimizer.param_groups[0]["lr"]
    saits.model.train()
    steps = 0
    start = time.perf_counter()
    while (spent := (time.perf_counter() - start) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * spent)) / 2
        rows = rng.choice(len(X), min(BATCH_SIZE, len(X)), replace=False)
        loss = saits.model(gapped_batch(X[rows], rng), calc_criterion=True)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    saits.model.eval()
    return saits, steps


@torch.no_grad()
def filled(saits, X):
    """Fill the NaNs of series (n, c, t)."""
    known = ~np.isnan(X)
    parts = []
    for start in range(0, len(X), CHUNK):
        rows = slice(start, start + CHUNK)
        given, mask = (
            torch.from_numpy(array[rows].astype(np.float32)).transpose(1, 2)
            for array in (np.where(known, X, 0), known)
        )
        imputed = saits.model({"X": given, "missing_mask": mask})["imputation"]
        parts.append(imputed.transpose(1, 2).numpy())
    return np.where(known, X, np.concatenate(parts))


def main():
    path, out, seconds, seed = sys.argv[1:]
    torch.set_num_threads(1)
    with np.load(path) as arrays:
        given = dict(arrays)
    X = given.pop("X")
    start = time.perf_counter()
    saits, steps = trained(X, float(seconds), int(seed))
    found = {"seconds": time.perf_counter() - start, "steps": steps}
    for name, gapped in given.items():
        start = time.perf_counter()
        found[name] = filled(saits, gapped)
        found[f"seconds {name}"] = time.perf_counter() - start
    np.savez(out, **found)


if __name__ == "__main__":
    main()
