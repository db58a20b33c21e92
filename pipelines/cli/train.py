"""`xpnet train`: train a model and save it."""

from typing import Annotated, Any

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console


def train(
    console: Console,
    data: o.Data,
    *,
    output: Annotated[
        str,
        o.text("--output", "-o", metavar="FILE", panel=o.OUTPUT, help="The model file to write."),
    ],
    device: o.Device = None,
    optimizer: Annotated[
        str | None,
        o.choice(
            "--optimizer", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lbfgs",
            "ridge",
            panel=o.OPTIMIZATION,
            help="The optimizer. By default ridge (in closed form) for logistic and softmax regression on "
            "patches or embeddings, and lbfgs on other data. If an option is given that lbfgs does not have, "
            "such as --epochs or --learning-rate: sgd with --iterations, else adam. Networks: adam. Linear "
            "regression is solved without an optimizer, unless an option asks for steps.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        o.number(
            "--epochs", least=1, panel=o.OPTIMIZATION, show_default="20, more for small data",
            help="Number of passes over all examples, in batches.",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        o.number(
            "--iterations", least=1, panel=o.OPTIMIZATION,
            help="Number of steps that use all examples at once (full batch), instead of epochs. For lbfgs: "
            "the largest number of steps.",
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        o.number(
            "--learning-rate", "--lr", kind=float, panel=o.OPTIMIZATION, show_default="0.001",
            help="The learning rate of the first epoch.",
        ),
    ] = None,
    l1: Annotated[
        float | None,
        o.number(
            "--l1", kind=float, panel=o.OPTIMIZATION, show_default="0",
            help="The strength of the L1 penalty on the weights: l1 / m sum |W|.",
        ),
    ] = None,
    l2: Annotated[
        Any,  # Typer takes no union of float and str
        o.number(
            "--l2", kind=float, word="auto", panel=o.OPTIMIZATION,
            show_default="1 for lbfgs, what leave-one-out finds best in closed form, else 0",
            help="The strength of the L2 penalty on the weights: l2 / (2 m) sum W^2. auto takes what is best "
            "on left-out examples, for lbfgs by cross-validation.",
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        o.number(
            "--label-smoothing", kind=float, metavar="FRACTION", panel=o.OPTIMIZATION, show_default="0",
            help="Spread this share of each label over all classes.",
        ),
    ] = None,
    clip: Annotated[
        float | None,
        o.number(
            "--clip", kind=float, panel=o.OPTIMIZATION,
            help="The largest norm of the gradient; a longer gradient is scaled down to it.",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        o.number(
            "--patience", least=1, panel=o.OPTIMIZATION,
            help="Stop after this many epochs without a lower cost, and keep the weights of the best epoch.",
        ),
    ] = None,
    training: o.Training,
    reading: o.Reading,
    val: o.Val = None,
    val_split: o.ValSplit = None,
    overwrite: Annotated[
        bool,
        o.flag(
            "--overwrite", panel=o.OUTPUT,
            help="Start from the beginning, although an interrupted training left FILE.checkpoint.",
        ),
    ] = False,
    resume: Annotated[
        bool,
        o.flag(
            "--resume", panel=o.OUTPUT,
            help="Continue a training in batches that was interrupted, from its checkpoint, FILE.checkpoint. "
            "This is the default.",
        ),
    ] = False,
    history: o.HistoryFile = None,
    plot: o.Plot = None,
) -> int:  # fmt: skip
    """Train a model and save it as one file.

    The file holds all that is needed to classify an image: the weights, the names of the classes, and how
    images are decoded and scaled.
    """
    from ..report import plot_training, require_plot
    from ..training import Plan, TrainJob, metric_name, train_job, training_name
    from .text import report_skipped, training_text

    require_plot(plot)
    plan = Plan(
        **training.plan_options(),
        optimizer=optimizer,
        epochs=epochs,
        iterations=iterations,
        learning_rate=learning_rate,
        l1=l1,
        l2=l2,
        label_smoothing=label_smoothing,
        clip=clip,
        patience=patience,
    )
    with reading.data_options(data, plan) as options:
        job = TrainJob(
            data=data,
            options=options,
            plan=plan,
            device=device,
            val=val,
            val_split=val_split,
            output=output,
            history=history,
            other_outputs=() if plot is None else (plot,),
        )
        outcome = train_job(job, console, resume=resume, overwrite=overwrite)
    if plot is not None:
        name = training_name(outcome.metric_examples, outcome.dataset.data.m)
        plot_training(plot, outcome.result.history, metric_name(outcome.dataset.classes), name)
    report_skipped(console, outcome.skipped)
    typer.echo(training_text(outcome))
    return SOME_FAILED if outcome.skipped else 0
