"""What the command uses: bounded memory, and no network."""

import sys
from pathlib import Path

import pytest
from pictures import draw_many
from processes import run_code


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux' /proc")
def test_memory_does_not_grow_with_the_inputs(model: Path, tmp_path: Path) -> None:
    few, many = draw_many(tmp_path / "few", 500), draw_many(tmp_path / "many", 12_000)
    code = """
import sys
from xpnet.pipelines.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code
print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])
"""
    peaks = []
    for folder in (few, many):
        arguments = ["predict", str(model), str(folder), "-o", str(tmp_path / "rows.csv"), "-q"]
        done = run_code(code, *arguments)
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 12  # MiB; the names of a folder are held in memory, about 100 bytes each


def test_nothing_uses_the_network(classes: Path, tmp_path: Path) -> None:
    code = """
import sys
def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        raise AssertionError(event)
sys.addaudithook(refuse)
from xpnet.pipelines.cli.app import app
for arguments in (
    ["train", sys.argv[1], "-o", sys.argv[2], "--image-size", "8"],
    ["evaluate", sys.argv[2], sys.argv[1]],
    ["predict", sys.argv[2], sys.argv[1], "-o", sys.argv[2] + ".csv", "--workers", "2"],
    ["info", sys.argv[2]],
    ["doctor"],
):
    try:
        app(arguments)
    except SystemExit as ended:
        assert not ended.code, arguments
"""
    done = run_code(code, classes, tmp_path / "model")
    assert done.returncode == 0, done.stderr
