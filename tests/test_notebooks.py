"""The notebooks are valid, without outputs, and linked. `nox -s docs` executes them."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
INDEX = (FOLDER / "index.md").read_text(encoding="utf-8")
ORDER = re.findall(r"^(\w+)$", INDEX.rpartition("```{toctree}")[2], re.MULTILINE)


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> Any:
    return json.loads(request.param.read_text(encoding="utf-8"))


def code(notebook: Any) -> list[str]:
    """Return the source of each code cell."""
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_five() -> None:
    assert len(PATHS) == len(ORDER) == 5


def test_it_is_a_notebook(notebook: Any) -> None:
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert {cell["cell_type"] for cell in notebook["cells"]} == {"code", "markdown"}
    assert notebook["cells"][0]["source"][0].startswith("# ")


def test_it_fits_the_schema_of_notebooks(notebook: Any) -> None:
    pytest.importorskip("nbformat", reason="nbformat, of the group docs, is not installed").validate(notebook)


def test_it_is_kept_without_outputs(notebook: Any) -> None:
    """Outputs in git would grow it with each run, and could show what is no longer true."""
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_its_cells_are_short_python_that_checks_itself(notebook: Any) -> None:
    trees = [ast.parse(source) for source in code(notebook)]
    assert sum(isinstance(node, ast.Assert) for tree in trees for node in ast.walk(tree)) >= 4
    assert max(source.count("\n") for source in code(notebook)) < 30


def test_its_imports_come_with_xpnet(notebook: Any) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse("\n".join(code(notebook))))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= {"h5py", "math", "numpy", "pathlib", "subprocess", "sys", "time", "xpnet"}


def test_each_is_listed_and_can_be_downloaded() -> None:
    names = {path.stem for path in PATHS}
    assert set(ORDER) == names
    assert set(re.findall(r"\]\((\w+)\.ipynb\)", INDEX)) == names
    assert set(re.findall(r"\{download\}`(\w+)\.ipynb`", INDEX)) == names


def test_each_leads_to_the_next() -> None:
    for name, following in zip(ORDER, [*ORDER[1:], None], strict=True):
        text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
        assert re.findall(r"Next: \[[^]]+\]\((\w+)\.ipynb\)", text) == ([following] if following else [])


@pytest.mark.parametrize("page", ["index.md", "tutorial.md"])
def test_the_site_leads_to_them(page: str) -> None:
    assert "(notebooks/index.md)" in (FOLDER.parent / page).read_text(encoding="utf-8")


def test_both_notebooks_of_cats_compare_with_the_numbers_of_the_course() -> None:
    wanted = {
        "logistic_regression": ["0.140872", "0.9904306220095694", "0.70"],
        "deep_network": ["0.985645933014"],
    }
    for name, numbers in wanted.items():
        text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
        assert not [number for number in numbers if number not in text]
