"""What the README shows is what happens; what it lists is what there is."""

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_line_of_the_tour_runs() -> None:
    blocks = re.findall(r"```pycon\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 5
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, "README.md", "README.md", 0)
    failures: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=failures.append)
    assert not result.failed, "".join(failures)


@pytest.mark.parametrize("folder", ["xpnet", "pipelines"])
def test_every_module_has_its_line(folder: str) -> None:
    listed = set(re.findall(rf"^\| `({folder}/[^`]+)` \|", README, re.MULTILINE))
    sources = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".c", ".h", ".cu")]
    files = {path.relative_to(ROOT).as_posix() for path in sources}
    # A package's __init__ that only gathers names needs no line of its own.
    gathering = {name for name in files if name.endswith("__init__.py")} - listed
    assert listed == files - gathering


@pytest.mark.parametrize("mark", ["run", "tests"])
def test_each_command_is_one_line(mark: str) -> None:
    found = re.search(rf"<!-- {mark} -->\n```sh\n(.*)\n```\n<!-- /{mark} -->", README)
    assert found, f"no single line between the marks of {mark}"
    assert found[1].startswith("python3 ")
