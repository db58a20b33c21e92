"""The model file: it is read as it was written, equal models give equal bytes, and bad files are refused."""

import json
import os
import stat
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optional import given, settings, st
from safetensors import numpy as safetensors

from xpnet.backend import select
from xpnet.data import fit_standardizer
from xpnet.errors import ModelFileError
from xpnet.io import SavedModel, model_file
from xpnet.nn import Layer, LogisticRegression, Network, initialize

MODEL = Network(12, 3, "softmax", (Layer.parse("4:relu+2:tanh"), Layer.parse("5:sigmoid")))
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 12), dtype=np.uint8)
SAVED = SavedModel(
    MODEL,
    dict(initialize(MODEL, select("cpu"), seed=3).views),
    fit_standardizer([PIXELS], "feature"),
    ("cat", "dög", "<script>"),
    {"size": [2, 2], "color": "rgb"},
    {"costs": [0.5, 0.25]},
    {"xpnet": "0"},
)


def saved(folder: Path, changed: SavedModel = SAVED) -> Path:
    model_file.write_model_file(folder / "m.safetensors", changed)
    return folder / "m.safetensors"


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    loaded = model_file.read_model_file(saved(tmp_path))
    for name in ("model", "standardizer", "classes", "recipe", "history", "versions"):
        assert getattr(loaded, name) == getattr(SAVED, name)
    for name, array in SAVED.parameters.items():
        np.testing.assert_array_equal(loaded.parameters[name], array)
        assert loaded.parameters[name].dtype == np.float32


def test_the_file_is_a_safetensors_file_others_can_read(tmp_path: Path) -> None:
    arrays = safetensors.load_file(saved(tmp_path))
    np.testing.assert_array_equal(arrays["W1"], SAVED.parameters["W1"])


def test_equal_models_are_equal_bytes(tmp_path: Path) -> None:
    first = saved(tmp_path).read_bytes()
    assert saved(tmp_path).read_bytes() == first
    model_file.write_model_file(tmp_path / "again", model_file.read_model_file(tmp_path / "m.safetensors"))
    assert (tmp_path / "again").read_bytes() == first


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: Any) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelFileError, match=r"m\.safetensors: cannot be written: No space left on device"):
        saved(tmp_path, replace(SAVED, history={}))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]
    with pytest.raises(ModelFileError, match="cannot be written: No such file or directory"):
        saved(tmp_path / "nowhere")


def test_the_file_has_the_usual_mode(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(saved(tmp_path).stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def rewritten(path: Path, arrays: Any = None, **changes: Any) -> Path:
    """Change entries of the description, or the arrays."""
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    header = json.loads(path.read_bytes()[8 : 8 + length])
    description = json.loads(header["__metadata__"]["xpnet"])
    description |= changes
    kept = {
        name: array
        for name, array in (safetensors.load_file(path) | (arrays or {})).items()
        if array is not None
    }
    path.write_bytes(safetensors.save(kept, {"xpnet": json.dumps(description)}))
    return path


CONFIGURATION = MODEL.to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "checkpoint"}, "is a file of kind 'checkpoint', expected 'model'"),
        ({"format": 2}, "has format 2, and this version reads 1: update xpnet"),
        ({"model": CONFIGURATION | {"n_x": 13}}, r"W1 has shape \(6, 12\), and the configuration says \(6, 13\)"),
        ({"model": CONFIGURATION | {"n_x": 10**18}}, "the configuration says"),
        ({"model": CONFIGURATION | {"hidden": []}}, r"W1 has shape \(6, 12\), and the configuration says \(3, 12\)"),
        ({"model": CONFIGURATION | {"output": "__import__"}}, "output is '__import__', expected one of"),
        ({"model": CONFIGURATION | {"hidden": ["6:eval"]}}, "activation is 'eval'"),
        ({"model": 3}, "its description is not that of a model"),
        ({"model": {}}, "its description is not that of a model: ConfigurationError: not a model's configuration: KeyError"),
        ({"classes": ["a", "b"]}, "has 2 class names, expected 3 different ones"),
        ({"classes": ["a", "b", "b"]}, "has 3 class names, expected 3 different ones"),
        ({"classes": 5}, "its description is not that of a model: TypeError"),
        ({"standardize": "whiten"}, "standardization is 'whiten' of float64, expected one of none, unit"),
        ({"recipe": 5}, "its description is not that of a model: TypeError"),
        ({"arrays": {"W1": None}}, r"W1 is missing, expected shape \(6, 12\)"),
        ({"arrays": {"W9": np.zeros((1, 1))}}, "holds W9, which the configuration does not have"),
        ({"arrays": {"b1": np.zeros((6, 1))}}, "parameters are float32 and float64, expected one dtype"),
        ({"arrays": {"b1": np.zeros((6, 1), np.int64)}}, "b1 is I64, expected F32 or F64"),
        ({"arrays": {"b1": np.full((6, 1), np.nan, np.float32)}}, "b1 holds a NaN or an infinity"),
        ({"arrays": {"standardizer.scale": np.ones((1, 1))}}, r"standardizer.scale has shape \(1, 1\)"),
    ],
)  # fmt: skip
def test_parts_that_do_not_match_are_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = rewritten(saved(tmp_path), **changes)
    with pytest.raises(ModelFileError, match=message) as caught:
        model_file.read_model_file(path)
    assert str(caught.value).startswith(str(path))


def test_foreign_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for content, message in [
        (b"", "is empty"),
        (b"\x80\x04\x95pickle......", "does not begin like a safetensors file"),
        (b"\xff" * 100, "does not begin"),
        (struct.pack("<Q", 1 << 62) + b"{}", "does not begin"),
        (struct.pack("<Q", 4000) + b"{}", "is truncated: its header of 4000 bytes is longer than the file of 10"),
        (struct.pack("<Q", 2) + b"{}", "safetensors file of another program"),
        (struct.pack("<Q", 2) + b"{]", "is damaged"),
        (safetensors.save({"a": np.zeros(3)}), "safetensors file of another program"),
        (safetensors.save({}, {"xpnet": "[" * 100_000}), "its description is not JSON"),
        (safetensors.save({}, {"xpnet": "[]"}), "is a file of kind None"),
    ]:  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=message):
            model_file.read_model_file(path)
    with pytest.raises(ModelFileError, match="is not a file"):
        model_file.read_model_file(tmp_path)
    with pytest.raises(ModelFileError, match="there is no such file"):
        model_file.read_model_file(tmp_path / "missing")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_file_loads_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Cut anywhere: refused. Bytes changed: refused, or a model of the right shapes."""
    path = saved(tmp_path_factory.mktemp("m"))
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(ModelFileError):
            model_file.read_model_file(path)
        return
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        loaded = model_file.read_model_file(path)
    except ModelFileError:
        return
    assert {name: array.shape for name, array in loaded.parameters.items()} == loaded.model.shapes


def test_writing_parts_that_do_not_match_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"W1 has shape \(6, 12\), and the configuration says \(1, 12\)"):
        saved(tmp_path, replace(SAVED, model=LogisticRegression(12)))
