"""Histories: the best epoch, and how a history is stored in a file."""

import json
import math
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.nn import Epoch, History, Network, Settings
from xpnet.training import fit

NAN, INFINITE = math.nan, math.inf


def history(*costs: float, val: tuple[float | None, ...] = ()) -> History:
    made = History()
    for i, cost in enumerate(costs):
        made.add(Epoch(i + 1, cost, 0.1, 1.0, val[i] if val else None))
    return made


@pytest.mark.parametrize(
    ("costs", "val", "best"),
    [
        ((3.0, 1.0, 2.0), (), 2),
        ((3.0, 1.0, 1.0), (), 2),
        ((3.0, 1.0, 2.0), (5.0, 6.0, 4.0), 3),
        ((3.0, 1.0, 2.0), (INFINITE, INFINITE, 4.0), 3),
        ((3.0, 1.0, 2.0), (4.0, NAN, 4.5), 1),
    ],
)
def test_the_best_epoch_is_that_of_the_lowest_criterion(
    costs: tuple[float, ...], val: tuple[float, ...], best: int
) -> None:
    made = history(*costs, val=val)
    assert made.best_epoch == best
    np.testing.assert_array_equal(made.criterion, val or costs)


def test_values_that_are_not_finite_in_a_file() -> None:
    """The best epoch is still the best after reading."""
    made = History()
    for epoch in (
        Epoch(1, 3.0, 0.1, 1.0, INFINITE, NAN, 0.5),
        Epoch(2, 2.0, 0.1, 1.0, 7.0, -INFINITE, None),
        Epoch(3, 1.0, 0.1, 1.0, NAN, 0.5, NAN),
    ):
        made.add(epoch)
    read = History.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    assert read.best_epoch == made.best_epoch == 2
    assert min(read.criterion) == 7.0
    assert [epoch.val_metric for epoch in read] == [None, None, 0.5]
    assert [epoch.metric for epoch in read] == [0.5, None, None]
    assert read.costs == made.costs


def test_an_infinite_validation_cost_does_not_end_a_training(tmp_path: Path) -> None:
    """The validation cost overflows, and the checkpoint is still written."""
    rng = np.random.default_rng(0)
    data, Y = ColumnMatrix.of(rng.standard_normal((3, 50)), "none"), rng.standard_normal((1, 50))
    settings = Settings(epochs=2, batch_size=10)
    far = data, np.full((1, 50), 1e25)
    model, backend = Network(3, 1, "identity"), select("cpu")
    made = fit(model, data, Y, backend, settings, far, checkpoint=tmp_path / "c").history
    assert made.criterion == [INFINITE, INFINITE]
    assert (tmp_path / "c").exists()
    again = fit(model, data, Y, backend, Settings(epochs=3, batch_size=10), far, checkpoint=tmp_path / "c")
    assert len(again.history) == 3


def test_a_metric_that_is_not_finite_is_null_in_a_file() -> None:
    for value in (float("nan"), float("-inf")):  # R² of equal targets, and of diverged weights
        made = History([Epoch(1, 0.5, 0.1, 0.1, metric=value)])
        assert made.to_dict()["epochs"][0]["metric"] is None


def test_a_notebook_shows_the_curves() -> None:
    made = history(3.0, 1.0, 2.0, val=(3.5, 2.0, 2.5))
    made.add(Epoch(4, 1.5, 0.1, 1.0, 2.2, 0.5, 0.6))
    made.add(Epoch(5, 1.4, 0.1, 1.0, 2.1, 0.6, 0.7))
    svg = made._repr_svg_()
    assert svg is not None
    texts = {element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {
        "Cost of each epoch",
        "Learning rate of each epoch",
        "training",
        "validation",
        "Accuracy or R² of each epoch",
    } <= texts
    assert history()._repr_svg_() is None


def test_the_curve_has_numbers_only() -> None:
    curve = history(3.0, 1.0).curve()
    assert curve["cost"] == [3.0, 1.0]
    assert all(math.isnan(value) for value in curve["val_cost"])
