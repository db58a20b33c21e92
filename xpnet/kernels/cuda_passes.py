"""Losses and gradients of logistic and softmax regression over raw bytes on a GPU, by integer_passes.cu."""

import ctypes
import functools
import itertools
import sys
from importlib import resources
from typing import Any, NamedTuple

import cupy

from xpnet.arrays import Array

_SOURCE = resources.files(__package__).joinpath("integer_passes.cu").read_text()

TILE = 32
"""Examples that a cluster of blocks of `one_pass` takes at a time."""

MOST_SUMS = 65_536
"""Most products of a byte and a digit, at most 255 * 128, that are added up in int32."""

TEMPORARY_BYTES = 256 << 20
"""About how many bytes of logits and digits `two_passes` has at a time."""

WARPS, TILES = 12, 16
"""Most warps of `one_pass` on a multiprocessor, and most tiles of 16 features of a warp.

A tile takes 8 registers of a thread: 4 for the bytes of 32 examples, and 4 for the gradient. There are 168.
"""

RESERVED_BYTES = 1024
"""Shared memory that each block on a multiprocessor needs beside its own."""

ROWS = 32
"""Most rows of weights that `two_passes` multiplies with a byte each time it is read."""

WIDE_ROWS = 16
"""The same for examples that are too wide for sums in int32: the sums in int64 need registers, too."""

FINEST_ONE_PASS, FINEST = 30, 22
"""Exponents of the largest weight and residual as an integer: of four digits, and of three."""


class OnePass(NamedTuple):
    """How one_pass is compiled: its macros, which integer_passes.cu explains."""

    CLUSTER: int
    WARPS: int
    TILES: int
    STAGES: int
    BLOCKS: int
    BULK: int

    @property
    def features(self) -> int:
        """How many features a block has."""
        return self.WARPS * self.TILES * 16

    @property
    def shared_bytes(self) -> int:
        """Bytes of shared memory of a block: the stages, the digits of the weights, and `Exchange`."""
        exchange = (
            8 * (self.STAGES + 2) + 16 * TILE * (self.WARPS + 2 * self.CLUSTER) + 8 * TILE + 4 * self.WARPS
        )
        return self.STAGES * TILE * (self.features + 16) + self.features * 4 + -(-exchange // 16) * 16


class Shape(NamedTuple):
    """How logits or gradient is compiled: its macros, which integer_passes.cu explains."""

    HALVES: int
    CHUNK: int
    STAGES: int

    @property
    def span(self) -> int:
        """Examples of a block of logits, or features of a block of gradient."""
        return 128 * self.HALVES

    def suits(self, kernel: str) -> bool:
        """Return whether the threads of a block can copy the examples of "logits" or of "gradient"."""
        pieces, count = (self.CHUNK // 16, self.span) if kernel == "logits" else (self.span // 16, self.CHUNK)
        return 256 % pieces == 0 and count % (256 // pieces) == 0

    def shared_bytes(self, triples: int) -> int:
        """Bytes of shared memory of a block of either kernel, with padding to avoid bank conflicts."""
        longest = max(self.span * (self.CHUNK + 16), self.CHUNK * (self.span + 16))
        return self.STAGES * (longest + self.CHUNK // 32 * 3 * triples * 256)


class TwoPasses(NamedTuple):
    """How the kernels of `two_passes` are compiled: TRIPLES, WIDE, and the shapes of two of them."""

    triples: int
    wide: int
    logits: Shape
    gradient: Shape

    @property
    def rows(self) -> int:
        """Rows of weights of a group."""
        return 8 * self.triples


SHAPES = {
    "logits": (
        {1: Shape(2, 256, 3), 2: Shape(2, 256, 2), 3: Shape(2, 256, 2), 4: Shape(2, 256, 2)},
        Shape(2, 128, 4),
    ),
    "gradient": (
        {1: Shape(4, 64, 3), 2: Shape(4, 64, 3), 3: Shape(4, 128, 2), 4: Shape(4, 128, 2)},
        Shape(2, 64, 4),
    ),
}
"""The shapes that were fastest on an H200, by the triples of rows; and one that needs less shared memory."""


def most_shared_bytes() -> int:
    """Return the most shared memory that a block can have."""
    return _attribute("MaxSharedMemoryPerBlockOptin")


def handles(examples: Array) -> bool:
    """Return whether the device has these tensor cores, and each example begins at a multiple of 16 bytes."""
    aligned = examples.shape[1] % 16 == 0 and examples.data.ptr % 16 == 0
    return aligned and examples.flags.c_contiguous and _capability() >= 80


def one_pass_build(n_x: int) -> OnePass | None:
    """Return how to compile one_pass for this number of features; None if no cluster can hold an example."""
    bulk = _capability() >= 90
    for cluster in (1, 2, 4) if bulk else (1,):
        tiles = -(-n_x // (16 * cluster))
        warps = -(-tiles // TILES)
        if warps > WARPS:
            continue
        each = 2 * -(-tiles // (2 * warps))
        for blocks, stages in itertools.product(range(WARPS // warps, 0, -1), (4, 3, 2)):
            room = _attribute("MaxSharedMemoryPerMultiprocessor") // blocks - RESERVED_BYTES
            build = OnePass(cluster, warps, each, stages, blocks, int(bulk))
            if build.shared_bytes <= min(room, most_shared_bytes()):
                return build
    return None


def two_passes_build(rows: int, n_x: int) -> TwoPasses:
    """Return how to compile the other kernels for these numbers of rows of weights and of features."""
    wide = n_x > MOST_SUMS
    groups = -(-rows // (WIDE_ROWS if wide else ROWS))
    triples = -(-rows // (8 * groups))
    shapes = {kernel: _fitting(kernel, triples) for kernel in SHAPES}
    return TwoPasses(triples, int(wide), **shapes)


def _fitting(kernel: str, triples: int) -> Shape:
    """Return a shape that fits into the shared memory of a block, the fastest where one was measured."""
    fastest, small = SHAPES[kernel]
    found = [fastest[triples], small] if _has_products_of_four_warps() else [small]
    shapes = (shape._replace(STAGES=stages) for shape in found for stages in (shape.STAGES, 2))
    most = most_shared_bytes()
    return next(shape for shape in shapes if shape.shared_bytes(triples) <= most)


def one_pass(
    examples: Array, labels: Array, weights: Array | None, W: Array, b: Array, build: OnePass
) -> tuple[Array, Array, Array]:
    """Compute `linear_loss_and_gradient` of one logistic regression, reading each example once.

    Args:
        examples: (m, n_x) uint8, which `handles` handles.
        labels: (1, m) float32 from 0 to 1.
        weights: weights of the examples, (1, m) float32, or None.
        W: (1, n_x) float32.
        b: (1, 1) float32.
        build: how to compile the kernel.
    """
    m, n_x = examples.shape
    kernel = _compiled("one_pass", _device(), SHARED_BYTES=build.shared_bytes, **build._asdict())
    kernel.max_dynamic_shared_size_bytes = build.shared_bytes
    clusters = min(_clusters_at_once(_device(), build), -(-m // TILE))
    labels, W = cupy.ascontiguousarray(labels), cupy.ascontiguousarray(W)
    given, largest, weighted = _weights(weights, W)
    totals, each = cupy.zeros((1, n_x + 1), cupy.int64), clusters * MOST_SUMS
    starts = range(0, m, each)
    losses = cupy.empty((1, len(starts) * clusters), cupy.float64)
    for i, start in enumerate(starts):
        count = min(each, m - start)
        part = slice(start, start + count)
        arguments = (
            examples[part], labels[0, part], given[0, part] if weights is not None else given, W, b, largest,
            totals, losses[0, i * clusters :], cupy.int64(count), cupy.int32(n_x), weighted,
        )  # fmt: skip
        grid = (clusters * build.CLUSTER,)
        kernel(grid, (32 * build.WARPS,), arguments, shared_mem=build.shared_bytes)
    return _finish(totals, losses, largest, weighted, FINEST_ONE_PASS)


def two_passes(
    examples: Array,
    labels: Array,
    weights: Array | None,
    W: Array,
    b: Array,
    build: TwoPasses | None = None,
) -> tuple[Array, Array, Array]:
    """Compute `linear_loss_and_gradient`, reading the examples twice: for the logits and for the gradient.

    Args:
        examples: (m, n_x) uint8, which `handles` handles.
        labels: (n_out, m) float32 from 0 to 1: of logistic regressions if n_out is 1, else of softmax ones.
        weights: weights of the examples, (1, m) float32, or None.
        W: (runs n_out, n_x) float32.
        b: (runs n_out, 1) float32.
        build: how to compile the kernels; None to choose.
    """
    (m, n_x), rows, classes = examples.shape, W.shape[0], labels.shape[0]
    build = build or two_passes_build(rows, n_x)
    ordered, inverses = weight_digits(cupy.ascontiguousarray(W), build)
    given, largest, weighted = _weights(weights, W)
    padded = -(-rows // build.rows) * build.rows
    # Z in float32 and three digits for each example and row. Of a multiple of 256 examples: see the digits.
    size = max(256, TEMPORARY_BYTES // (7 * padded) // 256 * 256)
    totals, losses = cupy.zeros((rows, n_x + 1), cupy.int64), []
    for start in range(0, m, size):
        part = slice(start, min(start + size, m))
        Z = logits(examples[part], ordered, inverses, cupy.ascontiguousarray(b), build)
        y = cupy.ascontiguousarray(labels[:, part])
        its = given[0, part] if weights is not None else given
        digits, loss = _residual_digits(
            Z, y, its, largest, weighted, totals[0, n_x:], n_x + 1, classes, build
        )
        losses.append(loss)
        add_gradient(examples[part], digits, totals, build)
    return _finish(
        totals, losses[0] if len(losses) == 1 else cupy.concatenate(losses, axis=1), largest, weighted, FINEST
    )


def weight_digits(W: Array, build: TwoPasses) -> tuple[Array, Array]:
    """Return the digits of W (rows, n_x) in the order of logits, and one by the scale of each row."""
    rows, n_x = W.shape
    groups, steps = -(-rows // build.rows), -(-n_x // build.logits.CHUNK) * build.logits.CHUNK // 32
    digits = cupy.empty((groups, steps, 3 * build.triples, 2, 32), cupy.uint32)
    inverses = cupy.empty(groups * build.rows, cupy.float64)
    arguments = W, digits, inverses, cupy.int32(n_x), cupy.int32(steps), cupy.int32(rows)
    _of_two("weight_digits", build)(inverses.shape, (256,), arguments)
    return digits, inverses


def logits(examples: Array, digits: Array, inverses: Array, b: Array, build: TwoPasses) -> Array:
    """Return Z = W X + b, (rows, m): the exact product of the bytes and the digits, rounded once, plus b."""
    (m, n_x), rows = examples.shape, b.shape[0]
    Z = cupy.empty((rows, m), cupy.float32)
    grid = -(-m // build.logits.span), -(-rows // build.rows)
    arguments = examples, digits, inverses, b, Z, cupy.int64(m), cupy.int32(n_x), cupy.int32(rows)
    _of_two("logits", build)(grid, (256,), arguments, shared_mem=build.logits.shared_bytes(build.triples))
    return Z


def _residual_digits(
    Z: Array, labels: Array, weights: Array, largest: Array, weighted: Any, totals: Array, stride: int,
    classes: int, build: TwoPasses,
) -> tuple[Array, Array]:  # fmt: skip
    """Return the digits of dZ in the order of gradient, and losses (runs, blocks); add the sums of dZ."""
    rows, m = Z.shape
    groups, steps = -(-rows // build.rows), -(-m // 32)
    digits = cupy.empty((groups, steps, 3 * build.triples, 2, 32), cupy.uint32)
    runs, blocks = rows // classes, -(-steps // 8)
    losses = cupy.empty((runs, blocks), cupy.float64)
    arguments = (
        Z,
        labels,
        weights,
        largest,
        digits,
        losses,
        totals,
        cupy.int64(stride),
        cupy.int64(m),
        cupy.int32(rows),
    )
    if classes == 1:
        kernel = _of_two("logistic_digits", build)
        kernel((blocks, groups * build.triples), (256,), (*arguments, weighted))
    else:
        kernel = _of_two("softmax_digits", build)
        kernel((blocks, runs + 1), (256,), (*arguments, cupy.int32(classes), weighted))
    return digits, losses


def add_gradient(examples: Array, digits: Array, totals: Array, build: TwoPasses) -> None:
    """Add dZ X^T, as integers, to totals (rows, n_x + 1) int64. Any division gives the same."""
    (m, n_x), (rows, stride) = examples.shape, totals.shape
    shape = build.gradient
    columns, groups = -(-n_x // shape.span), -(-rows // build.rows)
    most = MOST_SUMS // shape.CHUNK * shape.CHUNK
    # As many blocks as the device runs at once, or a multiple of it.
    at_once, each = _attribute("MultiProcessorCount"), columns * groups
    fewest = max(1, -(-m // most), min(-(-m // (4 * shape.CHUNK)), 2 * at_once // each))
    splits = max(fewest, -(-fewest * each // at_once) * at_once // each)
    size = min(most, -(-m // (splits * shape.CHUNK)) * shape.CHUNK)
    numbers = cupy.int64(stride), cupy.int64(m), cupy.int64(size), cupy.int32(n_x), cupy.int32(rows)
    _of_two("gradient", build)(
        (columns, -(-m // size), groups), (256,), (examples, digits, totals, *numbers),
        shared_mem=shape.shared_bytes(build.triples),
    )  # fmt: skip


def _finish(
    totals: Array, losses: Array, largest: Array, weighted: Any, finest: int
) -> tuple[Array, Array, Array]:
    """Return loss (runs, 1), G (rows, n_x) and r (rows, 1).

    Args:
        totals: sums of integers, (rows, n_x + 1) int64.
        losses: parts of the losses, (runs, count) float64.
        largest: see `_weights`.
        weighted: see `_weights`.
        finest: the exponent of the residuals.
    """
    (rows, stride), (runs, count) = totals.shape, losses.shape
    loss, r = cupy.empty((runs, 1), cupy.float32), cupy.empty((rows, 1), cupy.float32)
    G = cupy.empty((rows, stride - 1), cupy.float32)
    numbers = (cupy.int32(number) for number in (count, runs, stride - 1, finest))
    arguments = totals, losses, largest, loss, G, r, *numbers, weighted
    _compiled("finish", _device())((-(-stride // 256), rows), (256,), arguments)
    return loss, G, r


def _weights(weights: Array | None, other: Array) -> tuple[Array, Array, Any]:
    """Return the weights of examples, the largest, and if there are any; else arrays that are not read."""
    if weights is None:
        return other, other, cupy.int32(0)
    return cupy.ascontiguousarray(weights), weights.max(), cupy.int32(1)


def _of_two(name: str, build: TwoPasses) -> Any:
    """Return a kernel of `two_passes`."""
    shape: Shape | None = {"logits": build.logits, "gradient": build.gradient}.get(name)
    if shape is not None and not shape.suits(name):
        msg = f"{name} cannot be compiled as {shape}"
        raise ValueError(msg)
    macros = (shape or build.logits)._asdict()
    kernel = _compiled(name, _device(), TRIPLES=build.triples, WIDE=build.wide, **macros)
    if shape is not None:
        kernel.max_dynamic_shared_size_bytes = shape.shared_bytes(build.triples)
    return kernel


def _compiled(name: str, device: int, **macros: int) -> Any:
    """Return a kernel. Each device has its own, because it keeps the size of its shared memory."""
    return _kernel(name, device, tuple(macros.items()))


@functools.cache
def _kernel(name: str, device: int, macros: tuple[tuple[str, int], ...]) -> Any:
    return _module(device, macros).get_function(name)


@functools.cache
def _module(device: int, macros: tuple[tuple[str, int], ...]) -> Any:
    """Return all kernels for these macros: to compile them together takes as long as one."""
    del device  # a key of the cache
    options = ("--std=c++17", *(f"-D{macro}={value}" for macro, value in macros))
    if _has_products_of_four_warps():
        options += ("-arch=sm_90a",)  # it prevails over CuPy's own option
    return cupy.RawModule(code=_SOURCE, options=options)


class _LaunchConfig(ctypes.Structure):
    """CUlaunchConfig of the driver."""

    _fields_ = (
        *((name, ctypes.c_uint) for name in ("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z")),
        ("shared_bytes", ctypes.c_uint), ("stream", ctypes.c_void_p), ("attributes", ctypes.c_void_p),
        ("attribute_count", ctypes.c_uint),
    )  # fmt: skip


@functools.cache
def driver() -> Any:
    """Return the CUDA driver's library. CuPy has loaded it already. It has what CuPy does not offer."""
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


@functools.cache
def _clusters_at_once(device: int, build: OnePass) -> int:
    """Return how many clusters of blocks of one_pass run at the same time.

    One cluster more would run alone, after the others.
    """
    if build.CLUSTER == 1:
        return _attribute("MultiProcessorCount") * build.BLOCKS
    kernel = _compiled("one_pass", device, SHARED_BYTES=build.shared_bytes, **build._asdict())
    kernel.max_dynamic_shared_size_bytes = build.shared_bytes
    grid = build.CLUSTER * _attribute("MultiProcessorCount")
    config = _LaunchConfig(grid, 1, 1, 32 * build.WARPS, 1, 1, build.shared_bytes, None, None, 0)
    count = ctypes.c_int()
    status = driver().cuOccupancyMaxActiveClusters(
        ctypes.byref(count), ctypes.c_void_p(kernel.kernel.ptr), ctypes.byref(config)
    )
    if status or count.value < 1:
        msg = f"cuOccupancyMaxActiveClusters: status {status}, {count.value} clusters of {build}"
        raise RuntimeError(msg)
    return count.value


def _has_products_of_four_warps() -> bool:
    """Return whether `logits` and `gradient` can be compiled for what only compute capability 9.0 has.

    Before 12.9, NVRTC refuses a second architecture beside the one that CuPy gives.
    """
    return _capability() == 90 and cupy.cuda.nvrtc.getVersion() >= (12, 9)


def _device() -> int:
    return int(cupy.cuda.Device().id)


def _capability() -> int:
    return int(cupy.cuda.Device().compute_capability)


@functools.cache
def _attribute_of(name: str, device: int) -> int:
    runtime = cupy.cuda.runtime
    return int(runtime.deviceGetAttribute(getattr(runtime, f"cudaDevAttr{name}"), device))


def _attribute(name: str) -> int:
    """Return an attribute of the current device: one of CUDA's constants cudaDevAttr..."""
    return _attribute_of(name, _device())
