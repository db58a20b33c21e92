"""How many patches a dictionary has: by the number of examples, or as many as a time and the memory allow.

The time is estimated from the number of operations of extraction and ridge classification, and from the speed
of one product of matrices on this machine.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from xpnet.features import PatchSettings, inner_shape
from xpnet.linear import MAX_FEATURES, add_products, is_by_example
from xpnet.processors import memory_bytes

if TYPE_CHECKING:
    from xpnet.backend import Backend

MANY_EXAMPLES = 10_000
"""With so many examples there are fewer features, which takes less time."""

SIZES = {"few": (4, 960), "many": (3, 560)}
"""Cells of the grid of patch features along each side, and patches in the dictionary, by the examples.

Without mirror images half of the patches give as many features.
"""

LEAST_GRID, LEAST_COUNT = 2, 100
"""The fewest cells and patches, where features of more would take too much memory."""

MOST_COUNT = 8000
"""The most patches for any budget."""

STEP = 40
"""Patches are added in such steps, so that the same budget often gives the same model."""

SMALLER = PatchSettings(size=4, grid=2, scale=14 / 32)
"""The patches of a smaller copy of the image, which show larger parts of it."""

MEMORY_SHARE = 0.25
"""The share of the memory that features may take."""

BUDGET_MEMORY_SHARE = 0.6
"""The share of the memory that features and equations may take, if the user gives a budget."""

PENALTIES = 6
"""About how many penalties ridge classification tries: the equations are solved so often."""

SPEED = {"extraction": 0.5, "solution": 0.5}
"""The speed of other parts as a share of that of a product of matrices."""

UNPLANNED = 0.25
"""The share of a budget for all that is not estimated, such as decoding images and comparing features."""


def size_by(m: int) -> tuple[int, int]:
    """Return cells along each side and patches that suit m examples, with any memory."""
    return SIZES["many" if m >= MANY_EXAMPLES else "few"]


def usual_size(m: int, most_bytes: float | None = None) -> tuple[int, int]:
    """Return cells along each side and patches for m examples, whose features fit into the memory.

    An example has a feature for each cell and patch, in float32; and those of `SMALLER`. If not even the
    fewest fit, these are returned.

    Args:
        m: number of examples.
        most_bytes: how much memory features may take; None for `MEMORY_SHARE` of the machine's.
    """
    most_bytes = MEMORY_SHARE * memory_bytes() if most_bytes is None else most_bytes
    for grid, count in (SIZES["few"], SIZES["many"])[m >= MANY_EXAMPLES :]:
        if 4 * m * feature_count(grid, count) <= most_bytes:
            return grid, count
    count = int(most_bytes) // (4 * m * feature_count(LEAST_GRID, 1))
    return LEAST_GRID, max(LEAST_COUNT, min(SIZES["many"][1], count // 2 * 2))


def feature_count(grid: int, count: int) -> int:
    """Return the number of features of an image, with those of the smaller copy."""
    return (grid**2 + SMALLER.grid**2) * count


def affordable_count(m: int, shape: tuple[int, int, int], minutes: float, backend: Backend) -> int:
    """Return how many patches fit into a time and the memory.

    Args:
        m: number of examples.
        shape: of the images, (height, width, channels).
        minutes: how long the training may take.
        backend: the device.
    """
    grid, _ = size_by(m)
    speed, seconds = operations_per_second(backend), 60 * minutes * (1 - UNPLANNED)
    most_bytes = BUDGET_MEMORY_SHARE * memory_bytes()

    def fits(count: int) -> bool:
        n = feature_count(grid, count)
        is_solvable = n <= MAX_FEATURES or is_by_example(m, n)
        is_small = is_solvable and needed_bytes(m, n) <= most_bytes
        return is_small and needed_operations(m, shape, grid, count) <= seconds * speed

    return max(filter(fits, range(LEAST_COUNT, MOST_COUNT + 1, STEP)), default=LEAST_COUNT)


def needed_bytes(m: int, n: int) -> int:
    """Return how much memory n features of m examples and the equations of ridge classification take."""
    return 4 * m * n + (4 * m * m if is_by_example(m, n) else 8 * n * n)


def needed_operations(m: int, shape: tuple[int, int, int], grid: int, count: int) -> float:
    """Return how many operations a training takes, as products of matrices would in the same time.

    Args:
        m: number of examples.
        shape: of the images.
        grid: number of cells along each side.
        count: number of patches.
    """
    patches = 0
    for settings in (PatchSettings(), SMALLER):
        height, width, channels = inner_shape(settings, shape)
        positions = max(1, height - settings.size + 1) * max(1, width - settings.size + 1)
        patches += positions * settings.size**2 * channels
    extraction = 2.0 * m * patches * count
    n = feature_count(grid, count)
    if is_by_example(m, n):  # to leave out each example takes as long again as the factor
        products, solution = float(n * m**2), 2 * m**3 / 3
    else:
        products, solution = float(m * n**2), n**3 / 3
    return extraction / SPEED["extraction"] + products + PENALTIES * solution / SPEED["solution"]


def operations_per_second(backend: Backend) -> float:
    """Return how many operations of a sum of products this machine does in a second. It takes a moment."""
    k, n = 512, 3072
    with backend.activate():
        X = backend.send(np.full((k, n), 0.5, np.float32))
        A = backend.send(np.zeros((n, n), np.float32))
        fastest = np.inf
        for _ in range(4):  # the first one is slower
            began = time.perf_counter()
            add_products(A, X, backend)
            backend.synchronize()
            fastest = min(fastest, time.perf_counter() - began)
    return float(k * n * n / fastest)
