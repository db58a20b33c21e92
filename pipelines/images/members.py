"""What an archive has: the names of its members, and where their bytes are."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        start: the offset of its bytes in a tar, and of its header in a zip archive.
        stored: how many bytes it has in the archive.
        size: how many bytes it has.
        is_deflated: whether its bytes are compressed.
        checksum: the CRC-32 of its bytes; None if the archive has none.
        flaw: why it cannot be read; "" if it can.
    """

    start: int
    stored: int
    size: int
    is_deflated: bool = False
    checksum: int | None = None
    flaw: str = ""


@dataclass
class Directory:
    """The members of an archive.

    Attributes:
        members: by their names, which are relative and have slashes between folders.
        flaw: why there may be more members that are not known; "" for an archive that is whole.
        has_only_images: whether all members are images, whatever their names are.
        replaced: how many members have the name of a later one, which is the one that counts.
    """

    members: dict[str, Member] = field(default_factory=dict)
    flaw: str = ""
    replaced: int = 0
    has_only_images: bool = False

    def add(self, name: str, member: Member) -> None:
        """Add a member. name: as the archive has it. Without a name it cannot be an input."""
        name = canonical(name)
        if not name:
            return
        self.replaced += name in self.members
        self.members[name] = member

    def below(self, folder: str) -> Iterator[str]:
        """Yield the names of the members in a folder and below it, relative to it; "" is for all.

        They are sorted as in folders on a disk: by name in each folder.
        """
        if not folder:
            return iter(self._sorted)
        start = f"{folder}/"
        first = bisect_left(self._sorted, start.split("/"), key=_parts)
        names = itertools.islice(self._sorted, first, None)
        return (
            name[len(start) :] for name in itertools.takewhile(lambda name: name.startswith(start), names)
        )

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.members, key=_parts)


def _parts(name: str) -> list[str]:
    return name.split("/")


def canonical(name: str) -> str:
    """Return the name of a member without `./` or `/` at its start: `tar c .` writes `./day/1.jpg`."""
    while name.startswith(("./", "/")):
        name = name.removeprefix(".").lstrip("/")
    return name
