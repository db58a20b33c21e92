"""`xpnet export`: write a model as an ONNX file."""

from typing import Annotated

import typer

from . import options as o
from .console import Console


def export(
    console: Console,
    model: o.ModelFile,
    output: Annotated[
        str, o.text("--output", "-o", metavar="FILE", panel=o.OUTPUT, help="The ONNX file to write.")
    ],
    as_json: o.AsJson = False,
) -> None:
    """Write a model as an ONNX file, which other programs run.

    The file holds standardization, features and network. It takes images as bytes, uint8 (batch, height,
    width, channels), which are resized before, or rows of numbers; and gives probabilities, or predicted
    numbers. The names of the classes, the recipe and the version of xpnet are in its metadata. If
    onnxruntime is installed, what it predicts for random examples is compared with what xpnet predicts.
    """
    from dataclasses import asdict

    from ..models import load
    from .text import export_text, to_json

    done = load(model).export(output)
    if done.unchecked:
        console.warn(f"{output}: was not compared with the predictions of xpnet: {done.unchecked}")
    typer.echo(to_json(asdict(done)) if as_json else export_text(done))
