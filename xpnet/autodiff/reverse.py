"""Reverse-mode differentiation: walk the graph once, from the output back to the inputs."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from xpnet.arrays import Array, cast_like, namespace, refuse_other_than_floats
from xpnet.autodiff.graph import Node, Primitive
from xpnet.errors import ArrayTypeError, GraphError, ShapeError


def gradients(
    output: Node,
    inputs: Iterable[Node],
    grad: Array | None = None,
    *,
    allow_unused: bool = False,
    into: Iterable[Array] | None = None,
) -> list[Array]:
    """Return the derivative of `output` with respect to each of `inputs`.

    The walk is iterative, visits only nodes between the inputs and the output, and lets go of each gradient
    once it was used.

    Args:
        output: the node to derive; of one element, unless `grad` is given.
        inputs: the nodes to derive with respect to.
        grad: the derivative of some further quantity with respect to `output`, of its shape; ones by default.
        allow_unused: give zeros for an input that `output` does not depend on.
        into: arrays to write the results to, one for each input, of its shape and dtype and C-contiguous:
            parts of one buffer, say. What they held does not matter.

    Returns:
        One array for each input, with its shape and dtype, on its device: those of `into`, or new ones. New
        ones may share memory with each other, or be read-only views: compute with them, but do not write to
        them.

    Raises:
        GraphError: `output` or an input is not a node, `output` does not depend on an input, or a pullback
            breaks its contract.
        ShapeError: `output` has more than one element and `grad` is not given, or `grad` has another shape;
            `into` has other shapes than the inputs.
    """
    inputs = _nodes(output, inputs)
    arrays = [] if into is None else _targets(inputs, into)
    targets = dict(zip(inputs, arrays, strict=False))
    xp = namespace(output.value)
    if grad is None:
        if math.prod(output.shape) != 1:
            msg = (
                f"gradients: the output has shape {output.shape}, expected one element such as a cost J: "
                "take its mean(...), or give grad"
            )
            raise ShapeError(msg)
        grad = xp.ones_like(output.value)
    elif namespace(grad, "gradients: grad: ") is not xp:
        msg = "gradients: grad is an array of another library than the output"
        raise ArrayTypeError(msg)
    elif tuple(grad.shape) != output.shape:
        msg = f"gradients: grad is {tuple(grad.shape)}, the output is {output.shape}: same expected"
        raise ShapeError(msg)
    else:
        refuse_other_than_floats("gradients", "grad", grad)
        grad = cast_like(grad, output.value)

    wanted = set(inputs)
    order = ancestors(output)
    leading = _leading_to(wanted, order)
    pending: dict[Node, Array] = {output: grad}
    found: dict[Node, Array] = {}
    del grad
    while order:
        node = order.pop()
        if node not in leading or node not in pending:
            continue
        arrived = pending.pop(node)
        if node in wanted:
            found[node] = arrived
        if node.primitive is not None:
            _pull(node, node.primitive, arrived, leading, pending, targets)
    for node in inputs:
        if node not in found and not allow_unused:
            msg = (
                f"gradients: {output!r} does not depend on {node!r}: was the node replaced after the output "
                "was computed? allow_unused=True gives zeros"
            )
            raise GraphError(msg)
    results = [found[node] if node in found else xp.zeros_like(node.value) for node in inputs]
    for array, result in zip(arrays, results, strict=False):
        if result is not array:
            array[...] = result
    return arrays or results


def ancestors(output: Node) -> list[Node]:
    """Return `output` and every node it was computed from, each after its inputs."""
    found: dict[Node, None] = {}
    stack = [output]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(parent for parent in reversed(node.inputs) if type(parent) is Node)
    # A node is deeper than each of its inputs, so depth is a topological order.
    return sorted(found, key=lambda node: node.depth)


def _leading_to(wanted: set[Node], order: list[Node]) -> set[Node]:
    """Return the nodes of `order` that are, or depend on, a wanted one."""
    leading: set[Node] = set()
    for node in order:
        if node in wanted or any(type(parent) is Node and parent in leading for parent in node.inputs):
            leading.add(node)
    return leading


def _pull(
    node: Node,
    primitive: Primitive,
    arrived: Array,
    leading: set[Node],
    pending: dict[Node, Array],
    targets: dict[Node, Array],
) -> None:
    """Add the gradients for the inputs of `node`, made by `primitive`, to `pending`."""
    pulled = primitive.pull(arrived, node)
    for parent, entry in zip(node.inputs, pulled, strict=True):
        if type(parent) is not Node or parent not in leading:
            continue
        before, target = pending.get(parent), targets.get(parent)
        partial = evaluate_pullback(entry, None if before is target else target)
        if partial is None:
            msg = f"{primitive.__name__} has no derivative with respect to {parent!r}"
            raise GraphError(msg)
        if not hasattr(partial, "ndim") or isinstance(partial, Node):
            msg = f"{primitive.pullback.__name__} returned a {type(partial).__name__}, expected an array"
            raise GraphError(msg)
        if tuple(partial.shape) != parent.shape:
            msg = (
                f"{primitive.pullback.__name__} returned a gradient of shape {tuple(partial.shape)} "
                f"for an input of shape {parent.shape}"
            )
            raise GraphError(msg)
        partial = cast_like(partial, parent.value)
        if before is not None:
            # In place only in a target: a pullback may hand any other array to several inputs.
            if partial is target:
                partial += before
            elif before is target:
                before += partial
                partial = before
            else:
                partial = before + partial
        pending[parent] = np.asarray(partial) if isinstance(partial, np.generic) else partial


def evaluate_pullback(entry: Any, target: Array | None = None) -> Any:
    """Return what a pullback gave, or computes when called: in a target, if it has a parameter for one."""
    if not callable(entry):
        return entry
    code = getattr(entry, "__code__", None)
    return entry(target) if code is not None and code.co_argcount else entry()


def _targets(inputs: list[Node], into: Iterable[Array]) -> list[Array]:
    """Return the arrays to write to as a list, after checking that they fit the inputs."""
    arrays = list(into)
    shapes = [tuple(array.shape) for array in arrays], [node.shape for node in inputs]
    if shapes[0] != shapes[1]:
        msg = f"gradients: into has shapes {shapes[0]}, the inputs have {shapes[1]}: the same expected"
        raise ShapeError(msg)
    return arrays


def _nodes(output: Any, inputs: Any) -> list[Node]:
    """Return `inputs` as a list, after checking that they and `output` are nodes."""
    if isinstance(inputs, Node):
        msg = "gradients: inputs is one node, expected a sequence of nodes: [node]"
        raise GraphError(msg)
    nodes = list(inputs)
    for node in (output, *nodes):
        if type(node) is not Node:
            name = type(node).__name__
            msg = f"gradients: a {name} is not a Node: wrap an array before using it, Node(array)"
            raise GraphError(msg)
    return nodes
