"""Measure predictions on a GPU, compared with only decoding. `scripts/gpu_check.py` runs it."""

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_pipeline import SIDE, paths_of, photos

from xpnet.backend import Backend, select
from xpnet.data import fit_standardizer
from xpnet.io import SavedModel, write_model_file
from xpnet.nn import SoftmaxRegression
from xpnet.pipelines.images import Recipe, decode_all, workers_for
from xpnet.pipelines.models import load
from xpnet.pipelines.predictions import write_predictions


def rows(gpu: Backend, images: int, repeat: int = 3) -> list[dict[str, Any]]:
    """Return images a second: only decoded, and scored on the GPU and on the CPU.

    Args:
        gpu: the GPU.
        images: how many images.
        repeat: how often each is measured. The best counts.
    """
    recipe, workers = Recipe(SIDE, SIDE), workers_for(None)
    with photos((400, 534), images) as folder, tempfile.TemporaryDirectory() as name:
        path, paths = str(Path(name, "model.safetensors")), paths_of(folder)
        write_model(path, recipe)

        def decode() -> None:
            for _ in decode_all(iter(paths), recipe, workers, 1024):
                pass

        def score(backend: Backend) -> None:
            write_predictions(load(path), paths, backend, io.BytesIO(), workers=workers, batch_size=1024)

        ways = {
            "only decoding": decode,
            "predict on the GPU": lambda: score(gpu),
            "predict on the CPU": lambda: score(select("cpu")),
        }
        best: dict[str, float] = dict.fromkeys(ways, 0.0)
        for way in ways.values():
            way()
        for _ in range(repeat):
            for label, way in ways.items():
                began = time.perf_counter()
                way()
                best[label] = max(best[label], images / (time.perf_counter() - began))
    alone = best["only decoding"]
    return [{"how": label, "images/s": rate, "of decoding": rate / alone} for label, rate in best.items()]


def write_model(path: str, recipe: Recipe) -> None:
    """Write a model of two classes with random weights."""
    rng = np.random.default_rng(0)
    model = SoftmaxRegression(recipe.n_x, 2)
    parameters = {name: rng.normal(0, 0.01, shape).astype(np.float32) for name, shape in model.shapes.items()}
    write_model_file(
        path, SavedModel(model, parameters, fit_standardizer([], "unit"), ("a", "b"), recipe.to_dict())
    )
