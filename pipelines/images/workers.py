"""Workers: processes that decode images for this one.

Each worker has two pipes of its own. When a worker ends, for whatever reason and at whatever moment, its pipe
ends too: so the loss is noticed, also in the middle of a result, and its images are decoded again.

A worker has its next task before it has done the one before. So it never waits for this process, which may
be busy with the results of others.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.spawn import get_executable
from typing import IO, TYPE_CHECKING, Self

from xpnet.errors import WorkerError

from .remote import is_remote
from .worker import DIED, LARGE_BYTES, NUMBER_BYTES, READY, Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .recipe import Recipe

ATTEMPTS = 3
"""How often an image is decoded alone before it is taken for the cause of the end of its workers."""

STARTS = 10
"""How often a worker is started again that was killed before it was ready."""

END_SECONDS = 5.0
"""How long a worker that has closed its output may take to end by itself."""

TASKS_SENT = 2
"""How many tasks a worker has at a time: one that it does, and the next one."""

MOST_SENT = 8
"""How many it has if many tasks wait. So it is busy for half a second, while this process may load a
GPU's libraries, and let none of its own threads run."""

PIPE_BYTES = 1 << 20
"""The size of the pipe of a worker's results, if the system allows it. A worker can leave a result in it and
go on, and this process reads it at once. The usual 64 KiB would make both wait for each other."""

PROGRAM = """import sys
sys.path[:] = sys.argv[1:]
from xpnet.pipelines.images.worker import spawn_main
spawn_main()
"""
"""What a worker runs. Its arguments are its import path."""

Process = subprocess.Popen[bytes]


class _WorkerEndedError(Exception):
    """A worker has ended before it gave a result."""


@dataclass(frozen=True, eq=False)
class _Task:
    """Images to decode, and their result to be. A worker gives the number back with the result."""

    paths: list[str]
    recipe: Recipe
    result: Future[Pixels] = field(default_factory=Future)
    number: int = field(default_factory=itertools.count().__next__)


class Workers:
    """Some workers. Use it in a `with` statement, which ends them.

    For each worker there is a thread of this process, which sends it tasks and waits for the results. Threads
    and workers are started when there are tasks for them.

    Args:
        count: how many workers, at most.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._threads = ThreadPoolExecutor(count, "xpnet-decode", initializer=_block_interrupts)
        self._own = threading.local()  # the worker of each thread
        self._lock = threading.Lock()
        self._processes: set[Process] = set()
        self._launched: deque[Process] = deque()  # no thread has waited for them yet
        self._tasks: deque[_Task] = deque()
        self._busy = 0
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._is_closed = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for task in self._tasks:
            task.result.cancel()
        for process in list(self._processes):
            self._end(process)

    def stop(self) -> None:
        """End the workers, which must be idle, so that they take no memory. The next task starts new ones."""
        with self._lock:
            for process in self._processes:
                process.kill()

    def start(self, count: int | None = None) -> None:
        """Begin to start workers, for tasks that will come: all of them, or only some.

        They are started in this thread: in others it takes longer, if this one goes on to import modules. If
        they cannot be started, the first task says so.
        """
        count = self.count if count is None else min(count, self.count)
        with interrupts_blocked(), contextlib.suppress(WorkerError):
            for _ in range(count):
                self._launched.append(self._launch())
        with contextlib.suppress(RuntimeError):  # no thread can be started
            for _ in range(count):
                self._threads.submit(self._started)

    def submit(self, paths: list[str], recipe: Recipe) -> Future[Pixels]:
        """Have some images decoded. The result is that of `decode_pixels`; it may raise `WorkerError`."""
        task = _Task(paths, recipe)
        self._tasks.append(task)
        try:
            self._threads.submit(self._work)
        except RuntimeError as error:  # the system starts no more threads
            with contextlib.suppress(ValueError):  # another thread has taken the task
                self._tasks.remove(task)
                told = _worker_error(str(error))
                told.__cause__ = OSError(str(error))
                task.result.set_exception(told)
        return task.result

    def _work(self) -> None:
        """Do tasks by this thread's worker until there are none."""
        sent: deque[_Task] = deque()
        try:
            while True:
                self._send_tasks(sent)
                if not sent:
                    return
                pixels = self._result_of(sent)
                sent.popleft().result.set_result(pixels)
                if not sent:
                    self._count_busy(-1)
        except BaseException as error:  # who waits for a result gets it
            if sent:
                self._count_busy(-1)
            for task in sent:
                task.result.set_exception(error)

    def _send_tasks(self, sent: deque[_Task]) -> None:
        """Send tasks to this thread's worker. It gets a second one when each worker has one.

        Args:
            sent: those that it has. If it has ended, they are not sent: `_result_of` notices that.
        """
        while not sent or (self._busy >= self.count and len(sent) < self._most_sent()):
            try:
                task = self._tasks.popleft()
            except IndexError:
                return
            if not task.result.set_running_or_notify_cancel():
                continue
            sent.append(task)
            if len(sent) == 1:
                self._count_busy(1)
                process = self._started()
            else:
                process = self._own.process
            with contextlib.suppress(OSError, ValueError):  # it has ended
                _send(process, task)

    def _most_sent(self) -> int:
        """Return how many tasks a worker may have now."""
        with contextlib.suppress(IndexError):  # another thread took the last task
            # What lies on servers is read when a worker gets the task, and that takes memory.
            if not any(map(is_remote, self._tasks[0].paths)):
                return min(TASKS_SENT + len(self._tasks) // self.count, MOST_SENT)
        return TASKS_SENT

    def _count_busy(self, change: int) -> None:
        with self._lock:
            self._busy += change

    def _result_of(self, sent: deque[_Task]) -> Pixels:
        """Return the result of the first task that was sent. An image that ends its worker becomes an error.

        If the worker has ended, all tasks that it had are sent again.
        """
        task = sent[0]
        try:
            return self._received_from(self._own.process, task)
        except _WorkerEndedError:
            alone = [self._decode_alone(path, task.recipe) for path in task.paths]
        if len(sent) > 1:
            # All to one worker, also if it ends meanwhile: each result is that of the oldest task.
            process = self._started()
            for other in itertools.islice(sent, 1, None):
                with contextlib.suppress(OSError, ValueError):
                    _send(process, other)
        return Pixels(
            b"".join(each.columns for each in alone),
            [each.errors[0] for each in alone],
            [each.frames[0] for each in alone],
            next((each.libraries for each in alone if each.libraries), {}),
        )

    def _decode_alone(self, path: str, recipe: Recipe) -> Pixels:
        for _ in range(ATTEMPTS):
            with contextlib.suppress(_WorkerEndedError):
                return self._ask(_Task([path], recipe))
        return Pixels(bytes(recipe.n_x), [DIED], [0], {})

    def _started(self) -> Process:
        """Return this thread's worker; start it if there is none.

        Raises:
            WorkerError: it could not be started.
        """
        process: Process | None = getattr(self._own, "process", None)
        if process is not None and process.poll() is not None:  # ended without a task
            self._end(process)
            process = None
        if process is None:
            process = self._own.process = self._start()
        return process

    def _ask(self, task: _Task) -> Pixels:
        """Have this thread's worker do a task. It has no other one.

        Raises:
            _WorkerEndedError: the worker has ended.
            WorkerError: a worker could not be started.
        """
        process = self._started()
        with contextlib.suppress(OSError, ValueError):  # it has ended
            _send(process, task)
        return self._received_from(process, task)

    def _received_from(self, process: Process | None, task: _Task) -> Pixels:
        """Return the next result of this thread's worker, which is that of a task.

        Raises:
            _WorkerEndedError: the worker has ended, or gave the result of another task, and was ended.
        """
        if process is None:
            raise _WorkerEndedError
        try:
            number, pixels = _receive(process)
            if number != task.number:
                raise _WorkerEndedError  # noqa: TRY301
        except BaseException:
            self._own.process = None
            self._end(process)
            raise
        return pixels

    def _start(self) -> Process:
        """Start a worker, and wait until it is ready."""
        code = 0
        for _ in range(STARTS):
            process = self._next_launched()
            if process.stdout is not None and any(line.endswith(READY) for line in process.stdout):
                return process
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)  # so that its exit code is its own
            code = self._end(process)
            if code >= 0:  # it ended by itself; a signal, for example for lack of memory, may be an accident
                break
        cause = f"a new process ended before its first task, with exit code {code}"
        raise _worker_error(cause)

    def _next_launched(self) -> Process:
        try:
            return self._launched.popleft()
        except IndexError:
            return self._launch()

    def _launch(self) -> Process:
        if getattr(sys, "frozen", False):
            cause = "a frozen program has no Python interpreter"
            raise _worker_error(cause)
        interpreter = os.fsdecode(get_executable() or "")
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            with self._lock:
                if self._is_closed:
                    raise _WorkerEndedError
                process = subprocess.Popen(  # noqa: S603  (our own program)
                    [interpreter, *flags, "-P", "-c", PROGRAM, *import_path()],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    # Windows: Ctrl-C does not reach another group of processes.
                    creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                )
                self._processes.add(process)
            _widen(process.stdout)
        except (OSError, ValueError) as error:
            cause = f"{interpreter or 'the Python interpreter'} cannot be executed: {error}"
            raise _worker_error(cause) from error
        return process

    def _end(self, process: Process) -> int:
        """End a worker; return its exit code, which is below 0 if a signal ended it."""
        process.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # a task that could not be sent is still in the buffer
                if stream is not None:
                    stream.close()
        with self._lock:
            self._processes.discard(process)
        return code


def _send(process: Process, task: _Task) -> None:
    """Send a task to a worker.

    Raises:
        OSError, ValueError: the worker has ended.
    """
    if process.stdin is not None:
        pickle.dump((task.number, task.paths, task.recipe), process.stdin, pickle.HIGHEST_PROTOCOL)
        process.stdin.flush()


def _receive(process: Process) -> tuple[int, Pixels]:
    """Return the number of the next task that a worker has done, and the result.

    Raises:
        _WorkerEndedError: the worker has ended.
    """
    results = process.stdout
    if results is None:
        raise _WorkerEndedError
    numbers = _received(results, 3 * NUMBER_BYTES)
    number, length, size = (
        int.from_bytes(numbers[i : i + NUMBER_BYTES], "big") for i in range(0, len(numbers), NUMBER_BYTES)
    )
    others = pickle.loads(_received(results, length))  # noqa: S301  (from our own process)
    if size < LARGE_BYTES:
        return number, Pixels(_received(results, size), *others)
    # Memory of its own: the system has it back at once. Of other memory the C library keeps some per thread.
    columns = mmap.mmap(-1, size)
    if results.readinto(columns) != size:  # type: ignore[attr-defined]  # a buffered reader fills it
        raise _WorkerEndedError
    return number, Pixels(columns, *others)


def _received(results: IO[bytes], size: int) -> bytes:
    """Return so many bytes of a worker's output.

    Raises:
        _WorkerEndedError: the worker has ended before.
    """
    found: bytes = results.read(size)
    if len(found) != size:
        raise _WorkerEndedError
    return found


def _widen(pipe: IO[bytes] | None) -> None:
    """Let a pipe hold more bytes, if the system can do that."""
    # Windows has no such module, macOS no such command; a user may have a limited size of all pipes.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        if pipe is not None:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)


def _block_interrupts() -> None:
    """Block Ctrl-C in this thread, and so in the workers that it starts: the main thread reacts to it."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Block Ctrl-C in this thread for a while. It arrives afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def import_path() -> list[str]:
    """Return this process's import path as a worker needs it: without the working directory at its start.

    `python -c` and `python -m` put that directory first. There may be files such as `signal.py` beside the
    images, which a worker must not run. The folder of xpnet is added at the end, in case it was found there.
    """
    first = sys.path[0] if sys.path else ""
    is_unsafe = not sys.flags.safe_path and bool(first) and os.path.abspath(first) == _working_directory()
    path = [os.path.abspath(entry) for entry in sys.path[is_unsafe:] if entry]
    package = sys.modules["xpnet"].__file__ or ""
    home = os.path.dirname(os.path.dirname(os.path.abspath(package)))
    return path if home in path else [*path, home]


def _working_directory() -> str:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return ""


def _worker_error(cause: str) -> WorkerError:
    return WorkerError(
        f"the processes that decode images could not be started: {cause}. With --workers 1, in Python "
        "workers=1, images are decoded in one process"
    )
