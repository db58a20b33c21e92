"""Matrix products of raw bytes by tensor cores, for many rows of weights: the launches of tensor.cu."""

import functools
from importlib import resources
from typing import Any

import cupy

from xpnet.arrays import Array

_SOURCE = resources.files(__package__).joinpath("tensor.cu").read_text()

LARGEST_EXPONENT = 13
"""Binary exponent of the largest number of a row after it is scaled: well inside the range of float16."""


def handles(examples: Array) -> bool:
    """Return whether the device has the tensor cores, and each example begins at a multiple of 16 bytes."""
    aligned = examples.shape[1] % 16 == 0 and examples.data.ptr % 16 == 0
    return aligned and int(cupy.cuda.Device().compute_capability) >= 80


def logits(examples: Array, W: Array) -> Array:
    """Return W X, (rows, m), of raw examples (m, n_x) uint8 and W (rows, n_x) float32."""
    (m, n_x), rows = examples.shape, W.shape[0]
    tiles = _tiles(rows)
    ordered, scales = weights_in_order(W, tiles)
    Z = cupy.empty((rows, m), cupy.float32)
    grid = -(-m // 256), -(-rows // (8 * tiles))
    numbers = cupy.int64(m), cupy.int32(n_x), cupy.int32(rows)
    _compiled("tensor_logits", tiles)(grid, (256,), (examples, ordered, scales, Z, *numbers))
    return Z


def gradient(dZ: Array, examples: Array) -> Array:
    """Return arrays whose sum is dZ X^T: (splits, rows, n_x).

    dZ: (rows, m) float32. examples: (m, n_x) uint8.
    """
    (m, n_x), rows = examples.shape, dZ.shape[0]
    tiles = _tiles(rows)
    ordered, scales = residuals_in_order(dZ, tiles)
    columns, groups = -(-n_x // 1024), -(-rows // (8 * tiles))
    multiprocessors = cupy.cuda.runtime.deviceGetAttribute(
        cupy.cuda.runtime.cudaDevAttrMultiProcessorCount, cupy.cuda.Device().id
    )
    splits = max(1, min(-(-m // 64), 4 * multiprocessors // (columns * groups)))
    each = 16 * -(-m // (16 * splits))
    splits = -(-m // each)
    parts = cupy.empty((splits, rows, n_x), cupy.float32)
    numbers = cupy.int64(m), cupy.int64(each), cupy.int32(n_x), cupy.int32(rows)
    arguments = examples, ordered, scales, parts, *numbers
    _compiled("tensor_gradient", tiles)((columns, splits, groups), (256,), arguments)
    return parts


def weights_in_order(W: Array, tiles: int) -> tuple[Array, Array]:
    """Return W in the order in which the lanes of tensor_logits read it, and the scale of each row.

    The order is: groups of rows; 64 features; tiles of 8 rows; the high and the low halves. Then come 16
    float16 for each lane, 4 for each product.
    """
    rows, n_x = W.shape
    groups, steps = -(-rows // (8 * tiles)), -(-n_x // 64)
    both, scales = _halves(W, groups * tiles * 8, steps * 64)
    apart = both.reshape(2, groups, tiles, 8, steps, 4, 4, 4)
    return cupy.ascontiguousarray(apart.transpose(1, 4, 2, 0, 3, 5, 6, 7)), scales


def residuals_in_order(dZ: Array, tiles: int) -> tuple[Array, Array]:
    """Return dZ in the order in which the lanes of tensor_gradient read it, and the scale of each row.

    The order is: groups of rows; 16 examples; tiles of 16 rows; the high and the low halves. Then come 8
    float16 for each lane.
    """
    rows, m = dZ.shape
    groups, steps = -(-rows // (8 * tiles)), -(-m // 16)
    both, scales = _halves(dZ, groups * tiles * 8, steps * 16)
    apart = both.reshape(2, groups, tiles // 2, 2, 8, steps, 4, 2, 2)
    return cupy.ascontiguousarray(apart.transpose(1, 5, 2, 0, 4, 6, 7, 3, 8)), scales


def _halves(A: Array, rows: int, columns: int) -> tuple[Array, Array]:
    """Scale each row of A; return it as two float16 whose sum it is, (2, rows, columns), and the scales.

    rows, columns: the size of the result, which is filled up with zeros.
    """
    largest = cupy.max(cupy.abs(A), axis=1, keepdims=True)
    largest = cupy.maximum(largest, 1e-25)  # so that a row of zeros has a finite scale
    scales = cupy.exp2(cupy.floor(LARGEST_EXPONENT - cupy.log2(largest)))
    scaled = cupy.zeros((rows, columns), cupy.float32)
    scaled[: A.shape[0], : A.shape[1]] = A * scales
    both = cupy.empty((2, rows, columns), cupy.float16)
    both[0] = scaled
    both[1] = scaled - both[0]
    return both, scales


def _tiles(rows: int) -> int:
    """Return how many tiles of 8 rows the kernels take at a time."""
    return 2 if rows <= 16 else 4


@functools.cache
def _compiled(name: str, tiles: int) -> Any:
    return cupy.RawModule(code=_SOURCE, options=("--std=c++17", f"-DTILES={tiles}")).get_function(name)
