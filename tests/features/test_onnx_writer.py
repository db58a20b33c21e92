"""Files that the writer writes, read by onnx and run by onnxruntime."""

import numpy as np
import pytest
from optional import module

from xpnet.errors import ModelFileError
from xpnet.features import Interface, OnnxWriter, parse_onnx, run_onnx
from xpnet.features import onnx_writer as w
from xpnet.features.protobuf import field_number

onnx, checker, runtime = module("onnx"), module("onnx.checker"), module("onnxruntime")
helper, numpy_helper = module("onnx.helper"), module("onnx.numpy_helper")

X = Interface("X", "float32", ("batch", 2), "two numbers")
Y = Interface("Y", "float32", ("batch", 2))


def small(metadata: dict[str, str] | None = None) -> bytes:
    graph = OnnxWriter()
    shifted = graph.node("Add", "X", graph.weight(np.array([[1.0, -2.0]], np.float32)))
    graph.node("LeakyRelu", shifted, output="Y", alpha=0.25)
    return graph.to_bytes([X], [Y], metadata or {}, ("a program", "1.2"))


def test_onnx_reads_all_that_was_written() -> None:
    model = onnx.load_from_string(small({"names": '["é"]', "empty": ""}))
    checker.check_model(model, full_check=True)
    assert (model.producer_name, model.producer_version) == ("a program", "1.2")
    assert (model.ir_version, model.opset_import[0].version) == (w.IR_VERSION, w.OPSET)
    assert {each.key: each.value for each in model.metadata_props} == {"names": '["é"]', "empty": ""}
    (taken,) = model.graph.input
    assert (taken.name, taken.doc_string) == ("X", "two numbers")
    assert [side.dim_param or side.dim_value for side in taken.type.tensor_type.shape.dim] == ["batch", 2]
    assert [node.op_type for node in model.graph.node] == ["Add", "LeakyRelu"]
    assert len({name for node in model.graph.node for name in node.output}) == 2


def test_our_own_reader_reads_it() -> None:
    graph = parse_onnx("small.onnx", small({"key": "value"})).graph
    assert [(each.name, each.shape) for each in graph.inputs] == [("X", ("batch", 2))]
    assert graph.metadata == {"key": "value"}


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_onnxruntime_computes_with_it(batch: int) -> None:
    assert runtime.get_available_providers()
    given = np.array([[1, 1], [-5, 4], [0, 0]], np.float32)
    np.testing.assert_array_equal(run_onnx(small(), given, batch), [[2, -0.25], [-1, 2], [1, -0.5]])


@pytest.mark.parametrize("array", [np.arange(6, dtype=d).reshape(2, 3) for d in w.TYPES] + [np.array(3.5)])
def test_weights_of_each_type(array: np.ndarray) -> None:
    graph = OnnxWriter()
    graph.node("Identity", graph.weight(array), output="Y")
    content = graph.to_bytes([X], [Interface("Y", array.dtype.name, array.shape)], {}, ("", ""))
    (weight,) = onnx.load_from_string(content).graph.initializer
    found = numpy_helper.to_array(weight)
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


def test_a_transposed_weight_keeps_its_values() -> None:
    array, graph = np.arange(6, dtype=">f4").reshape(2, 3).T, OnnxWriter()
    graph.node("Identity", graph.weight(array), output="Y")
    (weight,) = onnx.load_from_string(graph.to_bytes([X], [Y], {}, ("", ""))).graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(weight), array)


@pytest.mark.parametrize("value", [0, 1, -1, 127, 128, -(1 << 63), (1 << 63) - 1])
def test_attributes_are_numbers_of_64_bits(value: int) -> None:
    graph = OnnxWriter()
    graph.node("Test", "X", output="Y", one=value, several=(value, 5), real=-2.5)
    (node,) = onnx.load_from_string(graph.to_bytes([X], [Y], {}, ("", ""))).graph.node
    found = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    assert found == {"one": value, "several": [value, 5], "real": -2.5}


def test_a_number_is_as_short_as_protobuf_writes_it() -> None:
    assert field_number(1, 300) == b"\x08\xac\x02"  # the example of protobuf's documentation is 150: 08 96 01
    assert field_number(1, 150) == b"\x08\x96\x01"


def test_what_is_no_unicode_is_escaped() -> None:
    model = onnx.load_from_string(small({"name": "a\udcff"}))
    assert model.metadata_props[0].value == "a\\udcff"


def test_a_file_that_would_be_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w, "MAX_FILE_BYTES", (1 << 20) + 50)
    with pytest.raises(ModelFileError, match="as an ONNX file, which can have at most"):
        small()


def test_a_network_that_onnxruntime_refuses_is_an_error() -> None:
    assert runtime.get_available_providers()
    graph = OnnxWriter()
    graph.node("NoSuchOperator", "X", output="Y")
    with pytest.raises(ModelFileError, match=r"cannot use the network: .*NoSuchOperator"):
        run_onnx(graph.to_bytes([X], [Y], {}, ("", "")), np.zeros((1, 2), np.float32), 1)
