"""The `xpnet` command: parse, call one function, print. No logic, and no import before it is needed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

app = typer.Typer(
    help="Vectorized primitives and computation graphs, on NumPy or CuPy.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|gpu|gpu:N",
        help="Where to compute; auto takes a GPU that works, else the CPU. [env var: XPNET_DEVICE]",
    ),
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"xpnet {version('xpnet')}")
        raise typer.Exit


@app.callback()
def xpnet(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Vectorized primitives and computation graphs, on NumPy or CuPy."""


@app.command()
def bench(
    device: DeviceOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    repeat: Annotated[int, typer.Option(min=1, help="Least runs of each; the median counts.")] = 7,
) -> None:
    """Show what vectorization gains: a Python loop, NumPy, NumPy in place, and CuPy where there is one."""
    from pipelines import bench as measure

    results = measure.run(device, repeat)
    typer.echo(measure.to_json(results) if as_json else measure.to_table(results))


def main() -> None:
    """Run the command; turn xpnet's own errors into a line on stderr and an exit code."""
    try:
        app()
    except OSError as error:  # standard output is full or gone
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        errors = sys.modules.get("xpnet.errors")  # if it was never imported, none of its errors was raised
        if errors is None or not isinstance(error, errors.XpnetError):
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(5 if isinstance(error, errors.DeviceError) else 1)


if __name__ == "__main__":
    main()
