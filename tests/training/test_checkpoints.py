"""Checkpoints: a killed training resumes to the same bytes, and the checkpoint of another is refused."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from locations import TESTS

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import ModelFileError
from xpnet.io import tensor_file
from xpnet.nn import OPTIMIZERS, SCHEDULES, Layer, Network, Optimizer, Settings
from xpnet.training import Trainer, fit, trainer

MODEL = Network(12, 3, "softmax", (Layer.parse("8:relu"),))
GENERATOR = np.random.default_rng(0)
DATA = ColumnMatrix.of(GENERATOR.integers(0, 256, (100, 12), dtype=np.uint8).T, "channel", 3)
Y = GENERATOR.integers(0, 3, (1, 100))
SETTINGS = Settings(epochs=6, batch_size=16, dropout=0.2, learning_rate=0.01)


class KilledError(Exception):
    """Stands for the end of the process."""


def interrupted(path: Path, backend: Backend, settings: Settings, after: int, validation: Any = None) -> None:
    def kill(epoch: Any) -> None:
        if epoch.epoch == after:
            raise KilledError

    with pytest.raises(KilledError):
        fit(MODEL, DATA, Y, backend, settings, validation, on_epoch=kill, checkpoint=path)


@pytest.fixture(autouse=True)
def _every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_resumed_training_is_one_that_was_never_interrupted(
    optimizer: Optimizer, backend: Backend, tmp_path: Path
) -> None:
    settings = replace(
        SETTINGS, optimizer=optimizer, schedule=SCHEDULES["plateau"], patience=4, metric_examples=50
    )
    whole = fit(MODEL, DATA, Y, backend, settings, (DATA, Y))
    for after in (2, 5):
        interrupted(tmp_path / "c", backend, settings, after, (DATA, Y))
    resumed = fit(MODEL, DATA, Y, backend, settings, (DATA, Y), checkpoint=tmp_path / "c")
    buffers = [backend.fetch(fitted.parameters.buffer) for fitted in (whole, resumed)]
    assert buffers[0].tobytes() == buffers[1].tobytes()
    strip = [[replace(epoch, seconds=0.0) for epoch in fitted.history] for fitted in (whole, resumed)]
    assert strip[0] == strip[1]
    assert (whole.history.best_epoch, whole.history.stopped) == (
        resumed.history.best_epoch,
        resumed.history.stopped,
    )


def test_a_finished_training_is_not_run_again(tmp_path: Path) -> None:
    first = fit(MODEL, DATA, Y, select("cpu"), SETTINGS, checkpoint=tmp_path / "c")
    ran: list[Any] = []
    again = fit(MODEL, DATA, Y, select("cpu"), SETTINGS, on_epoch=ran.append, checkpoint=tmp_path / "c")
    assert not ran
    np.testing.assert_array_equal(first.parameters.buffer, again.parameters.buffer)
    longer = fit(MODEL, DATA, Y, select("cpu"), replace(SETTINGS, epochs=8), on_epoch=ran.append,
                 checkpoint=tmp_path / "c")  # fmt: skip
    assert len(ran) == 2
    whole = fit(MODEL, DATA, Y, select("cpu"), replace(SETTINGS, epochs=8))
    np.testing.assert_array_equal(longer.parameters.buffer, whole.parameters.buffer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": replace(SETTINGS, learning_rate=0.02)}, "was made with learning_rate 0.01, and this training has 0.02"),
        ({"settings": replace(SETTINGS, seed=1, l2=1.0)}, r"was made with l2 0.0, .* has 1.0 \(also seed differ\)"),
        ({"settings": replace(SETTINGS, optimizer=OPTIMIZERS["sgd"])}, "was made with optimizer"),
        ({"settings": replace(SETTINGS, schedule=SCHEDULES["cosine"])}, "was made with"),
        ({"model": Network(12, 3, "softmax", (Layer.parse("8:tanh"),))}, "was made with model .*8:relu.*8:tanh"),
        ({"Y": (Y + 1) % 3}, "was made with data"),
        ({"data": DATA.standardized_as(ColumnMatrix.of(DATA.X, "unit").standardizer)}, "was made with data"),
        ({"validation": (DATA, Y)}, "was made with data"),
        ({"weights": np.ones((1, 100))}, "was made with data"),
    ],
)  # fmt: skip
def test_another_trainings_checkpoint_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    interrupted(tmp_path / "c", select("cpu"), SETTINGS, 2)
    arguments = {
        "model": MODEL,
        "data": DATA,
        "Y": Y,
        "backend": select("cpu"),
        "settings": SETTINGS,
    } | change
    with pytest.raises(ModelFileError, match=message):
        fit(**arguments, checkpoint=tmp_path / "c")


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    training = Trainer(MODEL, DATA, Y, select("cpu"), SETTINGS)
    training.save_checkpoint(tmp_path / "c")
    content = (tmp_path / "c").read_bytes()
    (tmp_path / "c").write_bytes(content[:-1])
    with pytest.raises(ModelFileError, match="is damaged or truncated"):
        training.load_checkpoint(tmp_path / "c")


PROGRAM = """
import sys
sys.path[:0] = [{tests!r}, {tests!r} + "/training"]
import numpy as np
from test_checkpoints import DATA, MODEL, SETTINGS, Y
from dataclasses import replace
from xpnet.training import trainer
from xpnet.backend import select

trainer.CHECKPOINT_SECONDS = 0.0
fitted = trainer.fit(MODEL, DATA, Y, select("cpu"), replace(SETTINGS, epochs=400),
                     on_epoch=lambda epoch: print(epoch.epoch, flush=True), checkpoint={path!r})
sys.stdout.write(fitted.parameters.buffer.tobytes().hex())
"""


def test_a_training_that_is_killed_at_any_moment(tmp_path: Path) -> None:
    program = [
        sys.executable,
        "-c",
        PROGRAM.format(tests=str(TESTS), path=str(tmp_path / "c")),
    ]
    generator = np.random.default_rng(int(time.time()))
    for _ in range(5):
        process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # it trains
        time.sleep(float(generator.uniform(0, 0.1)))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    whole = fit(MODEL, DATA, Y, select("cpu"), replace(SETTINGS, epochs=400))
    assert done.stdout.splitlines()[-1] == whole.parameters.buffer.tobytes().hex()


@pytest.mark.parametrize("before", [0, 30])
def test_a_training_goes_on_with_other_metric_examples(before: int, backend: Backend, tmp_path: Path) -> None:
    settings = replace(SETTINGS, metric_examples=50)
    whole = fit(MODEL, DATA, Y, backend, settings)
    interrupted(tmp_path / "c", backend, replace(SETTINGS, metric_examples=before), 2)
    resumed = fit(MODEL, DATA, Y, backend, settings, checkpoint=tmp_path / "c")
    buffers = [backend.fetch(fitted.parameters.buffer) for fitted in (whole, resumed)]
    assert buffers[0].tobytes() == buffers[1].tobytes()
    metrics = [[epoch.metric for epoch in fitted.history] for fitted in (whole, resumed)]
    assert metrics[0][2:] == metrics[1][2:]
    assert (metrics[1][0] is None) == (before == 0)


def test_a_checkpoint_from_before_metrics_still_loads(tmp_path: Path) -> None:
    interrupted(tmp_path / "c", select("cpu"), SETTINGS, 2)
    description, arrays = tensor_file.read_tensors(tmp_path / "c", "checkpoint")
    for epoch in description["history"]["epochs"]:
        del epoch["metric"]
    tensor_file.write_tensors(tmp_path / "c", description, arrays)
    assert "metric_examples" not in description["about"]
    resumed = fit(MODEL, DATA, Y, select("cpu"), SETTINGS, checkpoint=tmp_path / "c")
    whole = fit(MODEL, DATA, Y, select("cpu"), SETTINGS)
    np.testing.assert_array_equal(resumed.parameters.buffer, whole.parameters.buffer)
