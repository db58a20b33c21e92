"""Options that several commands share, and how the value of an option is checked."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..datasets import DataOptions
    from ..training import Plan

DATA, MODEL, OPTIMIZATION, DEVICE = "Data", "Model", "Optimization", "Device"
OUTPUT, MESSAGES = "Output", "Messages"
"""Panels: the headings under which a help text lists options. `PANELS` has their order."""

PANELS = (DATA, MODEL, OPTIMIZATION, DEVICE, OUTPUT, MESSAGES)


class Formerly(NamedTuple):
    """Marks an option that had another name: the old name still works, but is hidden and gives a warning.

    Put it beside the `typer.Option` of an `Annotated` type.

    Attributes:
        flag: the old name, such as "--threshold".
    """

    flag: str


class Number:
    """Parses the value of an option that is a number.

    Args:
        kind: int or float.
        least: the smallest value that is allowed, or None.
        most: the largest value that is allowed, or None.
        word: a word that is allowed in place of a number, or None.
    """

    __name__ = "number"  # Typer asks for the name of a parser

    def __init__(
        self, kind: type[int | float], least: float | None, most: float | None, word: str | None = None
    ) -> None:
        self._kind, self._least, self._most, self._word = kind, least, most, word

    def __call__(self, value: Any) -> Any:
        """Return the number, or the word.

        Raises:
            typer.BadParameter: it is not a number, or out of range.
        """
        if self._word is not None and value == self._word:
            return value
        number = _parsed(self._kind, value)
        if number is not None:
            low = -math.inf if self._least is None else self._least
            high = math.inf if self._most is None else self._most
            if low <= number <= high:
                return number
        msg = f"got {value!r}, expected {self._expected()}"
        raise typer.BadParameter(msg)

    def _expected(self) -> str:
        kind = "a whole number" if self._kind is int else "a number"
        if self._word is not None:
            kind = f"{kind} or {self._word}"
        if self._least is None:
            return kind
        return f"{kind}, {self._least} or more" if self._most is None else (
            f"{kind} from {self._least} to {self._most}"
        )  # fmt: skip


class Bytes:
    """Parses the value of an option that is a number of bytes, such as 4GB or 500MB."""

    __name__ = "bytes"

    UNITS: ClassVar = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
    """How many bytes each unit has."""

    def __call__(self, value: Any) -> int:
        """Return the number of bytes.

        Raises:
            typer.BadParameter: it is not such a number.
        """
        text = str(value).strip().upper()
        number = _parsed(float, text[:-2])
        if text[-2:] not in self.UNITS or number is None or number <= 0:
            msg = f"got {value!r}, expected a number of bytes, such as 4GB or 500MB"
            raise typer.BadParameter(msg)
        return int(number * self.UNITS[text[-2:]])


class Numbers(list[Any]):
    """The value of an option that is a list of numbers.

    For Typer, the type `list` means an option that is given several times.
    """


class NumberList:
    """Parses the value of an option that is a list of numbers, such as 0.1,0.01.

    Args:
        kind: int or float.
    """

    __name__ = "numbers"

    def __init__(self, kind: type[int | float]) -> None:
        self._kind = kind

    def __call__(self, value: Any) -> Numbers:
        """Return the numbers.

        Raises:
            typer.BadParameter: one of them is not a number.
        """
        numbers = [_parsed(self._kind, part) for part in str(value).split(",")]
        if None in numbers:
            example = "0.1,0.01" if self._kind is float else "0,1,2"
            kind = "numbers" if self._kind is float else "whole numbers"
            msg = f"got {value!r}, expected {kind} separated by commas, as in {example}"
            raise typer.BadParameter(msg)
        return Numbers(numbers)


def _parsed(kind: type[int | float], value: Any) -> Any:
    """Return a value as a finite number of that kind, an integer of at most 64 bits; None otherwise."""
    if isinstance(value, bool) or (kind is int and isinstance(value, float)):
        return None
    try:
        number = kind(value)
    except (TypeError, ValueError):
        return None
    is_usable = abs(number) < MAX_INTEGER if kind is int else math.isfinite(number)
    return number if is_usable else None


MAX_INTEGER = 1 << 63
"""Limit of the size of integers in options, so that all libraries can take them."""

TEXT_FLAGS: set[str] = set()
"""The flags of all options that `text` returned."""


def number(
    *flags: str,
    help: str,  # noqa: A002  (Typer's word)
    panel: str,
    kind: type[int | float] = int,
    least: float | None = None,
    most: float | None = None,
    word: str | None = None,
    metavar: str = "N",
    **others: Any,
) -> Any:
    """Return an option whose value is a number, or a word in its place."""
    parser = Number(kind, least, most, word)
    metavar = metavar if word is None else f"{metavar}|{word}"
    return typer.Option(*flags, metavar=metavar, parser=parser, help=help, rich_help_panel=panel, **others)


def numbers(
    flag: str,
    help: str,  # noqa: A002
    panel: str,
    kind: type[int | float] = float,
    **others: Any,
) -> Any:
    """Return an option whose value is a list of numbers."""
    return typer.Option(
        flag, metavar="N,N,...", parser=NumberList(kind), help=help, rich_help_panel=panel, **others
    )


def _one_of(possible: tuple[str, ...]) -> Callable[[str | None], str | None]:
    """Return a callback that refuses other values. It does not import the module that defines them."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in possible:
            msg = f"got {value!r}, expected one of {', '.join(possible)}"
            raise typer.BadParameter(msg)
        return value

    return check


def _features(value: str | None) -> str | None:
    """Refuse what is neither a kind of features nor an ONNX file, before data is read."""
    if value is None or value.lower().endswith(".onnx"):
        return value
    return _one_of(("none", "patches", "auto"))(value)


def _features_or_file(value: str | None) -> str | None:
    """Refuse what is neither a kind of features nor a file, before data is read."""
    from os.path import exists

    if value is None or value.lower().endswith(".onnx") or exists(value):
        return value
    try:
        return _one_of(("none", "patches", "auto"))(value)
    except typer.BadParameter as error:
        msg = f"{error.message}, an ONNX file, a model, or a data file of features"
        raise typer.BadParameter(msg) from error


def _completion(metavar: str) -> Callable[[str], list[str]]:
    """Return what gives a shell the words of a metavar that begin with what was typed.

    Without any, the shell offers names of files. Capital letters stand for something: they are no words.
    """
    words = [word for word in metavar.split("|") if word.isalnum() and word.islower()]

    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def choice(flag: str, *possible: str, help: str, panel: str, **others: Any) -> Any:  # noqa: A002
    """Return an option whose value is one of some words."""
    metavar = "|".join(possible)
    return typer.Option(
        flag,
        metavar=metavar,
        callback=_one_of(possible),
        autocompletion=_completion(metavar),
        help=help,
        rich_help_panel=panel,
        **others,
    )


def text(*flags: str, metavar: str, help: str, panel: str, **others: Any) -> Any:  # noqa: A002
    """Return an option whose value is text, such as the name of a file."""
    TEXT_FLAGS.update(flags)
    return typer.Option(
        *flags,
        metavar=metavar,
        autocompletion=_completion(metavar),
        help=help,
        rich_help_panel=panel,
        **others,
    )


def flag(*flags: str, help: str, panel: str) -> Any:  # noqa: A002
    """Return an option without a value."""
    return typer.Option(*flags, help=help, rich_help_panel=panel)


# Arguments.
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="The examples: a folder with one subfolder for each class, a zip or tar archive of such a "
        "folder, Parquet with images, a data file of xpnet preprocess, an HDF5 file in the course's layout, "
        "a table (CSV, Parquet), or features such as embeddings (.npz, .npy, Parquet, HDF5). Folders and "
        "archives may be in a bucket: s3://bucket/folder.",
    ),
]
ModelFile = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model file, made by xpnet train or xpnet sweep.")
]

# Data.
Labels = Annotated[
    str | None,
    text(
        "--labels", metavar="FILE", panel=DATA,
        help="A file of labels, CSV, JSON lines or Parquet, with the columns path,label, instead of one "
        "subfolder for each class. Paths are relative to DATA. For a .npy file of features: a .npy, CSV or "
        "Parquet file with a label for each row.",
    ),
]  # fmt: skip
Target = Annotated[
    str | None,
    text(
        "--target",
        metavar="COLUMN",
        panel=DATA,
        help="The column to predict, if DATA is a table; or the column of labels in a labels file.",
    ),
]
Frame = Annotated[
    int | None,
    number(
        "--frame", least=1, most=1 << 20, panel=DATA, show_default="1",
        help="Which frame of an animation, or page of a TIFF, to read. A file with fewer is an error.",
    ),
]  # fmt: skip
MaxPixels = Annotated[
    int | None,
    number(
        "--max-pixels", least=1, panel=DATA, show_default="178956970",
        help="Decode images of up to so many pixels. A small file can claim any size, and decoding takes 4 "
        "bytes for each pixel in each process, of a WebP 16.",
    ),
]  # fmt: skip
Memory = Annotated[
    int | None,
    typer.Option(
        "--memory", metavar="SIZE", parser=Bytes(), rich_help_panel=DATA, show_default="half of it",
        help="How much memory the examples may take, such as 4GB. More of them stay in the data file, or in "
        "a temporary file in the folder that TMPDIR names, and are read each time.",
    ),
]  # fmt: skip
OnError = Annotated[
    str,
    choice(
        "--on-error", "skip", "fail", panel=DATA,
        help="What to do if an image cannot be decoded: leave it out, or stop.",
    ),
]  # fmt: skip
Val = Annotated[
    str | None,
    text(
        "--val", metavar="DATA", panel=DATA,
        help="Validation data, of the same kind as DATA. The model is evaluated on it, but not trained on "
        "it.",
    ),
]  # fmt: skip
ValSplit = Annotated[
    float | None,
    number(
        "--val-split", kind=float, metavar="FRACTION", panel=DATA,
        help="Hold back this fraction of DATA as validation data, for example 0.1.",
    ),
]  # fmt: skip

# Device.
Device = Annotated[
    str | None,
    text(
        "--device", metavar="auto|cpu|gpu|gpu:N", panel=DEVICE, show_default="auto",
        help="Where to compute. auto takes the GPU if there is one that works, else the CPU. The environment "
        "variable XPNET_DEVICE sets another default.",
    ),
]  # fmt: skip
Workers = Annotated[
    int | None,
    number(
        "--workers", least=1, most=256, panel=DEVICE, show_default="one for each core",
        help="How many processes decode images.",
    ),
]  # fmt: skip
Cluster = Annotated[
    str | None,
    text(
        "--cluster", metavar="ADDRESS|local:N", panel=DEVICE, show_default="this machine",
        help="Have a Dask cluster decode the images, and for predict also score them: the address of its "
        "scheduler, such as tcp://10.0.0.1:8786, or local:N for N processes of this machine. Needs the "
        "extra: pip install 'xpnet[cluster]'. The environment variable XPNET_CLUSTER sets another default.",
    ),
]  # fmt: skip

# Output.
AsJson = Annotated[bool, flag("--json", panel=OUTPUT, help="Print the result as JSON.")]
HistoryFile = Annotated[
    str | None,
    text(
        "--history", metavar="FILE", panel=OUTPUT,
        help="Write cost, learning rate and metrics of each epoch to this CSV file.",
    ),
]  # fmt: skip
Plot = Annotated[
    str | None,
    text(
        "--plot", metavar="FILE.svg", panel=OUTPUT, help="Draw the curves of the training, as an SVG image."
    ),
]


# Features.
FeaturesOutput = Annotated[
    str | None,
    text(
        "--features-output", metavar="NAME", panel=MODEL,
        show_default="what the last linear layer takes, or the output",
        help="Which tensor of a backbone is the embedding.",
    ),
]  # fmt: skip
FeaturesMean = Annotated[
    Any,
    numbers(
        "--features-mean", panel=MODEL,
        show_default="as the file or one beside it says, or what suits the images",
        help="The mean of red, green and blue that a backbone expects to be subtracted. White is 1.",
    ),
]  # fmt: skip
FeaturesStd = Annotated[
    Any,
    numbers(
        "--features-std", panel=MODEL, show_default="as for the mean",
        help="The standard deviation of red, green and blue that a backbone expects to be divided by.",
    ),
]  # fmt: skip
FeaturesColors = Annotated[
    str | None,
    choice(
        "--features-colors", "rgb", "bgr", panel=MODEL, show_default="as for the mean",
        help="The order of the channels that a backbone takes.",
    ),
]  # fmt: skip
Embed = Annotated[
    bool,
    flag(
        "--embed",
        help="Write the backbone into the output, too. Else only its name and hash are in it, and it must be "
        "beside the model file to predict.",
        panel=MODEL,
    ),
]
Mirror = Annotated[
    bool | None,
    typer.Option(
        "--mirror/--no-mirror", rich_help_panel=MODEL, show_default="what is better on left-out images",
        help="Whether an image and its mirror image mean the same, for --features patches. They do not "
        "for text and digits.",
    ),
]  # fmt: skip


Patches = Annotated[
    int | None,
    number(
        "--patches", least=2, panel=MODEL, show_default="960, or 560 for 10,000 examples or more",
        help="How many patches the dictionary has. With more, training and predictions take longer, and "
        "more answers are right.",
    ),
]  # fmt: skip

Budget = Annotated[
    float | None,
    number(
        "--budget", kind=float, metavar="MINUTES", panel=MODEL, show_default="a few minutes at most",
        help="How long the training may take on this machine, about: the dictionary gets as many patches "
        "as this time and the memory allow.",
    ),
]  # fmt: skip


class Extracting(NamedTuple):
    """The options of `preprocess` that say which features of the images the data file holds."""

    features: Annotated[
        str | None,
        text(
            "--features", metavar="none|patches|auto|FILE", panel=MODEL, callback=_features_or_file,
            show_default="none",
            help="What the data file holds: the pixels (none); features of small patches, which are learned "
            "from the images (patches); what a quick comparison on left-out images finds best (auto); the "
            "embeddings of a backbone (an ONNX file); or the same features as a model or another data file "
            "has (FILE), which is for validation and test images.",
        ),
    ] = None  # fmt: skip
    features_output: FeaturesOutput = None
    features_mean: FeaturesMean = None
    features_std: FeaturesStd = None
    features_colors: FeaturesColors = None
    embed: Embed = False
    mirror: Mirror = None
    patches: Patches = None
    budget: Budget = None
    seed: Annotated[
        int | None,
        number(
            "--seed", least=0, panel=MODEL, show_default="0",
            help="The seed of the choice of patches to learn from.",
        ),
    ] = None  # fmt: skip

    def chosen(self) -> Plan | str | None:
        """Return a plan that says which features, or the file whose features they are; None for pixels.

        Raises:
            UsageError: an option does not fit the others.
        """
        from xpnet.errors import UsageError

        from ..training import FEATURES, Plan

        given = {name: value for name, value in self._asdict().items() if value not in (None, False)}
        if self.mirror is not None:
            given["mirror"] = self.mirror
        wanted = given.pop("features", "none")
        is_file = wanted not in FEATURES and not wanted.lower().endswith(".onnx")
        if given and (is_file or wanted == "none"):
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            why = "has its features already" if is_file else "is for the pixels"
            msg = f"--features {wanted} {why}: leave out {names}"
            raise UsageError(msg)
        if wanted == "none":
            return None
        return wanted if is_file else Plan(features=wanted, **given)


class Reading(NamedTuple):
    """The options of every command that reads DATA and makes columns of it."""

    labels: Labels = None
    target: Target = None
    columns: Annotated[
        str | None,
        text(
            "--columns", metavar="NAMES", panel=DATA,
            help="Columns of a table to use as features, such as age,weight. By default all but --target.",
        ),
    ] = None  # fmt: skip
    ignore_columns: Annotated[
        str | None,
        text(
            "--ignore-columns", metavar="NAMES", panel=DATA,
            help="Columns of a table that are not features, such as name,id.",
        ),
    ] = None  # fmt: skip
    image_size: Annotated[
        str | None,
        text(
            "--image-size", metavar="N|WIDTHxHEIGHT", panel=DATA, show_default="64, or 32",
            help="Scale images to this size, in pixels: 64 is a square, 64x48 is 64 wide and 48 high. "
            "Images in folders have 32 by default where features of patches are tried.",
        ),
    ] = None  # fmt: skip
    resize_mode: Annotated[
        str | None,
        choice(
            "--resize-mode", "stretch", "pad", "crop", panel=DATA, show_default="stretch",
            help="How an image gets the shape of --image-size: stretch it, pad it with black, or crop its "
            "middle.",
        ),
    ] = None  # fmt: skip
    color_mode: Annotated[
        str | None,
        choice(
            "--color-mode", "rgb", "grayscale", panel=DATA, show_default="rgb",
            help="Color: three channels for each pixel. Grayscale: one.",
        ),
    ] = None  # fmt: skip
    decoder: Annotated[
        str | None,
        choice(
            "--decoder", "pillow", "simplejpeg", panel=DATA, show_default="pillow",
            help="The library that decodes JPEG files. simplejpeg is faster: pip install 'xpnet[fast]'.",
        ),
    ] = None  # fmt: skip
    standardize: Annotated[
        str | None,
        choice(
            "--standardize", "unit", "channel", "feature", "none", panel=DATA,
            show_default="unit for images, feature for tables",
            help="How features are scaled. unit divides bytes by 255; channel and feature give each "
            "channel or feature the mean 0 and the standard deviation 1.",
        ),
    ] = None  # fmt: skip
    frame: Frame = None
    max_pixels: MaxPixels = None
    on_error: OnError = "skip"
    memory: Memory = None
    workers: Workers = None
    cluster: Cluster = None

    @contextmanager
    def data_options(self, data: str = "", plan: Plan | None = None) -> Iterator[DataOptions]:
        """Give the options as the pipeline takes them, with workers that decode until the block ends.

        Args:
            data: the data.
            plan: how to train; its features may need images of another size than usual.

        Raises:
            UsageError: a value that is not allowed.
        """
        from ..datasets import DataOptions
        from ..images import Recipe, open_decoders
        from ..training import usual_images

        image_size, color_mode = (None, None) if plan is None else usual_images(plan, data)
        recipe = Recipe.from_options(
            self.image_size or image_size,
            self.resize_mode,
            self.color_mode or color_mode,
            self.decoder,
            self.frame,
            self.max_pixels,
        )
        with open_decoders(self.workers, self.cluster) as decoders:
            yield DataOptions(
                recipe=recipe,
                standardize=self.standardize,
                labels=self.labels,
                target=self.target,
                workers=decoders,
                on_error=self.on_error,
                columns=_names(self.columns),
                ignored_columns=_names(self.ignore_columns) or (),
                memory=self.memory,
            )


def _names(option: str | None) -> tuple[str, ...] | None:
    """Return the names in the value of an option, which are separated by commas."""
    return None if option is None else tuple(name.strip() for name in option.split(",") if name.strip())


class Training(NamedTuple):
    """The options that train and sweep share, beside those of `Reading`."""

    model: Annotated[
        str | None,
        choice(
            "--model", "logistic", "softmax", "network", "regression", panel=MODEL,
            help="The kind of model. By default it follows from the labels: logistic for two classes, "
            "softmax for more, regression for numbers, and network with --hidden.",
        ),
    ] = None  # fmt: skip
    hidden: Annotated[
        str | None,
        text(
            "--hidden", metavar="LAYERS", panel=MODEL,
            help="Hidden layers of a network: 256:relu,64:tanh is 256 ReLU units, then 64 tanh units; "
            "32:relu+16:tanh is one layer with units of both kinds.",
        ),
    ] = None  # fmt: skip
    features: Annotated[
        str | None,
        text(
            "--features", metavar="none|patches|auto|FILE.onnx", panel=MODEL, callback=_features,
            show_default="auto, or none if an option says how to train",
            help="What the model is given: the pixels (none); features of small patches, which are learned "
            "from the images (patches); what a quick comparison on left-out images finds best (auto); or the "
            "embeddings of a backbone, a network in an ONNX file: pip install 'xpnet[onnx]'. "
            "With patches and auto, images in folders are 32 pixels wide and high unless --image-size says "
            "otherwise; with a backbone they have the size that it takes. A linear model on patches or "
            "embeddings is trained by ridge classification.",
        ),
    ] = None  # fmt: skip
    features_output: FeaturesOutput = None
    features_mean: FeaturesMean = None
    features_std: FeaturesStd = None
    features_colors: FeaturesColors = None
    embed: Embed = False
    mirror: Mirror = None
    patches: Patches = None
    budget: Budget = None
    dropout: Annotated[
        float | None,
        number(
            "--dropout", kind=float, metavar="RATE", panel=MODEL, show_default="0",
            help="The share of hidden units that are switched off at random in each step.",
        ),
    ] = None  # fmt: skip
    batch_size: Annotated[
        int | None,
        number(
            "--batch-size", least=1, panel=OPTIMIZATION, show_default="256, or 32 for small data",
            help="How many examples one step uses.",
        ),
    ] = None  # fmt: skip
    schedule: Annotated[
        str | None,
        choice(
            "--schedule", "constant", "step", "cosine", "plateau", panel=OPTIMIZATION,
            show_default="constant",
            help="How the learning rate changes from epoch to epoch.",
        ),
    ] = None  # fmt: skip
    class_weight: Annotated[
        str | None,
        choice(
            "--class-weight", "balanced", panel=OPTIMIZATION,
            help="Give examples of rare classes more weight, so that all classes count the same.",
        ),
    ] = None  # fmt: skip
    seed: Annotated[
        int,
        number(
            "--seed", least=0, panel=OPTIMIZATION,
            help="The seed of all random numbers: initial weights, order of the examples, split of the data.",
        ),
    ] = 0  # fmt: skip
    dtype: Annotated[
        str,
        choice(
            "--dtype", "float32", "float64", panel=DEVICE, help="The floating-point type of the computation."
        ),
    ] = "float32"
    precision: Annotated[
        str | None,
        choice(
            "--precision", "float32", "tf32", panel=DEVICE, show_default="float32",
            help="The precision of matrix products in batches. tf32 is faster and less exact, and needs "
            "a GPU.",
        ),
    ] = None  # fmt: skip

    def plan_options(self) -> dict[str, Any]:
        """Return the options by name, as keywords of `Plan`."""
        return self._asdict()
