"""Drawings of graphs."""

import json
import re
import xml.etree.ElementTree as ET

import backends
import numpy as np
import pytest

from xpnet import functional as F
from xpnet.autodiff import Node, draw
from xpnet.backend.backend import Backend
from xpnet.errors import GraphError

SVG = "{http://www.w3.org/2000/svg}"


def example() -> Node:
    a, b, c = Node(5.0, "a"), Node(3.0, "b"), Node(2.0, "c")
    u = b * c
    u.name = "u"
    v = a + u
    v.name = "v"
    J = 3 * v
    J.name = "J"
    return J


def test_text_reads_as_the_calculation() -> None:
    assert draw(example()).splitlines() == [
        "a         = 5",
        "b         = 3",
        "c         = 2",
        "u = b * c = 6",
        "v = a + u = 11",
        "J = 3 * v = 33",
    ]


def test_options_constants_and_unnamed_nodes() -> None:
    z = Node(np.ones((2, 3), dtype="float32"), "t1")
    text = draw(F.mean(F.leaky_relu(z, slope=0.2) @ np.ones((3, 1), dtype="float32")))
    assert text.splitlines() == [
        "t1                             = 2x3 float32",
        "t2 = leaky_relu(t1, slope=0.2) = 2x3 float32",
        "t3 = t2 @ 3x1 float32          = 2x1 float32",
        "t4 = mean(t3)                  = 3",
    ]


def test_a_device_is_not_read(backend: Backend) -> None:
    x = Node(backend.send([[1.0]]), "x")
    node = x * x
    before = backend.crossings.total
    with backends.no_sync(backend):
        text = draw(node)
    assert backend.crossings.total == before
    assert ("= 1" if backend.name == "cpu" else "1x1") in text


def test_dot_has_every_node_and_edge() -> None:
    dot = draw(example(), "dot")
    assert dot.startswith("digraph {")
    assert dot.count("->") == 5
    assert 'label="b * c\\nu = 6"' in dot


def test_names_are_data() -> None:
    hostile = 'a"]; evil [label="\\'
    node = Node(1.0, hostile)
    label = re.search(r'^  n0 \[label=(".*")\];$', draw(node, "dot"), re.MULTILINE)
    assert label
    assert json.loads(label[1]) == f"{hostile} = 1"
    texts = [element.text for element in ET.fromstring(draw(node, "svg")).iter(f"{SVG}text")]
    assert texts == [f"{hostile} = 1"]


def test_names_stay_on_their_line() -> None:
    node = Node(1.0, "a\nb\x01\ud800&lt;") * 2
    assert draw(node).splitlines()[0].split(" = ") == ["a\\nb\\x01\\ud800&lt;         ", "1"]
    assert "&amp;lt;" in draw(node, "dot")
    texts = [element.text for element in ET.fromstring(draw(node, "svg")).iter(f"{SVG}text")]
    assert texts[0] == "a\\nb\\x01\\ud800&lt; = 1"


def test_svg() -> None:
    svg = draw(example(), "svg")
    root = ET.fromstring(svg)
    assert root.tag.endswith("svg")
    assert [element.text for element in root.iter(f"{SVG}text")] == [
        "b = 3", "c = 2", "a = 5", "b * c", "u = 6", "a + u", "v = 11", "3 * v", "J = 33"
    ]  # fmt: skip
    assert svg._repr_svg_() == svg  # type: ignore[attr-defined]
    assert type(svg._repr_svg_()) is str  # type: ignore[attr-defined]


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(GraphError, match="format is 'png', expected 'text', 'dot' or 'svg'"):
        draw(example(), "png")


def test_what_is_no_node_is_refused() -> None:
    with pytest.raises(GraphError, match="got a ndarray, expected a Node"):
        draw(np.ones((1, 1)))


def test_a_deep_graph() -> None:
    node = Node(1.0)
    for _ in range(3000):
        node = node + 1
    assert len(draw(node).splitlines()) == 3001
    assert draw(node, "svg").count("<rect ") == 3002
