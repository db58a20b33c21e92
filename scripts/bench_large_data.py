"""Train on a file of bytes that is larger than the memory, and measure rows per second and memory.

    python scripts/bench_large_data.py FILE [--rows M] [--resident]

FILE is made if it is missing: M rows of 12,288 random bytes, 4 GB by default. To limit the memory, run it in
a control group, for example by `systemd-run --scope -p MemoryMax=1G`. Full-batch costs are printed: they must
be the same with any memory. --resident reads the file into memory before.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

from xpnet.backend import select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.linear import descend
from xpnet.nn import Layer, LogisticRegression, Network, Settings
from xpnet.processors import memory_bytes
from xpnet.training import fit

FEATURES, BLOCK = 12_288, 4096


def make(path: Path, m: int) -> None:
    """Write m rows of random bytes, a block at a time."""
    block = np.random.default_rng(0).integers(0, 256, (BLOCK, FEATURES), dtype=np.uint8)
    with path.open("wb") as file:
        for start in range(0, m, BLOCK):
            np.roll(block, start // BLOCK, axis=1)[: m - start].tofile(file)


def main() -> None:
    """Train a network in batches for an epoch, and logistic regression on all examples."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=327_680)
    parser.add_argument("--resident", action="store_true")
    arguments = parser.parse_args()
    if not arguments.file.exists():
        make(arguments.file, arguments.rows)
    mapped = np.memmap(arguments.file, np.uint8, "r").reshape(-1, FEATURES)
    examples = np.array(mapped) if arguments.resident else np.asarray(mapped)
    data, backend = ColumnMatrix(examples, fit_standardizer([], "unit")), select("cpu")
    Y = (np.arange(data.m) // BLOCK % 2)[None]
    print(f"{data.m} rows, {examples.nbytes / 1e9:.1f} GB, memory {memory_bytes() / 1e9:.1f} GB")
    network = Network(FEATURES, 1, "sigmoid", (Layer.parse("16:relu"),))
    start = time.perf_counter()
    result = fit(network, data, Y, backend, Settings(epochs=1, batch_size=256))
    seconds = time.perf_counter() - start
    print(f"batches: {data.m / seconds:,.0f} rows/s, cost {result.history.costs[-1]:.6f}")
    start = time.perf_counter()
    model = LogisticRegression(FEATURES)
    result = descend(model, data, Y, backend, iterations=3, learning_rate=1e-3, method="fused")
    seconds = time.perf_counter() - start
    print(f"all rows: {3 * data.m / seconds:,.0f} rows/s, costs {[repr(c) for c in result.history.costs]}")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
