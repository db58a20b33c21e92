"""What a process that decodes runs. It loads no NumPy: starting costs it a third of the time."""

from __future__ import annotations

import multiprocessing
import os
import threading
from typing import TYPE_CHECKING

from pipelines.errors import ImageError

if TYPE_CHECKING:
    from pipelines.recipe import Recipe


def begin() -> None:
    """End with the process above, however it ends: a killed one cannot say so."""
    above = multiprocessing.parent_process()

    def watch() -> None:
        if above is not None:
            above.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def decode_pixels(paths: list[str], recipe: Recipe) -> tuple[bytes, list[str]]:
    """Decode some images.

    Args:
        paths: of the images.
        recipe: how.

    Returns:
        The columns' bytes, one after the other, zeros for what failed; and why each failed, empty where it
        did not.
    """
    from pipelines.images import pixels, quiet

    columns, errors = [], [""] * len(paths)
    with quiet():
        for i, path in enumerate(paths):
            try:
                columns.append(pixels(path, recipe))
            except ImageError as error:
                columns.append(bytes(recipe.n_x))
                errors[i] = str(error)
    return b"".join(columns), errors
