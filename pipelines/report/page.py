"""Render the page: one file that needs nothing else, and may ask for nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from importlib.util import find_spec
from typing import Any

from xpnet.errors import UsageError

from ..outputs import finite

TEMPLATES = os.path.join(os.path.dirname(__file__), "templates")


def require_jinja() -> None:
    """Raise `UsageError` if what renders the page is not installed."""
    if find_spec("jinja2") is None:
        msg = "the report is made by Jinja2, which is missing: pip install 'xpnet[report]'"
        raise UsageError(msg)


def render(parts: dict[str, Any]) -> str:
    """Return the page, HTML. parts: what it shows, by name; None for what there is no source of."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,  # names and reasons are data
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "share": share, "embedded": lambda data: Markup(embedded(data))}  # noqa: S704
    style, script = (_text(name) for name in ("report.css", "report.js"))
    return environment.get_template("page.html.j2").render(
        **parts,
        style=Markup(style),  # noqa: S704  (our own files)
        script=Markup(script),  # noqa: S704
        policy=policy(style, script),
    )


def policy(style: str, script: str) -> str:
    """Return a content security policy: this style, this script, no requests."""
    allowed = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": f"'sha256-{_digest(style)}'",
        "script-src": f"'sha256-{_digest(script)}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in allowed.items())


def embedded(data: Any) -> str:
    """Return data as JSON that can stand within a script element, whatever its texts are."""
    text = json.dumps(finite(data), separators=(",", ":"))
    # In JSON these occur in texts only; JavaScript's line ends and all else beyond ASCII are escapes already.
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def number(value: Any, digits: int = 5) -> str:
    """Return a number as a page shows it; what is none as a dash."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %" if math.isfinite(value) else "-"


def _text(name: str) -> str:
    with open(os.path.join(TEMPLATES, name), encoding="utf-8") as file:
        return file.read()


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
