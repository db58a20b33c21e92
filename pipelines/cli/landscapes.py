"""The images of `xpnet demo`: landscapes by day, at sunset and at night.

They are drawn at random, from a fixed seed: each time the same.
"""

from __future__ import annotations

import math
import os

import numpy as np
from PIL import Image, ImageDraw

from xpnet.errors import OutputError

SIZE = (160, 120)
"""Width and height of an image, in pixels."""

TRAINING_COUNT, TEST_COUNT = 60, 20
"""How many images of each class are drawn."""

MARK_FILE = "drawn-by-xpnet-demo.txt"
"""A file in the demo's folder. A folder without it is never drawn into."""

TRUNCATED_BYTES = 1500
"""How much is left of the image that is cut off."""

TURN_CLOCKWISE = 6
"""The value of the EXIF orientation of an image that must be turned clockwise to be upright."""

EXIF_ORIENTATION = 0x0112

SKIES = {
    "day": ((70, 130, 220), (190, 220, 250)),
    "night": ((5, 5, 25), (40, 45, 90)),
    "sunset": ((90, 40, 110), (250, 150, 60)),
}
"""The colors (red, green, blue) of each class's sky, at the top and at the horizon."""


def draw(folder: str) -> None:
    """Draw the images of the demo into a folder: train, test and new. They are the same each time.

    Raises:
        OutputError: the folder was not made by an earlier demo, or cannot be written.
    """
    mark = os.path.join(folder, MARK_FILE)
    try:
        if os.path.exists(folder) and not os.path.exists(mark):
            msg = f"{folder}: exists, and was not made by xpnet demo: name another folder"
            raise OutputError(msg)
        generator = np.random.default_rng(0)
        for part, count in (("train", TRAINING_COUNT), ("test", TEST_COUNT)):
            for name in SKIES:
                os.makedirs(os.path.join(folder, part, name), exist_ok=True)
                for i in range(count):
                    landscape(name, generator).save(os.path.join(folder, part, name, f"{i:03}.jpg"))
        with open(mark, "w", encoding="utf-8") as file:
            file.write("xpnet demo made all files in this folder. You can delete them.\n")
        _draw_new(os.path.join(folder, "new"), generator)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        msg = f"{folder}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def _draw_new(folder: str, generator: np.random.Generator) -> None:
    """Draw images without labels: some good ones, one turned, one cut off, and one empty."""
    os.makedirs(folder, exist_ok=True)
    for name in SKIES:
        landscape(name, generator).save(os.path.join(folder, f"{name}.jpg"))
    photo = landscape("sunset", generator)
    photo.save(os.path.join(folder, "upright.png"))
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = TURN_CLOCKWISE
    turned.save(os.path.join(folder, "turned.png"), exif=exif)
    whole = os.path.join(folder, "day.jpg")
    with open(whole, "rb") as file, open(os.path.join(folder, "truncated.jpg"), "wb") as cut:
        cut.write(file.read(TRUNCATED_BYTES))
    with open(os.path.join(folder, "empty.jpg"), "wb"):
        pass


def landscape(name: str, generator: np.random.Generator) -> Image.Image:
    """Return an image of one class: a sky with a sun or a moon, and hills."""
    width, height = SIZE
    top, bottom = (np.asarray(color) + generator.normal(0, 25, 3) for color in SKIES[name])
    share = np.linspace(0, 1, height)[:, None, None]
    sky = (1 - share) * top + share * bottom + generator.normal(0, 12, (height, width, 3))
    image = Image.fromarray(np.clip(sky, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(image)
    x, y = generator.uniform(0, width), generator.uniform(0, height / 2)
    radius = generator.uniform(5, 14)
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 245, 210))
    ground = tuple(int(c) for c in generator.uniform(10, 120, 3) * (0.4 if name == "night" else 1.0))
    phase, waves = generator.uniform(0, 6, 2)
    hills = [
        (column, height * (0.75 + 0.1 * math.sin(phase + (1 + waves) * column / width)))
        for column in range(width)
    ]
    pen.polygon([(0, height), *hills, (width, height)], fill=ground)
    return image
