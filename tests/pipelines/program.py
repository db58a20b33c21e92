"""The command line, run in a process of its own, or, which is faster, in this one."""

import contextlib
import io
import os
import subprocess
import sys

from xpnet.pipelines.cli.app import app


def xpnet(*args: str, **env: str) -> subprocess.CompletedProcess:
    """Run `xpnet` with some arguments, without a GPU, and with some environment variables."""
    return subprocess.run(
        [sys.executable, "-m", "xpnet", *args],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **env},
        check=False,
    )


def xpnet_here(*args: str) -> subprocess.CompletedProcess:
    """Run `xpnet` in this process: for what needs no data, such as help texts and usage errors."""
    rows, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(rows, "utf-8", write_through=True)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(list(args), prog_name="xpnet")
        except SystemExit as ended:
            code = ended.code
    return subprocess.CompletedProcess(args, int(code or 0), rows.getvalue().decode(), err.getvalue())
