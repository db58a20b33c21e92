"""Outputs in buckets: a command writes them into a folder of this machine, and they are sent when it is done.

The folder belongs to the address: the same command finds there what a killed one left, and goes on with it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..cache_folder import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .console import Console


@contextmanager
def sent_to_buckets(console: Console, options: dict[str, Any], names: tuple[str, ...]) -> Iterator[None]:
    """Replace outputs in buckets by files of this machine. Send these when the block ends without an error.

    Args:
        console: says what was sent.
        options: the options of the command; those that name a bucket are changed.
        names: the options that name an output.

    Raises:
        OutputError: a bucket cannot be written to. The message says where the file is on this machine.
    """
    staged = {name: options[name] for name in names if _is_in_bucket(options.get(name))}
    for name, address in staged.items():
        from ..images import require_bucket_writable

        require_bucket_writable(address)
        options[name] = path = staging_path(address)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        console.detail(f"{address} is written to {path}, and sent when it is complete")
    yield
    for name, address in staged.items():
        if os.path.isfile(options[name]):
            from ..images import send_to_bucket

            send_to_bucket(options[name], address)
            os.unlink(options[name])
            console.say(f"Sent: {address}")


def _is_in_bucket(output: Any) -> bool:
    if not isinstance(output, str) or "://" not in output:
        return False  # without loading a module
    from ..images import is_bucket

    return is_bucket(output)


def staging_path(address: str) -> str:
    """Return the path of the file on this machine for an output in a bucket."""
    import hashlib  # imported only here: it is part of the start-up

    digest = hashlib.blake2b(os.fsencode(address), digest_size=8).hexdigest()
    return os.path.join(cache_folder("outputs", digest), os.path.basename(address.rstrip("/")))
