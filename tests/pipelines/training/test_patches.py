"""Training with features of patches, from a folder to rows: what it says, what the file holds, the same bytes."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from program import xpnet

import xpnet as api
from xpnet.errors import DataError, UsageError
from xpnet.pipelines.datasets import DataOptions
from xpnet.pipelines.models import load
from xpnet.pipelines.training import Plan, TrainJob, dictionary_size

pytestmark = pytest.mark.any_python

FEW = ("--patches", "100")
"""Fewer patches than the default, which takes an eighth of the time."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return images of two classes: stripes that rise, at any place and in any color, and stripes that lie."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("stripes")
    y, x = np.mgrid[:32, :32]
    for name, waves in {"lying": y, "standing": x}.items():
        (root / name).mkdir()
        for i in range(30):
            wave = np.sin(2 * np.pi * (waves / 5 + rng.uniform()))[..., None]
            pixels = 128 + 60 * wave * rng.normal(size=3) + rng.normal(0, 25, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    done = xpnet("train", str(folder), "-o", str(path), "--features", "patches", "--mirror", *FEW)
    assert done.returncode == 0
    assert "Features: 100 patches of 6 x 6 pixels, in 4 x 4 cells, mirror images are alike" in done.stdout
    assert "Each image: num_px = 32" in done.stdout
    assert "Trained by ridge classification in closed form (penalty" in done.stdout
    assert "Expected on new data: accuracy 100.0 % ± 0.8, log loss" in done.stdout
    return path


@pytest.fixture
def few_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings in this process have fewer patches, which takes a quarter of the time."""
    monkeypatch.setattr(dictionary_size, "SIZES", {"few": (4, 160), "many": (3, 160)})


def test_pixels_do_not_tell_and_patches_do(folder: Path, trained: Path) -> None:
    pixels = api.train(folder, features="none", image_size=32, workers=1, val_split=0.5)
    assert pixels.history["metrics"]["validation"]["metric"] < 0.8
    assert load(trained).evaluate(folder, workers=1)["accuracy"] == 1
    assert load(trained).history["expected"]["by"] == "leave-one-out"


def test_a_budget_says_how_many_patches_it_buys(folder: Path, tmp_path: Path) -> None:
    options = (str(folder), "--mirror", "--features", "patches", "-o")
    done = xpnet("train", *options, str(tmp_path / "budget"), "--budget", "0.0001")
    assert "Budget: 100 patches (--patches 100 asks for the same again)" in done.stderr
    assert "Features: 100 patches of 6 x 6 pixels, in 4 x 4 cells" in done.stdout
    assert xpnet("train", *options, str(tmp_path / "patches"), "--patches", "100").returncode == 0
    assert (tmp_path / "budget").read_bytes() == (tmp_path / "patches").read_bytes()


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


def test_a_model_in_memory_predicts_as_the_file_does(folder: Path, trained: Path) -> None:
    model = api.train(folder, features="patches", mirror=True, patches=100, workers=1)
    loaded = load(trained)
    X = np.stack([np.asarray(Image.open(path)) for path in sorted((folder / "lying").iterdir())])
    assert model.predict_proba(X).tobytes() == loaded.predict_proba(X).tobytes()
    assert set(model.predict_array(X)[0].tolist()) == {"lying"}
    assert model.n_x == 32 * 32 * 3


def test_the_same_training_gives_the_same_bytes(folder: Path, trained: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    options = ("--features", "patches", "--mirror", *FEW)
    xpnet("train", str(folder), "-o", str(again), *options, "--workers", "1")
    assert again.read_bytes() == trained.read_bytes()
    other = tmp_path / "other.safetensors"
    xpnet("train", str(folder), "-o", str(other), *options, "--seed", "1")
    assert other.read_bytes() != trained.read_bytes()


@pytest.mark.usefixtures("few_patches")
def test_networks_and_other_trainers_take_patches_too(folder: Path) -> None:
    for options in (
        {"hidden": "4:relu", "epochs": 3, "mirror": True},
        {"optimizer": "lbfgs", "mirror": True},
        {"epochs": 5, "mirror": True},
        {"mirror": False},
    ):
        model = api.train(folder, features="patches", patches=40, workers=1, val_split=0.5, **options)
        assert model.history["metrics"]["validation"]["metric"] > 0.9, options
        assert model.patches is not None
        assert options["mirror"] == model.patches.settings.mirror


def test_a_sweep_takes_patches(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    done = xpnet(
        "sweep", str(folder), "--features", "patches", "--mirror", *FEW, "--learning-rates", "0.001,0.0001",
        "--epochs", "5", "--val-split", "0.3", "-o", str(output),
    )  # fmt: skip
    assert done.returncode == 0
    assert load(output).evaluate(folder, workers=1)["accuracy"] > 0.9


def test_the_report_shows_patches_and_mistakes(folder: Path, trained: Path, tmp_path: Path) -> None:
    page = tmp_path / "r.html"
    done = xpnet("report", str(trained), "--data", str(folder), "-o", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert "What the model looks for" in text
    assert text.count("patch ") >= 36
    assert "Weights of the first layer" not in text


def test_info_tells_of_patches(trained: Path) -> None:
    said = xpnet("info", str(trained)).stdout
    assert "size 6" in said
    assert "leave-one-out" in said


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam"}, {"hidden": "4:relu"}, {"model": "softmax"}, {"iterations": 3}, {"l2": 2.0},
        {"l2": 0.0}, {"dropout": 0}, {"learning_rate": 0.1}, {"epochs": 2}, {"optimizer": "ridge"}, {"initializer": "zeros"},
    ],
)  # fmt: skip
def test_an_option_that_says_how_to_train_means_pixels(options: dict[str, Any]) -> None:
    assert Plan(**options).chosen_features == "none"
    assert Plan(**options, features="auto").chosen_features == "auto"
    for others in ({}, {"seed": 3}, {"mirror": False}, {"embed": False}, {"class_weight": "balanced"}):
        assert Plan(**others).chosen_features == "auto"


@pytest.mark.usefixtures("few_patches")
def test_the_default_finds_the_better_features(folder: Path) -> None:
    model = api.train(folder, workers=1)
    assert model.patches is not None
    assert model.recipe is not None
    assert model.recipe.width == 32


def test_options_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    for others in ({"features": "none"}, {"epochs": 3}):
        with pytest.raises(UsageError, match="--mirror and --no-mirror are for --features patches"):
            Plan(mirror=False, **others)
    with pytest.raises(UsageError, match="--features is 'hog', expected one of none, patches, auto"):
        Plan(features="hog")
    with pytest.raises(UsageError, match="--optimizer ridge does not use --epochs"):
        Plan(optimizer="ridge", epochs=3)
    with pytest.raises(UsageError, match="--optimizer ridge is for logistic and softmax regression"):
        api.train(folder, optimizer="ridge", hidden="3:relu", workers=1)
    with pytest.raises(UsageError, match="expected at least 9 x 9: give a larger --image-size"):
        api.train(folder, features="patches", image_size=8, workers=1)
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,no\n3,4,yes\n5,6,no\n")
    with pytest.raises(UsageError, match="--features patches is for images"):
        api.train(tmp_path / "t.csv", target="y", features="patches")


def test_a_model_whose_patches_are_damaged_is_refused(trained: Path, tmp_path: Path) -> None:
    model, path = load(trained), tmp_path / "m"
    for name, change, said in (
        ("recipe", {**model.saved.recipe, "patches": 5}, "its patches are 5"),
        ("recipe", {k: v for k, v in model.saved.recipe.items() if k != "patches"}, "its patches are None"),
        ("recipe", {**model.saved.recipe, "height": 33}, "features"),
        ("features", {}, "has the arrays none, which do not fit"),
        (
            "features",
            {"filters": model.saved.features["filters"]},
            "has the arrays filters, which do not fit",
        ),
    ):
        changed = replace(model, saved=replace(model.saved, **{name: change}))
        changed.save(path)
        if said == "features":
            assert load(path).n_x == 33 * 32 * 3  # another size of images, with the same features of each
            continue
        with pytest.raises(DataError, match=said):
            load(path)


def test_an_unknown_setting_of_patches_is_refused(trained: Path, tmp_path: Path) -> None:
    model = load(trained)
    model.saved.recipe["patches"] = {**model.saved.recipe["patches"], "depth": 2}
    model.save(tmp_path / "m")
    with pytest.raises(DataError, match="not settings that this version knows"):
        load(tmp_path / "m")


def test_auto_compares_on_left_out_images(folder: Path, tmp_path: Path) -> None:
    done = xpnet("train", str(folder), "-o", str(tmp_path / "m"), "--features", "auto")
    assert done.returncode == 0
    assert "Features: 960 patches of 6 x 6 pixels, in 4 x 4 cells" in done.stdout
    assert "Features: patches, mirror images are" in done.stderr
    assert "(log loss of 60 left-out examples: patches, mirror images are alike 0." in done.stderr
    assert load(tmp_path / "m").patches is not None


@pytest.mark.usefixtures("few_patches")
def test_auto_takes_pixels_where_they_are_better(tmp_path: Path) -> None:
    """Flat images have no contrast: their patches are all alike."""
    rng = np.random.default_rng(0)
    X = np.repeat(np.repeat(rng.integers(0, 256, (40, 1, 1, 3), dtype=np.uint8), 12, 1), 12, 2)
    Y = ["dark" if pixel.sum() < 384 else "light" for pixel in X[:, 0, 0].astype(int)]
    model = api.train(X, Y, features="auto", output=tmp_path / "m")
    assert model.patches is None
    assert model.history["method"].startswith("L-BFGS")
    small = api.train(X[:, :4, :4], Y, features="auto")
    assert small.patches is None


def test_auto_takes_a_file_of_images_and_a_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{i},{'yes' if i > 5 else 'no'}\n" for i in range(12)))
    done = xpnet(
        "train", str(tmp_path / "t.csv"), "--target", "y", "-o", str(tmp_path / "m"), "--features", "auto"
    )
    assert done.returncode == 0
    assert load(tmp_path / "m").patches is None


@pytest.mark.parametrize("command", [("train", "-o", "m.safetensors"), ("sweep",)], ids=["train", "sweep"])
def test_features_have_a_standardization_of_their_own(command: tuple[str, ...], tmp_path: Path) -> None:
    told = "--standardize is for pixels"
    done = xpnet(*command, str(tmp_path), "--features", "patches", "--standardize", "unit")
    assert done.returncode == 2
    assert told in done.stderr
    options = DataOptions(standardize="channel")
    with pytest.raises(UsageError, match=told):
        TrainJob(data=str(tmp_path), plan=Plan(features="backbone.onnx"), options=options)
