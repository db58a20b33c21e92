"""How much faster vectorized code is: six computations, as a loop, vectorized, in place, and on a GPU."""

import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from xpnet.backend import Backend

REPEATS = 7
"""How often each computation is timed, at least, unless asked otherwise."""

LOOP_REPEATS = 3
"""How often a Python loop is timed, at most: it takes long, and varies little."""

ENOUGH_SECONDS, MOST_REPEATS = 0.1, 1000
"""A short computation is timed again until this much time has passed, or so many times."""

Matrix = list[list[float]]
"""A matrix as nested lists, for loops."""


class Operation(NamedTuple):
    """One computation, implemented in three ways.

    Attributes:
        name: what it computes.
        arguments: NumPy arrays, float64.
        loop: takes the arguments as nested lists, and computes one number in each step of a loop.
        vectorized: takes the array library `xp` and the arguments as its arrays.
        in_place: takes `xp`, the arguments and `buffers`, and makes no new array.
        buffers: NumPy arrays that `in_place` writes into.
    """

    name: str
    arguments: tuple[Any, ...]
    loop: Callable[..., Matrix]
    vectorized: Callable[..., Any]
    in_place: Callable[..., Any]
    buffers: tuple[Any, ...]

    @property
    def size(self) -> str:
        """The shape of the largest argument, as text."""
        rows, columns = max(self.arguments, key=lambda array: array.size).shape
        return f"{rows}x{columns}"


@dataclass(frozen=True)
class Timing:
    """How long one computation takes: the median, in milliseconds.

    Attributes:
        operation: what is computed.
        size: the shape of the largest argument, as text.
        loop_ms: as a Python loop.
        numpy_ms: in NumPy, vectorized.
        in_place_ms: in NumPy, into arrays that are there already.
        cupy_ms: in CuPy on a GPU; None without one.
    """

    operation: str
    size: str
    loop_ms: float
    numpy_ms: float
    in_place_ms: float
    cupy_ms: float | None


@dataclass(frozen=True)
class BenchResult:
    """What `run` measured, and on which machine. A notebook shows it as a table.

    Attributes:
        rows: one for each computation.
        python: the version of Python.
        numpy: the version of NumPy.
        simd: the extensions of the processor that NumPy found.
        blas: the library of NumPy's matrix products.
        device: the device, such as "cpu" or "gpu:0".
        reason: why it was chosen.
    """

    rows: list[Timing]
    python: str
    numpy: str
    simd: list[str]
    blas: str
    device: str
    reason: str

    def table(self) -> list[list[str]]:
        """Return a head, and for each computation milliseconds, and how many times faster than the loop."""
        head = ["", "size", "loop", "NumPy", "", "in place", ""]
        table = [head if self.device == "cpu" else [*head, "CuPy", ""]]
        for row in self.rows:
            cells = [row.operation, row.size, f"{row.loop_ms:.1f} ms"]
            for ms in (row.numpy_ms, row.in_place_ms, row.cupy_ms):
                if ms is not None:
                    cells += [f"{ms:.3f} ms", f"{row.loop_ms / ms:.0f}x"]
            table.append(cells)
        return table

    def machine(self) -> list[str]:
        """Return lines of text about the machine."""
        return [
            f"Python {self.python}, NumPy {self.numpy}, BLAS {self.blas}",
            f"SIMD found: {' '.join(self.simd) or 'none beyond the baseline'}",
            f"device {self.device}: {self.reason}",
        ]

    def _repr_html_(self) -> str:
        from xpnet.charts import html_table

        head, *rows = self.table()
        return html_table(head, rows, ". ".join(self.machine()))


def run(device: str | None = None, repeat: int = REPEATS) -> BenchResult:
    """Time every operation.

    Args:
        device: as for `xpnet.select`. CuPy is timed if it is a GPU.
        repeat: how often each implementation is timed, at least.

    Raises:
        ConfigurationError: `repeat` is not a whole number of at least 1.
        DeviceError: the device cannot be used.
    """
    import numpy as np

    from xpnet.backend import select
    from xpnet.errors import ConfigurationError

    if not isinstance(repeat, int) or repeat < 1:
        msg = f"bench: repeat is {repeat!r}, expected a whole number of at least 1"
        raise ConfigurationError(msg)
    backend = select(device)
    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    return BenchResult(
        rows=[_timing(each, backend, repeat) for each in operations()],
        python=platform.python_version(),
        numpy=np.__version__,
        simd=list(config["SIMD Extensions"].get("found", [])),
        blas=f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        device=backend.device,
        reason=backend.reason,
    )


def _timing(operation: Operation, backend: "Backend", repeat: int) -> Timing:
    """Return how long each implementation of a computation takes."""
    import numpy as np

    arguments = operation.arguments
    return Timing(
        operation.name,
        operation.size,
        loop_ms=_median_ms(operation.loop, [each.tolist() for each in arguments], min(repeat, LOOP_REPEATS)),
        numpy_ms=_median_ms(operation.vectorized, [np, *arguments], repeat),
        in_place_ms=_median_ms(operation.in_place, [np, *arguments, *operation.buffers], repeat),
        cupy_ms=_gpu_ms(operation, backend, repeat) if backend.name == "gpu" else None,
    )


def _median_ms(function: Callable[..., Any], arguments: list[Any], repeat: int) -> float:
    """Return the median time of a call, in milliseconds."""
    function(*arguments)  # the first call is slower
    times: list[float] = []
    while len(times) < repeat or (sum(times) < ENOUGH_SECONDS and len(times) < MOST_REPEATS):
        start = time.perf_counter()
        function(*arguments)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1e3


def _gpu_ms(operation: Operation, backend: "Backend", repeat: int) -> float:
    arguments = [backend.send(array) for array in operation.arguments]

    def run_once() -> None:
        operation.vectorized(backend.xp, *arguments)
        backend.synchronize()

    with backend.activate():
        return _median_ms(run_once, [], repeat)


def operations(scale: float = 1.0) -> list[Operation]:
    """Return the six computations, with about a million multiplications or exponentials each.

    scale: multiplies their size.
    """
    import numpy as np

    generator = np.random.default_rng(0)
    n = max(2, round(1_000_000 * scale))
    side = max(2, math.isqrt(n))
    n_x, m = max(2, side // 10), max(2, 10 * side)
    foods = max(2, n // 3)
    row, column = generator.standard_normal((1, n)), generator.standard_normal((n, 1))
    matrix, vector = generator.standard_normal((side, side)), generator.standard_normal((side, 1))
    calories = generator.uniform(0.0, 150.0, (3, foods))
    w, X = generator.standard_normal((n_x, 1)), generator.standard_normal((n_x, m))
    b, Y = np.zeros((1, 1)), (generator.uniform(size=(1, m)) < 0.5).astype(np.float64)
    new = np.empty
    return [
        Operation(
            "dot product", (row, column), _dot_loop,
            lambda _, x, y: x @ y,
            lambda xp, x, y, out: xp.matmul(x, y, out=out), (new((1, 1)),),
        ),
        Operation(
            "matrix-vector product", (matrix, vector), _matrix_vector_loop,
            lambda _, A, v: A @ v,
            lambda xp, A, v, out: xp.matmul(A, v, out=out), (new((side, 1)),),
        ),
        Operation(
            "exp", (row,), lambda x: [[math.exp(value) for value in x[0]]],
            lambda xp, x: xp.exp(x),
            lambda xp, x, out: xp.exp(x, out=out), (new((1, n)),),
        ),
        Operation(
            "sigmoid", (row,), lambda z: [[1.0 / (1.0 + math.exp(-value)) for value in z[0]]],
            lambda xp, z: 1.0 / (1.0 + xp.exp(-z)),
            _sigmoid_in_place, (new((1, n)),),
        ),
        Operation(
            "calories, in percent", (calories,), _percent_loop,
            lambda xp, A: 100.0 * A / xp.sum(A, axis=0, keepdims=True),
            _percent_in_place, (new((3, foods)), new((1, foods))),
        ),
        Operation(
            "logistic gradient", (w, b, X, Y), _gradient_loop,
            _gradient,
            _gradient_in_place, (new((1, m)), new((n_x + 1, 1))),
        ),
    ]  # fmt: skip


def _dot_loop(x: Matrix, y: Matrix) -> Matrix:
    (row,) = x
    total = 0.0
    for i in range(len(row)):
        total += row[i] * y[i][0]
    return [[total]]


def _matrix_vector_loop(A: Matrix, v: Matrix) -> Matrix:
    return [_dot_loop([row], v)[0] for row in A]


def _sigmoid_in_place(xp: Any, z: Any, out: Any) -> Any:
    xp.negative(z, out=out)
    xp.exp(out, out=out)
    xp.add(out, 1.0, out=out)
    return xp.reciprocal(out, out=out)


def _percent_loop(A: Matrix) -> Matrix:
    percent: Matrix = [[], [], []]
    for j in range(len(A[0])):
        total = A[0][j] + A[1][j] + A[2][j]
        for i in range(3):
            percent[i].append(100.0 * A[i][j] / total)
    return percent


def _percent_in_place(xp: Any, A: Any, out: Any, total: Any) -> Any:
    xp.sum(A, axis=0, keepdims=True, out=total)
    xp.divide(100.0, total, out=total)
    return xp.multiply(A, total, out=out)


def _gradient_loop(w: Matrix, b: Matrix, X: Matrix, Y: Matrix) -> Matrix:
    """Return dw (n_x, 1) and below it db (1, 1), computed for one example and one feature at a time."""
    n_x, m = len(w), len(Y[0])
    dw, db = [0.0] * n_x, 0.0
    for j in range(m):
        z = b[0][0]
        for i in range(n_x):
            z += w[i][0] * X[i][j]
        dz = 1.0 / (1.0 + math.exp(-z)) - Y[0][j]
        for i in range(n_x):
            dw[i] += X[i][j] * dz
        db += dz
    return [*([d / m] for d in dw), [db / m]]


def _gradient(xp: Any, w: Any, b: Any, X: Any, Y: Any) -> Any:
    """Return dw and below it db, computed by the computation graph."""
    from xpnet import functional as F
    from xpnet.autodiff import Node, gradients

    nodes = [Node(w), Node(b)]
    cost = F.mean(F.logistic_loss(F.affine(nodes[0].T, X, nodes[1]), Y))
    return xp.concatenate(gradients(cost, nodes))


def _gradient_in_place(xp: Any, w: Any, b: Any, X: Any, Y: Any, dZ: Any, out: Any) -> Any:
    xp.matmul(w.T, X, out=dZ)
    xp.add(dZ, b, out=dZ)
    _sigmoid_in_place(xp, dZ, out=dZ)
    xp.subtract(dZ, Y, out=dZ)
    xp.matmul(X, dZ.T, out=out[:-1])
    xp.sum(dZ, axis=1, keepdims=True, out=out[-1:])
    return xp.divide(out, Y.shape[1], out=out)
