"""What a training step and the quantizer cost, as ratios in one run.

    python -m benchmarks.speed [plain] [ssl] [quantizer] [--threads 2]

"plain" times VQ-VAE steps at batch 128 and length 140 for all front ends, in float32 and
bfloat16, beside the machine's own rate of float32 matrix products. "ssl" times steps with Barlow
Twins, augmentation included, by default settings and in the published form. "quantizer" times a
training step of the quantizer (nearest codes and moving averages of 12,800 vectors of 64 numbers)
beside that of vector-quantize-pytorch, where it is installed, and beside the bare matrix product
of vectors and codes. All times are medians of interleaved runs.
"""

import argparse
import time

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.cells import table
from skvqts import VQTokenizer
from skvqts._nn.quantizer import VectorQuantizer
from skvqts.augmentation import make_augmentation
from skvqts.functional.codebook import nearest_code
from skvqts.objectives import BarlowTwins

BATCH = 128
LENGTH = 140


def medians(functions, repeats):
    """Time functions in turn; return the median seconds of each."""
    seconds = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) for name, values in seconds.items()}


SHORT = 2
LONG = 12  # training steps of two fits, whose difference is timed


def fits(threads, **parameters):
    """Make two fits of one batch, by their number of steps."""
    X = np.random.default_rng(0).normal(size=(BATCH, LENGTH)).cumsum(1)
    common = {"batch_size": BATCH, "n_threads": threads, "random_state": 0}
    tokenizers = {n: VQTokenizer(max_epochs=n, **common, **parameters) for n in (SHORT, LONG)}
    return {n: lambda t=tokenizer: t.fit(X) for n, tokenizer in tokenizers.items()}


def seconds_per_step(models, threads, others, repeats):
    """Time a training step of each model, and other functions, in one run."""
    functions = {
        (name, n): fit
        for name, parameters in models.items()
        for n, fit in fits(threads, **parameters).items()
    }
    found = medians(functions | others, repeats)
    steps = {name: (found[name, LONG] - found[name, SHORT]) / (LONG - SHORT) for name in models}
    return steps | {name: found[name] for name in others}


def step_operations(tokenizer):
    """Count the operations of a training step as three times those of the forward pass."""
    X = np.zeros((BATCH, LENGTH))
    with FlopCounterMode(display=False) as counter:
        tokenizer.decode(tokenizer.encode(X))
    return 3 * counter.get_total_flops()


def print_steps(threads, precisions, repeats=4):
    torch.set_num_threads(threads)
    a = torch.randn(1024, 1024)
    models = {
        f"{frontend} {precision}": {"frontend": frontend, "precision": precision}
        for frontend in ("conv", "multiscale", "stft")
        for precision in precisions
    }
    seconds = seconds_per_step(
        models, threads, {"sgemm": lambda: [a @ a for _ in range(20)]}, repeats
    )
    peak = 20 * 2 * 1024**3 / seconds.pop("sgemm") / 1e9
    print(f"float32 matrix product: {peak:.0f} GFLOP/s on {threads} thread(s)")
    rows = []
    for name, value in seconds.items():
        frontend = models[name]["frontend"]
        tokenizer = VQTokenizer(frontend=frontend, max_epochs=1, batch_size=2)
        work = step_operations(tokenizer.fit(np.tile(np.arange(LENGTH), (2, 1)))) / 1e9
        rows.append(
            {
                "step": name,
                "ms": 1e3 * value,
                "of stft": value / seconds["stft float32"],
                "GFLOP": work,
                "of peak": work / value / peak,
            }
        )
    print("\n".join(table(rows, list(rows[0]), digits=2)))


SELF_SUPERVISED = {
    "default": {"ssl": BarlowTwins()},
    "projector of 4,096": {"ssl": BarlowTwins(projector_width=4096)},
    "published": {"ssl": BarlowTwins(projector_width=4096), "frontend": "stft"},
}


def print_self_supervised(threads, repeats=4):
    """Print the milliseconds of a step, and of the default augmentation alone."""
    torch.set_num_threads(threads)
    x = torch.randn(BATCH, 1, LENGTH)
    generator = torch.Generator().manual_seed(0)
    augmentation = make_augmentation(VQTokenizer().augmentation)
    others = {"augmentation alone": lambda: augmentation(x, generator)}
    seconds = seconds_per_step(SELF_SUPERVISED, threads, others, repeats)
    rows = [
        {"step": name, "ms": 1e3 * value, "of published": value / seconds["published"]}
        for name, value in seconds.items()
    ]
    print("\n".join(table(rows, list(rows[0]))))


def quantizers(n_codes):
    """Make training steps of quantizers with equal codes: nearest codes and moving averages."""
    z = torch.randn(128, 100, 64)
    codes = torch.randn(n_codes, 64)
    generator = torch.Generator().manual_seed(0)
    quantizer = VectorQuantizer(64, n_codes, revival_threshold=0).train()
    quantizer.initialise(generator)
    quantizer.codebook.copy_(codes)
    functions = {
        "ours": lambda: quantizer.update(quantizer(z), generator),
        "matrix product": lambda: z.view(-1, 64) @ codes.T,
    }
    try:
        from vector_quantize_pytorch import VectorQuantize
    except ImportError:
        print("vector-quantize-pytorch is not installed: compared with no other quantizer")
    else:
        other = VectorQuantize(dim=64, codebook_size=n_codes, decay=0.95).train()
        other.codebook = codes.clone()
        functions["vector-quantize-pytorch"] = lambda: other(z)
    return functions, wrong_codes(z.view(-1, 64), codes)


def wrong_codes(z, codes):
    """Count the codes that differ from those of float64 distances."""
    direct = "donot_use_mm_for_euclid_dist"
    blocks = z.double().split(1000)
    exact = [torch.cdist(block, codes.double(), compute_mode=direct).argmin(1) for block in blocks]
    return int((nearest_code(z, codes) != torch.cat(exact)).sum())


def print_quantizer(threads, repeats=8):
    torch.set_num_threads(threads)
    rows = []
    for n_codes in (32, 512, 8192):
        functions, wrong = quantizers(n_codes)
        seconds = medians(functions, repeats)
        row = {"codes": n_codes, "wrong codes": wrong}
        row |= {f"{name} ms": 1e3 * value for name, value in seconds.items()}
        if "vector-quantize-pytorch" in seconds:
            row["ratio"] = seconds["vector-quantize-pytorch"] / seconds["ours"]
        rows.append(row | {"of peak": seconds["matrix product"] / seconds["ours"]})
    print("\n".join(table(rows, list(rows[0]), digits=2)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=("plain", "ssl", "quantizer"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--bfloat16", action="store_true", help="slow where there is no AMX")
    options = parser.parse_args()
    if "plain" in options.parts:
        print_steps(options.threads, ("float32", "bfloat16") if options.bfloat16 else ("float32",))
    if "ssl" in options.parts:
        print_self_supervised(options.threads)
    if "quantizer" in options.parts:
        print_quantizer(options.threads)


if __name__ == "__main__":
    main()
