"""Launch one_pass.cu: losses and gradients of logistic and softmax regression over raw bytes on a GPU."""

import functools
import itertools
from collections.abc import Callable
from importlib import resources
from typing import Any, NamedTuple

import cupy

from xpnet.arrays import Array
from xpnet.kernels import cuda_tensor

_SOURCE = resources.files(__package__).joinpath("one_pass.cu").read_text()

TEMPORARY_BYTES = 64 << 20
"""About how many bytes of logits `two_passes` computes at a time."""

TENSOR_ROWS = 4
"""Fewest rows of weights for which tensor cores are used.

Without them a byte takes 1.5 to 2 instructions for each row. With so many rows, this takes longer than to
read the bytes from memory.
"""

STAGES = 8
"""Most examples in the ring buffer of a block of one_pass.

The block computes with one or two of them, while the others are being copied.
"""


class Build(NamedTuple):
    """How one_pass is compiled: its macros, which one_pass.cu explains."""

    THREADS: int
    VECTORS: int
    STAGES: int
    KEEP: int
    BLOCKS: int
    ALIGNED: int

    @property
    def shared_bytes(self) -> int:
        """Bytes of the ring buffer of a block, in shared memory."""
        return self.STAGES * self.VECTORS * self.THREADS * 16


def build_for(examples: Array) -> Build | None:
    """Return how to compile one_pass for these examples, or None if it would need too many registers."""
    n_x, aligned = examples.shape[1], _aligned(examples)
    for keep, vectors in itertools.product((1, 0), (1, 2, 3, 4)):
        threads = 32 * -(-n_x // (16 * 32 * vectors))
        # Registers of a thread, as the compiler reports: weights, gradients and, with keep, two examples.
        registers = (64 if keep else 36) * vectors + (40 if aligned > 1 else 48)
        # Each quarter of a multiprocessor has 16384 registers, and runs every fourth warp of a block.
        if threads > 1024 or registers > min(255, 512 // -(-threads // 128)):
            continue
        # With several blocks, compute capability 10 uses more registers than that: 24 are added.
        blocks = max(1, min(16, 65536 // (threads * (registers + 24))))
        shared = _attribute("MaxSharedMemoryPerMultiprocessor") // blocks - 1024
        # The kernel needs some shared memory for other things than the ring buffer.
        shared = min(shared, _attribute("MaxSharedMemoryPerBlockOptin")) - 8 * threads - 2048
        stages = min(STAGES, shared // (vectors * threads * 16))
        if stages >= 3:
            return Build(threads, vectors, stages, keep, blocks, aligned)
    return None


@functools.cache
def _compiled(name: str, device: int, **macros: int) -> Any:
    """Return a kernel of one_pass.cu; one for each device, because it keeps the size of its shared memory."""
    del device  # a key of the cache
    options = ("--std=c++17", *(f"-D{macro}={value}" for macro, value in macros.items()))
    return cupy.RawModule(code=_SOURCE, options=options).get_function(name)


def _attribute(name: str) -> int:
    """Return an attribute of the current device: one of CUDA's constants cudaDevAttr..."""
    runtime = cupy.cuda.runtime
    return int(runtime.deviceGetAttribute(getattr(runtime, f"cudaDevAttr{name}"), cupy.cuda.Device().id))


def _add_up(parts: Array) -> Array:
    """Return the sum over the first axis, always in the same order, so that the bits are the same."""
    count, totals = parts.shape[0], cupy.empty(parts.shape[1:], cupy.float32)
    grid = (-(-totals.size // 256),)
    kernel = _compiled("add_up", cupy.cuda.Device().id)
    kernel(grid, (256,), (parts, totals, cupy.int32(count), cupy.int64(totals.size)))
    return totals


def one_pass(
    examples: Array, labels: Array, weights: Array | None, W: Array, b: Array, build: Build
) -> tuple[Array, Array, Array]:
    """Compute `linear_loss_and_gradient` of one logistic regression, reading each example once.

    Args:
        examples: (m, n_x) uint8.
        labels: (1, m) float32.
        weights: weights of the examples, (1, m) float32, or None.
        W: (1, n_x) float32.
        b: (1, 1) float32.
        build: how to compile the kernel.
    """
    m, n_x = examples.shape
    kernel = _compiled("one_pass", cupy.cuda.Device().id, **build._asdict())
    kernel.max_dynamic_shared_size_bytes = build.shared_bytes
    blocks = min(_attribute("MultiProcessorCount") * build.BLOCKS, m)
    parts = cupy.empty((blocks, n_x + 2), cupy.float32)
    labels, W = cupy.ascontiguousarray(labels), cupy.ascontiguousarray(W)
    given = labels if weights is None else cupy.ascontiguousarray(weights)
    numbers = cupy.int64(m), cupy.int32(n_x), cupy.int32(weights is not None)
    arguments = (examples, labels, given, W, b, parts, *numbers)
    kernel((blocks,), (build.THREADS,), arguments, shared_mem=build.shared_bytes)
    sums = _add_up(parts)[None]
    return sums[:, n_x : n_x + 1], sums[:, :n_x], sums[:, n_x + 1 :]


def two_passes(
    examples: Array,
    labels: Array,
    weights: Array | None,
    W: Array,
    b: Array,
    residual: Callable[..., tuple[Array, Array]],
    *,
    tensor: bool | None = None,
) -> tuple[Array, Array, Array]:
    """Compute `linear_loss_and_gradient`, reading the examples twice: for the logits and for the gradient.

    Args:
        examples: (m, n_x) uint8.
        labels: (n_out, m) float32.
        weights: weights of the examples, (1, m) float32, or None.
        W: (runs n_out, n_x) float32.
        b: (runs n_out, 1) float32.
        residual: returns losses and dZ from Z and the labels.
        tensor: whether to use tensor cores if they can be used; None to decide by the number of rows.
    """
    m, rows = examples.shape[0], W.shape[0]
    tensor = rows >= TENSOR_ROWS if tensor is None else tensor
    by_tensor = tensor and cuda_tensor.handles(examples)
    W = cupy.ascontiguousarray(W)
    size, sums = max(64, TEMPORARY_BYTES // (4 * rows)), []
    for start in range(0, m, size):
        part = slice(start, min(start + size, m))
        Z = cuda_tensor.logits(examples[part], W) if by_tensor else logits(examples[part], W)
        Z += b
        losses, dZ = residual(Z, labels[:, part])
        if weights is not None:
            losses, dZ = losses * weights[:, part], dZ * weights[:, part]
        gradients = cuda_tensor.gradient if by_tensor else gradient
        G = _add_up(gradients(dZ, examples[part]))
        # There may be millions of examples: these sums are in float64.
        loss, r = (each.sum(axis=1, keepdims=True, dtype=cupy.float64) for each in (losses, dZ))
        sums.append((loss, G, r))
    loss, G, r = (functools.reduce(cupy.add, each) for each in zip(*sums, strict=True))
    return loss.astype(W.dtype), G, r.astype(W.dtype)


def logits(examples: Array, W: Array) -> Array:
    """Return W X, (rows, m), of raw examples (m, n_x) uint8 and W (rows, n_x) float32."""
    (m, n_x), rows = examples.shape, W.shape[0]
    macros = _macros(examples, rows)
    Z = cupy.empty((rows, m), cupy.float32)
    grid = -(-m // 64), -(-rows // macros["ROWS"])
    arguments = examples, W, Z, cupy.int64(m), cupy.int32(n_x), cupy.int32(rows)
    _compiled("logits", cupy.cuda.Device().id, **macros)(grid, (256,), arguments)
    return Z


def gradient(dZ: Array, examples: Array) -> Array:
    """Return arrays whose sum is dZ X^T: (splits, rows, n_x).

    dZ: (rows, m) float32. examples: (m, n_x) uint8.
    """
    (m, n_x), rows = examples.shape, dZ.shape[0]
    macros = _macros(examples, rows)
    columns, groups = -(-n_x // 1024), -(-rows // macros["ROWS"])
    splits = max(1, min(-(-m // 64), 8 * _attribute("MultiProcessorCount") // (columns * groups)))
    each = -(-m // splits)
    splits = -(-m // each)
    parts = cupy.empty((splits, rows, n_x), cupy.float32)
    numbers = cupy.int64(m), cupy.int64(each), cupy.int32(n_x), cupy.int32(rows)
    arguments = examples, cupy.ascontiguousarray(dZ), parts, *numbers
    _compiled("gradient", cupy.cuda.Device().id, **macros)((columns, splits, groups), (256,), arguments)
    return parts


def _macros(examples: Array, rows: int) -> dict[str, int]:
    """Return how to compile the kernels logits and gradient: for 1, 2, 4 or 8 rows at a time."""
    return {"ROWS": 1 << min(3, (rows - 1).bit_length()), "ALIGNED": _aligned(examples)}


def _aligned(examples: Array) -> int:
    """Return 16, 4 or 1: the largest of them that divides the address of each example."""
    n_x, address = examples.shape[1], examples.data.ptr
    return next(size for size in (16, 4, 1) if n_x % size == 0 and address % size == 0)
