"""Charts: round ticks, every point inside the area, any number accepted, SVG that is well-formed."""

import math
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.charts.chart import BOTTOM, LEFT, RIGHT, TOP, Axis, Series, histogram, lines, needs_log
from xpnet.charts.colors import DARK, LIGHT, SERIES_COLORS, css_variables

NUMBERS = st.lists(st.floats(), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (1.0, 112.0, ["25", "50", "75", "100"]),
        (0.0, 2000.0, ["0", "500", "1000", "1500", "2000"]),
        (-3.3, 17.0, ["0", "5", "10", "15"]),
        (1e-5, 3e-5, ["1e-05", "1.5e-05", "2e-05", "2.5e-05", "3e-05"]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[str]) -> None:
    assert [text for _, text in Axis(low, high, 0, 100).ticks()] == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-4, 1e-2, ["0.0001", "0.001", "0.01"]),
        (0.3, 3.0, ["0.5", "1", "2"]),
        (1e-9, 1e9, ["1e-09", "1e-06", "0.001", "1", "1000", "1e+06", "1e+09"]),
        (3.0, 4.0, ["3", "3.2", "3.4", "3.6", "3.8", "4"]),
    ],
)
def test_logarithmic_ticks_are_powers_of_ten_where_there_are_some(
    low: float, high: float, expected: list[str]
) -> None:
    axis = Axis(low, high, 0, 100, log=True)
    assert [text for _, text in axis.ticks()] == expected
    places = [place for place, _ in axis.ticks()]
    assert places == sorted(places)
    assert 0 <= places[0] <= places[-1] <= 100


@pytest.mark.parametrize("value", [0.001, 5.0, -3.0, 0.0, 1e99])
def test_one_value_has_an_axis_around_it(value: float) -> None:
    axis = Axis.over([value, value], 0, 100)
    assert 0 <= axis(value) <= 100
    assert len(axis.ticks()) > 2


@settings(max_examples=500)
@given(x=NUMBERS, log_x=st.booleans(), log_y=st.sampled_from([None, True, False]), data=st.data())
def test_whatever_comes_lies_in_the_box(
    x: list[float], log_x: bool, log_y: bool | None, data: st.DataObject
) -> None:
    y = data.draw(st.lists(st.floats(), min_size=len(x), max_size=len(x)))
    chart = lines("t", "x", "y", [Series("a", x, y), Series("b", x, y, "dots")], log_x=log_x, log_y=log_y)
    points = [tuple(map(float, pair)) for pair in re.findall(r"([-\d.e]+),([-\d.e]+)", chart.series[0].path)]
    points += chart.series[1].dots
    for at_x, at_y in points:
        assert LEFT - 0.1 <= at_x <= RIGHT + 0.1
        assert TOP - 0.1 <= at_y <= BOTTOM + 0.1
    assert all(math.isfinite(place) for place, _ in [*chart.x_ticks, *chart.y_ticks])


def test_a_gap_is_a_gap() -> None:
    path = lines("t", "x", "y", [Series("a", [1, 2, 3, 4], [1.0, math.nan, 2.0, 3.0])]).series[0].path
    assert re.sub(r"[\d.,]+", "", path) == "MML"


def test_one_point_is_a_dot() -> None:
    drawn = lines("t", "x", "y", [Series("a", [1], [2.0])]).series[0]
    assert len(drawn.dots) == 1


def test_colors_come_again_dashed() -> None:
    drawn = lines("t", "x", "y", [Series(str(i), [1, 2], [1.0, 2.0]) for i in range(13)]).series
    assert len({(each.look, each.dashed) for each in drawn[:12]}) == 12
    assert (drawn[12].look, drawn[12].dashed) == (0, False)


@pytest.mark.parametrize(
    ("values", "expected"), [([1.0, 40.0], False), ([1.0, 60.0], True), ([0.0, 60.0], False)]
)
def test_costs_far_apart_are_on_a_logarithmic_axis(values: list[float], expected: bool) -> None:
    assert needs_log(values) is expected


def test_bars_are_as_high_as_they_count() -> None:
    chart = histogram("t", "score", "images", [0, 2, 4], 0.0, 3.0)
    assert len(chart.bars) == 2
    (x, top, width, height), (_, _, _, twice) = chart.bars
    assert (top + height, twice) == (BOTTOM, pytest.approx(2 * height, abs=0.2))
    assert LEFT < x < x + width < RIGHT
    assert histogram("t", "score", "images", [0, 0], 0.0, 1.0).bars == []


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1))
def test_a_chart_is_one_element_and_its_texts_stay_text(text: str) -> None:
    chart = lines(
        text, text, text, [Series(text, [1, 2], [1.0, 2.0]), Series("b", [1, 2], [2.0, 1.0], "dots")]
    )
    root = ET.fromstring(chart.svg())
    assert root.findtext("title") == f"Chart: {text}"
    assert str(root.findtext("desc")).startswith(f"Horizontal axis: {text}. ")
    ticks = [tick for _, tick in [*chart.x_ticks, *chart.y_ticks]]
    assert [each.text for each in root.iter("text")].count(text) == 2 + ticks.count(text)  # 2 for the axes
    assert {each.tag for each in root.iter()} == {"svg", "title", "desc", "g", "path", "text", "circle"}


def test_a_chart_says_what_it_shows() -> None:
    series = [Series("training", [1, 2], [0.75, 0.5]), Series("empty", [1], [math.nan])]
    assert lines("Cost", "epoch", "cost", series).description == (
        "Horizontal axis: epoch. Vertical axis: cost. training: from 0.75 to 0.5. empty: 0 points."
    )


def test_a_marker_is_a_dot_with_an_id() -> None:
    chart = lines("t", "x", "y", [Series("a", [1, 2], [1.0, 2.0])])
    assert ET.fromstring(chart.svg()).find(".//circle") is None
    marker = ET.fromstring(chart.svg("roc-point")).find("circle")
    assert marker is not None
    assert (marker.get("id"), marker.get("data-left"), marker.get("data-top")) == ("roc-point", "60", "26")


def test_bars_are_drawn() -> None:
    root = ET.fromstring(histogram("t", "score", "images", [0, 2, 4], 0.0, 3.0).svg())
    assert [each.get("class") for each in root.iter("rect")] == ["bar", "bar"]


def test_each_look_has_its_classes() -> None:
    drawn = lines("t", "x", "y", [Series(str(i), [1, 2], [1.0, 2.0]) for i in range(7)]).series
    guide = lines("t", "x", "y", [Series("g", [1, 2], [1.0, 2.0], "guide", strong=True)]).series[0]
    assert [each.classes for each in [drawn[0], drawn[6], guide]] == [
        "look-0", "look-0 dashed", "look-0 guide strong",
    ]  # fmt: skip


def test_a_notebook_shows_a_chart_with_title_and_legend() -> None:
    chart = lines("a <title>", "x", "y", [Series("one", [1, 2], [1, 2]), Series("two", [1, 2], [2, 1])])
    shown = {text.text for text in ET.fromstring(chart._repr_svg_()).iter("{http://www.w3.org/2000/svg}text")}
    assert {"a <title>", "x", "y", "one", "two"} <= shown


def test_both_backgrounds_have_all_colors() -> None:
    assert list(LIGHT) == list(DARK)
    assert [name for name in LIGHT if name[1:].isdigit()] == [f"c{i}" for i in range(SERIES_COLORS)]
    assert css_variables().count("--c5: ") == 2
