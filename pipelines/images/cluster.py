"""A Dask cluster in place of this machine's processes. All that knows Dask is in this file.

The inputs are sent in parts, a few for each worker, and the results come in the order of the inputs. A part
whose worker was killed is done again, alone on the cluster; if that ends a worker again, each half of it is,
and so on. So the one image that is the cause gets an error, and no other one.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import warnings
from collections import deque
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Any, Self, TypeVar, cast

from xpnet.errors import UsageError, WorkerError, XpnetError
from xpnet.processors import cores

from .cluster_worker import Done, OnLoading, Result, call, can_see, difference, facts_of, work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from .cluster_worker import Facts, Needs, Task

PART_IMAGES = 512
"""Inputs in a part. With so many, handing over a part takes almost no time compared with decoding it."""

PART_BYTES = 16 << 20
"""The most bytes of columns in a part, unless one image has more. This bounds the memory."""

PARTS_PER_WORKER = 3
"""Unfinished parts per worker, at most. This bounds the memory. No worker waits for a part."""

ATTEMPTS = 3
"""How often an input is done alone before it is taken for the cause of the end of its workers."""

CONNECT_SECONDS = 10
"""How long the scheduler may take to answer, and the first worker to be there."""

ABSENT_SECONDS = 60
"""How long there may be no worker at all, later. A worker that was killed is usually started again."""

SUMS_SECONDS = 10
"""How long the result of a call of one worker may take to come. If the worker is gone, it does not come."""

POLL_SECONDS = 1.0
"""How often it is asked whether there are workers, while a result does not come."""

LOCAL = re.compile(r"local(?::(\d+))?")
"""An address that means processes of this machine."""

START_SECONDS = 60
"""How long the workers of this machine may take to start."""

AGAIN_SECONDS = 0.1
"""How long after its end a worker of this machine is started again."""

CONFIGURATION = {
    # Dask keeps so many of the last messages of each connection. They hold the inputs and rows of parts.
    "distributed.admin.low-level-log-length": 16,
    "distributed.worker.http.routes": [],  # there are no pages to look at
}
"""Settings of Dask for this process and for workers of this machine."""

LOCAL_CONFIGURATION = {
    "distributed.scheduler.allowed-failures": 0,
    # There are no pages to look at, but Dask opens a port for them in any case.
    "distributed.scheduler.http.routes": [],
}
"""Settings of Dask for the scheduler of workers of this machine."""

WORKER = f"""import sys
sys.path[:] = sys.argv[1:]
import dask
dask.config.set({CONFIGURATION})
from distributed.cli.dask_worker import main
if address := sys.stdin.readline().strip():
    main([address, "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"])
"""
"""What a worker of this machine runs. Its arguments are its import path.

The address of the scheduler comes by standard input. So worker and scheduler import Dask side by side.
"""

EXPECTED = "tcp://HOST:PORT of a Dask scheduler, or local:N"
"""What an address is."""

R = TypeVar("R", bound=Result)
T = TypeVar("T")


def asked_cluster(asked: str | None) -> str | None:
    """Return the address that was asked for, else that of the variable XPNET_CLUSTER, else None."""
    return asked or os.environ.get("XPNET_CLUSTER") or None


def part_size(n_x: int) -> int:
    """Return how many inputs of so many bytes are in a part."""
    return max(1, min(PART_IMAGES, PART_BYTES // n_x))


@dataclass(frozen=True)
class _Sent:
    """A part that a worker has to do: its inputs, how many come before them, and the future of its result."""

    paths: list[str]
    first: int
    future: Any


class _KilledError(Exception):
    """A worker was killed while it had a part."""


class Cluster:
    """A Dask cluster. Use it in a `with` statement, which connects to it.

    Args:
        address: of the scheduler, such as "tcp://10.0.0.1:8786"; or "local:N" for N processes here.

    Raises:
        UsageError: `distributed` is not installed, or the address is none.
        WorkerError: on entering: the scheduler does not answer, or there is no worker.
    """

    def __init__(self, address: str) -> None:
        if find_spec("distributed") is None:
            msg = f"--cluster {address} needs Dask: pip install 'xpnet[cluster]'"
            raise UsageError(msg)
        local = LOCAL.fullmatch(address)
        if local is None and "://" not in address:
            msg = f"--cluster is {address!r}, expected {EXPECTED}"
            raise UsageError(msg)
        if local is not None and local[1] is not None and int(local[1]) < 1:
            msg = f"--cluster is {address!r}, expected local:N with 1 worker or more"
            raise UsageError(msg)
        self.address, self._is_local = address, local is not None
        self._wanted = int(local[1] or cores()) if local else 1
        self._open = contextlib.ExitStack()
        self._facts: dict[Needs, tuple[tuple[str, str], ...]] = {}
        self._seen = self._asked = time.monotonic()
        self._names: set[str] = set()
        self._is_told = False

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as opening:
            workers = opening.enter_context(_LocalWorkers(self._wanted if self._is_local else 0))
            import dask
            import distributed

            self._dask: Any = distributed
            opening.enter_context(_quiet_logs())
            opening.enter_context(dask.config.set(CONFIGURATION))  # each connection of a worker looks there
            address = opening.enter_context(self._started(workers)) if self._is_local else self.address
            self._client = opening.enter_context(contextlib.closing(self._connected(address)))
            try:
                timeout = START_SECONDS if self._is_local else CONNECT_SECONDS
                self._client.wait_for_workers(self._wanted, timeout=timeout)
            except TimeoutError:
                msg = (
                    f"{self.address}: has no workers: start some, for example by dask worker {address}, in "
                    "an environment with xpnet"
                )
                raise WorkerError(msg) from None
            self._open = opening.pop_all()
        threads = self._client.nthreads()
        self._names = set(threads)
        if max(threads.values(), default=1) > 1:
            warnings.warn(
                "workers of the cluster have several threads, and use one at a time: start them with "
                "--nthreads 1 and --nworkers, for one process on each core",
                stacklevel=2,
            )
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.close()

    def facts(self, needs: Needs) -> Facts:
        """Return what all workers have, of what must be the same.

        Raises:
            WorkerError: a worker has something else than this process or than another worker.
            DeviceError: a worker cannot use the device.
        """
        if needs not in self._facts:
            expected = _own_facts(needs)
            for name, found in self._asked_all(needs).items():
                if told := difference(f"the worker {name} of the cluster", found, expected):
                    raise WorkerError(told)
                expected |= found
            self._facts[needs] = tuple(expected.items())
        return dict(self._facts[needs])

    def map(self, task: Task[R], paths: Iterable[str], size: int, first: int = 0) -> Iterator[R]:
        """Yield the results for all inputs in order, in parts of at most so many.

        Args:
            task: what to do.
            paths: the inputs. They are read only a little ahead of the results, so there may be any number.
            size: the number of inputs in a part; see `part_size`.
            first: how many inputs come before the first of these.

        Raises:
            WorkerError: a worker has another environment or does not see the inputs, or the cluster was lost.
        """
        self.facts(task.needs)
        iterator, waiting = iter(paths), deque[_Sent]()
        while True:
            while len(waiting) < PARTS_PER_WORKER * self._workers():
                part = list(itertools.islice(iterator, size))
                if not part:
                    break
                waiting.append(self._send(task, part, first))
                first += len(part)
            if not waiting:
                return
            sent = waiting.popleft()
            try:
                yield self._result(sent)
            except _KilledError:
                for other in waiting:  # of the parts that a killed worker had, any may be the cause
                    self._wait(other.future)
                yield from self._alone(task, sent.paths, sent.first)

    def names(self) -> list[str]:
        """Return the names of the workers, as far as known, in order.

        Raises:
            WorkerError: there have been none for a while, or the scheduler was lost.
        """
        while self._workers() and not self._names:
            time.sleep(POLL_SECONDS)
        return sorted(self._names)

    def call_each(
        self,
        function: Callable[..., T],
        arguments: Sequence[tuple[Any, ...]],
        names: Sequence[str],
        needs: Needs,
    ) -> list[T]:
        """Call a function with each of some arguments; return the results in order.

        Args:
            function: a function of a module. If a worker is killed it is called again, on another one.
            arguments: for each call. They travel by way of the scheduler.
            names: the worker for each call. If that one is gone, another one is called.
            needs: what must be the same on all workers.

        Raises:
            WorkerError: a worker has another environment, or the cluster was lost, or workers were killed by
                the call each time.
        """
        self.facts(needs)
        calls = [OnLoading.pickled(call, function, given, needs, self._facts[needs]) for given in arguments]
        futures = [self._submit(data, name) for data, name in zip(calls, names, strict=True)]
        return [self._called(*sent) for sent in zip(calls, names, futures, strict=True)]

    def _called(self, data: bytes, name: str | None, future: Any) -> Any:
        """Return the result of a call, which is made again, by any worker, if its own one is killed."""
        for _ in range(ATTEMPTS):
            with contextlib.suppress(_KilledError):
                return self._fetched(future or self._submit(data), name)
            name = future = None
        msg = (
            f"{self.address}: {ATTEMPTS} workers of the cluster were killed one after the other by this task"
        )
        raise WorkerError(msg)

    def on_closing(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function on all workers when the cluster is left, if it is there then."""

        def call_all() -> None:
            with contextlib.suppress(Exception):
                self._client.run(pickle.loads, OnLoading.pickled(function, *arguments), on_error="ignore")

        self._open.callback(call_all)

    def _alone(self, task: Task[R], paths: list[str], first: int) -> Iterator[R]:
        """Yield the results for a part while the workers have no other: what kills a worker now is in it."""
        if not self._is_told:
            self._is_told = True
            warnings.warn("a worker of the cluster was killed: its images are done again", stacklevel=3)
        for _ in range(ATTEMPTS if len(paths) == 1 else 1):
            with contextlib.suppress(_KilledError):
                yield self._result(self._send(task, paths, first))
                return
        if len(paths) == 1:
            yield task.lost(paths[0], first)
            return
        half = len(paths) // 2
        yield from self._alone(task, paths[:half], first)
        yield from self._alone(task, paths[half:], first + half)

    def _send(self, task: Task[R], paths: list[str], first: int) -> _Sent:
        data = OnLoading.pickled(work, task, paths, os.getcwd(), first, self._facts[task.needs])
        return _Sent(paths, first, self._submit(data))

    def _submit(self, data: bytes, name: str | None = None) -> Any:
        """Return the future of what unpickling data calls, on the worker of this name if one is given."""
        where = {} if name is None else {"workers": [name]}
        key = f"xpnet-{os.urandom(8).hex()}"
        try:
            with warnings.catch_warnings(action="ignore"):  # about the size of the data
                return self._client.submit(pickle.loads, data, key=key, pure=False, **where)
        except (OSError, RuntimeError) as error:
            raise self._lost() from error

    def _result(self, sent: _Sent) -> Any:
        """Return the result for a part.

        Raises:
            _KilledError: a worker was killed that had it.
            WorkerError: see `map`.
        """
        try:
            done: Done[Any] = self._fetched(sent.future)
        finally:
            sent.future.release()
        for path in done.unseen:
            if can_see(path):
                msg = (
                    f"{path}: the worker {done.worker} of the cluster does not see this file, which this "
                    "machine sees: put the images where all workers see them under the same path, or into "
                    "a bucket"
                )
                raise WorkerError(msg)
        return done.result

    def _fetched(self, future: Any, name: str | None = None) -> Any:
        """Return what a worker returned. name: of the only worker that may do it. Errors: see `_result`."""
        from concurrent.futures import CancelledError

        timeout = ABSENT_SECONDS if name is None else SUMS_SECONDS
        while True:
            self._wait(future, name)
            try:
                return future.result(timeout=timeout)
            except TimeoutError:  # the worker that has the result was killed now: the part is done again
                if future.status == "error":
                    raise
                continue
            except self._dask.KilledWorker:
                raise _KilledError from None
            except (CancelledError, OSError) as error:
                raise self._lost() from error
            except ImportError as error:
                who = "a worker of the cluster"
                raise _without_xpnet(who, error) from error
            except RuntimeError as error:
                if isinstance(error, XpnetError):
                    raise
                msg = f"{self.address}: the cluster failed, perhaps with another version of Dask: {error}"
                raise WorkerError(msg) from error

    def _wait(self, future: Any, name: str | None = None) -> None:
        """Wait until a call is done or has failed. name: of the only worker that may do it.

        Raises:
            _KilledError: that worker is gone.
            WorkerError: there are no workers any more.
        """
        while not future.done():
            with contextlib.suppress(Exception):
                future.exception(timeout=POLL_SECONDS)
            self._workers()
            if name is not None and name not in self._names:
                raise _KilledError

    def _workers(self) -> int:
        """Return how many workers there are, as far as known. At least 1, because some may come back.

        Raises:
            WorkerError: there have been none for a while, or the scheduler was lost.
        """
        now = time.monotonic()
        if now - self._asked > POLL_SECONDS:
            self._asked = now
            if self._client.status != "running":
                raise self._lost()
            try:
                self._names = set(self._client.nthreads())
            except (OSError, RuntimeError) as error:
                raise self._lost() from error
            if self._names:
                self._seen = now
            elif now - self._seen > ABSENT_SECONDS:
                msg = f"{self.address}: has had no workers for {ABSENT_SECONDS} s: start some, and this again"
                raise WorkerError(msg)
        return max(1, len(self._names))

    def _asked_all(self, needs: Needs) -> dict[str, Facts]:
        """Return the facts of each worker by its address."""
        data = OnLoading.pickled(facts_of, needs)
        try:
            answers: dict[str, Any] = self._client.run(pickle.loads, data, on_error="return")
        except (OSError, RuntimeError) as error:
            raise self._lost() from error
        for name, answer in answers.items():
            if isinstance(answer, ImportError):
                who = f"the worker {name} of the cluster"
                raise _without_xpnet(who, answer) from answer
            if isinstance(answer, OSError) and name not in self._client.nthreads():
                return self._asked_all(needs)  # it was killed meanwhile
            if isinstance(answer, OSError):
                msg = f"{self.address}: the worker {name} cannot be used: {answer}"
                raise WorkerError(msg) from answer
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _connected(self, address: str) -> Any:
        try:
            self._dask.comm.get_address_host_port(address, strict=True)
            with warnings.catch_warnings(action="ignore"):  # about versions, which are compared later
                return self._dask.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except ValueError as error:
            msg = (
                f"--cluster is {address!r}, expected tcp://HOST:PORT of a Dask scheduler, or local:N: {error}"
            )
            raise UsageError(msg) from error
        except (OSError, RuntimeError) as error:
            msg = (
                f"{address}: no Dask scheduler answers there: {error}. Start one by dask scheduler, or leave "
                "out --cluster"
            )
            raise WorkerError(msg) from error

    @contextlib.contextmanager
    def _started(self, workers: _LocalWorkers) -> Iterator[str]:
        """Give the address of a scheduler in this process for some workers. Both end with the block."""
        import dask

        from .workers import interrupts_blocked

        with contextlib.ExitStack() as opening:
            # Interrupted in the middle of it, Dask would leave processes behind.
            with interrupts_blocked(), dask.config.set(LOCAL_CONFIGURATION):
                local = self._dask.LocalCluster(
                    n_workers=0,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    scheduler_kwargs={"dashboard": False},
                    silence_logs=logging.CRITICAL,
                )
                opening.callback(local.close)
                opening.callback(workers.end)  # before the scheduler
                workers.connect(local.scheduler_address)
            yield local.scheduler_address

    def _lost(self) -> WorkerError:
        return WorkerError(
            f"{self.address}: the scheduler of the cluster was lost: start one, and the same command again"
        )


class _LocalWorkers:
    """Workers of this machine. One that ends is started again. Use it in a `with` statement, which ends them.

    Dask's own supervisor does not always start a worker again that is killed while it starts.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        from .workers import import_path

        self._command = [sys.executable, "-P", "-c", WORKER, *import_path()]
        self._address = b""
        self._is_closed, self._lock = threading.Event(), threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._threads = [threading.Thread(target=self._keep_one, daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    def connect(self, scheduler: str) -> None:
        """Tell the workers the address of the scheduler, also those that are started later."""
        with self._lock:
            self._address = f"{scheduler}\n".encode()
            for process in self._processes:
                self._tell(process)

    def end(self) -> None:
        """End the workers."""
        with self._lock:
            self._is_closed.set()
            for process in self._processes:
                process.kill()
        for thread in self._threads:
            thread.join()

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(OSError):  # it was killed
            cast("IO[bytes]", process.stdin).write(self._address)
            cast("IO[bytes]", process.stdin).close()

    def _keep_one(self) -> None:
        while not self._is_closed.is_set():
            with contextlib.suppress(OSError):  # there may be memory for a process soon
                with self._lock:
                    if self._is_closed.is_set():
                        return
                    process = subprocess.Popen(  # noqa: S603  (our own program)
                        self._command,
                        stdin=subprocess.PIPE,
                        stdout=subprocess.DEVNULL,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,  # on Ctrl-C this process ends it
                    )
                    self._processes.add(process)
                    if self._address:
                        self._tell(process)
                process.wait()
                with self._lock:
                    self._processes.discard(process)
            self._is_closed.wait(AGAIN_SECONDS)


def _own_facts(needs: Needs) -> Facts:
    """Return the facts that workers must have. Which device they compute on is their own business."""
    from dataclasses import replace

    return facts_of(replace(needs, computes=False))


def _without_xpnet(who: str, error: ImportError) -> WorkerError:
    return WorkerError(
        f"{who} has not this version of xpnet ({error}): install the same environment on all workers, for "
        "example pip install 'xpnet[cluster]'"
    )


@contextlib.contextmanager
def _quiet_logs() -> Iterator[None]:
    """Silence Dask's own messages in this process for a while: errors and warnings say what matters."""
    names = [
        name for name in logging.root.manager.loggerDict if name.split(".")[0] in ("distributed", "tornado")
    ]
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
