"""A backbone as a part of an ONNX file gives the embeddings that xpnet computes with it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx_networks as nets
import pytest
from optional import module

from xpnet.backend import select
from xpnet.errors import UsageError
from xpnet.features import Interface, OnnxWriter, open_backbone, read_onnx, run_onnx, write_backbone

onnx, checker = module("onnx"), module("onnx.checker")
node = nets.helper.make_node


def both(path: Path, channels: int = 3, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of some images by the included backbone, and by xpnet."""
    file, images = read_onnx(path), nets.some_images(5, channels=channels)
    transform = open_backbone(file, images.shape[1:], select("cpu"), **options)
    graph = OnnxWriter("own_")
    embeddings = write_backbone(graph, "pixels", transform, file)
    graph.node("Identity", embeddings, output="embeddings")
    taken = Interface("pixels", "uint8", ("batch", *images.shape[1:]))
    given = Interface("embeddings", "float32", ("batch", transform.backbone.count))
    content = graph.to_bytes([taken], [given], {}, ("", ""))
    checker.check_model(onnx.load_from_string(content), full_check=True)
    return run_onnx(content, images, 3), transform(images.reshape(5, -1))


def maps(path: Path, last: bool) -> Path:
    """Write a network whose output is a map, channels before or after the places."""
    nodes = [node("Conv", ["images", "kernel"], ["maps"], strides=[2, 2])]
    side = (nets.SIDE - 3) // 2 + 1
    sides = (side, side, nets.WIDTH) if last else (nets.WIDTH, side, side)
    nodes.append(node("Transpose", ["maps"], ["out"], perm=[0, 2, 3, 1] if last else [0, 1, 2, 3]))
    return nets.save(path, nodes, {"kernel": nets.weights()["kernel"]}, {"out": ("batch", *sides)})


def tokens(path: Path) -> Path:
    nodes = [
        node("Conv", ["images", "kernel"], ["maps"], strides=[2, 2]),
        node("Reshape", ["maps", "sides"], ["flat"]),
        node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
    ]
    arrays = {"kernel": nets.weights()["kernel"], "sides": np.array([0, nets.WIDTH, -1])}
    return nets.save(path, nodes, arrays, {"tokens": ("batch", 25, nets.WIDTH)})


def nhwc(path: Path, dtype: Any = np.float32) -> Path:
    start = [
        node("Cast", ["images"], ["floats"], to=1),
        node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]),
    ]
    shape = ("batch", nets.SIDE, nets.SIDE, 3)
    outputs = {"scores": ("batch", nets.CLASSES)}
    return nets.save(
        path, [*start, *nets.trunk("turned"), nets.head()], nets.weights(), outputs, shape, dtype
    )


def gray(path: Path) -> Path:
    shape = ("batch", 1, nets.SIDE, nets.SIDE)
    outputs = {"pooled": ("batch", nets.WIDTH)}
    return nets.save(path, nets.trunk(), nets.weights(channels=1), outputs, shape)


def half(path: Path) -> Path:
    arrays = {"kernel": nets.weights()["kernel"].astype(np.float16)}
    return nets.save(path, nets.trunk(), arrays, {"pooled": ("batch", nets.WIDTH)}, dtype=np.float16)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (nets.classifier, {}),
        (nets.classifier, {"colors": "bgr", "mean": (0.1, 0.2, 0.3), "deviation": (0.3, 0.2, 0.1)}),
        (nhwc, {}),
        (lambda path: nhwc(path, np.uint8), {"colors": "bgr"}),
        (gray, {"channels": 1}),
        (half, {}),
        (tokens, {"tensor": "tokens"}),
        (lambda path: maps(path, last=False), {"tensor": "out"}),
        (lambda path: maps(path, last=True), {"tensor": "out"}),
    ],
    ids=["usual", "bgr", "nhwc", "bytes", "gray", "half", "tokens", "maps", "maps-last"],
)
def test_embeddings_are_the_same(make: Any, options: dict[str, Any], tmp_path: Path) -> None:
    assert nets.onnxruntime.get_available_providers()
    found, expected = both(make(tmp_path / "net.onnx"), **options)
    assert np.ptp(expected, axis=0).min() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3 if make is half else 1e-5)


def test_weights_in_a_file_beside_are_taken_in(tmp_path: Path) -> None:
    path = nets.classifier(tmp_path / "net.onnx")
    whole, _ = both(path)
    kernel = nets.weights()["kernel"]
    nets.with_weights_in(path, "net.data")
    (tmp_path / "net.data").write_bytes(kernel.tobytes())
    found, _ = both(path)
    np.testing.assert_array_equal(found, whole)


def test_another_version_of_the_operators_stays(tmp_path: Path) -> None:
    """From opset 18 on, ReduceMean has other arguments: none of ours depend on the version."""
    for opset in (11, 13, 21):
        path = nets.classifier(tmp_path / f"{opset}.onnx")
        model = onnx.load(str(path))
        model.opset_import[0].version = opset
        onnx.save(model, str(path))
        found, expected = both(path)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_weights_may_be_inputs_as_in_old_files(tmp_path: Path) -> None:
    path = nets.classifier(tmp_path / "net.onnx")
    model = onnx.load(str(path))
    for weight in model.graph.initializer:
        shape = list(weight.dims)
        model.graph.input.append(nets.helper.make_tensor_value_info(weight.name, weight.data_type, shape))
    onnx.save(model, str(path))
    found, expected = both(path)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_network_of_one_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes one image at a time, so a model over it cannot be exported"):
        both(nets.classifier(tmp_path / "net.onnx", batch=1))
