"""The colors of pages, plots and drawings, on a light and on a dark background."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LIGHT = {
    "ground": "#fafaf8", "surface": "#ffffff", "text": "#1c2026", "muted": "#565e69", "line": "#dfe2e6",
    "accent": "#0b5cad", "heat": "#4f93d2", "wrong": "#a8390a", "right": "#0a6b4a", "notice": "#fdf4dc",
    "c0": "#0072b2", "c1": "#c24e00", "c2": "#007a57", "c3": "#a2497f", "c4": "#80650a", "c5": "#4a56b8",
}  # fmt: skip
"""Colors on a light background, by their use. `c0` to `c5` are those of the series of a chart.

The colors of the series can be told apart by the color-blind (after Okabe and Ito, 2008).
"""

DARK = {
    "ground": "#111418", "surface": "#1a1e24", "text": "#e8ebef", "muted": "#a7b0bc", "line": "#323943",
    "accent": "#78b7ff", "heat": "#2c6fb5", "wrong": "#ff9d70", "right": "#5fd0a0", "notice": "#332c17",
    "c0": "#56b4e9", "c1": "#f0934a", "c2": "#35c495", "c3": "#e29cc6", "c4": "#e0c04f", "c5": "#a3afff",
}  # fmt: skip
"""Colors on a dark background, by the same names."""

SERIES_COLORS = 6
"""Number of colors for series, `c0` to `c5`."""


def css_variables() -> str:
    """Return the style sheet that defines the colors as variables, such as `--text`."""
    return (
        f":root {{ color-scheme: light dark; {_declarations(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_declarations(DARK)} }} }}\n"
    )


def _declarations(colors: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {color};" for name, color in colors.items())
