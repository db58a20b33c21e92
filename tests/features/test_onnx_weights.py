"""Weights in files beside an ONNX file are written into it: the same numbers, and errors that help."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_networks as nets
import pytest

from xpnet.errors import ModelFileError
from xpnet.features import onnx_weights as module
from xpnet.features import read_onnx, with_own_weights


def arrays_of(graph: Any) -> list[np.ndarray]:
    """Return the weights of a graph, and those in its nodes, by the package `onnx`."""
    found = [nets.numpy_helper.to_array(each) for each in graph.initializer]
    for node in graph.node:
        for attribute in node.attribute:
            found += [nets.numpy_helper.to_array(attribute.t)] if attribute.HasField("t") else []
            found += arrays_of(attribute.g) if attribute.HasField("g") else []
    return found


def test_the_numbers_are_the_same(tmp_path: Path) -> None:
    """Also those in nodes, and in graphs in nodes. The package `onnx` writes and reads."""
    value = nets.numpy_helper.from_array(np.arange(3.0), "value")
    constant = nets.helper.make_node("Constant", [], ["c"], value=value)
    inner = nets.helper.make_graph([constant], "inner", [], [], [value])
    nodes = [
        *nets.trunk(),
        nets.helper.make_node("If", ["pooled"], ["out"], then_branch=inner, else_branch=inner),
        nets.head(),
    ]
    path = nets.save(
        tmp_path / "net.onnx", nodes, nets.weights(), {"scores": ("batch", 10)}, metadata={"mean": "0.5"}
    )
    whole = nets.onnx.load(str(path))
    nets.onnx.save(
        nets.onnx.load(str(path)), str(path), save_as_external_data=True, location="net.onnx.data",
        size_threshold=0, convert_attribute=True,
    )  # fmt: skip
    file = read_onnx(path)
    assert file.graph.external == {"net.onnx.data"}
    found = with_own_weights(file)
    assert found.path == file.path
    assert not found.graph.external
    assert found.graph.metadata == {"mean": "0.5"}
    assert [each.operator for each in found.graph.nodes] == [each.operator for each in file.graph.nodes]
    (tmp_path / "net.onnx.data").unlink()
    model = nets.onnx.load_from_string(found.content)
    expected = arrays_of(whole.graph)
    assert len(expected) == 7
    for a, b in zip(arrays_of(model.graph), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert with_own_weights(found) is found


def with_place(path: Path, **place: str) -> Any:
    """Return a network whose kernel is where an entry says, in a file of 1000 bytes."""
    nets.with_weights_in(nets.classifier(path / "net.onnx"), "x.data")
    model = nets.onnx.load(str(path / "net.onnx"), load_external_data=False)
    for weight in model.graph.initializer:
        if weight.name == "kernel":
            kept = [entry for entry in weight.external_data if entry.key == "location"]
            weight.ClearField("external_data")
            weight.external_data.extend(kept)
            for key, value in place.items():
                entry = weight.external_data.add()
                entry.key, entry.value = key, value
    (path / "net.onnx").write_bytes(model.SerializeToString())
    (path / "x.data").write_bytes(bytes(range(250)) * 4)
    return read_onnx(path / "net.onnx")


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ({}, slice(None)), ({"length": "7"}, slice(7)), ({"offset": "990"}, slice(990, None)),
        ({"offset": "250", "length": "648"}, slice(250, 898)), ({"offset": "1000"}, slice(0)),
    ],
)  # fmt: skip
def test_where_weights_are(tmp_path: Path, place: dict[str, str], expected: slice) -> None:
    model = nets.onnx.load_from_string(with_own_weights(with_place(tmp_path, **place)).content)
    (kernel,) = (each for each in model.graph.initializer if each.name == "kernel")
    assert kernel.raw_data == (bytes(range(250)) * 4)[expected]
    assert kernel.data_location == 0


@pytest.mark.parametrize(
    "place",
    [{"offset": "1001"}, {"length": "1001"}, {"offset": "-1"}, {"length": "-1"}, {"offset": "x"},
     {"offset": "999", "length": "2"}, {"length": "9" * 5000}],
)  # fmt: skip
def test_weights_that_are_not_there_are_refused(tmp_path: Path, place: dict[str, str]) -> None:
    with pytest.raises(
        ModelFileError, match=r"net.onnx: expects .* in x.data, which has 1000: it is another"
    ):
        with_own_weights(with_place(tmp_path, **place))


def test_files_that_are_missing_or_too_large_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = with_place(tmp_path)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", len(file.content) + 999)
    with pytest.raises(
        ModelFileError, match=r"net.onnx: has \d+ bytes with its weights, and one file has at"
    ):
        with_own_weights(file)
    (tmp_path / "x.data").unlink()
    with pytest.raises(ModelFileError, match=r"net.onnx: x.data, with its weights, cannot be read: No such"):
        with_own_weights(file)
