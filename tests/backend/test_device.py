"""Each reason why a GPU cannot be used has its own error, with a remedy."""

import builtins
import importlib
import sys
import types
from typing import Any

import backends
import fakecupy
import numpy as np
import pytest

from xpnet.backend import device
from xpnet.backend.backend import select
from xpnet.errors import DeviceError


class CudaError(RuntimeError):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def a_cupy(
    *,
    driver: int = 13000,
    runtime: int = 13020,
    devices: int | Exception = 2,
    version: str = "14.2.0",
    **broken: Any,
) -> types.ModuleType:
    """Return a module like CuPy on a working machine with two devices, except for what is given."""

    def count() -> int:
        if isinstance(devices, Exception):
            raise devices
        return devices

    def raising(error: Exception) -> Any:
        def fail(*_: Any, **__: Any) -> Any:
            raise error

        return fail

    class Cuda(types.SimpleNamespace):
        @property
        def cublas(self) -> Any:
            if "cublas" in broken:
                raise broken["cublas"]
            return types.SimpleNamespace(getVersion=lambda: 1)

    module = types.ModuleType("cupy")
    module.__version__ = version  # type: ignore[attr-defined]
    module.__getattr__ = lambda name: getattr(fakecupy, name)  # type: ignore[method-assign]
    module.cuda = Cuda(  # type: ignore[attr-defined]
        Device=fakecupy.Device,
        runtime=types.SimpleNamespace(
            driverGetVersion=lambda: driver, runtimeGetVersion=lambda: runtime, getDeviceCount=count
        ),
        nvrtc=types.SimpleNamespace(
            getVersion=raising(broken["nvrtc"]) if "nvrtc" in broken else lambda: (13, 2)
        ),
    )
    if "ones" in broken:
        module.ones = raising(broken["ones"])  # type: ignore[attr-defined]
    return module


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a module as CuPy, from packages with these names."""

    def installed(module: Any, *wheels: str) -> None:
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(
            device, "installed_wheels", lambda: dict.fromkeys(wheels or ("cupy-cuda13x",), "14.2.0")
        )

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return installed


def problem(device: str = "gpu") -> tuple[str, str]:
    with pytest.raises(DeviceError) as caught:
        select(device)
    return caught.value.problem, str(caught.value)


def test_a_working_gpu(install: Any) -> None:
    install(a_cupy())
    for name, expected in [
        ("gpu", "gpu:0"),
        ("cuda", "gpu:0"),
        ("gpu:1", "gpu:1"),
        ("CUDA:1", "gpu:1"),
        ("auto", "gpu:0"),
    ]:
        backend = select(name)
        assert (backend.name, backend.device) == ("gpu", expected)


def test_not_installed(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(None)
    monkeypatch.setattr(device, "installed_wheels", dict)
    found, message = problem()
    assert found == "not-installed"
    assert "pip install 'xpnet[cuda13]'" in message
    assert "'xpnet[cuda13-runtime]'" in message


def test_doubled_wheels(install: Any) -> None:
    install(a_cupy(), "cupy-cuda12x", "cupy-cuda13x")
    found, message = problem()
    assert found == "doubled-wheels"
    assert "pip uninstall cupy-cuda12x cupy-cuda13x" in message


def test_a_wheel_for_another_vendor(install: Any) -> None:
    install(a_cupy(), "cupy-rocm-7-0")
    assert problem()[0] == "wrong-wheel"
    assert "AMD" in problem()[1]


def test_a_cupy_that_is_too_old(install: Any) -> None:
    install(a_cupy(version="13.6.0"))
    found, message = problem()
    assert found == "wrong-wheel"
    assert "CuPy 13.6.0 is too old, xpnet needs 14" in message


@pytest.mark.parametrize(
    "error",
    [
        ImportError("====\n\nFailed to import CuPy.\n"),
        ModuleNotFoundError("No module named 'x'", name="cuda.pathfinder"),
    ],
)
def test_a_cupy_that_does_not_import(error: Exception, install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    install(a_cupy())
    importing = importlib.import_module

    def fail(name: str, *args: Any) -> Any:
        if name == "cupy":
            raise error
        return importing(name, *args)

    monkeypatch.setattr(importlib, "import_module", fail)
    found, message = problem()
    assert found == "wrong-wheel"
    assert "Failed to import CuPy." in message or "No module named 'x'" in message


def test_no_driver(install: Any) -> None:
    install(a_cupy(driver=0))
    found, message = problem()
    assert found == "no-driver"
    assert "no NVIDIA driver" in message
    assert "--gpus all" in message


def test_a_driver_that_is_too_old(install: Any) -> None:
    install(a_cupy(driver=12040))
    found, message = problem()
    assert found == "driver-too-old"
    assert "supports CUDA 12.4, and cupy-cuda13x needs 13.0 or newer" in message
    assert "pip install cupy-cuda12x" in message


def test_a_driver_too_old_for_any_wheel(install: Any) -> None:
    install(a_cupy(driver=11080))
    found, message = problem()
    assert found == "driver-too-old"
    assert message.endswith("update the driver")


def test_a_folder_named_cupy(install: Any) -> None:
    install(types.ModuleType("cupy"))
    found, message = problem()
    assert found == "wrong-wheel"
    assert "a folder or module named cupy hides CuPy" in message
    assert select("auto").device == "cpu"


def test_a_driver_that_does_not_answer(install: Any) -> None:
    module = a_cupy()
    del module.cuda.runtime.driverGetVersion
    install(module)
    assert problem()[0] == "unusable"


def test_the_device_asked_for_is_the_one_that_is_tried(install: Any) -> None:
    module, tried = a_cupy(), []
    module.ones = lambda *args, **kwargs: tried.append(fakecupy.Device().id) or fakecupy.ones(*args, **kwargs)
    install(module)
    select("gpu:1")
    assert tried == [1]


def test_an_older_minor_version_of_the_driver_is_fine(install: Any) -> None:
    install(a_cupy(driver=13000, runtime=13020))
    assert select("gpu").device == "gpu:0"


@pytest.mark.parametrize(
    "devices", [0, CudaError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")]
)
@pytest.mark.parametrize(("visible", "shown"), [(None, "is not set"), ("", "is ''"), ("7", "is '7'")])
def test_no_visible_device(
    devices: Any, visible: str | None, shown: str, install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(a_cupy(devices=devices))
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found, message = problem()
    assert found == "no-device"
    assert f"CUDA_VISIBLE_DEVICES {shown}" in message


def test_an_ordinal_out_of_range(install: Any) -> None:
    install(a_cupy(devices=2))
    assert problem("gpu:2") == (
        "no-such-device", "gpu:2 does not exist: gpu:0 to gpu:1 are visible (CUDA_VISIBLE_DEVICES is not set)"
    )  # fmt: skip
    install(a_cupy(devices=1))
    assert "only gpu:0 is visible" in problem("gpu:1")[1]


def test_missing_nvrtc(install: Any) -> None:
    install(a_cupy(nvrtc=RuntimeError('Failure finding "libnvrtc.so.13": No such file')))
    found, message = problem()
    assert found == "no-nvrtc"
    assert "pip install 'xpnet[cuda13-runtime]'" in message


def test_missing_cublas(install: Any) -> None:
    install(
        a_cupy(
            runtime=12090, driver=12090, cublas=ImportError("libcublas.so.12: cannot open shared object file")
        )
    )
    found, message = problem()
    assert found == "no-cublas"
    assert "pip install 'xpnet[cuda12-runtime]'" in message
    assert "libcublas.so.12" in message


def test_missing_headers(install: Any) -> None:
    said = "Failed to find CUDA headers. Please install CUDA toolkit headers (e.g., pip install cupy-cuda12x[ctk])"
    install(a_cupy(ones=RuntimeError(said)))
    found, message = problem()
    assert found == "no-headers"
    assert "pip install 'xpnet[cuda13-runtime]'" in message
    assert "cuda12x" not in message


def test_a_cupy_that_does_not_import_says_its_cause(install: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause is inside a long message of CuPy."""

    def broken(name: str) -> Any:
        cause = ImportError("libcudart.so.13: cannot open shared object file")
        raise ImportError("\n====\nFailed to import CuPy.\n") from cause

    install(None)
    monkeypatch.setattr(device.importlib, "import_module", broken)
    found, message = problem()
    assert found == "wrong-wheel"
    assert "does not import: ImportError: libcudart.so.13: cannot open shared object file: pip" in message


@pytest.mark.parametrize(
    "broken", [{"devices": CudaError(999, "cudaErrorUnknown")}, {"ones": CudaError(2, "out of memory")}]
)
def test_a_device_that_fails(broken: dict[str, Any], install: Any) -> None:
    install(a_cupy(**broken))
    found, message = problem()
    assert found == "unusable"
    assert "CudaError: " in message


def test_a_device_that_computes_wrong_numbers(install: Any) -> None:
    module = a_cupy()
    module.ones = lambda *_, **__: fakecupy.asarray(np.full((2, 2), 2.0))  # type: ignore[attr-defined]
    install(module)
    assert problem() == ("unusable", "gpu:0 computed 1 * 1 + 1 * 1 + 1 = 10.0: the device is broken")


@pytest.mark.parametrize("driver", [0, 12040])
def test_auto_falls_back_and_says_why(driver: int, install: Any) -> None:
    install(a_cupy(driver=driver))
    backend = select("auto")
    assert backend.device == "cpu"
    assert backend.reason.startswith("no GPU can be used: ")
    assert backend.reason.endswith(problem()[1])


def test_a_device_array_of_another_library_needs_cupy_to_come_home(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnDevice:
        def __dlpack_device__(self) -> tuple[int, int]:
            return (2, 0)

        def __dlpack__(self, **_: Any) -> Any:
            raise AssertionError

    install(None)
    monkeypatch.setattr(device, "installed_wheels", dict)
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        select("cpu").send(OnDevice())
    module = a_cupy()
    module.from_dlpack = lambda array: fakecupy.asarray(np.ones((1, 2)))  # type: ignore[attr-defined]
    install(module)
    np.testing.assert_array_equal(select("cpu").send(OnDevice()), [[1, 1]])


@pytest.mark.cuda
def test_the_real_cupy_says_there_is_no_driver() -> None:
    cupy = pytest.importorskip("cupy")
    if cupy.cuda.runtime.driverGetVersion():
        pytest.skip("there is a driver")
    assert problem()[0] == "no-driver"
    assert select("auto").device == "cpu"
    assert list(device.installed_wheels()) in [["cupy-cuda12x"], ["cupy-cuda13x"]]


@pytest.mark.cuda
def test_the_real_cupy_has_what_is_asked_of_it() -> None:
    cupy = pytest.importorskip("cupy")
    assert callable(cupy.cuda.runtime.driverGetVersion)
    assert callable(cupy.cuda.runtime.getDeviceCount)
    assert callable(cupy.cuda.Device)
    for name in ("asarray", "asnumpy", "astype", "from_dlpack"):
        assert callable(getattr(cupy, name))


@pytest.mark.cuda
def test_the_real_cupy_loads_its_libraries_or_says_which_is_missing() -> None:
    cupy = pytest.importorskip("cupy")
    missing = {"libnvrtc": "no-nvrtc", "libcublas": "no-cublas"}
    try:
        device._check_libraries(cupy)
    except DeviceError as error:
        expected = [problem for library, problem in missing.items() if library in str(error)]
    else:
        return
    assert expected


def test_nothing_imports_cupy_until_a_gpu_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def watch(name: str, *args: Any, **kwargs: Any) -> Any:
        assert not name.startswith("cupy"), "select('cpu') imported CuPy"
        return importing(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", watch)
    select("cpu").send([[1.0]])


def test_out_of_memory_says_how_much_and_what_to_change() -> None:
    backend = backends.make("fake")
    with pytest.raises(DeviceError) as error, backend.activate():
        raise fakecupy.OutOfMemoryError(3_221_225_472, 0)
    assert error.value.problem == "out-of-memory"
    assert str(error.value) == (
        "gpu:0 is out of memory: 3.22 GB asked for, 1.07 GB of 1.07 GB free: use a smaller --batch-size, "
        "let the data stream (resident_bytes), or --device cpu"
    )
    assert isinstance(error.value.__cause__, MemoryError)


@pytest.mark.parametrize(
    ("name", "status", "expected"),
    [
        ("CUDARuntimeError", 2, "out-of-memory"),
        ("CUDADriverError", 2, "out-of-memory"),
        ("CUBLASError", 3, "out-of-memory"),
        ("CUBLASError", 13, "lost"),
        ("CUDADriverError", 3, "lost"),
    ],
)
def test_memory_that_cupys_pool_does_not_serve_runs_out_too(name: str, status: int, expected: str) -> None:
    """The memory pool has taken all memory, and the loading of kernels or cuBLAS itself needs some."""
    kind = type(name, (RuntimeError,), {"__module__": "cupy_backends.cuda", "status": status})
    with pytest.raises(DeviceError) as error, backends.make("fake").activate():
        raise kind("cudaErrorMemoryAllocation: out of memory")
    assert error.value.problem == expected
    assert ("is out of memory: more asked for" in str(error.value)) == (expected == "out-of-memory")


def test_a_device_that_fails_at_work_is_told() -> None:
    backend = backends.make("fake")
    said = r"gpu:0 failed while computing: CUDARuntimeError: cudaErrorECC"
    with pytest.raises(DeviceError, match=said) as error, backend.activate(), backend.activate():
        raise fakecupy.CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error")
    assert error.value.problem == "lost"


@pytest.mark.parametrize("error", [MemoryError("of the host"), ValueError("x"), KeyboardInterrupt()])
def test_other_errors_stay_what_they_are(error: BaseException) -> None:
    with pytest.raises(type(error)), backends.make("fake").activate():
        raise error


@pytest.mark.cuda
def test_the_real_cupy_has_those_errors() -> None:
    cupy = pytest.importorskip("cupy")
    said = str(cupy.cuda.memory.OutOfMemoryError(3_221_225_472, 1024))
    assert "allocating 3,221,225,472 bytes" in said
    assert issubclass(cupy.cuda.runtime.CUDARuntimeError, RuntimeError)
    assert cupy.cuda.runtime.CUDARuntimeError(2).status == 2


@pytest.mark.gpu
def test_more_than_the_device_has_is_refused_in_words() -> None:
    try:
        backend = select("gpu")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.problem}")
    with (
        pytest.raises(DeviceError, match="is out of memory: 1e\\+06 GB asked for") as error,
        backend.activate(),
    ):
        backend.xp.empty(10**15, dtype="uint8")
    assert error.value.problem == "out-of-memory"
    with backend.activate():
        assert int(backend.fetch(backend.xp.ones(3).sum())) == 3  # the device still works
