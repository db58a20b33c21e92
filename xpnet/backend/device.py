"""Open a CUDA device with CuPy, or find out why it cannot be used."""

import importlib
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from types import TracebackType
from typing import Any

import numpy as np

from xpnet.arrays import Namespace
from xpnet.errors import DeviceError

OLDEST_CUPY = 14
"""Major version of the oldest CuPy that has all array functions that xpnet uses."""

OLDEST_CUDA = 12000
"""The oldest CUDA that this CuPy supports, as CUDA writes versions: 12000 is 12.0."""

_CUDA_WHEELS = ("cupy-cuda11x", "cupy-cuda12x", "cupy-cuda13x", "cupy-cuda14x", "cupy")
_ROCM_WHEELS = ("cupy-rocm-7-14", "cupy-rocm-7-1", "cupy-rocm-7-0", "cupy-rocm-5-0", "amd-cupy")

COMPUTE_TYPES = {"tf32": "COMPUTE_TYPE_TF32"}
"""CuPy's names of the precisions of matrix products that need compute capability 8.0."""

_INSTALL = "pip install 'xpnet[cuda13]' (or cuda12); without the CUDA Toolkit: 'xpnet[cuda13-runtime]'"
_RUNTIME = "install CUDA's own run-time wheels: pip install 'xpnet[cuda{major}-runtime]'"


def open_cupy(ordinal: int) -> Namespace:
    """Return the module `cupy`, after a device has run a kernel and a matrix product.

    Args:
        ordinal: the number of the device among the visible ones.

    Raises:
        DeviceError: the device cannot be used; `problem` is "not-installed", "doubled-wheels", "wrong-wheel",
            "no-driver", "driver-too-old", "no-device", "no-such-device", "no-nvrtc", "no-cublas",
            "no-headers" or "unusable".
    """
    wheels = installed_wheels()
    cupy = _import_cupy(wheels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns of problems that are found here anyway
        _check_driver(cupy, wheels)
        _check_ordinal(cupy, ordinal)
        _check_libraries(cupy)
        _check_work(cupy, ordinal)
    return cupy


def installed_wheels() -> dict[str, str]:
    """Return the installed packages that contain a module `cupy`, with their versions."""
    from importlib import metadata  # only here: it takes as long to import as NumPy's arrays

    found = {}
    for name in _CUDA_WHEELS + _ROCM_WHEELS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def copy_to_host(array: Any) -> np.ndarray:
    """Return a copy in host memory of an array of any library on a CUDA device.

    Raises:
        DeviceError: CuPy, which copies it, is not installed or cannot read it.
    """
    cupy = _import_cupy(installed_wheels())
    try:
        return cupy.asnumpy(cupy.from_dlpack(array))  # type: ignore[no-any-return]
    except Exception as error:
        msg = f"cannot copy the array from its device: {_said(error)}"
        raise DeviceError(msg, problem="unusable") from error


@contextmanager
def matmul_precision(xp: Namespace, precision: str) -> Iterator[None]:
    """Compute products of float32 matrices with a precision; restore the precision before at the end."""
    linalg = attrgetter("_core._routines_linalg")(xp)
    before = linalg.get_compute_type(np.float32)
    linalg.set_compute_type(np.float32, getattr(linalg, COMPUTE_TYPES[precision]))
    try:
        yield
    finally:
        linalg.set_compute_type(np.float32, before)


class ActiveDevice:
    """A context in which a CUDA device is the current device, and errors of CUDA become a `DeviceError`.

    Args:
        xp: the module `cupy`.
        ordinal: the number of the device among the visible ones.
    """

    def __init__(self, xp: Namespace, ordinal: int) -> None:
        self._xp, self._ordinal = xp, ordinal
        self._device = xp.cuda.Device(ordinal)

    def __enter__(self) -> None:
        self._device.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            failure = None if error is None else self._explained(error)
        finally:
            self._device.__exit__(kind, error, trace)
        if failure is not None:
            raise failure from error

    def _explained(self, error: BaseException) -> DeviceError | None:
        """Return the `DeviceError` for an error of CUDA; None for other errors."""
        cuda, name = self._xp.cuda, f"gpu:{self._ordinal}"
        if isinstance(error, cuda.memory.OutOfMemoryError) or _is_of_memory(error):
            asked = re.search(r"allocating ([\d,]+) bytes", str(error))
            size = _gigabytes(int(asked[1].replace(",", ""))) if asked else "more"
            free, total = self._device.mem_info
            msg = f"{name} is out of memory: {size} asked for, {_gigabytes(free)} of {_gigabytes(total)} free"
            remedy = "use a smaller --batch-size, let the data stream (resident_bytes), or --device cpu"
            return DeviceError(msg, problem="out-of-memory", remedy=remedy)
        if isinstance(error, cuda.runtime.CUDARuntimeError) or _is_of_backends(error):
            msg = f"{name} failed while computing: {_said(error)}"
            return DeviceError(msg, problem="lost", remedy="check nvidia-smi, and start again")
        return None


def _is_of_backends(error: BaseException) -> bool:
    """Return whether an error comes from a library that CuPy calls: the driver, cuBLAS, ..."""
    return type(error).__module__.startswith("cupy_backends.")


def _is_of_memory(error: BaseException) -> bool:
    """Return whether the runtime, the driver or cuBLAS got no memory: they do not use CuPy's memory pool."""
    status = {"CUDARuntimeError": 2, "CUDADriverError": 2, "CUBLASError": 3}.get(type(error).__name__, 0)
    return bool(status) and getattr(error, "status", None) == status


def _gigabytes(size: int) -> str:
    """Return a number of bytes as gigabytes."""
    return f"{size / 1e9:.3g} GB"


def _import_cupy(wheels: dict[str, str]) -> Namespace:
    """Import CuPy, after checking that exactly one package for CUDA is installed. wheels: those installed."""
    listed = ", ".join(f"{name} {version}" for name, version in wheels.items())
    if len(wheels) > 1:
        msg = f"several CuPy packages overwrite each other here: {listed}"
        remedy = f"remove all, then keep one: pip uninstall {' '.join(wheels)}; then {_INSTALL}"
        raise DeviceError(msg, problem="doubled-wheels", remedy=remedy)
    rocm = [name for name in wheels if name in _ROCM_WHEELS]
    if rocm:
        msg = f"{rocm[0]} is CuPy for AMD's ROCm, and xpnet needs CUDA"
        remedy = f"pip uninstall {rocm[0]}; then {_INSTALL}"
        raise DeviceError(msg, problem="wrong-wheel", remedy=remedy)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CuPy warns of problems that are found here anyway
            cupy: Any = importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            msg = f"CuPy is incomplete: {_said(error)}"
            raise DeviceError(msg, problem="wrong-wheel", remedy=f"reinstall it: {_INSTALL}") from error
        msg = "CuPy is not installed"
        raise DeviceError(msg, problem="not-installed", remedy=_INSTALL) from None
    except Exception as error:
        # The message of CuPy is a page on how to install it. The cause of the error is the reason.
        reason = _said(error.__cause__ or error)
        msg = f"CuPy ({listed or 'of unknown origin'}) does not import: {reason}"
        raise DeviceError(msg, problem="wrong-wheel", remedy=_INSTALL) from error
    if not hasattr(cupy, "__version__"):
        msg = f"a folder or module named cupy hides CuPy, or CuPy is incomplete: {cupy!r}"
        raise DeviceError(msg, problem="wrong-wheel", remedy=_INSTALL)
    if int(cupy.__version__.partition(".")[0]) < OLDEST_CUPY:
        msg = f"CuPy {cupy.__version__} is too old, xpnet needs {OLDEST_CUPY} or newer"
        raise DeviceError(msg, problem="wrong-wheel", remedy=_INSTALL)
    return cupy


def _check_driver(cupy: Namespace, wheels: dict[str, str]) -> None:
    """Raise `DeviceError` unless there is a driver that is new enough for CuPy."""
    try:
        supported = cupy.cuda.runtime.driverGetVersion()
        needed = cupy.cuda.runtime.runtimeGetVersion()
    except Exception as error:
        msg = f"the version of CUDA cannot be read: {_said(error)}"
        raise DeviceError(msg, problem="unusable") from error
    if supported == 0:
        msg = "CuPy is installed, but there is no NVIDIA driver (libcuda)"
        remedy = "install it; in a container, start it with the GPUs passed through (docker run --gpus all)"
        raise DeviceError(msg, problem="no-driver", remedy=remedy)
    if supported // 1000 < needed // 1000:
        wheel = next(iter(wheels), "this CuPy")
        msg = (
            f"the NVIDIA driver supports CUDA {_version(supported)}, and {wheel} needs "
            f"{needed // 1000}.0 or newer"
        )
        remedy = "update the driver"
        if supported >= OLDEST_CUDA:
            remedy += (
                f", or replace {wheel} by the wheel for CUDA {supported // 1000}: "
                f"pip uninstall {wheel}; pip install cupy-cuda{supported // 1000}x"
            )
        raise DeviceError(msg, problem="driver-too-old", remedy=remedy)


def _check_ordinal(cupy: Namespace, ordinal: int) -> None:
    """Raise `DeviceError` unless there is a device of this number."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    setting = "is not set" if visible is None else f"is {visible!r}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        if getattr(error, "status", None) != 100:  # cudaErrorNoDevice
            msg = f"CUDA cannot list its devices: {_said(error)}"
            raise DeviceError(msg, problem="unusable") from error
        count = 0
    if count == 0:
        msg = f"the NVIDIA driver sees no device (CUDA_VISIBLE_DEVICES {setting})"
        remedy = "check nvidia-smi, and unset CUDA_VISIBLE_DEVICES or name a device in it"
        raise DeviceError(msg, problem="no-device", remedy=remedy)
    if ordinal >= count:
        there = "only gpu:0 is" if count == 1 else f"gpu:0 to gpu:{count - 1} are"
        msg = f"gpu:{ordinal} does not exist: {there} visible (CUDA_VISIBLE_DEVICES {setting})"
        raise DeviceError(msg, problem="no-such-device")


def _check_libraries(cupy: Namespace) -> None:
    """Raise `DeviceError` unless NVRTC and cuBLAS can be loaded."""
    remedy = _RUNTIME.format(major=cupy.cuda.runtime.runtimeGetVersion() // 1000)
    # CuPy loads these libraries when they are first used. Here it is still clear why one is missing.
    try:
        cupy.cuda.nvrtc.getVersion()
    except (ImportError, RuntimeError) as error:
        msg = f"NVRTC, which compiles kernels, is missing ({_said(error)})"
        raise DeviceError(msg, problem="no-nvrtc", remedy=remedy) from error
    try:
        cupy.cuda.cublas.getVersion  # noqa: B018  (the attribute loads the library)
    except (ImportError, RuntimeError) as error:
        msg = f"cuBLAS, which multiplies matrices, is missing ({_said(error)})"
        raise DeviceError(msg, problem="no-cublas", remedy=remedy) from error


def _check_work(cupy: Namespace, ordinal: int) -> None:
    """Raise `DeviceError` unless the device computes a small example correctly."""
    try:
        with cupy.cuda.Device(ordinal):
            ones = cupy.ones((2, 2), dtype=cupy.float32)
            got = float(cupy.asnumpy(ones @ ones + ones)[0, 0])
    except Exception as error:
        if "CUDA headers" in str(error):
            remedy = _RUNTIME.format(major=cupy.cuda.runtime.runtimeGetVersion() // 1000)
            msg = "CUDA's header files, which kernels are compiled with, are missing"
            raise DeviceError(msg, problem="no-headers", remedy=remedy) from error
        msg = f"gpu:{ordinal} fails at a small first computation: {_said(error)}"
        raise DeviceError(msg, problem="unusable") from error
    if got != 3.0:
        msg = f"gpu:{ordinal} computed 1 * 1 + 1 * 1 + 1 = {got}: the device is broken"
        raise DeviceError(msg, problem="unusable")


def _version(number: int) -> str:
    """Return a version as CUDA counts it, such as 12040, in the usual form, such as 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _said(error: BaseException) -> str:
    """Return the type of an error, and the first line of its message."""
    first = next((line.strip(" =") for line in str(error).splitlines() if line.strip(" =")), "")
    return f"{type(error).__name__}: {first}"
