"""`xpnet preprocess`: decode images into one data file, and turn them into features if asked to."""

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
    extracting: o.Extracting,
    reading: o.Reading,
    device: o.Device = None,
) -> int:
    """Decode images once, into one data file.

    The file holds one column of bytes for each image; or with --features one column of features, which takes
    longer to make. Other commands read it in place of the images, which saves the decoding.
    """
    from ..datasets import write_data
    from ..outputs import locked_outputs, require_ending, require_writable
    from ..training import write_features
    from .info import describe
    from .text import description_text, report_skipped

    features = extracting.chosen()
    of_file = features if isinstance(features, str) else None if features is None else features.backbone
    require_writable([output], [data, reading.labels, of_file])
    require_ending(output, "a data file, HDF5", "h5", "hdf5", "hdf", "he5")
    plan = None if isinstance(features, str) else features
    with reading.data_options(data, plan) as options, locked_outputs(output):
        if features is not None:
            skipped = write_features(data, output, options, features, console, device)
        else:
            with console.progress("Decoding") as progress:
                skipped = write_data(data, output, options, progress, console.warn)
    report_skipped(console, skipped)
    typer.echo(f"{description_text(describe(output))}\nSaved: {output}")
    return SOME_FAILED if skipped else 0
