"""Model files with random damage: each one is used, or refused with a typed error."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutations import mutated_tensors

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.errors import DataError, XpnetError
from xpnet.pipelines.cli.info import describe
from xpnet.pipelines.cli.text import description_text, to_json
from xpnet.pipelines.datasets import Dataset
from xpnet.pipelines.images import Recipe
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.report import ReportJob, write_report
from xpnet.pipelines.training import Plan, TrainJob, sweep_job, train_job

EXAMPLES = np.random.default_rng(0).integers(0, 256, (12, 4), dtype=np.uint8)
PICTURES = Dataset(
    ColumnMatrix(EXAMPLES), np.arange(12)[None] % 2, ("a", "b"), Recipe(2, 2, "pad", "grayscale")
)
TABLE = Dataset(
    ColumnMatrix(EXAMPLES * 1.0), EXAMPLES[:, :1].T * 1.0, (), features=("a", "b", "c", "d"), target="y"
)


def a_model_of_pictures(output: Path) -> None:
    plan = Plan(hidden="2", epochs=3, batch_size=12)
    train_job(TrainJob(data=PICTURES, plan=plan, device="cpu", output=str(output)), Messages())


def a_model_of_a_table(output: Path) -> None:
    job = TrainJob(data=TABLE, plan=Plan(epochs=2, batch_size=12), device="cpu", output=str(output))
    sweep_job(job, {"learning_rates": [0.1, 0.2]}, Messages())


def use(path: Path) -> None:
    model = load(path)
    found = model.predict_array(EXAMPLES.T)
    assert found.shape == (1, 12)


def describe_it(path: Path) -> None:
    description = describe(str(path))
    assert to_json(description)
    assert description_text(description)


def report(path: Path) -> None:
    load(path)  # most damage is found here, faster than by a page
    write_report(ReportJob(str(path), f"{path}.html", device="cpu"), Messages())


@pytest.mark.parametrize("make", [a_model_of_pictures, a_model_of_a_table])
@pytest.mark.parametrize(("action", "count"), [(use, 300), (describe_it, 300), (report, 60)])
def test_every_damaged_model_is_used_or_refused(
    make: Callable[[Path], None], action: Callable[[Path], None], count: int, tmp_path: Path
) -> None:
    path = tmp_path / "m.safetensors"
    make(path)
    content, refused = path.read_bytes(), 0
    for seed in range(count):
        path.write_bytes(mutated_tensors(content, seed))
        try:
            action(path)
        except XpnetError:
            refused += 1
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
    assert refused > count / 3


@pytest.mark.parametrize("features", [["a"], 5, "abcd", [1, 2, 3, 4], {"a": 1}])
def test_names_of_columns_that_do_not_fit_are_refused(features: object, tmp_path: Path) -> None:
    a_model_of_a_table(tmp_path / "m")
    model = load(tmp_path / "m")
    model.saved.recipe["features"] = features
    model.save(tmp_path / "m")
    with pytest.raises(DataError, match="expected the names of 4 columns"):
        load(tmp_path / "m")


def test_examples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    a_model_of_a_table(tmp_path / "m")
    X = EXAMPLES.T * 1.0
    X[1, 2] = np.nan
    with pytest.raises(XpnetError, match="example 2 holds nan in feature 1"):
        load(tmp_path / "m").evaluate(X, EXAMPLES[:, 0] * 1.0, device=select("cpu"))
