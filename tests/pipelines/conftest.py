"""A model, and images to predict."""

from pathlib import Path

import pytest
from pictures import draw_classes, save_model


@pytest.fixture(scope="session")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a subfolder of 20 images for each class."""
    return draw_classes(tmp_path_factory.mktemp("data") / "classes", 20)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model file."""
    return save_model(tmp_path_factory.mktemp("model") / "model.safetensors")
