"""Locks on temporary files: what killed runs left is removed, what a run writes stays."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from xpnet.io import locks, tensor_file
from xpnet.io.locks import Lock, remove_orphans, try_lock
from xpnet.io.tensor_file import atomic_write

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no locks")


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from xpnet.io import atomic_write
with atomic_write(Path({str(tmp_path / "a.h5")!r})) as temporary:
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1
    others = [tmp_path / name for name in (".a.h5.12.part", ".b.h5.abcdefgh.part", "a.h5.abcdefgh.part")]
    for other in others:
        other.touch()
    with atomic_write(tmp_path / "a.h5") as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.h5", *others])


def test_what_another_run_writes_stays(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as first:
        with atomic_write(tmp_path / "a") as second:
            second.write_text("second")
        assert first.exists()
        first.write_text("first")
    assert (tmp_path / "a").read_text() == "first"
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mkstemp = tempfile.mkstemp

    def removed(**options: object) -> tuple[int, str]:
        monkeypatch.undo()
        made = mkstemp(**options)
        remove_orphans(tmp_path, ".a.", ".part")
        assert not Path(made[1]).exists()
        return made

    monkeypatch.setattr(tensor_file.tempfile, "mkstemp", removed)
    with atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a").read_text() == "new"


def test_without_locks_nothing_is_taken_for_an_orphan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    other = tmp_path / ".a.abcdefgh.part"
    other.touch()
    with atomic_write(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "a"]


def test_a_lock_is_held_until_the_file_is_closed(tmp_path: Path) -> None:
    one, two = (os.open(tmp_path / "a", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert (try_lock(one), try_lock(two)) == (Lock.HELD, Lock.TAKEN)
    os.close(one)
    assert try_lock(two) is Lock.HELD
    os.close(two)
