"""A backend says on which device to compute, and moves arrays there and back."""

from __future__ import annotations

import os
import re
import threading
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.arrays import is_number_dtype, namespace
from xpnet.backend.pinned import PinnedRing, stream_arrays, upload_array
from xpnet.backend.transfer import dlpack_device, from_dlpack, to_host
from xpnet.errors import ArrayTypeError, DeviceError, DtypeError
from xpnet.kernels import one_for_each_product

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from xpnet.arrays import Array, Namespace

UPLOAD_BYTES = 2 << 20
"""Larger arrays are sent to a GPU by several threads. CuPy sends smaller ones, in this thread."""

_DEVICE = re.compile(r"auto|cpu|(?:gpu|cuda)(?::([0-9]{1,4}))?")
"""The names of devices that `select` takes."""


@dataclass
class Crossings:
    """Counts how often a backend moved data between host memory and the device.

    On a CPU nothing is moved, but `send` and `fetch` are counted as on a GPU. So if a training step has no
    crossings on a CPU, it has none on a GPU.

    Attributes:
        sent: how many arrays were sent to the device.
        fetched: how many arrays were fetched from it.
    """

    sent: int = 0
    fetched: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def total(self) -> int:
        """Crossings in both directions."""
        return self.sent + self.fetched

    def count(self, *, sent: int = 0, fetched: int = 0) -> None:
        """Add to the counts. Several threads may call it at the same time."""
        with self._lock:
            self.sent += sent
            self.fetched += fetched


class _HostContext(AbstractContextManager[None]):
    """See `Backend.activate`."""

    def __init__(self) -> None:
        self._quiet, self._one_thread = np.errstate(over="ignore", invalid="ignore"), one_for_each_product()

    def __enter__(self) -> None:
        self._one_thread.__enter__()
        self._quiet.__enter__()

    def __exit__(self, *error: object) -> None:
        self._quiet.__exit__(None, None, None)
        self._one_thread.__exit__(None, None, None)


class Backend:
    """NumPy in host memory. The base class of the other backends.

    Attributes:
        name: "cpu" or "gpu".
        xp: the array library, `numpy` or `cupy`.
        device: "cpu", or "gpu:0", "gpu:1", ...
        reason: why `select` chose this device, in words.
        crossings: how often `send` and `fetch` moved data. There is no other way to move it.
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

        An array that is already there is returned itself. An array of another library (PyTorch, JAX, ...) on
        the same device is shared through DLPack. Neither is copied, unless `dtype` is another dtype.

        Args:
            data: an array of any library, a number, or a (nested) list of numbers.
            dtype: the dtype of the result, such as "float32"; None to keep that of `data`.

        Raises:
            ShapeError: `data` is a list whose rows have different lengths.
            DtypeError: `data` does not hold numbers, or `dtype` is not a dtype of numbers of the library.
            ArrayTypeError: `data` cannot be converted to an array.
            DeviceError: `data` cannot be moved to this device.
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
        """Return an array of this device as a NumPy array in host memory; on a CPU, the array itself."""
        fetched = self._download(array)
        self.crossings.count(fetched=1)
        return fetched

    def stream(self, items: Iterable[tuple[np.ndarray | None, ...]]) -> Iterator[tuple[Array | None, ...]]:
        """Yield tuples of arrays, sent to the device, in order. None stays None.

        On a GPU, the next tuple is copied through pinned memory while the caller computes with one. At most
        two tuples are on the device at a time.

        Args:
            items: tuples of arrays of numbers in host memory. The next tuple is read in advance.
        """
        for item in items:
            yield tuple(None if array is None else self.send(array) for array in item)

    def holds(self, array: Array) -> bool:
        """Return whether `array` is an array of this library on this device."""
        return isinstance(array, np.ndarray)

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""

    def free_bytes(self) -> int | None:
        """Return the free memory of the device in bytes; None on a CPU, where `send` needs no more memory."""
        return None

    def precision(self, name: str) -> AbstractContextManager[Any]:
        """Return a context in which products of float32 matrices are computed with a precision.

        Args:
            name: "float32", or on a GPU also "tf32".

        Raises:
            DeviceError: this device does not have the precision.
        """
        if name == "float32":
            return nullcontext()
        msg = (
            f"precision {name} needs a GPU with compute capability 8.0 or newer, and the device is "
            f"{self.device}: use float32 (leave out --precision), or another device"
        )
        raise DeviceError(msg, problem="no-such-precision")

    def activate(self) -> AbstractContextManager[Any]:
        """Return a context to compute in.

        On a GPU it makes the device CUDA's current device in this thread, which is necessary to compute with
        arrays of a second GPU. On a CPU it gives each matrix product of BLAS one thread (see
        `xpnet.kernels.threads`), and turns off NumPy's warnings of overflows, as CuPy has none: training
        finds an overflow in the cost.
        """
        return _HostContext()

    def _share(self, data: Any) -> Array | None:
        """Return `data` as an array of this library without a copy, or None if it is not on this device."""
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
        except Exception as error:  # NumPy raises many kinds of errors for a wrong dtype
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
        ordinal: the number of the device among the visible ones.
        reason: why this device was chosen, in words.
    """

    def __init__(self, xp: Namespace, ordinal: int, reason: str) -> None:
        super().__init__("gpu", xp, f"gpu:{ordinal}", reason)
        self.ordinal = ordinal
        self._device = xp.cuda.Device(ordinal)
        self._rings: list[PinnedRing] = []  # those that nobody uses at present

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
        """As `Backend.precision`. CuPy has one precision for the whole process."""
        from xpnet.backend.device import COMPUTE_TYPES, matmul_precision

        if name in COMPUTE_TYPES and int(self._device.compute_capability) >= 80:
            return matmul_precision(self.xp, name)
        return super().precision(name)

    def activate(self) -> AbstractContextManager[Any]:
        """As `Backend.activate`. Errors of CUDA in the context become a `DeviceError`."""
        from xpnet.backend.device import ActiveDevice

        return ActiveDevice(self.xp, self.ordinal)

    def _share(self, data: Any) -> Array | None:
        if isinstance(data, self.xp.ndarray):
            if data.device.id == self.ordinal:
                return data
            msg = (
                f"send: the array is on gpu:{data.device.id}, this backend is {self.device}: "
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

        with self._pinned_ring() as ring:
            yield from stream_arrays(ring, counted())

    def _upload(self, data: np.ndarray) -> Array:
        flags = data.flags
        with self.activate():
            if data.nbytes <= UPLOAD_BYTES or not (flags.c_contiguous or flags.f_contiguous):
                return self.xp.asarray(data)
            # xp.asarray would make a pinned copy of the whole array.
            with self._pinned_ring() as ring:
                return upload_array(ring, data) if flags.c_contiguous else upload_array(ring, data.T).T

    @contextmanager
    def _pinned_ring(self) -> Iterator[PinnedRing]:
        """Lend pinned buffers. One ring is kept for the next call: pinned memory is slow to allocate."""
        try:
            ring = self._rings.pop()
        except IndexError:  # the first call, or another stream or thread uses the ring
            ring = PinnedRing(self.xp, self.activate)
        try:
            yield ring
        finally:
            if not self._rings:
                self._rings.append(ring)

    def _download(self, array: Array) -> np.ndarray:
        if isinstance(array, self.xp.ndarray):
            with self.activate():
                return self.xp.asnumpy(array)  # type: ignore[no-any-return]
        return to_host(array, "fetch")


def backend_of(array: Array, where: str = "backend_of: ") -> Backend:
    """Return a backend for the device that an array is on.

    Args:
        array: an array of NumPy or CuPy.
        where: text that an error message begins with.

    Raises:
        ArrayTypeError: it is of another library.
    """
    xp = namespace(array, where)
    if xp is np:
        return select("cpu")
    kind: Any = getattr(xp, "ndarray", ())  # PyTorch has `cuda`, too
    if not hasattr(xp, "cuda") or not isinstance(array, kind):
        msg = f"{where}got an array of {xp.__name__}, expected one of NumPy or CuPy"
        raise ArrayTypeError(msg)
    return CudaBackend(xp, array.device.id, "the array is there")


def select(device: str | None = None) -> Backend:
    """Return the backend for a device. A program calls this once, and passes the backend on.

    Args:
        device: "cpu"; "gpu" or "gpu:N" (also "cuda" or "cuda:N") for a GPU; "auto" for a GPU if one can be
            used, otherwise the CPU, with the reason in `backend.reason`; None for the value of the
            environment variable XPNET_DEVICE, or "auto" if it is not set.

    Raises:
        DeviceError: the name is not one of these, or the GPU cannot be used.
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
