"""What the documentation shows is what happens, and it names all that there is."""

import ast
import doctest
import importlib
import itertools
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
ARCHITECTURE = DOCS / "architecture.md"

sys.path.insert(0, str(DOCS / "_ext"))
import picture  # noqa: E402
import references  # noqa: E402  (from docs/_ext)

sys.path.pop(0)


@pytest.mark.parametrize(
    "path",
    [path for path in (ROOT / "README.md", *PAGES) if ">>>" in path.read_text(encoding="utf-8")],
    ids=lambda path: path.name,
)
def test_every_line_with_a_prompt_runs(path: Path) -> None:
    if "xpnet.sklearn" in path.read_text(encoding="utf-8"):
        pytest.importorskip("sklearn")
    blocks = re.findall(r"```pycon\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    assert sum(block.count(">>> ") for block in blocks) == path.read_text(encoding="utf-8").count(">>> ")
    test = doctest.DocTestParser().get_doctest("\n".join(blocks), {}, path.name, str(path), 0)
    failures: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=failures.append)
    assert not result.failed, "".join(failures)


def test_the_tutorial_is_among_them() -> None:
    assert (DOCS / "tutorial.md").read_text(encoding="utf-8").count(">>> ") > 40


# The reference of the commands.


def options_of_the_program() -> dict[str, set[str]]:
    """Return the flags of each command, as the program itself knows them."""
    from xpnet.pipelines.cli.app import app

    return {
        name: {
            flag
            for parameter in command.params
            if parameter.param_type_name == "option" and not parameter.hidden
            for flag in parameter.opts
        }
        for name, command in app.commands.items()
    }


def test_each_command_and_option_is_in_the_reference() -> None:
    parts = re.split(r"^## xpnet (\S+)$", references.commands_page(), flags=re.MULTILINE)
    documented = dict(zip(parts[1::2], parts[2::2], strict=True))
    wanted = options_of_the_program()
    assert set(documented) == set(wanted)
    for command, flags in wanted.items():
        directives = re.findall(r"^\.\. option:: (.*)$", documented[command], re.MULTILINE)
        assert {part.split(" ")[0] for line in directives for part in line.split(", ")} == flags


def test_each_option_has_a_help_text() -> None:
    from xpnet.pipelines.cli.reference import command_reference

    silent = [
        (command.name, option.names)
        for command in command_reference()
        for option in command.options
        if not option.help
    ]
    assert not silent


# The reference of the Python API.


@pytest.mark.parametrize("package", references.PACKAGES)
def test_each_public_name_is_in_the_reference(package: str) -> None:
    if package == "xpnet.sklearn":
        pytest.importorskip("sklearn")
    module = importlib.import_module(package)
    entries = {entry.name: entry for entry in references.entries(package)}
    if hasattr(module, "__all__"):
        assert {name.removeprefix(f"{package}.") for name in entries} == set(module.__all__)
    assert entries
    for entry in entries.values():
        assert entry.summary, f"{entry.name} has no docstring"
        if entry.kind != "module":
            home = next(each for each in references.PACKAGES if entry.home.rpartition(".")[0] == each)
            assert entry.home in {each.name for each in references.entries(home)}


def test_each_package_of_the_reference_has_a_page() -> None:
    folder = DOCS / "reference" / "api"
    texts = [path.read_text(encoding="utf-8") for path in folder.glob("*.md")]
    assert {re.search(r"\{package\} (\S+)", text)[1] for text in texts} == set(references.PACKAGES)  # type: ignore[index]


# Architecture.


def packages() -> set[str]:
    """Return the folders with Python files in xpnet/ and pipelines/, and the modules that stand beside them."""
    found = set()
    for folder in (ROOT / "xpnet", ROOT / "pipelines"):
        for path in folder.iterdir():
            if path.is_symlink() or path.name in ("__init__.py", "__main__.py", "__pycache__"):
                continue
            if path.is_dir() and (path / "__init__.py").exists():
                found.add(f"{folder.name}/{path.name}/")
            elif path.suffix == ".py":
                found.add(f"{folder.name}/{path.name}")
    return found


def test_each_package_is_described() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `((?:xpnet|pipelines)/[^`]+)` \|", text, re.MULTILINE)) == packages()


def test_each_package_is_in_the_picture() -> None:
    assert set(picture.rules()) - set(picture.EVERYWHERE) == set(picture.PLACES)
    drawn = picture.svg()
    assert drawn.count("<rect ") == len(picture.PLACES)
    assert drawn.count("<path ") == len(picture.arrows())


def test_no_box_of_the_picture_lies_on_another() -> None:
    for (column, row), (other, other_row) in itertools.combinations(picture.PLACES.values(), 2):
        assert row != other_row or abs(column - other) * picture.COLUMN > picture.WIDTH


def names_defined_in(path: Path) -> set[str]:
    """Return functions, classes and methods (`Class.method`) of a Python file, or the functions of a CUDA file."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".cu":
        return set(re.findall(r"\b(\w+)\(", source))
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return found


def test_the_walks_lead_through_functions_that_exist() -> None:
    """Each row of a walk names a file and, behind it, functions of that file."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    walks = re.findall(r"^## Walk: .*?(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert len(walks) == 2
    for walk in walks:
        rows = re.findall(r"^\| \d+ \| `([^`]+)` \| (.*?) \|", walk, re.MULTILINE)
        assert 3 <= len(rows) <= 5
        for name, functions in rows:
            defined = names_defined_in(ROOT / name)
            named = set(re.findall(r"`([^`]+)`", functions))
            assert named, f"{name} is in a walk without a function"
            assert named <= defined, f"{name} has no {sorted(named - defined)}"


# The site, where `nox -s docs` has built it.


@pytest.fixture(scope="module")
def site() -> Path:
    folder = os.environ.get("XPNET_SITE")
    if not folder:
        pytest.skip("nox -s docs builds the site")
    return Path(folder)


class Resources(HTMLParser):
    """Collects what a browser loads by itself when it opens a page, and the anchors of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag != "a":  # a link is followed only when someone clicks on it
            self.loaded += [
                given[name] for name in ("src", "srcset", "href", "data", "poster") if name in given
            ]


def read_page(path: Path) -> Resources:
    parser = Resources()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def is_external(address: str) -> bool:
    return re.match(r"\s*(https?:)?//", address, re.IGNORECASE) is not None


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    found = sorted(site.rglob("*.html"))
    assert len(found) > 20
    for path in found:
        external = [address for address in read_page(path).loaded if is_external(address)]
        assert not external, f"{path.name} loads {external}"
    for path in site.rglob("*.css"):
        addresses = re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")]+)", path.read_text(encoding="utf-8"))
        assert not [address for address in addresses if is_external(address)], path.name


def test_the_site_shows_what_the_notebooks_compute(site: Path) -> None:
    text = (site / "notebooks" / "planar_network.html").read_text(encoding="utf-8")
    assert "Cost after iteration 7000: 0.217504" in text
    assert len(re.findall(r'<img [^>]*src="\.\./_images/\w+\.svg"', text)) == 5
    table = (site / "notebooks" / "vectorization.html").read_text(encoding="utf-8")
    assert "<bdi>matrix-vector product</bdi>" in table


def test_the_site_has_an_anchor_for_each_option(site: Path) -> None:
    anchors = read_page(site / "reference" / "commands.html").anchors
    for command, flags in options_of_the_program().items():
        assert {f"cmdoption-xpnet-{command}-{flag.lstrip('-')}" for flag in flags} <= {
            re.sub(r"^(cmdoption-xpnet-\w+)--?", r"\1-", anchor) for anchor in anchors
        }


def test_the_manual_page_has_each_option(site: Path) -> None:
    page = (site.parent / "man" / "xpnet.1").read_text(encoding="utf-8").replace("\\-", "-")
    sections = {
        title.lower(): text
        for title, text in re.findall(r"^\.SH (.+)\n((?:(?!\.SH).*\n)*)", page, re.MULTILINE)
    }
    for command, flags in options_of_the_program().items():
        section = sections[f"xpnet {command}"]
        assert not [flag for flag in flags if not re.search(rf"^\.B .*{flag}\b", section, re.MULTILINE)], (
            command
        )
    assert "interrupted" in sections["exit codes"]


def test_the_site_has_an_anchor_for_each_public_name(site: Path) -> None:
    anchors = set().union(*(read_page(path).anchors for path in (site / "reference" / "api").glob("*.html")))
    wanted = {
        entry.home
        for package in references.PACKAGES
        for entry in references.entries(package)
        if entry.kind != "module"
    }
    assert wanted <= anchors
