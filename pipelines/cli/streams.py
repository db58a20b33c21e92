"""Standard input and output of the command, and its end: nothing that is written is lost without an error."""

from __future__ import annotations

import atexit
import contextlib
import errno
import io
import os
import sys
import threading
from typing import Any, NoReturn


class ClosedBytes(io.RawIOBase):
    """The bytes of a standard output that is closed: to write to it is an error."""

    def writable(self) -> bool:
        """Return True: whether it can be written to shows when it is tried, as for a disk that is full."""
        return True

    def write(self, data: Any) -> NoReturn:  # noqa: ARG002
        """Raise `OSError`."""
        raise OSError(errno.EBADF, "is closed, so the result cannot be written", "standard output")


class ClosedOutput(io.TextIOBase):
    """The text of a standard output that is closed: to write to it is an error."""

    encoding = "utf-8"
    errors = "backslashreplace"
    buffer = ClosedBytes()

    def writable(self) -> bool:
        """As `ClosedBytes.writable`."""
        return True

    def write(self, text: str) -> NoReturn:
        """Raise `OSError`."""
        self.buffer.write(text)


def prepare_streams() -> None:
    """Make the standard streams usable, whatever the program that started this one did with them.

    - A stream that is closed is replaced, and its descriptor is taken: a file that is opened later must not
      get it, because a library may write messages to it.
    - A stream without a buffer (`python -u`) may write only a part of a text without an error: it gets a
      buffer.
    - A file name may have characters that cannot be shown: they are escaped.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            null = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115
            setattr(sys, f"__{name}__", null)  # keeps the descriptor open
            setattr(sys, name, ClosedOutput() if name == "stdout" else null)
        elif name == "stdout" and isinstance(getattr(stream, "buffer", None), io.RawIOBase):
            buffer = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115
            sys.stdout = io.TextIOWrapper(buffer, stream.encoding, "backslashreplace", "", write_through=True)
            sys.__stdout__ = sys.stdout  # type: ignore[misc]  # for `flush_output`
        elif name != "stdin" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush_output() -> str | None:
    """Write what standard output still holds; return None, or why that failed.

    After a failure Python itself would try again when it ends, and print an error of its own: what is left
    in the buffers goes nowhere instead.
    """
    failure = None
    # After a broken pipe, Typer has replaced `sys.stdout` by an object whose flush hides the error.
    for stream in (sys.stdout, sys.__stdout__):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            failure = "" if isinstance(error, BrokenPipeError) else error.strerror or str(error)
    if failure is not None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    return failure


def end_process(code: int | str | None) -> NoReturn:
    """End this process with an exit code, as `sys.exit` does, but at once where that is safe.

    Python would free every object and unload a GPU's libraries before, which takes as long as scoring
    thousands of images. What is registered for the end is still called. Output must have been flushed.
    """
    # Not where Python would wait for a thread, print the code, or be used after the end (python -i).
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if isinstance(code, str) or any(not thread.daemon for thread in others) or sys.flags.inspect:
        sys.exit(code)
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):  # for what these functions wrote
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code or 0)
