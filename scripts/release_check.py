"""Check that a release is ready. `nox -s release` runs this; RELEASING.md has the whole list.

    python scripts/release_check.py tree           version, changelog, citation, tag, changes not committed
    python scripts/release_check.py files dist/*   what the source distribution and the wheels hold

Every problem is a line on standard error that says what to do. The exit code is 1 if there is one.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

FOLDERS = {"xpnet": "xpnet", "pipelines": "xpnet/pipelines"}
"""The folders that a wheel holds, and where."""

LINK = "xpnet/pipelines"
"""The link to the folder pipelines/, which is not packed."""

MANUAL = "docs/_build/man/xpnet.1"
"""The manual page. It is not tracked: `nox -s docs` makes it."""


def version_of(root: Path) -> str:
    """Return the version that the sources name; "" if they name none."""
    return _found(r'^__version__ = "(.*)"$', root / "xpnet" / "version.py")


def tree_problems(root: Path) -> list[str]:
    """Return what is wrong in a checkout that is to be released, in the order in which to mend it."""
    version = version_of(root)
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        return [f"xpnet/version.py: got the version {version!r}, expected one such as 1.2.3 or 1.2.3rc1"]
    problems = []
    heading = _found(r"^## (.*)$", root / "CHANGELOG.md")
    if not (dated := re.fullmatch(rf"{re.escape(version)} \((\d{{4}}-\d\d-\d\d)\)", heading)):
        problems.append(
            f"CHANGELOG.md: the first heading is {heading!r}, expected '{version} (YEAR-MONTH-DAY)' for the "
            "version in xpnet/version.py"
        )
    expected = {"version": version, "date-released": dated[1] if dated else None}
    for key, value in expected.items():
        found = _found(rf'^{key}: "?(.*?)"?$', root / "CITATION.cff")
        if value is not None and found != value:
            problems.append(f"CITATION.cff: {key} is {found!r}, expected {value!r}")
    return problems + _git_problems(root, f"v{version}")


def _git_problems(root: Path, tag: str) -> list[str]:
    """Return what is wrong with the commit: it must hold all changes, and the tag can only be its own."""
    problems = []
    if changed := _git(root, "status", "--porcelain").splitlines():
        problems.append(f"not committed: {', '.join(line[3:] for line in changed)}: commit or remove it")
    tagged = _git(root, "rev-parse", "--quiet", "--verify", f"{tag}^{{commit}}")
    if tagged and tagged != _git(root, "rev-parse", "HEAD"):
        problems.append(f"the tag {tag} is at another commit: a version is released once, so take a new one")
    return problems


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return done.stdout.rstrip()


def _found(pattern: str, path: Path) -> str:
    found = re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


@dataclass(frozen=True)
class Release:
    """What the files of a release hold.

    Attributes:
        version: their version.
        tracked: the files of the checkout they were made from.
        has_manual: whether the manual page is one of them.
        has_loops: whether wheels hold the compiled loops: False where there was no compiler.
    """

    version: str
    tracked: set[str]
    has_manual: bool = True
    has_loops: bool = True


def file_problems(path: Path, release: Release) -> list[str]:
    """Return what is wrong with a file that is to be uploaded: a source distribution or a wheel."""
    if path.suffix == ".whl":
        problems = wheel_problems(path, release)
    elif path.name.endswith(".tar.gz"):
        problems = sdist_problems(path, release)
    else:
        problems = ["is neither a wheel nor a .tar.gz"]
    return [f"{path.name}: {problem}" for problem in problems]


def sdist_problems(path: Path, release: Release) -> list[str]:
    """Return what is wrong with a source distribution: it holds each tracked file once."""
    if path.name != f"xpnet-{release.version}.tar.gz":
        return [f"expected the name xpnet-{release.version}.tar.gz: remove files of other versions"]
    with tarfile.open(path) as contents:
        held = {name.partition("/")[2] for name in contents.getnames()}
    wanted = {name for name in release.tracked if not name.startswith(".")} - {LINK}
    if release.has_manual:
        wanted.add(MANUAL)
    twice = sorted(name for name in held if name.startswith(f"{LINK}/"))
    return _lacks(wanted - held) + [f"holds pipelines/ twice, as {name} too" for name in twice[:1]]


def wheel_problems(path: Path, release: Release) -> list[str]:
    """Return what is wrong with a wheel: it holds the package, the compiled loops, the manual."""
    name, _, platform = path.stem.rpartition("-py3-none-")
    if name != f"xpnet-{release.version}":
        return [
            f"expected the name xpnet-{release.version}-py3-none-PLATFORM.whl: remove files of other versions"
        ]
    with zipfile.ZipFile(path) as contents:
        held = {entry for entry in contents.namelist() if not entry.endswith("/")}
    wanted = {packed for file in release.tracked - {LINK} if (packed := _packed(file))}
    if release.has_manual:
        wanted.add(f"{name}.data/data/share/man/man1/xpnet.1")
    if release.has_loops:
        wanted.add(f"xpnet/kernels/_native.{'pyd' if platform.startswith('win') else 'so'}")
    surplus = sorted(entry for entry in held - wanted if not entry.startswith(f"{name}.dist-info/"))
    return _lacks(wanted - held) + [
        f"holds {entry}, which is no part of the package" for entry in surplus[:1]
    ]


def _packed(file: str) -> str:
    """Return where a wheel holds a tracked file; "" for a file that is no part of the package."""
    folder, _, rest = file.partition("/")
    return f"{FOLDERS[folder]}/{rest}" if folder in FOLDERS and rest else ""


def _lacks(missing: set[str]) -> list[str]:
    return [f"lacks {', '.join(sorted(missing))}"] if missing else []


def main(arguments: list[str] | None = None) -> int:
    """Check what the arguments name. Return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    parts.add_parser("tree")
    files = parts.add_parser("files")
    files.add_argument("paths", nargs="+", type=Path)
    files.add_argument("--no-loops", action="store_true", help="there was no C compiler")
    given = parser.parse_args(arguments)
    if given.part == "tree":
        problems = tree_problems(ROOT)
    else:
        tracked = set(_git(ROOT, "ls-files").splitlines())
        release = Release(version_of(ROOT), tracked, (ROOT / MANUAL).exists(), not given.no_loops)
        problems = [problem for path in given.paths for problem in file_problems(path, release)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
