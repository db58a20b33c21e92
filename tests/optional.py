"""Packages that may be missing. Tests that need one are then skipped, with the reason; the others run."""

import importlib
from typing import Any

import pytest


class _Missing:
    """Replaces a missing module: a call of any of its functions skips the test."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        def skip(*_: Any, **__: Any) -> Any:
            pytest.skip(f"{self._name} is not installed")

        return skip


class _Anything:
    """Replaces the strategies of Hypothesis, which are used when a test file is imported."""

    def __getattr__(self, attribute: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


def module(name: str) -> Any:
    """Return a module, or its replacement that skips the tests."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return _Missing(name.partition(".")[0])


try:
    from hypothesis import given, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp

    # On a busy machine any example may take long: how long is measured by benchmarks, not by tests.
    settings.register_profile("any duration", deadline=None)
    settings.load_profile("any duration")
except ModuleNotFoundError:
    st = hnp = _Anything()

    def given(*_: Any, **__: Any) -> Any:
        return pytest.mark.skip(reason="hypothesis is not installed")

    def settings(*_: Any, **__: Any) -> Any:
        return lambda test: test
