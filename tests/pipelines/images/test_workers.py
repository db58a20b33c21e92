"""Workers: processes that end at any moment, that cannot start, and that run where others have left files."""

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from image_files import decode_in_two, decoded_colors
from PIL import Image

from xpnet.errors import WorkerError
from xpnet.pipelines.images import decode_many, workers
from xpnet.pipelines.images.recipe import Recipe
from xpnet.pipelines.images.workers import DIED, Workers, import_path

RECIPE = Recipe(2, 3)
REMEDY = "--workers 1, in Python workers=1, images are decoded in one process"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start workers at once."""
    monkeypatch.setattr(decode_many, "ALONE_SECONDS", -1.0)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the paths of images of one color each: image i has color i."""
    folder = tmp_path_factory.mktemp("decoding")
    for i in range(12):
        Image.new("RGB", (2, 2), (i, i, i)).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(12)]


class Deadly(str):
    """A path that ends the worker it is sent to, like a decoder that crashes."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[int], object], tuple[int]]:
        return os._exit, (3,)


# Workers that are kept busy


@pytest.mark.parametrize("remote", [False, True])
def test_a_worker_has_more_tasks_while_many_wait(
    paths: list[str], remote: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For those on servers it has only two, because it reads them at once."""
    ahead = workers.TASKS_SENT if remote else workers.MOST_SENT
    send, receive, sent = workers._send, workers._receive, list[object]()
    may_receive, is_sent = threading.Semaphore(0), threading.Semaphore(0)

    def counted(process: Any, task: object) -> None:
        send(process, task)
        sent.append(task)
        is_sent.release()

    def late(process: Any) -> Any:
        assert may_receive.acquire(timeout=60)
        return receive(process)

    monkeypatch.setattr(workers, "_send", counted)
    monkeypatch.setattr(workers, "_receive", late)
    monkeypatch.setattr(workers, "is_remote", lambda path: remote)
    with Workers(1) as decoders:
        results = [decoders.submit(paths[:1], RECIPE) for _ in range(30)]
        may_receive.release()
        for _ in range(1 + ahead):
            assert is_sent.acquire(timeout=60)
        assert not is_sent.acquire(timeout=0.1)
        assert len(sent) == 1 + ahead
        for _ in results:
            may_receive.release()
        assert [result.result().errors for result in results] == [[""]] * 30
    assert len(sent) == 30


# Workers that end


@pytest.mark.parametrize(
    ("places", "count", "size"),
    [([0], 1, 12), ([0], 2, 3), ([11], 1, 3), ([11], 2, 5), ([4, 5], 2, 3), ([0, 3, 11], 2, 1)],
)
def test_an_image_that_ends_its_worker_is_one_error(
    paths: list[str], places: list[int], count: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [Deadly("deadly") if i in places else path for i, path in enumerate(paths)]
    assert decoded_colors(given, count, size) == [DIED if i in places else i for i in range(12)]


KILLED = """
import os, signal, sys
sys.path[:] = sys.argv[1:]
from xpnet.pipelines.images.worker import READY, spawn_main
try:
    os.mkdir({flag!r})
except FileExistsError:
    spawn_main()
{last}
os.kill(os.getpid(), signal.SIGKILL)
"""
"""A worker that is killed, the first time, after its last action."""


def test_a_worker_that_ends_while_its_tasks_are_sent_again(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each result is that of its task, however many tasks the worker had."""
    send = workers._send

    def slowly(process: Any, task: object) -> None:
        send(process, task)
        time.sleep(0.01)  # so that it has ended before the next task is sent

    monkeypatch.setattr(workers, "_send", slowly)
    given = [[Deadly(paths[i % 12]) if i % 4 == 1 else paths[i % 12]] for i in range(24)]
    with Workers(1) as decoders:
        found = [each.result(60) for each in [decoders.submit(task, RECIPE) for task in given]]
    for i, pixels in enumerate(found):
        is_deadly = i % 4 == 1
        assert (pixels.errors, pixels.columns[0]) == ([DIED if is_deadly else ""], 0 if is_deadly else i % 12)


def test_a_result_of_another_task_is_not_taken(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    send, sent = workers._send, list[object]()

    def once_lost(process: Any, task: Any) -> None:
        sent.append(task)
        if len(sent) != 3:
            send(process, task)

    monkeypatch.setattr(workers, "_send", once_lost)
    with Workers(1) as decoders:
        results = [decoders.submit([path], RECIPE) for path in paths]
        assert [each.result(60).columns[0] for each in results] == list(range(12))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
@pytest.mark.parametrize(
    "last",
    [
        "",
        "os.write(1, READY[:5])",
        "os.write(1, b'noise of a start-up file\\n' + READY)",
        "os.write(1, READY); os.read(0, 1)",
        "os.write(1, READY); os.read(0, 1); os.write(1, bytes(5))",
        "os.write(1, READY); os.read(0, 1); os.write(1, bytes(8) + (5000).to_bytes(8, 'big'))",
        "os.write(1, READY); os.read(0, 1); os.write(1, bytes(8) + (5000).to_bytes(8, 'big') + bytes(5000))",
    ],
    ids=["start", "half ready", "ready", "task", "in a number", "length", "in the result"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_may_be_killed_at_any_moment(
    paths: list[str], count: int, last: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PROGRAM", KILLED.format(flag=str(tmp_path / "killed"), last=last))
    assert decoded_colors(paths, count) == list(range(12))
    assert (tmp_path / "killed").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_a_worker_that_is_killed_while_an_image_is_decoded_alone(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Workers(1) as one:
        started, count = one._started, itertools.count()

        def start_and_kill() -> Any:
            process = started()
            if next(count) < 2:  # for all images, and for the first one alone
                process.kill()
                process.wait()
            return process

        monkeypatch.setattr(one, "_started", start_and_kill)
        pixels = one.submit(paths[:3], RECIPE).result()
    assert (pixels.errors, pixels.frames) == (["", "", ""], [1, 1, 1])
    assert list(pixels.columns) == [i for i in range(3) for _ in range(RECIPE.n_x)]


def test_a_worker_that_was_started_early_does_the_task(paths: list[str]) -> None:
    with Workers(2) as pool:
        pool.start(1)
        pixels = pool.submit(paths[:1], RECIPE).result()
        assert (len(pixels.columns), pixels.errors) == (RECIPE.n_x, [""])


@pytest.mark.parametrize(("asked", "started"), [(None, 3), (1, 1), (9, 3)])
def test_workers_that_were_started_early_do_the_tasks(
    paths: list[str], asked: int | None, started: int
) -> None:
    with Workers(3) as pool:
        pool.start(asked)
        early = set(pool._processes)
        assert len(early) == started
        for future in [pool.submit(paths[:1], RECIPE) for _ in range(3)]:
            assert future.result().errors == [""]
        assert early <= pool._processes
        assert len(pool._processes) <= 3
    assert all(process.poll() is not None for process in early)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_do_not_get_the_interrupts_of_their_parent(paths: list[str]) -> None:
    with Workers(2) as pool:
        pool.start(1)
        (process,) = pool._processes
        pool.submit(paths[:1], RECIPE).result()
        status = Path(f"/proc/{process.pid}/status").read_text()
        blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
        assert blocked >> (signal.SIGINT - 1) & 1
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_worker_that_cannot_be_started_early_is_told_with_the_task(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "PROGRAM", "import sys; sys.exit(1)")
    with Workers(1) as pool:
        pool.start(1)
        with pytest.raises(WorkerError, match="ended before its first task"):
            pool.submit(paths, RECIPE).result()


def test_idle_workers_are_stopped_and_started_again(paths: list[str]) -> None:
    with Workers(2) as pool:
        first = pool.submit(paths, RECIPE).result()
        (process,) = pool._processes
        pool.stop()
        assert process.wait(10) != 0
        assert pool.submit(paths, RECIPE).result() == first
        (again,) = pool._processes
        assert again.pid != process.pid


def test_no_worker_is_left(paths: list[str]) -> None:
    with Workers(2) as pool:
        for _ in range(4):
            pool.submit(paths, RECIPE).result()
        processes = set(pool._processes)
        assert 1 <= len(processes) <= 2
    assert all(process.poll() is not None for process in processes)
    assert not pool._processes


def test_workers_end_in_the_middle_of_a_task(paths: list[str]) -> None:
    with Workers(1) as pool:
        pool.submit(paths, RECIPE).result()
        futures = [pool.submit(paths * 5000, RECIPE) for _ in range(3)]
    assert all(future.done() for future in futures)


# Workers that cannot be started


@pytest.mark.parametrize("count", [1, 2])
def test_without_an_interpreter_this_process_decodes_with_a_warning(
    paths: list[str], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = multiprocessing.spawn.get_executable()
    multiprocessing.set_executable("/nowhere/python")
    try:
        with pytest.warns(UserWarning, match="decoded in this process: .*/nowhere/python cannot be") as told:
            assert decoded_colors(paths, count) == list(range(12))
    finally:
        multiprocessing.set_executable(os.fsdecode(usual))
    assert len(told) == 1


def test_a_system_that_starts_no_processes_for_a_while_is_told_once(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, calls = subprocess.Popen, []

    def popen(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) < 4:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return usual(*arguments, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    with pytest.warns(UserWarning, match="Resource temporarily unavailable") as told:
        assert decoded_colors(paths, 2, 1) == list(range(12))
    assert len(told) == 1
    assert 4 <= len(calls) <= 5


def test_a_decoder_that_cannot_be_imported_is_told(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("raise ImportError('libjpeg.so: cannot open shared object file')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(WorkerError, match="ended before its first task, with exit code 1"):
        decoded_colors(paths)


def test_workers_that_end_at_once_are_told(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PROGRAM", "import sys; sys.exit(7)")
    with pytest.raises(WorkerError, match=f"ended before its first task, with exit code 7.*{REMEDY}"):
        decoded_colors(paths)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals")
def test_workers_that_are_always_killed_are_told(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "PROGRAM", f"import os; os.kill(os.getpid(), {signal.SIGKILL:d})")
    with pytest.raises(WorkerError, match="ended before its first task, with exit code -9"):
        decoded_colors(paths)


def test_a_frozen_program_starts_none(paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(WorkerError, match="a frozen program has no Python interpreter"):
        decoded_colors(paths)


# Where workers run

SCRIPT = """
import sys
sys.path[:] = {path}
from xpnet.pipelines.images import Recipe, Workers, decode_all

with Workers(1) as workers:
    parts = list(decode_all(sys.argv[1:], Recipe(2, 3), workers))
print("decoded", [error for part in parts for error in part.errors])
"""


def run_script(
    folder: Path, paths: list[str], *flags: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a script that decodes, and is not guarded by `if __name__ == "__main__"`, in a folder."""
    home = str(
        Path(sys.modules["xpnet"].__file__ or "").parent.parent
    )  # without `site`, an editable one is not found
    (folder / "script.py").write_text(SCRIPT.format(path=[*sys.path, home]))
    return subprocess.run(
        [sys.executable, *flags, str(folder / "script.py"), *paths],
        capture_output=True, text=True, check=False, timeout=30, cwd=folder, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize("flags", [["-I", "-B"], ["-P", "-O"], ["-S"], ["-E", "-s", "-X", "utf8"]])
def test_workers_start_under_each_flag_of_python(paths: list[str], flags: list[str], tmp_path: Path) -> None:
    done = run_script(tmp_path, paths[:2], *flags)
    assert (done.returncode, done.stdout) == (0, "decoded ['', '']\n"), done.stderr


def test_workers_need_no_semaphores(paths: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys; sys.modules['_multiprocessing'] = sys.modules['multiprocessing.synchronize'] = None"
    )
    done = run_script(tmp_path, paths[:2], environment={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, "decoded ['', '']\n"), done.stderr


def test_no_file_of_the_working_directory_is_run(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("signal", "pickle", "random", "threading", "PIL", "xpnet", "olefile", "struct"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    for first in ("", str(tmp_path)):  # as `python -c` and `python -m` have it
        monkeypatch.setattr(sys, "path", [first, *sys.path])
        assert decoded_colors(paths[:2]) == [0, 1]
        monkeypatch.undo()
        monkeypatch.setattr(decode_many, "ALONE_SECONDS", -1.0)
        monkeypatch.chdir(tmp_path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("flags", [[], ["-P"]])
def test_the_command_as_a_module_runs_no_file_of_the_working_directory(
    tmp_path: Path, flags: list[str]
) -> None:
    for name in ("signal", "typer", "PIL", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    done = subprocess.run(
        [sys.executable, *flags, "-m", "xpnet", "predict", "gone.safetensors", "a.png"],
        capture_output=True, text=True, check=False, timeout=30, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "gone.safetensors" in done.stderr
    assert not (tmp_path / "executed").exists()


def test_the_import_path_has_xpnet_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = str(Path(sys.modules["xpnet"].__file__ or "").parent.parent)
    monkeypatch.setattr(sys, "path", ["", "/a", "b"])
    monkeypatch.chdir(tmp_path)
    assert import_path() == ["/a", str(tmp_path / "b"), home]
    monkeypatch.setattr(sys, "path", ["/a", home])
    assert import_path() == ["/a", home]


def test_the_workers_of_others_may_decode(paths: list[str]) -> None:
    """A process of the user's own pool may decode, also with workers of its own."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        assert pool.submit(decode_in_two, paths).result(timeout=50) == list(range(12))
