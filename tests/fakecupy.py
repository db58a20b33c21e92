"""A fake CuPy without a GPU, computed by NumPy. It raises errors where CuPy does, or where CuPy would be slow.

As CuPy, it refuses implicit conversion to NumPy, NumPy arrays as arguments, `where=` in ufuncs, and functions
that CuPy does not have. It counts operations that make the host wait for the device, and refuses them inside
`no_sync()`. In one point it is stricter: writing to one index twice is undefined in CuPy, and an error here.

The module is used like `cupy` itself: `CudaBackend(fakecupy, 0, ...)` runs xpnet's code for a GPU on it.
"""

import contextlib
import ctypes
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as _np
from numpy.lib.mixins import NDArrayOperatorsMixin

__version__ = "14.0.0+fake"

MISSING = frozenset(
    {
        "block", "errstate", "geomspace", "insert", "matvec", "memmap", "ndenumerate", "nditer",
        "unstack", "vecdot", "vecmat",
    }
)  # fmt: skip
"""Public names of NumPy that CuPy does not have."""

_WAITING = frozenset({"allclose", "argwhere", "array_equal", "extract", "flatnonzero", "nonzero", "unique"})


class HiddenSynchronization(RuntimeError):
    """The host would have to wait for the device."""


class _Counter:
    allowed = True
    synchronizations = 0
    uploads = 0


def _synchronize(what: str) -> None:
    _Counter.synchronizations += 1
    if not _Counter.allowed:
        raise HiddenSynchronization(what)


@contextlib.contextmanager
def no_sync() -> Iterator[None]:
    """Return a context in which everything that waits for the device raises an error."""
    before, _Counter.allowed = _Counter.allowed, False
    try:
        yield
    finally:
        _Counter.allowed = before


DEVICES = 2

_current = [0]
"""Numbers of the devices whose contexts are entered; the last is the current device."""


class Device:
    """One of two devices. An array can be used only while its device is the current one."""

    def __init__(self, id: int | None = None) -> None:
        self.id = _current[-1] if id is None else id
        if not 0 <= self.id < DEVICES:
            raise ValueError(f"cudaErrorInvalidDevice: {id}")

    def __enter__(self) -> "Device":
        _current.append(self.id)
        self._quiet = _np.errstate(over="ignore", invalid="ignore")  # a GPU does not warn
        self._quiet.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._quiet.__exit__(*_)
        _current.pop()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.id == self.id

    compute_capability = "90"
    cublas_handle = 0

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free and total bytes of memory."""
        return 1 << 30, 1 << 30

    def synchronize(self) -> None:
        _synchronize("Device.synchronize")


class ndarray(NDArrayOperatorsMixin):
    """A NumPy array that pretends to be on the device that was current when it was made."""

    __slots__ = ("_id", "_on_host")

    def __init__(self, on_host: _np.ndarray) -> None:
        self._on_host = on_host
        self._id = _current[-1]

    def __array_namespace__(self, api_version: str | None = None) -> types.ModuleType:
        return sys.modules[__name__]

    @property
    def device(self) -> Device:
        return Device(self._id)

    @property
    def data(self) -> types.SimpleNamespace:
        return _MemoryPointer(self._on_host)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"shape": self._on_host.shape, "typestr": self._on_host.dtype.str, "version": 3}

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct one."
        )

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = None, where: Any = True, **kw: Any
    ) -> Any:
        if where is not True:
            raise TypeError("Wrong arguments {'where': ...}")
        if out is not None:
            kw["out"] = tuple(_inside(o, ufunc.__name__) for o in out)
        result = getattr(ufunc, method)(*(_inside(i, ufunc.__name__) for i in inputs), **kw)
        return out[0] if out is not None else _outside(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _call(function, args, kwargs)

    def get(self) -> _np.ndarray:
        _synchronize("get")
        return _inside(self, "get").copy()

    def __bool__(self) -> bool:
        _synchronize("bool")
        return bool(self._on_host)

    def __float__(self) -> float:
        _synchronize("float")
        return float(self._on_host)

    def __int__(self) -> int:
        _synchronize("int")
        return int(self._on_host)

    def __index__(self) -> int:
        _synchronize("index")
        return self._on_host.__index__()

    def item(self) -> Any:
        _synchronize("item")
        return self._on_host.item()

    def tolist(self) -> Any:
        _synchronize("tolist")
        return self._on_host.tolist()

    def __repr__(self) -> str:
        _synchronize("repr")
        return repr(self._on_host)

    def __format__(self, spec: str) -> str:
        _synchronize("format")
        return format(self._on_host[()], spec)

    def __len__(self) -> int:
        return len(self._on_host)

    def __iter__(self) -> Iterator[Any]:
        return (_outside(row) for row in self._on_host)

    def _key(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        for part in keys:
            if isinstance(part, _np.ndarray | list):
                _Counter.uploads += 1
                _synchronize("index array on the host")
            if isinstance(part, ndarray) and part._on_host.dtype == bool:
                _synchronize("boolean mask")
        inside = tuple(part._on_host if isinstance(part, ndarray) else part for part in keys)
        return inside if isinstance(key, tuple) else inside[0]

    def __getitem__(self, key: Any) -> Any:
        return _outside(self._on_host[self._key(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        inside = self._key(key)
        for part in inside if isinstance(inside, tuple) else (inside,):
            if isinstance(part, _np.ndarray) and part.dtype != bool and len(_np.unique(part)) != part.size:
                raise AssertionError("an index occurs twice in a scatter: undefined on CuPy, use xp.add.at")
        self._on_host[inside] = _inside(value, "setitem")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        attribute = getattr(self._on_host, name)
        if callable(attribute):
            return lambda *args, **kwargs: _call(attribute, args, kwargs)
        return _outside(attribute)


def _inside(value: Any, where: str) -> Any:
    if isinstance(value, ndarray):
        if value._id != _current[-1]:
            raise ValueError(
                f"Array device must be same as the current device: {value._id} and {_current[-1]}"
            )
        return value._on_host
    if isinstance(value, _np.ndarray):
        raise TypeError(f"{where}: Unsupported type {type(value)}")
    if isinstance(value, list | tuple):
        return type(value)(_inside(item, where) for item in value)
    return value


def _outside(value: Any) -> Any:
    if isinstance(value, _np.ndarray | _np.generic):
        return ndarray(_np.asarray(value))
    if isinstance(value, list | tuple):
        return type(value)(_outside(item) for item in value)
    return value


def _call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    name = function.__name__
    if name in MISSING:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    if name in _WAITING:
        _synchronize(name)
    if "where" in kwargs:
        raise TypeError("Wrong arguments {'where': ...}")
    result = function(*_inside(args, name), **{key: _inside(value, name) for key, value in kwargs.items()})
    return kwargs["out"] if kwargs.get("out") is not None else _outside(result)


class _Ufunc:
    """A NumPy ufunc over device arrays, with its methods (`add.at`, `add.reduce`, ...)."""

    def __init__(self, ufunc: Any) -> None:
        self._ufunc = ufunc

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _call(self._ufunc, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ufunc, name)
        return lambda *args, **kwargs: _call(method, args, kwargs)


_CREATING = frozenset({"array", "asarray", "ascontiguousarray", "asfortranarray"})
_DEVICE_LESS = frozenset({"arange", "empty", "eye", "full", "linspace", "ones", "zeros"})


def __getattr__(name: str) -> Any:
    if name in MISSING:
        raise AttributeError(f"module 'cupy' has no attribute {name!r}")
    found = getattr(_np, name)
    if isinstance(found, type | float | int | types.ModuleType) or found is None:
        return found
    if isinstance(found, _np.ufunc):
        return _Ufunc(found)
    if name in _CREATING:
        return lambda data, *args, **kwargs: _create(found, data, *args, **kwargs)

    def function(*args: Any, **kwargs: Any) -> Any:
        if name in _DEVICE_LESS and "device" in kwargs:
            raise TypeError(f"{name}() got an unexpected keyword argument 'device'")
        return _call(found, args, kwargs)

    return function


def _create(function: Any, data: Any, *args: Any, **kwargs: Any) -> ndarray:
    if not isinstance(data, ndarray):
        _Counter.uploads += 1
        return ndarray(_np.array(function(data, *args, **kwargs)))
    return ndarray(function(data._on_host, *args, **kwargs))


def asnumpy(array: Any) -> _np.ndarray:
    return array.get() if isinstance(array, ndarray) else _np.asarray(array)


def from_dlpack(array: Any) -> ndarray:
    raise BufferError(f"{type(array).__name__} lies in host memory")


def synchronizations() -> int:
    """How often the host has waited for the device."""
    return _Counter.synchronizations


def uploads() -> int:
    """How often host data was copied to a device."""
    return _Counter.uploads


class OutOfMemoryError(MemoryError):
    """The device has no memory left."""

    def __init__(self, size: int, total: int) -> None:
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")


class CUDARuntimeError(RuntimeError):
    """Any other error of CUDA."""


class Stream:
    """A queue of copies. They run as late as possible: when something waits for them."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.queue: list[Callable[[], None]] = []
        self.done = 0
        self._lock = threading.RLock()

    ptr = 0

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def record(self) -> "Event":
        event = Event()
        event.record(self)
        return event

    def run(self, count: int) -> None:
        with self._lock:
            while self.done < count:
                self.queue[self.done]()
                self.done += 1

    def wait_event(self, event: "Event") -> None:
        # Computations run at once, so a copy never has to wait for them.
        if self is _computing:
            event.arrive()


class Event:
    """A position in the queue of a stream."""

    def __init__(self, disable_timing: bool = False) -> None:
        self._timed = not disable_timing
        self._stream, self._place, self._seconds = _computing, 0, 0.0

    def record(self, stream: Stream | None = None) -> None:
        self._stream = stream or _computing
        self._place, self._seconds = len(self._stream.queue), time.perf_counter()

    def arrive(self) -> None:
        self._stream.run(self._place)

    def synchronize(self) -> None:
        self.arrive()

    @property
    def done(self) -> bool:
        return self._stream.done >= self._place


_computing = Stream()


def _elapsed(begin: Event, end: Event) -> float:
    assert begin._timed
    assert end._timed
    return 1e3 * (end._seconds - begin._seconds)


class _MemoryPointer:
    def __init__(self, array: _np.ndarray) -> None:
        self._array, self.ptr = array, array.ctypes.data

    def copy_from_host_async(self, source: int, size: int, stream: Stream) -> None:
        assert self._array.flags.c_contiguous
        assert size == self._array.nbytes
        places = list(_pinned.values())  # other threads may add some
        assert any(start <= source <= source + size <= stop for start, stop in places), "not pinned"
        stream.queue.append(lambda: ctypes.memmove(self.ptr, source, size) and None)


_compute_types = {"float32": 1}
_core = types.SimpleNamespace(
    _routines_linalg=types.SimpleNamespace(
        COMPUTE_TYPE_TF32=7,
        get_compute_type=lambda dtype: _compute_types[_np.dtype(dtype).name],
        set_compute_type=lambda dtype, kind: _compute_types.update({_np.dtype(dtype).name: kind}),
    )
)

_pinned: dict[int, tuple[int, int]] = {}
"""Addresses at which pinned memory begins and ends."""


class PinnedMemory(bytearray):
    """Pinned host memory, from which a device can copy asynchronously."""

    def __init__(self, size: int) -> None:
        super().__init__(b"\xab" * size)
        start = _np.frombuffer(self, _np.uint8).ctypes.data
        _pinned[id(self)] = start, start + size

    def __del__(self) -> None:
        _pinned.pop(id(self), None)


class _Pool:
    def free_all_blocks(self) -> None:
        pass

    def total_bytes(self) -> int:
        return 0


def get_default_memory_pool() -> _Pool:
    return _Pool()


_ATTRIBUTES = {16: 3, 81: 228 << 10, 97: 227 << 10}
"""Attributes of the device: multiprocessors, shared memory of each, and the most for one block."""

_runtime = types.SimpleNamespace(
    cudaDevAttrMultiProcessorCount=16,
    cudaDevAttrMaxSharedMemoryPerMultiprocessor=81,
    cudaDevAttrMaxSharedMemoryPerBlockOptin=97,
    deviceGetAttribute=lambda attribute, device: _ATTRIBUTES[attribute],
    getDeviceProperties=lambda device: {
        "name": b"fake", "multiProcessorCount": 3, "major": 9, "minor": 0, "totalGlobalMem": 1 << 30,
    },
    CUDARuntimeError=CUDARuntimeError,
    driverGetVersion=lambda: 13000,
    runtimeGetVersion=lambda: 13000,
)  # fmt: skip
cuda = types.SimpleNamespace(
    Device=Device,
    Event=Event,
    Stream=Stream,
    MemoryPool=lambda: types.SimpleNamespace(malloc=None),
    alloc_pinned_memory=PinnedMemory,
    get_current_stream=lambda: _computing,
    get_elapsed_time=_elapsed,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
    runtime=_runtime,
    using_allocator=lambda malloc: contextlib.nullcontext(),
)
