"""Files with random damage, for tests that every hostile file ends in a typed error."""

import json
import random
import struct
from typing import Any

HOSTILE: list[Any] = [
    None, True, -1, 0, 2.5, 10**400, float("inf"), float("nan"), "", "\ud800", "x" * 300, "\0", [], {}, [[]],
    {"a": 1}, [1, "b"], -(10**30), "9" * 5000, 1e300, [float("nan")],
]  # fmt: skip
"""Values that a program may meet in JSON where it expects others."""


def mutated_tensors(content: bytes, seed: int) -> bytes:
    """Return a safetensors file of xpnet with one to three changes.

    Args:
        content: the file.
        seed: chooses the changes: of bytes, of the header's values, or of the description's values.
    """
    choice = random.Random(seed)  # noqa: S311  (not for secrets)
    length = struct.unpack("<Q", content[:8])[0]
    header, body = json.loads(content[8 : 8 + length]), content[8 + length :]
    description = json.loads(header["__metadata__"]["xpnet"])
    for _ in range(choice.randint(1, 3)):
        kind = choice.randrange(8)
        if kind == 0:
            place = choice.randrange(len(content))
            return (
                content[:place] + choice.choice([b"", bytes([choice.randrange(256)])]) + content[place + 1 :]
            )
        if kind == 1:
            _change(header, choice)
        else:
            _change(description, choice)
    if isinstance(header.get("__metadata__"), dict) and "xpnet" in header["__metadata__"]:
        header["__metadata__"]["xpnet"] = json.dumps(description)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def _change(value: Any, choice: random.Random) -> None:
    """Replace, remove or double one value somewhere in plain data."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = choice.choice(keys)
        if not isinstance(value[key], dict | list) or not value[key] or choice.random() < 0.2:
            break
        value = value[key]
    what = choice.randrange(4)
    if what == 0:
        del value[key]
    elif what == 1 and isinstance(value, list):
        value.append(value[key])
    else:
        value[key] = choice.choice(HOSTILE)
