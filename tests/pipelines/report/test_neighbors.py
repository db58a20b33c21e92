"""The pictures nearest to a mistake, what features add beside pixels, and the dictionaries on the page."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import page
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import xpnet as api
from xpnet.data import ColumnMatrix
from xpnet.errors import DataError
from xpnet.io import read_model_file, write_model_file
from xpnet.pipelines.datasets import DataOptions
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.report import neighbors
from xpnet.pipelines.report.evaluation import evaluation_section
from xpnet.pipelines.report.weights import weights_section
from xpnet.pipelines.training import dictionary_size, features, write_features

CPU = api.select("cpu")


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return images of stripes, one of which is also in the wrong class, and a model of patches."""
    root = tmp_path_factory.mktemp("stripes")
    rng, (y, x) = np.random.default_rng(0), np.mgrid[:16, :16]
    for name, waves in {"lying": y, "standing": x}.items():
        (root / "data" / name).mkdir(parents=True)
        for i in range(12):
            wave = np.sin(2 * np.pi * (waves / 5 + rng.uniform()))[..., None]
            pixels = 128 + 50 * wave * rng.normal(size=3) + rng.normal(0, 20, (16, 16, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / "data" / name / f"{i}.png")
    model, data = root / "m.safetensors", root / "data"
    with pytest.MonkeyPatch.context() as patch:
        settings, quick = features.PatchSettings, {"samples": 2000, "rounds": 2}
        patch.setattr(dictionary_size, "SIZES", {"few": (2, 80), "many": (2, 80)})
        patch.setattr(features, "PatchSettings", lambda **own: settings(**{**quick, **own}))
        patch.setattr(features, "SMALLER", replace(features.SMALLER, **quick))
        api.train(data, features="patches", mirror=True, output=model, workers=1, device=CPU)
    shutil.copy(data / "lying" / "3.png", data / "standing" / "wrong.png")
    write_features(str(data), str(root / "f.h5"), DataOptions(), str(model), Messages(), CPU)
    return {"data": data, "model": model, "features": root / "f.h5"}


def test_neighbors_are_those_of_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    data = ColumnMatrix.of(
        rng.normal(5, rng.uniform(0.1, 9, (30, 1)), (30, 200)).astype(np.float32), "feature"
    )
    monkeypatch.setattr("xpnet.data.column_matrix.BLOCK_BYTES", 7 * 30 * 4)
    rows = np.array([0, 17, 199])
    found, shares = neighbors.nearest(data, rows, 4)
    X = data.standardized().T
    distances, indices = NearestNeighbors(n_neighbors=5).fit(X).kneighbors(X[rows])
    np.testing.assert_array_equal(found, indices[:, 1:])
    for row, line, expected in zip(rows, shares, distances[:, 1:], strict=True):
        others = np.delete(np.linalg.norm(X - X[row], axis=1), row)
        np.testing.assert_allclose(line, expected / np.median(others), rtol=1e-4)


def test_few_and_equal_examples_have_neighbors_too() -> None:
    same = ColumnMatrix(np.ones((3, 2), np.float32))
    found, shares = neighbors.nearest(same, np.array([1]), 4)
    assert found.tolist() == [[0, 2]]
    assert shares.tolist() == [[0.0, 0.0]]


def section(stripes: dict[str, Path], data: str = "data") -> dict[str, Any]:
    model = load(stripes["model"])
    return evaluation_section(model, model.open_data(stripes[data], workers=1), CPU)


@pytest.mark.parametrize("most", [25, 12])
def test_a_wrong_label_is_seen_by_its_double(
    stripes: dict[str, Path], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only a sample of the pictures fits into memory as features."""
    bytes_of = load(stripes["model"]).saved.model.n_x * 4
    monkeypatch.setattr(neighbors, "memory_bytes", lambda: (most * bytes_of + 1) / neighbors.MEMORY_SHARE)
    found = section(stripes)
    assert found["wrong"] == 1
    (group,) = found["nearest"]["groups"]
    assert group["mistake"] is found["mistakes"][0]
    assert group["mistake"]["name"] == "standing/wrong.png"
    assert len(group["others"]) == neighbors.NEAREST
    names = [other["name"] for other in group["others"]]
    assert "standing/wrong.png" not in names
    if most == 25:
        assert found["nearest"]["among"] == 25
        assert names[0] == "lying/3.png"
        assert group["others"][0]["share"] < 0.01
        assert group["others"][0]["is_other"]
    else:
        assert most <= found["nearest"]["among"] <= most + 1
    assert all(other["picture"] for other in group["others"])


def test_a_file_of_features_gives_the_same_section(stripes: dict[str, Path]) -> None:
    one, other = section(stripes), section(stripes, "features")
    assert one["metrics"] == other["metrics"]
    assert [example["name"] for example in one["mistakes"]] == [
        example["name"] for example in other["mistakes"]
    ]
    (first,), (second,) = one["nearest"]["groups"], other["nearest"]["groups"]
    for a, b in zip(first["others"], second["others"], strict=True):
        assert (a["row"], a["truth"], a["share"], a["is_other"]) == (
            b["row"],
            b["truth"],
            b["share"],
            b["is_other"],
        )
        assert b["picture"]


def test_the_page_shows_it_all(stripes: dict[str, Path], tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    for data, name in ((stripes["data"], "a.html"), (stripes["features"], "b.html")):
        text = page(tmp_path / name, stripes["model"], data=data).read_text(encoding="utf-8")
        assert "The pictures nearest to these mistakes" in text
        assert "another class: <bdi>lying</bdi>" in text
        assert '<a href="#features">Features</a>' in text
        assert re.search(r'<th scope="row"><bdi>pixels</bdi></th><td>[0-9.]+</td><td>[0-9.]+ %</td>', text)
        assert text.count("<td>used</td>") == 1
        assert "Patches of 6 x 6 pixels</h3>" in text
        assert "Patches of 4 x 4 pixels of the image at 43.8 % of its size</h3>" in text
        assert "cannot be shown" not in text
        assert "were compared" not in text
    stripes["data"].rename(moved)
    try:
        text = page(tmp_path / "c.html", stripes["model"], data=stripes["features"]).read_text(
            encoding="utf-8"
        )
    finally:
        moved.rename(stripes["data"])
    assert '<img src="data:image/jpeg' not in text
    assert "25 pictures cannot be shown" in text
    assert "standing/wrong.png" in text


def test_models_of_pixels_have_neither(stripes: dict[str, Path], tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    with pytest.warns(UserWarning, match="2 images occur in more than one class"):
        api.train(stripes["data"], features="none", output=model, image_size=8, iterations=2, workers=1)
    text = page(tmp_path / "p.html", model, data=stripes["data"]).read_text(encoding="utf-8")
    assert "h-nearest" not in text
    assert "h-features" not in text


@pytest.mark.parametrize(
    "compared",
    [5, [5], [{}], [{"features": "a"}] * 2, [{"features": "a", "log_loss": "x", "accuracy": 1, "is_used": 1}] * 2],
)  # fmt: skip
def test_a_damaged_comparison_is_one_error(compared: Any, stripes: dict[str, Path], tmp_path: Path) -> None:
    saved = read_model_file(stripes["model"])
    write_model_file(tmp_path / "m", replace(saved, history={**saved.history, "compared": compared}))
    with pytest.raises(DataError, match="its summary of the training is damaged"):
        page(tmp_path / "r.html", tmp_path / "m")


def test_each_dictionary_has_the_patches_with_its_largest_weights(stripes: dict[str, Path]) -> None:
    model = load(stripes["model"])
    saved, patches = model.saved, model.patches
    assert patches is not None
    assert patches.smaller is not None
    W = np.zeros((1, patches.count), np.float32)
    W[0, 7] = 1  # the first cell of the large patches
    W[0, -3] = 1  # the last cell of those of the smaller image
    changed = replace(model, saved=replace(saved, parameters={**saved.parameters, "W1": W}))
    large, small = weights_section(changed)["dictionaries"]
    assert large["images"][0]["name"] == "patch 8"
    assert small["images"][0]["name"] == "patch 38"
    assert (large["units"], small["units"]) == (40, 40)
    assert (large["size"], small["size"]) == (6, 4)
