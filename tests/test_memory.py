"""Memory does not grow with the number of fits, nor with the size of memory-mapped input.

Each test measures a new process. It counts anonymous pages as Linux reports them, which do not
include the pages of mapped files.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs the process status of Linux"
)

_PRELUDE = """
import sys, threading, time
import numpy as np
from tests.conftest import two_shapes
from tests.estimators import CLASSIFIERS, GENERATORS, TRANSFORMERS
make = {**TRANSFORMERS, **CLASSIFIERS, **GENERATORS}[sys.argv[1]]

def anonymous_mb():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024

class Peak:
    "Most anonymous memory in use while the block runs, in MB above that at its start."
    def __enter__(self):
        self.start, self.mb, self.on = anonymous_mb(), 0.0, True
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self
    def watch(self):
        while self.on:
            self.mb = max(self.mb, anonymous_mb() - self.start)
            time.sleep(0.005)
    def __exit__(self, *_):
        self.on = False
        self.thread.join()
"""


def measured(code, *arguments):
    """The number that `code` prints in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _PRELUDE + code, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.parametrize(
    "name",
    [
        "VQTokenizer",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("SSLFeatureExtractor", "SeriesVAE", "FCNClassifier")
        ),
    ],
)
def test_repeated_fits_do_not_leak_memory(name):
    code = """
X, y = two_shapes(24)
transformer = make(max_epochs=1)
after_fit = []
for _ in range(90):
    transformer.fit(X, y).transform(X)
    after_fit.append(anonymous_mb())
# The allocator keeps 8 MB that are free after one fit in a few hundred, and returns them after the
# next one. Memory that leaks is there after every fit.
print(min(after_fit[-10:]) - min(after_fit[20:30]))
"""
    assert measured(code, name) < 3  # MB, of 60 fits


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("VQTokenizer", 20_000),
        pytest.param("VQTokenizer", 100_000, marks=pytest.mark.slow),
        pytest.param("SSLFeatureExtractor", 5_000, marks=pytest.mark.slow),
    ],
)
def test_a_large_memory_map_is_read_in_chunks(name, n, tmp_path):
    code = """
path = sys.argv[2] + "/X.npy"
n = int(sys.argv[3])
X = np.lib.format.open_memmap(path, "w+", np.float32, (n, 140))
X[:] = np.random.default_rng(0).normal(size=(1000, 140)).repeat(n // 1000, 0)
X.flush()
before = (X[0].copy(), X[-1].copy())
X = np.load(path, mmap_mode="r")
transformer = make().fit(X[:500])
transformer.transform(X[:500])
with Peak() as peak:
    out = transformer.transform(X)
assert np.array_equal(X[0], before[0]) and np.array_equal(X[-1], before[1])
print(peak.mb - out.nbytes / 2**20)
"""
    assert measured(code, name, str(tmp_path), str(n)) < 300


@pytest.mark.slow  # its quick form is test_no_slice_holds_many_series
@pytest.mark.parametrize(
    ("name", "n", "most"),
    [
        ("RandomConvolutionExtractor", 5_000, 20),  # its features would take 32 MB
        ("VQTokenizer", 200_000, 300),
        ("FCNClassifier", 200_000, 300),
        ("MaskedPriorGenerator", 100_000, 300),
    ],
)
def test_a_fit_to_a_large_memory_map_holds_a_part_of_it(name, n, most, tmp_path):
    code = """
path = sys.argv[2] + "/X.npy"
n = int(sys.argv[3])
X = np.lib.format.open_memmap(path, "w+", np.int16, (n, 140))
X[:] = (100 * np.random.default_rng(0).normal(size=(1000, 140))).repeat(n // 1000, 0)
X.flush()
X = np.load(path, mmap_mode="r")
y = np.arange(n) % 2
more = {"n_kernels": 800} if "Random" in sys.argv[1] else {"max_epochs": 1, "batch_size": 2048}
if "Generator" in sys.argv[1]:
    from tests.estimators import tokenizer, flow_decoder
    more["tokenizer"] = tokenizer(downsampled_width=8, max_epochs=1, batch_size=2048)
    # A step of this network over 2,048 series takes 200 MB itself, however many series there are.
    more["decoder"] = flow_decoder(batch_size=256)
make(**more).fit(X[:500], y[:500])
with Peak() as peak:
    model = make(**more).fit(X, y)
n_tokens = len(model.tokenizer_.encode(X[:1])[0]) if hasattr(model, "tokenizer_") else 0
print(peak.mb - 16 * n * n_tokens / 2**20)
"""
    assert measured(code, name, str(tmp_path), str(n)) < most


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("VQTokenizer", "width=16, latent_dim=16"),
        pytest.param("SSLFeatureExtractor", "width=16, latent_dim=16", marks=pytest.mark.slow),
        pytest.param("SeriesVAE", "width=16, latent_dim=16", marks=pytest.mark.slow),
        pytest.param("RandomConvolutionExtractor", "n_kernels=1000", marks=pytest.mark.slow),
        pytest.param("STFTTransformer", "n_fft=64", marks=pytest.mark.slow),
        pytest.param("WindowCodes", "codebook_size=16", marks=pytest.mark.slow),
    ],
)
def test_series_of_100000_time_points_need_less_than_a_gigabyte(name, size):
    code = """
X = np.sin(np.arange(400_000) / 50).reshape(4, 100_000) * np.arange(1, 5)[:, None]
with Peak() as peak:
    transformer = make(max_epochs=2, SIZE).fit(X)
    out = transformer.transform(X[:1])
    if hasattr(transformer, "encode"):
        assert transformer.decode(transformer.encode(X)).shape == X.shape
assert np.isfinite(out).all()
print(peak.mb)
"""
    assert measured(code.replace("SIZE", size), name) < 1000
