"""Reading ONNX files: where the embedding is, what is refused, and that damaged files do no harm."""

import time
from pathlib import Path

import numpy as np
import onnx_networks as nets
import pytest
from optional import given, settings, st

from xpnet.errors import ModelFileError, UsageError, XpnetError
from xpnet.features import find_embedding, parse_onnx, read_onnx
from xpnet.features.onnx_file import MAX_DEPTH, candidates


def node(*args, **options):
    return nets.helper.make_node(*args, **options)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return nets.classifier(tmp_path / "net.onnx")


def test_what_a_file_says(classifier: Path) -> None:
    file = read_onnx(classifier)
    (images,), (scores,) = file.graph.inputs, file.graph.outputs
    assert (images.name, images.dtype, images.shape) == ("images", 1, ("batch", 3, nets.SIDE, nets.SIDE))
    assert (scores.name, scores.shape) == ("scores", ("batch", nets.CLASSES))
    assert [each.operator for each in file.graph.nodes] == [
        "Conv",
        "Relu",
        "GlobalAveragePool",
        "Flatten",
        "Gemm",
    ]
    assert file.graph.weights == {"kernel", "W", "b"}
    assert file.name == "net.onnx"
    assert file.folder == str(classifier.parent)
    size, digest = file.size_and_hash()
    assert size == classifier.stat().st_size
    assert len(digest) == 64


@pytest.mark.parametrize(
    ("after", "arrays", "embedding"),
    [
        ([("Gemm", ["pooled", "W", "b"])], {}, "pooled"),
        ([("MatMul", ["pooled", "M"])], {}, "pooled"),
        ([("MatMul", ["pooled", "M"]), ("Add", ["b", 0])], {}, "pooled"),
        ([("Transpose", ["W"]), ("MatMul", ["pooled", 0]), ("Add", [1, "b"]), ("Softmax", [2])], {}, "pooled"),
        ([("Gemm", ["pooled", "W", "b"]), ("Cast", [0]), ("Identity", [1]), ("Sigmoid", [2])], {}, "pooled"),
        ([("MatMul", ["pooled", "M"]), ("Shape", [0]), ("Reshape", [0, 1])], {}, "pooled"),
        ([("MatMul", ["pooled", "M"]), ("Mul", [0, "factor"])], {"factor": np.ones(1)}, "pooled"),
        # Two heads of one embedding, whose scores are averaged or are one after the other.
        ([("MatMul", ["pooled", "M"]), ("MatMul", ["pooled", "N"]), ("Add", [0, 1]), ("Div", [2, "b"])],
         {"N": np.ones((nets.WIDTH, nets.CLASSES), np.float32)}, "pooled"),
        ([("Gemm", ["pooled", "W", "b"]), ("Gemm", ["pooled", "W", "b"]), ("Concat", [0, 1])], {}, "pooled"),
        # The last step of a block with a shortcut.
        ([("MatMul", ["pooled", "S"]), ("Add", [0, "pooled"])], {"S": np.eye(nets.WIDTH, dtype=np.float32)}, "out1"),
        ([("Identity", ["pooled"])], {}, "out0"),
        ([("MatMul", ["pooled", "M"]), ("Tanh", [0])], {}, "out1"),  # such as the pooler of a transformer
        ([("MatMul", ["pooled", "M"]), ("ReduceL2", [0]), ("Div", [0, 1])], {}, "out2"),  # of length 1
    ],
)  # fmt: skip
def test_where_the_embedding_is(tmp_path: Path, after: list, arrays: dict, embedding: str) -> None:
    nodes = nets.trunk()
    for i, (operator, inputs) in enumerate(after):
        names = [f"out{each}" if isinstance(each, int) else each for each in inputs]
        options = {"Cast": {"to": 1}, "Concat": {"axis": 1}}.get(operator, {})
        nodes.append(node(operator, names, [f"out{i}"], **options))
    own = nets.weights()
    arrays = {**own, "M": own["W"].T.copy(), **arrays}
    path = nets.save(tmp_path / "net.onnx", nodes, arrays, {f"out{len(after) - 1}": ("batch", None)})
    name, is_output = find_embedding(read_onnx(path))
    assert name == embedding
    assert is_output == (embedding == f"out{len(after) - 1}")


@pytest.mark.parametrize(
    ("name", "embedding"),
    [
        ("resnet50", "r173"), ("shufflenet", "r200"), ("inception_v2", "r506"), ("bvlc_alexnet", "r22"),
        ("densenet121", "ends with a convolution"), ("squeezenet", "softmaxout_1"),
    ],
)  # fmt: skip
def test_known_networks(name: str, embedding: str) -> None:
    """The package `onnx` has the graphs of some well-known networks, without their weights."""
    assert nets.onnx.__version__
    path = Path(nets.onnx.__file__).parent / "backend" / "test" / "data" / "light" / f"light_{name}.onnx"
    if not path.exists():
        pytest.skip("this version of onnx has no such network")
    file = read_onnx(path)
    if " " in embedding:
        with pytest.raises(UsageError, match=f"{embedding}.*--features-output r"):
            find_embedding(file)
    else:
        assert find_embedding(file)[0] == embedding


def test_weights_that_old_files_also_call_inputs_are_none(tmp_path: Path, classifier: Path) -> None:
    model = nets.onnx.load(str(classifier))
    for weight in model.graph.initializer:
        model.graph.input.append(nets.helper.make_tensor_value_info(weight.name, 1, weight.dims))
    nets.onnx.save(model, str(classifier))
    file = read_onnx(classifier)
    assert [tensor.name for tensor in file.graph.inputs] == ["images"]
    assert find_embedding(file) == ("pooled", False)


def test_two_heads_are_refused_and_the_candidates_named(tmp_path: Path) -> None:
    outputs = {"scores": ("batch", nets.CLASSES), "pooled": ("batch", nets.WIDTH)}
    path = nets.save(tmp_path / "two.onnx", [*nets.trunk(), nets.head()], nets.weights(), outputs)
    with pytest.raises(UsageError, match=r"two.onnx: has 2 outputs.*--features-output .*pooled") as raised:
        find_embedding(read_onnx(path))
    assert "scores or pooled or mean" in str(raised.value)


@pytest.mark.parametrize("join", ["Add", "Mean", "Concat"])
def test_two_heads_of_two_embeddings_are_refused(tmp_path: Path, join: str) -> None:
    """As in a distilled transformer, which averages the scores for two tokens."""
    nodes = [
        *nets.trunk(), node("Tanh", ["pooled"], ["other"]), nets.head(output="one"),
        nets.head("other", "two"), node(join, ["one", "two"], ["both"], **({"axis": 1} if join == "Concat" else {})),
        node("Softmax", ["both"], ["scores"]),
    ]  # fmt: skip
    file = read_onnx(nets.save(tmp_path / "net.onnx", nodes, nets.weights(), {"scores": ("batch", None)}))
    with pytest.raises(UsageError, match=r"net.onnx: joins the scores of 2 classifiers, .*--features-output"):
        find_embedding(file)
    assert {"pooled", "other"} <= set(candidates(file.graph))


def test_a_convolution_that_classifies_is_refused(tmp_path: Path) -> None:
    nodes = [*nets.trunk()[:3], node("Conv", ["mean", "last"], ["map"]), node("Flatten", ["map"], ["scores"])]
    arrays = {**nets.weights(), "last": np.ones((4, nets.WIDTH, 1, 1), np.float32)}
    file = read_onnx(nets.save(tmp_path / "net.onnx", nodes, arrays, {"scores": ("batch", 4)}))
    with pytest.raises(UsageError, match=r"ends with a convolution.*--features-output scores or mean"):
        find_embedding(file)
    assert candidates(file.graph) == ["scores", "mean"]


def test_an_output_is_added_by_appending_it(classifier: Path) -> None:
    file = read_onnx(classifier)
    content = file.with_output("pooled")
    assert content.startswith(file.content)
    assert len(content) < len(file.content) + 20
    model = nets.onnx.load_from_string(content)
    assert [tensor.name for tensor in model.graph.output] == ["scores", "pooled"]
    again = parse_onnx("net.onnx", content)
    assert [tensor.name for tensor in again.graph.outputs] == ["scores", "pooled"]
    assert file.with_output("scores") is file.content


@pytest.mark.parametrize(
    "location",
    ["/etc/passwd", "../W.data", "a/../../W.data", "C:\\W.data", "..\\W.data", "\\\\host\\W", "", "a\0b"],
)
def test_weights_elsewhere_are_refused(classifier: Path, location: str) -> None:
    with pytest.raises(ModelFileError, match=r"net.onnx: its weights are in .*expected a file beside it"):
        read_onnx(nets.with_weights_in(classifier, location))


def test_weights_elsewhere_are_refused_also_inside_of_nodes(tmp_path: Path) -> None:
    tensor = nets.helper.make_tensor("W", 1, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = 1
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../other"
    inner = nets.helper.make_graph([node("Constant", [], ["c"], value=tensor)], "inner", [], [])
    nodes = [*nets.trunk(), node("If", ["pooled"], ["scores"], then_branch=inner, else_branch=inner)]
    path = nets.save(tmp_path / "net.onnx", nodes, nets.weights(), {"scores": (1,)})
    with pytest.raises(ModelFileError, match="expected a file beside it"):
        read_onnx(path)


def test_the_hash_is_also_of_weights_beside_the_file(classifier: Path) -> None:
    data = nets.weights()["kernel"].tobytes()
    file = read_onnx(nets.with_weights_in(classifier, "W.data"))
    assert file.graph.external == {"W.data"}
    with pytest.raises(
        ModelFileError, match=r"net.onnx: W.data, with its weights, cannot be read: No such file"
    ):
        file.size_and_hash()
    (classifier.parent / "W.data").write_bytes(data)
    size, digest = file.size_and_hash()
    assert size == len(file.content) + len(data)
    (classifier.parent / "W.data").write_bytes(data[::-1])
    assert file.size_and_hash()[1] != digest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it has no graph"),
        (b"\x08\x08", "it has no graph"),
        (b"\x3a\x00", "its graph has no nodes or no outputs"),
        (b"\x3a\x05\x0a", "a part of 5 bytes where 1 are left"),
        (b"\x3a", "it ends in the middle of a number"),
        (b"\xff" * 11, "a number of more than ten bytes"),
        (b"\x38\x01", "a number where a message was expected"),
        (b"\x0b", "a field of the unknown kind 3"),
        (b"<html>not found</html>", ""),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "a part of "),
    ],
)  # fmt: skip
def test_what_is_no_network_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ModelFileError, match=f"x.onnx: is damaged, or not an ONNX file: {reason}"):
        parse_onnx("x.onnx", content)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="there is no such file: expected a network in an ONNX file"):
        read_onnx(tmp_path / "x.onnx")
    with pytest.raises(ModelFileError, match="is not a file"):
        read_onnx(tmp_path)


def test_forged_files_take_neither_time_nor_depth() -> None:
    started = time.process_time()
    with pytest.raises(ModelFileError, match="it has more than 4000000 fields"):
        parse_onnx("x.onnx", b"\x3a\x80\x80\x80\x04" + b"\x10\x00" * (1 << 22))
    assert time.process_time() - started < 30

    def part(number: int, content: bytes) -> bytes:
        size = len(content)
        return bytes([number << 3 | 2, size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + content

    graph = part(1, b"")
    for _ in range(MAX_DEPTH + 1):
        graph = part(1, part(5, part(6, graph)))
    with pytest.raises(ModelFileError, match="nested more than"):
        parse_onnx("x.onnx", part(7, graph))


def read_or_refused(content: bytes) -> str:
    """Return the error of a file, which names the file, or "" if it can be read."""
    found = ""
    try:
        find_embedding(parse_onnx("x.onnx", content))
    except XpnetError as error:
        found = str(error)
    assert not found or found.startswith("x.onnx: ")
    return found


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(content: bytes) -> None:
    for each in (content, b"\x3a" + bytes([len(content) & 127]) + content):
        read_or_refused(each)


def test_truncated_and_changed_files_are_refused_or_read(classifier: Path) -> None:
    content, rng = classifier.read_bytes(), np.random.default_rng(0)
    assert all(read_or_refused(content[:end]) for end in range(0, len(content), 7))
    for _ in range(500):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(256)
        read_or_refused(bytes(changed))
