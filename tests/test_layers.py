"""Who may import whom, read from the source."""

import ast
from pathlib import Path

import pytest

import pipelines
import xpnet

XPNET, PIPELINES = Path(xpnet.__file__).parent, Path(pipelines.__file__).parent
ROOT = XPNET.parent
FILES = sorted([*XPNET.rglob("*.py"), *PIPELINES.rglob("*.py")])

LAYERS = [
    "errors", "arrays", "shapes", "gpu", "host", "streams", "backend", "kernels", "capture", "graph", "functional", "testing",
    "standardize", "matrix", "batches", "dropout", "models", "parameters", "optimizers", "schedules",
    "labels", "history", "settings", "onepass", "stack", "objective", "validation", "stepgraph", "training",
    "scoring", "tensorfile", "modelfile", "checkpoint", "fitting",
    "problem", "span", "descent", "coordinates", "lbfgs", "stacktraining", "sweep", "metrics", "split", "course",
]  # fmt: skip
"""The rooms of xpnet, each of which imports only from those before it and from itself."""

ONLY_IN = {
    "cupy": {
        "xpnet/gpu.py",
        "xpnet/kernels/on_cupy.py",
        *(f"xpnet/kernels/cuda_{name}.py" for name in ("elementwise", "passes", "products", "tensor")),
    },
    "h5py": {"pipelines/store.py", "pipelines/coursefile.py", "pipelines/sink.py"},
    "PIL": {"pipelines/images.py", "pipelines/demo.py", "pipelines/report/pictures.py"},
    "simplejpeg": {"pipelines/images.py"},
    "pyarrow": {"pipelines/formats.py", "pipelines/predictions.py"},
    "jinja2": {"pipelines/report/page.py"},
    "matplotlib": {"pipelines/plots.py"},
    "typer": {
        f"pipelines/cli/{name}.py"
        for name in ("app", "command", "options", "reporting", "scoring", "tools", "training")
    },
}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    """Return the dotted names a file imports, also inside functions and through import_module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name(path)}: relative import"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_go_down(path: Path) -> None:
    parts = path.relative_to(ROOT).with_suffix("").parts
    if parts[0] == "pipelines" or parts[1] == "__init__":
        return
    allowed = LAYERS[: LAYERS.index(parts[1]) + 1]
    for imported in imports(path):
        assert not imported.startswith("pipelines"), f"{name(path)} imports {imported}"
        if imported.startswith("xpnet."):
            room = imported.split(".")[1]
            assert room in allowed or room not in LAYERS, f"{name(path)} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_each_outside_library_has_its_place(path: Path) -> None:
    for library, places in ONLY_IN.items():
        if any(imported.split(".")[0] == library for imported in imports(path)):
            assert name(path) in places, f"{name(path)} imports {library}"


def test_every_room_has_a_layer() -> None:
    rooms = {path.stem for path in XPNET.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300, f"{name(path)} is asking to be split"
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring, f"{name(path)} does not say what it is"
