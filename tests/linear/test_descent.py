"""Full-batch gradient descent: three methods with the same result, and the numbers of the course."""

from typing import Any

import backends
import numpy as np
import pytest
from locations import CATS

from xpnet.backend import Backend, select
from xpnet.data import STANDARDIZATIONS, ColumnMatrix, DeviceMatrix, fit_standardizer, on_device
from xpnet.errors import ConfigurationError, DivergenceError, ShapeError
from xpnet.linear import METHODS, FusedPass, LinearObjective, LocalSums, descend, make_stepper, sums
from xpnet.nn import Layer, LogisticRegression, Method, Network, Parameters, SoftmaxRegression, initialize

DESCENT_METHODS = METHODS[1:]


def pictures(
    m: int = 40, n_x: int = 60, kind: str = "feature", n_classes: int = 2
) -> tuple[ColumnMatrix, np.ndarray]:
    generator = np.random.default_rng(0)
    examples = generator.integers(0, 256, (m, n_x), dtype=np.uint8)
    Y = (np.argsort(np.argsort(examples[:, 0])) * n_classes // m)[None]
    return ColumnMatrix.of(examples.T, kind, channels=3), Y


@pytest.mark.parametrize(("kind", "most"), [("unit", 10), ("feature", 15)])
def test_a_step_takes_few_operations_besides_its_pass(
    kind: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU each is a launch of a kernel."""
    backend, done = backends.make("fake"), []
    data, Y = pictures(200, 12, kind)
    objective = LinearObjective.of(LogisticRegression(12), data, Y, backend)
    runs = objective.runs([0.1], [0.0])
    stepper = make_stepper(objective, Method.FUSED, runs, [None])
    zeros = objective.zeros(1, 1)
    monkeypatch.setattr(sums, "linear_loss_and_gradient", lambda *given, **_: (given[4], given[3], given[4]))
    for name in ("__array_ufunc__", "__array_function__", "__setitem__"):
        original = getattr(backend.xp.ndarray, name)

        def counted(self: Any, *args: Any, original: Any = original, **kwargs: Any) -> Any:
            done.append(args[0])
            return original(self, *args, **kwargs)

        monkeypatch.setattr(backend.xp.ndarray, name, counted)
    stepper.steps(zeros)
    assert 0 < len(done) <= most


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("shape", [(40, 60), (200, 12)], ids=["few examples", "many examples"])
@pytest.mark.parametrize("kind", STANDARDIZATIONS)
def test_three_methods_have_the_same_result(
    n_classes: int, shape: tuple[int, int], kind: str, backend: Backend
) -> None:
    data, Y = pictures(*shape, kind, n_classes)
    model = LogisticRegression(shape[1]) if n_classes == 2 else SoftmaxRegression(shape[1], n_classes)
    start = initialize(model, backend, "xavier", seed=1, dtype="float64")
    rate = 1e-5 if kind == "none" else 0.1
    results = [
        descend(
            model, data, Y, backend, iterations=30, learning_rate=rate, l2=3.0, class_weight="balanced",
            start=start, method=method, dtype="float64",
        )
        for method in DESCENT_METHODS
    ]  # fmt: skip
    for result, method in zip(results, DESCENT_METHODS, strict=True):
        assert (result.method, result.reason) == (method, "it was asked for")
        np.testing.assert_allclose(result.costs, results[0].costs, rtol=1e-9)
        buffers = [backend.fetch(r.parameters.buffer) for r in (result, results[0])]
        np.testing.assert_allclose(*buffers, rtol=1e-7, atol=1e-10)
    assert results[0].costs[-1] < results[0].costs[0]


@pytest.mark.parametrize("method", ["fused", "gram"])
def test_float32_is_close(method: str) -> None:
    data, Y = pictures()
    results = [
        descend(
            LogisticRegression(60),
            data,
            Y,
            select("cpu"),
            iterations=50,
            learning_rate=0.1,
            method=method,
            dtype=dtype,
        )
        for dtype in ("float32", "float64")
    ]
    np.testing.assert_allclose(results[0].costs, results[1].costs, rtol=1e-5)


def test_the_choice_is_made_by_the_shape() -> None:
    for shape, method, reason in [
        ((40, 60), "gram", "m = 40 is less than n_x = 60"),
        ((200, 12), "fused", "m = 200 is not less than n_x = 12"),
    ]:
        data, Y = pictures(*shape)
        result = descend(
            LogisticRegression(shape[1]), data, Y, select("cpu"), iterations=1, learning_rate=0.1
        )
        assert (result.method, result.reason) == (method, reason)


def test_a_fused_pass_does_not_depend_on_the_block_size(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, Y = pictures(301, 12)
    labels = backend.send(Y, dtype="float64")
    W, b = backend.send(np.random.default_rng(0).standard_normal((1, 12))), backend.send([[0.1]])
    results = []
    for size in (1, 1000, 12 * 8 * 100, 1 << 30):
        monkeypatch.setattr("xpnet.linear.sums.BLOCK_BYTES", {"cpu": size, "gpu": size})
        matrix = on_device(data, backend)
        done = FusedPass(matrix, LocalSums(matrix, labels, None, "sigmoid", "float64"), "float64")(W, b)
        results.append([backend.fetch(part) for part in (done.loss, done.dW, done.db)])
    for result in results[1:]:
        for got, want in zip(result, results[0], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("method", ["fused", "gram"])
def test_nothing_in_a_step_crosses_or_waits(method: str, backend: Backend) -> None:
    from xpnet.linear import descent

    data, Y = pictures(n_classes=3)
    waiting = backends.no_sync(backend)
    seen = []

    def run(stepper: Any, objective: Any, iterations: int, *_: Any, **__: Any) -> np.ndarray:
        costs = objective.zeros(1, iterations)
        stepper.steps(costs)  # kernels compile now
        before = backend.crossings.total
        with waiting:
            stepper.steps(costs)
        seen.append(backend.crossings.total - before)
        return np.zeros((1, iterations))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(descent, "run_descent", run)
        descend(
            SoftmaxRegression(60, 3), data, Y, backend, iterations=3, learning_rate=0.1, l2=1.0, method=method
        )
    assert seen == [0]


def test_divergence_names_the_step() -> None:
    data, Y = pictures(kind="none")
    for method in DESCENT_METHODS:
        with pytest.raises(
            DivergenceError, match=r"the cost became (inf|nan) at step \d+: try a smaller learning rate"
        ) as caught:
            descend(
                LogisticRegression(60),
                data,
                Y,
                select("cpu"),
                iterations=600,
                learning_rate=1e38,
                method=method,
            )
        assert 1 < caught.value.step < 600


def test_the_start_is_left_alone() -> None:
    data, Y = pictures()
    start = initialize(LogisticRegression(60), select("cpu"), seed=1)
    before = start.buffer.copy()
    for method in DESCENT_METHODS:
        descend(
            LogisticRegression(60),
            data,
            Y,
            select("cpu"),
            iterations=3,
            learning_rate=0.1,
            start=start,
            method=method,
        )
    np.testing.assert_array_equal(start.buffer, before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "newton"}, "method is 'newton', expected one of auto, autodiff, fused, gram"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, expected more than 0"),
        ({"iterations": 0}, "iterations is 0, expected more than 0"),
        ({"l2": -1.0}, "l2 is -1.0, expected at least 0"),
        ({"dtype": "float16"}, "dtype is 'float16'"),
        ({"model": Network(60, 1, "sigmoid", (Layer.parse("3"),))}, "for logistic and softmax regression"),
        ({"model": Network(60, 1, "identity")}, "for logistic and softmax regression"),
        ({"model": Network(60, 2, "sigmoid")}, "for logistic and softmax regression"),
    ],
)
def test_settings_that_are_not_possible_are_refused(change: dict[str, Any], message: str) -> None:
    data, Y = pictures()
    settings = {"model": LogisticRegression(60), "iterations": 1, "learning_rate": 0.1} | change
    model = settings.pop("model")
    with pytest.raises(ConfigurationError, match=message):
        descend(model, data, Y, select("cpu"), **settings)


def test_one_class_is_refused() -> None:
    data, Y = pictures()
    with pytest.raises(ShapeError, match="all 40 examples are of class 0"):
        descend(LogisticRegression(60), data, 0 * Y, select("cpu"), iterations=1, learning_rate=0.1)


COSTS = [
    0.693147, 0.584508, 0.466949, 0.376007, 0.331463, 0.303273, 0.279880, 0.260042, 0.242941, 0.228004,
    0.214820, 0.203078, 0.192544, 0.183033, 0.174399, 0.166521, 0.159305, 0.152667, 0.146542, 0.140872,
]  # fmt: skip
"""What the course prints at iterations 0, 100, ..., 1900."""


@pytest.mark.skipif(not CATS.is_dir(), reason="the cat images of the course are missing")
@pytest.mark.parametrize("method", ["gram", "fused"])
def test_the_course_job(method: str, backend: Backend) -> None:
    if method == "fused" and backend.name != "cpu":
        pytest.skip("it takes minutes on a fake device")
    h5py = pytest.importorskip("h5py")
    with h5py.File(CATS / "train_catvnoncat.h5") as train, h5py.File(CATS / "test_catvnoncat.h5") as test:
        images, Y = train["train_set_x"][:], train["train_set_y"][:][None]
        held_back, Y_test = test["test_set_x"][:], test["test_set_y"][:][None]
    data = ColumnMatrix(images.reshape(len(images), -1), fit_standardizer([], "unit"))
    result = descend(
        LogisticRegression(12288),
        data,
        Y,
        backend,
        iterations=2000,
        learning_rate=0.005,
        method=method,
        dtype="float64",
    )
    np.testing.assert_allclose(result.costs[::100], COSTS, atol=5e-7)
    W, b = (backend.fetch(result.parameters.views[name]) for name in ("W1", "b1"))
    assert np.abs(W).sum() == pytest.approx(167.8931090823, rel=1e-9)
    assert b[0, 0] == pytest.approx(-0.0159062440, abs=1e-9)

    def accuracy(examples: np.ndarray, labels: np.ndarray) -> float:
        Z = W @ (examples.reshape(len(examples), -1).T / 255) + b
        return 100 - np.mean(np.abs((Z > 0) - labels)) * 100

    assert accuracy(images, Y) == pytest.approx(99.04306220095694, abs=1e-12)
    assert accuracy(held_back, Y_test) == pytest.approx(70.0, abs=1e-12)


def test_a_buffer_is_returned_in_the_models_order(backend: Backend) -> None:
    data, Y = pictures(n_classes=3)
    result = descend(SoftmaxRegression(60, 3), data, Y, backend, iterations=2, learning_rate=0.1)
    again = Parameters(SoftmaxRegression(60, 3), result.parameters.buffer)
    assert {name: view.shape for name, view in again.views.items()} == {"W1": (3, 60), "b1": (3, 1)}


@pytest.mark.parametrize("method", DESCENT_METHODS)
def test_floats_far_from_zero_keep_their_digits(method: str, backend: Backend) -> None:
    """Times in seconds since 1970: rounded to float32 before their mean is subtracted, they would all be equal."""
    generator = np.random.default_rng(0)
    X = 1.7e9 + np.round(generator.standard_normal((5, 80)) * 50)
    Y = (X[:1] > np.median(X[0])).astype(np.int64)
    data = ColumnMatrix.of(X, "feature")
    results = [
        descend(LogisticRegression(5), data, Y, backend, iterations=30, learning_rate=0.5, method=each, dtype=dtype)
        for each, dtype in ((method, "float32"), ("autodiff", "float64"))
    ]  # fmt: skip
    np.testing.assert_allclose(results[0].costs, results[1].costs, rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 12 * 7, 1 << 30])
def test_data_that_does_not_fit_the_device_is_sent_in_chunks(chunk: int, backend: Backend) -> None:
    data, Y = pictures(40, 12, n_classes=3)
    results = [
        descend(
            SoftmaxRegression(12, 3), DeviceMatrix(data, backend, size, chunk), Y, backend, iterations=5,
            learning_rate=0.1, l2=1.0, class_weight="balanced", method="fused", dtype="float64",
        )
        for size in (None, 0)
    ]  # fmt: skip
    np.testing.assert_allclose(results[0].costs, results[1].costs, rtol=1e-12)
