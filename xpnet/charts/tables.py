"""Tables as HTML for notebooks. They have no colors of their own, so they are readable on any background."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def html_table(head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "") -> str:
    """Return a table as HTML. All text in it is escaped.

    Args:
        head: the headings of the columns.
        rows: rows as long as the head. Their first cell names them. None is shown as "-".
        caption: what the table shows.
    """
    headings = "".join(f'<th scope="col">{_text(name)}</th>' if name else "<td></td>" for name in head)
    lines = [
        f'<tr><th scope="row">{_text(name)}</th>{"".join(f"<td>{_text(cell)}</td>" for cell in cells)}</tr>\n'
        for name, *cells in rows
    ]
    return (
        '<table style="border-collapse: separate; border-spacing: 1em 0.2em; text-align: right">\n'
        f"{f'<caption>{_text(caption)}</caption>' if caption else ''}"
        f"<thead><tr>{headings}</tr></thead>\n<tbody>\n{''.join(lines)}</tbody>\n</table>\n"
    )


def _text(value: Any) -> str:
    """Return a value as HTML. A name from a file system may hold bytes that are no characters: escaped."""
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    # bdi: a name that is written from right to left does not turn its neighbors around.
    return f"<bdi>{escape(text.encode('utf-8', 'backslashreplace').decode())}</bdi>"
