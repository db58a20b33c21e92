"""The `xpnet` command: it parses options, calls one function, and prints the result.

Each command imports what it needs only when it runs, so that `xpnet --help` is fast.
"""


def main() -> None:
    """Run the command line. It is imported only here, so that importing this package takes no time."""
    from . import app

    app.main()
