"""Trainings that are killed, and their checkpoints."""

import subprocess
import sys
import time
from pathlib import Path

from processes import ENVIRONMENT, run_code, xpnet


def test_killed_trainings_end_with_the_same_model(classes: Path, tmp_path: Path) -> None:
    options = ["--hidden", "24:relu", "--epochs", "500", "--batch-size", "8", "--image-size", "16"]
    options += ["--dropout", "0.2"]
    code = (
        "from xpnet.training import trainer; trainer.CHECKPOINT_SECONDS = 0.0\n"
        "from xpnet.pipelines.cli import main; main()"
    )

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
    if checkpoint.exists() or not killed.exists():
        assert train(killed, "--resume").wait() == 0
    assert train(killed, "--resume").wait() == 2  # it is done
    assert killed.read_bytes() == (tmp_path / "whole").read_bytes()
    assert not Path(f"{killed}.checkpoint").exists()


def test_a_checkpoint_is_not_lost_to_another_plan(classes: Path, tmp_path: Path) -> None:
    model, checkpoint = tmp_path / "model", tmp_path / "model.checkpoint"
    code = """
from xpnet.pipelines.training import trainer
def killed(*args):
    raise KeyboardInterrupt
trainer.write_model_file = killed
from xpnet.pipelines.cli import main
main()
"""
    plan = ["train", str(classes), "-o", str(model), "--image-size", "8"]
    batches = [*plan, "--hidden", "4", "--epochs", "5"]
    assert run_code(code, *batches).returncode == 130
    before = checkpoint.read_bytes()
    for other, said in (
        ([*plan], b"this training is full-batch"),
        ([*plan, "--hidden", "4", "--epochs", "2"], b"has 5 epochs, and the training 2: train for more"),
        ([*plan, "--hidden", "5", "--epochs", "5", "--resume"], b"was made with"),
    ):
        done = xpnet(*other)
        assert done.returncode in (1, 2)
        assert said in done.stderr
        assert b"give --overwrite to start from the beginning, or name another file" in done.stderr
        assert checkpoint.read_bytes() == before
    done = xpnet(*batches)
    assert done.returncode == 0
    assert b"Resuming from" in done.stderr
    assert not checkpoint.exists()
