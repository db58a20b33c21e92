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
"""How much a pass computes for the examples it has at a time, about: the logits of all rows."""

TENSOR_ROWS = 4
"""Fewest rows of weights that go by tensor cores. By float32, compiled to 1.5 to 2 instructions for each
byte and row, so many take longer than reading the bytes does."""

STAGES = 8
"""Most examples that a block of one_pass has in its ring: all but one or two of them are on their way."""


class Build(NamedTuple):
    """How one_pass is compiled: the macros that one_pass.cu describes."""

    THREADS: int
    VECTORS: int
    STAGES: int
    KEEP: int
    BLOCKS: int
    ALIGNED: int

    @property
    def shared_bytes(self) -> int:
        """Size of the ring of a block."""
        return self.STAGES * self.VECTORS * self.THREADS * 16


def build_for(examples: Array) -> Build | None:
    """Return how to compile one_pass for these examples; None if it would take too many registers."""
    n_x, aligned = examples.shape[1], _aligned(examples)
    for keep, vectors in itertools.product((1, 0), (1, 2, 3, 4)):
        threads = 32 * -(-n_x // (16 * 32 * vectors))
        # As the compiler reports: weights, gradients and, if they are kept, the floats of two examples.
        registers = (64 if keep else 36) * vectors + (40 if aligned > 1 else 48)
        # A quarter of a multiprocessor has 16384 of them, and every fourth warp of a block.
        if threads > 1024 or registers > min(255, 512 // -(-threads // 128)):
            continue
        # Compute capability 10 likes more of them, where there may be several blocks.
        blocks = max(1, min(16, 65536 // (threads * (registers + 24))))
        shared = _attribute("MaxSharedMemoryPerMultiprocessor") // blocks - 1024
        # Less what the kernel has beside the ring.
        shared = min(shared, _attribute("MaxSharedMemoryPerBlockOptin")) - 8 * threads - 2048
        stages = min(STAGES, shared // (vectors * threads * 16))
        if stages >= 3:
            return Build(threads, vectors, stages, keep, blocks, aligned)
    return None


@functools.cache
def _compiled(name: str, device: int, **macros: int) -> Any:
    """Return a kernel of one_pass.cu, of its own for each device: it keeps the size of its shared memory."""
    del device
    options = ("--std=c++17", *(f"-D{macro}={value}" for macro, value in macros.items()))
    return cupy.RawModule(code=_SOURCE, options=options).get_function(name)


def _attribute(name: str) -> int:
    runtime = cupy.cuda.runtime
    return int(runtime.deviceGetAttribute(getattr(runtime, f"cudaDevAttr{name}"), cupy.cuda.Device().id))


def _add_up(parts: Array) -> Array:
    """Return the sum over the first axis, in a fixed order."""
    count, totals = parts.shape[0], cupy.empty(parts.shape[1:], cupy.float32)
    grid = (-(-totals.size // 256),)
    kernel = _compiled("add_up", cupy.cuda.Device().id)
    kernel(grid, (256,), (parts, totals, cupy.int32(count), cupy.int64(totals.size)))
    return totals


def one_pass(
    examples: Array, labels: Array, weights: Array | None, W: Array, b: Array, build: Build
) -> tuple[Array, Array, Array]:
    """Return what `linear_loss_and_gradient` does, for one row of weights, by one_pass.cu as it is built."""
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
    """Return what `linear_loss_and_gradient` does, reading the examples once for Z and once for G.

    `tensor` says whether to use tensor cores, where `cuda_tensor.handles` the examples; None to choose.
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
        # Of millions of examples: in float64, whichever way CuPy reduces.
        loss, r = (each.sum(axis=1, keepdims=True, dtype=cupy.float64) for each in (losses, dZ))
        sums.append((loss, G, r))
    loss, G, r = (functools.reduce(cupy.add, each) for each in zip(*sums, strict=True))
    return loss.astype(W.dtype), G, r.astype(W.dtype)


def logits(examples: Array, W: Array) -> Array:
    """Return W X of raw examples (m, n_x) and W (rows, n_x) without a copy of them in floats: (rows, m)."""
    (m, n_x), rows = examples.shape, W.shape[0]
    macros = _macros(examples, rows)
    Z = cupy.empty((rows, m), cupy.float32)
    grid = -(-m // 64), -(-rows // macros["ROWS"])
    arguments = examples, W, Z, cupy.int64(m), cupy.int32(n_x), cupy.int32(rows)
    _compiled("logits", cupy.cuda.Device().id, **macros)(grid, (256,), arguments)
    return Z


def gradient(dZ: Array, examples: Array) -> Array:
    """Return the parts of dZ X^T of dZ (rows, m) and raw examples (m, n_x): (splits, rows, n_x)."""
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
    """Return how to compile logits and gradient: for 1, 2, 4 or 8 rows at a time."""
    return {"ROWS": 1 << min(3, (rows - 1).bit_length()), "ALIGNED": _aligned(examples)}


def _aligned(examples: Array) -> int:
    """Return 16, 4 or 1: what the address of each example is a multiple of."""
    n_x, address = examples.shape[1], examples.data.ptr
    return next(size for size in (16, 4, 1) if n_x % size == 0 and address % size == 0)
