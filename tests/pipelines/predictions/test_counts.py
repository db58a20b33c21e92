"""Counts of predictions, as a journal holds them."""

import pytest

from xpnet.pipelines.predictions.counts import Counts


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"ok": 1}, {"ok": 1, "unsure": 0, "error": -1}, {"ok": True, "unsure": 0, "error": 0},
     {"ok": "1", "unsure": 0, "error": 0}, {"ok": 1 << 70, "unsure": 0, "error": 0},
     {"ok": 1, "unsure": 0, "error": 0, "more": 0}],
)  # fmt: skip
def test_counts_of_a_damaged_journal_are_refused(data: object) -> None:
    assert Counts.from_dict(data) is None
    assert Counts.from_dict({"ok": 1, "unsure": 2, "error": 3}) == Counts(1, 2, 3)
