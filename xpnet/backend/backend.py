"""The `xp` selector: one explicit object that says where arrays live, and moves them there and back."""

from __future__ import annotations

import os
import re
import threading
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import is_number_dtype
from xpnet.backend.pinned import PinnedRing, stream_arrays, upload_array
from xpnet.backend.transfer import dlpack_device, from_dlpack, to_host
from xpnet.errors import DeviceError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from xpnet.arrays import Array, Namespace

UPLOAD_BYTES = 64 << 20
"""Larger arrays go to a GPU in parts of this size."""

_DEVICE = re.compile(r"auto|cpu|(?:gpu|cuda)(?::([0-9]{1,4}))?")


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
        array = self._share(data)
        if array is None:
            array = self._upload(to_host(data, "send"))
            self.crossings.count(sent=1)
        elif not is_number_dtype(self.xp, array.dtype):
            msg = f"send: got an array of {array.dtype}, expected numbers"
            raise DtypeError(msg)
        return array if dtype is None else self._cast(array, dtype)

    def fetch(self, array: Array) -> np.ndarray:
        """Return an array of this device as a NumPy array in host memory; on a CPU, itself."""
        fetched = self._download(array)
        self.crossings.count(fetched=1)
        return fetched

    def stream(self, items: Iterable[tuple[np.ndarray | None, ...]]) -> Iterator[tuple[Array | None, ...]]:
        """Send tuples of arrays, in order, as they are asked for; None stays None.

        On a GPU the next tuple is on its way while one is computed with, through pinned memory; no more than
        two are on the device on behalf of this function.

        Args:
            items: arrays of numbers in host memory, read one tuple ahead.
        """
        for item in items:
            yield tuple(None if array is None else self.send(array) for array in item)

    def holds(self, array: Array) -> bool:
        """Whether `array` is of this library and lies on this device."""
        return isinstance(array, np.ndarray)

    def synchronize(self) -> None:
        """Wait until the device has done all work given to it so far."""

    def free_bytes(self) -> int | None:
        """Return how much of the device's memory is free; None for host memory, which sends share."""
        return None

    def precision(self, name: str) -> AbstractContextManager[Any]:
        """Return a context in which products of float32 matrices have a precision.

        Args:
            name: "float32", or "tf32" or "bfloat16", which only GPUs have.

        Raises:
            DeviceError: this device has no such precision.
        """
        if name == "float32":
            return nullcontext()
        msg = (
            f"precision {name} is of GPUs with compute capability 8.0 or newer, and the device is "
            f"{self.device}: use float32 (leave out --precision), or another device"
        )
        raise DeviceError(msg, problem="no-such-precision")

    def activate(self) -> AbstractContextManager[Any]:
        """Return a context to compute in.

        On a GPU the device is CUDA's current one there, in this thread: arrays of a second GPU can only be
        computed with in such a context. On a CPU, NumPy does not warn of an overflow there, as CuPy never
        does: whoever trains looks at the costs.
        """
        return np.errstate(over="ignore", invalid="ignore")

    def _share(self, data: Any) -> Array | None:
        """Return `data` as this library's array without copying, or None if it lies elsewhere."""
        del data
        return None

    def _upload(self, data: np.ndarray) -> Array:
        return data

    def _download(self, array: Array) -> np.ndarray:
        return to_host(array, "fetch")

    def _cast(self, array: Array, dtype: Any) -> Array:
        try:
            wanted = np.dtype(dtype)
            own = getattr(self.xp, wanted.name)
        except Exception as error:  # NumPy raises many kinds for what is no dtype
            msg = f"send: {dtype!r} is not a dtype of {self.xp.__name__}"
            raise DtypeError(msg) from error
        if wanted.kind not in "biuf":
            msg = f"send: dtype is {wanted.name}, expected integers, booleans or floats"
            raise DtypeError(msg)
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
        with self.activate():
            self._device.synchronize()

    def free_bytes(self) -> int | None:
        """As `Backend.free_bytes`."""
        return int(self._device.mem_info[0])

    def precision(self, name: str) -> AbstractContextManager[Any]:
        """As `Backend.precision`. CuPy keeps it for the whole process."""
        from xpnet.backend.device import COMPUTE_TYPES, matmul_precision

        if name in COMPUTE_TYPES and int(self._device.compute_capability) >= 80:
            return matmul_precision(self.xp, name)
        return super().precision(name)

    def activate(self) -> AbstractContextManager[Any]:
        """As `Backend.activate`. What fails there is a `DeviceError`."""
        from xpnet.backend.device import ActiveDevice

        return ActiveDevice(self.xp, self.ordinal)

    def _share(self, data: Any) -> Array | None:
        if isinstance(data, self.xp.ndarray):
            if data.device.id == self.ordinal:
                return data
            msg = (
                f"send: the array lies on gpu:{data.device.id}, this backend is {self.device}: "
                "fetch it there, then send it here"
            )
            raise DeviceError(msg, problem="other-device")
        if dlpack_device(data) == (2, self.ordinal):  # kDLCUDA
            with self.activate():
                return from_dlpack(self.xp, data, "send")
        return None

    def stream(self, items: Iterable[tuple[np.ndarray | None, ...]]) -> Iterator[tuple[Array | None, ...]]:
        """As `Backend.stream`."""

        def counted() -> Iterator[tuple[np.ndarray | None, ...]]:
            for item in items:
                self.crossings.count(sent=sum(array is not None for array in item))
                yield item

        return stream_arrays(PinnedRing(self.xp, self.activate), counted())

    def _upload(self, data: np.ndarray) -> Array:
        with self.activate():
            if data.nbytes <= UPLOAD_BYTES or not data.flags.c_contiguous:
                return self.xp.asarray(data)
            # CuPy would make a pinned copy of all of it.
            return upload_array(PinnedRing(self.xp, self.activate), data, UPLOAD_BYTES)

    def _download(self, array: Array) -> np.ndarray:
        if isinstance(array, self.xp.ndarray):
            with self.activate():
                return self.xp.asnumpy(array)  # type: ignore[no-any-return]
        return to_host(array, "fetch")


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
    matched = _DEVICE.fullmatch(name.strip().lower()) if isinstance(name, str) else None
    if matched is None:
        where = "" if device is not None else " (from XPNET_DEVICE)"
        msg = f"device {name!r}{where}: expected auto, cpu, gpu, gpu:N, cuda or cuda:N"
        raise DeviceError(msg, problem="unknown-name")
    if matched[0] == "cpu":
        return Backend("cpu", np, "cpu", f"cpu was {asked_by}")
    from xpnet.backend.device import open_cupy

    ordinal = int(matched[1] or 0)
    if matched[0] == "auto":
        try:
            return CudaBackend(open_cupy(ordinal), ordinal, "a working GPU was found")
        except DeviceError as error:
            return Backend("cpu", np, "cpu", f"no GPU can be used: {error}")
    return CudaBackend(open_cupy(ordinal), ordinal, f"{matched[0]} was {asked_by}")
