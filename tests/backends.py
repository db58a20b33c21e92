"""The backends of the tests, and how each finds hidden synchronization with the device."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import fakecupy
import hostcupy
import numpy as np
import optional

from xpnet.backend.backend import Backend, CudaBackend, select

array_api_strict = optional.module("array_api_strict")


class StrictBackend(Backend):
    """array-api-strict: the array API standard, and nothing else.

    It does not use the default device of the library: an array made without a device is on another one, and
    arrays of two devices cannot be used together.
    """

    def __init__(self) -> None:
        self.where = array_api_strict.Device("device1")
        super().__init__("strict", array_api_strict, str(self.where), "for tests")

    def holds(self, array: Any) -> bool:
        return isinstance(array, type(array_api_strict.empty(()))) and array.device == self.where

    def _share(self, data: Any) -> Any:
        return data if isinstance(data, type(array_api_strict.empty(()))) else None

    def _upload(self, data: np.ndarray) -> Any:
        return array_api_strict.asarray(data, device=self.where, copy=True)

    def _download(self, array: Any) -> np.ndarray:
        return np.array(array_api_strict.asarray(array, device=array_api_strict.Device("CPU_DEVICE"))._array)


def make(name: str) -> Backend:
    if name == "numpy":
        return select("cpu")
    if name == "strict":
        return StrictBackend()
    if name == "fake":
        return CudaBackend(fakecupy, 0, "for tests")
    if name == "kernels":
        return CudaBackend(hostcupy.module(), 0, "for tests")
    return select("gpu")


@contextlib.contextmanager
def no_sync(backend: Backend) -> Iterator[None]:
    """Return a context in which everything that waits for the device raises an error."""
    if hasattr(backend.xp, "no_sync"):  # the fake CuPy
        with backend.xp.no_sync():
            yield
    elif backend.xp is array_api_strict:
        with _no_scalars(type(array_api_strict.empty(()))):
            yield
    elif backend.name == "gpu":
        import cupyx

        with contextlib.ExitStack() as stack:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # CuPy warns that it does not find all of them
                stack.enter_context(cupyx.allow_synchronize(False))
            yield
    else:
        yield


@contextlib.contextmanager
def _no_scalars(kind: type) -> Iterator[None]:
    """Let conversions of an array to a number raise an error: on a GPU they would wait for it."""

    def refuse(array: Any) -> Any:
        raise fakecupy.HiddenSynchronization(f"an array of shape {array.shape} was made a Python number")

    methods = ("__bool__", "__complex__", "__float__", "__index__", "__int__")
    originals = {name: getattr(kind, name) for name in methods}
    for name in methods:
        setattr(kind, name, refuse)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(kind, name, original)
