"""Read text files as people have them: cells with commas, semicolons or tabs between them, or JSON lines."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import json
import os
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError, ImageError

from ..images import exists, read_content

if TYPE_CHECKING:
    import _csv

BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""The first bytes of a file that name its encoding, and the encoding."""

DELIMITERS = ",;\t"
"""What can stand between two cells."""

EXAMINED_LINES = 20
"""How many lines are read to find out what stands between the cells."""

JSON_LINES_SUFFIXES = (".jsonl", ".ndjson")
"""The endings of files of JSON lines."""

MAX_MEMBER_BYTES = 1 << 30
"""How large a text in an archive may be: a small archive can claim any size."""

MAX_QUOTED = 60
"""How many characters of a cell an error message quotes, at most."""


def same_name(name: str) -> str:
    """Return the form of a name in which names are compared: Unicode NFC.

    macOS writes an accented letter as two characters, other systems write one. They look alike. In a locale
    such as C, Python cannot decode the bytes of a letter: they are decoded here, as UTF-8.
    """
    with contextlib.suppress(UnicodeEncodeError):  # a surrogate that stands for no byte
        name = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", name)


def quoted(text: str) -> str:
    """Return a text in quotation marks for an error message, cut off if it is long."""
    return repr(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "...")


def read_cells(path: str, keep_bytes: bool = False) -> list[tuple[int, list[str]]]:
    """Return (line number, cells) of each line of a CSV file that is not empty.

    The cells are separated by commas, semicolons or tabs. The encoding is UTF-8, or the one that a byte-order
    mark names, or UTF-16.

    Args:
        path: the file.
        keep_bytes: whether bytes that are not UTF-8 are kept as `os.fsdecode` keeps them in paths. Otherwise
            they are refused.

    Raises:
        DataError: the file cannot be read; the message names the line.
    """
    text = _read(path, "surrogateescape" if keep_bytes else "strict")
    reader = _reader(text, _delimiter(text))
    try:
        return [(reader.line_num, cells) for cells in reader if any(map(str.strip, cells))]
    except csv.Error as error:
        msg = f"{path}: cannot be read: line {reader.line_num}: {error}: check the quotation marks"
        raise DataError(msg) from error


def read_json_lines(path: str) -> list[tuple[int, dict[str, Any]]]:
    """Return (line number, values by their names) of each line of a file of JSON lines that is not empty.

    Args:
        path: the file; it may be a member of an archive.

    Raises:
        DataError: the file cannot be read, or a line is no JSON object; the message names the line.
    """
    found = []
    for number, line in enumerate(_read(path, "strict").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            msg = f"{path}: cannot be read: line {number} is no JSON: {error}"
            raise DataError(msg) from error
        if not isinstance(values, dict):
            msg = f"{path}: line {number} is {quoted(line)}, expected a JSON object such as {{...}}"
            raise DataError(msg)
        found.append((number, values))
    return found


def json_text(value: object) -> str:
    r"""Return a word or number of JSON as text; "" for any other. Half a character is written as \uNNNN."""
    if not isinstance(value, str | int | float):
        return ""
    return str(value).encode("utf-8", "backslashreplace").decode()


def _read(path: str, errors: str) -> str:
    """Return the text of a file, or of a member of an archive.

    Raises:
        DataError: it cannot be read.
    """
    try:
        if not os.path.lexists(path) and exists(path):
            return _decoded(read_content(path, MAX_MEMBER_BYTES), errors)
        return _decoded(Path(path).read_bytes(), errors)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        encoding = f"{error.encoding}: save the file in the encoding UTF-8"
        msg = f"{path}: cannot be read: line {line} is not {encoding}"
        raise DataError(msg) from error
    except ImageError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    except OSError as error:
        msg = f"{path}: cannot be read: {error.strerror or error}"
        raise DataError(msg) from error


def _decoded(content: bytes, errors: str) -> str:
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(encoding, errors if encoding == "utf-8-sig" else "strict")
    start = content[:1000]
    if len(start) > 1 and start.count(0) * 3 >= len(start):  # UTF-16 without a mark: every second byte is 0
        return content.decode("utf-16-le" if start[1] == 0 else "utf-16-be")
    return content.decode("utf-8", errors)


def _reader(text: str, delimiter: str) -> _csv.Reader:
    file = io.StringIO(text, newline="")
    return csv.reader(file, delimiter=delimiter, skipinitialspace=True, strict=True)


def _delimiter(text: str) -> str:
    """Return what stands between the cells: what divides the first lines into equally many cells."""
    best, most = DELIMITERS[0], 1
    for delimiter in DELIMITERS:
        widths: list[int] = []
        try:
            rows = filter(any, _reader(text, delimiter))
            widths.extend(len(cells) for cells in itertools.islice(rows, EXAMINED_LINES))
        except csv.Error:
            continue
        if widths and widths[0] > 1 and len(set(widths)) == 1:
            return delimiter
        if widths and widths[0] > most:
            best, most = delimiter, widths[0]
    return best
