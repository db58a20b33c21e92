"""Packages that a bare machine may lack: tests that need them are skipped there and say why; the others run."""

import importlib
from typing import Any

import pytest


class _Missing:
    """Stands for a module: to call any function of it skips the test."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        def skip(*_: Any, **__: Any) -> Any:
            pytest.skip(f"{self._name} is not installed")

        return skip


class _Anything:
    """Stands for Hypothesis's strategies, which are made while a file is read."""

    def __getattr__(self, attribute: str) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self


def module(name: str) -> Any:
    """Return a module, or what skips the tests that use it."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return _Missing(name.partition(".")[0])


try:
    from hypothesis import given, settings
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ModuleNotFoundError:
    st = hnp = _Anything()

    def given(*_: Any, **__: Any) -> Any:
        return pytest.mark.skip(reason="hypothesis is not installed")

    def settings(*_: Any, **__: Any) -> Any:
        return lambda test: test
