"""Write an ONNX file, node by node. The numbers of fields and types are those of onnx.proto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from xpnet.errors import ModelFileError
from xpnet.features.onnx_file import MAX_FILE_BYTES
from xpnet.features.protobuf import (
    DamagedError,
    FieldReader,
    field_bytes,
    field_float,
    field_head,
    field_number,
    field_text,
    message,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xpnet.features.onnx_file import OnnxFile

OPSET, IR_VERSION = 17, 8
"""Version of the operators, and of the format that came with it. onnxruntime reads both from 1.12 on."""

TYPES = {"float32": 1, "uint8": 2, "int32": 6, "int64": 7, "float16": 10, "float64": 11}
"""The types of tensors, by their names in NumPy."""

MODEL_VERSION, MODEL_GRAPH, MODEL_OPSET, MODEL_FUNCTION = 1, 7, 8, 25
"""Fields of a model that are copied if another file is included, and the one with its graph."""

GRAPH_NODE, GRAPH_INPUT = 1, 11
"""Fields of a graph."""

GRAPH_KEPT = (5, 13, 14, 15)
"""More fields of a graph: weights, what is known of tensors, notes on quantization, sparse weights."""

FLOAT, INT, INTS = 1, 2, 7
"""The types of attributes."""

Attribute = int | float | tuple[int, ...]
"""The value of an attribute of a node."""


@dataclass(frozen=True)
class Interface:
    """An input or output of a graph.

    Attributes:
        name: its name.
        dtype: one of `TYPES`.
        shape: its sides: numbers, or names of sides that may vary.
        doc: what it is, in words.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    doc: str = ""

    def to_bytes(self) -> bytes:
        """Return the ValueInfoProto."""
        sides = [
            field_number(1, side) if isinstance(side, int) else field_text(2, side) for side in self.shape
        ]
        shape = b"".join(field_bytes(1, side) for side in sides)
        tensor = field_number(1, TYPES[self.dtype]) + field_bytes(2, shape)
        return field_text(1, self.name) + field_bytes(2, field_bytes(1, tensor)) + field_text(3, self.doc)


class OnnxWriter:
    """A graph that grows by one node after the other.

    Each node is named after its operator and its number, and so is what it gives.

    Args:
        prefix: how these names begin. If another file is included, it must have no such names.
    """

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._nodes: list[bytes | memoryview] = []
        self._weights: list[bytes | memoryview] = []
        self._head: list[bytes | memoryview] = []
        self._count = 0

    def weight(self, array: np.ndarray) -> str:
        """Add an array of one of `TYPES` that is the same for all inputs, and return its name."""
        name = f"{self._prefix}weight_{self._count}"
        self._count += 1
        data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
        dims = b"".join(field_number(1, side) for side in array.shape)
        head = dims + field_number(2, TYPES[array.dtype.name]) + field_text(8, name)
        head += field_head(9, len(data))
        self._weights += [field_head(5, len(head) + len(data)) + head, data]
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        """Add a node, and return the name of what it gives.

        Args:
            operator: the operator, as ONNX names it.
            inputs: the names of what it takes.
            output: the name of what it gives; "" to choose one.
            attributes: whole numbers, floats, and tuples of whole numbers.
        """
        name = output or f"{self._prefix}{operator}_{self._count}"
        self._count += 1
        parts = [field_text(1, each) for each in inputs] + [field_text(2, name), field_text(3, name)]
        parts += [field_text(4, operator)]
        parts += [field_bytes(5, _attribute(key, value)) for key, value in attributes.items()]
        self._nodes.append(field_bytes(1, b"".join(parts)))
        return name

    def include(self, file: OnnxFile) -> None:
        """Add the graph of another file, whose input is the output of a node that was added before.

        The version of the operators is then that of the file, of which one can be included.

        Args:
            file: the file, with its weights in it.

        Raises:
            ModelFileError: it is damaged.
        """
        reader, inputs = FieldReader(), {tensor.name for tensor in file.graph.inputs}
        try:
            for number, part, raw in reader.raw_fields(memoryview(file.content)):
                if number in (MODEL_VERSION, MODEL_OPSET, MODEL_FUNCTION):
                    self._head.append(raw)
                elif number == MODEL_GRAPH:
                    for kind, inner, whole in reader.raw_fields(message(part)):
                        if kind == GRAPH_NODE:
                            self._nodes.append(whole)
                        elif kind in GRAPH_KEPT or (
                            kind == GRAPH_INPUT and _name_of(reader, inner) not in inputs
                        ):
                            self._weights.append(whole)
        except DamagedError as error:
            msg = f"{file.path}: is damaged: {error}"
            raise ModelFileError(msg) from error

    def to_bytes(
        self,
        inputs: Sequence[Interface],
        outputs: Sequence[Interface],
        metadata: Mapping[str, str],
        producer: tuple[str, str],
    ) -> bytes:
        """Return the ONNX file.

        Args:
            inputs: what the graph takes.
            outputs: what it gives.
            metadata: texts by name.
            producer: name and version of the program that writes it.

        Raises:
            ModelFileError: it would be larger than an ONNX file can be.
        """
        ends = [field_bytes(11, each.to_bytes()) for each in inputs]
        ends += [field_bytes(12, each.to_bytes()) for each in outputs]
        graph = [*self._nodes, field_text(2, "network"), *self._weights, *ends]
        size = sum(map(len, graph))
        if size > MAX_FILE_BYTES - (1 << 20):  # the rest of the file is small
            msg = f"the model has {size} bytes as an ONNX file, which can have at most {MAX_FILE_BYTES}"
            raise ModelFileError(msg)
        own = (
            field_number(MODEL_VERSION, IR_VERSION),
            field_bytes(MODEL_OPSET, field_text(1, "") + field_number(2, OPSET)),
        )
        head = [*(self._head or own), field_text(2, producer[0]), field_text(3, producer[1])]
        entries = [field_text(1, key) + field_text(2, value) for key, value in metadata.items()]
        tail = [field_bytes(14, entry) for entry in entries]
        return b"".join([*head, field_head(MODEL_GRAPH, size), *graph, *tail])


def _name_of(reader: FieldReader, value: int | memoryview) -> str:
    """Return the name of an input or output."""
    return next((text(part) for number, part in reader.fields(message(value)) if number == 1), "")


def _attribute(name: str, value: Attribute) -> bytes:
    """Return an AttributeProto."""
    if isinstance(value, float):
        content = field_float(2, value) + field_number(20, FLOAT)
    elif isinstance(value, int):
        content = field_number(3, value) + field_number(20, INT)
    else:
        content = b"".join(field_number(8, each) for each in value) + field_number(20, INTS)
    return field_text(1, name) + content
