"""The same bytes from every kind of training with any number of threads."""

from collections.abc import Callable

import numpy as np
import pytest

from xpnet.backend import select
from xpnet.data import ColumnMatrix, fit_standardizer
from xpnet.kernels import on_native, threads
from xpnet.linear import classify, descend, minimize, ridge, solve
from xpnet.nn import Layer, LogisticRegression, Network, Parameters, Settings, SoftmaxRegression
from xpnet.training import fit, sweep

CPU = select("cpu")
HIDDEN = (Layer.parse("300:relu"), Layer.parse("64:tanh"))


def pictures(m: int, n_x: int, n_classes: int) -> tuple[ColumnMatrix, np.ndarray]:
    examples = np.random.default_rng(0).integers(0, 256, (m, n_x), dtype=np.uint8)
    Y = (np.argsort(np.argsort(examples[:, :8].sum(axis=1))) * n_classes // m)[None]
    return ColumnMatrix(examples, fit_standardizer([], "unit")), Y


MANY, LABELS = pictures(3000, 768, 10)
SETTINGS = Settings(epochs=1, batch_size=1000)


def logistic() -> list[Parameters]:
    data, Y = pictures(3000, 3072, 2)
    model = LogisticRegression(3072)
    return [descend(model, data, Y, CPU, iterations=3, learning_rate=1e-3, method="fused").parameters]


def several() -> list[Parameters]:
    result = sweep(Network(768, 10, "softmax", HIDDEN), MANY, LABELS, CPU, SETTINGS, seeds=(0, 1, 2))
    return [run.parameters for run in result.runs]


TRAININGS: dict[str, Callable[[], list[Parameters]]] = {
    "network": lambda: [fit(Network(768, 10, "softmax", HIDDEN), MANY, LABELS, CPU, SETTINGS).parameters],
    "several networks": several,
    "logistic regression by descent": logistic,
    "softmax regression by descent": lambda: [
        descend(
            SoftmaxRegression(768, 10), MANY, LABELS, CPU, iterations=3, learning_rate=1e-3, method="fused"
        ).parameters
    ],
    "L-BFGS": lambda: [minimize(SoftmaxRegression(768, 10), MANY, LABELS, CPU, iterations=5).parameters],
    "L-BFGS of few examples": lambda: [
        minimize(SoftmaxRegression(768, 10), MANY.part(slice(180)), LABELS[:, :180], CPU).parameters
    ],
    "ridge, by feature": lambda: [classify(SoftmaxRegression(768, 10), MANY, LABELS, CPU).parameters],
    "ridge, by example": lambda: [
        classify(SoftmaxRegression(768, 10), MANY.part(slice(700)), LABELS[:, :700], CPU).parameters
    ],
    "least squares": lambda: [
        solve(Network(768, 1, "identity"), MANY, LABELS * 1.0, CPU, l2=None).parameters
    ],
}


@pytest.mark.parametrize("native", [True, False], ids=["C", "NumPy"])
@pytest.mark.parametrize("name", TRAININGS)
def test_bytes_do_not_depend_on_the_number_of_threads(
    name: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(on_native, "LIBRARY", None)
    found = []
    for count in (1, 3):
        for module in (threads, on_native, ridge):
            monkeypatch.setattr(module, "cores", lambda count=count: count, raising=False)
        monkeypatch.setattr("xpnet.linear.symmetric.cores", lambda count=count: count)
        found.append(b"".join(CPU.fetch(each.buffer).tobytes() for each in TRAININGS[name]()))
    assert found[0] == found[1]
