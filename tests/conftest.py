"""Every test that takes `backend` runs on NumPy, array-api-strict, the fake CuPy, and CuPy where it works."""

import backends
import pytest

from xpnet.backend import Backend
from xpnet.errors import DeviceError

_gpu_tests_passed = 0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu", action="store_true", help="fail, and do not skip, where CuPy cannot be used"
    )


@pytest.fixture(params=["numpy", "strict", "fake", pytest.param("cupy", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> Backend:
    try:
        return backends.make(request.param)
    except DeviceError as error:
        if request.config.getoption("--require-gpu"):
            pytest.fail(f"no GPU: {error}", pytrace=False)
        pytest.skip(f"no GPU: {error.problem}")


@pytest.fixture(params=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    global _gpu_tests_passed
    _gpu_tests_passed += report.when == "call" and report.passed and "gpu" in report.keywords


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # Selecting tests that all skip is a success to pytest, and no proof of anything.
    if session.config.getoption("--require-gpu") and exitstatus == 0 and not _gpu_tests_passed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print("\n--require-gpu: no test ran on a GPU")
