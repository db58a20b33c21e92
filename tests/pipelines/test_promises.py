"""What the command promises, in processes of its own: kills, hostile folders, memory, signals."""

import csv
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pictures import draw_classes, draw_many, picture
from PIL import Image

COMMAND = [sys.executable, "-m", "xpnet"]
AT_ONCE = [  # processes are started at once, not only when there is much to do
    sys.executable,
    "-c",
    "from xpnet.pipelines.images import decode_many; decode_many.ALONE_SECONDS = -1.0\n"
    "from xpnet.pipelines.cli import main; main()",
]
ENVIRONMENT = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "XPNET_DEVICE": "cpu"}


def xpnet(*arguments: object, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, env=ENVIRONMENT, check=False, **options
    )


def begin(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [*AT_ONCE, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def test_killed_at_thirty_random_moments_it_ends_with_the_same_bytes(model: Path, tmp_path: Path) -> None:
    folder = draw_many(tmp_path / "images", 3000)
    (folder / "000100.jpg").unlink()
    (folder / "000100.jpg").write_bytes(b"no image")
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    assert xpnet("predict", model, folder, "-o", whole).returncode == 3
    generator, gone_on = random.Random(0), 0  # noqa: S311
    journal = Path(f"{killed}.journal")
    for k in range(30):
        process = begin(
            "predict", model, folder, "-o", killed, "--resume", "--batch-size", 16, "--workers", 2
        )
        while k % 5 and process.poll() is None and not journal.exists():  # some are killed while they start
            time.sleep(0.005)
        time.sleep(generator.random() * 0.6)
        process.kill()
        process.wait()
        if killed.exists():  # it was done before: once more from the beginning
            assert killed.read_bytes() == whole.read_bytes()
            killed.unlink()
        gone_on += journal.exists()
    assert gone_on > 10
    assert xpnet("predict", model, folder, "-o", killed, "--resume").returncode == 3
    assert killed.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob("killed.csv.*"))


def test_killed_trainings_end_with_the_same_model(classes: Path, tmp_path: Path) -> None:
    options = [
        "--hidden",
        "24:relu",
        "--epochs",
        "500",
        "--batch-size",
        "8",
        "--image-size",
        "16",
        "--dropout",
        "0.2",
    ]
    code = "from xpnet import fitting; fitting.CHECKPOINT_SECONDS = 0.0; from xpnet.pipelines.cli import main; main()"

    def train(output: Path, *more: str) -> subprocess.Popen:
        arguments = ["train", str(classes), "-o", str(output), "--workers", "1", *options, *more]
        return subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=ENVIRONMENT,
        )

    assert train(tmp_path / "whole").wait() == 0
    killed, resumed = tmp_path / "killed", 0
    checkpoint = Path(f"{killed}.checkpoint")
    for k in range(5):
        process = train(killed, "--resume")
        before = checkpoint.read_bytes() if checkpoint.exists() else b""
        while process.poll() is None and (not checkpoint.exists() or checkpoint.read_bytes() == before):
            time.sleep(0.005)
        time.sleep(0.05 * k)
        process.kill()
        process.wait()
        resumed += checkpoint.exists()
        if killed.exists():
            break
    assert resumed
    if not killed.exists():
        assert train(killed, "--resume").wait() == 0
    assert train(killed, "--resume").wait() == 2  # it is done
    assert killed.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not Path(f"{killed}.checkpoint").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_interrupted_it_says_so_and_can_go_on(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 3000), tmp_path / "rows.csv"
    process = subprocess.Popen(
        [*AT_ONCE, "predict", str(model), str(folder), "-o", str(output), "--workers", "2"],
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        start_new_session=True,
        # Who runs the tests in the background may have them ignore it, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    journal = Path(f"{output}.journal")
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in said
    assert b"interrupted" in said
    assert b"--resume" in said
    assert xpnet("predict", model, folder, "-o", output, "--resume").returncode == 0
    assert len(output.read_bytes().splitlines()) == 3001


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_workers_end_with_the_process_that_was_killed(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 3000), tmp_path / "rows.csv"
    process = begin("predict", model, folder, "-o", output, "--workers", 2)
    journal = Path(f"{output}.journal")
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 3):
        time.sleep(0.01)

    def living() -> list[int]:
        """Return the processes of the session that began with the command."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == process.pid and fields[0] != "Z":
                found.append(int(folder.name))
        return found

    assert len(living()) >= 3
    process.kill()
    process.wait()
    until = time.monotonic() + 10
    while living() and time.monotonic() < until:
        time.sleep(0.05)
    assert not living()


def hostile(folder: Path) -> dict[str, str]:
    """Make a folder of everything that may be wrong; return a part of each error, empty for good ones."""
    folder.mkdir()
    good = ["a,b.jpg", 'say "hi".jpg', "two\nlines.jpg", "ü.jpg", "-dash.jpg", "z.jpg", "[x].jpg"]
    for name in good:
        picture("red", 1).save(folder / name)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture("green", 2).save(folder / f"turned{orientation}.jpg", exif=exif)
    for mode in ("1", "L", "P", "LA", "RGBA"):
        picture("blue", 3).convert("L" if mode == "LA" else "RGB").convert(mode).save(folder / f"{mode}.png")
    picture("blue", 3).convert("CMYK").save(folder / "cmyk.jpg")
    frames = [picture(name, 4) for name in ("red", "green")]
    frames[0].save(folder / "frames.gif", save_all=True, append_images=frames[1:])
    expected = {path.name: "" for path in folder.iterdir()}
    whole = (folder / "z.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("not an image")
    (folder / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\1\x86\xa0\0\1\x86\xa0\x08\2\0\0\0" + b"\0" * 40
    )
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere")
    (folder / "itself.jpg").symlink_to(folder / "itself.jpg")
    (folder / "loop").symlink_to(folder)
    return expected | {
        "truncated.jpg": "truncated",
        "empty.jpg": "empty",
        "text.png": "not an image",
        "bomb.png": "",  # whichever reason comes first
        "pipe.jpg": "not a regular file",
        "gone.jpg": "No such file",
        "itself.jpg": "cannot be read",
    }


@pytest.mark.skipif(sys.platform == "win32", reason="names and files that Windows does not have")
def test_a_hostile_folder_gets_a_row_for_everything_in_it(model: Path, tmp_path: Path) -> None:
    expected = hostile(tmp_path / "hostile")
    raw = os.fsencode(tmp_path / "hostile") + b"/\xff\xfe.jpg"
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "hostile" / "z.jpg").read_bytes())
    try:
        os.link(tmp_path / "copy.jpg", raw)
        expected["\\xff\\xfe.jpg"] = ""
    except OSError:
        pass  # this file system takes UTF-8 only
    output, listed = tmp_path / "rows.csv", tmp_path / "listed.csv"
    assert (
        xpnet("predict", model, tmp_path / "hostile", tmp_path / "missing.jpg", "-o", output).returncode == 3
    )
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted(Path(row["path"]).name for row in rows[:-1]) == sorted(expected)
    assert Path(rows[-1]["path"]).name == "missing.jpg"
    for row in rows[:-1]:
        name = Path(row["path"]).name
        if expected[name] or name == "bomb.png":
            assert (row["status"], row["label"], row["score"]) == ("error", "", ""), name
            assert expected[name] in row["error"], name
            assert str(tmp_path) not in row["error"], name
        else:
            assert (row["status"], row["error"]) == ("ok", ""), name
    # Neighbours are what they are alone.
    alone = xpnet("predict", model, tmp_path / "copy.jpg").stdout.decode().splitlines()[1].split(",")
    same = [
        row for row in rows if Path(row["path"]).name in ("z.jpg", "a,b.jpg", "two\nlines.jpg", "-dash.jpg")
    ]
    assert [(row["label"], row["score"]) for row in same] == [(alone[2], alone[3])] * 4
    # A list of the same paths, one worker and other batches: the same rows.
    names = "\n".join(row["path"] for row in rows if "\n" not in row["path"] and "\\" not in row["path"])
    (tmp_path / "names").write_text(names)
    done = xpnet("predict", model, "--files-from", tmp_path / "names", "-o", listed, "--batch-size", 5)
    assert done.returncode == 3
    assert set(listed.read_text().splitlines()) <= set(output.read_text(encoding="utf-8").splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="measures by Linux' rules")
def test_memory_does_not_grow_with_the_inputs(model: Path, tmp_path: Path) -> None:
    few, many = draw_many(tmp_path / "few", 500), draw_many(tmp_path / "many", 12_000)
    code = """
import sys
from xpnet.pipelines.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code
print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])
"""
    peaks = []
    for folder in (few, many):
        arguments = ["predict", str(model), str(folder), "-o", str(tmp_path / "rows.csv"), "-q"]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            check=True,
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 12  # megabytes; the names of one folder are a hundred bytes each


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_is_a_word_and_can_be_resumed(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 1000), tmp_path / "rows.csv"

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = xpnet("predict", model, folder, "-o", output, "--workers", 1, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"File too large; what is done so far is kept, and --resume goes on with it" in done.stderr
    assert not output.exists()
    assert xpnet("predict", model, folder, "-o", output, "--resume").returncode == 0
    assert xpnet("predict", model, folder, "-o", tmp_path / "whole.csv").returncode == 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.parametrize("command", ["preprocess", "train"])
def test_skipped_files_are_named_and_counted(tmp_path: Path, command: str) -> None:
    folder = draw_classes(tmp_path / "classes", 4)
    (folder / "red" / "0002.jpg").write_bytes(b"")
    (folder / "blue" / "broken.png").write_bytes(b"broken")
    done = xpnet(command, folder, "-o", tmp_path / "out", "--image-size", 8)
    assert done.returncode == 3
    said = done.stderr.decode()
    assert f"skipped {folder / 'red' / '0002.jpg'}: file is empty" in said
    assert f"skipped {folder / 'blue' / 'broken.png'}: not an image" in said
    assert "skipped 2 inputs in all" in said
    assert "m = 11" in done.stdout.decode()
    failed = xpnet(command, folder, "-o", tmp_path / "out2", "--on-error", "fail")
    assert failed.returncode == 1
    assert b"broken.png: not an image" in failed.stderr
    assert not (tmp_path / "out2").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size")
def test_a_full_disk_ends_preprocessing_with_a_word(classes: Path, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = xpnet("preprocess", classes, "-o", tmp_path / "data.h5", preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.decode() == f"error: {tmp_path / 'data.h5'}: cannot be written: File too large\n"
    assert not list(tmp_path.iterdir())


def test_no_input_is_overwritten(model: Path, classes: Path, tmp_path: Path) -> None:
    photo, own = tmp_path / "a.jpg", tmp_path / "model"
    photo.write_bytes((classes / "red" / "0000.jpg").read_bytes())
    own.write_bytes(model.read_bytes())
    (tmp_path / "list").write_text(str(photo))
    for arguments in (
        ["predict", own, photo, "-o", photo],
        ["predict", own, tmp_path, "-o", photo],
        ["predict", own, photo, "-o", own],
        ["predict", own, "--files-from", tmp_path / "list", "-o", tmp_path / "list"],
        ["train", own, "-o", own],
        ["train", classes, "-o", tmp_path / "new", "--history", tmp_path / "new"],
    ):
        before = {
            path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix not in (".part", ".journal")
        }
        done = xpnet(*arguments)
        assert done.returncode == 2, arguments
        assert b"name another file to write" in done.stderr
        assert {path: path.read_bytes() for path in before} == before


def test_a_killed_retry_is_not_gone_on_with_as_if_it_were_a_run(model: Path, tmp_path: Path) -> None:
    folder, output = draw_many(tmp_path / "images", 300), tmp_path / "rows.csv"
    broken = sorted(folder.iterdir())[40:]
    contents = {path: path.read_bytes() for path in broken}
    for path in broken:
        path.unlink()
        path.write_bytes(b"broken")
    assert xpnet("predict", model, folder, "-o", output).returncode == 3
    for path, content in contents.items():
        path.write_bytes(content)
    code = """
from pipelines import retry
retry.BATCH = 16
from xpnet.pipelines.predictions.resumable_file import Partial
append = Partial.append
def killed(self, chunk, state):
    append(self, chunk, state)
    if state["retried"] > 100:
        import os
        os.kill(os.getpid(), 9)
Partial.append = killed
from xpnet.pipelines.cli import main
main()
"""
    arguments = ["predict", str(model), str(folder), "-o", str(output)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--retry-errors"], env=ENVIRONMENT, check=False
    )
    assert done.returncode == -9
    refused = xpnet(*arguments, "--resume")
    assert refused.returncode == 1
    assert b"cannot be resumed: it was begun with another retry" in refused.stderr
    assert xpnet(*arguments, "--retry-errors").returncode == 0
    assert xpnet("predict", model, folder, "-o", tmp_path / "whole.csv").returncode == 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no links, no pipes")
def test_an_output_is_what_a_link_points_to_and_no_device(model: Path, classes: Path, tmp_path: Path) -> None:
    (tmp_path / "link.csv").symlink_to(tmp_path / "rows.csv")
    assert xpnet("predict", model, classes / "red", "-o", tmp_path / "link.csv").returncode == 0
    assert (tmp_path / "link.csv").is_symlink()
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 21
    os.mkfifo(tmp_path / "pipe")
    for arguments in (["predict", model, classes / "red"], ["train", classes]):
        done = xpnet(*arguments, "-o", tmp_path / "pipe")
        assert done.returncode == 1
        assert b"is a device or a pipe" in done.stderr


def test_other_peoples_files_are_not_removed(model: Path, classes: Path, tmp_path: Path) -> None:
    for name in ("rows.csv.part", "rows.csv.journal", "model.checkpoint"):
        (tmp_path / name).write_text("precious")
    assert (
        b"not what an earlier run left"
        in xpnet("predict", model, classes, "-o", tmp_path / "rows.csv").stderr
    )
    assert xpnet("train", classes, "-o", tmp_path / "model").returncode == 1
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}


def test_a_checkpoint_is_not_lost_to_another_plan(classes: Path, tmp_path: Path) -> None:
    model, checkpoint = tmp_path / "model", tmp_path / "model.checkpoint"
    code = """
from pipelines import runs
def killed(*args):
    raise KeyboardInterrupt
runs.save = killed
from xpnet.pipelines.cli import main
main()
"""
    plan = ["train", str(classes), "-o", str(model), "--image-size", "8"]
    batches = [*plan, "--hidden", "4", "--epochs", "5"]
    done = subprocess.run(
        [sys.executable, "-c", code, *batches], env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.returncode == 130
    before = checkpoint.read_bytes()
    for other, said in (
        ([*plan], b"leave out --resume"),
        ([*plan, "--hidden", "4", "--epochs", "2"], b"has 5 epochs done, and this training is to have 2"),
        ([*plan, "--hidden", "5", "--epochs", "5"], b"was made with"),
    ):
        done = xpnet(*other, "--resume")
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert checkpoint.read_bytes() == before
    assert xpnet(*batches, "--resume").returncode == 0
    assert not checkpoint.exists()


def test_nothing_asks_the_network(classes: Path, tmp_path: Path) -> None:
    code = """
import sys
def refuse(event, arguments):
    if event.startswith("socket.") and event != "socket.__new__":
        raise AssertionError(event)
sys.addaudithook(refuse)
from xpnet.pipelines.cli.app import app
for arguments in (
    ["train", sys.argv[1], "-o", sys.argv[2], "--image-size", "8"],
    ["evaluate", sys.argv[2], sys.argv[1]],
    ["predict", sys.argv[2], sys.argv[1], "-o", sys.argv[2] + ".csv", "--workers", "2"],
    ["info", sys.argv[2]],
    ["doctor"],
):
    try:
        app(arguments)
    except SystemExit as ended:
        assert not ended.code, arguments
"""
    arguments = [str(classes), str(tmp_path / "model")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == 0, done.stderr
