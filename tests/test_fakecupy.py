"""The fake CuPy raises errors where CuPy does, and has no names that CuPy does not have."""

from collections.abc import Callable

import fakecupy
import numpy as np
import pytest


def device(data: object) -> fakecupy.ndarray:
    return fakecupy.asarray(np.asarray(data))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: np.asarray(x),
        lambda x: np.array(x),
        lambda x: x + np.ones((2, 2)),
        lambda x: np.ones((2, 2)) + x,
        lambda x: np.add(x, np.ones((2, 2))),
        lambda x: fakecupy.maximum(x, np.ones((2, 2))),
        lambda x: fakecupy.add(x, x, where=x > 0),
        lambda x: np.add(x, x, where=[[True, False], [True, True]]),
        lambda x: fakecupy.zeros((2, 2), device=x.device),
        lambda x: x.__setitem__((0, 0), np.ones(())),
    ],
)  # fmt: skip
def test_what_cupy_refuses(use: Callable) -> None:
    with pytest.raises(TypeError):
        use(device([[1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(
    "use",
    [
        lambda x: bool(x[0, 0]),
        lambda x: float(x[0, 0]),
        lambda x: int(x[0, 0]),
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: x.get(),
        lambda x: repr(x),
        lambda x: f"{x[0, 0]:.2f}",
        lambda x: [1, 2, 3, 4][device(1)] + x[0, 0],
        lambda x: max(x[0, 0], x[1, 1]),
        lambda x: x[x > 2],
        lambda x: x[np.array([0, 1])],
        lambda x: x[[0, 1]],
        lambda x: fakecupy.nonzero(x),
        lambda x: np.unique(x),
        lambda x: fakecupy.allclose(x, x),
        lambda x: fakecupy.asnumpy(x),
    ],
)  # fmt: skip
def test_what_makes_the_host_wait(use: Callable) -> None:
    x = device([[1.0, 2.0], [3.0, 4.0]])
    with fakecupy.no_sync(), pytest.raises(fakecupy.HiddenSynchronization):
        use(x)


def test_waiting_is_counted_where_it_is_allowed() -> None:
    x = device(1.0)
    before = fakecupy.synchronizations(), fakecupy.uploads()
    assert float(x) == 1.0
    device([[1.0]])
    assert (fakecupy.synchronizations(), fakecupy.uploads()) == (before[0] + 1, before[1] + 1)


def test_a_scatter_to_one_index_twice_is_refused() -> None:
    x = device([1.0, 2.0])
    with pytest.raises(AssertionError, match="twice"):
        x[device([0, 0])] = device([1.0, 2.0])
    fakecupy.add.at(x, device([0, 0]), device([1.0, 2.0]))
    np.testing.assert_array_equal(x.get(), [4.0, 2.0])


def test_reductions_stay_on_the_device() -> None:
    x = device([[1.0, 2.0]])
    for value in (fakecupy.sum(x), x.max(), np.sum(x), x[0, 0], abs(x)[0, 0]):
        assert type(value) is fakecupy.ndarray


def test_uploads_are_copies() -> None:
    host = np.zeros((2, 2))
    x = fakecupy.asarray(host)
    x[0, 0] = 1.0
    assert host[0, 0] == 0


@pytest.mark.parametrize("name", sorted(fakecupy.MISSING))
def test_missing_functions(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'cupy' has no attribute '{name}'"):
        getattr(fakecupy, name)


@pytest.mark.cuda
def test_the_real_cupy_lacks_the_same_functions() -> None:
    cupy = pytest.importorskip("cupy")
    present = [name for name in fakecupy.MISSING if hasattr(cupy, name)]
    assert not present, "CuPy has these now"


@pytest.mark.cuda
def test_the_real_cupy_has_every_function_that_xpnet_calls() -> None:
    import ast
    from pathlib import Path

    import xpnet

    cupy = pytest.importorskip("cupy")
    used = {
        node.attr
        for path in Path(xpnet.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "xp"
    }
    assert "log1p" in used
    assert not {name for name in used if not hasattr(cupy, name)} - {"__name__", "__version__"}
