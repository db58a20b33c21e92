"""The commands that learn: preprocess, train, sweep."""

from typing import Annotated, Any

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console

Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder with a subfolder for each class, a file of xpnet preprocess, the course's HDF5 file, "
        "or a CSV table.",
    ),
]


def preprocess(
    console: Console,
    data: Data,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="HDF5 file to write.")],
    labels: o.Labels = None,
    target: o.Target = None,
    image_size: o.ImageSize = None,
    resize_mode: o.ResizeMode = None,
    color_mode: o.ColorMode = None,
    decoder: o.Decoder = None,
    standardize: o.Standardize = None,
    workers: o.Workers = None,
    on_error: o.OnError = "skip",
) -> int:
    """Turn images into a file of raw columns.

    Each image is decoded once, to a column of bytes; `xpnet train` reads the file as often as you like.
    """
    from ..datasets import sources
    from ..images import Recipe, workers_for
    from ..outputs import require_writable
    from . import info
    from .text import report_skipped

    require_writable([output], [data, labels])
    recipe = Recipe.asked(image_size, resize_mode, color_mode, decoder)
    reading = sources.DataOptions(recipe, standardize, labels, target, workers_for(workers), on_error)
    with console.progress("Decoding") as progress:
        skipped = sources.write_data(data, output, reading, progress)
    report_skipped(console, skipped)
    typer.echo(info.to_text(info.describe(output)))
    return SOME_FAILED if skipped else 0


def train(
    console: Console,
    data: Data,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The model file to write, safetensors.")
    ],
    device: o.Device = None,
    model: o.Model = None,
    hidden: o.Hidden = None,
    optimizer: o.Optimizer = None,
    epochs: o.Epochs = None,
    iterations: o.Iterations = None,
    learning_rate: o.LearningRate = None,
    batch_size: o.BatchSize = None,
    schedule: o.Schedule = None,
    l1: o.L1 = None,
    l2: o.L2 = None,
    dropout: o.Dropout = None,
    label_smoothing: o.LabelSmoothing = None,
    clip: o.Clip = None,
    class_weight: o.ClassWeight = None,
    patience: o.Patience = None,
    val: o.Val = None,
    val_split: o.ValSplit = None,
    seed: o.Seed = 0,
    dtype: o.Dtype = "float32",
    precision: o.Precision = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on from FILE.checkpoint, which a training in batches leaves when it is killed.",
        ),
    ] = False,
    history: o.HistoryFile = None,
    plot: o.Plot = None,
    labels: o.Labels = None,
    target: o.Target = None,
    image_size: o.ImageSize = None,
    resize_mode: o.ResizeMode = None,
    color_mode: o.ColorMode = None,
    decoder: o.Decoder = None,
    standardize: o.Standardize = None,
    workers: o.Workers = None,
    on_error: o.OnError = "skip",
) -> int:
    """Train a model, and save it as one file.

    The file holds all that is needed to score a raw image: weights, classes, and how images are decoded.
    """
    from ..datasets import DataOptions
    from ..images import Recipe, workers_for
    from ..training import Plan, TrainJob, run_training
    from .text import report_skipped, training_text

    plan = Plan(
        model, hidden, optimizer, epochs, iterations, learning_rate, batch_size, schedule, l1, l2, dropout,
        label_smoothing, clip, class_weight, patience, None, seed, dtype, precision,
    )  # fmt: skip
    recipe = Recipe.asked(image_size, resize_mode, color_mode, decoder)
    reading = DataOptions(recipe, standardize, labels, target, workers_for(workers), on_error)
    job = TrainJob(data, reading, plan, device, val, val_split, output, history, plot)
    result = run_training(job, resume, console)
    report_skipped(console, result.skipped)
    typer.echo(training_text(result))
    return SOME_FAILED if result.skipped else 0


def _numbers(kind: type) -> Any:
    """Return a callback that turns 0.1,0.01 into numbers."""

    def parse(text: str | None) -> list[Any] | None:
        if text is None or not isinstance(text, str):
            return text
        try:
            return [kind(part) for part in text.split(",")]
        except ValueError as error:
            msg = f"{text!r} is no list of numbers as in 0.1,0.01."
            raise typer.BadParameter(msg) from error

    return parse


def sweep(
    console: Console,
    data: Data,
    learning_rates: Annotated[
        str | None,
        typer.Option(
            "--learning-rates", metavar="A,B,...", callback=_numbers(float), help="Learning rates to compare."
        ),
    ] = None,
    l2s: Annotated[
        str | None,
        typer.Option(
            "--l2s", metavar="A,B,...", callback=_numbers(float), help="Strengths of the L2 penalty."
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="A,B,...", callback=_numbers(int), help="Seeds of the start."),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Save the best model, safetensors.")
    ] = None,
    history: o.HistoryFile = None,
    plot: o.Plot = None,
    device: o.Device = None,
    model: o.Model = None,
    hidden: o.Hidden = None,
    optimizer: o.SweepOptimizer = None,
    epochs: o.SweepEpochs = None,
    iterations: o.SweepIterations = None,
    batch_size: o.BatchSize = None,
    schedule: o.Schedule = None,
    dropout: o.Dropout = None,
    class_weight: o.ClassWeight = None,
    val: o.Val = None,
    val_split: o.ValSplit = None,
    seed: o.Seed = 0,
    dtype: o.Dtype = "float32",
    precision: o.Precision = None,
    labels: o.Labels = None,
    target: o.Target = None,
    image_size: o.ImageSize = None,
    resize_mode: o.ResizeMode = None,
    color_mode: o.ColorMode = None,
    decoder: o.Decoder = None,
    standardize: o.Standardize = None,
    workers: o.Workers = None,
    on_error: o.OnError = "skip",
    as_json: o.AsJson = False,
) -> int:
    """Compare learning rates, all at once.

    Or penalties, or seeds: all combinations are trained together, as one more axis of W. By default by
    full-batch descent of 1000 iterations, sgd for logistic and softmax regression, adam for networks.
    """
    from ..datasets import DataOptions
    from ..images import Recipe, workers_for
    from ..training import Plan, TrainJob, run_sweep
    from .text import report_skipped, sweep_report, sweep_text, to_json

    plan = Plan(
        model, hidden, optimizer, epochs, iterations, None, batch_size, schedule, dropout=dropout,
        class_weight=class_weight, seed=seed, dtype=dtype, precision=precision,
    )  # fmt: skip
    recipe = Recipe.asked(image_size, resize_mode, color_mode, decoder)
    reading = DataOptions(recipe, standardize, labels, target, workers_for(workers), on_error)
    job = TrainJob(data, reading, plan, device, val, val_split, output, history, plot)
    # The options' callbacks have made lists of what was text.
    compared: Any = {"learning_rates": learning_rates, "l2s": l2s, "seeds": seeds}
    result = run_sweep(job, compared, console)
    report_skipped(console, result.skipped)
    report = sweep_report(result)
    typer.echo(to_json(report) if as_json else sweep_text(report))
    return SOME_FAILED if result.skipped else 0
