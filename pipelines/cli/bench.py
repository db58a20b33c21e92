"""`xpnet bench`: prints what `xpnet.bench` measures."""

from typing import Annotated

import typer

from xpnet.bench import REPEATS, BenchResult, run

from . import options as o
from .console import Console


def bench(
    console: Console,
    device: o.Device = None,
    repeat: Annotated[
        int,
        o.number(
            "--repeat", least=1, panel=o.OUTPUT,
            help="How often to time each computation, at least. The median is printed.",
        ),
    ] = REPEATS,
    as_json: o.AsJson = False,
) -> None:  # fmt: skip
    """Show how much faster vectorized code is.

    Times six computations as a Python loop, in NumPy, in NumPy that writes into existing arrays (in place),
    and in CuPy if there is a GPU.
    """
    from dataclasses import asdict

    from .text import to_json

    del console
    result = run(device, repeat)
    typer.echo(to_json(asdict(result)) if as_json else result_text(result))


def result_text(result: BenchResult) -> str:
    """Return the result as a table: milliseconds, and how many times faster than the loop."""
    from .text import text_table

    return "\n".join([text_table(result.table(), left=2), "", *result.machine()])
