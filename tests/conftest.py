"""Fixtures: a test with `backend` runs on NumPy, array-api-strict, the fake CuPy, and CuPy on a GPU."""

import backends
import hostcupy
import pytest

from xpnet.backend import Backend
from xpnet.errors import DeviceError

_passed: set[str] = set()
"""Markers of which at least one test passed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require",
        choices=["browser", "cuda", "gpu"],
        help="fail instead of skip if something that these tests need is missing, or if none of them ran",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--require") == "cuda":
        import cupy  # noqa: F401  (raises an error if it is missing; otherwise all tests would be skipped)


@pytest.fixture(params=["numpy", "strict", "fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "strict":
        pytest.importorskip("array_api_strict")
    if request.param == "kernels" and hostcupy.missing():
        pytest.skip(hostcupy.missing())
    try:
        return backends.make(request.param)
    except DeviceError as error:
        if request.config.getoption("--require") == "gpu":
            pytest.fail(f"no GPU: {error}", pytrace=False)
        pytest.skip(f"no GPU: {error.problem}")


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _passed.update({"browser", "cuda", "gpu"} & set(report.keywords))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # For pytest it is a success if all selected tests are skipped.
    required = session.config.getoption("--require")
    if (
        required
        and required not in _passed
        and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\n--require {required}: no such test ran")
