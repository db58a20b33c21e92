"""Measure decoding of images compared with other libraries, and whole commands compared with only decoding.

    python scripts/bench_pipeline.py [--json FILE] [--repeat N] [--only PART ...]

Functions that are compared run in turn; times are medians. Needs OpenCV and simplejpeg. The images are made
here: smooth ones with some noise, about as large on disk as photos of their size.
"""

import io
import itertools
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from benching import Parts, medians, run
from PIL import Image

from xpnet.data import fit_standardizer
from xpnet.io import SavedModel, write_model_file
from xpnet.nn import SoftmaxRegression
from xpnet.pipelines.images import Recipe, decode_to_bytes, usual_pillow

SIDE = 64
"""Width and height that images are decoded to."""

NOISE = 3
"""Standard deviation of the noise of the images."""

SIZES = {"400 x 534": (400, 534), "1600 x 1200": (1600, 1200)}
"""Width and height of the images."""

COUNTS = {"400 x 534": 16_000, "1600 x 1200": 3000}
"""How many images `whole` decodes, by their size."""

GROWTH = (1000, 10_000, 100_000)
"""How many images `growth` scores."""

RECIPES = {name: Recipe(SIDE, SIDE, decoder=name) for name in ("pillow", "simplejpeg")}


def photo(size: tuple[int, int], seed: int) -> bytes:
    """Return a JPEG file of an image (width, height)."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (size[1] // 25, size[0] // 25, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))
    pixels = smooth + generator.normal(0, NOISE, smooth.shape)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=88)
    return file.getvalue()


@contextmanager
def photos(size: tuple[int, int], count: int, different: int = 100) -> Iterator[Path]:
    """Give a folder of `count` JPEGs in two classes. Most are hard links to the first ones."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("a", "b"):
            (folder / part).mkdir()
        originals = []
        for i in range(count):
            path = folder / "ab"[i % 2] / f"{i:06}.jpg"
            if i < different:
                path.write_bytes(photo(size, i))
                originals.append(path)
            else:
                os.link(originals[i % different], path)
        yield folder


def paths_of(folder: Path) -> list[str]:
    """Return the paths of the JPEGs in the two folders of a folder."""
    return sorted(str(path) for path in folder.glob("*/*.jpg"))


def per_worker(repeat: int) -> list[dict[str, Any]]:
    """Images a second that one process decodes to 64 x 64."""
    import cv2
    import simplejpeg

    cv2.setNumThreads(1)

    def pillow_full(path: str) -> Any:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    def opencv_full(path: str) -> Any:
        return cv2.resize(cv2.imread(path), (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def opencv_reduced(path: str) -> Any:
        image = cv2.imread(path, cv2.IMREAD_REDUCED_COLOR_4)
        return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def bare_simplejpeg(path: str) -> Any:
        content = Path(path).read_bytes()
        pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=SIDE, min_width=SIDE)
        return np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR))

    ways: dict[str, Callable[[str], Any]] = {
        "Pillow, full decode (as torchvision's ImageFolder)": pillow_full,
        "OpenCV, full decode, INTER_AREA": opencv_full,
        "OpenCV, reduced by 4, INTER_AREA": opencv_reduced,
        "simplejpeg, scaled decode, and resize": bare_simplejpeg,
        "xpnet, decoder pillow": lambda path: decode_to_bytes(path, RECIPES["pillow"]),
        "xpnet, decoder simplejpeg": lambda path: decode_to_bytes(path, RECIPES["simplejpeg"]),
    }
    rows: list[dict[str, Any]] = [{"how": name} for name in ways]
    for label, size in SIZES.items():
        with photos(size, 100) as folder:
            paths = paths_of(folder)
            seconds = medians({name: partial(_each, way, paths) for name, way in ways.items()}, repeat)
        full, floor = (seconds[name] for name in list(ways)[0:4:3])
        for row in rows:
            spent = seconds[row["how"]]
            row[f"{label}: images/s"] = len(paths) / spent
            row[f"{label}: x Pillow"], row[f"{label}: of simplejpeg"] = full / spent, floor / spent
    return rows


def _each(way: Callable[[str], Any], paths: list[str]) -> None:
    with usual_pillow():
        for path in paths:
            way(path)


def model_for(folder: Path, recipe: Recipe) -> Path:
    """Save a model of two classes; return its path."""
    model = SoftmaxRegression(recipe.n_x, 2)
    weights = np.random.default_rng(0).normal(0, 0.001, (2, recipe.n_x)).astype("float32")
    parameters = {"W1": weights, "b1": np.zeros((2, 1), "float32")}
    path = folder / "model.safetensors"
    write_model_file(
        path, SavedModel(model, parameters, fit_standardizer([], "unit"), ("a", "b"), recipe.to_dict())
    )
    return path


JOB = """
import collections, sys, time
from pathlib import Path
from xpnet.pipelines.images import Recipe, decode_all
from xpnet.pipelines.models import load
from xpnet.pipelines.predictions import write_predictions
from xpnet.pipelines.datasets import DataOptions, write_data
from xpnet import select

what, folder, model, output, decoder, workers = sys.argv[1:]
paths = sorted(str(path) for path in Path(folder).glob("*/*.jpg"))
recipe, workers = Recipe(64, 64, decoder=decoder), int(workers)
began = time.perf_counter()
if what == "decode":
    collections.deque(decode_all(paths, recipe, workers), maxlen=0)
elif what == "preprocess":
    write_data(folder, output, DataOptions(recipe, workers=workers))
else:
    write_predictions(load(model), paths, select("cpu"), output, workers=workers)
print(time.perf_counter() - began)
"""
"""One run, in another process: so the processes that decode do not import this script."""


def whole(repeat: int) -> list[dict[str, Any]]:
    """Only decoding, preprocess to a file, and predict to a file, with one worker and with two."""
    rows = []
    for label, count in COUNTS.items():
        seconds: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        with photos(SIZES[label], count) as folder, tempfile.TemporaryDirectory() as made:
            for _, decoder, what, workers in itertools.product(
                range(repeat), RECIPES, ("decode", "preprocess", "predict"), (1, 2)
            ):
                model = model_for(Path(made), RECIPES[decoder])
                arguments = [what, str(folder), str(model), f"{made}/out", decoder, str(workers)]
                done = subprocess.run(  # noqa: S603  (the code above)
                    [sys.executable, "-c", JOB, *arguments], capture_output=True, text=True, check=True
                )
                seconds[decoder, what, workers].append(float(done.stdout))
        middle = {job: median(measured) for job, measured in seconds.items()}
        for decoder, what in itertools.product(RECIPES, ("decode", "preprocess", "predict")):
            one, two = (middle[decoder, what, workers] for workers in (1, 2))
            alone = [middle[decoder, "decode", workers] for workers in (1, 2)]
            rows.append(
                {
                    "size": label,
                    "decoder": decoder,
                    "what": what,
                    "1 worker: images/s": count / one,
                    "2 workers: images/s": count / two,
                    "two / one": one / two,
                    "of decode, 1": alone[0] / one,
                    "of decode, 2": alone[1] / two,
                }
            )
    return rows


TWO = """
import collections, itertools, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xpnet.pipelines.images import Recipe, decode_all
from xpnet.pipelines.images.decode_many import decode_chunk
from xpnet.pipelines.images.workers import Workers

how, folder = sys.argv[1:]
paths = sorted(str(path) for path in Path(folder).glob("*/*.jpg"))
recipe = Recipe(64, 64, decoder="pillow")
chunks = [paths[i : i + 64] for i in range(0, len(paths), 64)]

def alone():
    left, fill = os.pipe()  # the numbers of chunks that nobody has taken yet
    os.write(fill, bytes(range(len(chunks))))
    os.close(fill)
    for _ in range(2):
        if not os.fork():
            while taken := os.read(left, 1):
                decode_chunk(chunks[taken[0]], recipe)
            os._exit(0)
    os.wait()
    os.wait()
    os.close(left)

def by_threads():
    collections.deque(threads.map(decode_chunk, chunks, itertools.repeat(recipe)), maxlen=0)

def by_workers():
    collections.deque(decode_all(paths, recipe, workers), maxlen=0)

with ThreadPoolExecutor(2) as threads, Workers(2) as workers:
    run = {"threads": by_threads, "workers": by_workers, "alone": alone}[how]
    run()
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    children = [each.read_text().split() for each in Path("/proc/self/task").glob("*/children")]
    processes = ["self", *itertools.chain(*children)]
    files = [Path(f"/proc/{process}/smaps_rollup").read_text() for process in processes]
print(seconds, sum(int(file.partition("\\nPss:")[2].split()[0]) for file in files))
"""
"""One run of `two`, in another process."""


def two(repeat: int) -> list[dict[str, Any]]:
    """Decoding by two threads, by two workers, and by two processes that hand nothing over. Linux only.

    The last is about the most that threads could reach on a Python without the global lock.
    """
    label, count = "400 x 534", 3000
    ways = {
        "threads": "threads of one process",
        "workers": "workers",
        "alone": "processes that hand nothing over",
    }
    found: dict[str, list[list[float]]] = defaultdict(list)
    with photos(SIZES[label], count) as folder:
        for _, way in itertools.product(range(repeat), ways):
            command = [sys.executable, "-W", "ignore", "-c", TWO, way, str(folder)]  # about fork and threads
            done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603  (see above)
            found[way].append([float(cell) for cell in done.stdout.split()])
    workers = [seconds for seconds, _ in found["workers"]]
    return [
        {
            "two": name,
            "images/s": count / median(seconds for seconds, _ in found[way]),
            "x workers": median(w / seconds for w, (seconds, _) in zip(workers, found[way], strict=True)),
            "memory, MB": median(memory for _, memory in found[way]) / 1024 if way != "alone" else None,
        }
        for way, name in ways.items()
    ]


def growth(repeat: int) -> list[dict[str, Any]]:
    """Time and memory of `xpnet predict` in other processes, for growing numbers of images. Linux only."""
    rows = []
    code = (
        "import sys, time\nbegan = time.perf_counter()\n"
        "from xpnet.pipelines.cli import main\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code\n"
        "status = open('/proc/self/status').read()\n"
        "print(time.perf_counter() - began, status.partition('VmHWM:')[2].split()[0])"
    )
    for count in GROWTH:
        with photos((160, 120), count) as folder, tempfile.TemporaryDirectory() as made:
            model = model_for(Path(made), RECIPES["pillow"])
            arguments = [
                "predict",
                str(model),
                str(folder),
                "-o",
                f"{made}/rows.csv",
                "-q",
                "--device",
                "cpu",
            ]
            measured = []
            for _ in range(repeat if count < 100_000 else 1):
                done = subprocess.run(  # noqa: S603  (the code above)
                    [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
                )
                measured.append([float(cell) for cell in done.stdout.split()])
        seconds = median(row[0] for row in measured)
        rows.append(
            {
                "images": count,
                "seconds": seconds,
                "µs / image": seconds / count * 1e6,
                "memory of the process, MB": median(row[1] for row in measured) / 1024,
            }
        )
    return rows


def start(repeat: int) -> list[dict[str, Any]]:
    """Whole processes that do little work."""
    with photos(SIZES["400 x 534"], 2) as folder, tempfile.TemporaryDirectory() as made:
        model = str(model_for(Path(made), RECIPES["pillow"]))
        command = [sys.executable, "-m", "xpnet"]
        jobs = {
            "xpnet --help": [*command, "--help"],
            "xpnet predict MODEL one.jpg": [
                *command,
                "predict",
                model,
                paths_of(folder)[0],
                "--device",
                "cpu",
            ],
            "python -c 'import numpy, PIL.Image'": [sys.executable, "-c", "import numpy, PIL.Image"],
        }

        def whole_process(job: list[str]) -> Callable[[], None]:
            return lambda: subprocess.run(job, stdout=subprocess.DEVNULL, check=True) and None  # noqa: S603

        seconds = medians({name: whole_process(job) for name, job in jobs.items()}, max(9, repeat))
    return [{"what": name, "seconds": value} for name, value in seconds.items()]


PARTS: Parts = {
    "decode": ("Decoding one JPEG to 64 x 64 RGB, one process", per_worker),
    "whole": ("Only decoding, preprocess and predict, to a file", whole),
    "two": ("Decoding 400 x 534 by two threads or two processes, by pillow", two),
    "growth": ("xpnet predict, JPEGs of 160 x 120, all cores", growth),
    "start": ("Whole processes", start),
}


if __name__ == "__main__":
    run(__doc__, PARTS, ["pillow", "opencv-python-headless", "simplejpeg"])
