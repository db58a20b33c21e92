"""The demo: draw landscapes by day, at sunset and at night, and lead them through all commands."""

from __future__ import annotations

import math
import os
import shlex
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from xpnet.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = (160, 120)
MARK = "drawn-by-xpnet-demo.txt"

SKIES = {
    "day": ((70, 130, 220), (190, 220, 250)),
    "night": ((5, 5, 25), (40, 45, 90)),
    "sunset": ((90, 40, 110), (250, 150, 60)),
}
"""Colours of each class's sky, at the top and at the horizon."""


def run(
    folder: str, device: str | None, command: Callable[[list[str]], int], say: Callable[[str], object]
) -> int:
    """Draw into a folder, then run the commands a user would; return an exit code.

    Args:
        folder: is made, or was made by an earlier demo.
        device: as for `xpnet.select`, or None.
        command: runs `xpnet` with some arguments; returns its exit code.
        say: prints a line.

    Raises:
        OutputError: the folder is not the demo's, or cannot be written.
    """
    where = ["--device", device] if device else []
    data, model, rows, page = (
        os.path.join(folder, name)
        for name in ("train.h5", "skies.safetensors", "predictions.csv", "report.html")
    )
    train, test, new = (os.path.join(folder, name) for name in ("train", "test", "new"))
    say(f"# Drawing into {folder}: three classes, 60 images of each to train on and 20 to test; one of them")
    say("# was taken with the camera turned, which only its EXIF data says, and two cannot be decoded.")
    draw(folder)
    steps = {
        "Decode each image once, into one file of raw bytes.": [
            *("preprocess", train, "-o", data, "--image-size", "32"),
        ],
        "Train a network; judge it by a tenth of the data.": [
            *(
                "train",
                data,
                "-o",
                model,
                "--hidden",
                "32:relu",
                "--epochs",
                "30",
                "--val-split",
                "0.1",
                *where,
            ),
        ],
        "Judge it by images it has not seen. The model knows how its images are to be decoded.": [
            "evaluate",
            model,
            test,
            *where,
        ],
        "Score a folder without labels. Every input gets a row; exit code 3 says that some failed.": [
            *("predict", model, new, "-o", rows, "--threshold", "0.6"),
            *where,
        ],
    }
    for what, arguments in steps.items():
        say(f"\n# {what}\n$ xpnet {shlex.join(arguments)}")
        code = command(arguments)
        if code not in (0, 3):
            return code
    with open(rows, encoding="utf-8") as file:
        say(f"\n$ cat {rows}\n{file.read().rstrip()}")
    say("\n# turned.png and upright.png are one photo, and have one score.")
    code = _report(["report", model, "--data", test, "--predictions", rows, "-o", page, *where], command, say)
    if code not in (0, 3):
        return code
    say(f"# Look into {folder}, and try: xpnet predict {model} YOUR_PHOTO.jpg")
    return 0


def _report(arguments: list[str], command: Callable[[list[str]], int], say: Callable[[str], object]) -> int:
    """Make the report, or say what it needs; return an exit code."""
    if find_spec("jinja2") is None:
        say("\n# xpnet report would show all of this on one page: pip install 'xpnet[report]'")
        return 0
    say(f"\n# All of it on one page, to open in a browser.\n$ xpnet {shlex.join(arguments)}")
    return command(arguments)


def draw(folder: str) -> None:
    """Draw the demo's images. The same ones each time.

    Raises:
        OutputError: the folder is not the demo's, or cannot be written.
    """
    mark = os.path.join(folder, MARK)
    try:
        if os.path.exists(folder) and not os.path.exists(mark):
            msg = f"{folder}: is there already, and not of an earlier demo: name another folder"
            raise OutputError(msg)
        generator = np.random.default_rng(0)
        for part, count in (("train", 60), ("test", 20)):
            for name in SKIES:
                os.makedirs(os.path.join(folder, part, name), exist_ok=True)
                for i in range(count):
                    landscape(name, generator).save(os.path.join(folder, part, name, f"{i:03}.jpg"))
        with open(mark, "w", encoding="utf-8") as file:
            file.write("Everything here was drawn by xpnet demo, and may be deleted.\n")
        _draw_new(os.path.join(folder, "new"), generator)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        msg = f"{folder}: cannot be written: {error.strerror or error}"
        raise OutputError(msg) from error


def _draw_new(folder: str, generator: np.random.Generator) -> None:
    """Draw images without labels: good ones, one turned, one cut off, one empty."""
    os.makedirs(folder, exist_ok=True)
    for name in SKIES:
        landscape(name, generator).save(os.path.join(folder, f"{name}.jpg"))
    photo = landscape("sunset", generator)
    photo.save(os.path.join(folder, "upright.png"))
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be seen upright, turn it clockwise
    turned.save(os.path.join(folder, "turned.png"), exif=exif)
    whole = os.path.join(folder, "day.jpg")
    with open(whole, "rb") as file, open(os.path.join(folder, "truncated.jpg"), "wb") as cut:
        cut.write(file.read(1500))
    with open(os.path.join(folder, "empty.jpg"), "wb"):
        pass


def landscape(name: str, generator: np.random.Generator) -> Image.Image:
    """Return a picture of one class: a sky, sun or moon, hills."""
    width, height = SIZE
    top, bottom = (np.asarray(colour) + generator.normal(0, 25, 3) for colour in SKIES[name])
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
