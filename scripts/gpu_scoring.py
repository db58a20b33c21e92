"""Measure `xpnet predict` on a GPU and on the CPU, compared with only decoding.

    python scripts/gpu_scoring.py [--images N] [--repeat N] [--device gpu:N]

Each measurement is a whole process, from its start to its end. `scripts/gpu_check.py` runs it, too.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]  # xpnet need not be installed

from bench_pipeline import SIDE, model_for, paths_of, photos  # noqa: E402
from benching import table  # noqa: E402

from xpnet.backend import Backend, select  # noqa: E402
from xpnet.pipelines.images import Recipe, workers_for  # noqa: E402

IMAGES = 40_000
"""So many that the start of a process is a small part of the time, also with sixteen workers."""

SEPARATE = """
import sys
from xpnet.pipelines.images import Recipe, decode_all, expand_inputs

side = int(sys.argv[2])
for _ in decode_all(expand_inputs([], sys.argv[1]), Recipe(side, side), 1):
    pass
"""
"""Decodes the images of a list by itself. Several such processes share nothing but the machine."""

WORKERS = (1, 4, 8, 16)
"""Numbers of workers that only decode, as far as there are cores; and as many as there are cores."""

DECODE = """
import itertools, sys
from xpnet.pipelines.images import Recipe, Workers, decode_all, expand_inputs

folder, side, images, workers = sys.argv[1], *map(int, sys.argv[2:])
with Workers(workers) as decoders:
    decoders.start()
    paths = itertools.islice(expand_inputs([folder], None), images)
    for _ in decode_all(paths, Recipe(side, side), decoders):
        pass
"""
"""Only decodes. It starts its workers as `xpnet predict` does."""


def rows(gpu: Backend, images: int = IMAGES, repeat: int = 3) -> list[dict[str, Any]]:
    """Return images a second of each way, and what fraction that is.

    "of linear" is the fraction of the rate of one worker times the number of workers, "of decoding" that of
    only decoding the same images by as many workers.

    Args:
        gpu: the GPU.
        images: how many images. Fewer workers decode fewer of them, in about the same time.
        repeat: how often each is measured. The best counts.
    """
    most = workers_for(None)
    counts = sorted({*(count for count in WORKERS if count < most), most})
    sizes = {count: max(1, images * count // most) for count in counts}
    with photos((400, 534), images) as folder, tempfile.TemporaryDirectory() as made:
        model = str(model_for(Path(made), Recipe(SIDE, SIDE)))

        def decode(count: int) -> float:
            given = [str(folder), str(SIDE), str(sizes[count]), str(count)]
            return _images_per_second(["-c", DECODE, *given], images=sizes[count], folder=made)

        def separate() -> float:
            commands = [["-c", SEPARATE, name, str(SIDE)] for name in lists]
            return _images_per_second(*commands, images=images, folder=made)

        def predict(device: str) -> float:
            given = [model, str(folder), "--output", f"{made}/rows.csv", "--workers", str(most), "--quiet"]
            command = ["-m", "xpnet", "predict", *given, "--device", device]
            return _images_per_second(command, images=images, folder=made)

        lists = [f"{made}/images-{i}.txt" for i in range(most)]
        for i, name in enumerate(lists):
            Path(name).write_text("\n".join(paths_of(folder)[i::most]))
        devices = {"GPU": device_of(gpu), "CPU": "cpu"}
        predict(devices["GPU"])  # compiles its kernels, which CuPy keeps on the disk; and reads the images
        alone = {count: max(decode(count) for _ in range(min(2, repeat))) for count in counts[:-1]}
        turns = [(decode(most), separate(), *map(predict, devices.values())) for _ in range(repeat)]
    alone[most], apart, *rates = map(max, zip(*turns, strict=True))
    return (
        [
            {
                "how": f"only decoding, workers: {count}",
                "images": sizes[count],
                "images/s": rate,
                "of linear": rate / (alone[counts[0]] * count / counts[0]),
            }
            for count, rate in alone.items()
        ]
        + [
            {
                "how": f"separate processes that only decode: {most}",
                "images": images,
                "images/s": apart,
                "of linear": apart / (alone[counts[0]] * most / counts[0]),
            }
        ]
        + [
            {
                "how": f"xpnet predict on the {name}, workers: {most}",
                "images": images,
                "images/s": rate,
                "of decoding": rate / alone[most],
            }
            for name, rate in zip(devices, rates, strict=True)
        ]
    )


def device_of(backend: Backend) -> str:
    """Return the device as the option of a command."""
    return backend.device


def _images_per_second(*commands: list[str], images: int, folder: str) -> float:
    """Run Python in a folder, with the arguments of each command; return the images a second till the end."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # An installed package has its modules compiled. BLAS has no threads in `xpnet predict`, either.
    more = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "", "OPENBLAS_NUM_THREADS": "1"}
    began = time.perf_counter()
    running = [
        subprocess.Popen(  # noqa: S603  (our own code)
            [sys.executable, *command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=os.environ | more,
        )
        for command in commands
    ]
    said = [process.communicate()[1] for process in running]
    spent = time.perf_counter() - began
    for process, command, text in zip(running, commands, said, strict=True):
        if process.returncode:
            msg = f"{' '.join(command)}: exit code {process.returncode}: {text[-2000:]}"
            raise RuntimeError(msg)
    return images / spent


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=IMAGES, help="how many images")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured")
    parser.add_argument("--device", default="gpu", help="the device beside the CPU")
    given = parser.parse_args()
    measured = rows(select(given.device), given.images, given.repeat)
    keys = list(dict.fromkeys(key for row in measured for key in row))
    table("From images to rows", [{key: row.get(key, "-") for key in keys} for row in measured])


if __name__ == "__main__":
    main()
