"""Selecting a backend, sending and fetching arrays, precisions."""

import pickle
import threading
from typing import Any

import backends
import fakecupy
import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend.backend import Backend, CudaBackend, select
from xpnet.errors import ArrayTypeError, DeviceError, DtypeError, ShapeError
from xpnet.testing import assert_close


def test_cpu() -> None:
    backend = select("cpu")
    assert (backend.name, backend.device, backend.xp) == ("cpu", "cpu", np)
    assert backend.reason == "cpu was asked for"
    assert repr(backend) == f"<Backend cpu, numpy {np.__version__}>"


def test_the_environment_sets_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPNET_DEVICE", "CPU")
    assert select().reason == "cpu was set by XPNET_DEVICE"
    assert select("cpu").reason == "cpu was asked for"
    monkeypatch.setenv("XPNET_DEVICE", "")
    assert select().name in ("cpu", "gpu")
    monkeypatch.setenv("XPNET_DEVICE", "tpu")
    with pytest.raises(DeviceError, match=r"device 'tpu' \(from XPNET_DEVICE\): expected auto, cpu, gpu"):
        select()


@pytest.mark.parametrize(
    "name", ["", "tpu", "gpu:", "gpu:-1", "gpu:x", "cpu:0", "gpu:1:2", "auto:1", "gpu:99999", "gpu\n:1"]
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(DeviceError, match="expected auto, cpu, gpu, gpu:N, cuda or cuda:N") as caught:
        select(name)
    assert caught.value.problem == "unknown-name"


def test_there_is_no_ambient_backend() -> None:
    assert select("cpu") is not select("cpu")


def test_what_is_sent_comes_back(backend: Backend) -> None:
    data = np.arange(6, dtype="float32").reshape(2, 3)
    sent = backend.send(data)
    assert_close(sent, data, backend)
    fetched = backend.fetch(sent)
    assert type(fetched) is np.ndarray
    np.testing.assert_array_equal(fetched, data)


@pytest.mark.parametrize("data", [5, 2.5, True, [1, 2], [[1.0], [2.0]], (1, 2), np.float32(3)])
def test_numbers_and_lists_are_sent(data: Any, backend: Backend) -> None:
    assert_close(backend.send(data), np.asarray(data), backend)


def test_send_casts(backend: Backend) -> None:
    pixels = np.array([[0, 255]], dtype="uint8")
    for dtype in ("float32", np.float32, np.dtype("float32")):
        assert_close(backend.send(pixels, dtype=dtype), np.array([[0, 255]], dtype="float32"), backend)
    for dtype in ("float33", "", ",", [], {}, "datetime64", object(), "float128x"):
        with pytest.raises(DtypeError, match=r"is not a dtype|expected integers, booleans or floats"):
            backend.send(pixels, dtype=dtype)
    for dtype in ("complex64", "str", "V8", object, "M8[s]"):
        with pytest.raises(DtypeError):
            backend.send(pixels, dtype=dtype)


def test_an_array_already_there_is_not_copied(backend: Backend) -> None:
    sent = backend.send(np.ones((2, 2)))
    assert backend.send(sent) is sent
    assert backend.send(sent, dtype="float64") is sent


def test_crossings_are_counted(backend: Backend) -> None:
    assert backend.crossings.total == 0
    array = backend.send(np.ones((2, 2)))
    backend.fetch(array)
    backend.fetch(array)
    assert (backend.crossings.sent, backend.crossings.fetched, backend.crossings.total) == (1, 2, 3)


def test_crossings_are_counted_from_several_threads() -> None:
    backend = select("cpu")
    threads = [threading.Thread(target=lambda: [backend.send(1.0) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backend.crossings.sent == 8000


def test_on_a_device_sending_what_is_there_is_no_crossing() -> None:
    backend = CudaBackend(fakecupy, 0, "")
    sent = backend.send(np.ones((2, 2)))
    backend.send(sent)
    assert backend.crossings.sent == 1


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1], [1, 2]], ShapeError, "a list cannot be converted to an array"),
        (2**70, DtypeError, "got a int, expected numbers of at most 64 bits"),
        ("cat", DtypeError, "got a str, expected numbers"),
        (["cat"], DtypeError, "got an array of <U3, expected numbers"),
        (None, DtypeError, "got a NoneType, expected numbers"),
        ({1, 2}, DtypeError, "got a set, expected numbers"),
        (np.array([1 + 2j]), DtypeError, "got an array of complex128, expected numbers"),
        (np.array([None]), DtypeError, "got an array of object, expected numbers"),
        (np.array(["2026-01-01"], dtype="M8[D]"), DtypeError, "expected numbers"),
        (np.ma.masked_array([1.0], mask=[True]), ArrayTypeError, "MaskedArray is not supported"),
    ],
)
def test_what_cannot_be_sent_is_refused(data: Any, error: type, message: str, backend: Backend) -> None:
    with pytest.raises(error, match=message):
        backend.send(data)


def test_an_object_whose_conversion_fails_is_refused(backend: Backend) -> None:
    class Closed:
        def __array__(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("the file is closed")

    with pytest.raises(ArrayTypeError, match="a Closed cannot be converted to an array: the file is closed"):
        backend.send(Closed())
    assert backend.crossings.sent == 0


def test_what_cannot_be_fetched_is_refused(backend: Backend) -> None:
    if backend.name == "strict":
        return  # this backend exists only in the tests
    with pytest.raises(DtypeError, match="fetch: got a str"):
        backend.fetch("cat")
    assert backend.crossings.fetched == 0


def test_complex_arrays_are_refused_on_a_device_too() -> None:
    with pytest.raises(DtypeError, match="complex128"):
        CudaBackend(fakecupy, 0, "").send(fakecupy.asarray(np.array([[1j]])))


def test_device_errors_cross_processes() -> None:
    error = pickle.loads(pickle.dumps(DeviceError("gone", problem="unusable")))  # noqa: S301
    assert (str(error), error.problem) == ("gone", "unusable")


def test_activate_and_synchronize(backend: Backend) -> None:
    with backend.activate():
        backend.synchronize()
    assert backend.holds(backend.send(1.0))
    assert not backend.holds("cat")


def test_a_second_device_is_another_place() -> None:
    first, second = CudaBackend(fakecupy, 0, ""), CudaBackend(fakecupy, 1, "")
    array = second.send(np.ones((2, 2)), dtype="float32")
    assert array.device.id == 1
    assert second.holds(array)
    assert not first.holds(array)
    assert second.send(array) is array
    with pytest.raises(ValueError, match="must be same as the current device"):
        array + array
    with second.activate():
        np.testing.assert_array_equal(second.fetch(array + array), np.full((2, 2), 2.0))
    np.testing.assert_array_equal(second.fetch(array), np.ones((2, 2)))
    with pytest.raises(DeviceError, match="the array is on gpu:1, this backend is gpu:0: fetch it there"):
        first.send(array)


def test_synchronize_waits_for_the_device() -> None:
    before = fakecupy.synchronizations()
    CudaBackend(fakecupy, 0, "").synchronize()
    assert fakecupy.synchronizations() == before + 1


def test_a_foreign_array_of_a_second_device_is_shared_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fakecupy, "from_dlpack", lambda foreign: fakecupy.ndarray(foreign.array))
    first, second = CudaBackend(fakecupy, 0, ""), CudaBackend(fakecupy, 1, "")
    assert second.send(Foreign(np.ones((2, 2)), (2, 1))).device.id == 1
    with pytest.raises(
        DeviceError, match=r"CuPy is not installed|cannot copy the array"
    ):  # the real CuPy would have to copy it from the device
        first.send(Foreign(np.ones((2, 2)), (2, 1)))


def test_pinned_host_memory_is_host_memory() -> None:
    array = np.ones((2, 2))
    assert np.shares_memory(select("cpu").send(Foreign(array, (3, 0))), array)


class Foreign:
    """An array of an unknown library, which has only the DLPack protocol."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self.array = array
        self.device = device

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


def test_a_foreign_host_array_is_shared_through_dlpack() -> None:
    array = np.ones((2, 2))
    assert np.shares_memory(select("cpu").send(Foreign(array)), array)


def test_a_foreign_host_array_is_uploaded_to_a_device() -> None:
    backend = CudaBackend(fakecupy, 0, "")
    assert_close(backend.send(Foreign(np.ones((2, 2)))), np.ones((2, 2)), backend)
    assert backend.crossings.sent == 1


def test_a_foreign_device_array_is_shared_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.ones((2, 2))
    monkeypatch.setattr(fakecupy, "from_dlpack", lambda foreign: fakecupy.ndarray(foreign.array))
    backend = CudaBackend(fakecupy, 0, "")
    sent = backend.send(Foreign(array, (2, 0)))
    assert np.shares_memory(sent._on_host, array)
    assert backend.crossings.sent == 0


def test_a_foreign_array_that_cannot_be_shared_says_why() -> None:
    class Refusing(Foreign):
        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("it requires grad")

    with pytest.raises(ArrayTypeError, match=r"Refusing cannot be shared through DLPack: it requires grad"):
        select("cpu").send(Refusing(np.ones((1, 1))))


def test_results_are_handed_out_through_dlpack() -> None:
    sent = select("cpu").send([[1.0, 2.0]])
    assert np.shares_memory(np.from_dlpack(sent), sent)


def test_torch_on_the_host() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.ones((2, 2))
    array = select("cpu").send(tensor)
    array[0, 0] = 7
    assert tensor[0, 0] == 7, "shared, not copied"
    assert torch.from_dlpack(array).data_ptr() == tensor.data_ptr()
    with pytest.raises(ArrayTypeError, match=r"cannot be shared through DLPack.*grad"):
        select("cpu").send(torch.ones((2, 2), requires_grad=True))


@pytest.mark.gpu
def test_torch_on_the_device() -> None:
    torch = pytest.importorskip("torch")
    try:
        backend = select("gpu")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.problem}")
    tensor = torch.ones((2, 2), device="cuda")
    array = backend.send(tensor)
    assert backend.crossings.sent == 0
    array[0, 0] = 7
    assert float(tensor[0, 0]) == 7, "shared, not copied"
    assert torch.from_dlpack(array).data_ptr() == tensor.data_ptr()
    np.testing.assert_array_equal(select("cpu").send(tensor), [[7, 1], [1, 1]])


def test_precision_is_set_and_restored_on_a_gpu() -> None:
    backend = backends.make("fake")
    linalg = backend.xp._core._routines_linalg
    before = linalg.get_compute_type(np.float32)
    with backend.precision("float32"):
        assert linalg.get_compute_type(np.float32) == before
    with backend.precision("tf32"):
        assert linalg.get_compute_type(np.float32) == linalg.COMPUTE_TYPE_TF32
    assert linalg.get_compute_type(np.float32) == before
    with pytest.raises(OSError, match="x"), backend.precision("tf32"):
        raise OSError("x")
    assert linalg.get_compute_type(np.float32) == before


def test_a_precision_that_the_device_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "tf32 needs a GPU .* and the device is cpu: use float32"
    with pytest.raises(DeviceError, match=said) as error:
        select("cpu").precision("tf32")
    assert error.value.problem == "no-such-precision"
    backend = backends.make("fake")
    monkeypatch.setattr(type(backend._device), "compute_capability", "75")
    with pytest.raises(DeviceError, match="the device is gpu:0"):
        backend.precision("tf32")


@pytest.mark.cuda
def test_the_real_cupy_has_the_compute_types() -> None:
    from operator import attrgetter

    linalg = attrgetter("_core._routines_linalg")(pytest.importorskip("cupy"))
    for name in ("COMPUTE_TYPE_TF32", "get_compute_type", "set_compute_type"):
        assert hasattr(linalg, name)


@pytest.mark.gpu
def test_a_gpu_rounds_the_factors_of_affine() -> None:
    try:
        backend = select("gpu")
    except DeviceError as error:
        pytest.skip(f"no GPU: {error.problem}")
    a = backend.send(np.random.default_rng(0).standard_normal((256, 256)), dtype="float32")
    zeros = backend.send(np.zeros((256, 1)), dtype="float32")
    exact = backend.fetch(a).astype("float64") @ backend.fetch(a)
    with backend.activate():
        with backend.precision("tf32"):
            rounded = backend.fetch(F.affine(a, a, zeros))
        full = backend.fetch(F.affine(a, a, zeros))
    assert np.abs(full - exact).max() < 1e-4 < np.abs(rounded - exact).max() < 1.0
