"""Faster implementations of portable functions for NumPy, in C (native.c), compiled when xpnet is installed.

Without a C compiler xpnet is installed without them. Then the kernels of on_numpy.py run, or the portable
functions.
"""

import ctypes
import functools
import os
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from xpnet.arrays import Array
from xpnet.kernels.threads import in_threads
from xpnet.processors import cores

SHARE = 4 << 20
"""The least bytes of raw examples in a part that a thread takes."""

MOST_PARTS = 16
"""The most parts of the examples in `linear_loss_and_gradient`."""

STEPS = 1 << 22
"""Multiplications in `gram_steps` for which another thread is worthwhile."""

CACHE = 1 << 20
"""Bytes of a block in `byte_gram`, about the size of the cache of one core."""

MOST_GRAM_EXAMPLES = 1024
"""Most examples for which `byte_gram` is faster than a matrix product by BLAS."""


MOST_PATCH_BYTES = 1 << 16
"""Most bytes of a patch whose squares add up in 32 bits."""


def _load() -> ctypes.CDLL | None:
    """Return the compiled library, or None if there is none that was compiled from the present sources."""
    path = Path(__file__).with_name("_native.pyd" if os.name == "nt" else "_native.so")
    sources = [resources.files(__package__).joinpath(name) for name in ("native.c", "native_real.h")]
    checksum = zlib.crc32(b"".join(source.read_bytes() for source in sources))
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # there is none, or it was compiled for another kind of machine
        return None
    # A library that was compiled before the sources changed may expect other parameters.
    source = getattr(library, "source", lambda: 0)
    return library if source() & 0xFFFFFFFF == checksum else None


LIBRARY = _load()
"""The functions of native.c; None if they were not compiled."""


@functools.cache
def _function(name: str, dtype: str, signature: str) -> Callable[..., None]:
    """Return a function of native.c.

    Args:
        name: name of the function, without the ending for its dtype.
        dtype: "f" for the function for float, "d" for double; "" if there is only one.
        signature: one letter for each parameter: p pointer, n ptrdiff_t, i int, f float, r number of
            the dtype.
    """
    real = ctypes.c_float if dtype == "f" else ctypes.c_double
    kinds = {"p": ctypes.c_void_p, "n": ctypes.c_ssize_t, "i": ctypes.c_int, "f": ctypes.c_float, "r": real}
    function = getattr(LIBRARY, name + {"f": "_float", "d": "_double", "": ""}[dtype])
    function.restype, function.argtypes = None, [kinds[letter] for letter in signature]
    return function  # type: ignore[no-any-return]


def _handles(array: Array, *others: Array | None) -> bool:
    """Return whether C can take these arrays: C-contiguous, and all float32 or all float64."""
    if LIBRARY is None or array.dtype.char not in "fd":
        return False
    given = [other for other in (array, *others) if other is not None]
    return all(
        other.dtype == array.dtype and other.flags.c_contiguous and other.flags.aligned for other in given
    )


def _alike(p: Array, *others: Array) -> bool:
    """Return whether C can take parameters and other arrays, all of the same shape and dtype."""
    return _handles(p, *others) and all(other.shape == p.shape for other in others)


def _is_bytes(examples: Array) -> bool:
    """Return whether examples are C-contiguous bytes."""
    return bool(examples.dtype == np.uint8 and examples.flags.c_contiguous)


def _at(array: Array | None) -> int | None:
    """Return the address of the first element of an array; None for None."""
    return None if array is None else array.ctypes.data


def logistic_residual(Z: Array, Y: Array) -> Any:
    """A faster implementation of `logistic_residual`."""
    if not (_handles(Z, Y) and Z.ndim == 2 and Y.shape == (1, Z.shape[1])):
        return NotImplemented
    losses, dZ = np.empty_like(Z), np.empty_like(Z)
    call = _function("logistic_residual", Z.dtype.char, "ppnnpp")
    call(_at(Z), _at(Y), *Z.shape, _at(losses), _at(dZ))
    return losses, dZ


def linear_loss_and_gradient(
    examples: Array,
    labels: Array,
    weights: Array | None,
    W: Array,
    b: Array,
    *,
    center: Array | None,
    residual: Callable[..., tuple[Array, Array]],
    rows: int,
) -> Any:
    """A faster implementation of `linear_loss_and_gradient`, for one logistic regression over bytes.

    Threads share parts of the examples, which are added up in order. Each example is read once.
    """
    del rows
    single = len(W) == 1 and residual.__name__ == "logistic_residual" and center is None
    if not (single and _is_bytes(examples) and _handles(W, b, labels, weights)):
        return NotImplemented
    m, n_x = examples.shape
    weights = np.ones_like(labels) if weights is None else weights
    if not (labels.shape == weights.shape == (1, m) and W.shape == (1, n_x)):
        return NotImplemented
    count = max(1, min(MOST_PARTS, examples.nbytes // SHARE))
    call = _function("logistic_pass", W.dtype.char, "pnnppprppp")
    x, y, omega = (array.ctypes.data for array in (examples, labels, weights))

    def share(k: int) -> tuple[np.ndarray, np.ndarray]:
        first, last = k * m // count, (k + 1) * m // count
        total, sums, room = np.zeros((1, n_x)), np.zeros(2), np.empty(n_x, W.dtype)
        skip = first * W.itemsize
        call(
            x + first * n_x, last - first, n_x, y + skip, omega + skip,
            _at(W), float(b[0, 0]), _at(room), _at(total), _at(sums),
        )  # fmt: skip
        return total, sums

    totals, sums = zip(*in_threads(share, count), strict=True)
    loss, r = functools.reduce(np.add, sums)
    return (
        np.full((1, 1), loss, W.dtype),
        functools.reduce(np.add, totals).astype(W.dtype),
        np.full((1, 1), r, W.dtype),
    )


def byte_gram(examples: Array) -> Any:
    """A faster implementation of `byte_gram` for few examples.

    It multiplies integers, block by block of the features, so that a block stays in the cache.
    """
    m, n_x = examples.shape
    if LIBRARY is None or examples.dtype != np.uint8 or m > MOST_GRAM_EXAMPLES:
        return NotImplemented
    threads = max(1, min(cores(), m * examples.nbytes // (16 * SHARE)))
    # Each thread computes some rows of the lower triangle, a multiple of four. Later rows are longer: later
    # shares have fewer of them, so that all have about the same number of elements.
    cuts = [min(m, 4 * round(m / 4 * (k / threads) ** 0.5)) for k in range(threads)] + [m]
    G, features = np.zeros((m, m)), min(4096, CACHE // (2 * m))
    call = _function("gram", "", "pnnnpn")

    def share(k: int) -> None:
        for start in range(0, n_x, features):
            block = examples[: cuts[k + 1], start : start + features].astype(np.int16)
            call(_at(block), block.shape[1], cuts[k], cuts[k + 1], _at(G), m)

    in_threads(share, threads)
    return np.tril(G) + np.tril(G, -1).T


def gram_steps(
    C: Array,
    c: Array,
    b: Array,
    costs: Array,
    G: Array,
    Z0: Array,
    labels: Array,
    weights: Array | None,
    *,
    rate: Array,
    l2: Array,
    share: Array,
    square0: Array,
    penalized: bool,
    output: str,
) -> Any:
    """A faster implementation of `gram_steps` for logistic regression.

    The runs are shared among threads. Each thread takes four runs at a time.
    """
    del share, penalized
    columns = (rate, l2, square0, c, b)
    if output != "sigmoid" or not _handles(C, G, Z0, labels, weights, *columns) or costs.dtype != C.dtype:
        return NotImplemented
    (runs, m), steps = C.shape, costs.shape[1]
    omega = np.ones_like(labels) if weights is None else weights
    if not (G.shape == (m, m) and Z0.shape == C.shape and labels.shape == omega.shape == (1, m)):
        return NotImplemented
    threads = max(1, min(cores(), runs // 4, runs * m * m * steps // STEPS))
    call = _function("gram_steps", C.dtype.char, "pnppnppppppppnp")

    cuts = [runs * k // threads // 4 * 4 for k in range(threads)] + [runs]

    def part(k: int) -> None:
        own = slice(cuts[k], cuts[k + 1])
        room, taken = np.empty((4, m), C.dtype), np.empty((own.stop - own.start, steps), C.dtype)
        call(
            _at(G), m, _at(labels), _at(omega), len(taken), _at(Z0[own]), *(_at(a[own]) for a in columns[:3]),
            _at(C[own]), _at(c[own]), _at(b[own]), _at(room), steps, _at(taken),
        )  # fmt: skip
        costs[own] = taken

    in_threads(part, threads)
    return None


def gather(examples: Array, indices: Array | None, mean: Array | None, scale: Any, dtype: Any) -> Any:
    """A faster implementation of `gather` for examples of bytes, in one pass."""
    several = not isinstance(scale, float)
    if LIBRARY is None or not _is_bytes(examples) or (mean is None) == several:
        return NotImplemented
    if indices is not None and not (indices.dtype == np.int64 and indices.flags.c_contiguous):
        return NotImplemented
    m, n_x = examples.shape
    k = m if indices is None else len(indices)
    if indices is not None and k and not 0 <= indices.min() <= indices.max() < m:
        return NotImplemented  # the portable function raises an error
    rows = np.empty((k, n_x), dtype)
    if rows.dtype.char not in "fd":
        return NotImplemented
    if mean is not None and not (_handles(rows, mean, scale) and mean.shape == scale.shape == (1, n_x)):
        return NotImplemented
    call = _function("gather", rows.dtype.char, "pnpnpprp")
    scales = _at(scale) if several else None
    call(_at(examples), n_x, _at(indices), k, _at(mean), scales, 1.0 if several else scale, _at(rows))
    return rows


def patch_rows(images: Array, *, size: int, contrast: float) -> Any:
    """A faster implementation of `patch_rows`: a patch is read twice, and its row is written once."""
    k, height, width, channels = images.shape
    if LIBRARY is None or not _is_bytes(images) or size**2 * channels > MOST_PATCH_BYTES:
        return NotImplemented
    found = np.empty((k * (height - size + 1) * (width - size + 1), size**2 * channels + 1), np.float32)
    call = _function("patch_rows", "", "pnnnnnfp")
    call(_at(images), *images.shape, size, contrast, _at(found))
    return found


def pool_cells(
    Z: Array, *, threshold: float, rows: tuple[tuple[int, int], ...], columns: tuple[tuple[int, int], ...]
) -> Any:
    """A faster implementation of `pool_cells`: Z is read once, or twice where cells share a line."""
    grid = np.array(rows, np.int64), np.array(columns, np.int64)
    sizes = Z.shape[1:3]
    if not _handles(Z) or any(
        cells.min() < 0 or cells.max() > n for cells, n in zip(grid, sizes, strict=True)
    ):
        return NotImplemented
    found = np.empty((Z.shape[0], len(rows), len(columns), 2, Z.shape[3]), Z.dtype)
    call = _function("pool_cells", Z.dtype.char, "pnnnnpnpnrp")
    call(_at(Z), *Z.shape, _at(grid[0]), len(rows), _at(grid[1]), len(columns), threshold, _at(found))
    return found


def descend(p: Array, g: Array, *, rate: float) -> Any:
    """A faster implementation of `descend`: one pass over the parameters."""
    if not (_alike(p, g) and isinstance(rate, float)):  # not an array of rates, for several networks
        return NotImplemented
    return _function("descend", p.dtype.char, "ppnr")(_at(p), _at(g), p.size, rate)


def momentum(p: Array, g: Array, v: Array, *, rate: float, beta: float, nesterov: bool) -> Any:
    """A faster implementation of `momentum`: one pass over the parameters."""
    if not (_alike(p, g, v) and isinstance(rate, float)):
        return NotImplemented
    call = _function("momentum", p.dtype.char, "pppnrri")
    return call(_at(p), _at(g), _at(v), p.size, rate, beta, nesterov)


def rmsprop(p: Array, g: Array, s: Array, *, rate: float, rho: float, epsilon: float) -> Any:
    """A faster implementation of `rmsprop`: one pass over the parameters."""
    if not (_alike(p, g, s) and isinstance(rate, float)):
        return NotImplemented
    call = _function("rmsprop", p.dtype.char, "pppnrrr")
    return call(_at(p), _at(g), _at(s), p.size, rate, rho, epsilon)


def adam(
    p: Array, g: Array, v: Array, s: Array, *, rate: float, beta1: float, beta2: float, epsilon: float, t: int
) -> Any:
    """A faster implementation of `adam`: one pass over the parameters."""
    if not (_alike(p, g, v, s) and isinstance(rate, float)):
        return NotImplemented
    factor, corrected = rate / (1.0 - beta1**t), (1.0 - beta2**t) ** 0.5
    call = _function("adam", p.dtype.char, "ppppnrrrrrrr")
    options = (factor, beta1, beta2, 1.0 - beta1, 1.0 - beta2, corrected, epsilon)
    return call(_at(p), _at(g), _at(v), _at(s), p.size, *options)
