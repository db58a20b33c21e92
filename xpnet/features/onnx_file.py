"""Read what an ONNX file says about its graph, and where in it the embedding of an image is.

ONNX files are messages of protobuf. Only its wire format is read here, and only the parts that are needed:
no weights are decoded. Every length is checked, and the work is limited: a file may be damaged or forged.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from xpnet.errors import ModelFileError, UsageError
from xpnet.features.protobuf import DamagedError, FieldReader, field_bytes, message, text

MAX_FILE_BYTES = (1 << 31) - 1
"""The largest ONNX file: protobuf allows no more. Larger networks have their weights in files beside it."""

MAX_DEPTH = 16
"""How deeply graphs may be nested: loops and conditions contain graphs."""

DTYPES = {1: "float32", 2: "uint8", 10: "float16", 11: "float64"}
"""The types of an input that images can be given as, by their numbers in ONNX."""

LINEAR = ("Gemm", "MatMul", "FusedGemm", "FusedMatMul")
"""Operators that multiply by a matrix."""

CONVOLUTION = ("Conv", "FusedConv")
"""Operators that convolve."""

THROUGH = frozenset(
    [
        "Cast", "DequantizeLinear", "Dropout", "Flatten", "Identity", "LogSoftmax", "QuantizeLinear",
        "Reshape", "Sigmoid", "Softmax", "Squeeze", "Unsqueeze",
    ]
)  # fmt: skip
"""Operators that may follow a classifier: they change how its scores look, or their shape."""

BY_CONSTANTS = ("Add", "Div", "Mul", "Sub")
"""Operators that may follow a classifier where all but one of their inputs are constants."""

JOINS = ("Add", "Concat", "Max", "Mean", "Sum")
"""Operators that may join the scores of several classifiers."""

SHAPES = ("Shape", "Size")
"""Operators whose result depends on the size of an image alone, which is the same for all images."""

POOLING = ("Flatten", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "Gather")
"""Operators whose outputs are often embeddings: they are named as candidates."""

MOST_CANDIDATES, MOST_CANDIDATE_NODES = 8, 300
"""How many candidates are named, and how many nodes are searched for them."""


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph.

    Attributes:
        name: its name.
        dtype: the number of its type in ONNX; 0 if it is not said.
        shape: its sides: numbers, names of sides that may vary, or None; None if the shape is not said.
    """

    name: str
    dtype: int = 0
    shape: tuple[int | str | None, ...] | None = None


@dataclass(frozen=True)
class Node:
    """A step of the computation: operator, and the names of its inputs and outputs."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass
class OnnxGraph:
    """What an ONNX file says about its graph.

    Attributes:
        nodes: the steps, in an order in which they can be taken.
        inputs: what the graph takes, without its weights.
        outputs: what it gives.
        weights: the names of its weights.
        metadata: texts by name.
        external: the files with weights, as the file names them.
    """

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    weights: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)
    external: set[str] = field(default_factory=set)

    def constants(self) -> set[str]:
        """Return the names of everything that is the same for all images."""
        found = set(self.weights)
        for node in self.nodes:
            if node.operator.startswith("Random"):
                continue
            if node.operator in SHAPES or all(name in found or not name for name in node.inputs):
                found.update(node.outputs)
        return found - {tensor.name for tensor in self.inputs}

    def names(self) -> set[str]:
        """Return the names of all tensors."""
        of_nodes = (name for node in self.nodes for name in (*node.inputs, *node.outputs))
        return self.weights.union(of_nodes, (tensor.name for tensor in (*self.inputs, *self.outputs)))

    def makers(self) -> dict[str, Node]:
        """Return the node that makes each tensor, by the name of the tensor."""
        return {name: node for node in self.nodes for name in node.outputs if name}


@dataclass(frozen=True, eq=False)
class OnnxFile:
    """An ONNX file in memory.

    Attributes:
        path: the file.
        content: its bytes.
        graph: what it says about its graph.
    """

    path: str
    content: bytes
    graph: OnnxGraph

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""
        return Path(self.path).name

    @property
    def folder(self) -> str:
        """The folder of the file, where its external weights are."""
        return str(Path(self.path).absolute().parent)

    def size_and_hash(self) -> tuple[int, str]:
        """Return the number of bytes and SHA-256 of the file, with those of its external weights.

        Raises:
            ModelFileError: a file with weights cannot be read.
        """
        size, digest = len(self.content), hashlib.sha256(self.content)
        for location in sorted(self.graph.external):
            path = Path(self.folder, location)
            try:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
                size += path.stat().st_size
            except OSError as error:
                msg = f"{self.path}: {location}, with its weights, cannot be read: {error.strerror or error}"
                raise ModelFileError(msg) from error
        return size, digest.hexdigest()

    def with_output(self, name: str) -> bytes:
        """Return the bytes of the file, with another output of the graph.

        Messages of protobuf are merged where they are concatenated: so it is enough to append a graph that
        has nothing but the output.
        """
        if any(tensor.name == name for tensor in self.graph.outputs):
            return self.content
        return self.content + field_bytes(
            7, field_bytes(12, field_bytes(1, name.encode("utf-8", "surrogateescape")))
        )


def read_onnx(path: str | os.PathLike[str]) -> OnnxFile:
    """Read an ONNX file. Nothing in it is executed.

    Raises:
        ModelFileError: the file is missing, damaged or no ONNX file, or names files of weights that are not
            beside it.
    """
    path = os.fspath(path)
    place = Path(path)
    try:
        if not place.is_file():
            what = "is not a file" if place.exists() else "there is no such file"
            msg = f"{path}: {what}: expected a network in an ONNX file"
            raise ModelFileError(msg)
        if (size := place.stat().st_size) > MAX_FILE_BYTES:
            msg = f"{path}: has {size} bytes, and an ONNX file has at most {MAX_FILE_BYTES}"
            raise ModelFileError(msg)
        content = place.read_bytes()
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise ModelFileError(msg) from error
    return parse_onnx(path, content)


def parse_onnx(path: str, content: bytes) -> OnnxFile:
    """Return the bytes of an ONNX file with what they say. path: for messages, and for external weights.

    Raises:
        ModelFileError: as for `read_onnx`.
    """
    try:
        graph = _Reader().model(memoryview(content))
    except DamagedError as error:
        msg = f"{path}: is damaged, or not an ONNX file: {error}"
        raise ModelFileError(msg) from error
    for location in sorted(graph.external):
        # Also names that only another system takes for absolute, or for one above.
        parts = PureWindowsPath(location)
        if not location or parts.anchor or ".." in parts.parts or "\0" in location:
            msg = (
                f"{path}: its weights are in {location!r}: expected a file beside it. Files elsewhere are "
                "not read"
            )
            raise ModelFileError(msg)
    return OnnxFile(path, content, graph)


def find_embedding(file: OnnxFile) -> tuple[str, bool]:
    """Return the name of the tensor with the embedding, and whether it is the output itself.

    It is what the last linear layer takes. Of a network that does not end with one, it is the output.

    Raises:
        UsageError: the network has several outputs, or ends with a convolution.
    """
    graph = file.graph
    if len(graph.outputs) != 1:
        raise UsageError(_unclear(file, f"has {len(graph.outputs)} outputs"))
    output = graph.outputs[0].name
    ends = _ends(graph, output)
    if len(ends) == 1 and ends[0][0] in CONVOLUTION:
        raise UsageError(_unclear(file, "ends with a convolution"))
    if not all(operator in LINEAR for operator, _ in ends):
        return output, True
    embeddings = {name for _, name in ends}
    if len(embeddings) > 1:
        raise UsageError(_unclear(file, f"joins the scores of {len(embeddings)} classifiers"))
    return embeddings.pop(), False


def _ends(graph: OnnxGraph, output: str) -> list[tuple[str, str]]:
    """Return the last operators that do more than change how the output looks, each with what it takes.

    There are several where the output joins several results. An operator is "" if it takes several tensors,
    or is not known.
    """
    constants, makers = graph.constants(), graph.makers()
    waiting, seen = [output], {output}
    found: list[tuple[str, str]] = []
    while waiting:
        name = waiting.pop()
        node = makers.get(name, Node("", (), ()))
        varying = {each for each in node.inputs if each and each not in constants}
        if node.operator in ((*THROUGH, *BY_CONSTANTS) if len(varying) == 1 else JOINS):
            waiting += varying - seen
            seen |= varying
        else:
            found.append((node.operator, varying.pop()) if len(varying) == 1 else ("", name))
    return found


def require_tensor(file: OnnxFile, name: str) -> None:
    """Raise `UsageError` unless the graph computes a tensor of this name from the image."""
    if name not in file.graph.makers() or name in file.graph.constants():
        raise UsageError(_unclear(file, f"computes nothing named {name!r}"))


def unclear_output(file: OnnxFile, count: int) -> str:
    """Return what to say where the output may be class scores that no linear layer computes."""
    return _unclear(file, f"ends without a linear layer, and its {count} outputs look like class scores")


def _unclear(file: OnnxFile, reason: str) -> str:
    found = candidates(file.graph)
    names = f": --features-output {' or '.join(found)}" if found else " by --features-output"
    return f"{file.path}: {reason}, so it is not clear which numbers are the embedding. Name them{names}"


def candidates(graph: OnnxGraph) -> list[str]:
    """Return the names of tensors that may be embeddings, the nearest to the output first."""
    makers, constants = graph.makers(), graph.constants()
    waiting = deque(tensor.name for tensor in graph.outputs)
    seen, found = set(waiting), list(waiting) if len(waiting) > 1 else []
    for _ in range(MOST_CANDIDATE_NODES):
        node = makers.get(waiting.popleft()) if waiting else None
        if node is None:
            continue
        varying = [name for name in node.inputs if name and name not in constants]
        if node.operator in (*LINEAR, *CONVOLUTION) and len(varying) == 1:
            found += varying
        if node.operator in POOLING:
            found += node.outputs[:1]
        fresh = [name for name in varying if name not in seen]
        seen.update(fresh)
        waiting.extend(fresh)
    found += [tensor.name for tensor in graph.outputs]
    inputs = {tensor.name for tensor in graph.inputs}
    return [name for name in dict.fromkeys(found) if name not in inputs][:MOST_CANDIDATES]


class _Reader(FieldReader):
    """Reads the messages of an ONNX file."""

    def __init__(self) -> None:
        super().__init__()
        self._external: set[str] = set()

    def model(self, content: memoryview) -> OnnxGraph:
        """Return what a ModelProto says."""
        graph, has_graph = OnnxGraph(external=self._external), False
        values: list[Tensor] = []
        for number, part in self.fields(content):
            if number == 7:
                has_graph = True
                self._graph(message(part), graph, values, 0)
            elif number == 14:
                key, value = self.entry(part)
                graph.metadata[key] = value
            elif number == 25:  # functions: their nodes may name files too
                for inner, node in self.fields(message(part)):
                    if inner == 7:
                        self._node(message(node), 1)
        if not has_graph:
            msg = "it has no graph"
            raise DamagedError(msg)
        if not graph.nodes or not graph.outputs:
            msg = "its graph has no nodes or no outputs"
            raise DamagedError(msg)
        graph.inputs = [tensor for tensor in values if tensor.name not in graph.weights]
        return graph

    def _graph(self, content: memoryview, graph: OnnxGraph, inputs: list[Tensor], depth: int) -> None:
        """Add what a GraphProto says."""
        for number, part in self.fields(content):
            if number == 1:
                graph.nodes.append(self._node(message(part), depth))
            elif number == 5:
                graph.weights.add(self._tensor(message(part)))
            elif number == 15:
                graph.weights.add(self._sparse(message(part)))
            elif number == 11:
                inputs.append(self._value(message(part)))
            elif number == 12:
                graph.outputs.append(self._value(message(part)))

    def _node(self, content: memoryview, depth: int) -> Node:
        """Return a NodeProto. The graphs and tensors in its attributes are searched for external weights."""
        operator, domain, inputs, outputs = "", "", [], []
        inner: list[OnnxGraph] = []
        for number, part in self.fields(content):
            if number == 1:
                inputs.append(text(part))
            elif number == 2:
                outputs.append(text(part))
            elif number == 4:
                operator = text(part)
            elif number == 7:
                domain = text(part)
            elif number == 5:
                inner += self._attribute(message(part), depth)
        # What a graph in a node takes from outside is an input of the node, though it does not say so.
        inputs += [name for graph in inner for node in graph.nodes for name in node.inputs]
        known = domain in ("", "ai.onnx", "com.microsoft")
        return Node(operator if known else f"{domain}.{operator}", tuple(inputs), tuple(outputs))

    def _attribute(self, content: memoryview, depth: int) -> list[OnnxGraph]:
        """Return the graphs in an AttributeProto."""
        if depth >= MAX_DEPTH:
            msg = f"its graphs are nested more than {MAX_DEPTH} deep"
            raise DamagedError(msg)
        found = []
        for number, part in self.fields(content):
            if number in (5, 10):
                self._tensor(message(part))
            elif number in (22, 23):
                self._sparse(message(part))
            elif number in (6, 11):
                graph = OnnxGraph()
                self._graph(message(part), graph, [], depth + 1)
                found.append(graph)
        return found

    def _tensor(self, content: memoryview) -> str:
        """Return the name of a TensorProto."""
        name = ""
        for number, part in self.fields(content):
            if number == 8:
                name = text(part)
            elif number == 13:
                key, value = self.entry(part)
                if key == "location":
                    self._external.add(value)
        return name

    def _sparse(self, content: memoryview) -> str:
        """Return the name of a SparseTensorProto, which is that of its values."""
        name = ""
        for number, part in self.fields(content):
            if number in (1, 2):
                inner = self._tensor(message(part))
                name = inner if number == 1 else name
        return name

    def _value(self, content: memoryview) -> Tensor:
        """Return a ValueInfoProto."""
        name, dtype = "", 0
        shape: tuple[int | str | None, ...] | None = None
        for number, part in self.fields(content):
            if number == 1:
                name = text(part)
            elif number == 2:
                for kind, tensor in self.fields(message(part)):
                    if kind != 1:  # a sequence or a map
                        continue
                    for key, value in self.fields(message(tensor)):
                        if key == 1 and isinstance(value, int):
                            dtype = value
                        elif key == 2:
                            sides = (self._side(message(v)) for k, v in self.fields(message(value)) if k == 1)
                            shape = tuple(sides)
        return Tensor(name, dtype, shape)

    def _side(self, content: memoryview) -> int | str | None:
        side: int | str | None = None
        for number, part in self.fields(content):
            if number == 1 and isinstance(part, int):
                side = part if 0 < part < 1 << 31 else None  # 0 and below stand for any number
            elif number == 2:
                side = text(part) or None
        return side
