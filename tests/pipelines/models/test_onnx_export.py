"""Exported models: what onnxruntime predicts is what xpnet predicts."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import module
from pictures import draw_classes, picture, save_model
from program import xpnet_here

import xpnet as x
from xpnet import functional
from xpnet.data import Standardizer
from xpnet.errors import ModelFileError, OutputError, UsageError
from xpnet.features import PatchSettings, fit_patches
from xpnet.io import SavedModel
from xpnet.nn import Layer, Network
from xpnet.nn.network import ACTIVATIONS
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.models import Model, onnx_export, onnx_graph

onnx, checker, runtime = module("onnx"), module("onnx.checker"), module("onnxruntime")

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "other_programs.md"
EVERY = "+".join(f"2:{name}" for name in ACTIVATIONS)


def random_model(
    recipe: Recipe | None, output: str, hidden: tuple[str, ...] = (), kind: str = "feature",
    dtype: str = "float32", n_out: int = 1, features: Any = None, n_x: int = 5,
) -> Model:  # fmt: skip
    """Return a model with random weights, and a standardization of a kind."""
    rng = np.random.default_rng(7)
    pixels = recipe.n_x if recipe else n_x
    n = features.count if features else pixels
    network = Network(n, n_out, output, tuple(map(Layer.parse, hidden)))
    parameters = {
        name: (rng.normal(size=shape) / np.sqrt(shape[1])).astype(dtype)
        for name, shape in network.shapes.items()
    }
    rows = n if kind == "feature" else 1
    by_kind = {
        "unit": Standardizer("unit", np.zeros((1, 1)), np.full((1, 1), 1 / 255)),
        "channel": Standardizer("channel", np.full((n, 1), 111.5), np.full((n, 1), 1 / 60)),
        "feature": Standardizer(
            "feature", rng.uniform(50, 200, (rows, 1)), 1 / rng.uniform(20, 80, (rows, 1))
        ),
    }
    classes = tuple(f"class {i}" for i in range(max(2, n_out))) if output in ("sigmoid", "softmax") else ()
    described = {**recipe.to_dict()} if recipe else {"features": [f"f{i}" for i in range(n)], "target": "y"}
    arrays = {}
    if features:
        described["patches"], arrays = features.settings.to_dict(), features.arrays
    return Model.from_saved(
        SavedModel(network, parameters, by_kind[kind], classes, described, features=arrays)
    )


def exported(model: Model, folder: Path) -> tuple[Any, Any, dict[str, str]]:
    """Return the session of an exported model, what `export` returned, and the metadata."""
    assert runtime.get_available_providers()  # skips the test where it is missing
    done = model.export(folder / "model.onnx")
    checker.check_model(onnx.load(done.path), full_check=True)
    session = runtime.InferenceSession(done.path)
    return session, done, session.get_modelmeta().custom_metadata_map


def some_images(recipe: Recipe, count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, *recipe.shape), dtype=np.uint8)


RGB, GRAY = Recipe(9, 7), Recipe(9, 7, color_mode="grayscale")


def patches_of(recipe: Recipe, **settings: Any) -> Any:
    few = PatchSettings(**{"size": 3, "count": 6, "grid": 2, "samples": 300, "rounds": 2, **settings})
    return fit_patches(some_images(recipe, 8).reshape(8, -1), recipe.shape, few)


SMALLER = PatchSettings(size=2, count=4, grid=2, samples=300, rounds=2, scale=0.5)


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (RGB, {"output": "sigmoid"}),
        (RGB, {"output": "sigmoid", "kind": "unit"}),
        (RGB, {"output": "softmax", "n_out": 4, "kind": "channel"}),
        (GRAY, {"output": "softmax", "n_out": 3, "hidden": ("6:tanh", EVERY)}),
        (GRAY, {"output": "sigmoid", "dtype": "float64", "hidden": (EVERY,)}),
        (RGB, {"output": "softmax", "n_out": 3, "features": {}}),
        (RGB, {"output": "sigmoid", "features": {"mirror": False, "smaller": SMALLER}}),
        (GRAY, {"output": "softmax", "n_out": 3, "features": {"smaller": SMALLER}, "dtype": "float64"}),
    ],
    ids=["logistic", "unit", "softmax", "deep", "deep-float64", "patches", "plain-smaller", "gray-smaller"],
)
def test_probabilities_are_those_of_xpnet(recipe: Recipe, options: dict[str, Any], tmp_path: Path) -> None:
    made = None if options.get("features") is None else patches_of(recipe, **options["features"])
    model = random_model(recipe, **{**options, "features": made})
    session, done, metadata = exported(model, tmp_path)
    images = some_images(recipe, 11)
    expected = model.predict_proba(images).T
    assert expected.std() > 0.01
    for count in (1, 11):  # the batch may have any size
        (found,) = session.run(None, {"images": images[:count]})
        assert found.dtype == model.saved.parameters["W1"].dtype
        np.testing.assert_allclose(found, expected[:count], rtol=0, atol=2e-6)
    assert json.loads(metadata["classes"]) == list(model.classes)
    assert json.loads(metadata["recipe"]) == recipe.to_dict()
    assert metadata["xpnet_version"] == x.__version__
    assert done.difference < 1e-5
    assert done.same_labels == done.examples == 32


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["identity", "relu"])
def test_numbers_are_those_of_xpnet(output: str, dtype: str, tmp_path: Path) -> None:
    model = random_model(None, output, ("7:relu",), dtype=dtype)
    session, done, metadata = exported(model, tmp_path)
    rows = np.random.default_rng(1).normal(100, 50, (9, 5)).astype(dtype)
    (found,) = session.run(None, {"features": rows})
    np.testing.assert_allclose(
        found, model.predict_array(rows.T).T, rtol=1e-5 if dtype == "float32" else 1e-12
    )
    assert json.loads(metadata["classes"]) == []
    assert json.loads(metadata["recipe"])["features"] == ["f0", "f1", "f2", "f3", "f4"]
    assert (done.gives.name, done.same_labels) == ("values", None)


def test_a_mean_far_from_zero_loses_no_digits(tmp_path: Path) -> None:
    """Seconds since 1970: in float32, the mean alone is rounded by up to 64."""
    model = random_model(None, "sigmoid", n_x=1)
    mean, scale = np.array([[1_700_000_011.0]]), np.array([[1 / 400]])
    saved = SavedModel(
        model.saved.model, {"W1": np.ones((1, 1), np.float32), "b1": np.zeros((1, 1), np.float32)},
        Standardizer("feature", mean, scale), model.saved.classes, model.saved.recipe,
    )  # fmt: skip
    session, _, _ = exported(Model.from_saved(saved), tmp_path)
    rows = np.float32(1_700_000_000 + 128 * np.arange(-5, 6))[:, None]
    (found,) = session.run(None, {"features": rows})
    exact = 1 / (1 + np.exp(-(rows.astype(np.float64) - mean) * scale))
    np.testing.assert_allclose(found[:, 1:], exact, atol=1e-6)


def test_each_activation_is_known() -> None:
    assert set(onnx_graph.ACTIVATIONS) == set(ACTIVATIONS)
    assert float(functional.leaky_relu(np.array([[-1.0]]))[0, 0]) == -onnx_graph.LEAKY_SLOPE


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    model = x.load(save_model(tmp_path / "model.safetensors"))
    for name in ("a.onnx", "b.onnx"):
        model.export(tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_file_that_predicts_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runtime.get_available_providers()
    monkeypatch.setattr(onnx_graph, "LEAKY_SLOPE", 0.02)
    model = random_model(RGB, "softmax", ("9:leaky_relu",), n_out=3)
    with pytest.raises(ModelFileError, match="onnxruntime predicts something else than xpnet: the largest"):
        model.export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    assert runtime.get_available_providers()
    model = random_model(RGB, "sigmoid")
    model.saved.parameters["W1"][0, 0] = np.nan
    with pytest.raises(ModelFileError, match="the largest difference is nan"):
        model.export(tmp_path / "model.onnx")


def test_without_onnxruntime_that_is_said(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = xpnet_here("export", str(model), "-o", str(tmp_path / "model.onnx"))
    assert done.returncode == 0
    assert "was not compared with the predictions of xpnet: " in done.stderr
    assert "pip install 'xpnet[onnx]'" in done.stderr
    assert "Compared" not in done.stdout
    assert (tmp_path / "model.onnx").stat().st_size > 100


def test_a_large_image_is_compared_on_few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "EXAMPLE_NUMBERS", 3 * RGB.n_x)
    saved = random_model(RGB, "sigmoid").saved
    assert onnx_export._random_examples(saved, RGB).shape == (3, RGB.n_x)


# The command.


def test_the_command_says_what_was_written(model: Path, tmp_path: Path) -> None:
    assert runtime.get_available_providers()
    output = tmp_path / "model.onnx"
    done = xpnet_here("export", str(model), "-o", str(output))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (
        lines[0]
        == "Takes: images, uint8 (batch, 8, 8, 3): RGB images, resized to 8 x 8 pixels before (stretch)"
    )
    assert lines[1] == "Gives: probabilities, float32 (batch, 3): the probability of every class"
    assert re.fullmatch(
        r"Compared with xpnet on 32 random examples: probabilities differ by at most \d\.\de-\d\d, "
        "32 of 32 labels are the same",
        lines[2],
    )
    assert lines[3] == f"Saved: {output}"
    told = json.loads(xpnet_here("export", str(model), "-o", str(output), "--json").stdout)
    assert told["takes"]["shape"] == ["batch", 8, 8, 3]
    assert told["difference"] < 1e-5


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("model.png", 2, "is a name for another format than that of an ONNX file"),
        ("nowhere/model.onnx", 1, "there is no folder"),
        ("", 2, "the name of the file to write is empty"),
    ],
)
def test_an_output_that_cannot_be_written(
    name: str, code: int, reason: str, model: Path, tmp_path: Path
) -> None:
    done = xpnet_here("export", str(model), "-o", str(tmp_path / name) if name else "")
    assert (done.returncode, reason in done.stderr) == (code, True), done.stderr


def test_the_model_is_not_overwritten(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is also an input"):
        x.load(path).export(path)
    assert path.read_bytes() == before


def test_a_full_disk_is_an_error_of_the_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = x.load(save_model(tmp_path / "model.safetensors"))

    def full(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"model\.onnx: cannot be written: No space left on device"):
        model.export(tmp_path / "model.onnx")
    monkeypatch.undo()
    assert [each.name for each in tmp_path.iterdir()] == ["model.safetensors"]


# The script in the documentation.


def test_the_script_of_the_guide_scores_a_folder(tmp_path: Path) -> None:
    """Class names, order and probabilities are those of `xpnet predict`: also of JPEGs and turned images."""
    assert runtime.get_available_providers()
    (code,) = re.findall(r"```python\n(import json.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert "xpnet" not in code
    assert len([line for line in code.splitlines() if line and not re.match("import|from", line)]) <= 10
    folder = draw_classes(tmp_path / "photos", 3)
    for i, size in enumerate([(61, 200), (8, 8), (300, 9)]):
        picture("red", i, size).save(folder / f"{i}.png")
    turned = picture("green", 9, (50, 33))
    turned.putpixel((0, 0), (0, 0, 0))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    model = save_model(tmp_path / "model.safetensors", recipe=Recipe(10, 8))
    assert xpnet_here("export", str(model), "-o", str(tmp_path / "model.onnx")).returncode == 0
    (tmp_path / "score.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "score.py", "model.onnx", "photos"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [line.split(",") for line in done.stdout.splitlines()]
    expected = {row.path: row for row in x.load(model).predict(folder, workers=1)}
    assert [str(tmp_path / path) for path, _, _ in found] == sorted(expected)
    for path, label, score in found:
        row = expected[str(tmp_path / path)]
        assert label == row.label
        assert float(score) == pytest.approx(row.score, abs=1e-5)
