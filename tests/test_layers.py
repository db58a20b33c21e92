"""The rules between the packages, read from the source: who imports whom, and which library is used where.

Every import counts: also one inside a function, and one for the type checker alone.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import xpnet

ROOT = Path(xpnet.__file__).parent.parent
SOURCES = {"xpnet": ROOT / "xpnet", "xpnet.pipelines": ROOT / "pipelines"}
SCRIPTS = ROOT / "scripts"

MAY_IMPORT = {
    "errors": "",
    "lazy": "",
    "version": "",
    "arrays": "errors",
    "charts": "lazy",
    "processors": "",
    "shared_context": "",
    "kernels": "arrays processors shared_context",
    "backend": "kernels",
    "autodiff": "kernels charts",
    "functional": "autodiff",
    "testing": "functional backend",
    "bench": "functional backend",
    "data": "backend",
    "nn": "functional data",
    "linear": "nn",
    "features": "backend lazy",
    "io": "nn",
    "training": "linear io",
    "sklearn": "training features",
    "metrics": "arrays",
    "course": "training",
    "pipelines": "",
    "pipelines.outputs": "errors io",
    "pipelines.messages": "errors",
    "pipelines.cache_folder": "",
    "pipelines.images": (
        "lazy processors shared_context version pipelines.cache_folder pipelines.outputs pipelines.messages"
    ),
    "pipelines.datasets": "pipelines.images metrics training features",
    "pipelines.models": "pipelines.datasets version",
    "pipelines.training": "pipelines.models",
    "pipelines.predictions": "pipelines.models",
    "pipelines.report": "pipelines.training pipelines.predictions",
    "pipelines.cli": "pipelines.report course bench",
    "": "pipelines.cli testing",
    "__main__": "pipelines.cli",
}
"""What each package (or module directly in xpnet) may import, without the leading `xpnet.`.

It may also import what those may. The empty name is `xpnet/__init__`, the public face.
"""

HOMES = {
    "cupy": "backend kernels",
    "cupyx": "backend kernels",
    "safetensors": "io",
    "onnxruntime": "features",
    "sklearn": "sklearn",
    "threadpoolctl": "kernels pipelines.cli.doctor",
    "PIL": "pipelines.images pipelines.report pipelines.cli.landscapes",
    "simplejpeg": "pipelines.images",
    "h5py": "pipelines.datasets",
    "pyarrow": "pipelines.images pipelines.datasets pipelines.models pipelines.predictions",
    "dask": "pipelines.images.cluster",
    "distributed": "pipelines.images.cluster",
    "obstore": "pipelines.images",
    "jinja2": "pipelines.report",
    "typer": "pipelines.cli",
    "click": "pipelines.cli",
    "rich": "pipelines.cli",
    "matplotlib": "",
}
"""The packages and modules that may import each third-party library."""


@dataclass(frozen=True)
class Import:
    """One imported thing."""

    line: int
    module: str
    """The module it comes from, or the module that it is."""
    name: str | None
    """The name taken from that module."""
    type_checking: bool
    """Whether it stands in an `if TYPE_CHECKING` block."""


def module_files() -> dict[str, Path]:
    """Return the path of every module of xpnet, by its dotted name."""
    found = {}
    for prefix, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([prefix, *parts]).removesuffix(".__init__")
            if prefix == "xpnet" and parts[0] == "pipelines":
                continue  # the link to the other folder
            found[name] = path
    return found


MODULES = module_files()
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def package_of(module: str) -> str:
    """Return the package whose door stands before a module: `xpnet.nn.network` is in `xpnet.nn`."""
    parent = module.rpartition(".")[0]
    return module if module in PACKAGES or parent in {"", *SOURCES} else parent


def resolved(node: ast.ImportFrom, module: str) -> str:
    """Return the absolute name of the module that a `from` statement names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    base = parts[: len(parts) - node.level + (module in PACKAGES)]
    return ".".join([*base, *([node.module] if node.module else [])])


def read_imports(path: Path, module: str, known: set[str]) -> list[Import]:
    """Return what a file imports. `known`: modules, to tell `from package import module` from a name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = [n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    for_types = {inner for block in blocks for statement in block.body for inner in ast.walk(statement)}
    found = []
    for node in ast.walk(tree):
        types = node in for_types
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, alias.name, None, types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolved(node, module)
            for alias in node.names:
                whole = f"{source}.{alias.name}" if source else alias.name
                target, name = (whole, None) if whole in known else (source, alias.name)
                found.append(Import(node.lineno, target, name, types))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            found += [Import(node.lineno, name, None, types) for name in names]
    return found


@cache
def imports_of(module: str) -> list[Import]:
    """Return what a module of xpnet imports."""
    return read_imports(MODULES[module], module, set(MODULES))


def internal_imports(module: str) -> list[Import]:
    return [each for each in imports_of(module) if each.module.split(".")[0] == "xpnet"]


@cache
def allowed(package: str) -> frozenset[str]:
    """Return the packages that a package may import, also through others."""
    direct = MAY_IMPORT[package].split()
    return frozenset(direct).union(*(allowed(each) for each in direct))


def short(module: str) -> str:
    return module.removeprefix("xpnet").removeprefix(".")


def find_cycle(edges: dict[str, set[str]]) -> list[str]:
    """Return the names of one cycle, the first again at the end, or none."""
    done: set[str] = set()
    for start in sorted(edges):
        trail, iterators = [start], [iter(sorted(edges[start]))]
        while trail:
            after = next(iterators[-1], None)
            if after is None:
                done.add(trail.pop())
                iterators.pop()
            elif after in trail:
                return [*trail[trail.index(after) :], after]
            elif after not in done:
                trail.append(after)
                iterators.append(iter(sorted(edges.get(after, ()))))
    return []


def test_the_table_names_every_package() -> None:
    assert {short(package_of(module)) for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", MODULES)
def test_a_package_imports_only_packages_below_it(module: str) -> None:
    mine = short(package_of(module))
    wrong = {
        f"line {each.line}: {each.module}"
        for each in internal_imports(module)
        if short(package_of(each.module)) not in {mine, *allowed(mine)}
    }
    assert not wrong, f"{module} may not import {sorted(wrong)}"


@pytest.mark.parametrize("module", MODULES)
def test_only_the_door_is_imported_across_packages(module: str) -> None:
    """A door is a package's `__init__`. A module directly in xpnet or in pipelines is its own door."""
    behind = {
        f"line {each.line}: {each.module}"
        for each in internal_imports(module)
        if package_of(each.module) not in {package_of(module), each.module}
    }
    assert not behind, f"{module} imports modules behind a door: {sorted(behind)}"


@pytest.mark.parametrize("module", MODULES)
def test_a_door_gives_no_private_name(module: str) -> None:
    private = {
        f"line {each.line}: {each.name}"
        for each in internal_imports(module)
        if (each.name or "").startswith("_")
        and each.name != "__version__"
        and package_of(each.module) != package_of(module)
    }
    assert not private, f"{module} imports {sorted(private)}"


def test_no_import_cycles_between_packages() -> None:
    edges: dict[str, set[str]] = {}
    for module in MODULES:
        mine = package_of(module)
        edges.setdefault(mine, set()).update(package_of(each.module) for each in internal_imports(module))
    assert not find_cycle({name: others - {name} for name, others in edges.items()})


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_no_import_cycles_inside_a_package(package: str) -> None:
    inside = [module for module in MODULES if package_of(module) == package]
    edges = {module: {each.module for each in internal_imports(module)} & set(inside) for module in inside}
    assert not find_cycle(edges)


def test_no_import_cycles_between_scripts() -> None:
    paths = {path.stem: path for path in SCRIPTS.glob("*.py")}
    edges = {
        name: {each.module for each in read_imports(path, name, set())} & set(paths)
        for name, path in paths.items()
    }
    assert not find_cycle(edges)


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.name)
def test_scripts_import_only_doors(path: Path) -> None:
    found = read_imports(path, path.stem, set(MODULES))
    behind = {
        each.module for each in found if each.module in MODULES and package_of(each.module) != each.module
    }
    assert not behind


@pytest.mark.parametrize("module", MODULES)
def test_each_library_is_imported_in_its_home(module: str) -> None:
    for each in imports_of(module):
        homes = HOMES.get(each.module.split(".")[0])
        at_home = homes is None or {short(module), short(package_of(module))} & set(homes.split())
        assert at_home, (
            f"{module}, line {each.line}: {each.module} may be imported only in: {homes or 'nothing'}"
        )


@pytest.mark.parametrize("package", [p for p in sorted(PACKAGES) if "lazy_door" in MODULES[p].read_text()])
def test_a_lazy_door_says_the_same_to_python_and_to_the_type_checker(package: str) -> None:
    tree = ast.parse(MODULES[package].read_text(encoding="utf-8"))
    (call,) = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "lazy_door")
    given = set()
    for module, names in ast.literal_eval(call.args[1]).items():
        home = f"{package}.{module}"
        given |= {(home, name) for name in names.split()} or {(home, None)}
    assert given == {(each.module, each.name) for each in imports_of(package) if each.type_checking}


@pytest.mark.parametrize(
    "path", [*MODULES.values(), *sorted(SCRIPTS.glob("*.py"))], ids=lambda path: path.stem
)
def test_every_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
