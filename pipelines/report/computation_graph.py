"""The section on the computation graph of the model's cost: a table of its steps, and a drawing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet import functional as F
from xpnet.autodiff import Node, ancestors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from xpnet.io import SavedModel
    from xpnet.nn import Network

WIDTH = 400
"""Width of the drawing, in SVG units."""

ROW_HEIGHT, BOX_HEIGHT = 64, 26
"""Distance from one step to the next, and height of a box."""

SIDE_X, SIDE_WIDTH = 2, 116
"""Left edge and width of the boxes of parameters and labels."""

CHAIN_X, CHAIN_WIDTH = 142, 150
"""Left edge and width of the boxes of the chain from X to J."""

MOST_DRAWN = 40
"""The most steps that are drawn; a deeper network has the table only."""


@dataclass(frozen=True)
class Step:
    """One computed value of the graph.

    Attributes:
        name: Z1, A1, ..., losses, J.
        formula: the operation with its arguments.
        shape: shape of the value as text; m is the number of examples.
        sides: the parameters and labels among its arguments, each with its shape.
    """

    name: str
    formula: str
    shape: str
    sides: list[str]


def graph_section(saved: SavedModel) -> dict[str, Any]:
    """Return the steps from X to the cost J without penalties, and where the drawing has boxes and arrows."""
    network = saved.model
    steps = list(_steps(network, _cost(saved)))
    drawing = _drawing(f"X  {network.n_x} x m", steps) if len(steps) <= MOST_DRAWN else None
    return {"steps": steps, "drawing": drawing}


def _cost(saved: SavedModel) -> Node:
    """Return the cost J of one example; the graph is the same for any number of examples."""
    network = saved.model
    parameters = {name: Node(value, name) for name, value in saved.parameters.items()}
    dtype = saved.parameters["W1"].dtype
    X = Node(np.zeros((network.n_x, 1), dtype), "X")
    # The labels of a softmax are class indices (1, m). All others have the shape of the outputs (n_out, m).
    Y = np.zeros((1 if network.output == "softmax" else network.n_out, 1), np.int64)
    with np.errstate(all="ignore"):  # the values are not shown
        J: Node = F.mean(network.loss(network.forward(parameters, X), Y))
    return J


def _steps(network: Network, J: Node) -> Iterator[Step]:
    """Yield the steps of a cost in the order of the computation."""
    names: dict[Node, str] = {}
    layer = 0
    for node in ancestors(J):
        if node.primitive is None:
            names[node] = node.name or "?"
            continue
        operation = node.primitive.__name__
        layer += operation in ("affine", "dense")
        special = {"affine": f"Z{layer}", "mean": "J", network.loss.__name__: "losses"}
        names[node] = special.get(operation, f"A{layer}")
        arguments = [names[each] if isinstance(each, Node) else "Y" for each in node.inputs]
        sides = [
            f"{name}  {_size(each)}" if isinstance(each, Node) else f"Y  {each.shape[0]} x m"
            for name, each in zip(arguments, node.inputs, strict=True)
            if not isinstance(each, Node) or (each.primitive is None and name != "X")
        ]
        shape = f"{node.shape[0]} x m" if node.shape else "a number"
        if operation == "dense":  # an affine map and its activation in one: shown as two steps
            yield Step(f"Z{layer}", f"affine({', '.join(arguments)})", shape, sides)
            yield Step(names[node], f"{node.options['activation']}(Z{layer})", shape, [])
            continue
        options = [f"{key}={value}" for key, value in node.options.items() if key == "groups"]
        yield Step(names[node], f"{operation}({', '.join([*arguments, *options])})", shape, sides)


def _size(node: Node) -> str:
    return " x ".join(map(str, node.shape))


def _drawing(first: str, steps: list[Step]) -> dict[str, Any]:
    """Return the boxes, arrows (x, y, to x, to y) and texts of the drawing, from top to bottom.

    Args:
        first: text of the box at the top.
        steps: one box each, below it.
    """
    centre = CHAIN_X + CHAIN_WIDTH / 2
    boxes = [{"x": CHAIN_X, "y": 4, "width": CHAIN_WIDTH, "text": first, "kind": "input"}]
    arrows: list[tuple[float, float, float, float]] = []
    results = []
    for row, step in enumerate(steps, start=1):
        top, operation = 4 + row * ROW_HEIGHT, step.formula.partition("(")[0]
        boxes.append({"x": CHAIN_X, "y": top, "width": CHAIN_WIDTH, "text": operation, "kind": "step"})
        arrows.append((centre, top - ROW_HEIGHT + BOX_HEIGHT, centre, top - 2))
        results.append({"y": top + BOX_HEIGHT / 2, "name": step.name, "shape": step.shape})
        first_side = top + BOX_HEIGHT / 2 - (len(step.sides) * (BOX_HEIGHT + 4) - 4) / 2
        for i, side in enumerate(step.sides):
            y = first_side + i * (BOX_HEIGHT + 4)
            boxes.append({"x": SIDE_X, "y": y, "width": SIDE_WIDTH, "text": side, "kind": "side"})
            arrows.append((SIDE_X + SIDE_WIDTH, y + BOX_HEIGHT / 2, CHAIN_X - 2, top + BOX_HEIGHT / 2))
    return {
        "width": WIDTH,
        "height": 8 + len(steps) * ROW_HEIGHT + BOX_HEIGHT,
        "box_height": BOX_HEIGHT,
        "boxes": boxes,
        "arrows": arrows,
        "results": results,
        "results_x": CHAIN_X + CHAIN_WIDTH + 8,
    }
