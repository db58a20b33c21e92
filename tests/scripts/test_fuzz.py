"""Files with random damage: each is used, or refused by an error that is meant for users. The seeds are fixed."""

import json
import random
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest

from xpnet.errors import DataError

FIRST = fuzz.SHARD * (sys.version_info.minor % 10)
"""The first seed. Each version of Python reads others, so that the matrix reads more and takes less time.

`python scripts/fuzz.py` reads as many as one likes.
"""

ENDED_BY_LIBHDF5 = 0.002
"""The most damaged HDF5 files, of all, at which libhdf5 ends the process. It is not our code."""


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_every_damaged_file_is_used_or_refused(kind: str) -> None:
    seeds = range(FIRST, FIRST + fuzz.SHARD)
    results = fuzz.run_apart(kind, seeds)
    assert [each.seed for each in results] == list(seeds)
    ends = [each.end for each in results]
    assert not [each for each in results if each.end == "failed"]
    assert ends.count("crash") <= (ENDED_BY_LIBHDF5 * fuzz.SHARD if kind in ("data", "embeddings") else 0)
    assert "used" in ends
    assert "refused" in ends or kind == "list"  # almost every text is a list of paths


def test_any_other_error_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def make(folder: Path) -> list[Path]:
        (folder / "f").write_bytes(b"abc")
        return [folder / "f"]

    def damage(path: Path, rng: random.Random) -> None:
        path.write_bytes(rng.randbytes(3))

    seen = []

    def use(path: Path, seed: int) -> None:
        seen.append(path.read_bytes())
        if seed == 1:
            raise DataError("f: is damaged")
        if seed == 2:
            raise KeyError("x")

    monkeypatch.setitem(fuzz.KINDS, "test", fuzz.Kind(make, damage, use))
    assert list(fuzz.run_here("test", range(3), tmp_path)) == [
        (0, "used", ""),
        (1, "refused", ""),
        (2, "failed", "KeyError: 'x'"),
    ]
    assert len(set(seen)) == 3


def test_after_a_crash_the_next_seed_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []

    def run(arguments: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        given.append(arguments[3:])
        used = [f"{seed}\n{json.dumps([seed, 'used', ''])}\n" for seed in (5, 6)]
        if len(given) == 1:
            return subprocess.CompletedProcess(arguments, -11, "".join(used) + "7\n", "Segmentation fault")
        return subprocess.CompletedProcess(arguments, 0, "8\n" + json.dumps([8, "refused", ""]), "")

    monkeypatch.setattr(fuzz.subprocess, "run", run)
    results = fuzz.run_apart("data", range(5, 9))
    assert [(each.seed, each.end) for each in results] == [
        (5, "used"),
        (6, "used"),
        (7, "crash"),
        (8, "refused"),
    ]
    assert given[1] == ["data", "--first", "8", "--seeds", "1", "--here"]


def test_exit_codes_of_tracebacks_are_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> None:
        raise SystemExit(1)

    monkeypatch.setattr(fuzz, "main", silent)
    with pytest.raises(AssertionError, match="exit code 1, and '' on standard error"):
        fuzz.command("info", "x")
