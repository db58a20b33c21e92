"""A context that threads share: it is made at the first entry and ends at the last exit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from xpnet.shared_context import SharedContext


def test_the_first_entry_begins_and_the_last_exit_ends() -> None:
    events = []

    @contextmanager
    def made() -> Iterator[None]:
        events.append("begun")
        yield
        events.append("ended")

    shared = SharedContext(made)
    with ThreadPoolExecutor(1) as thread:
        for _ in range(2):
            shared.__enter__()
            thread.submit(shared.__enter__).result()
            shared.__exit__(None, None, None)  # the thread that was first leaves first
            assert events == ["begun"]
            thread.submit(shared.__exit__, None, None, None).result()
            assert events == ["begun", "ended"]
            events.clear()


def test_a_context_that_cannot_be_made_is_not_entered() -> None:
    worked: list[bool] = []

    @contextmanager
    def made() -> Iterator[None]:
        if not worked:
            worked.append(True)
            raise PermissionError
        yield
        worked.append(False)

    shared = SharedContext(made)
    with pytest.raises(PermissionError), shared:
        pass
    with shared:
        pass
    assert worked == [True, False]
