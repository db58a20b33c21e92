"""Backbones: embeddings against NumPy, what images networks take, and errors that say what to do."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx_networks as nets
import pytest

from xpnet.backend import select
from xpnet.errors import (
    ConfigurationError,
    DataError,
    DeviceError,
    DtypeError,
    ModelFileError,
    ShapeError,
    UsageError,
)
from xpnet.features import (
    Backbone,
    BackboneTransform,
    image_size,
    onnx_runtime,
    open_backbone,
    read_onnx,
    require_finite,
)
from xpnet.features import backbone as module

SHAPE = (nets.SIDE, nets.SIDE, 3)


def node(*args: Any, **options: Any) -> Any:
    return nets.helper.make_node(*args, **options)


def opened(path: Path, shape: tuple[int, int, int] = SHAPE, **options: Any) -> BackboneTransform:
    return open_backbone(read_onnx(path), shape, select("cpu"), **options)


def rows(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return nets.classifier(tmp_path / "net.onnx")


@pytest.mark.parametrize("batch", ["batch", 1, None])
def test_the_embedding_of_a_classifier_is_what_its_last_layer_takes(tmp_path: Path, batch: Any) -> None:
    images = nets.some_images()
    transform = opened(nets.classifier(tmp_path / "net.onnx", batch))
    found = transform(rows(images))
    assert found.dtype == np.float32
    assert found.shape == (5, nets.WIDTH)
    expected = nets.pooled(nets.imagenet(images), nets.weights()["kernel"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert transform.backbone.count == nets.WIDTH
    assert transform(rows(images)[:0]).shape == (0, nets.WIDTH)


def test_the_digits_depend_neither_on_other_images_nor_on_threads(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = rows(nets.some_images(150))
    transform, progress = opened(classifier), []
    found = {transform(images, lambda done, total: progress.append((done, total))).tobytes()}
    assert progress[-1] == (150, 150)
    found.add(b"".join(transform(images[i : i + 1]).tobytes() for i in range(150)))
    for threads in (1, 5):
        monkeypatch.setattr(module, "cores", lambda threads=threads: threads)
        found.add(transform(images).tobytes())
    assert len(found) == 1


def test_channels_may_stand_last(tmp_path: Path) -> None:
    nodes = [node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2]), *nets.trunk("turned"), nets.head()]
    shape = (None, nets.SIDE, nets.SIDE, 3)
    path = nets.save(tmp_path / "net.onnx", nodes, nets.weights(), {"scores": (None, nets.CLASSES)}, shape)
    images = nets.some_images()
    expected = nets.pooled(nets.imagenet(images), nets.weights()["kernel"])
    np.testing.assert_allclose(opened(path)(rows(images)), expected, rtol=1e-4, atol=1e-5)


def test_a_class_token_is_an_embedding(tmp_path: Path) -> None:
    """As in a vision transformer: places become tokens, one is gathered, and a product and a sum classify."""
    places = ((nets.SIDE - 3) // 2 + 1) ** 2
    nodes = [
        node("Conv", ["images", "kernel"], ["maps"], strides=[2, 2]),
        node("Reshape", ["maps", "sides"], ["flat"]),
        node("Transpose", ["flat"], ["tokens"], perm=[0, 2, 1]),
        node("Gather", ["tokens", "first"], ["token"], axis=1),
        node("MatMul", ["token", "M"], ["product"]),
        node("Add", ["b", "product"], ["scores"]),
    ]
    own = nets.weights()
    arrays = {
        **own, "M": own["W"].T.copy(), "sides": np.array([0, nets.WIDTH, places]), "first": np.array(0),
    }  # fmt: skip
    path = nets.save(tmp_path / "net.onnx", nodes, arrays, {"scores": ("batch", nets.CLASSES)})
    images = nets.some_images()
    expected = np.einsum("kcij,wcij->kw", nets.imagenet(images)[:, :, :3, :3], own["kernel"])
    np.testing.assert_allclose(opened(path)(rows(images)), expected, rtol=1e-4, atol=1e-4)
    tokens = opened(path, tensor="tokens")  # several places: their mean
    assert tokens.backbone.count == nets.WIDTH
    maps = opened(path, tensor="maps")
    np.testing.assert_allclose(tokens(rows(images)), maps(rows(images)), rtol=1e-4, atol=1e-4)


def test_an_output_that_is_an_embedding_is_taken(tmp_path: Path) -> None:
    path = nets.save(tmp_path / "net.onnx", nets.trunk(), nets.weights(), {"pooled": ("batch", nets.WIDTH)})
    transform = opened(path)
    assert transform.describe() == (
        "6 numbers, its output, of 12 x 12 pixels, RGB, with mean 0.485, 0.456, 0.406 and deviation 0.229, "
        "0.224, 0.225 (ImageNet's, because no file says another one)"
    )
    assert transform.backbone.tensor == "pooled"
    same = opened(nets.classifier(tmp_path / "other.onnx"))
    images = rows(nets.some_images())
    assert transform(images).tobytes() == same(images).tobytes()


def test_an_output_like_class_scores_must_be_named(tmp_path: Path) -> None:
    """As in SqueezeNet, where a convolution classifies each place, and the mean is taken afterwards."""
    kernel = np.random.default_rng(0).normal(size=(1000, 3, 3, 3)).astype(np.float32)
    path = nets.save(tmp_path / "net.onnx", nets.trunk(), {"kernel": kernel}, {"pooled": ("batch", 1000)})
    with pytest.raises(
        UsageError, match=r"its 1000 outputs look like class scores.*--features-output .*mean"
    ):
        opened(path)
    assert opened(path, tensor="pooled").backbone.count == 1000
    with pytest.raises(UsageError, match=r"computes nothing named 'no'.*--features-output pooled or mean"):
        opened(path, tensor="no")


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_taken(tmp_path: Path, dtype: str) -> None:
    nodes, arrays, outputs = nets.trunk(), nets.weights(), {"pooled": ("batch", nets.WIDTH)}
    if dtype == "float16":
        arrays = {name: array.astype(dtype) for name, array in arrays.items()}
    else:
        nodes = [node("Cast", ["images"], ["single"], to=1), *nets.trunk("single")]
    path = nets.save(tmp_path / "net.onnx", nodes, arrays, outputs, dtype=dtype)
    images = nets.some_images()
    transform = opened(path)
    expected = nets.pooled(nets.imagenet(images), nets.weights()["kernel"])
    np.testing.assert_allclose(transform(rows(images)), expected, rtol=2e-2, atol=2e-2)


def test_bytes_are_given_as_they_are(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["images"], ["floats"], to=1),
        node("Transpose", ["floats"], ["turned"], perm=[0, 3, 1, 2]),
        *nets.trunk("turned"),
    ]
    shape = ("batch", nets.SIDE, nets.SIDE, 3)
    outputs = {"pooled": ("batch", nets.WIDTH)}
    path = nets.save(tmp_path / "net.onnx", nodes, nets.weights(), outputs, shape, np.uint8)
    images = nets.some_images()
    expected = nets.pooled(images.transpose(0, 3, 1, 2), nets.weights()["kernel"])
    np.testing.assert_allclose(opened(path)(rows(images)), expected, rtol=1e-4)
    turned = opened(path, colors="bgr")(rows(images[..., ::-1]))
    assert turned.tobytes() == opened(path)(rows(images)).tobytes()
    with pytest.raises(UsageError, match="takes bytes as they are: leave out --features-mean"):
        opened(path, mean=[0.5], deviation=[0.5])


def test_gray_images(tmp_path: Path) -> None:
    own = nets.weights(channels=1)
    shape = ("batch", 1, nets.SIDE, nets.SIDE)
    path = nets.save(tmp_path / "net.onnx", nets.trunk(), own, {"pooled": ("batch", nets.WIDTH)}, shape)
    images = nets.some_images(channels=1)
    found = opened(path, (nets.SIDE, nets.SIDE, 1))(rows(images))
    given = ((images / 255 - 0.449) / 0.226).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, nets.pooled(given, own["kernel"]), rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=r"takes images in gray \(--color-mode grayscale\)"):
        opened(path)


def normalized(path: Path, **options: Any) -> tuple[Any, ...]:
    found = opened(path, **options).backbone
    return found.mean, found.deviation, found.colors


TIMM = {"pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1], "input_size": [3, 12, 12]}}


def test_mean_and_deviation_by_options(classifier: Path) -> None:
    given = {"mean": [0.5], "deviation": [0.5, 0.25, 0.125], "colors": "bgr"}
    assert normalized(classifier, **given) == ((0.5,) * 3, (0.5, 0.25, 0.125), "bgr")
    images = nets.some_images()
    expected = ((images / 255 - 0.5) / [0.5, 0.25, 0.125])[..., ::-1].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(
        opened(classifier, **given)(rows(images)),
        nets.pooled(expected, nets.weights()["kernel"]),
        rtol=1e-4,
        atol=1e-5,
    )
    (classifier.parent / "config.json").write_text(json.dumps(TIMM))
    assert normalized(classifier, colors="bgr") == ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1), "bgr")
    for wrong in (
        {"mean": [0.5, 0.5]},
        {"deviation": [0.0]},
        {"mean": [np.nan]},
        {"mean": []},
        {"colors": "x"},
    ):
        with pytest.raises(UsageError, match=r"mean is .*, expected|the order of colors is 'x'"):
            opened(classifier, **wrong)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("config.json", TIMM, ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1), "rgb")),
        ("config.json", {"mean": [0.5, 0.5, 0.5], "std": [0.1, 0.2, 0.3]}, ((0.5,) * 3, (0.1, 0.2, 0.3), "rgb")),
        ("config.json", {"model_type": "vit"}, None),
        ("config.json", [1], None),
        (
            "preprocessor_config.json",
            {"image_mean": [0.5, 0.25, 0.75], "image_std": [0.5, 0.5, 0.5], "do_normalize": True, "size": 12},
            ((0.5, 0.25, 0.75), (0.5,) * 3, "rgb"),
        ),
        ("preprocessor_config.json", {"do_flip_channel_order": True, "do_normalize": False},
         ((0.0,) * 3, (1.0,) * 3, "bgr")),
        ("preprocessor_config.json", {"do_rescale": False, "image_mean": [51.0], "image_std": [102.0]},
         ((0.2,) * 3, (0.4,) * 3, "rgb")),
        ("preprocessor_config.json", {"rescale_factor": 1 / 127.5, "image_mean": 1, "image_std": 1},
         ((0.5,) * 3, (0.5,) * 3, "rgb")),
    ],
)  # fmt: skip
def test_mean_and_deviation_by_a_file_beside(
    classifier: Path, name: str, content: Any, expected: Any
) -> None:
    (classifier.parent / name).write_text(json.dumps(content))
    found = normalized(classifier)
    if expected is None:
        expected = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rgb"
    for values, known in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(values, known)
    assert found[2] == expected[2]


@pytest.mark.parametrize("content", ["{", '{"mean": "x", "std": 1}', "[" * 9999, '{"image_mean": [true]}'])
def test_a_damaged_file_beside_is_said(classifier: Path, content: str) -> None:
    (classifier.parent / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config.json: cannot be used: .* or give --features-mean"):
        opened(classifier)
    assert opened(classifier, mean=[0.5], deviation=[0.5], colors="rgb").backbone.mean == (0.5,) * 3


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"mean": "0.5, 0.4,0.3", "std": "[0.3, 0.2, 0.1]"}, ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1), "rgb")),
        (
            {"Image.NominalPixelRange": "Normalized_1_1", "Image.BitmapPixelFormat": "Bgr8"},
            ((0.5,) * 3, (0.5,) * 3, "bgr"),
        ),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, ((0.0,) * 3, (1 / 255,) * 3, "rgb")),
    ],
)
def test_mean_and_deviation_by_the_networks_metadata(tmp_path: Path, metadata: Any, expected: Any) -> None:
    path = nets.classifier(tmp_path / "net.onnx", metadata=metadata)
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    assert normalized(path) == expected


def test_the_size_of_images(tmp_path: Path, classifier: Path) -> None:
    assert image_size(read_onnx(classifier)) == SHAPE
    nodes, arrays, outputs = [*nets.trunk(), nets.head()], nets.weights(), {"scores": ("batch", 10)}
    path = nets.save(tmp_path / "any.onnx", nodes, arrays, outputs, ("batch", 3, "height", "width"))
    assert image_size(read_onnx(path)) == (224, 224, 3)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": 0, "image_std": 1, "size": {"height": 20, "width": 16}})
    )
    assert image_size(read_onnx(path)) == (20, 16, 3)
    assert opened(path, (9, 8, 3)).backbone.shape == (9, 8, 3)
    with pytest.raises(
        UsageError, match=r"takes images of 12x12 pixels, and these are 9x8: give --image-size 12x12"
    ):
        opened(classifier, (8, 9, 3))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((8, 3, 12, 12), "takes exactly 8 images at a time"),
        (("batch", 3, 12), r"its input is images \(batch, 3, 12\), expected four axes"),
        (("batch", 4, 12, 12), r"its input is images \(batch, 4, 12, 12\), expected 3 channels, or 1"),
        (("batch", "c", "h", "w"), "expected 3 channels, or 1"),
        (("batch", 3, 9999, 12), "expected images of at most 4096 pixels a side"),
    ],
)
def test_networks_that_take_something_else_are_refused(tmp_path: Path, shape: Any, reason: str) -> None:
    path = nets.save(tmp_path / "n.onnx", nets.trunk(), nets.weights(), {"pooled": (None, None)}, shape)
    with pytest.raises(UsageError, match=f"n.onnx: .*{reason}"):
        opened(path)


def test_other_types_and_several_inputs_are_refused(tmp_path: Path) -> None:
    nodes = [node("Cast", ["images"], ["floats"], to=1), *nets.trunk("floats")]
    model = nets.onnx.load(
        str(nets.save(tmp_path / "n.onnx", nodes, nets.weights(), {"pooled": (None, None)}))
    )
    model.graph.input[0].type.tensor_type.elem_type = 7
    nets.onnx.save(model, str(tmp_path / "n.onnx"))
    with pytest.raises(
        UsageError, match=r"has the type 7 of ONNX, expected float32, uint8, float16, float64"
    ):
        opened(tmp_path / "n.onnx")
    model.graph.input.append(nets.helper.make_tensor_value_info("mask", 1, (1,)))
    nets.onnx.save(model, str(tmp_path / "n.onnx"))
    with pytest.raises(UsageError, match=r"takes 2 inputs \(images, mask\), expected one: images"):
        opened(tmp_path / "n.onnx")


def test_networks_that_onnxruntime_cannot_use_are_refused(tmp_path: Path) -> None:
    nodes = [*nets.trunk(), node("Own", ["pooled"], ["scores"], domain="own")]
    path = nets.save(tmp_path / "n.onnx", nodes, nets.weights(), {"scores": (None, nets.WIDTH)})
    with pytest.raises(ModelFileError, match=r"n.onnx: onnxruntime [0-9.]+ cannot use it: "):
        opened(path)


def test_a_tensor_without_a_row_for_each_image_is_refused(tmp_path: Path) -> None:
    nodes = [*nets.trunk(), node("ReduceMean", ["pooled"], ["number"], keepdims=0)]
    path = nets.save(tmp_path / "n.onnx", nodes, nets.weights(), {"number": ()})
    with pytest.raises(UsageError, match=r"number is \(\) for 1 image, expected rows of numbers"):
        opened(path)


def test_a_backbone_is_known_again(classifier: Path, tmp_path: Path) -> None:
    images = rows(nets.some_images())
    first = opened(classifier)
    again = Backbone.from_dict(json.loads(json.dumps(first.backbone.to_dict())))
    assert again == first.backbone
    file = read_onnx(classifier)
    assert again.on(select("cpu"), file)(images).tobytes() == first(images).tobytes()
    other = read_onnx(nets.classifier(tmp_path / "other.onnx", seed=1))
    with pytest.raises(
        ModelFileError, match=r"other.onnx: is another network than the one the model learned"
    ):
        again.on(select("cpu"), other)
    with pytest.raises(ModelFileError, match="gives 6 numbers for an image, and the model expects 7"):
        replace(again, count=7).on(select("cpu"), file)
    with pytest.raises(ShapeError, match=r"images of shape \(5, 431\), expected \(m, 432\)"):
        first(images[:, 1:])
    with pytest.raises(DtypeError, match="images are float64, expected uint8"):
        first(images / 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "../net.onnx"}, {"name": ""}, {"size": 0}, {"sha256": 1}, {"count": 1 << 20}, {"height": 0},
        {"mean": [1.0]}, {"mean": ["1"] * 3}, {"deviation": [0.0] * 3}, {"mean": None}, {"colors": "x"}, {"more": 1},
    ],
)  # fmt: skip
def test_damaged_descriptions_are_refused(classifier: Path, changed: dict[str, Any]) -> None:
    described = opened(classifier).backbone.to_dict()
    with pytest.raises(ConfigurationError, match="backbone: "):
        Backbone.from_dict(described | changed)


def test_weights_may_be_in_a_file_beside_the_network(
    classifier: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = rows(nets.some_images())
    expected = opened(classifier)(images)
    nets.with_weights_in(classifier, "net.onnx.data")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(ModelFileError, match=r"net.onnx.data, with its weights, cannot be read"):
        opened(classifier)
    (classifier.parent / "net.onnx.data").write_bytes(nets.weights()["kernel"].tobytes())
    transform = opened(classifier)
    assert transform(images).tobytes() == expected.tobytes()
    (classifier.parent / "net.onnx.data").write_bytes(nets.weights(1)["kernel"].tobytes())
    with pytest.raises(ModelFileError, match="is another network"):
        transform.backbone.on(select("cpu"), read_onnx(classifier))


def test_numbers_that_are_not_finite_are_refused() -> None:
    embeddings = np.ones((4, 2), np.float32)
    require_finite(embeddings, "net.onnx")
    embeddings[2, 1] = np.nan
    with pytest.raises(
        DataError, match=r"net.onnx: gives NaN or infinity for 1 of 4 images, the first is number 3"
    ):
        require_finite(embeddings, "net.onnx")


def test_onnxruntime_may_be_missing(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(onnx_runtime, "importlib", SimpleNamespace(import_module=fail))
    with pytest.raises(UsageError, match=r"which is not installed: pip install 'xpnet\[onnx\]'"):
        opened(classifier)


GPU: Any = SimpleNamespace(name="gpu", device="gpu:1")


def test_a_cpu_in_place_of_cuda_is_refused(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, runtime = read_onnx(classifier), nets.onnxruntime
    with pytest.raises(
        DeviceError, match=r"cannot be run on gpu:1: the installed onnxruntime is for CPUs alone"
    ):
        open_backbone(file, SHAPE, GPU)

    class Session:
        def __init__(self, *_: Any, providers: list[Any], enable_fallback: int) -> None:
            assert not enable_fallback
            name, chosen = providers[0]
            assert (name, chosen["device_id"], chosen["use_tf32"]) == ("CUDAExecutionProvider", 1, 0)

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(runtime, "InferenceSession", Session)
    with pytest.raises(
        DeviceError, match="onnxruntime could not start CUDA, and took the CPU: install"
    ) as raised:
        open_backbone(file, SHAPE, GPU)
    assert raised.value.problem == "onnxruntime"


def test_batches_of_a_gpu_have_one_size(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, session, sizes = rows(nets.some_images(70)), module._session, []

    def on_cpu(file: Any, tensor: str, backend: Any) -> Any:
        found = session(file, tensor, select("cpu"))

        def run(names: list[str], given: dict[str, np.ndarray]) -> Any:
            sizes.append(len(given["images"]))
            return found.run(names, given)

        return SimpleNamespace(run=run)

    expected = opened(classifier)(images)
    monkeypatch.setattr(module, "_session", on_cpu)
    transform = open_backbone(read_onnx(classifier), SHAPE, GPU)
    found = transform(images)
    assert set(sizes) == {module.GPU_BATCH}
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
