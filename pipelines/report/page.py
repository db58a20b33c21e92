"""Render the page: one HTML file that contains all it needs and requests nothing."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import os
from importlib.util import find_spec
from typing import Any

from xpnet.charts import css_variables
from xpnet.errors import UsageError

from ..outputs import finite

TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")
"""The folder of the templates, the style sheet and the script."""


def require_jinja() -> None:
    """Raise `UsageError` if Jinja2, which renders the page, is not installed."""
    if find_spec("jinja2") is None:
        msg = "the report needs Jinja2, which is not installed: pip install 'xpnet[report]'"
        raise UsageError(msg)


def render(sections: dict[str, Any]) -> str:
    """Return the page as HTML.

    Args:
        sections: what the templates show, by name; None for a section that the page does not have.
    """
    from markupsafe import Markup

    style, script = css_variables() + _file_text("report.css"), _file_text("report.js")
    page: str = _page().render(
        **sections,
        style=Markup(style),  # noqa: S704  (our own files)
        script=Markup(script),  # noqa: S704
        policy=content_security_policy(style, script),
    )
    return page


@functools.cache
def _page() -> Any:
    """Return the template. A process compiles it once: that takes longer than to render a page."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # names and reasons are data, never HTML
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "json": lambda data: Markup(to_json(data))}  # noqa: S704
    return environment.get_template("page.html.j2")


def content_security_policy(style: str, script: str) -> str:
    """Return a policy that allows this style sheet, this script and embedded images, and no requests."""
    allowed = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{_digest(style)}'",
        "script-src": f"'sha256-{_digest(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def to_json(data: Any) -> str:
    """Return data as JSON that can be the content of a script element, whatever text it contains."""
    text = json.dumps(finite(data), separators=(",", ":"))
    # In JSON these characters occur in strings only. json.dumps escapes all characters that are not ASCII.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number(value: Any, digits: int = 5) -> str:
    """Return a number as the page shows it, None and numbers that are not finite as a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "-"


def _file_text(name: str) -> str:
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return file.read()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
