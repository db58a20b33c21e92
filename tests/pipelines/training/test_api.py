"""`xpnet.train` and the other public names."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import draw_classes

import xpnet
from xpnet.errors import UsageError


def bright(m: int = 60) -> tuple[np.ndarray, list[str]]:
    """Return images whose brightness tells their class."""
    rng = np.random.default_rng(0)
    names = ["dark", "grey", "light"] * (m // 3)
    level = np.array([30, 120, 210] * (m // 3))
    return (level[:, None, None, None] + rng.integers(0, 30, (m, 4, 4, 3))).astype(np.uint8), names


def test_train_on_a_folder_then_predict_and_evaluate(classes: Path, tmp_path: Path) -> None:
    model = xpnet.train(classes, output=tmp_path / "m.safetensors", val_split=0.2, image_size=8, workers=1)
    again = xpnet.load(tmp_path / "m.safetensors")
    rows = list(again.predict(classes, workers=1))
    assert [row.status for row in rows] == ["ok"] * len(rows)
    assert {row.label for row in rows} <= set(model.classes)
    assert again.evaluate(classes, workers=1)["accuracy"] > 0.5
    assert model.path == str(tmp_path / "m.safetensors")


def test_train_on_arrays_of_images() -> None:
    X, Y = bright()
    model = xpnet.train(X, Y, hidden="8:relu", epochs=60, learning_rate=0.01)
    assert model.classes == ("dark", "grey", "light")
    assert model.recipe is not None
    assert model.recipe.shape == (4, 4, 3)
    probabilities = model.predict_proba(X)
    assert probabilities.shape == (3, 60)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1.0, rtol=1e-5)
    assert (np.array(model.classes)[probabilities.argmax(axis=0)] == Y).mean() > 0.9


def test_train_on_columns_and_on_numbers_to_predict() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(50.0, 9.0, (3, 200))
    y = 2.0 * X[:1] - X[1:2] + 7.0
    model = xpnet.train(X, y[0], optimizer="adam", epochs=300, learning_rate=0.05)
    assert model.classes == ()
    predicted = model.predict_array(X)
    assert np.abs(predicted - y).mean() < 1.0
    validated = xpnet.train(X, y, val=(X, y), epochs=2)
    assert set(validated.history["metrics"]) == {"training", "validation"}


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        ((np.zeros((3, 5)),), {}, xpnet.UsageError, "arrays need their labels"),
        ((np.zeros((3, 5)), [0, 1]), {}, xpnet.ShapeError, r"Y has shape \(2,\), expected a label for each of 5"),
        ((np.zeros((5, 2, 2)), [0] * 5), {}, xpnet.ShapeError, "expected images"),
        ((np.zeros((3, 2)), [None, 1]), {}, xpnet.DtypeError, "expected strings or integers"),
        (("nowhere",), {}, xpnet.DataError, "nowhere: "),
        (("nowhere", [1]), {}, xpnet.UsageError, "leave out Y"),
        (
            (np.zeros((3, 2)), [0, 1]), {"epoch": 3}, xpnet.UsageError,
            "got 'epoch', expected one of output, val, val_split, device, .*, model, hidden",
        ),
        ((np.zeros((3, 2)), [0, 1]), {"optimizer": "newton"}, xpnet.UsageError, "'newton'"),
        ((np.zeros((3, 2)), [0, 1]), {"device": "tpu"}, xpnet.DeviceError, "'tpu'"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_refused(
    arguments: tuple, options: dict, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        xpnet.train(*arguments, **options)


def test_importing_and_the_help_of_names_load_no_numpy() -> None:
    code = "import sys, xpnet; dir(xpnet); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    "options", [{"image_size": 4}, {"labels": "l.csv"}, {"target": "y"}, {"frame": 2}, {"decoder": "pillow"}]
)
def test_options_of_files_are_refused_for_arrays(options: dict[str, Any]) -> None:
    X, Y = np.arange(12.0).reshape(2, 6), ["a", "b"] * 3
    with pytest.raises(UsageError, match=f"{next(iter(options))}: for data in files"):
        xpnet.train(X, Y, **options)


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "2"])
def test_impossible_numbers_of_workers_are_refused(workers: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"workers is .*, expected a whole number, 1 or more"):
        xpnet.train(tmp_path, workers=workers)


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(UsageError, match="load: path is bytes, expected"):
        xpnet.load(b"m.safetensors")  # type: ignore[arg-type]
    X, Y = np.arange(12.0).reshape(2, 6), ["a", "b"] * 3
    model = xpnet.train(X, Y)
    for inputs in (None, X, 5):
        with pytest.raises(UsageError):
            model.predict(inputs)  # type: ignore[arg-type]


def test_images_that_do_not_fit_into_memory_are_trained_on_from_the_disk(tmp_path: Path) -> None:
    folder, models = draw_classes(tmp_path / "images", 12), []
    for memory in (None, 1000):
        path = tmp_path / f"{memory}.safetensors"
        xpnet.train(
            folder, output=path, features="none", optimizer="lbfgs", val_split=0.25, memory=memory, workers=1
        )
        models.append(path.read_bytes())
    assert models[0] == models[1]
    plan: Any = {"features": "patches", "patches": 6, "image_size": 12, "mirror": False}
    patches = [xpnet.train(folder, memory=memory, workers=1, **plan) for memory in (None, 1000)]
    one, other = (each.saved.parameters for each in patches)
    assert all(one[name].tobytes() == other[name].tobytes() for name in one)
