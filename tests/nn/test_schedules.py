"""Schedules: the factor on the learning rate in each epoch."""

import pytest

from xpnet.errors import ConfigurationError
from xpnet.nn import SCHEDULES, Constant, Cosine, Plateau, Schedule, Step


def factors(schedule: Schedule, costs: list[float]) -> list[float]:
    return [schedule.factor(epoch, len(costs), costs[:epoch]) for epoch in range(len(costs))]


def test_constant() -> None:
    assert factors(Constant(), [3.0, 2.0, 1.0]) == [1, 1, 1]


def test_step() -> None:
    assert factors(Step(every=2, gamma=0.5), [1.0] * 5) == [1, 1, 0.5, 0.5, 0.25]


def test_cosine() -> None:
    assert factors(Cosine(), [1.0] * 4) == pytest.approx([1, 0.8535534, 0.5, 0.1464466])
    assert factors(Cosine(floor=0.2), [1.0] * 2) == pytest.approx([1, 0.6])


def test_plateau() -> None:
    costs = [5, 4, 4, 4, 3, 3, 3, 3, 3, 2]
    assert factors(Plateau(patience=2, gamma=0.5), costs) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_plateau_counts_nan_as_no_progress() -> None:
    assert factors(Plateau(patience=1, gamma=0.5), [1.0, float("nan"), 0.5]) == [1, 1, 0.5]


@pytest.mark.parametrize(
    "make",
    [lambda: Step(every=0), lambda: Step(gamma=0), lambda: Plateau(patience=0), lambda: Plateau(gamma=2)],
)
def test_settings_out_of_range_are_refused(make: object) -> None:
    with pytest.raises(ConfigurationError, match=r"expected (every|patience) >= 1 and 0 < gamma <= 1"):
        make()


def test_every_name_has_a_schedule() -> None:
    assert set(SCHEDULES) == {"constant", "step", "cosine", "plateau"}
