"""The `xpnet` command: parse, call one function, print. No logic, and no import before it is needed."""

from pipelines.cli.app import app, main

__all__ = ["app", "main"]
