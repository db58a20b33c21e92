"""The computation graph of the model's cost: its steps in words, and where the boxes of a drawing lie."""

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

WIDTH, ROW, BOX = 400, 64, 26
"""Of the drawing, of a step, and of a box."""

SIDE_X, SIDE_WIDTH, CHAIN_X, CHAIN_WIDTH = 2, 116, 142, 150
"""Left end and width of the boxes of parameters, and of those of the chain from X to J."""

DRAWN = 40
"""Steps up to which the graph is drawn; of a deeper network the words alone remain."""


@dataclass(frozen=True)
class Step:
    """One node that was computed.

    Attributes:
        name: Z1, A1, ..., the losses, J.
        formula: how it was computed.
        shape: of its value, in words; m is the number of examples.
        sides: its parameters and labels, each with its shape.
    """

    name: str
    formula: str
    shape: str
    sides: list[str]


def graph(saved: SavedModel) -> dict[str, Any]:
    """Return the steps from X to the cost J without penalties, and boxes and arrows to draw them by."""
    model = saved.model
    steps = list(_steps(model, _cost(saved)))
    drawing = _drawing(f"X  {model.n_x} x m", steps) if len(steps) <= DRAWN else None
    return {"steps": steps, "drawing": drawing}


def _cost(saved: SavedModel) -> Node:
    """Return J of one example: the graph is the same for any number of them."""
    model = saved.model
    parameters = {name: Node(value, name) for name, value in saved.parameters.items()}
    dtype = saved.parameters["W1"].dtype
    X = Node(np.zeros((model.n_x, 1), dtype), "X")
    # Labels of a softmax are indices, one for each example; all others are what the outputs should be.
    Y = np.zeros((1 if model.output == "softmax" else model.n_out, 1), np.int64)
    with np.errstate(all="ignore"):  # what the weights give for zeros is not shown
        J: Node = F.mean(model.loss(model.forward(parameters, X), Y))
    return J


def _steps(model: Network, J: Node) -> Iterator[Step]:
    """Yield the steps of a cost, in the order in which they are computed."""
    names: dict[Node, str] = {}
    layer = 0
    for node in ancestors(J):
        if node.primitive is None:
            names[node] = node.name or "?"
            continue
        what = node.primitive.__name__
        layer += what in ("affine", "dense")
        named = {"affine": f"Z{layer}", "mean": "J", model.loss.__name__: "losses"}
        names[node] = named.get(what, f"A{layer}")
        arguments = [names[each] if isinstance(each, Node) else "Y" for each in node.inputs]
        sides = [
            f"{name}  {_size(each)}" if isinstance(each, Node) else f"Y  {each.shape[0]} x m"
            for name, each in zip(arguments, node.inputs, strict=True)
            if not isinstance(each, Node) or (each.primitive is None and name != "X")
        ]
        shape = f"{node.shape[0]} x m" if node.shape else "a number"
        if what == "dense":  # by definition the activation of an affine map: shown as the two
            yield Step(f"Z{layer}", f"affine({', '.join(arguments)})", shape, sides)
            yield Step(names[node], f"{node.options['activation']}(Z{layer})", shape, [])
            continue
        options = [f"{key}={value}" for key, value in node.options.items() if key == "groups"]
        yield Step(names[node], f"{what}({', '.join([*arguments, *options])})", shape, sides)


def _size(node: Node) -> str:
    return " x ".join(map(str, node.shape))


def _drawing(begin: str, steps: list[Step]) -> dict[str, Any]:
    """Return boxes, arrows (from and to), and what stands beside them, from top to bottom."""
    centre = CHAIN_X + CHAIN_WIDTH / 2
    boxes = [{"x": CHAIN_X, "y": 4, "width": CHAIN_WIDTH, "text": begin, "of": "input"}]
    arrows: list[tuple[float, float, float, float]] = []
    beside = []
    for number, step in enumerate(steps, start=1):
        top, text = 4 + number * ROW, step.formula.partition("(")[0]
        boxes.append({"x": CHAIN_X, "y": top, "width": CHAIN_WIDTH, "text": text, "of": "step"})
        arrows.append((centre, top - ROW + BOX, centre, top - 2))
        beside.append({"y": top + BOX / 2, "name": step.name, "shape": step.shape})
        first = top + BOX / 2 - (len(step.sides) * (BOX + 4) - 4) / 2
        for i, side in enumerate(step.sides):
            at = first + i * (BOX + 4)
            boxes.append({"x": SIDE_X, "y": at, "width": SIDE_WIDTH, "text": side, "of": "side"})
            arrows.append((SIDE_X + SIDE_WIDTH, at + BOX / 2, CHAIN_X - 2, top + BOX / 2))
    return {
        "width": WIDTH,
        "height": 8 + len(steps) * ROW + BOX,
        "box": BOX,
        "boxes": boxes,
        "arrows": arrows,
        "beside": beside,
        "beside_x": CHAIN_X + CHAIN_WIDTH + 8,
    }
