"""Make the README's picture of a terminal: the commands of the demo, with what they really print.

    python scripts/terminal_picture.py [docs/terminal.svg]

The picture is an SVG file that loads nothing from elsewhere, not even a font.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

COMMANDS = ("train", "evaluate", "predict", "cat")
"""The parts of the demo that the picture shows."""

COLUMNS = 108
"""Characters in a line of the terminal."""

FONT_FACES = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""The parts of rich's picture that load fonts from the network."""


def main(output: Path) -> None:
    """Run the demo, and draw the output of some of its commands."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "xpnet", "demo", "demo"]
        environment = {**os.environ, "XPNET_DEVICE": "cpu"}
        done = subprocess.run(  # noqa: S603
            command, check=True, cwd=folder, env=environment, capture_output=True, text=True
        )
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in chosen_lines(done.stdout):
        style = "bold green" if line.startswith("$") else "cyan" if line.startswith("#") else ""
        console.print(Text(line, style), overflow="crop", no_wrap=True)
    picture = FONT_FACES.sub("", console.export_svg(title="xpnet demo", unique_id="terminal"))
    if re.search(r"(?:href=|url\()[\"']?https?:", picture):
        sys.exit("the picture loads something from elsewhere")
    output.write_text(re.sub(r"[ \t]+\n", "\n", picture), encoding="utf-8")
    print(f"{output}: {picture.count('<text')} lines, {output.stat().st_size / 1000:.0f} kB")


def chosen_lines(printed: str) -> list[str]:
    """Return the parts of the demo's output that show `COMMANDS`, each with the comment above it."""
    parts = re.split(r"\n(?=# .*\n\$ |\$ )", printed)
    kept = [
        part.rstrip()
        for part in parts
        if re.search(rf"^\$ (?:xpnet )?({'|'.join(COMMANDS)}) ", part, re.MULTILINE)
    ]
    return "\n\n".join(kept).splitlines()


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["docs/terminal.svg"]))
