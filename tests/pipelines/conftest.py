"""A model, and images to predict."""

from collections.abc import Iterator
from pathlib import Path

import optional
import pytest
from pictures import draw_classes, save_model

from xpnet.pipelines.images.cluster import Cluster

distributed = optional.module("distributed")


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a subfolder of 20 images for each class."""
    return draw_classes(tmp_path_factory.mktemp("data") / "classes", 20)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file."""
    return save_model(tmp_path_factory.mktemp("model") / "model.safetensors")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Return a cluster of two processes. Skips where Dask is missing."""
    distributed.Status("running")
    with Cluster("local:2") as opened:
        yield opened
