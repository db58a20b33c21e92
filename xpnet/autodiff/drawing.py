"""Draw a computation graph: as lines of text, in the language of Graphviz, or as SVG."""

import json
from collections.abc import Iterator
from typing import Literal

import numpy as np

from xpnet.arrays import Array
from xpnet.autodiff.graph import Node
from xpnet.autodiff.picture import graph_svg
from xpnet.autodiff.reverse import ancestors
from xpnet.errors import GraphError

_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "matmul": "@"}
"""Primitives that are drawn as operators."""


class Svg(str):
    """A drawing in the format "svg": text, which a notebook shows as a picture."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def draw(output: Node, format: Literal["text", "dot", "svg"] = "text") -> str:  # noqa: A002
    """Return a drawing of the graph that computed `output`.

    A value of one element is shown if it is in host memory. For other values their shape and dtype are shown:
    a drawing never reads from a device. Nodes without a name are called t1, t2, ... in the order of the
    drawing.

    Args:
        output: the node to draw, with all nodes that it was computed from.
        format: "text" for one line for each node; "svg" for a picture, which a notebook shows; or "dot" for
            the language of Graphviz, which draws large graphs better.

    Raises:
        GraphError: the format is unknown, or `output` is not a node.
    """
    if not isinstance(output, Node):
        msg = f"draw: got a {type(output).__name__}, expected a Node"
        raise GraphError(msg)
    if format == "text":
        return "\n".join(_lines(output))
    if format == "dot":
        return "\n".join(_statements(output)) + "\n"
    if format == "svg":
        return Svg(_picture(output))
    msg = f"draw: format is {format!r}, expected 'text', 'dot' or 'svg'"
    raise GraphError(msg)


def _names(nodes: list[Node]) -> dict[Node, str]:
    """Return a name for each node: its own, or a free one of t1, t2, ..."""
    taken = {node.name for node in nodes}
    free = (f"t{i}" for i in range(1, len(nodes) + len(taken) + 1) if f"t{i}" not in taken)
    return {node: _printable(node.name) if node.name else next(free) for node in nodes}


def _printable(name: str) -> str:
    """Return a name in which characters that cannot be printed are escaped: it stays on one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _lines(output: Node) -> Iterator[str]:
    """Yield the lines of a drawing as text."""
    nodes = ancestors(output)
    names = _names(nodes)
    formulas = [
        f"{names[node]} = {_formula(node, names)}" if node.primitive else names[node] for node in nodes
    ]
    width = max(len(formula) for formula in formulas)
    for node, formula in zip(nodes, formulas, strict=True):
        yield f"{formula:<{width}} = {_value(node.value)}"


def _formula(node: Node, names: dict[Node, str]) -> str:
    """Return how a node was computed, such as "a + b"."""
    name = node.primitive.__name__ if node.primitive else ""
    arguments = [names[a] if isinstance(a, Node) else _value(a) for a in node.inputs]
    if name in _SYMBOLS:
        return f" {_SYMBOLS[name]} ".join(arguments)
    return f"{name}({', '.join([*arguments, *(f'{k}={v}' for k, v in node.options.items())])})"


def _value(value: Array | float) -> str:
    """Return a number, or the shape and dtype of an array."""
    if isinstance(value, bool | int | float):
        return f"{value:.6g}"
    if isinstance(value, np.ndarray) and value.size == 1:
        return f"{float(value.reshape(())):.6g}"
    return f"{'x'.join(map(str, value.shape)) or 'scalar'} {str(value.dtype).removeprefix('torch.')}"


def _label(node: Node, names: dict[Node, str]) -> list[str]:
    """Return the lines in the box of a node: how it was computed, if it was, and its value."""
    lines = [_formula(node, names)] if node.primitive else []
    return [*lines, f"{names[node]} = {_value(node.value)}"]


def _picture(output: Node) -> str:
    """Return a drawing as SVG."""
    nodes = ancestors(output)
    names = _names(nodes)
    number = {node: i for i, node in enumerate(nodes)}
    texts = [[_printable(line) for line in _label(node, names)] for node in nodes]
    parents = [[number[each] for each in node.inputs if isinstance(each, Node)] for node in nodes]
    return graph_svg("Computation graph", texts, parents)


def _statements(output: Node) -> Iterator[str]:
    """Yield the lines of a drawing in the language of Graphviz."""
    nodes = ancestors(output)
    names = _names(nodes)
    number = {node: i for i, node in enumerate(nodes)}
    yield "digraph {"
    yield "  rankdir=LR;"
    yield '  node [fontname="sans-serif", shape=box, style=rounded];'
    for node in nodes:
        yield f"  n{number[node]} [label={_quoted(_label(node, names))}];"
        for parent in node.inputs:
            if isinstance(parent, Node):
                yield f"  n{number[parent]} -> n{number[node]};"
    yield "}"


def _quoted(lines: list[str]) -> str:
    """Return lines of text as a quoted string of the language of Graphviz."""
    # DOT escapes quotes and ends of lines as JSON does. It also reads HTML entities, so an & is escaped.
    return json.dumps("\n".join(lines).replace("&", "&amp;"), ensure_ascii=False)
