"""A training over an existing checkpoint, or beside another run with the same output."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnet.backend import select
from xpnet.data import ColumnMatrix
from xpnet.errors import CheckpointError, OutputError, UsageError
from xpnet.pipelines.datasets import Dataset
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import load
from xpnet.pipelines.outputs import locked_outputs
from xpnet.pipelines.training import Plan, TrainJob, sweep_job, train_job
from xpnet.training import trainer

CPU = select("cpu")
PLAN = Plan(hidden="4:relu", epochs=6, batch_size=8)
EXAMPLES = np.random.default_rng(0).standard_normal((24, 3))
DATA = Dataset(ColumnMatrix(EXAMPLES), (EXAMPLES[:, :1] > 0).T.astype(np.int64), ("a", "b"))


class Recorded(Messages):
    """Keeps what is said, and warnings."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    warn = say


def train(output: Path, plan: Plan = PLAN, **options: bool) -> list[str]:
    messages = Recorded()
    train_job(TrainJob(data=DATA, plan=plan, device=CPU, output=str(output)), messages, **options)
    return messages.lines


@pytest.fixture
def killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The output of a training that was killed after its first checkpoint."""

    class KilledError(Exception):
        pass

    def save(self: trainer.Trainer, path: Any) -> None:
        real(self, path)
        raise KilledError

    real = trainer.Trainer.save_checkpoint
    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "save_checkpoint", save)
        with pytest.raises(KilledError):
            train(tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["m.checkpoint"]
    return tmp_path / "m"


@pytest.mark.parametrize("options", [{}, {"resume": True}])
def test_the_same_training_resumes(options: dict[str, bool], killed: Path, tmp_path: Path) -> None:
    assert f"Resuming from {killed}.checkpoint" in train(killed, **options)
    train(tmp_path / "whole")
    assert killed.read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "whole"]


@pytest.mark.parametrize("plan", [Plan(hidden="5:relu", epochs=6, batch_size=8), Plan()])
def test_another_training_is_refused_and_both_ways_are_named(plan: Plan, killed: Path) -> None:
    before = Path(f"{killed}.checkpoint").read_bytes()
    with pytest.raises((CheckpointError, UsageError), match=r"give --overwrite .* or name another file"):
        train(killed, plan)
    assert Path(f"{killed}.checkpoint").read_bytes() == before
    assert not any("Resuming" in line for line in train(killed, plan, overwrite=True))
    assert not Path(f"{killed}.checkpoint").exists()
    assert load(killed).saved.history["m"] == 24


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda _: b"", lambda _: b"my notes"])
@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_checkpoint_that_cannot_be_used_is_set_aside(
    damage: Any, options: dict[str, bool], killed: Path, tmp_path: Path
) -> None:
    checkpoint = Path(f"{killed}.checkpoint")
    checkpoint.write_bytes(damage(checkpoint.read_bytes()))
    content = checkpoint.read_bytes()
    lines = train(killed, **options)
    assert any(f"it is renamed to {checkpoint}.unusable" in line for line in lines)
    assert (tmp_path / "m.checkpoint.unusable").read_bytes() == content
    assert killed.exists()
    checkpoint.write_bytes(b"again")
    train(killed, **options)
    assert (tmp_path / "m.checkpoint.unusable2").read_bytes() == b"again"


def test_resume_and_overwrite_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        train(tmp_path / "m", resume=True, overwrite=True)


def test_a_training_beside_another_one_with_the_same_output_is_refused(tmp_path: Path) -> None:
    output = str(tmp_path / "m")
    job = TrainJob(data=DATA, plan=PLAN, device=CPU, output=output)
    with locked_outputs(output):
        with pytest.raises(OutputError, match="is being written by another run"):
            train_job(job, Recorded())
        with pytest.raises(OutputError, match="is being written by another run"):
            sweep_job(job, {"seeds": [0, 1]}, Recorded())
    train_job(job, Recorded())
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_a_link_in_place_of_the_checkpoint_is_not_followed(
    tmp_path: Path, overwrite: bool, exists: bool
) -> None:
    precious = tmp_path / "precious"
    if exists:
        precious.write_text("precious")
    (tmp_path / "m.checkpoint").symlink_to(precious)
    said = train(tmp_path / "m", overwrite=overwrite)
    assert any("is a link, which is not followed: it is renamed" in line for line in said)
    assert (tmp_path / "m.checkpoint.unusable").is_symlink()
    assert precious.read_text() == "precious" if exists else not precious.exists()
    assert (tmp_path / "m").is_file()
