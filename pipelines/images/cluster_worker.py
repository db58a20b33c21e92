"""What a worker of a cluster does with one part of the inputs. It knows nothing of the engine, which is Dask.

A worker of a cluster belongs to its user, may have several threads, and may have another environment than the
process that has the inputs. So each call says what must be the same, and one thread works at a time.
"""

from __future__ import annotations

import functools
import os
import pickle
import socket
import threading
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from xpnet.errors import WorkerError
from xpnet.version import __version__

from .contents import exists
from .remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKAGES = (
    "numpy", "Pillow", "simplejpeg", "pillow-heif", "pillow-jxl-plugin", "pyarrow", "obstore", "onnxruntime",
)  # fmt: skip
"""Packages that decode, read or score. Another version may give other bytes or other errors."""

ALIKE = "a cluster needs the same environment on all its workers and here"
"""Why a difference is an error."""

_one_at_a_time = threading.Lock()


class Result(Protocol):
    """What becomes of a part of the inputs."""

    @property
    def failed(self) -> Sequence[str]:
        """The inputs of the part that cannot be used."""


R = TypeVar("R")
R_co = TypeVar("R_co", bound=Result, covariant=True)


@dataclass(frozen=True)
class Needs:
    """What must be the same on all workers.

    Attributes:
        decoder: one of `DECODERS`.
        files: files that a worker opens, by their absolute paths.
        computes: whether it computes on a device.
        device: which one, as for `xpnet.select`.
    """

    decoder: str
    files: tuple[str, ...] = ()
    computes: bool = False
    device: str | None = None


class Task(Protocol[R_co]):
    """What is done with each part of the inputs. It is pickled, and has no state."""

    @property
    def needs(self) -> Needs:
        """What must be the same on all workers."""

    def __call__(self, paths: list[str], places: list[str], first: int) -> R_co:
        """Return the result for a part.

        Args:
            paths: the inputs, as the result names them.
            places: where they are.
            first: how many inputs come before this part.
        """

    def lost(self, path: str, first: int) -> R_co:
        """Return the result for an input that ends each process which works at it."""


Facts = dict[str, str]
"""What a process has, by names: versions of packages, digests of files, and the kind of device."""


def facts_of(needs: Needs) -> Facts:
    """Return what this process has. A package or a file that is missing has the value "".

    Raises:
        DeviceError: the device cannot be used.
    """
    facts = {"xpnet": __version__, **{name: _version_of(name) for name in PACKAGES}}
    facts |= _decoding(needs.decoder)
    facts |= {path: file_digest(path) if os.path.isfile(path) else "" for path in needs.files}
    if needs.computes:
        from xpnet.backend import select

        facts["the device"] = select(needs.device).name
    return facts


def difference(who: str, found: Facts, expected: Facts) -> str:
    """Return how facts differ from those expected, as a sentence; "" if they are the same.

    Args:
        who: has the facts, for the sentence.
        found: all its facts.
        expected: those that are known to be right.
    """
    for name, value in expected.items():
        has = found.get(name, "")
        if has == value:
            continue
        if os.path.isabs(name):
            what = f"another file as {name}" if has else f"no file {name}, which this machine has"
            return f"{who} has {what}: put it where all of them see the same, such as a shared file system"
        return f"{who} has {name} {has or '(none)'}, expected {value or 'none'}: {ALIKE}"
    return ""


def file_digest(path: str) -> str:
    """Return a hash of a file's bytes, in hexadecimal digits."""
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def can_see(place: str) -> bool:
    """Return whether this machine has an input. Those on servers are seen from everywhere."""
    return is_remote(place) or exists(place)


@dataclass(frozen=True)
class Done(Generic[R_co]):
    """The result for a part, and what the client must know beside it.

    Attributes:
        result: the result.
        unseen: the inputs that failed and that the worker's machine does not have.
        worker: the name of the worker's machine and process.
    """

    result: R_co
    unseen: list[str]
    worker: str


def work(
    task: Task[R_co], paths: list[str], folder: str, first: int, expected: tuple[tuple[str, str], ...]
) -> Done[R_co]:
    """Work at a part of the inputs.

    Args:
        task: what to do.
        paths: the inputs.
        folder: what their paths are relative to.
        first: how many inputs come before them.
        expected: the facts that must be those of this process.

    Raises:
        WorkerError: this process has another environment.
    """
    places = [path if is_remote(path) else os.path.join(folder, path) for path in paths]
    with _one_at_a_time, warnings.catch_warnings(action="ignore"):
        _require_facts(task.needs, expected)
        result = task(paths, places, first)
    failed = set(result.failed)
    unseen = [
        path for path, place in zip(paths, places, strict=True) if path in failed and not can_see(place)
    ]
    return Done(result, unseen, _process_name())


def call(
    function: Callable[..., R],
    arguments: tuple[Any, ...],
    needs: Needs,
    expected: tuple[tuple[str, str], ...],
) -> R:
    """Call a function on a worker, for a process with these facts.

    Raises:
        WorkerError: this process has another environment.
    """
    with _one_at_a_time, warnings.catch_warnings(action="ignore"):
        _require_facts(needs, expected)
        return function(*arguments)


class OnLoading:
    """Calls a function when it is unpickled: `pickle.loads` of it returns the result.

    So a cluster is only asked to call `pickle.loads`, which every Python has. Where xpnet is missing, the
    call raises `ModuleNotFoundError`. Dask's own unpickling would end the worker instead, and would need
    xpnet on the scheduler too.

    Args:
        function: the function.
        arguments: its arguments.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """See the class."""
        return self._call

    @classmethod
    def pickled(cls, function: Callable[..., Any], *arguments: Any) -> bytes:
        """Return the bytes for `pickle.loads`."""
        return pickle.dumps(cls(function, *arguments), pickle.HIGHEST_PROTOCOL)


@functools.lru_cache(16)
def _require_facts(needs: Needs, expected: tuple[tuple[str, str], ...]) -> None:
    """Raise `WorkerError` if this process differs. A worker may have joined after all others were asked."""
    if told := difference(f"the worker {_process_name()}", facts_of(needs), dict(expected)):
        raise WorkerError(told)


def _process_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _version_of(package: str) -> str:
    from importlib import metadata  # imported only here: it takes as long as a decoder

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _decoding(decoder: str) -> Facts:
    from .decode import codec_versions
    from .libraries import decoding_libraries

    codecs = {f"the library of {name}": version for name, version in codec_versions().items()}
    try:
        return codecs | decoding_libraries(decoder)
    except ImportError:  # the decoder is missing, and so the facts are others
        return codecs
