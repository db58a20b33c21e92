"""Features written once: the same models as from the images, the same features for other images, clear errors."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_networks as nets
import pytest
from PIL import Image
from program import xpnet_here

import xpnet as api
from xpnet.errors import DataError, ModelFileError, UsageError, XpnetError
from xpnet.pipelines.datasets import DataOptions, feature_extractor, open_data, read_data_file
from xpnet.pipelines.images import decode_many
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.training import Plan, dictionary_size, features, preprocessing, write_features

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN = ["--workers", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of stripes of two directions: "train", and "test" with other stripes."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("stripes")
    y, x = np.mgrid[:16, :16]
    for part, count in (("train", 12), ("test", 5)):
        for name, waves in {"lying": y, "standing": x}.items():
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                wave = np.sin(2 * np.pi * (waves / 5 + rng.uniform()))[..., None]
                pixels = 128 + 40 * wave * rng.normal(size=3) + rng.normal(0, 30, (16, 16, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / part / name / f"{i}.png")
    return {"train": root / "train", "test": root / "test"}


@pytest.fixture(autouse=True, scope="module")
def few_patches() -> Any:
    """Let patches be few and learned from few, which takes less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dictionary_size, "SIZES", {"few": (2, 20), "many": (2, 20)})
        settings = features.PatchSettings
        quick: dict[str, Any] = {"samples": 2000, "rounds": 2}
        patch.setattr(features, "PatchSettings", lambda **own: settings(**quick | own))
        patch.setattr(features, "SMALLER", replace(features.SMALLER, **quick))
        yield


@pytest.fixture(scope="module")
def made(images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a data file of features ("data"), a model of it, test data with the same features, and pixels."""
    folder = tmp_path_factory.mktemp("made")
    paths = {name: folder / f"{name}.h5" for name in ("data", "test", "pixels", "test-pixels")}
    paths["model"] = folder / "model.safetensors"
    run("preprocess", images["train"], "-o", paths["data"], "--features", "patches", "--mirror")
    run("train", paths["data"], "-o", paths["model"])
    run("preprocess", images["test"], "-o", paths["test"], "--features", paths["model"])
    run("preprocess", images["train"], "-o", paths["pixels"], "--image-size", "32")
    run("preprocess", images["test"], "-o", paths["test-pixels"], "--image-size", "32")
    return paths


def run(*words: object, code: int = 0) -> Any:
    done = xpnet_here(*map(str, words), *PLAIN)
    assert done.returncode == code, done.stderr
    return done


def test_a_model_of_features_is_the_one_of_the_images(
    images: dict[str, Path], made: dict[str, Path], tmp_path: Path
) -> None:
    again = tmp_path / "again.safetensors"
    said = run("train", images["train"], "-o", again, "--features", "patches", "--mirror").stdout
    assert again.read_bytes() == made["model"].read_bytes()
    same = run("train", made["data"], "-o", again).stdout
    assert same == said
    assert "Trained by ridge classification in closed form" in said
    assert "Expected on new data: accuracy" in said
    options = ("--hidden", "3:relu", "--epochs", "2")
    run("train", made["data"], "-o", again, *options)
    other = tmp_path / "other.safetensors"
    run("train", images["train"], "-o", other, "--features", "patches", "--mirror", *options)
    for name, array in load(again).saved.parameters.items():
        np.testing.assert_array_equal(load(other).saved.parameters[name], array)


def test_images_in_a_data_file_give_the_same_features(
    made: dict[str, Path], images: dict[str, Path], tmp_path: Path
) -> None:
    run("preprocess", made["pixels"], "-o", tmp_path / "d.h5", "--features", "patches", "--mirror")
    run("preprocess", made["test-pixels"], "-o", tmp_path / "t.h5", "--features", made["data"])
    for name, kept in (("d.h5", "data"), ("t.h5", "test")):
        one, other = read_data_file(tmp_path / name), read_data_file(made[kept])
        np.testing.assert_array_equal(one.data.examples, other.data.examples)
        assert one.data.standardizer == other.data.standardizer
        assert (one.names, one.classes, one.recipe) == (other.names, other.classes, other.recipe)
    model = load(made["model"])
    expected = model.with_features(model.open_data(images["test"]), api.select("cpu"))
    np.testing.assert_array_equal(expected.data.examples, read_data_file(made["test"]).data.examples)


def test_evaluations_of_features_and_of_images_are_the_same(
    images: dict[str, Path], made: dict[str, Path]
) -> None:
    texts = {
        run("evaluate", made["model"], data).stdout
        for data in (images["test"], made["test"], made["test-pixels"])
    }
    assert len(texts) == 1
    assert load(made["model"]).evaluate(made["test"]) == load(made["model"]).evaluate(images["test"])
    rows = run("predict", made["model"], images["test"]).stdout
    assert rows.count(",ok,") == 10


@pytest.mark.parametrize("data", ["data", "pixels"])
@pytest.mark.parametrize("val", ["folder", "test", "test-pixels"])
def test_any_validation_data_gives_the_same_metrics(
    data: str, val: str, images: dict[str, Path], made: dict[str, Path]
) -> None:
    options = {} if data == "data" else {"features": "patches", "mirror": True}
    model = api.train(made[data], val=made.get(val, images["test"]), workers=1, device="cpu", **options)
    found = load(made["model"]).evaluate(images["test"])
    metrics = model.history["metrics"]["validation"]
    assert metrics["metric"] == found["accuracy"]
    assert metrics["cost"] == pytest.approx(found["log_loss"], rel=1e-4)


def test_a_share_of_features_is_held_back_and_standardized_apart(made: dict[str, Path]) -> None:
    model = api.train(made["data"], val_split=0.25, device="cpu")
    assert model.history["m"] == 18
    whole = read_data_file(made["data"]).data.standardizer
    assert model.saved.standardizer.kind == "feature"
    assert not np.array_equal(model.saved.standardizer.mean, whole.mean)
    assert model.history["metrics"]["validation"]["metric"] > 0.6


def test_a_sweep_reads_features(made: dict[str, Path], images: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / "m.safetensors"
    run(
        "sweep", made["data"], "--learning-rates", "0.01,0.001", "--val", made["test"], "-o", output,
        "--iterations", "30",
    )  # fmt: skip
    model = load(output)
    assert model.patches is not None
    assert model.evaluate(images["test"]) == model.evaluate(made["test"])


def test_auto_takes_what_a_training_would_take(
    images: dict[str, Path], made: dict[str, Path], tmp_path: Path
) -> None:
    data = tmp_path / "auto.h5"
    said = run("preprocess", images["train"], "-o", data, "--features", "auto").stderr
    assert "Features: patches, mirror images are" in said
    assert "pixels" in said
    one, other = (api.train(path, workers=1, device="cpu") for path in (data, images["train"]))
    assert one.history == other.history
    np.testing.assert_array_equal(one.saved.parameters["W1"], other.saved.parameters["W1"])
    assert [each["is_used"] for each in one.history["compared"]].count(True) == 1
    for name in ("light", "dark"):
        (tmp_path / "flat" / name).mkdir(parents=True)
        for i in range(12):
            color = (200 if name == "light" else 50) + i
            Image.new("RGB", (16, 16), (color, color, color)).save(tmp_path / "flat" / name / f"{i}.png")
    run("preprocess", tmp_path / "flat", "-o", tmp_path / "flat.h5", "--features", "auto")
    flat = read_data_file(tmp_path / "flat.h5")
    assert (flat.kind, flat.data.examples.dtype) == ("images", np.uint8)
    assert [each["features"] for each in flat.compared if each["is_used"]] == ["pixels"]
    model = api.train(tmp_path / "flat.h5", features="none", device="cpu")
    assert model.history["compared"] == list(flat.compared)


def test_the_comparison_with_pixels_is_kept(made: dict[str, Path]) -> None:
    compared = load(made["model"]).history["compared"]
    assert [each["features"] for each in compared] == ["patches, mirror images are alike", "pixels"]
    assert [each["is_used"] for each in compared] == [True, False]
    assert all(each["examples"] == 24 for each in compared)
    assert compared[0]["log_loss"] < compared[1]["log_loss"]


def test_images_are_turned_into_features_while_others_are_decoded(
    images: dict[str, Path], made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    checked = feature_extractor.Extraction.checked

    def counted(self: feature_extractor.Extraction, block: np.ndarray) -> np.ndarray:
        sizes.append(len(block))
        return checked(self, block)

    monkeypatch.setattr(feature_extractor.Extraction, "checked", counted)
    monkeypatch.setattr(decode_many, "CHUNK_BYTES", 7 * 32 * 32 * 3)
    monkeypatch.setattr(feature_extractor, "BLOCK_IMAGES", 7)
    run("preprocess", images["train"], "-o", tmp_path / "d.h5", "--features", made["model"])
    run("preprocess", made["pixels"], "-o", tmp_path / "e.h5", "--features", made["model"])
    assert sizes == [7, 7, 7, 3] * 2


@pytest.mark.parametrize("source", ["train", "pixels"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, DataError])
def test_a_run_that_ends_early_leaves_nothing(
    error: type[BaseException], source: str, images: dict[str, Path], made: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def ended(self: feature_extractor.Extraction, block: np.ndarray) -> np.ndarray:
        raise error

    monkeypatch.setattr(feature_extractor.Extraction, "checked", ended)
    data = images.get(source) or made[source]
    with pytest.raises(error):
        write_features(
            str(data), str(tmp_path / "d.h5"), DataOptions(), str(made["model"]), Messages(), "cpu"
        )
    assert not list(tmp_path.iterdir())


def other_dictionary(made: dict[str, Path], folder: Path) -> Path:
    path = folder / "other.h5"
    plan = Plan(features="patches", mirror=True, seed=1)
    write_features(str(made["test-pixels"]), str(path), DataOptions(), plan, Messages(), "cpu")
    return path


def test_features_by_another_dictionary_are_refused(
    made: dict[str, Path], tmp_path: Path, images: dict[str, Path]
) -> None:
    other, pixels = other_dictionary(made, tmp_path), tmp_path / "p.safetensors"
    run("train", made["pixels"], "-o", pixels, "--features", "none")
    cases: list[tuple[Callable[[], object], type[XpnetError], str]] = [
        (lambda: load(made["model"]).evaluate(other), DataError, r"other.h5: holds features by a dictionary"),
        (lambda: api.train(made["data"], val=other), DataError, r"preprocess with --features FILE"),
        (
            lambda: api.train(made["pixels"], val=other, features="patches"),
            DataError,
            r"the validation data: holds features by a dictionary of patches, expected those by another one",
        ),
        (
            lambda: api.train(made["pixels"], val=made["test"], features="none"),
            DataError,
            r"the validation data holds features by .*, and the training data pixels",
        ),
        (lambda: load(pixels).evaluate(made["test"]), UsageError, "and the model expects pixels"),
    ]
    for call, error, said in cases:
        with pytest.raises(error, match=said):
            call()
    assert "holds features of images by a dictionary" in run(
        "predict", table_model(tmp_path), made["test"], code=1
    ).stderr  # fmt: skip


def table_model(folder: Path) -> Path:
    np.savez(folder / "t.npz", features=np.eye(8, dtype=np.float32), labels=np.arange(8) % 2)
    run("train", folder / "t.npz", "-o", folder / "t.safetensors")
    return folder / "t.safetensors"


def test_features_are_not_made_of_features(made: dict[str, Path], tmp_path: Path) -> None:
    for options, said in (
        (["--features", "patches"], r"holds features already, .*: leave out --features, or name the images"),
        (["--features", "patches", "--mirror"], "leave out --features and --mirror"),
        (["--no-mirror"], "leave out --mirror"),
        (["--standardize", "unit"], "holds features, with their standardization: leave out --standardize"),
        (["--features", "x.onnx"], "leave out --features, or name the images"),
    ):
        error = run("train", made["data"], "-o", tmp_path / "m.safetensors", *options, code=2).stderr
        assert said.rpartition(".*")[2] in error
    for chosen in ("auto", "none"):
        run("train", made["data"], "-o", tmp_path / "m.safetensors", "--features", chosen)
    for chosen in ("patches", str(made["model"])):
        error = run("preprocess", made["data"], "-o", tmp_path / "d.h5", "--features", chosen, code=1)
        assert "holds features already, by a dictionary of patches, and no pixels" in error.stderr
    run("preprocess", made["data"], "-o", tmp_path / "copy.h5")
    assert (
        read_data_file(tmp_path / "copy.h5").data.standardizer
        == read_data_file(made["data"]).data.standardizer
    )


def test_options_that_do_not_fit(made: dict[str, Path], images: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,y\n1,2,no\n3,4,yes\n5,6,no\n")
    pixels = tmp_path / "p.safetensors"
    run("train", made["pixels"], "-o", pixels, "--features", "none")
    train, table = images["train"], [tmp_path / "t.csv", "--target", "y"]
    for words, code, said in (
        ([train, "--mirror"], 2, "--features none is for the pixels: leave out --mirror"),
        ([train, "--features", "patches", "--embed"], 2, "for a backbone, as in --features model.onnx"),
        (
            [train, "--features", made["model"], "--seed", "3"],
            2,
            "has its features already: leave out --seed",
        ),
        ([train, "--features", made["model"], "--image-size", "8"], 2, "leave out other options for images"),
        ([train, "--features", "patches", "--standardize", "unit"], 2, "--standardize is for pixels"),
        ([train, "--features", "hog"], 2, "expected one of none, patches, auto, an ONNX file, a model"),
        ([train, "--features", pixels], 2, "has no features of images"),
        ([train, "--features", made["pixels"]], 2, "has no features of images"),
        ([train, "--features", train], 1, "there is no such file"),
        ([*table, "--features", "patches"], 2, "--features patches is for images"),
        ([*table, "--features", made["model"]], 1, "has no images, and a dictionary of patches takes images"),
    ):
        error = run("preprocess", *words, "-o", tmp_path / "d.h5", code=code).stderr
        assert said in " ".join(error.split()), error
    error = run("preprocess", train, "-o", made["data"], "--features", made["data"], code=2).stderr
    assert "is also an input" in error
    run("preprocess", train, "-o", tmp_path / "s.h5", "--image-size", "32", "--resize-mode", "crop")
    error = run("preprocess", tmp_path / "s.h5", "-o", tmp_path / "d.h5", "--features", made["data"], code=1)
    assert "s.h5: was made by Recipe(" in error.stderr
    run("preprocess", train, "-o", tmp_path / "d.h5", "--features", made["data"], "--max-pixels", "1000")


def test_info_tells_of_the_features(made: dict[str, Path]) -> None:
    said = xpnet_here("info", str(made["data"])).stdout
    assert "Kind: features" in said
    assert "Features: 20 patches of 6 x 6 pixels, in 2 x 2 cells, mirror images are alike" in said
    assert "num_px = 32" in said


def test_numbers_to_predict_stay_numbers(made: dict[str, Path], tmp_path: Path) -> None:
    pixels = read_data_file(made["pixels"])
    numbers = np.linspace(0, 3, pixels.data.m)[None]
    feature_extractor_of = preprocessing.read_extraction(str(made["model"]), api.select("cpu"))
    from xpnet.pipelines.datasets import write_data_file

    write_data_file(
        tmp_path / "n.h5", replace(pixels, Y=numbers, classes=()), feature_extractor_of.extraction
    )
    model = api.train(tmp_path / "n.h5", device="cpu")
    assert model.classes == ()
    assert model.patches is not None


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nets.classifier(tmp_path_factory.mktemp("backbone") / "net.onnx")


def test_embeddings_of_a_backbone_are_written_once(
    network: Path, images: dict[str, Path], tmp_path: Path
) -> None:
    data, test, one, other = (tmp_path / n for n in ("d.h5", "t.h5", "m.safetensors", "n.safetensors"))
    said = run("preprocess", images["train"], "-o", data, "--features", network)
    assert f"Features: {nets.WIDTH} numbers by the backbone net.onnx" in said.stdout
    said = run("train", data, "-o", one).stdout
    assert (
        run("train", images["train"], "-o", other, "--features", network).stdout.replace("n.saf", "m.saf")
        == said
    )
    assert one.read_bytes() == other.read_bytes()
    error = run("preprocess", images["test"], "-o", test, "--features", data, code=1).stderr
    assert "d.h5: its backbone net.onnx (" in error
    assert "is missing: put it beside the data file, or into a folder" in error
    with pytest.raises(ModelFileError, match=r"its backbone net.onnx .* is missing"):
        api.train(data, val=images["test"], workers=1)
    (tmp_path / "net.onnx").write_bytes(network.read_bytes())
    run("preprocess", images["test"], "-o", test, "--features", data)
    assert load(one).evaluate(test) == load(one).evaluate(images["test"], workers=1)
    (first,), (second,) = (
        {api.train(data, val=val, workers=1).history["metrics"]["validation"]["cost"]}
        for val in (images["test"], test)
    )
    assert first == second
    other_network = nets.classifier(tmp_path / "other.onnx", seed=1)
    run("preprocess", images["test"], "-o", tmp_path / "o.h5", "--features", other_network)
    with pytest.raises(
        DataError, match=r"by the backbone other.onnx, expected those by the backbone net.onnx"
    ):
        load(one).evaluate(tmp_path / "o.h5")
    renamed = shutil.copy(network, tmp_path / "renamed.onnx")
    run("preprocess", images["train"], "-o", tmp_path / "r.h5", "--features", renamed)
    assert load(one).evaluate(tmp_path / "r.h5") == load(one).evaluate(data)


def test_a_data_file_can_hold_the_backbone(network: Path, images: dict[str, Path], tmp_path: Path) -> None:
    data, model = tmp_path / "d.h5", tmp_path / "m.safetensors"
    run("preprocess", images["train"], "-o", data, "--features", network, "--embed")
    run("train", data, "-o", model, "--val", images["test"])
    assert network.read_bytes() in model.read_bytes()
    pixels = open_data(str(images["test"]), DataOptions(load(model).recipe)).data.examples
    assert load(model).predict_proba(pixels.T).shape == (2, 10)
