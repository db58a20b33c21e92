"""The model of growth: the page has its tables, and its limits are where arithmetic puts them."""

import json
from pathlib import Path

import growth
import pytest

ROOT = Path(__file__).parents[2]
MEASURED = growth.Measured(
    decoded=1000.0, image_bytes=40_000.0, client=1e-6, row_bytes=50.0, call=0.01, summed=2e9
)


def test_the_page_has_the_tables_of_the_measurement() -> None:
    kept = json.loads((ROOT / "scripts/results/growth.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/growth.md").read_text(encoding="utf-8")
    measured = growth.Measured(**kept["measured"])
    assert growth.measurements(measured) in page
    assert growth.tables(measured) in page
    assert kept["machine"]["processor"] in page


@pytest.mark.parametrize(
    ("images", "cores", "seconds", "limit"),
    [
        (1000, 2, 10.5, "the start"),
        (1_000_000, 2, 510.0, "the workers"),
        (10**9, 4096, 4010.0, "the storage"),  # 40 TB at 10 GB/s
    ],
)
def test_scoring_is_limited_by_the_slowest_part(images: int, cores: int, seconds: float, limit: str) -> None:
    assert growth.predict_time(MEASURED, images, cores) == (pytest.approx(seconds), limit)


def test_preprocessing_is_limited_by_the_network_of_one_machine() -> None:
    seconds, limit = growth.preprocess_time(MEASURED, 10**8, 4096)
    assert limit == "the network of one machine"
    assert seconds == pytest.approx(10 + 10**8 * 12_288 / 1.25e9)


def test_more_workers_help_a_step_until_calling_them_takes_longer() -> None:
    times = [growth.step_time(MEASURED, 10**7, cores)[0] for cores in (1, 16, 4096)]
    assert times[0] == pytest.approx(10**7 * 12_288 / 2e9)
    assert times[1] < times[0] / 10
    assert times[2] > times[1]
    assert growth.step_time(MEASURED, 10**7, 4096)[1] == "calling workers"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (1.0, "1 s"), (74, "74 s"), (100, "1.7 min"), (8000, "2.2 h"), (200_000, "2.3 days")],
)
def test_durations_have_two_digits(seconds: float, text: str) -> None:
    assert growth.duration(seconds) == text
