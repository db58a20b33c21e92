"""Reverse-mode differentiation: gradients by one walk through the graph, from the output to the inputs."""

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

    It visits only the nodes between the inputs and the output, without recursion, and frees each gradient as
    soon as it has been used.

    Args:
        output: the node to differentiate. It has one element, unless `grad` is given.
        inputs: the nodes to differentiate with respect to.
        grad: the derivative of another quantity with respect to `output`, in the shape of `output`. The
            results are then derivatives of that quantity. Ones by default.
        allow_unused: whether to return zeros for an input that `output` does not depend on.
        into: arrays to write the results to, one for each input: C-contiguous, with its shape and dtype. They
            may be parts of one buffer. Their values are overwritten.

    Returns:
        One array for each input, with its shape and dtype, on its device: the arrays of `into`, or new ones.
        New ones may share memory with each other, or be read-only: do not write to them.

    Raises:
        GraphError: `output` or an input is not a node, `output` does not depend on an input, or a pullback
            returns a wrong result.
        ShapeError: `output` has more than one element and `grad` is not given, `grad` has a different shape
            than `output`, or `into` has different shapes than the inputs.
    """
    inputs = _nodes(output, inputs)
    arrays = [] if into is None else _targets(inputs, into)
    targets = dict(zip(inputs, arrays, strict=False))
    xp = namespace(output.value)
    if grad is None:
        if math.prod(output.shape) != 1:
            msg = (
                f"gradients: the output has shape {output.shape}, expected one element such as a cost J: "
                "use mean(...) or sum(...), or give grad"
            )
            raise ShapeError(msg)
        grad = xp.ones_like(output.value)
    elif namespace(grad, "gradients: grad: ") is not xp:
        msg = "gradients: grad is an array of another library than the output: use backend.send(grad)"
        raise ArrayTypeError(msg)
    elif tuple(grad.shape) != output.shape:
        msg = f"gradients: grad is {tuple(grad.shape)}, the output is {output.shape}: expected the same shape"
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
                "was computed? With allow_unused=True the gradient is zeros"
            )
            raise GraphError(msg)
    results = [found[node] if node in found else xp.zeros_like(node.value) for node in inputs]
    for array, result in zip(arrays, results, strict=False):
        if result is not array:
            array[...] = result
    return arrays or results


def ancestors(output: Node) -> list[Node]:
    """Return `output` and all nodes that it was computed from; each node comes after its inputs."""
    found: dict[Node, None] = {}
    stack = [output]
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack.extend(parent for parent in reversed(node.inputs) if type(parent) is Node)
    # The depth of a node is larger than that of its inputs, so this is a topological order.
    return sorted(found, key=lambda node: node.depth)


def _leading_to(wanted: set[Node], order: list[Node]) -> set[Node]:
    """Return the nodes of `order` that are in `wanted`, or depend on one of them."""
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
    """Add the gradients of the inputs of a node to `pending`.

    Args:
        node: the node, computed by
        primitive: this primitive.
        arrived: the complete gradient of the node.
        leading: the nodes that need a gradient.
        pending: by node, the sum of the gradients that have arrived so far.
        targets: by node, the array to write its gradient to.
    """
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
            # Only a target may be changed in place: a pullback may return one array for several inputs.
            if partial is target:
                partial += before
            elif before is target:
                before += partial
                partial = before
            else:
                partial = before + partial
        pending[parent] = np.asarray(partial) if isinstance(partial, np.generic) else partial


def evaluate_pullback(entry: Any, target: Array | None = None) -> Any:
    """Return the gradient of an entry of what a pullback returned: the entry, or the result of calling it.

    target: the array to write the gradient to, for a function that has a parameter for it.
    """
    if not callable(entry):
        return entry
    code = getattr(entry, "__code__", None)
    return entry(target) if code is not None and code.co_argcount else entry()


def _targets(inputs: list[Node], into: Iterable[Array]) -> list[Array]:
    """Return the arrays of `into` as a list, after checking that their shapes are those of the inputs."""
    arrays = list(into)
    shapes = [tuple(array.shape) for array in arrays], [node.shape for node in inputs]
    if shapes[0] != shapes[1]:
        msg = f"gradients: into has shapes {shapes[0]}, the inputs have {shapes[1]}: expected the same"
        raise ShapeError(msg)
    return arrays


def _nodes(output: Any, inputs: Any) -> list[Node]:
    """Return `inputs` as a list, after checking that `output` and all of them are nodes."""
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
