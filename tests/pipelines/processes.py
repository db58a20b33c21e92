"""The command `xpnet` in processes of its own, without a GPU."""

import os
import subprocess
import sys

COMMAND = [sys.executable, "-m", "xpnet"]

START_WORKERS = "from xpnet.pipelines.images import decode_many; decode_many.ALONE_SECONDS = -1.0"

AT_ONCE = [sys.executable, "-c", f"{START_WORKERS}; from xpnet.pipelines.cli import main; main()"]
"""The command, but it starts its workers at once, not only when there is much to do."""

ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "XPNET_DEVICE": "cpu"}


def xpnet(*arguments: object, **options: object) -> subprocess.CompletedProcess:
    """Run a command to its end. options: of `subprocess.run`."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, env=ENVIRONMENT, check=False, **options
    )


def run_code(code: str, *arguments: object) -> subprocess.CompletedProcess:
    """Run a Python program to its end, with these arguments."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, env=ENVIRONMENT, check=False
    )


def begin(*arguments: object) -> subprocess.Popen:
    """Start a command with its workers in a session of its own, which can be killed."""
    return subprocess.Popen(
        [*AT_ONCE, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        start_new_session=True,
    )
