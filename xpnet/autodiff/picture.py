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

LINE_HEIGHT, ASCENT, CHARACTER_WIDTH, PADDING = 15, 11, 7.3, 9
"""Height of a line of text and its part above the baseline, width of a character, space around the text."""

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
        rank: number of the row in the layer; the middle of the layer is 0.
        left: left edge of the layer.
        right: right edge of the layer.
        y: the middle of the place.
    """

    layer: int
    text: Sequence[str]
    before: list[Place]
    after: list[Place]
    rank: float = 0.0
    left: float = 0.0
    right: float = 0.0
    y: float = 0.0

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
    width, height = _position(layers)
    places = [place for layer in layers for place in layer]
    joined = [(place, target) for place in places for target in place.after]
    arrows = "".join([*(_way(place) for place in places), *(_curve(*pair) for pair in joined)])
    heads = "".join(_head(target) for _, target in joined if target.text)
    description = ". ".join("; ".join(text) for text in texts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" font-family="monospace" font-size="12">\n'
        f"<title>{escape(title)}</title>\n<desc>{escape(description)}</desc>\n<style>{_dark_style()}</style>\n"
        f'<rect class="ground" fill="{LIGHT["surface"]}" width="100%" height="100%"/>\n'
        f'<path class="arrows" fill="none" stroke="{LIGHT["muted"]}" d="{arrows}"/>\n'
        f'<path class="heads" fill="{LIGHT["muted"]}" d="{heads}"/>\n'
        f"{''.join(_box(place) for place in places if place.text)}</svg>\n"
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


def _position(layers: Sequence[Sequence[Place]]) -> tuple[float, float]:
    """Set where each place is, and return width and height of the picture."""
    x, height = float(MARGIN), max(map(len, layers)) * ROW_HEIGHT + 2 * MARGIN
    for layer in layers:
        right = x + max(place.width for place in layer)
        for place in layer:
            place.left, place.right, place.y = x, right, height / 2 + place.rank * ROW_HEIGHT
        x = right + GAP
    return x - GAP + MARGIN, height


def _way(place: Place) -> str:
    """Return the level part of an arrow: from a box to the right edge of its layer, or across the layer."""
    return f"M{place.left + place.width:g} {place.y:g}H{place.right:g}" if place.after else ""


def _curve(place: Place, target: Place) -> str:
    """Return the part of an arrow between two layers."""
    x, half, to_x = place.right, (place.right + target.left) / 2, target.left
    return f"M{x:g} {place.y:g}C{half:g} {place.y:g} {half:g} {target.y:g} {to_x:g} {target.y:g}"


def _head(target: Place) -> str:
    return f"M{target.left:g} {target.y:g}l-{ARROW} -{ARROW / 2:g}v{ARROW}z"


def _box(place: Place) -> str:
    """Return the SVG of a box with its text."""
    tall = len(place.text) * LINE_HEIGHT + PADDING
    top, left = place.y - tall / 2, place.left
    baselines = [top + PADDING / 2 + ASCENT + i * LINE_HEIGHT for i in range(len(place.text))]
    lines = [
        f'<text x="{left + PADDING:g}" y="{y:g}">{escape(line)}</text>'
        for y, line in zip(baselines, place.text, strict=True)
    ]
    return (
        f'<g fill="{LIGHT["text"]}"><rect fill="{LIGHT["ground"]}" stroke="{LIGHT["accent"]}" rx="5" '
        f'x="{left:g}" y="{top:g}" width="{place.width:g}" height="{tall:g}"/>{"".join(lines)}</g>\n'
    )


def _dark_style() -> str:
    """Return a style sheet with dark colors, for users who prefer them."""
    return (
        "@media (prefers-color-scheme: dark) { "
        f".ground {{ fill: {DARK['surface']} }} .arrows {{ stroke: {DARK['muted']} }} "
        f".heads {{ fill: {DARK['muted']} }} text {{ fill: {DARK['text']} }} "
        f"g rect {{ fill: {DARK['ground']}; stroke: {DARK['accent']} }} }}"
    )
