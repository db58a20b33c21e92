"""Read inputs by `https://` and `http://`."""

from __future__ import annotations

import http
import time
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from xpnet.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS = 4
"""How often something is asked for before it is an error."""

FIRST_PAUSE = 0.2
"""Seconds before it is asked for again. Each later pause is twice as long."""

SECONDS = 60
"""How long an answer may take."""

KEPT = "%/:=&?~#+!$,;'@()*[]"
"""Characters of a URL that are sent as they are."""

MESSAGE_LENGTH = 200
"""How much of an error is told."""


def read_page(name: str, most_bytes: int, on_size: Callable[[int], object]) -> bytes:
    """See `read_object`."""
    content = _requested(name, lambda answer: _content(answer, most_bytes, on_size))
    if not content:
        msg = "file is empty"
        raise ImageError(msg)
    return bytes(content)


def read_page_range(name: str, place: int, size: int) -> bytes:
    """See `read_range`."""

    def use(answer: Any) -> bytes:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            msg = "its server does not give parts of files: copy it to this machine"
            raise ImageError(msg)
        return _content(answer, size)

    return bytes(_requested(name, use, {"Range": f"bytes={place}-{place + size - 1}"}))


def page_status(name: str) -> tuple[int, str]:
    """Return the size of a page in bytes, 0 if the server does not say it, and what differs if it changes."""
    headers = _requested(name, lambda answer: answer.headers, method="HEAD")
    return _length(headers) or 0, headers.get("ETag") or headers.get("Last-Modified") or ""


def _length(headers: Any) -> int | None:
    stated = headers.get("Content-Length") or ""
    return int(stated) if stated.isdecimal() and len(stated) < 20 else None


def _content(
    answer: Any,
    most_bytes: int,
    on_size: Callable[[int], object] = lambda size: None,  # noqa: ARG005
) -> bytes:
    size = _length(answer.headers)
    if size is not None and size > most_bytes:
        msg = f"file of {size} bytes, expected at most {most_bytes}"
        raise ImageError(msg)
    on_size(size or 0)
    content: bytes = answer.read(most_bytes + 1)
    if len(content) > most_bytes:
        msg = f"file of more than {most_bytes} bytes"
        raise ImageError(msg)
    if size is not None and len(content) != size:
        raise IncompleteRead(content, size - len(content))
    return content


def _requested(
    name: str, use: Callable[[Any], Any], headers: dict[str, str] | None = None, method: str = "GET"
) -> Any:
    """Return what a function makes of an answer. What may be an accident is tried again.

    Raises:
        ImageError: there is no good answer.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(FIRST_PAUSE * 2 ** (attempt - 1))
        try:
            request = Request(quote(name, safe=KEPT), headers=headers or {}, method=method)  # noqa: S310
            with urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  (https or http: see is_remote)
                return use(answer)
        except ImageError:
            raise
        except HTTPError as error:
            reason = f"the server says {error.code} {error.reason}"
            error.close()
            if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                break
        except (OSError, HTTPException) as error:
            reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        except ValueError as error:  # no valid URL
            reason = str(error)
            break
    msg = f"cannot be read: {' '.join(reason.split())[:MESSAGE_LENGTH]}"
    raise ImageError(msg)
