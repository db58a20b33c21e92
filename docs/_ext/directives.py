"""Directives of the documentation site: the reference pages that `references` makes."""

from typing import Any

import picture
import references
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Package(SphinxDirective):
    """The API reference of one package: `{package} xpnet.nn`."""

    required_arguments = 1

    def run(self) -> list[Any]:
        """Return the nodes of the page."""
        page = references.package_page(self.arguments[0])
        return self.parse_text_to_nodes(page, allow_section_headings=True)


class Commands(SphinxDirective):
    """The reference of all commands: `{commands}`."""

    def run(self) -> list[Any]:
        """Return the nodes of the page."""
        return self.parse_text_to_nodes(references.commands_page(), allow_section_headings=True)


class Packages(SphinxDirective):
    """The picture of the packages: `{packages}`."""

    def run(self) -> list[Any]:
        """Return the picture, as part of the page."""
        return [nodes.raw("", f"<figure>{picture.svg()}</figure>", format="html")]


def _plain(*arguments: Any) -> None:
    """Change a docstring so that reStructuredText shows its characters as they are, and its examples as code.

    arguments: what Sphinx passes for `autodoc-process-docstring`. The lines are changed in place.
    """
    _app, what, _name, _value, _options, lines = arguments
    changed: list[str] = []
    example = False
    for line in lines:
        indented = line.startswith("    ")
        if (
            indented and changed and not changed[-1] and not example
        ):  # sections such as Args have no empty line
            changed += ["::", ""]
            example = True
        elif line and not indented:
            example = False
        changed.append(line if example else references.escaped(line))
    if what in ("property", "attribute", "data"):
        changed.insert(0, "")  # or napoleon takes what stands before a colon for a type
    lines[:] = changed


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("package", Package)
    app.add_directive("commands", Commands)
    app.add_directive("packages", Packages)
    app.connect("autodoc-process-docstring", _plain, priority=400)  # before napoleon
    return {"parallel_read_safe": True}
