"""Outputs in buckets, on a real server of S3: complete, or kept on this machine with a message."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import xpnet
from servers import s3

from xpnet.pipelines.cli.bucket_outputs import staging_path


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """Return a store of the bucket `results`."""
    with s3("results") as store:
        yield store


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def keys(bucket: Any) -> list[str]:
    return sorted(each["path"] for part in bucket.list() for each in part)


def test_outputs_go_into_a_bucket(bucket: Any, model: Path, classes: Path, cache: Path) -> None:
    inside = [str(model), str(classes / "red")]
    here = xpnet("predict", *inside)
    done = xpnet("predict", *inside, "-o", "s3://results/day 1/rows.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert "Sent: s3://results/day 1/rows.csv" in done.stderr
    assert bytes(bucket.get("day 1/rows.csv").bytes()).decode() == here.stdout
    done = xpnet(
        "train", str(classes), "--features", "none", "--image-size", "4", "--epochs", "2",
        "-o", "s3://results/m.safetensors", "--history", "s3://results/costs.csv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert keys(bucket) == ["costs.csv", "day 1/rows.csv", "m.safetensors"]
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_what_a_killed_run_left_is_continued(bucket: Any, model: Path, classes: Path, cache: Path) -> None:
    address = "s3://results/again.csv"
    part = Path(f"{staging_path(address)}.part")
    assert cache in part.parents
    inside = [str(model), str(classes / "red"), "-o", address]
    assert xpnet("predict", *inside, "--batch-size", "5").returncode == 0
    want = bytes(bucket.get("again.csv").bytes())
    stopped = subprocess.run(
        [sys.executable, "-c", STOP, *inside, "--batch-size", "5", "--workers", "1"],
        capture_output=True,
        check=False,
    )
    assert part.exists(), stopped.stderr
    done = xpnet("predict", *inside)
    assert ": continuing" in done.stderr
    assert bytes(bucket.get("again.csv").bytes()) == want


STOP = """
import os, sys
from xpnet.pipelines.predictions import resumable_file
append = resumable_file.ResumableFile.append
def stop(self, *given):
    append(self, *given)
    os._exit(9)
resumable_file.ResumableFile.append = stop
from xpnet.pipelines.cli import main
sys.argv.insert(1, "predict")
main()
"""
"""The command, which ends after it wrote some rows."""


def test_a_bucket_that_cannot_be_written_is_refused_at_once(
    bucket: Any, model: Path, classes: Path, cache: Path
) -> None:
    for address, said in {
        "s3://elsewhere/rows.csv": "s3://elsewhere/rows.csv: cannot be written: there is no such bucket",
        "s3://results": "s3://results: is a folder of a bucket, expected the name of an object",
        "s3://results/day/": "is a folder of a bucket",
    }.items():
        done = xpnet("predict", str(model), str(classes / "red"), "-o", address)
        assert (done.returncode, done.stdout) == (1, ""), address
        assert said in done.stderr
    assert not cache.exists()
    done = xpnet("predict", str(model), str(classes / "red"), "-o", "https://host/rows.csv")
    assert "is on a server: name a file on this machine to write" in done.stderr
