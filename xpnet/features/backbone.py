"""A backbone: a network in an ONNX file, run by onnxruntime, that turns an image into an embedding.

On a CPU each image is run alone, by one thread: so its digits depend neither on the images beside it nor on
the number of threads, and networks work that take one image at a time. Several images are run at once, by
several threads. On a GPU all batches have the same size.
"""

from __future__ import annotations

import copy
import functools
import math
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import (
    ConfigurationError,
    DataError,
    DeviceError,
    DtypeError,
    ModelFileError,
    ShapeError,
    UsageError,
)
from xpnet.features.normalization import Normalization, find_normalization
from xpnet.features.onnx_file import DTYPES, find_embedding, require_tensor, unclear_output
from xpnet.features.onnx_runtime import error_line, load_onnxruntime
from xpnet.processors import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from xpnet.backend import Backend
    from xpnet.features.onnx_file import OnnxFile

DEFAULT_SIDE = 224
"""Height and width of images for a network that takes any, if no file says another size."""

MAX_SIDE = 4096
"""The largest height or width of the images that a network may take."""

MAX_COUNT = 1 << 16
"""The most numbers in an embedding."""

CLASS_COUNTS = frozenset((1000, 1001, 11221, 11821, 21841, 21842, 21843))
"""Numbers of classes in well-known data. An output of so many numbers is hardly an embedding."""

GPU_BATCH = 32
"""How many images a GPU takes at a time. A last batch of fewer is filled with zeros."""

PROGRESS_IMAGES = 64
"""After so many images progress is reported."""


@dataclass(frozen=True)
class BackboneInput:
    """What a network takes.

    Attributes:
        name: the name of its input.
        dtype: "float32", "float16", "float64" or "uint8".
        is_nchw: whether the channels stand before height and width; else after them.
        channels: 3 or 1.
        height: height of the images, or None if the network takes any.
        width: width of the images, or None.
        is_single: whether it takes one image at a time only.
    """

    name: str
    dtype: str
    is_nchw: bool
    channels: int
    height: int | None
    width: int | None
    is_single: bool

    @classmethod
    def of(cls, file: OnnxFile) -> BackboneInput:
        """Return what a network takes.

        Raises:
            UsageError: that is something else than images.
        """
        inputs = file.graph.inputs
        if len(inputs) != 1:
            names = ", ".join(tensor.name for tensor in inputs) or "none"
            msg = f"{file.path}: takes {len(inputs)} inputs ({names}), expected one: images"
            raise UsageError(msg)
        (tensor,) = inputs
        shape = tensor.shape or ()
        told = f"{tensor.name} {_shape_text(shape)}"
        if tensor.dtype not in DTYPES:
            known = ", ".join(DTYPES.values())
            msg = f"{file.path}: its input {told} has the type {tensor.dtype} of ONNX, expected {known}"
            raise UsageError(msg)
        if len(shape) != 4:
            msg = f"{file.path}: its input is {told}, expected four axes, as in (batch, 3, 224, 224)"
            raise UsageError(msg)
        batch, *sides = shape
        is_nchw = sides[0] in (1, 3)
        if not is_nchw and sides[2] not in (1, 3):
            msg = (
                f"{file.path}: its input is {told}, expected 3 channels, or 1, on the second or the last axis"
            )
            raise UsageError(msg)
        if isinstance(batch, int) and batch != 1:
            msg = (
                f"{file.path}: takes exactly {batch} images at a time: export it with a batch of any size, "
                "or of one image"
            )
            raise UsageError(msg)
        channels, height, width = sides if is_nchw else (sides[2], sides[0], sides[1])
        for side in (height, width):
            if isinstance(side, int) and side > MAX_SIDE:
                msg = f"{file.path}: its input is {told}, expected images of at most {MAX_SIDE} pixels a side"
                raise UsageError(msg)
        height, width = (side if isinstance(side, int) else None for side in (height, width))
        dtype = DTYPES[tensor.dtype]
        return cls(tensor.name, dtype, is_nchw, 1 if channels == 1 else 3, height, width, batch == 1)


@dataclass(frozen=True)
class Backbone:
    """A backbone as a model file describes it: which network, and how images are given to it.

    Attributes:
        name: the name of the ONNX file.
        size: its number of bytes, with those of its external weights.
        sha256: their hash.
        tensor: the name of the tensor with the embedding.
        count: how many numbers an embedding has.
        height: of the images.
        width: of the images.
        channels: of the images, 3 or 1.
        mean: of red, green and blue, or of gray; empty if the network takes bytes.
        deviation: of them.
        colors: "rgb" or "bgr": the network's order of the channels.

    Raises:
        ConfigurationError: a value is not possible.
    """

    name: str
    size: int
    sha256: str
    tensor: str
    count: int
    height: int
    width: int
    channels: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    colors: str

    def __post_init__(self) -> None:
        texts = self.name, self.sha256, self.tensor, self.colors
        if not all(isinstance(text, str) and text for text in texts) or re.search(r"[/\\\0]", self.name):
            msg = f"backbone: name, hash, tensor and colors are {texts}, expected texts, no folder"
            raise ConfigurationError(msg)
        for name, most in {
            "size": 1 << 50, "count": MAX_COUNT, "height": MAX_SIDE, "width": MAX_SIDE, "channels": 3,
        }.items():  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= most:
                msg = f"backbone: {name} is {value!r}, expected 1 to {most}"
                raise ConfigurationError(msg)
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if not all(type(value) in (int, float) for value in values) or len(values) not in (
                0,
                self.channels,
            ):
                msg = (
                    f"backbone: {name} is {values!r}, expected a number for each of {self.channels} channels"
                )
                raise ConfigurationError(msg)
        try:
            Normalization(self.mean, self.deviation, self.colors)
        except UsageError as error:
            msg = f"backbone: {error}"
            raise ConfigurationError(msg) from error

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the images, (height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def n_x(self) -> int:
        """Number of bytes of an image."""
        return math.prod(self.shape)

    def to_dict(self) -> dict[str, Any]:
        """Return the backbone as plain data."""
        return asdict(self) | {"mean": list(self.mean), "deviation": list(self.deviation)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Backbone:
        """Return the backbone that `to_dict` gave as plain data.

        Raises:
            ConfigurationError: it is no backbone that this version knows.
        """
        try:
            named = {**data, "mean": tuple(data["mean"]), "deviation": tuple(data["deviation"])}
            return cls(**named)
        except (TypeError, KeyError) as error:
            msg = f"backbone: not one that this version knows: {error}"
            raise ConfigurationError(msg) from error

    def require(self, file: OnnxFile) -> None:
        """Raise `ModelFileError` unless a file is this backbone."""
        size, sha256 = file.size_and_hash()
        if (size, sha256) != (self.size, self.sha256):
            msg = (
                f"{file.path}: is another network than the one the model learned with: it has {size} bytes "
                f"and the SHA-256 {sha256[:12]}..., expected {self.size} and {self.sha256[:12]}..."
            )
            raise ModelFileError(msg)

    def on(self, backend: Backend, file: OnnxFile) -> BackboneTransform:
        """Return the backbone on a device, ready for images. file: it.

        Raises:
            ModelFileError: the file is another network, or onnxruntime cannot use it.
            UsageError: onnxruntime is not installed.
            DeviceError: onnxruntime cannot use the device.
        """
        self.require(file)
        return BackboneTransform(self, file, backend)


def image_size(
    file: OnnxFile,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    colors: str | None = None,
) -> tuple[int, int, int]:
    """Return height, width and channels of the images that a network takes, or that suit it if it takes any.

    Args:
        file: the network.
        mean: as for `find_normalization`.
        deviation: as for `find_normalization`.
        colors: as for `find_normalization`.

    Raises:
        UsageError, DataError: as for `open_backbone`.
    """
    found = BackboneInput.of(file)
    if found.height is not None and found.width is not None:
        return found.height, found.width, found.channels
    beside = find_normalization(file, found.channels, mean, deviation, colors).size
    height, width = beside or (DEFAULT_SIDE, DEFAULT_SIDE)
    return found.height or height, found.width or width, found.channels


def open_backbone(
    file: OnnxFile,
    shape: tuple[int, int, int],
    backend: Backend,
    *,
    tensor: str | None = None,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    colors: str | None = None,
) -> BackboneTransform:
    """Return a backbone on a device, ready for images.

    Args:
        file: the network.
        shape: of the images, (height, width, channels).
        backend: the device.
        tensor: name of the tensor with the embedding; None to find it.
        mean: of red, green and blue; None to find it. It and the next two: see `find_normalization`.
        deviation: of them.
        colors: "rgb" or "bgr".

    Raises:
        UsageError: the network takes no images of this shape, or it is not clear where its embedding is; or
            onnxruntime is not installed.
        DataError: a file beside the network is damaged.
        ModelFileError: onnxruntime cannot use the network.
        DeviceError: onnxruntime cannot use the device.
    """
    given = BackboneInput.of(file)
    _require_images_of(file, given, shape)
    if tensor is None:
        tensor, is_output = find_embedding(file)
    else:
        require_tensor(file, tensor)
        is_output = False
    if given.dtype != "uint8":
        normalization = find_normalization(file, given.channels, mean, deviation, colors)
    elif mean is None and deviation is None:
        normalization = Normalization((), (), colors or "rgb")
    else:
        msg = f"{file.path}: takes bytes as they are: leave out --features-mean and --features-std"
        raise UsageError(msg)
    size, sha256 = file.size_and_hash()
    backbone = Backbone(
        file.name, size, sha256, tensor, 1, *shape,
        normalization.mean, normalization.deviation, normalization.colors,
    )  # fmt: skip
    transform = BackboneTransform(backbone, file, backend, is_measured=False)
    count = transform.backbone.count
    if is_output and count in CLASS_COUNTS:
        raise UsageError(unclear_output(file, count))
    return transform.normalized_as(normalization)


class BackboneTransform:
    """A backbone on a device.

    Args:
        backbone: the backbone.
        file: its file.
        backend: the device.
        is_measured: whether the backbone says how many numbers an embedding has. Else it is found out.

    Attributes:
        backbone: the backbone.
        normalization: what it expects of the numbers in an image, and who says so.
        mean_axes: the axes of its output over which the mean is taken, to have one embedding for an image.
    """

    def __init__(
        self, backbone: Backbone, file: OnnxFile, backend: Backend, *, is_measured: bool = True
    ) -> None:
        self._path, self._input = file.path, BackboneInput.of(file)
        _require_images_of(file, self._input, backbone.shape)
        self._tensor = backbone.tensor
        self._is_output = any(tensor.name == backbone.tensor for tensor in file.graph.outputs)
        self._is_gpu = backend.name == "gpu"
        self._batch = GPU_BATCH if self._is_gpu and not self._input.is_single else 1
        self.mean_axes: tuple[int, ...] = ()
        self._session = _session(file, backbone.tensor, backend)
        self.backbone = backbone
        self.normalization = Normalization(backbone.mean, backbone.deviation, backbone.colors)
        found = self._run(np.zeros((1, *backbone.shape), np.uint8)).shape[1]
        if not is_measured:
            self.backbone = replace(backbone, count=found)
        elif found != backbone.count:
            msg = f"{file.path}: gives {found} numbers for an image, and the model expects {backbone.count}"
            raise ModelFileError(msg)

    def normalized_as(self, normalization: Normalization) -> BackboneTransform:
        """Return the same network, which is given images in another normalization."""
        mean, deviation, colors = normalization.mean, normalization.deviation, normalization.colors
        found = copy.copy(self)
        found.normalization = normalization
        found.backbone = replace(self.backbone, mean=mean, deviation=deviation, colors=colors)
        return found

    def describe(self) -> str:
        """Return what is known of the backbone, in words."""
        known = self.backbone
        what = "its output" if self._is_output else f"its tensor {known.tensor}"
        order = "gray" if known.channels == 1 else known.colors.upper()
        numbers = "no mean and deviation, because it takes bytes"
        if known.mean:
            mean, deviation = _list(known.mean), _list(known.deviation)
            numbers = f"mean {mean} and deviation {deviation} ({self.normalization.source})"
        size = f"{known.width} x {known.height} pixels"
        return f"{known.count} numbers, {what}, of {size}, {order}, with {numbers}"

    def __call__(
        self, examples: np.ndarray, on_progress: Callable[[int, int], object] | None = None
    ) -> np.ndarray:
        """Return the embeddings of images, (m, count) float32, in host memory.

        Args:
            examples: (m, n_x) uint8: images of the backbone's shape, one image in each row.
            on_progress: called from time to time with the number of images that are done, and of all.

        Raises:
            ShapeError: the images have another number of bytes.
            DtypeError: they are not bytes.
            ModelFileError: onnxruntime fails.
        """
        backbone, size, m = self.backbone, self._batch, len(examples)
        if examples.ndim != 2 or examples.shape[1] != backbone.n_x:
            msg = f"backbone: images of shape {examples.shape}, expected (m, {backbone.n_x})"
            raise ShapeError(msg)
        if examples.dtype != np.uint8:
            msg = f"backbone: images are {examples.dtype}, expected uint8"
            raise DtypeError(msg)
        found = np.empty((m, backbone.count), np.float32)

        def work(start: int) -> None:
            rows = examples[start : start + size]
            found[start : start + size] = self._run(rows.reshape(-1, *backbone.shape))

        threads = 1 if self._is_gpu else min(cores(), m)
        if threads < 2:
            for start in range(0, m, size):
                work(start)
                if on_progress is not None:
                    on_progress(min(start + size, m), m)
            return found
        with ThreadPoolExecutor(threads, "xpnet-backbone") as pool:
            for start in range(0, m, PROGRESS_IMAGES):
                end = min(start + PROGRESS_IMAGES, m)
                list(pool.map(work, range(start, end)))
                if on_progress is not None:
                    on_progress(end, m)
        return found

    def _run(self, images: np.ndarray) -> np.ndarray:
        """Return the embeddings of at most a batch of images (k, height, width, channels)."""
        k, size = len(images), self._batch
        if k < size:
            images = np.concatenate([images, np.zeros((size - k, *images.shape[1:]), np.uint8)])
        given = self._normalized(images)
        try:
            (found,) = self._session.run([self._tensor], {self._input.name: given})
        except Exception as error:
            msg = f"{self._path}: onnxruntime fails: {error_line(error)}"
            raise ModelFileError(msg) from error
        return self._rows(found)[:k]

    def _normalized(self, images: np.ndarray) -> np.ndarray:
        """Return images as the network takes them."""
        count, height, width, channels = images.shape
        is_nchw, table = self._input.is_nchw, None
        if self._input.dtype != "uint8":
            table = byte_table(self.backbone.mean, self.backbone.deviation, self._input.dtype)
        shape = (count, channels, height, width) if is_nchw else images.shape
        given = np.empty(shape, self._input.dtype)
        for i in range(channels):
            values = images[..., i]
            k = channels - 1 - i if self.backbone.colors == "bgr" else i
            place = given[:, k] if is_nchw else given[..., k]
            if table is None:
                place[...] = values
            else:  # no index is clipped: without the check of each it takes a quarter of the time
                np.take(table[i], values, out=place, mode="clip")
        return given

    def _rows(self, found: Any) -> np.ndarray:
        """Return an embedding as rows (k, count): the mean over the places of an image, if there are several.

        Raises:
            UsageError: it is no embedding.
        """
        size = self._batch
        is_numbers = isinstance(found, np.ndarray) and found.dtype.kind in "fiu" and found.ndim >= 1
        if not is_numbers or len(found) != size or not found.size:
            told = _shape_text(found.shape) if isinstance(found, np.ndarray) else type(found).__name__
            msg = (
                f"{self._path}: {self._tensor} is {told} for {size} image{'s' * (size > 1)}, expected "
                "rows of numbers, one for each image: name another tensor by --features-output"
            )
            raise UsageError(msg)
        self.mean_axes = self._axes_of_places(found.shape)
        rows = np.asarray(found.astype(np.float32).mean(axis=self.mean_axes).reshape(size, -1))
        if rows.shape[1] > MAX_COUNT:
            msg = (
                f"{self._path}: {self._tensor} is {_shape_text(found.shape)}, expected at most {MAX_COUNT} "
                "numbers for an image: name another tensor by --features-output"
            )
            raise UsageError(msg)
        return rows

    def _axes_of_places(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes of an embedding over which the mean is taken."""
        if len(shape) == 3:  # places, features
            return (1,)
        if len(shape) != 4:
            return ()
        a, b, c = shape[1:]  # a map: its two equal sides are the places
        is_last = a == b if (a == b) != (b == c) else not self._input.is_nchw
        return (1, 2) if is_last else (2, 3)


def require_finite(embeddings: np.ndarray, path: str) -> None:
    """Raise `DataError` if an embedding holds a NaN or an infinity. path: of the backbone, for messages."""
    is_finite = np.isfinite(embeddings).all(axis=1)
    if not is_finite.all():
        count = len(embeddings) - int(is_finite.sum())
        msg = (
            f"{path}: gives NaN or infinity for {count} of {len(embeddings)} images, the first is number "
            f"{int(np.argmin(is_finite)) + 1}: use the network in float32"
        )
        raise DataError(msg)


@functools.lru_cache(maxsize=8)
def byte_table(mean: tuple[float, ...], deviation: tuple[float, ...], dtype: str) -> np.ndarray:
    """Return what each of the 256 bytes becomes in each channel, (channels, 256)."""
    subtracted, divided = (np.asarray(values)[:, None] for values in (mean, deviation))
    return np.asarray((np.arange(256) / 255 - subtracted) / divided, dtype)


def _require_images_of(file: OnnxFile, given: BackboneInput, shape: tuple[int, int, int]) -> None:
    """Raise `UsageError` unless a network takes images of a shape."""
    height, width, channels = shape
    if given.channels != channels:
        words = {3: "color (--color-mode rgb)", 1: "gray (--color-mode grayscale)"}
        msg = f"{file.path}: takes images in {words[given.channels]}, and these have {channels} channels"
        raise UsageError(msg)
    if given.height not in (None, height) or given.width not in (None, width):
        takes = f"{given.width or width}x{given.height or height}"
        msg = (
            f"{file.path}: takes images of {takes} pixels, and these are {width}x{height}: "
            f"give --image-size {takes}"
        )
        raise UsageError(msg)


def _session(file: OnnxFile, tensor: str, backend: Backend) -> Any:
    """Return a session of onnxruntime that computes a tensor of a network on a device."""
    runtime = load_onnxruntime("a backbone is run by")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    if file.graph.external:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", file.folder)
    wanted: list[Any] = ["CPUExecutionProvider"]
    if backend.name == "gpu":
        ordinal = int(backend.device.rpartition(":")[2])
        # Not the algorithms that are fastest in a trial: then the digits could differ from run to run.
        chosen = {"device_id": ordinal, "use_tf32": 0, "cudnn_conv_algo_search": "HEURISTIC"}
        wanted.insert(0, ("CUDAExecutionProvider", chosen))
        if "CUDAExecutionProvider" not in runtime.get_available_providers():
            raise _no_cuda(backend, "the installed onnxruntime is for CPUs alone")
    try:
        # Its own fallback would print to standard output, and take the CPU.
        session = runtime.InferenceSession(
            file.with_output(tensor), options, providers=wanted, enable_fallback=0
        )
    except Exception as error:
        msg = f"{file.path}: onnxruntime {runtime.__version__} cannot use it: {error_line(error)}"
        raise ModelFileError(msg) from error
    if backend.name == "gpu" and session.get_providers()[:1] != ["CUDAExecutionProvider"]:
        raise _no_cuda(backend, "onnxruntime could not start CUDA, and took the CPU")
    return session


def _no_cuda(backend: Backend, reason: str) -> DeviceError:
    return DeviceError(
        f"a backbone cannot be run on {backend.device}: {reason}",
        problem="onnxruntime",
        remedy="install 'xpnet[onnx-cuda]' in place of 'xpnet[onnx]', with the libraries of CUDA and cuDNN "
        "that it needs; or give --device cpu",
    )


def _list(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _shape_text(shape: Sequence[Any]) -> str:
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"
