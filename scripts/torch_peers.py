"""The same work by PyTorch on the same GPU, for comparison, if PyTorch is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpnet.nn import Network

PRECISIONS = {"float32": "highest", "tf32": "high"}
"""PyTorch's names of the precisions of products of float32 matrices."""


def torch_on_gpu() -> Any:
    """Return the module torch; None if it is not installed, or cannot use a GPU."""
    try:
        import torch
    except ImportError:
        return None
    return torch if torch.cuda.is_available() else None


def torch_step(
    torch: Any,
    m: int,
    n_x: int,
    dtype: str,
    timed: Callable[[dict[str, Callable[[], Any]]], dict[str, float]],
) -> dict[str, Any]:
    """Measure a full-batch step of logistic regression on floats, if the GPU has memory for them.

    Args:
        torch: the module.
        m: number of examples.
        n_x: number of features.
        dtype: "float32" or "bfloat16".
        timed: measures functions: returns the milliseconds of each, by name.

    Returns:
        A row of the table.
    """
    kind, how = getattr(torch, dtype), f"PyTorch {dtype}"
    torch.cuda.empty_cache()
    if m * n_x * kind.itemsize * 1.1 > torch.cuda.mem_get_info()[0]:
        return {"how": how, "ms": None, "of raw bytes": kind.itemsize, "note": "not enough memory"}
    torch.cuda.reset_peak_memory_stats()
    X = torch.empty((m, n_x), dtype=kind, device="cuda")
    some = torch.rand((min(5000, m), n_x), device="cuda")
    for start in range(0, m, len(some)):
        X[start : start + len(some)] = some[: m - start].to(kind)
    Y = (torch.arange(m, device="cuda") % 2).to(kind)[:, None]
    layer = torch.nn.Linear(n_x, 1, device="cuda", dtype=kind)
    optimizer, loss = torch.optim.SGD(layer.parameters(), lr=0.005), torch.nn.BCEWithLogitsLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss(layer(X), Y).backward()
        optimizer.step()

    spent = timed({"step": step})["step"]
    return {"how": how, "ms": spent, "of raw bytes": torch.cuda.max_memory_allocated() / m / n_x}


def torch_network(
    torch: Any, model: Network, X: Any, classes: Any, size: int, name: str
) -> dict[str, Callable[[], Any]]:
    """Return functions that train a network for an epoch: in each precision, eager and as a CUDA graph.

    Args:
        torch: the module.
        model: a network with one hidden layer of relu, and softmax.
        X: the examples as rows, float32 on the GPU.
        classes: their labels, on the GPU.
        size: number of examples in a batch.
        name: "sgd" or "adam".
    """
    m, n_x = X.shape
    order = torch.randperm(m, device="cuda")
    loss = torch.nn.CrossEntropyLoss()

    def new_network(capturable: bool) -> tuple[Any, Any]:
        net = torch.nn.Sequential(
            torch.nn.Linear(n_x, model.shapes["W1"][0]), torch.nn.ReLU(),
            torch.nn.Linear(model.shapes["W1"][0], model.n_out),
        ).cuda()  # fmt: skip
        if name == "adam":
            return net, torch.optim.Adam(net.parameters(), lr=0.001, capturable=capturable)
        return net, torch.optim.SGD(net.parameters(), lr=0.001)

    def eager(precision: str) -> Callable[[], None]:
        net, optimizer = new_network(capturable=False)

        def epoch() -> None:
            with matmul_precision(torch, precision):
                for start in range(0, m, size):
                    part = order[start : start + size]
                    optimizer.zero_grad()
                    loss(net(X[part]), classes[part]).backward()
                    optimizer.step()

        return epoch

    def graphed(precision: str) -> Callable[[], None]:
        net, optimizer = new_network(capturable=True)
        part = order[:size].clone()

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            loss(net(X[part]), classes[part]).backward()
            optimizer.step()

        with matmul_precision(torch, precision):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    step()
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
        # The graph reads and writes the memory of these, but does not keep them.
        kept = (net, optimizer, X, classes, part)

        def epoch() -> None:
            for start in range(0, m, size):
                kept[-1].copy_(order[start : start + size])
                graph.replay()

        return epoch

    ways: dict[str, Callable[[], Any]] = {}
    for precision in PRECISIONS:
        ways[f"PyTorch, {precision}, CUDA graph"] = graphed(precision)
        ways[f"PyTorch, {precision}, eager"] = eager(precision)
    return ways


@contextmanager
def matmul_precision(torch: Any, precision: str) -> Iterator[None]:
    """Let PyTorch compute products of float32 matrices in a precision."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(PRECISIONS[precision])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
