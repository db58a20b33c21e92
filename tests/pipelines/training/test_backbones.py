"""Training on the embeddings of a backbone, from a folder to rows: the same bytes, and errors that help."""

import csv
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_networks as nets
import pytest
from PIL import Image
from program import xpnet, xpnet_here

import xpnet as api
from xpnet.backend import select
from xpnet.errors import DataError, ModelFileError, NoInputError, UsageError
from xpnet.features import BackboneTransform
from xpnet.io import read_model_file, write_model_file
from xpnet.pipelines.images import Recipe, decode_many
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.training import Plan
from xpnet.pipelines.training.backbones import opened_backbone

COLORS = {"red": (200, 60, 60), "blue": (60, 60, 200)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return noisy images of two colors, of other sizes than the backbone's."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("colors")
    for name, color in COLORS.items():
        (root / name).mkdir()
        for i in range(20):
            pixels = rng.normal(color, 40, (20, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nets.classifier(tmp_path_factory.mktemp("backbone") / "net.onnx")


@pytest.fixture(scope="module")
def trained(folder: Path, network: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    done = xpnet("train", str(folder), "-o", str(path), "--features", str(network))
    assert done.returncode == 0, done.stderr
    assert (
        "Features: net.onnx, 6 numbers, its tensor pooled, of 12 x 12 pixels, RGB, with mean" in done.stderr
    )
    assert re.search(
        r"\(no file says it; .* by the log loss of \d+ left-out examples: ImageNet's \d\.\d+; \[-1, 1\] \d\.\d+; "
        r"\[0, 1\] \d\.\d+; \[0, 255\] \d\.\d+\)\n",
        done.stderr,
    )
    assert "Features: 6 numbers by the backbone net.onnx" in done.stdout
    assert "Each image: num_px = 12" in done.stdout
    assert "Trained by ridge classification in closed form (penalty" in done.stdout
    assert "Expected on new data: accuracy 100.0 %" in done.stdout
    shutil.copy(network, path.parent)
    return path


def test_the_model_knows_new_images_and_its_backbone(folder: Path, trained: Path, network: Path) -> None:
    model = load(trained)
    assert model.backbone is not None
    assert model.n_x == nets.SIDE**2 * 3
    assert model.saved.model.n_x == nets.WIDTH
    assert (model.backbone.name, model.backbone.size) == ("net.onnx", network.stat().st_size)
    assert model.evaluate(folder, workers=1)["accuracy"] == 1
    done = xpnet("evaluate", str(trained), str(folder))
    assert done.returncode == 0
    assert "Accuracy" in done.stdout or "accuracy" in done.stdout
    assert "net.onnx" in xpnet("info", str(trained)).stdout
    assert str(network.parent) not in trained.read_bytes().decode("latin-1")


def test_rows_do_not_depend_on_workers_and_batches(folder: Path, trained: Path, tmp_path: Path) -> None:
    written = set()
    for i, options in enumerate(
        (["--workers", "1"], ["--workers", "2", "--batch-size", "7"], ["--batch-size", "1"])
    ):
        output = tmp_path / f"{i}.csv"
        assert xpnet("predict", str(trained), str(folder), "-o", str(output), *options).returncode == 0
        written.add(output.read_bytes())
    assert len(written) == 1
    rows = list(csv.DictReader(written.pop().decode().splitlines()))
    assert all(row["label"] in row["path"] for row in rows)


def test_a_model_in_memory_predicts_as_the_file_does(folder: Path, trained: Path, network: Path) -> None:
    model = api.train(folder, features=network, workers=1)
    X = nets.some_images(7)
    assert model.predict_proba(X).tobytes() == load(trained).predict_proba(X).tobytes()
    Y = ["a", "b", "a", "b", "a", "b", "b"]
    assert api.train(X, Y, features=str(network)).predict_proba(X).shape == (2, 7)
    assert [each.label for each in load(trained).predict(folder / "red")] == ["red"] * 20


def test_the_same_training_gives_the_same_bytes(
    folder: Path, trained: Path, network: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.safetensors"
    xpnet("train", str(folder), "-o", str(again), "--features", str(network), "--workers", "1")
    assert again.read_bytes() == trained.read_bytes()


def test_data_files_and_validation_and_other_trainers(folder: Path, network: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "data.h5", tmp_path / "other.h5"
    assert xpnet("preprocess", str(folder), "-o", str(data), "--image-size", "12").returncode == 0
    assert xpnet("preprocess", str(folder), "-o", str(other)).returncode == 0
    options: list[dict[str, Any]] = [
        {"val_split": 0.5}, {"hidden": "4:relu", "epochs": 3}, {"optimizer": "lbfgs"},
    ]  # fmt: skip
    for each in options:
        model = api.train(data, features=network, **each)
        assert model.saved.model.n_x == nets.WIDTH
    with pytest.warns(UserWarning, match="validation images are also in the training data"):
        model = api.train(data, features=network, val=data)
    assert model.history["metrics"]["validation"]["metric"] == 1
    X = nets.some_images()
    for data_of, val in ((data, folder), (folder, data), (folder, folder)):
        with pytest.warns(UserWarning, match="40 of 40 validation images are also in the training data"):
            again = api.train(data_of, features=network, val=val, workers=1)
        assert again.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    with pytest.raises(
        DataError, match=r"the validation data was made by .*, and the backbone net.onnx takes"
    ):
        api.train(data, features=network, val=other)
    with pytest.raises(
        UsageError, match=r"takes images of 12x12 pixels, and these are 64x64: give --image-size"
    ):
        api.train(other, features=network)
    with pytest.raises(UsageError, match="give --image-size 12x12"):
        api.train(folder, features=network, image_size=16)
    runs = xpnet(
        "sweep", str(data), "--features", str(network), "--learning-rates", "0.1,0.01", "--epochs", "2"
    )
    assert runs.returncode == 0, runs.stderr


def test_gray_backbones_get_gray_images(folder: Path, tmp_path: Path) -> None:
    path = nets.save(
        tmp_path / "gray.onnx", nets.trunk(), nets.weights(channels=1),
        {"pooled": (1, nets.WIDTH)}, (1, 1, nets.SIDE, nets.SIDE),
    )  # fmt: skip
    model = api.train(folder, features=path, workers=1)
    assert model.recipe is not None
    assert model.recipe.shape == (nets.SIDE, nets.SIDE, 1)


def test_options_of_a_backbone(folder: Path, network: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    options = "--features-output mean --features-mean 0.5 --features-std 0.25,0.5,0.25 --features-colors bgr"
    done = xpnet("train", str(folder), "-o", str(model), "--features", str(network), *options.split())
    assert done.returncode == 0, done.stderr
    assert (
        "6 numbers, its tensor mean, of 12 x 12 pixels, BGR, with mean 0.5, 0.5, 0.5 and deviation 0.25"
        in (done.stderr)
    )
    backbone = load(model).backbone
    assert backbone is not None
    assert (backbone.tensor, backbone.mean, backbone.deviation) == ("mean", (0.5,) * 3, (0.25, 0.5, 0.25))


def test_a_backbone_in_the_model_file(folder: Path, network: Path, trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    done = xpnet("train", str(folder), "-o", str(model), "--features", str(network), "--embed")
    assert done.returncode == 0, done.stderr
    assert network.read_bytes() in model.read_bytes()
    X = nets.some_images(7)
    assert load(model).predict_proba(X).tobytes() == load(trained).predict_proba(X).tobytes()
    saved = read_model_file(model)
    changed = saved.features["backbone"].copy()
    changed[0, -1] ^= 1
    write_model_file(model, replace(saved, features={"backbone": changed}))
    with pytest.raises(
        ModelFileError, match=r"m.safetensors \(net.onnx in it\): is another network|is damaged"
    ):
        load(model).predict_proba(X)
    write_model_file(model, replace(saved, features={"other": changed}))
    with pytest.raises(DataError, match="its backbone is dict with the arrays other, expected a description"):
        load(model)
    nets.with_weights_in(shutil.copy(network, tmp_path / "parts.onnx"), "parts.data")
    with pytest.raises(ModelFileError, match=r"parts.data, with its weights, cannot be read"):
        api.train(folder, features=tmp_path / "parts.onnx", embed=True)
    (tmp_path / "parts.data").write_bytes(nets.weights()["kernel"].tobytes())
    api.train(folder, features=tmp_path / "parts.onnx", embed=True, output=model, overwrite=True)
    for name in ("parts.onnx", "parts.data"):
        (tmp_path / name).unlink()
    assert load(model).predict_proba(X).tobytes() == load(trained).predict_proba(X).tobytes()


def test_a_backbone_that_is_missing_or_another_is_said(
    trained: Path, folder: Path, network: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = shutil.copy(trained, tmp_path / "alone.safetensors")
    X = nets.some_images(3)
    expected = load(trained).predict_proba(X).tobytes()
    done = xpnet("predict", str(alone), str(folder))
    assert done.returncode == 1
    assert "alone.safetensors: its backbone net.onnx (" in done.stderr
    assert (
        "is missing: put it beside the model file, or into a folder that XPNET_BACKBONES names" in done.stderr
    )
    assert xpnet("info", str(alone)).returncode == 0
    monkeypatch.setenv("XPNET_BACKBONES", str(network.parent))
    assert load(alone).predict_proba(X).tobytes() == expected
    nets.classifier(tmp_path / "net.onnx", seed=1)
    assert load(alone).predict_proba(X).tobytes() == expected  # the right one is found in the other folder
    monkeypatch.delenv("XPNET_BACKBONES")
    with pytest.raises(
        ModelFileError, match=r"net.onnx: is another network than the one the model learned with"
    ):
        load(alone).predict_proba(X)
    monkeypatch.chdir(network.parent)
    assert load(alone).predict_proba(X).tobytes() == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"backbone": 1}, {"backbone": {}}, {"backbone": {"name": "x"}}, {"height": 13, "backbone": None},
        {"height": 13}, {"count": 7},
    ],
)  # fmt: skip
def test_damaged_descriptions_are_refused(trained: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    saved = read_model_file(trained)
    recipe = saved.recipe | changed
    if "count" in changed:
        recipe = saved.recipe | {"backbone": saved.recipe["backbone"] | changed}
    write_model_file(tmp_path / "m.safetensors", replace(saved, recipe=recipe))
    with pytest.raises(DataError, match=r"m.safetensors: .*(backbone|features)"):
        load(tmp_path / "m.safetensors")


def test_wrong_choices_are_refused_before_data_is_read(folder: Path, network: Path, tmp_path: Path) -> None:
    for options in (
        {"features_output": "x"},
        {"embed": True},
        {"features": "patches", "features_mean": [0.5]},
    ):
        with pytest.raises(UsageError, match=r"for a backbone, as in --features model.onnx"):
            Plan(**options)
    with pytest.raises(
        UsageError, match=r"--features is 'net', expected one of .*, or an ONNX file, \*\.onnx"
    ):
        Plan(features="net")
    with pytest.raises(UsageError, match=r"features_mean is '0.5', expected a list of numbers"):
        Plan(features="x.onnx", features_mean="0.5")
    with pytest.raises(UsageError, match="--mirror and --no-mirror are for --features patches"):
        Plan(features="x.onnx", mirror=True)
    done = xpnet_here("train", str(folder), "-o", str(tmp_path / "m.safetensors"), "--features", "no.onnx")
    assert done.returncode == 1
    assert "no.onnx: there is no such file: expected a network in an ONNX file" in done.stderr
    with pytest.raises(UsageError, match=r"is for images, and the data has none: leave it out"):
        api.train(np.eye(4), [0, 1, 0, 1], features=network)


def test_numbers_that_are_not_finite_end_the_training(folder: Path, tmp_path: Path) -> None:
    nodes = [*nets.trunk(), nets.helper.make_node("Log", ["zeros"], ["low"]),
             nets.helper.make_node("Add", ["pooled", "low"], ["out"])]  # fmt: skip
    arrays = {**nets.weights(), "zeros": np.zeros(nets.WIDTH, np.float32)}
    path = nets.save(tmp_path / "net.onnx", nodes, arrays, {"out": ("batch", nets.WIDTH)})
    with pytest.raises(DataError, match=r"net.onnx: gives NaN or infinity for 40 of 40 images"):
        api.train(folder, features=path, workers=1)


def test_the_report_has_the_weights_of_the_embedding(folder: Path, trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = xpnet("report", str(trained), "--data", str(folder), "-o", str(page))
    assert done.returncode == 0, done.stderr
    assert "feature 5" in page.read_text(encoding="utf-8")


def test_images_become_embeddings_while_others_are_decoded(
    folder: Path, network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    run = BackboneTransform.__call__

    def counted(self: BackboneTransform, examples: np.ndarray, *others: Any) -> np.ndarray:
        sizes.append(len(examples))
        return run(self, examples, *others)

    monkeypatch.setattr(decode_many, "CHUNK_BYTES", 7 * nets.SIDE**2 * 3)
    monkeypatch.setattr(BackboneTransform, "__call__", counted)
    api.train(folder, features=network, features_mean=[0.5], features_std=[0.5], workers=1)
    assert sizes == [7, 7, 7, 7, 7, 5]


class Said(Messages):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str) -> None:
        """Say nothing: images that a network does not tell apart look like copies."""


def window(path: Path, low: float, high: float) -> Path:
    """Write a network that tells images apart only by numbers of a range: 3 means."""
    make = nets.helper.make_node
    nodes = [
        make("Clip", ["images", "low", "high"], ["seen"]),
        make("GlobalAveragePool", ["seen"], ["mean"]),
        make("Flatten", ["mean"], ["out"]),
    ]
    arrays = {"low": np.float32(low), "high": np.float32(high)}
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    return nets.save(path, nodes, arrays, {"out": ("batch", 3)})


@pytest.mark.parametrize(
    ("low", "high", "name", "mean"),
    [
        (1.2, 2.2, "ImageNet's", (0.485, 0.456, 0.406)), (0.53, 0.76, "[-1, 1]", (0.5,) * 3),
        (0.765, 0.885, "[0, 1]", (0.0,) * 3), (190, 230, "[0, 255]", (0.0,) * 3),
    ],
)  # fmt: skip
def test_the_normalization_that_suits_the_images_is_taken(
    tmp_path: Path, low: float, high: float, name: str, mean: tuple[float, ...]
) -> None:
    """Bytes of 196 to 204 and of 216 to 224 are in these ranges in one normalization each."""
    Y = np.arange(60) % 2
    noise = np.random.default_rng(0).integers(-4, 5, (60, nets.SIDE, nets.SIDE, 3))
    X = (200 + 20 * Y[:, None, None, None] + noise).astype(np.uint8)
    path, said = window(tmp_path / "net.onnx", low, high), Said()
    model = api.train(X, Y, features=path, messages=said)
    assert f"(no file says it; {name} by the log loss of 60 left-out examples: ImageNet's " in said.lines[0]
    assert model.backbone is not None
    assert model.backbone.mean == mean
    assert model.predict_proba(X).argmax(axis=0).tolist() == Y.tolist()
    again = api.train(X, Y, features=path, features_mean=[0.4], features_std=[0.3], messages=said)
    assert again.backbone is not None
    assert again.backbone.mean == (0.4,) * 3
    numbers = api.train(X, Y * 1.5, features=path, messages=said)
    assert numbers.backbone is not None
    assert numbers.backbone.mean == (0.485, 0.456, 0.406)
    assert any("(ImageNet's, because no file says another one)" in line for line in said.lines)


def test_few_images_are_compared_and_only_if_nothing_says_the_normalization(tmp_path: Path) -> None:
    asked: list[int] = []
    recipe, plan = Recipe(nets.SIDE, nets.SIDE), Plan(features=str(tmp_path / "net.onnx"))
    kernel = np.ones((6, 3, 3, 3), np.float32)
    nets.save(tmp_path / "net.onnx", nets.trunk(), {"kernel": kernel}, {"pooled": ("batch", 6)})
    opened_backbone(plan, recipe, select("cpu"), Messages(), asked.append)
    (tmp_path / "config.json").write_text('{"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}')
    opened_backbone(plan, recipe, select("cpu"), Messages(), asked.append)
    assert asked == [200]


def test_normalizations_are_compared_on_images_that_can_be_decoded(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "data")
    for i in range(15):
        (tmp_path / "data" / "red" / f"{i}.png").write_bytes(b"no image")
    path, said = window(tmp_path / "net.onnx", 0, 0.5), Said()
    api.train(tmp_path / "data", features=path, messages=said, workers=1)
    assert "by the log loss of 25 left-out examples" in said.lines[0]
    for path_of in (tmp_path / "data").glob("*/*.png"):
        path_of.write_bytes(b"no image")
    with pytest.raises(NoInputError, match="none of 40 images can be used"):
        api.train(tmp_path / "data", features=path, workers=1)


def test_a_model_over_a_backbone_is_exported_with_it(
    folder: Path, trained: Path, network: Path, tmp_path: Path
) -> None:
    model, output = load(trained), tmp_path / "whole.onnx"
    done = xpnet_here("export", str(trained), "-o", str(output))
    assert done.returncode == 0, done.stderr
    assert (
        "Takes: images_, uint8 (batch, 12, 12, 3): RGB images" in done.stdout
    )  # the backbone has the name images
    assert "32 of 32 labels are the same" in done.stdout
    images = nets.some_images(5)
    session = nets.onnxruntime.InferenceSession(str(output))
    (found,) = session.run(None, {"images_": images})
    np.testing.assert_allclose(found, model.predict_proba(images).T, atol=1e-5)
    alone = tmp_path / "alone.safetensors"
    shutil.copy(trained, alone)
    done = xpnet_here("export", str(alone), "-o", str(tmp_path / "alone.onnx"))
    assert (done.returncode, "its backbone net.onnx" in done.stderr) == (1, True)
    assert not (tmp_path / "alone.onnx").exists()


def test_an_exported_model_can_be_a_backbone_again(folder: Path, trained: Path, tmp_path: Path) -> None:
    """So names of tensors never meet, whatever the first file has."""
    load(trained).export(tmp_path / "first.onnx")
    output = tmp_path / "again.safetensors"
    model = api.train(folder, features=str(tmp_path / "first.onnx"), output=output, workers=1)
    assert load(output).export(tmp_path / "second.onnx").same_labels == 32
    assert model.backbone is not None
