"""`xpnet sweep`: train several models at once and compare them."""

from typing import Annotated

import typer

from . import options as o
from .command import SOME_FAILED
from .console import Console


def sweep(
    console: Console,
    data: o.Data,
    *,
    device: o.Device = None,
    learning_rates: Annotated[
        o.Numbers | None,
        o.numbers("--learning-rates", "The learning rates to compare.", o.OPTIMIZATION),
    ] = None,
    l2s: Annotated[
        o.Numbers | None,
        o.numbers("--l2s", "The strengths of the L2 penalty to compare.", o.OPTIMIZATION),
    ] = None,
    seeds: Annotated[
        o.Numbers | None,
        o.numbers("--seeds", "The seeds of the initial weights to compare.", o.OPTIMIZATION, int),
    ] = None,
    optimizer: Annotated[
        str | None,
        o.choice(
            "--optimizer", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw",
            panel=o.OPTIMIZATION,
            help="The optimizer. By default adam, or sgd for logistic and softmax regression without "
            "--epochs.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        o.number(
            "--epochs", least=1, panel=o.OPTIMIZATION,
            help="Number of passes over all examples, in batches, instead of iterations.",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        o.number(
            "--iterations", least=1, panel=o.OPTIMIZATION, show_default="1000",
            help="Number of steps that use all examples at once (full batch).",
        ),
    ] = None,
    training: o.Training,
    reading: o.Reading,
    val: o.Val = None,
    val_split: o.ValSplit = None,
    output: Annotated[
        str | None,
        o.text("--output", "-o", metavar="FILE", panel=o.OUTPUT, help="The model file for the best model."),
    ] = None,
    history: o.HistoryFile = None,
    plot: o.Plot = None,
    as_json: o.AsJson = False,
) -> int:  # fmt: skip
    """Train several models at once and compare them.

    Compares learning rates, L2 penalties and seeds: one model for each combination, all trained together. The
    best has the lowest cost on the validation data, or on DATA without --val and --val-split.
    """
    from ..report import plot_sweep, require_plot
    from ..training import Plan, TrainJob, compared_values, sweep_job
    from .text import report_skipped, sweep_report, sweep_text, to_json

    require_plot(plot)
    options_of_plan = training.plan_options()
    options_of_plan["features"] = options_of_plan["features"] or "none"
    plan = Plan(**options_of_plan, optimizer=optimizer, epochs=epochs, iterations=iterations)
    compared = {"learning_rates": learning_rates, "l2s": l2s, "seeds": seeds}
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
        outcome = sweep_job(job, compared, console)
    if plot is not None and outcome.sweep is not None:
        runs, winner = outcome.sweep.runs, outcome.sweep.best
        histories = (run.history for run in runs)
        best = next(i for i, run in enumerate(runs) if run is winner)
        plot_sweep(plot, list(zip(compared_values(outcome, compared), histories, strict=True)), best)
    report_skipped(console, outcome.skipped)
    typer.echo(to_json(sweep_report(outcome)) if as_json else sweep_text(outcome))
    return SOME_FAILED if outcome.skipped else 0
