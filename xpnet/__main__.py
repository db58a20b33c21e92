"""`python -m xpnet` is the command `xpnet`."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the working directory: a file `signal.py` beside the images must not be run
    from xpnet.pipelines.cli import run

    run()
