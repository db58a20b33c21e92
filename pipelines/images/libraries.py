"""The libraries that decode images, and a test of the pixels that they give.

Other versions of a decoder may give slightly other pixels. A recipe stores what decoded its images, so that
a model can say when its images are decoded by something else.
"""

from __future__ import annotations

import base64
import functools
import zlib

import PIL
from PIL import features

from .decode import decode_content
from .recipe import Recipe

TEST_JPEG = base64.b64decode(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6j"
    "q62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk"
    "pKSkpKSkpKT/wAARCAAbACYDASIAAhEBAxEB/8QAGQAAAgMBAAAAAAAAAAAAAAAAAgMAAQQF/8QAKBAAAQMDAgUEAwAAAAAAAAAA"
    "AQACEQMhMUFxBBIyUYFhkaHwIsHR/8QAFwEBAQEBAAAAAAAAAAAAAAAAAwQABf/EAB0RAAIDAAIDAAAAAAAAAAAAAAECAAMRBCES"
    "I3H/2gAMAwEAAhEDEQA/ABpNDenXEj72Vue2DOZshJbMTO2Ut7nElxI97qgNplHJs8VwQpBJ8+Fqo0/Q/wBSeHZMDI0ut1FsAE/d"
    "kdluSCqssdMc1vKIdJ9ACVFRcZNp2UQq2x2sCnJw3vJMDZFTaXnGsToEFG9YsPSCf0n0rUgRmDf2WZshPtj9zVw7OUiQJWrnaBi5"
    "0SmWqNA7T8K6hhkjMx8qQuWOfJRZ606luff8g0+FEum0OcQ4TuokUzjO5LGf/9k="
)
"""A drawn picture of 38 x 27 pixels, whose colors are stored at half the resolution, as in most photos."""

TEST_SIDES = (32, 16, 8, 4)
"""Heights and widths the picture is decoded at. libjpeg then scales it by 1, 1/2, 1/4 and 1/8."""


@functools.cache
def decoding_libraries(decoder: str) -> dict[str, str]:
    """Return the versions of the libraries that decode images, and "pixels", a checksum of what they give.

    The checksum is of a JPEG, decoded and resized. Two libraries with the same one give the same pixels, as
    far as one picture can tell. It is missing where the picture cannot be decoded.

    Args:
        decoder: one of `DECODERS`.
    """
    libjpeg = features.version("libjpeg_turbo")
    versions = {"Pillow": PIL.__version__}
    if decoder == "simplejpeg":
        import simplejpeg

        versions["simplejpeg"] = str(getattr(simplejpeg, "__version__", "unknown"))
    else:
        versions["libjpeg-turbo" if libjpeg else "libjpeg"] = str(libjpeg or features.version("jpg"))
    return {**versions, **_pixels(decoder)}


def _pixels(decoder: str) -> dict[str, str]:
    checksum = 0  # by zlib, which Pillow loads in any case: hashlib takes 3 MB of each process for OpenSSL
    try:
        for side in TEST_SIDES:
            column, _ = decode_content(TEST_JPEG, Recipe(side, side, decoder=decoder))
            checksum = zlib.crc32(column, checksum)
    except Exception:  # such as a Pillow without libjpeg
        return {}
    return {"pixels": f"{checksum:08x}"}
