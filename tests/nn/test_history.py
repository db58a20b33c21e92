"""What a history says of its epochs, and what of it survives a file."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from xpnet.backend.backend import select
from xpnet.data.column_matrix import ColumnMatrix
from xpnet.nn.history import Epoch, History
from xpnet.nn.network import Network
from xpnet.nn.settings import Settings
from xpnet.training.trainer import fit

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


def test_a_file_has_no_word_for_what_is_no_number() -> None:
    """And after it the best epoch is still the best."""
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


def test_validation_data_far_away_does_not_end_a_training(tmp_path: Path) -> None:
    """Its cost overflows; the checkpoint is written all the same."""
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
