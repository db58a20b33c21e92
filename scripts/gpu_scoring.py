"""What scoring on a GPU takes beside decoding alone; `scripts/gpu_check.py` runs it."""

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bench_pipeline import SIDE, paths_of, photos

from xpnet import select
from xpnet.backend.backend import Backend
from xpnet.data.standardize import fit_standardizer
from xpnet.io.model_file import SavedModel, write_model_file
from xpnet.nn.network import SoftmaxRegression
from xpnet.pipelines.images.decode_many import decode_all, workers_for
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.models.model import load
from xpnet.pipelines.models.rows import RowOptions
from xpnet.pipelines.predictions.predict import predict


def rows(gpu: Backend, images: int, repeat: int = 3) -> list[dict[str, Any]]:
    """Return images a second: decoded alone, and scored on the GPU and on the CPU, by all cores."""
    recipe, workers = Recipe(SIDE, SIDE), workers_for(None)
    with photos((400, 534), images) as folder, tempfile.TemporaryDirectory() as name:
        path, paths = str(Path(name, "model.safetensors")), paths_of(folder)
        write_model(path, recipe)

        def decoded() -> None:
            for _ in decode_all(iter(paths), recipe, workers, 1024):
                pass

        def scored(backend: Backend) -> None:
            predict(
                load(path), iter(paths), backend, None, io.BytesIO(), RowOptions(),
                workers=workers, batch_size=1024,
            )  # fmt: skip

        ways = {
            "decoding alone": decoded,
            "predict on the GPU": lambda: scored(gpu),
            "predict on the CPU": lambda: scored(select("cpu")),
        }
        best: dict[str, float] = dict.fromkeys(ways, 0.0)
        for way in ways.values():
            way()
        for _ in range(repeat):
            for label, way in ways.items():
                began = time.perf_counter()
                way()
                best[label] = max(best[label], images / (time.perf_counter() - began))
    alone = best["decoding alone"]
    return [{"how": label, "images/s": rate, "of decoding": rate / alone} for label, rate in best.items()]


def write_model(path: str, recipe: Recipe) -> None:
    """Write a model of two classes with random weights."""
    rng = np.random.default_rng(0)
    model = SoftmaxRegression(recipe.n_x, 2)
    parameters = {name: rng.normal(0, 0.01, shape).astype(np.float32) for name, shape in model.shapes.items()}
    write_model_file(
        path, SavedModel(model, parameters, fit_standardizer([], "unit"), ("a", "b"), recipe.to_dict())
    )
