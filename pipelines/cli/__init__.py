"""The `xpnet` command: it parses options, calls one function, and prints the result.

Each command imports what it needs only when it runs, so that `xpnet --help` is fast.
"""

import sys


def main() -> None:
    """Run the command line. It is imported only here, so that importing this package takes no time.

    Raises:
        SystemExit: always, with the exit code.
    """
    from . import app

    app.main()


def run() -> None:
    """Run the command line as the program `xpnet` does, which ends with it."""
    try:
        main()
    except SystemExit as ended:
        from .streams import end_process

        end_process(ended.code)
    except KeyboardInterrupt:  # before a command runs: commands say so themselves
        sys.exit(130)  # as `INTERRUPTED` in command.py, which is not imported yet
