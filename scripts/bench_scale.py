"""Measure `xpnet predict` by a Dask cluster of this machine beside the same number of own processes.

    python scripts/bench_scale.py [--json FILE] [--repeat N] [--only PART ...]

Ways that are compared run in turn; times are medians. The images are made here. Linux only.
"""

import itertools
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

from bench_pipeline import RECIPES, SIZES, model_for, photos
from benching import Parts, run

COUNT = 20_000
"""How many images `cluster` scores."""

WAYS = {"2 processes": ("--workers", "2"), "Dask, 2 processes": ("--cluster", "local:2")}
"""The options that are compared."""

GROWTH = (10_000, 100_000, 1_000_000)
"""How many inputs `inputs` has. Their files are missing, so that only what handles them is measured."""

JOB = """
import resource, sys, time
began = time.perf_counter()
from xpnet.pipelines.cli import main
try:
    main()
except SystemExit as ended:
    assert ended.code in (None, 0, 4), ended.code
seconds = time.perf_counter() - began
here, workers = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(seconds, here.ru_maxrss / 1024, workers.ru_maxrss / 1024)
"""
"""One run, in another process. Prints the seconds, and the most megabytes of it and of any child."""


def measured(*arguments: object) -> tuple[float, ...]:
    """Run `xpnet predict`; return the seconds and the memory as `JOB` prints them."""
    command = [sys.executable, "-c", JOB, "predict", *map(str, arguments), "-q", "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  (the code above)
    return tuple(map(float, done.stdout.split()))


def cluster(repeat: int) -> list[dict[str, Any]]:
    """Whole commands on 20,000 images of 400 x 534, with both decoders."""
    rows = []
    with photos(SIZES["400 x 534"], COUNT) as folder, tempfile.TemporaryDirectory() as made:
        for decoder, recipe in RECIPES.items():
            found: dict[str, list[tuple[float, ...]]] = defaultdict(list)
            outputs = {way: Path(made) / f"{way}.csv" for way in WAYS}
            model = model_for(Path(made), recipe)
            for _, (way, options) in itertools.product(range(repeat), WAYS.items()):
                found[way].append(measured(model, folder, "-o", outputs[way], *options))
            if len({output.read_bytes() for output in outputs.values()}) > 1:
                msg = "the outputs differ"
                raise SystemExit(msg)
            middle = {way: [median(column) for column in zip(*found[way], strict=True)] for way in WAYS}
            rows += [
                {
                    "decoder": decoder,
                    "by": way,
                    "images/s": COUNT / seconds,
                    "of own processes": middle["2 processes"][0] / seconds,
                    "memory here, MB": here,
                    "memory of a worker, MB": worker,
                }
                for way, (seconds, here, worker) in middle.items()
            ]
    return rows


def inputs(repeat: int) -> list[dict[str, Any]]:
    """Time and memory for growing numbers of inputs. Each process ends with a row for every input."""
    rows = []
    with tempfile.TemporaryDirectory() as made:
        model, listed = model_for(Path(made), RECIPES["pillow"]), Path(made) / "list.txt"
        for count, (way, options) in itertools.product(GROWTH, WAYS.items()):
            listed.write_text("".join(f"/nowhere/{i:09}.jpg\n" for i in range(count)))
            found = [
                measured(model, "--files-from", listed, "-o", f"{made}/rows.csv", *options)
                for _ in range(repeat if count < GROWTH[-1] else 1)
            ]
            seconds, here, worker = (median(column) for column in zip(*found, strict=True))
            rows.append(
                {
                    "inputs": count,
                    "by": way,
                    "seconds": seconds,
                    "µs / input": seconds / count * 1e6,
                    "memory here, MB": here,
                    "memory of a worker, MB": worker,
                }
            )
    return rows


PARTS: Parts = {
    "cluster": (f"xpnet predict, {COUNT} JPEGs of 400 x 534", cluster),
    "inputs": ("xpnet predict, a list of files that are missing", inputs),
}


if __name__ == "__main__":
    run(__doc__, PARTS, ["pillow", "simplejpeg", "distributed"])
