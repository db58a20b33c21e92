"""Images with the names of their classes, as folders, archives and files of labels give them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class NamedLabels:
    """Images with the names of their classes.

    Attributes:
        pairs: (path, name of the class) of each image, in order.
        classes: the names of the classes; a class may have no images.
        doubts: sentences about what is doubtful.
        flaws: (path, reason) of each input that has no label that can be used.
    """

    pairs: list[tuple[str, str]] = field(default_factory=list)
    classes: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)
    flaws: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def merged(cls, parts: Iterable[NamedLabels]) -> NamedLabels:
        """Return the images of all parts."""
        whole = cls()
        for part in parts:
            whole.pairs += part.pairs
            whole.classes |= part.classes
            whole.doubts += part.doubts
            whole.flaws += part.flaws
        return whole

    def add(self, path: str, label: str) -> None:
        """Add an image."""
        self.pairs.append((path, label))
        self.classes.add(label)
