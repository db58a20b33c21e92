"""How many processors and how much memory this process may use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xpnet import processors
from xpnet.processors import cores, memory_bytes


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pretend that there are 8 processors; return the folder of the control groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(processors, "CGROUPS", tmp_path)
    monkeypatch.setattr(processors, "OWN_CGROUPS", tmp_path / "own")
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_is_cached() -> Iterator[None]:
    caches = processors._quota_cores, memory_bytes
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("max 100000", 8),
        ("9900000 100000", 8),
    ],
)
def test_a_container_s_limit_counts(groups: Path, limit: str, count: int) -> None:
    write(groups, own="0::/\n", cpu__max=limit)
    assert cores() == count


def test_the_least_limit_of_all_groups_above_counts(groups: Path) -> None:
    write(groups, own="0::/job/step/task\n")
    write(groups / "job", cpu__max="300000 100000\n")
    write(groups / "job/step", cpu__max="500000 100000\n")
    write(groups / "job/step/task", cpu__max="max 100000\n")
    assert cores() == 3


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("group", ["", "docker/1f"])
def test_limits_of_version_1(groups: Path, mount: str, group: str) -> None:
    write(groups, own="5:memory:/m\n4:cpu,cpuacct:/docker/1f\n1:name=systemd:/\n0::/\n")
    write(groups / mount / group, cpu__cfs_quota_us="250000\n", cpu__cfs_period_us="100000\n")
    assert cores() == 3
    write(groups / mount / group, cpu__cfs_quota_us="-1\n")
    processors._quota_cores.cache_clear()
    assert cores() == 8


@pytest.mark.parametrize("own", [None, "", "nonsense", "0::/gone\n"])
@pytest.mark.parametrize("limit", ["", "nonsense", "1 0"])
def test_what_cannot_be_read_is_no_limit(groups: Path, own: str | None, limit: str) -> None:
    write(groups, cpu__max=limit)
    if own is not None:
        write(groups, own=own)
    assert cores() == 8


def test_the_memory_of_the_machine_counts(groups: Path) -> None:
    assert memory_bytes() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("own", "group", "files"),
    [
        ("0::/job/step\n", "job", {"memory__max": "123456789\n"}),
        ("0::/job/step\n", "job/step", {"memory__max": "123456789"}),
        ("4:memory:/job\n", "memory/job", {"memory__limit_in_bytes": "123456789\n"}),
    ],
)
def test_a_container_s_limit_of_memory_counts(
    groups: Path, own: str, group: str, files: dict[str, str]
) -> None:
    write(groups, own=own)
    write(groups / group, **files)
    write(groups / "other", memory__max="1000\n")
    assert memory_bytes() == 123456789


def test_no_limit_of_memory_is_none(groups: Path) -> None:
    write(groups, own="0::/\n", memory__max="max\n")
    assert memory_bytes() > 1 << 20


def test_numpy_starts_no_threads_for_blas_where_that_is_asked_for() -> None:
    code = """
import os, sys
from threadpoolctl import ThreadpoolController
from xpnet.processors import no_blas_threads
with no_blas_threads():
    assert "numpy" not in sys.modules
    import numpy
print({each.num_threads for each in ThreadpoolController().lib_controllers}, os.environ.get("OPENBLAS_NUM_THREADS"))
"""
    usual = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    for given, printed in ({}, "{1} None"), ({"OPENBLAS_NUM_THREADS": "2"}, "{2} 2"):
        done = subprocess.run(
            [sys.executable, "-c", code], env=usual | given, capture_output=True, text=True, check=True
        )
        found = done.stdout.strip()
        if found.startswith("set()"):
            pytest.skip("NumPy's BLAS is another one")
        assert found == printed
