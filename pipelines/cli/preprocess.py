"""`xpnet preprocess`: decode images into one data file."""

from typing import Annotated

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console


def preprocess(
    console: Console,
    data: o.Data,
    output: Annotated[
        str, o.text("--output", "-o", metavar="FILE", panel=o.OUTPUT, help="The data file to write, HDF5.")
    ],
    reading: o.Reading,
) -> int:
    """Decode images once, into one data file.

    The file holds one column of bytes for each image. Other commands read it in place of the images, which
    saves the decoding.
    """
    from ..datasets import write_data
    from ..outputs import locked_outputs, require_ending, require_writable
    from .info import describe
    from .text import description_text, report_skipped

    require_writable([output], [data, reading.labels])
    require_ending(output, "a data file, HDF5", "h5", "hdf5", "hdf", "he5")
    with (
        reading.data_options() as options,
        locked_outputs(output),
        console.progress("Decoding") as progress,
    ):
        skipped = write_data(data, output, options, progress, console.warn)
    report_skipped(console, skipped)
    typer.echo(f"{description_text(describe(output))}\nSaved: {output}")
    return SOME_FAILED if skipped else 0
