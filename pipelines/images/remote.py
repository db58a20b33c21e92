"""Inputs on servers: `s3://bucket/day/1.jpg`, `gs://bucket/day/1.jpg` and `https://host/1.jpg`.

Buckets are read by obstore, which takes credentials and the address of a server from the environment, under
the usual names (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, GOOGLE_SERVICE_ACCOUNT and so on). What follows `https://`
is read by Python itself, and is never a folder.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from xpnet.errors import ImageError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_BUCKET, _WEB = re.compile(r"(s3|gs)://", re.IGNORECASE), re.compile(r"https?://", re.IGNORECASE)

ATTEMPTS = 4
"""How often something is asked for before it is an error."""

SECONDS = 60
"""How long an answer may take."""

CONNECT_SECONDS = 10
"""How long a connection to a bucket may take."""

STATUS_SECONDS = 60.0
"""How long what is known of an object is believed."""

LIST_SIZE = 1000
"""How many objects are listed at a time."""

MESSAGE = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
"""What a server says in an error."""

MESSAGE_LENGTH = 200
"""How much of an error is told."""


class Status(NamedTuple):
    """What is known of an object before it is read.

    Attributes:
        size: in bytes.
        identity: differs from that of another object with the same name.
    """

    size: int
    identity: str


def is_remote(name: str) -> bool:
    """Return whether a name is that of an object on a server."""
    return ":" in name and (is_bucket(name) or _WEB.match(name) is not None)


def is_bucket(name: str) -> bool:
    """Return whether a name leads into a bucket, which has folders."""
    return _BUCKET.match(name) is not None


def read_object(
    name: str,
    most_bytes: int,
    on_size: Callable[[int], object] = lambda size: None,  # noqa: ARG005
) -> bytes:
    """Return the bytes of an object.

    Args:
        name: the object.
        most_bytes: a larger one is refused.
        on_size: called with its size, before its bytes are there.

    Raises:
        ImageError: it cannot be read, is empty or too large. The message does not name it.
    """
    if not is_bucket(name):
        from .web import read_page

        return read_page(name, most_bytes, on_size)
    store, path = _store_of(name)
    with _ErrorsAsOurs():
        try:
            found = store.get(path)
        except FileNotFoundError:
            if not os.path.splitext(path)[1] and next(
                list_objects(name), None
            ):  # or there is no access to it
                msg = "is a folder"
                raise ImageError(msg) from None
            raise
        size = found.meta["size"]
        require_size(size, most_bytes)
        on_size(size)
        return bytes(found.bytes())


def read_range(name: str, place: int, size: int) -> bytes:
    """Return some bytes of an object.

    Raises:
        ImageError: they cannot be read.
    """
    if size <= 0:
        return b""
    if not is_bucket(name):
        from .web import read_page_range

        return read_page_range(name, place, size)
    store, path = _store_of(name)
    with _ErrorsAsOurs():
        import obstore

        return bytes(obstore.get_range(store, path, start=place, length=size))


def status_of(name: str) -> Status:
    """Return the status of an object. A process asks for it once a minute, at most.

    Raises:
        ImageError: it cannot be asked for, or there is no such object.
    """
    return _status_of(name, int(time.monotonic() / STATUS_SECONDS))


@functools.lru_cache(64)
def _status_of(name: str, minute: int) -> Status:
    """See `status_of`. minute: another one gives another answer."""
    del minute
    if not is_bucket(name):
        from .web import page_status

        return Status(*page_status(name))
    store, path = _store_of(name)
    with _ErrorsAsOurs():
        found = store.head(path)
        return Status(found["size"], str(found["e_tag"]))


def list_objects(folder: str) -> Iterator[str]:
    """Yield the names of all objects in and below a folder of a bucket, relative to it, as the server sorts.

    Raises:
        ImageError: the folder cannot be listed.
    """
    store, prefix = _store_of(folder)
    start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    with _ErrorsAsOurs():
        for part in store.list(start or None, chunk_size=LIST_SIZE):
            for each in part:
                if each["path"].startswith(start):
                    yield _as_path(each["path"][len(start) :])


def list_folder(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the subfolders, and of the objects, directly in a folder of a bucket.

    Raises:
        ImageError: the folder cannot be listed.
    """
    store, prefix = _store_of(folder)
    start = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
    with _ErrorsAsOurs():
        found = store.list_with_delimiter(start or None)
        return (
            [_as_path(path.rstrip("/")[len(start) :]) for path in found["common_prefixes"]],
            [_as_path(each["path"][len(start) :]) for each in found["objects"]],
        )


def require_bucket_writable(name: str) -> None:
    """Raise an error unless an object can be written: another one, of no bytes, is written beside it.

    Raises:
        OutputError: it cannot be written, or is no name of an object.
    """
    if not name.partition("://")[2].partition("/")[2].strip("/") or name.endswith("/"):
        msg = f"{name}: is a folder of a bucket, expected the name of an object, such as {name}/rows.csv"
        raise OutputError(msg)
    with _written(name) as (store, path):
        store.put(f"{path}.xpnet-test", b"")
        with contextlib.suppress(Exception):  # to delete may not be allowed
            store.delete(f"{path}.xpnet-test")


def send_to_bucket(path: str, name: str) -> None:
    """Write a file as an object, which is there completely or not at all.

    Raises:
        OutputError: it cannot be written. The file stays where it is.
    """
    from pathlib import Path

    try:
        with _written(name) as (store, key):
            store.put(key, Path(path))
    except OutputError as error:
        msg = f"{error}. The complete file is {path}: copy it to the bucket"
        raise OutputError(msg) from error


@contextlib.contextmanager
def _written(name: str) -> Iterator[tuple[Any, str]]:
    """Give the store of an object to write, and its path there. Errors become `OutputError`."""
    try:
        with _ErrorsAsOurs("cannot be written"):
            yield _store_of(name)
    except ImageError as error:
        msg = f"{name}: {error}"
        raise OutputError(msg) from error


class RemoteFile:
    """An object as a file that is read in parts: each `read` asks the server once.

    Raises:
        ImageError: there is no such object.
    """

    def __init__(self, name: str) -> None:
        self._name, self._place = name, 0
        self._size = status_of(name).size
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: there is no connection to close."""
        self.closed = True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the offset of the next byte."""
        return self._place

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset, as files do; return it."""
        self._place = place + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; fewer, or none, at the end."""
        rest = max(0, self._size - self._place)
        found = read_range(self._name, self._place, rest if size < 0 else min(size, rest))
        self._place += len(found)
        return found


def _store_of(name: str) -> tuple[Any, str]:
    """Return the store of a bucket, and the path in it."""
    scheme, _, rest = name.partition("://")
    bucket, _, path = rest.partition("/")
    with contextlib.suppress(UnicodeError):  # undo `_as_path`
        path = os.fsencode(path).decode()
    return _opened(f"{scheme.lower()}://{bucket}"), path


def _as_path(key: str) -> str:
    """Return the name of an object as names of files are: in UTF-8, whatever the locale says."""
    return os.fsdecode(key.encode("utf-8", "surrogateescape"))


@functools.cache
def _opened(root: str) -> Any:
    try:
        from obstore.store import from_url
    except ImportError:
        msg = "buckets are used only with an optional package: pip install 'xpnet[cloud]'"
        raise ImageError(msg) from None
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    client: Any = {"timeout": f"{SECONDS}s", "connect_timeout": f"{CONNECT_SECONDS}s"}
    # Who names a server without encryption means it. Google's is https, unless the account names another.
    client["allow_http"] = endpoint.startswith("http://") or root.startswith("gs:")
    with _ErrorsAsOurs():
        return from_url(
            root,
            client_options=client,
            retry_config={"max_retries": ATTEMPTS - 1, "retry_timeout": timedelta(seconds=SECONDS)},
        )


class _ErrorsAsOurs:
    """A context in which the errors of obstore become `ImageError`. failure: what could not be done."""

    def __init__(self, failure: str = "cannot be read") -> None:
        self._failure = failure

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, ImageError):
            msg = f"{self._failure}: {_reason(error)}"
            raise ImageError(msg) from None


def _reason(error: Exception) -> str:
    """Return why a bucket could not be used, without what only developers understand."""
    text, kind = str(error).partition("Debug source")[0], type(error).__name__
    if "NoSuchBucket" in text:
        return "there is no such bucket"
    if isinstance(error, FileNotFoundError):
        return "there is no such object"
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or "403 Forbidden" in text:
        return (
            "access is denied: credentials are taken from the environment, such as "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or GOOGLE_SERVICE_ACCOUNT; AWS_SKIP_SIGNATURE=true "
            "or GOOGLE_SKIP_SIGNATURE=true is for public buckets"
        )
    said = MESSAGE.search(text)
    return " ".join((said[1] if said else text).split())[:MESSAGE_LENGTH]


def require_size(size: int, most_bytes: int) -> None:
    """Raise `ImageError` if an object is empty, or too large."""
    if not size:
        msg = "file is empty"
        raise ImageError(msg)
    if size > most_bytes:
        msg = f"file of {size} bytes, expected at most {most_bytes}"
        raise ImageError(msg)
