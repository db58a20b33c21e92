"""The test matrix. Plain `nox` runs everything that needs no GPU; `nox -s gpu` runs the rest."""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "types", "tests", "docs", "browser", "cuda", "package"]
nox.options.error_on_missing_interpreters = False  # a missing one is named in the summary, as skipped
nox.options.reuse_venv = "yes"

PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
UPCOMING = ["3.14t", "3.15"]  # without the global interpreter lock, and the next release
TESTED: list[str] = []
"""The Pythons that were tested in this run of nox. Tests that any Python will do for are run by the first."""

BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]
PROJECT = nox.project.load_toml("pyproject.toml")


def pyenv_pattern(python: str) -> str:
    """Return what the folders of a Python match: 3.14.2 for 3.14, and 3.14.2t for 3.14t."""
    return f"{python[:-1]}.*t" if python.endswith("t") else f"{python}.*[0-9]"


# pyenv keeps the interpreters it installed out of reach until they are named.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
if "PYENV_VERSION" not in os.environ and PYENV.is_dir():
    installed = [
        path.name
        for python in PYTHONS + UPCOMING
        for path in sorted(PYENV.glob(pyenv_pattern(python)), key=lambda path: len(path.name))[-1:]
    ]
    if installed:
        os.environ["PYENV_VERSION"] = ":".join(installed)


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return nox.project.dependency_groups(PROJECT, name)


def install(session: nox.Session, *requirements: str) -> None:
    """Install, unless nox was told to use the environment it runs in (`--no-venv`)."""
    if not isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        session.install("--quiet", *requirements)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test on NumPy, array-api-strict and the fake CuPy."""
    install(session, "--editable", ".", *group("test"))
    run_tests(session)


@nox.session(python=UPCOMING)
def upcoming(session: nox.Session) -> None:
    """Test on a Python for which packages may have no wheel yet; names these. Not part of plain `nox`."""
    # For 3.14t only a release candidate of safetensors has a wheel; the last release would need Rust.
    install(session, "--only-binary", "safetensors", "--editable", ".")
    for requirement in group("test"):
        try:
            install(session, "--only-binary", ":all:", requirement)
        except nox.command.CommandFailed:
            session.warn(f"{requirement} has no wheel for this Python: what needs it is not tested")
    run_tests(session)


def run_tests(session: nox.Session) -> None:
    """Run the tests that need no GPU, no CuPy and no browser."""
    builds = {"XPNET_TEST_BUILDS": str(Path(session.cache_dir, "test-builds").resolve())}
    marked = "not gpu and not cuda and not browser"
    if TESTED:
        marked += " and not any_python"
    TESTED.append(str(session.python))
    # Stealing work: otherwise the slow tests at the end all wait for one worker.
    spread = ("-n", "auto", "--dist", "worksteal")
    session.run("pytest", *spread, "-m", marked, *session.posargs, env=builds)


@nox.session
def browser(session: nox.Session) -> None:
    """Test pages in a real browser, the system's or Playwright's own; skips where there is none."""
    install(session, "--editable", ".", *group("test"), *group("browser"))
    found = any(map(shutil.which, BROWSERS))
    needed = ["--require", "browser"] if found else []
    session.run("pytest", "-m", "browser", *needed, *session.posargs)


@nox.session
def cuda(session: nox.Session) -> None:
    """Test, without a GPU, what needs CuPy: every CUDA source compiles, a missing driver is recognized."""
    install(session, "--editable", ".[cuda13]", "nvidia-cuda-nvrtc==13.*", *group("test"))
    session.run("pytest", "-m", "cuda", "--require", "cuda", *session.posargs)


@nox.session
def gpu(session: nox.Session) -> None:
    """Test on CuPy. Fails where there is no GPU. XPNET_CUDA names another extra than cuda13-runtime."""
    extra = os.environ.get("XPNET_CUDA", "cuda13-runtime")
    install(session, "--editable", f".[{extra}]", *group("test"))
    session.run("pytest", "-m", "gpu", "--require", "gpu", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site and the manual page, strictly: warnings, dead links, failing notebooks are errors."""
    build_docs(session, *session.posargs)


def build_docs(session: nox.Session, *test_options: str) -> None:
    """Build the documentation, and test it."""
    install(session, "--editable", ".", *group("docs"))
    built = Path("docs", "_build").resolve()
    site, manual = built / "html", built / "man"
    shutil.rmtree(built, ignore_errors=True)
    for builder, folder in (("html", site), ("man", manual)):  # the second uses what the first has read
        options = ("-W", "--keep-going", "-n", "-q", "-d", str(built / "doctrees"), "-b", builder)
        session.run("sphinx-build", *options, "docs", str(folder))
    tests = ("tests/test_docs.py", "tests/test_notebooks.py")
    session.run("pytest", *tests, *test_options, env={"XPNET_SITE": str(site)})
    session.log(f"Open {site / 'index.html'}, or: man {manual / 'xpnet.1'}")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, *group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    install(session, "--editable", ".", *group("types"))
    session.run("mypy")


@nox.session
def package(session: nox.Session) -> None:
    """Build the package, install it in an empty environment, import it and run the command."""
    folder = Path(session.create_tmp()).resolve()
    built = folder / "dist"
    shutil.rmtree(built, ignore_errors=True)
    install(session, "build")
    # The wheel is built from the source distribution, so that one has to be complete.
    session.run("python", "-m", "build", "--outdir", str(built), silent=True)
    (wheel,) = built.glob("*.whl")
    loops = [] if shutil.which("cc") else ["--no-loops"]
    session.run("python", "scripts/release_check.py", "files", *loops, *map(str, built.iterdir()))
    require_extras(session, wheel)
    empty = folder / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    shutil.rmtree(folder / "demo", ignore_errors=True)
    session.run("python", "-m", "venv", str(empty))
    programs = empty / ("Scripts" if os.name == "nt" else "bin")
    python, xpnet = str(programs / "python"), str(programs / "xpnet")

    def names() -> set[str]:
        """Return the top-level names that can be imported from site-packages."""
        code = "import pkgutil, site; print(*(m.name for m in pkgutil.iter_modules(site.getsitepackages())))"
        return set(str(session.run(python, "-c", code, external=True, silent=True)).split())

    requirements = folder / "requirements.txt"
    requirements.write_text("\n".join(PROJECT["project"]["dependencies"]), encoding="utf-8")
    session.run(python, "-m", "pip", "install", "--quiet", "-r", str(requirements), external=True)
    before = names()
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    if (added := names() - before) != {"xpnet"}:
        session.error(f"pip install adds the importable names {sorted(added)}, expected only xpnet")
    # A package of the user's own that is named pipelines is never taken for ours.
    users = folder / "project"
    (users / "pipelines").mkdir(parents=True, exist_ok=True)
    (users / "pipelines" / "__init__.py").write_text("STEPS = []\n", encoding="utf-8")
    with session.chdir(users):  # away from the source, so that only the wheel can be imported
        check = (
            "import pipelines, xpnet, xpnet.pipelines.cli; assert pipelines.STEPS == []; "
            "print(xpnet.__version__, xpnet.functional.sigmoid(0.0))"
        )
        session.run(python, "-c", check, external=True)
        if shutil.which("cc"):
            check = "from xpnet.kernels import has_native_loops; assert has_native_loops(), 'no loops in C'"
            session.run(python, "-c", check, external=True)
        session.run(xpnet, "--help", external=True)
        session.run(python, "-m", "xpnet", "--version", external=True)
        session.run(xpnet, "demo", str(folder / "demo"), external=True, env={"PYTHONPATH": "."})
        # Once more with the extra: the wheel holds the templates of the page.
        session.run(python, "-m", "pip", "install", "--quiet", f"{wheel}[report]", external=True)
        session.run(xpnet, "demo", str(folder / "demo"), external=True)
        if not (folder / "demo" / "report.html").exists():
            session.error("the wheel makes no report")


def require_extras(session: nox.Session, wheel: Path) -> None:
    """End the session with an error if pip finds no set of packages for all extras that need no GPU."""
    session.run(
        "python",
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--quiet",
        f"{wheel}[all]",
        silent=True,
    )


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Check that this commit can be released, and build its files in dist/. Arguments: wheels to check too.

    RELEASING.md has the whole list.
    """
    session.run("python", "scripts/release_check.py", "tree")
    build_docs(session)
    built = Path("dist")
    shutil.rmtree(built, ignore_errors=True)
    install(session, "build", "twine")
    session.run("python", "-m", "build", "--outdir", str(built), silent=True)
    files = [*map(str, sorted(built.iterdir())), *session.posargs]
    session.run("python", "scripts/release_check.py", "files", *files)
    session.run("twine", "check", "--strict", *files)
    (wheel,) = built.glob("*.whl")
    require_extras(session, wheel)
    session.log(f"Version {wheel.name.split('-')[1]} can be released. RELEASING.md says how to go on.")
