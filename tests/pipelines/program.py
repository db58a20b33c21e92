"""The command line, run in a process of its own."""

import os
import subprocess
import sys


def xpnet(*args: str, **env: str) -> subprocess.CompletedProcess:
    """Run `xpnet` with some arguments, without a GPU, and with some environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "xpnet", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **env},
        check=False,
    )
