"""Write the weights that an ONNX file has in files beside it into the file itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xpnet.errors import ModelFileError
from xpnet.features.onnx_file import MAX_FILE_BYTES, parse_onnx
from xpnet.features.protobuf import FieldReader, field_head, message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xpnet.features.onnx_file import OnnxFile

INNER = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 10: "tensor", 6: "graph", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""For each kind of message of ONNX the fields that lead to tensors, and the kinds of their messages."""

RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14
"""Fields of a tensor: its bytes; where else they are; that they are there."""


def with_own_weights(file: OnnxFile) -> OnnxFile:
    """Return an ONNX file in memory that needs no file beside it.

    Raises:
        ModelFileError: a file with weights cannot be read, or is too short; or the whole would be too large.
    """
    if not file.graph.external:
        return file
    size, _ = file.size_and_hash()
    if size > MAX_FILE_BYTES:
        msg = f"{file.path}: has {size} bytes with its weights, and one file has at most {MAX_FILE_BYTES}"
        raise ModelFileError(msg)
    try:
        beside = {name: memoryview(Path(file.folder, name).read_bytes()) for name in file.graph.external}
    except OSError as error:
        msg = f"{file.path}: its weights cannot be read: {error.strerror or error}"
        raise ModelFileError(msg) from error
    parts = _Writer(file.path, beside).parts("model", memoryview(file.content))
    return parse_onnx(file.path, b"".join(parts))


class _Writer(FieldReader):
    """Writes the messages of one file, with its weights.

    Args:
        path: the file, for messages.
        beside: the bytes of the files beside it, by their names.
    """

    def __init__(self, path: str, beside: Mapping[str, memoryview]) -> None:
        super().__init__()
        self._path, self._beside = path, beside

    def parts(self, kind: str, content: memoryview) -> list[bytes | memoryview]:
        """Return the bytes of a message, in parts."""
        if kind == "tensor":
            return self._tensor(content)
        found: list[bytes | memoryview] = []
        for number, value, raw in self.raw_fields(content):
            inner = INNER[kind].get(number)
            if inner is None:
                found.append(raw)
            else:
                parts = self.parts(inner, message(value))
                found += [field_head(number, sum(map(len, parts))), *parts]
        return found

    def _tensor(self, content: memoryview) -> list[bytes | memoryview]:
        kept: list[bytes | memoryview] = []
        place: dict[str, str] = {}
        for number, value, raw in self.raw_fields(content):
            if number == EXTERNAL_DATA:
                place.update([self.entry(value)])
            elif number != DATA_LOCATION:
                kept.append(raw)
        if "location" not in place:
            return [content]
        data = self._data(place)
        return [*kept, field_head(RAW_DATA, len(data)), data]

    def _data(self, place: Mapping[str, str]) -> memoryview:
        """Return the bytes of a tensor in a file beside; without an offset or a length all of them."""
        name, offset, length = (place.get(key, "") for key in ("location", "offset", "length"))
        data = self._beside[name]
        try:
            start = int(offset or 0)
            end = start + int(length) if length else len(data)
        except ValueError:
            start, end = -1, 0
        if not 0 <= start <= end <= len(data):
            msg = (
                f"{self._path}: expects {length or 'all'} bytes from {offset or 0} on in {name}, which has "
                f"{len(data)}: it is another file, or damaged"
            )
            raise ModelFileError(msg)
        return data[start:end]
