"""The wire format of protobuf: the fields of a message, and how fields are written.

Every length is checked, and the fields are counted: a file may be damaged or forged.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FIELDS = 4_000_000
"""How many fields are read of a file, at most. An ONNX file of 10,000 nodes has about 300,000."""

MAX_TEXT_BYTES = 1 << 16
"""The longest text that is read. Longer ones, such as documentation, are passed over."""


class DamagedError(ValueError):
    """The bytes are no message."""


class FieldReader:
    """Reads the messages of one file, and counts their fields."""

    def __init__(self) -> None:
        self._count = 0

    def fields(self, content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
        """Yield number and value of each field: a number, or the bytes of a text, a message or a float.

        Raises:
            DamagedError: the bytes are no message, or the file has too many fields.
        """
        for number, value, _ in self.raw_fields(content):
            yield number, value

    def raw_fields(self, content: memoryview) -> Iterator[tuple[int, int | memoryview, memoryview]]:
        """Yield the same, each with all of the bytes of its field."""
        i, size = 0, len(content)
        while i < size:
            self._count += 1
            if self._count > MAX_FIELDS:
                msg = f"it has more than {MAX_FIELDS} fields"
                raise DamagedError(msg)
            start = i
            key, i = _read_varint(content, i)
            kind, value = key & 7, 0
            if kind == 0:
                value, i = _read_varint(content, i)
                yield key >> 3, value, content[start:i]
                continue
            if kind == 2:
                length, i = _read_varint(content, i)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
            else:
                msg = f"a field of the unknown kind {kind}"
                raise DamagedError(msg)
            if length > size - i:
                msg = f"a part of {length} bytes where {size - i} are left"
                raise DamagedError(msg)
            i += length
            yield key >> 3, content[i - length : i], content[start:i]

    def entry(self, value: int | memoryview) -> tuple[str, str]:
        """Return key and value of a field that is an entry of a map of texts.

        Raises:
            DamagedError: it is none.
        """
        found = {number: text(part) for number, part in self.fields(message(value)) if number in (1, 2)}
        return found.get(1, ""), found.get(2, "")


def message(value: int | memoryview) -> memoryview:
    """Return the value of a field that is a message.

    Raises:
        DamagedError: it is a number.
    """
    if isinstance(value, int):
        msg = "a number where a message was expected"
        raise DamagedError(msg)
    return value


def text(value: int | memoryview) -> str:
    """Return the value of a field that is a text, or "" if that is long.

    Raises:
        DamagedError: it is a number.
    """
    content = message(value)
    if len(content) > MAX_TEXT_BYTES:
        return ""
    return bytes(content).decode("utf-8", "surrogateescape")


def field_head(number: int, size: int) -> bytes:
    """Return how a field starts that is a message or a text of a number of bytes."""
    return _varint(number << 3 | 2) + _varint(size)


def field_bytes(number: int, content: bytes) -> bytes:
    """Return a field that is a message or a text."""
    return field_head(number, len(content)) + content


def field_text(number: int, content: str) -> bytes:
    """Return a field that is a text. What is no Unicode, such as a byte of a path, is escaped."""
    return field_bytes(number, content.encode("utf-8", "backslashreplace"))


def field_number(number: int, value: int) -> bytes:
    """Return a field that is a whole number of at most 64 bits, which may be negative."""
    return _varint(number << 3) + _varint(value & (1 << 64) - 1)


def field_float(number: int, value: float) -> bytes:
    """Return a field that is a float of 32 bits."""
    return _varint(number << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def _read_varint(content: memoryview, i: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if i >= len(content):
            msg = "it ends in the middle of a number"
            raise DamagedError(msg)
        byte = content[i]
        i += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, i
    msg = "a number of more than ten bytes"
    raise DamagedError(msg)
