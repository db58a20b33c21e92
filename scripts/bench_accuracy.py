"""Measure how often models are right, with how much time and memory, on your own data.

    python scripts/bench_accuracy.py NAME=TRAIN:TEST ... [--seeds N] [--json FILE]

TRAIN and TEST are folders of images with a subfolder for each class, or data files. Each training is a
process of its own: `xpnet train` with the options of a row of the table. Values are medians over the seeds.
With --scikit-learn, its linear models are trained on the same features.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from benching import machine, table

import xpnet
from xpnet import metrics
from xpnet.backend import select
from xpnet.pipelines.datasets import DataOptions, Dataset, open_data
from xpnet.pipelines.images import workers_for
from xpnet.pipelines.messages import Messages

ROOT = Path(__file__).resolve().parent.parent
WAYS: dict[str, list[str]] = {
    "no option": [],
    "--features none": ["--features", "none"],
}
"""The options of each training by its name."""


@dataclass(frozen=True)
class Case:
    """Data to train on and to test on."""

    name: str
    train: str
    test: str

    @classmethod
    def parse(cls, text: str) -> "Case":
        """Return the case that NAME=TRAIN:TEST means."""
        name, found, folders = text.partition("=")
        train, colon, test = folders.partition(":")
        if not (name and found and train and colon and test):
            msg = f"{text}: expected NAME=TRAIN:TEST"
            raise argparse.ArgumentTypeError(msg)
        return cls(name, train, test)


def trained(case: Case, options: list[str], seed: int, output: str) -> dict[str, float]:
    """Train in a process of its own; return its seconds and the memory of its largest process in MB."""
    command = [
        sys.executable,
        "-m",
        "xpnet",
        "train",
        case.train,
        "-o",
        output,
        "--seed",
        str(seed),
        "--quiet",
    ]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    began = time.perf_counter()
    process = subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):  # 3: some images were skipped
        msg = f"{' '.join(command)}: exit code {process.returncode}"
        raise RuntimeError(msg)
    return {"seconds": time.perf_counter() - began, "MB": usage.ru_maxrss / 1000}


def measured(case: Case, options: list[str], seed: int) -> tuple[dict[str, float], Any]:
    """Train, and evaluate on the test data; return what was measured, and the model."""
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder, "m.safetensors"))
        found = trained(case, options, seed, output)
        model = xpnet.load(output)
    dataset = opened(case.test, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probabilities = model.predict_proba(dataset.data.examples.reshape(-1, *model.recipe.shape))
    if len(probabilities) == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities])
    expected = (model.history or {}).get("expected") or {}
    found |= {
        "accuracy": metrics.accuracy(dataset.Y, probabilities.argmax(axis=0)[None]),
        "log loss": metrics.log_loss(dataset.Y, probabilities),
        "calibration error": metrics.calibration_error(dataset.Y, probabilities),
    }
    if "accuracy" in expected:
        found["expected"] = expected["accuracy"]
    return found, model


def opened(data: str, model: Any) -> Dataset:
    """Return data as the model takes it: its images, with the classes of the model."""
    recipe = model.recipe if Path(data).is_dir() else None  # a data file has its own
    options = DataOptions(recipe=recipe, workers=workers_for(None))
    with Messages().progress("Reading") as progress:
        dataset = open_data(data, options, progress, warnings.warn)
    order = [model.classes.index(name) for name in dataset.classes]
    return Dataset(dataset.data, np.take(order, dataset.Y), model.classes, dataset.recipe)


def by_scikit_learn(case: Case, model: Any) -> list[dict[str, Any]]:
    """Return rows of scikit-learn's linear models on the features of a model; none if it is not installed."""
    try:
        from sklearn.linear_model import LogisticRegression, RidgeClassifierCV
        from sklearn.preprocessing import StandardScaler
    except ImportError:
        return []
    if model.patches is None:
        return []
    transform, rows = model.patches.on(select("cpu")), []
    train, test = (opened(data, model) for data in (case.train, case.test))
    began = time.perf_counter()
    scaler = StandardScaler()
    X = scaler.fit_transform(transform(train.data.examples))
    features = time.perf_counter() - began
    X_test = scaler.transform(transform(test.data.examples))
    for classifier in (RidgeClassifierCV(np.logspace(-1, 6, 15)), LogisticRegression(max_iter=200)):
        began = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of steps that were too few
            classifier.fit(X, train.Y[0])
        spent = features + time.perf_counter() - began
        right = float(np.mean(classifier.predict(X_test) == test.Y[0]))
        name = f"the same features, scikit-learn {type(classifier).__name__}"
        rows.append({"data": case.name, "how": name, "accuracy": right, "seconds": spent})
    return rows


def main() -> None:
    """Measure what the command line says; print a table, and write JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="+", type=Case.parse, metavar="NAME=TRAIN:TEST")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="rows to measure")
    parser.add_argument("--scikit-learn", action="store_true", help="train scikit-learn's models, too")
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings of each kind")
    parser.add_argument("--json", type=Path, help="file for the results")
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for case, way in itertools.product(given.cases, given.ways):
        found = [measured(case, WAYS[way], seed) for seed in range(given.seeds)]
        keys = list(dict.fromkeys(key for values, _ in found for key in values))
        medians = {key: statistics.median(v[key] for v, _ in found if key in v) for key in keys}
        spread = [values["accuracy"] for values, _ in found]
        new = [{"data": case.name, "how": way, **medians, "least": min(spread), "most": max(spread)}]
        if given.scikit_learn:
            new += by_scikit_learn(case, found[0][1])
        for row in new:
            print(row, flush=True)  # the others may take long
        rows += new
    names = list(dict.fromkeys(key for row in rows for key in row))
    table("Accuracy", [{name: row.get(name, "-") for name in names} for row in rows])
    if given.json:
        known = {"machine": machine(), "rows": rows}
        given.json.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
