"""The picture of a graph: boxes in layers from left to right, and arrows between them, as SVG.

The order in each layer is found by barycenters (Sugiyama, Tagawa and Toda, 1981): each box moves to the
middle of those it is joined to. An arrow that passes a layer gets a place in it, so it does not cross a box.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from xpnet.charts import DARK, LIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP, ROW_HEIGHT, MARGIN = 44, 50, 8
"""Space between two layers, distance between the middles of two rows, and space around the picture."""

LINE_HEIGHT, CHARACTER_WIDTH, PADDING = 15, 7.3, 9
"""Height of a line of text, width of a character, and space around the text in a box."""

SWEEPS = 4
"""How often all layers are put in order, forwards and backwards."""

ARROW = 6
"""Length of the head of an arrow."""


@dataclass(eq=False, repr=False)
class Place:
    """A place in a layer: that of a box, or that of an arrow that passes.

    Attributes:
        layer: number of the layer, from the left.
        text: lines of the box; none where an arrow passes.
        before: places in the layer before that are joined to this one.
        after: places in the layer after.
        rank: number of the row in the layer.
    """

    layer: int
    text: Sequence[str]
    before: list[Place]
    after: list[Place]
    rank: float = 0.0

    @property
    def width(self) -> float:
        """Width of the box."""
        return max(map(len, self.text)) * CHARACTER_WIDTH + 2 * PADDING if self.text else 0.0


def graph_svg(title: str, texts: Sequence[Sequence[str]], parents: Sequence[Sequence[int]]) -> str:
    """Return the picture of a graph as an SVG document, readable on a light and on a dark page.

    Args:
        title: what it shows.
        texts: the lines in each box.
        parents: for each box the indices of those that point to it, each smaller than its own.
    """
    layers = _layers(_places(texts, parents))
    _order(layers)
    lefts, x = [], float(MARGIN)
    for layer in layers:
        lefts.append(x)
        x += max(place.width for place in layer) + GAP
    rows = max(map(len, layers))
    width, height = x - GAP + MARGIN, rows * ROW_HEIGHT + 2 * MARGIN
    paths, heads, boxes = [], [], []
    for layer, left in zip(layers, lefts, strict=True):
        widest = max(place.width for place in layer)
        for place in layer:
            y = height / 2 + place.rank * ROW_HEIGHT
            right = left + widest
            paths.append(f"M{left + place.width:g} {y:g}H{right:g}" if place.after else "")
            if place.text:
                boxes.append(_box(place, left, y))
            for target in place.after:
                to_x, to_y = lefts[target.layer], height / 2 + target.rank * ROW_HEIGHT
                half = (right + to_x) / 2
                paths.append(f"M{right:g} {y:g}C{half:g} {y:g} {half:g} {to_y:g} {to_x:g} {to_y:g}")
                if target.text:
                    heads.append(f"M{to_x:g} {to_y:g}l-{ARROW} -{ARROW / 2:g}v{ARROW}z")
    description = ". ".join("; ".join(text) for text in texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" font-family="monospace" font-size="12">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n<style>{_dark_style()}</style>\n"
        f'<rect class="ground" fill="{LIGHT["surface"]}" width="100%" height="100%"/>\n'
        f'<path class="arrows" fill="none" stroke="{LIGHT["muted"]}" d="{"".join(paths)}"/>\n'
        f'<path class="heads" fill="{LIGHT["muted"]}" d="{"".join(heads)}"/>\n'
        f"{''.join(boxes)}</svg>\n"
    )


def _places(texts: Sequence[Sequence[str]], parents: Sequence[Sequence[int]]) -> list[Place]:
    """Return the places of all boxes and of all arrows that pass a layer, joined to each other."""
    boxes: list[Place] = []
    for text, above in zip(texts, parents, strict=True):
        boxes.append(Place(1 + max((boxes[i].layer for i in above), default=-1), text, [], []))
    children: list[list[int]] = [[] for _ in boxes]
    for i, above in enumerate(parents):
        for parent in dict.fromkeys(above):
            children[parent].append(i)
    for box, above, below in zip(boxes, parents, children, strict=True):
        if not above and below:  # what is not computed stands right before its first use
            box.layer = min(boxes[i].layer for i in below) - 1
    places = list(boxes)
    for box, below in zip(boxes, children, strict=True):
        ways = {box.layer: box}
        for child in sorted((boxes[i] for i in below), key=lambda child: child.layer):
            for layer in range(max(ways) + 1, child.layer):
                ways[layer] = Place(layer, (), [], [])
                _join(ways[layer - 1], ways[layer])
                places.append(ways[layer])
            _join(ways[child.layer - 1], child)
    return places


def _join(before: Place, after: Place) -> None:
    before.after.append(after)
    after.before.append(before)


def _layers(places: Sequence[Place]) -> list[list[Place]]:
    layers: list[list[Place]] = [[] for _ in range(1 + max(place.layer for place in places))]
    for place in places:
        layers[place.layer].append(place)
    return layers


def _order(layers: list[list[Place]]) -> None:
    """Put each layer in an order in which few arrows cross."""
    for layer in layers:
        _number(layer)
    for _ in range(SWEEPS):
        for layer in layers:
            layer.sort(key=lambda place: _barycenter(place, place.before))
            _number(layer)
        for layer in reversed(layers):
            layer.sort(key=lambda place: _barycenter(place, place.after))
            _number(layer)


def _number(layer: Sequence[Place]) -> None:
    """Set the rank of each place: the middle of the layer is 0."""
    for i, place in enumerate(layer):
        place.rank = i - (len(layer) - 1) / 2


def _barycenter(place: Place, joined: Sequence[Place]) -> float:
    return sum(each.rank for each in joined) / len(joined) if joined else place.rank


def _box(place: Place, left: float, y: float) -> str:
    """Return the SVG of a box with its text."""
    tall = len(place.text) * LINE_HEIGHT + PADDING
    lines = [
        f'<text x="{left + PADDING:g}" y="{y - tall / 2 + PADDING / 2 + 11 + i * LINE_HEIGHT:g}">'
        f"{escape(line)}</text>"
        for i, line in enumerate(place.text)
    ]
    return (
        f'<g fill="{LIGHT["text"]}"><rect fill="{LIGHT["ground"]}" stroke="{LIGHT["accent"]}" rx="5" '
        f'x="{left:g}" y="{y - tall / 2:g}" width="{place.width:g}" height="{tall:g}"/>{"".join(lines)}</g>\n'
    )


def _dark_style() -> str:
    """Return a style sheet with dark colors, for users who prefer them."""
    return (
        "@media (prefers-color-scheme: dark) { "
        f".ground {{ fill: {DARK['surface']} }} .arrows {{ stroke: {DARK['muted']} }} "
        f".heads {{ fill: {DARK['muted']} }} text {{ fill: {DARK['text']} }} "
        f"g rect {{ fill: {DARK['ground']}; stroke: {DARK['accent']} }} }}"
    )
