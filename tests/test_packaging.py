"""What the package says of itself agrees: extras, versions of Python, the citation."""

import ast
import re
import tomllib
from pathlib import Path

import release_check

import xpnet

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def test_all_is_every_extra_that_needs_no_gpu() -> None:
    (named,) = EXTRAS["all"]
    wanted = sorted(name for name in EXTRAS if name != "all" and "cuda" not in name)
    assert named == f"xpnet[{','.join(wanted)}]"


def test_the_guide_to_installation_has_a_row_for_each_extra() -> None:
    guide = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    table = guide.partition("| extra |")[2].partition("\n\n")[0]
    rows = [re.findall(r"`([\w-]+)`", line.split("|")[1]) for line in table.splitlines()[2:]]
    assert sorted(name for row in rows for name in row) == sorted(EXTRAS)


def test_the_classifiers_name_each_python_that_nox_tests() -> None:
    nox_sessions = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    (tested,) = (
        ast.literal_eval(statement.value)
        for statement in nox_sessions.body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "PYTHONS"
    )
    prefix = "Programming Language :: Python :: "
    named = [each.removeprefix(prefix) for each in PROJECT["classifiers"] if each.startswith(prefix)]
    assert named == tested
    assert PROJECT["requires-python"] == f">={tested[0]}"


def test_the_citation_names_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {xpnet.__version__}\n" in citation
    assert release_check.version_of(ROOT) == xpnet.__version__
