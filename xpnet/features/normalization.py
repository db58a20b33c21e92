"""What a network expects of the numbers in an image: mean, deviation and order of the colors.

ONNX files hardly ever say it. So it is looked for in the file's metadata, then in the files that model hubs
put beside it: `config.json` of timm, `preprocessor_config.json` of Hugging Face. Else ImageNet's is assumed,
unless another usual one suits labelled images better.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.features.onnx_file import OnnxFile

IMAGENET = {3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 1: ((0.449,), (0.226,))}
"""Mean and deviation of the images of ImageNet, where white is 1: of red, green and blue, and of gray."""

BESIDE = ("preprocessor_config.json", "config.json")
"""Files beside a network that may say it, in the order in which they are asked."""

MAX_BESIDE_BYTES = 1 << 20
"""The largest such file that is read."""

COLORS = ("rgb", "bgr")
"""The orders of the colors."""

RANGES = {
    "NominalRange_0_255": (0.0, 1 / 255),
    "Normalized_0_1": (0.0, 1.0),
    "Normalized_1_1": (0.5, 0.5),
}
"""Mean and deviation for the ranges of pixels that ONNX names in metadata."""

USUAL_RANGES = {"[-1, 1]": "Normalized_1_1", "[0, 1]": "Normalized_0_1", "[0, 255]": "NominalRange_0_255"}
"""What messages call these ranges. A network that does not expect ImageNet's usually takes one of them."""


@dataclass(frozen=True)
class Normalization:
    """How a byte of an image becomes a number for a network: (byte / 255 - mean) / deviation.

    Attributes:
        mean: of red, green and blue, also if the network takes them in another order; or of gray. Empty if
            the network takes the bytes.
        deviation: of them.
        colors: one of `COLORS`: the network's order of the channels.
        source: where this was found, for messages.
        size: (height, width) of the images that the same source names; None if it names none.
        is_assumed: whether nothing says mean and deviation.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    colors: str = "rgb"
    source: str = field(default="", compare=False)
    size: tuple[int, int] | None = field(default=None, compare=False)
    is_assumed: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if self.colors not in COLORS:
            msg = f"the order of colors is {self.colors!r}, expected one of {', '.join(COLORS)}"
            raise UsageError(msg)
        told = f"mean is {_list(self.mean)} and deviation {_list(self.deviation)}"
        if len(self.mean) not in (0, 1, 3) or len(self.mean) != len(self.deviation):
            msg = f"{told}, expected one number for each channel"
            raise UsageError(msg)
        # Comparisons are False for NaN.
        if not all(abs(v) <= 1e6 for v in self.mean) or not all(1e-6 <= v <= 1e6 for v in self.deviation):
            msg = f"{told}, expected finite numbers, and deviations above 0"
            raise UsageError(msg)


def find_normalization(
    file: OnnxFile,
    channels: int,
    mean: Sequence[float] | None = None,
    deviation: Sequence[float] | None = None,
    colors: str | None = None,
) -> Normalization:
    """Return what a network expects: as the user says, or as the file or one beside it says, or ImageNet's.

    Args:
        file: the network.
        channels: number of channels that it takes.
        mean: the user's choice; None to look for it. One number is for all channels.
        deviation: the user's choice.
        colors: the user's choice.

    Raises:
        UsageError: a value is not possible.
        DataError: a file beside the network is damaged.
    """
    found = None if mean is not None and deviation is not None and colors else _found(file)
    if found is None:
        source = "ImageNet's, because no file says another one"
        found = Normalization(*IMAGENET[channels], source=source, is_assumed=True)
    if mean is None and deviation is None:
        return _for_channels(replace(found, colors=colors or found.colors), channels)
    chosen = Normalization(
        tuple(map(float, found.mean if mean is None else mean)) * _times(mean, channels),
        tuple(map(float, found.deviation if deviation is None else deviation)) * _times(deviation, channels),
        colors or found.colors,
        "as the options say",
        found.size,
    )
    return _for_channels(chosen, channels)


def usual_normalizations(channels: int, colors: str = "rgb") -> dict[str, Normalization]:
    """Return the normalizations that networks usually expect, by their names, ImageNet's first."""
    found = {"ImageNet's": IMAGENET[channels]}
    for name, named in USUAL_RANGES.items():
        mean, deviation = RANGES[named]
        found[name] = (mean,) * channels, (deviation,) * channels
    return {name: Normalization(*numbers, colors) for name, numbers in found.items()}


def _list(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _times(values: Sequence[float] | None, channels: int) -> int:
    """Return how often values are repeated to have one for each channel."""
    return channels if values is not None and len(values) == 1 else 1


def _for_channels(found: Normalization, channels: int) -> Normalization:
    """Return a normalization for this number of channels; raise `UsageError` if it has another one."""
    if len(found.mean) == channels:
        return found
    if len(found.mean) == 1:
        return replace(found, mean=found.mean * channels, deviation=found.deviation * channels)
    msg = (
        f"the network takes images of {channels} channel{'s' * (channels > 1)}, and the mean of "
        f"{len(found.mean)} ({found.source}): give --features-mean and --features-std"
    )
    raise UsageError(msg)


def _found(file: OnnxFile) -> Normalization | None:
    """Return what the metadata of a network or a file beside it says; None if none says anything."""
    try:
        if (found := _of_metadata(file.graph.metadata)) is not None:
            return found
    except (ValueError, TypeError) as error:
        msg = f"{file.path}: its metadata has an unusual mean or deviation: {error}"
        raise DataError(msg) from error
    for name in BESIDE:
        path = Path(file.folder, name)
        try:
            if not path.is_file():
                continue
            if (found := _of_description(_json(path), name)) is not None:
                return found
        except (OSError, ValueError, TypeError, RecursionError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            msg = (
                f"{path}: cannot be used: {reason}. It stands beside a network, so it may say how images are "
                "normalized: repair it, or give --features-mean, --features-std and --features-colors"
            )
            raise DataError(msg) from error
    return None


def _json(path: Path) -> Any:
    """Return what a file of JSON holds; raise `ValueError` if it is damaged or large."""
    if path.stat().st_size > MAX_BESIDE_BYTES:
        msg = f"it has more than {MAX_BESIDE_BYTES} bytes"
        raise ValueError(msg)
    return json.loads(path.read_text(encoding="utf-8"))


def _of_metadata(metadata: Mapping[str, str]) -> Normalization | None:
    """Return what the metadata of a network says; None if it says nothing."""
    colors = "bgr" if metadata.get("Image.BitmapPixelFormat", "").lower().startswith("bgr") else "rgb"
    if (named := RANGES.get(metadata.get("Image.NominalPixelRange", ""))) is not None:
        return Normalization((named[0],), (named[1],), colors, "as the network's metadata says")
    for mean, deviation in (("mean", "std"), ("image_mean", "image_std")):
        if mean in metadata and deviation in metadata:
            return Normalization(
                _numbers(json.loads(f"[{metadata[mean].strip(' []()')}]")),
                _numbers(json.loads(f"[{metadata[deviation].strip(' []()')}]")),
                colors,
                "as the network's metadata says",
            )
    return None


def _of_description(data: Any, name: str) -> Normalization | None:
    """Return what a file beside a network says; None if it says nothing."""
    if not isinstance(data, dict):
        return None
    source = f"as {name} beside it says"
    timm = data.get("pretrained_cfg", data)
    if isinstance(timm, dict) and "mean" in timm and "std" in timm:
        sides = timm.get("input_size")  # channels, height, width
        size = _size(sides[1:]) if isinstance(sides, list) else None
        return Normalization(_numbers(timm["mean"]), _numbers(timm["std"]), "rgb", source, size)
    if "image_mean" not in data and "do_normalize" not in data and "do_rescale" not in data:
        return None
    mean, deviation = _numbers(data.get("image_mean", 0.0)), _numbers(data.get("image_std", 1.0))
    if not data.get("do_normalize", True):
        mean, deviation = (0.0,), (1.0,)
    if not data.get("do_rescale", True):  # mean and deviation are of bytes
        mean, deviation = tuple(v / 255 for v in mean), tuple(v / 255 for v in deviation)
    elif "rescale_factor" in data:
        (factor,) = _numbers(data["rescale_factor"])
        mean, deviation = (
            tuple(v / (factor * 255) for v in mean),
            tuple(v / (factor * 255) for v in deviation),
        )
    colors = "bgr" if data.get("do_flip_channel_order", False) else "rgb"
    return Normalization(
        mean, deviation, colors, source, _size(data.get("crop_size")) or _size(data.get("size"))
    )


def _size(value: Any) -> tuple[int, int] | None:
    """Return (height, width) of a size as model hubs write it, or None."""
    if isinstance(value, dict):
        value = (
            value.get("height", value.get("shortest_edge")),
            value.get("width", value.get("shortest_edge")),
        )
    sides = (
        (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, list | tuple) else ()
    )
    is_size = len(sides) == 2 and all(type(side) is int and side > 0 for side in sides)
    return (sides[0], sides[1]) if is_size else None


def _numbers(value: Any) -> tuple[float, ...]:
    """Return numbers as a tuple of floats; raise `ValueError` if they are something else."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in values):
        msg = f"{value!r} where numbers were expected"
        raise ValueError(msg)
    return tuple(map(float, values))
