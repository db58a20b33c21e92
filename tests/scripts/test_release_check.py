"""What the check of a release finds in a checkout, and in the files that are to be uploaded."""

import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import release_check
from release_check import MANUAL, Release, file_problems, tree_problems

GIT = shutil.which("git")

TRACKED = {"README.md", ".gitignore", "xpnet/pipelines", "xpnet/a.py", "pipelines/b/c.j2", "tests/test_a.py"}
RELEASE = Release("1.2.3", TRACKED)
SDIST = ["README.md", "xpnet/a.py", "pipelines/b/c.j2", "tests/test_a.py", MANUAL]
WHEEL = [
    "xpnet/a.py",
    "xpnet/pipelines/b/c.j2",
    "xpnet/kernels/_native.so",
    "xpnet-1.2.3.data/data/share/man/man1/xpnet.1",
    "xpnet-1.2.3.dist-info/RECORD",
]


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "tag.gpgSign=false")
    subprocess.run([str(GIT), "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    """A checkout that is ready for release 1.2.3."""
    if GIT is None:
        pytest.skip("there is no git")
    (tmp_path / "xpnet").mkdir()
    (tmp_path / "xpnet" / "version.py").write_text('"""The version."""\n\n__version__ = "1.2.3"\n')
    (tmp_path / "CHANGELOG.md").write_text(
        "# Changelog\n\n## 1.2.3 (2027-01-31)\n\n- New.\n\n## 1.2.2 (2027-01-01)\n"
    )
    (tmp_path / "CITATION.cff").write_text(
        'cff-version: 1.2.0\nversion: 1.2.3\ndate-released: "2027-01-31"\n'
    )
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--no-gpg-sign", "--message", "Ready")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_checkout_that_is_ready_has_no_problem(ready: Path) -> None:
    assert tree_problems(ready) == []
    git(ready, "tag", "v1.2.3")  # the second run, when the wheels are there
    assert tree_problems(ready) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("xpnet/version.py", "1.2.3", "1.2", "got the version '1.2', expected one such as 1.2.3"),
        ("CHANGELOG.md", "1.2.3 (2027-01-31)", "Unreleased", "the first heading is 'Unreleased'"),
        ("CHANGELOG.md", "1.2.3 (2027-01-31)", "1.2.3", "expected '1.2.3 (YEAR-MONTH-DAY)'"),
        (
            "CITATION.cff",
            "version: 1.2.3",
            "version: 1.2.2",
            "CITATION.cff: version is '1.2.2', expected '1.2.3'",
        ),
        (
            "CITATION.cff",
            '"2027-01-31"',
            "2027-01-30",
            "date-released is '2027-01-30', expected '2027-01-31'",
        ),
    ],
)
def test_what_does_not_agree_is_named(ready: Path, file: str, old: str, new: str, said: str) -> None:
    change(ready / file, old, new)
    git(ready, "commit", "--all", "--quiet", "--no-gpg-sign", "--message", "Not ready")
    (problem,) = tree_problems(ready)
    assert problem.startswith(file)
    assert said in problem


def test_changes_and_a_tag_of_another_commit_are_named(ready: Path) -> None:
    git(ready, "tag", "v1.2.3")
    git(ready, "commit", "--quiet", "--no-gpg-sign", "--allow-empty", "--message", "Later")
    (ready / "new.py").touch()
    changed, tagged = tree_problems(ready)
    assert changed == "not committed: new.py: commit or remove it"
    assert tagged.startswith("the tag v1.2.3 is at another commit")


def packed(folder: Path, name: str, held: list[str]) -> Path:
    path = folder / name
    if name.endswith(".whl"):
        with zipfile.ZipFile(path, "w") as wheel:
            for entry in held:
                wheel.writestr(entry, "")
    else:
        with tarfile.open(path, "w:gz") as sdist:
            for entry in held:
                sdist.addfile(tarfile.TarInfo(f"xpnet-1.2.3/{entry}"), io.BytesIO())
    return path


@pytest.mark.parametrize(
    "platform", ["linux_x86_64", "manylinux_2_28_aarch64", "macosx_11_0_arm64", "win_amd64"]
)
def test_a_complete_wheel_has_no_problem(tmp_path: Path, platform: str) -> None:
    held = [entry.replace(".so", ".pyd") if platform == "win_amd64" else entry for entry in WHEEL]
    assert file_problems(packed(tmp_path, f"xpnet-1.2.3-py3-none-{platform}.whl", held), RELEASE) == []


def test_a_complete_source_distribution_has_no_problem(tmp_path: Path) -> None:
    assert file_problems(packed(tmp_path, "xpnet-1.2.3.tar.gz", SDIST), RELEASE) == []


@pytest.mark.parametrize("missing", WHEEL[:-1])
def test_what_a_wheel_lacks_is_named(tmp_path: Path, missing: str) -> None:
    wheel = packed(tmp_path, "xpnet-1.2.3-py3-none-any.whl", [entry for entry in WHEEL if entry != missing])
    assert file_problems(wheel, RELEASE) == [f"{wheel.name}: lacks {missing}"]


@pytest.mark.parametrize("missing", SDIST)
def test_what_a_source_distribution_lacks_is_named(tmp_path: Path, missing: str) -> None:
    sdist = packed(tmp_path, "xpnet-1.2.3.tar.gz", [entry for entry in SDIST if entry != missing])
    assert file_problems(sdist, RELEASE) == [f"xpnet-1.2.3.tar.gz: lacks {missing}"]


@pytest.mark.parametrize(
    "name", ["xpnet-1.2.2.tar.gz", "xpnet-1.2.2-py3-none-any.whl", "xpnet-1.2.3-cp311-cp311-any.whl"]
)
def test_files_of_another_version_or_of_one_python_are_named(tmp_path: Path, name: str) -> None:
    (problem,) = file_problems(packed(tmp_path, name, []), RELEASE)
    assert problem.startswith(f"{name}: expected the name xpnet-1.2.3")


def test_what_does_not_belong_there_is_named(tmp_path: Path) -> None:
    wheel = packed(tmp_path, "xpnet-1.2.3-py3-none-any.whl", [*WHEEL, "pipelines/b/c.j2"])
    assert "holds pipelines/b/c.j2" in file_problems(wheel, RELEASE)[0]
    sdist = packed(tmp_path, "xpnet-1.2.3.tar.gz", [*SDIST, "xpnet/pipelines/b/c.j2"])
    assert "holds pipelines/ twice" in file_problems(sdist, RELEASE)[0]
    (other := tmp_path / "notes.txt").touch()
    assert file_problems(other, RELEASE) == ["notes.txt: is neither a wheel nor a .tar.gz"]


def test_without_a_compiler_and_a_manual_neither_is_wanted(tmp_path: Path) -> None:
    bare = Release("1.2.3", TRACKED, has_manual=False, has_loops=False)
    assert (
        file_problems(packed(tmp_path, "xpnet-1.2.3-py3-none-any.whl", [*WHEEL[:2], WHEEL[-1]]), bare) == []
    )
    assert file_problems(packed(tmp_path, "xpnet-1.2.3.tar.gz", SDIST[:-1]), bare) == []


def test_the_command_says_what_is_wrong(
    ready: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release_check, "ROOT", ready)
    assert release_check.main(["tree"]) == 0
    wheel = packed(ready, "xpnet-1.2.3-py3-none-any.whl", [])
    assert release_check.main(["files", str(wheel)]) == 1
    assert "lacks xpnet/kernels/_native.so, xpnet/version.py" in capsys.readouterr().err
    assert release_check.main(["tree"]) == 1  # the wheel is not committed
