"""What the README shows is what happens, and what it links to is there. test_docs.py runs its prompts."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import draw_classes

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST = 200
"""Most lines of the README: the rest is in docs/."""


def test_it_is_short() -> None:
    assert README.count("\n") <= LONGEST


@pytest.mark.parametrize("mark", ["run", "tests"])
def test_each_command_is_one_line(mark: str) -> None:
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.*)\n```\n<!-- /{mark} -->", README)
    assert found, f"no single line between the marks of {mark}"
    assert found[1].startswith("python3 ")


def test_its_links_lead_to_files() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("https://")]
    assert len(links) > 10
    assert not [link for link in links if not (ROOT / link.partition("#")[0]).exists()]


def test_its_python_runs(tmp_path: Path) -> None:
    """As a script, in a folder with pictures under the names that it uses."""
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) <= 12
    draw_classes(tmp_path / "clothing" / "validation", 10)
    draw_classes(tmp_path / "clothing" / "test", 2, seed=1)
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("clothing/test/")]
    assert len(rows) == 6


def test_every_command_is_in_the_table() -> None:
    from xpnet.pipelines.cli.reference import command_reference

    named = set(re.findall(r"`xpnet (\w+)", README))
    assert {command.name for command in command_reference()} <= named
