"""The picture of the packages: a box for each, and a line to each package that it imports, drawn as SVG."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

PLACES = {
    "": (1.6, 0),
    "pipelines.cli": (2.1, 1),
    "pipelines.report": (3.06, 2),
    "pipelines.training": (2.6, 3),
    "pipelines.predictions": (3.52, 3),
    "pipelines.models": (3.06, 4),
    "pipelines.datasets": (3.06, 5),
    "pipelines.images": (4.0, 6),
    "pipelines.outputs": (3.55, 7),
    "pipelines.messages": (4.45, 7),
    "pipelines.cache_folder": (4.45, 8),
    "course": (0.5, 6),
    "bench": (2.58, 7),
    "training": (0.5, 7),
    "linear": (0, 8),
    "io": (1, 8),
    "features": (2.1, 8),
    "nn": (0.5, 9),
    "testing": (1.6, 9),
    "functional": (0, 10),
    "data": (1, 10),
    "autodiff": (0, 11),
    "backend": (1, 11),
    "kernels": (0.5, 12),
    "sklearn": (1.05, 5),
    "metrics": (2.3, 12),
    "charts": (1.4, 12),
    "arrays": (0.5, 13),
}
"""Where the middle of each box is, in columns from the left and rows from the top."""

EVERYWHERE = ("errors", "lazy", "version", "processors", "shared_context", "pipelines", "__main__")
"""Not drawn: what everyone may import, and two files without content of their own."""

COLUMN, ROW, WIDTH, HEIGHT = 128, 62, 112, 30
"""Distances between columns and between rows, and the size of a box, in pixels."""


def rules() -> dict[str, set[str]]:
    """Return which packages each package may import directly: the table that the layering test checks."""
    tree = ast.parse((ROOT / "tests" / "test_layers.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "MAY_IMPORT":
            return {name: set(below.split()) for name, below in ast.literal_eval(statement.value).items()}
    msg = "tests/test_layers.py has no table MAY_IMPORT"
    raise LookupError(msg)


def arrows() -> set[tuple[str, str]]:
    """Return the lines of the picture: (package, package below), without those that another path implies."""
    table = rules()

    def reach(name: str) -> set[str]:
        return table[name].union(*(reach(each) for each in table[name]))

    return {
        (name, below)
        for name in PLACES
        for below in table[name]
        if below in PLACES and not any(below in reach(other) for other in table[name] - {below})
    }


def svg() -> str:
    """Return the picture as SVG, in the colors of the page."""
    right = max(column for column, _ in PLACES.values())
    bottom = max(row for _, row in PLACES.values())
    width, height = (right + 1) * COLUMN + 8, bottom * ROW + HEIGHT + 8
    shapes = []
    for name, below in sorted(arrows()):
        (x1, y1), (x2, y2) = _middle(name), _middle(below)
        y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2
        last = y2 - (ROW - HEIGHT)  # straight down to the row above, then over to the box
        bend = (last + y2) / 2
        shapes.append(f'<path d="M{x1:g} {y1:g}V{last:g}C{x1:g} {bend:g} {x2:g} {bend:g} {x2:g} {y2:g}"/>')
    boxes = []
    for name in PLACES:
        x, y = _middle(name)
        kind = "pipelines" if name.startswith("pipelines") else "numbers"
        text = name.removeprefix("pipelines.") or "import xpnet"
        boxes.append(
            f'<g class="{kind}"><rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" '
            f'width="{WIDTH}" height="{HEIGHT}" rx="6"/><text x="{x:g}" y="{y + 5:g}">{text}</text></g>'
        )
    return (
        f'<svg class="packages" role="img" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        'aria-label="The packages, and which imports which; the tables below say the same in words">'
        f"<style>{STYLE}</style>{''.join(shapes)}{''.join(boxes)}</svg>"
    )


def _middle(name: str) -> tuple[float, float]:
    column, row = PLACES[name]
    return (column + 0.5) * COLUMN + 4, row * ROW + HEIGHT / 2 + 4


STYLE = """
.packages { max-width: 100%; height: auto; }
.packages path { fill: none; stroke: var(--color-foreground-muted, #777); stroke-width: 1.2; }
.packages rect { fill: var(--color-background-secondary, #f8f8f8); stroke: #2962ff; stroke-width: 1.4; }
.packages .pipelines rect { stroke: #c2410c; }
.packages text { fill: var(--color-foreground-primary, #000); font: 14px sans-serif; text-anchor: middle; }
"""
