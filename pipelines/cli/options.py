"""Options that several commands have."""

from collections.abc import Callable
from typing import Annotated, Any

import typer


def _one_of(*possible: str) -> Callable[[str | None], str | None]:
    """Return a callback that refuses other values, without importing who knows them."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in possible:
            msg = f"{value!r} is not one of {', '.join(possible)}."
            raise typer.BadParameter(msg)
        return value

    return check


def choice(flag: str, *possible: str, help: str) -> Any:  # noqa: A002  (Typer's word)
    """Return an option of one of some words."""
    return typer.Option(flag, metavar="|".join(possible), callback=_one_of(*possible), help=help)


Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|gpu|gpu:N",
        help="Where to compute; auto takes a GPU that works, else the CPU. [env var: XPNET_DEVICE]",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, max=256, help="Processes that decode; by default one for each core."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# How images become columns.
ImageSize = Annotated[
    str | None,
    typer.Option("--image-size", metavar="N|WIDTHxHEIGHT", help="Pixels to scale images to. [default: 64]"),
]
ResizeMode = Annotated[
    str | None,
    choice(
        "--resize-mode", "stretch", "pad", "crop",
        help="To the size: stretched, padded with black, or its middle. [default: stretch]",
    ),
]  # fmt: skip
ColorMode = Annotated[
    str | None, choice("--color-mode", "rgb", "grayscale", help="Three channels, or one. [default: rgb]")
]
Decoder = Annotated[
    str | None,
    choice(
        "--decoder",
        "pillow",
        "simplejpeg",
        help="What decodes JPEGs; simplejpeg is an extra. [default: pillow]",
    ),
]
Standardize = Annotated[
    str | None,
    choice(
        "--standardize", "unit", "channel", "feature", "none",
        help="unit divides by 255, channel and feature give mean 0 and deviation 1. "
        "[default: unit; feature for tables]",
    ),
]  # fmt: skip
OnError = Annotated[
    str, choice("--on-error", "skip", "fail", help="What to do about an input that cannot be used.")
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", metavar="FILE", help="CSV of lines path,label; paths relative to DATA."),
]
Target = Annotated[
    str | None, typer.Option("--target", metavar="COLUMN", help="Column to predict, for a CSV table.")
]

# How to train.
Model = Annotated[
    str | None,
    choice(
        "--model", "logistic", "softmax", "network", "regression",
        help="By default what the labels ask for.",
    ),
]  # fmt: skip
Hidden = Annotated[
    str | None,
    typer.Option("--hidden", metavar="LAYERS", help="As in 256:relu,64:tanh or 32:relu+16:tanh."),
]
Optimizer = Annotated[
    str | None,
    choice(
        "--optimizer", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lbfgs",
        help="By default lbfgs for logistic and softmax regression, if no option asks for steps; else "
        "adam, or sgd with --iterations.",
    ),
]  # fmt: skip
SweepOptimizer = Annotated[
    str | None,
    choice(
        "--optimizer", "sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", help="[default: as above]"
    ),
]
SweepEpochs = Annotated[int | None, typer.Option("--epochs", min=1, help="Passes in batches, by adam.")]
SweepIterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Steps of all examples. [default: 1000]")
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, help="Passes in batches. [default: 20, more for little data]"),
]
Iterations = Annotated[
    int | None, typer.Option("--iterations", min=1, help="Steps of all examples, instead of epochs.")
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", "--lr", help="Learning rate of the first epoch. [default: 0.001]"),
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", min=1, help="Examples of a step. [default: 256, 32 for few examples]"),
]
Schedule = Annotated[
    str | None,
    choice(
        "--schedule",
        "constant",
        "step",
        "cosine",
        "plateau",
        help="How the learning rate changes. [default: constant]",
    ),
]
L1 = Annotated[float | None, typer.Option("--l1", help="Strength of the penalty l1 / m sum |W|.")]
L2 = Annotated[
    float | None,
    typer.Option("--l2", help="Strength of the penalty l2 / (2 m) sum W^2. [default: 1 for lbfgs, else 0]"),
]
Dropout = Annotated[float | None, typer.Option("--dropout", help="Share of hidden units silenced in a step.")]
LabelSmoothing = Annotated[
    float | None, typer.Option("--label-smoothing", help="Share of each label spread over all classes.")
]
Clip = Annotated[float | None, typer.Option("--clip", help="Largest norm of the gradient.")]
ClassWeight = Annotated[
    str | None, choice("--class-weight", "balanced", help="Weigh examples so that classes count alike.")
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience", min=1, help="Stop after so many epochs without a lower cost, and go back to the best."
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of initial weights, shuffling and splits.")]
Precision = Annotated[
    str | None,
    choice(
        "--precision", "float32", "tf32", "bfloat16",
        help="Of matrix products in batches: GPUs can round factors to 11 or 8 bits. [default: float32]",
    ),
]  # fmt: skip
Dtype = Annotated[str, choice("--dtype", "float32", "float64", help="Of the arithmetic.")]
Val = Annotated[
    str | None,
    typer.Option("--val", metavar="DATA", help="Other data of the same kind, to judge by."),
]
ValSplit = Annotated[
    float | None,
    typer.Option("--val-split", metavar="SHARE", help="Share of DATA to hold back to judge by."),
]
HistoryFile = Annotated[
    str | None, typer.Option("--history", metavar="FILE", help="Write the cost of each epoch as CSV.")
]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot", metavar="FILE", help="Draw the curves: PNG, SVG or PDF, by the name. Needs xpnet[report]."
    ),
]
