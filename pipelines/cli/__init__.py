"""The `xpnet` command: parse, call one function, print. No logic, and no import before it is needed."""


def main() -> None:
    """Run the command. It loads only now: a process that decodes starts from the same script, without it."""
    from . import app

    app.main()
