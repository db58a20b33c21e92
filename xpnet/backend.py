"""The `xp` selector: one explicit object that says where arrays live, and moves them there and back."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import namespace
from xpnet.errors import ArrayTypeError, DeviceError, DtypeError, ShapeError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from xpnet.arrays import Array, Namespace

_DEVICE = re.compile(r"auto|cpu|(?:gpu|cuda)(?::(\d{1,4}))?")
_HOST = frozenset({1, 3, 11})  # kDLCPU, kDLCUDAHost, kDLROCMHost


@dataclass
class Crossings:
    """How often data was handed between host and device through one backend.

    On a CPU, where both are one, each call counts as it would on a GPU: a training step that makes none here
    makes none there.
    """

    sent: int = 0
    fetched: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def total(self) -> int:
        """Crossings in both directions."""
        return self.sent + self.fetched

    def count(self, *, sent: int = 0, fetched: int = 0) -> None:
        """Add to the counts; safe from several threads."""
        with self._lock:
            self.sent += sent
            self.fetched += fetched


class Backend:
    """NumPy in host memory; the base of the others.

    Attributes:
        name: "cpu" or "gpu".
        xp: the array library, `numpy` or `cupy`.
        device: "cpu", or "gpu:0", "gpu:1", ...
        reason: why `select` chose this device, in words.
        crossings: the counts of `send` and `fetch`, which are the only ways between host and device.
    """

    def __init__(self, name: str, xp: Namespace, device: str, reason: str) -> None:
        self.name = name
        self.xp = xp
        self.device = device
        self.reason = reason
        self.crossings = Crossings()

    def __repr__(self) -> str:
        return f"<Backend {self.device}, {self.xp.__name__} {self.xp.__version__}>"

    def send(self, data: Any, dtype: Any = None) -> Array:
        """Return `data` as an array on this device.

        An array that is already there is returned as it is, and one of another library (PyTorch, JAX, ...)
        on the same device is shared through DLPack: neither is copied, unless `dtype` asks for another type.

        Args:
            data: an array of any library, or a number or (nested) list of numbers.
            dtype: of the result: a name such as "float32", or None to keep it.

        Raises:
            ShapeError: a list whose rows differ in length.
            DtypeError: `data` does not hold numbers, or has a type the library lacks.
            ArrayTypeError: `data` is not something an array can be made of.
            DeviceError: `data` cannot be brought to this device.
        """
        shared = self._share(data)
        if shared is None:
            self.crossings.count(sent=1)
            shared = self._upload(to_host(data))
        return shared if dtype is None else self._cast(shared, dtype)

    def fetch(self, array: Array) -> np.ndarray:
        """Return an array of this device as a NumPy array in host memory; on a CPU, itself."""
        self.crossings.count(fetched=1)
        return self._download(array)

    def holds(self, array: Array) -> bool:
        """Whether `array` is of this library and lies on this device."""
        return isinstance(array, np.ndarray)

    def synchronize(self) -> None:
        """Wait until the device has done all work given to it so far."""

    def activate(self) -> AbstractContextManager[Any]:
        """Return a context in which this device is CUDA's current one in this thread; on a CPU, any context.

        Arrays of a second GPU can only be computed with in such a context.
        """
        return contextlib.nullcontext()

    def _share(self, data: Any) -> Array | None:
        """Return `data` as this library's array without copying, or None if it lies elsewhere."""
        del data
        return None

    def _upload(self, data: np.ndarray) -> Array:
        return data

    def _download(self, array: Array) -> np.ndarray:
        return to_host(array)

    def _cast(self, array: Array, dtype: Any) -> Array:
        try:
            own = getattr(self.xp, np.dtype(dtype).name)
        except (TypeError, AttributeError) as error:
            msg = f"send: {dtype!r} is not a dtype of {self.xp.__name__}: {error}"
            raise DtypeError(msg) from None
        if array.dtype == own:
            return array
        with self.activate():
            return self.xp.astype(array, own)


class CudaBackend(Backend):
    """CuPy on one CUDA device.

    Args:
        xp: the module `cupy`.
        ordinal: the device's number among those visible.
    """

    def __init__(self, xp: Namespace, ordinal: int, reason: str) -> None:
        super().__init__("gpu", xp, f"gpu:{ordinal}", reason)
        self.ordinal = ordinal
        self._device = xp.cuda.Device(ordinal)

    def holds(self, array: Array) -> bool:
        """As `Backend.holds`."""
        return isinstance(array, self.xp.ndarray) and array.device.id == self.ordinal

    def synchronize(self) -> None:
        """As `Backend.synchronize`."""
        self._device.synchronize()

    def activate(self) -> AbstractContextManager[Any]:
        """As `Backend.activate`."""
        return self.xp.cuda.Device(self.ordinal)  # type: ignore[no-any-return]

    def _share(self, data: Any) -> Array | None:
        if isinstance(data, self.xp.ndarray):
            if data.device.id == self.ordinal:
                return data
            msg = (
                f"send: the array lies on gpu:{data.device.id}, this backend is {self.device}: "
                "fetch it there, then send it here"
            )
            raise DeviceError(msg, problem="other-device")
        if _dlpack_device(data) == (2, self.ordinal):  # kDLCUDA
            with self.activate():
                return _from_dlpack(self.xp, data)
        return None

    def _upload(self, data: np.ndarray) -> Array:
        with self.activate():
            return self.xp.asarray(data)

    def _download(self, array: Array) -> np.ndarray:
        if isinstance(array, self.xp.ndarray):
            with self.activate():
                return self.xp.asnumpy(array)  # type: ignore[no-any-return]
        return to_host(array)


def select(device: str | None = None) -> Backend:
    """Return the backend for a device. Call it once, at the edge of a program, and pass the result on.

    Args:
        device: "cpu"; "gpu" or "gpu:N" (also "cuda", "cuda:N"), which never falls back; "auto", a GPU that
            works, else the CPU, with the reason in `backend.reason`; None, what the environment variable
            XPNET_DEVICE says, else "auto".

    Raises:
        DeviceError: the name is none of these, or a GPU was asked for and cannot be used.
    """
    name = device if device is not None else os.environ.get("XPNET_DEVICE") or "auto"
    asked_by = "asked for" if device is not None or name == "auto" else "set by XPNET_DEVICE"
    matched = _DEVICE.fullmatch(name.strip().lower())
    if matched is None:
        where = "" if device is not None else " (from XPNET_DEVICE)"
        msg = f"device {name!r}{where}: expected auto, cpu, gpu, gpu:N, cuda or cuda:N"
        raise DeviceError(msg, problem="unknown-name")
    if matched[0] == "cpu":
        return Backend("cpu", np, "cpu", f"cpu was {asked_by}")
    from xpnet import gpu

    ordinal = int(matched[1] or 0)
    if matched[0] == "auto":
        try:
            return CudaBackend(gpu.working_cupy(ordinal), ordinal, "a working GPU was found")
        except DeviceError as error:
            return Backend("cpu", np, "cpu", f"no GPU can be used: {error}")
    return CudaBackend(gpu.working_cupy(ordinal), ordinal, f"{matched[0]} was {asked_by}")


def to_host(data: Any) -> np.ndarray:
    """Return `data` as a NumPy array in host memory; shared, not copied, if it lies there.

    Raises: as `Backend.send`.
    """
    device = _dlpack_device(data)
    if isinstance(data, np.ndarray | np.generic):
        namespace(data)  # refuses the kinds of arrays whose operators differ
        array = np.asarray(data)
    elif device is not None and device[0] in _HOST:
        array = _from_dlpack(np, data)
    elif device is not None:
        from xpnet import gpu

        array = gpu.download(data)
    else:
        try:
            array = np.asarray(data)
        except ValueError as error:
            msg = f"send: no array can be made of this {type(data).__name__}: {error}"
            raise ShapeError(msg) from None
    if array.dtype.kind not in "biuf":
        kind = f"an array of {array.dtype}" if array.ndim else f"a {type(data).__name__}"
        msg = f"send: got {kind}, expected numbers"
        raise DtypeError(msg)
    return array


def _dlpack_device(data: Any) -> tuple[int, int] | None:
    """Return the DLPack device type and number of an array, or None for what is not one."""
    if not hasattr(data, "__dlpack_device__"):
        return None
    kind, number = data.__dlpack_device__()
    return int(kind), int(number)


def _from_dlpack(xp: Namespace, data: Any) -> Array:
    try:
        return xp.from_dlpack(data)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        name = f"{type(data).__module__}.{type(data).__qualname__}"
        msg = f"send: {name} cannot be shared through DLPack: {error}"
        raise ArrayTypeError(msg) from None
