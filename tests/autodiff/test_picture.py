"""The picture of a graph: every box and arrow, none across another box."""

import itertools
import re
from collections import Counter
from xml.etree import ElementTree as ET

import pytest

from xpnet.autodiff.picture import MARGIN, graph_svg

SVG = "{http://www.w3.org/2000/svg}"

CHAIN = [[], [0], [1], [2]]
DIAMOND = [[], [0], [0], [1, 2]]
SKIPPING = [[], [0], [1], [2], [3, 0], [], [4, 5, 0]]
TWICE = [[], [0, 0]]
PENALIZED = [[], [], [0, 1], [2], [], [3, 4], [5], [0], [7], [4], [9], [6, 8, 10]]
GRAPHS = {
    "one": [[]],
    "chain": CHAIN,
    "diamond": DIAMOND,
    "skipping": SKIPPING,
    "twice": TWICE,
    "penalized": PENALIZED,
}


def drawn(parents: list[list[int]]) -> ET.Element:
    texts = [["x" * (1 + 7 * i % 20), f"number {i}"][: 1 + i % 2] for i in range(len(parents))]
    return ET.fromstring(graph_svg("a graph", texts, parents))


def boxes(root: ET.Element) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of each box."""
    found = []
    for rect in root.iterfind(f"{SVG}g/{SVG}rect"):
        x, y, width, height = (float(rect.get(name, "")) for name in ("x", "y", "width", "height"))
        found.append((x, y, x + width, y + height))
    return found


def points(root: ET.Element) -> list[tuple[float, float]]:
    """Return points on all arrows."""
    arrows = root.find(f"{SVG}path[@class='arrows']")
    assert arrows is not None
    found: list[tuple[float, float]] = []
    for letter, rest in re.findall(r"([MHC])([^MHC]*)", arrows.get("d", "")):
        numbers = [float(number) for number in rest.split()]
        if letter == "M":
            found.append((numbers[0], numbers[1]))
            continue
        (x, y), (to_x, to_y) = found[-1], (numbers[-2:] if letter == "C" else (numbers[0], found[-1][1]))
        for share in (i / 20 for i in range(1, 21)):
            ease = share**2 * (3 - 2 * share)  # close to the curve, whose ends are level
            found.append((x + share * (to_x - x), y + ease * (to_y - y)))
    return found


@pytest.mark.parametrize("parents", GRAPHS.values(), ids=GRAPHS)
def test_boxes_and_arrows_lie_apart_and_inside(parents: list[list[int]]) -> None:
    root = drawn(parents)
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    found = boxes(root)
    assert len(found) == len(parents)
    for left, top, right, bottom in found:
        assert MARGIN <= left < right <= width - MARGIN + 0.1
        assert MARGIN <= top < bottom <= height - MARGIN
    for one, other in itertools.combinations(found, 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]
    for x, y in points(root):
        assert not any(x1 + 1 < x < x2 - 1 and y1 < y < y2 for x1, y1, x2, y2 in found), (x, y)


@pytest.mark.parametrize("parents", GRAPHS.values(), ids=GRAPHS)
def test_each_edge_has_an_arrow_head(parents: list[list[int]]) -> None:
    heads = drawn(parents).find(f"{SVG}path[@class='heads']")
    assert heads is not None
    assert heads.get("d", "").count("z") == sum(len(set(above)) for above in parents)


def test_a_value_stands_before_its_first_use() -> None:
    lefts = Counter(left for left, *_ in boxes(drawn([[], [0], [1], [], [2, 3]])))
    assert [count for _, count in sorted(lefts.items())] == [1, 1, 2, 1]


def test_few_arrows_cross() -> None:
    """Two rows whose order is turned around at first: afterwards the lines are level."""
    root = drawn([[], [], [1], [0], [2], [3]])
    arrows = root.find(f"{SVG}path[@class='arrows']")
    assert arrows is not None
    curves = [[float(n) for n in curve.split()] for curve in re.findall(r"C([^MHC]*)", arrows.get("d", ""))]
    assert all(curve[1] == curve[-1] for curve in curves)


def test_all_text_is_escaped() -> None:
    root = ET.fromstring(graph_svg("<&>", [["<script>", "&amp;"]], [[]]))
    assert [each.text for each in root.iter(f"{SVG}text")] == ["<script>", "&amp;"]
    assert root.findtext(f"{SVG}title") == "<&>"
    assert root.findtext(f"{SVG}desc") == "<script>; &amp;"


def test_it_is_readable_on_a_dark_page() -> None:
    style = drawn(CHAIN).findtext(f"{SVG}style") or ""
    assert "prefers-color-scheme: dark" in style
    assert drawn(CHAIN).find(f"{SVG}rect[@class='ground']") is not None
