"""The commands beside the way from images to predictions: info, doctor, demo, bench."""

from typing import Annotated

import typer

from . import options as o
from .console import Console


def info(
    console: Console,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Data, model, predictions, cost curves.")],
    as_json: o.AsJson = False,
) -> None:
    """Say what a file is, of all that xpnet writes."""
    from . import info as describing
    from .text import to_json

    del console
    description = describing.describe(file)
    typer.echo(to_json(description) if as_json else describing.to_text(description))


def doctor(console: Console, as_json: o.AsJson = False) -> None:
    """Say what this machine has and lacks.

    Device, driver, SIMD, BLAS and its threads, decoders; and what to do about what could be better.
    """
    from . import doctor as examining
    from .text import to_json

    del console
    findings = examining.examine()
    typer.echo(to_json(examining.to_dict(findings)) if as_json else examining.to_text(findings))


def demo(
    console: Console,
    folder: Annotated[str, typer.Argument(metavar="[FOLDER]", help="Where to draw.")] = "xpnet-demo",
    device: o.Device = None,
) -> int:
    """Draw images, and try the commands on them.

    Draws a small folder, and runs preprocess, train, evaluate and predict on it, saying what it does.
    """
    from . import demo as show
    from .app import app

    def run(arguments: list[str]) -> int:
        try:
            app(arguments, prog_name="xpnet")
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    del console
    return show.run(folder, device, run, typer.echo)


def bench(
    console: Console,
    device: o.Device = None,
    as_json: o.AsJson = False,
    repeat: Annotated[int, typer.Option(min=1, help="Least runs of each; the median counts.")] = 7,
) -> None:
    """Show what vectorization gains.

    Times a Python loop, NumPy, NumPy in place, and CuPy where there is one.
    """
    from . import bench as measure

    del console
    results = measure.run(device, repeat)
    typer.echo(measure.to_json(results) if as_json else measure.to_table(results))
