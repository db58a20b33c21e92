"""Checkpoints with random damage: each one is resumed from, or refused with a typed error."""

from pathlib import Path

import pytest
from blobs import MLP, blobs
from mutations import mutated_tensors

from xpnet.backend import select
from xpnet.errors import CheckpointError
from xpnet.nn import Settings
from xpnet.training import Trainer, fit

SEEDS = range(300)


def test_every_damaged_checkpoint_is_used_or_refused(tmp_path: Path) -> None:
    (data, Y), backend, path = blobs(20), select("cpu"), tmp_path / "c"
    settings = Settings(epochs=3, batch_size=10, patience=3)
    fit(MLP, data, Y, backend, settings, (data, Y), checkpoint=path)
    content, refused = path.read_bytes(), 0
    for seed in SEEDS:
        path.write_bytes(mutated_tensors(content, seed))
        training = Trainer(MLP, data, Y, backend, settings, (data, Y))
        try:
            training.load_checkpoint(path)
        except CheckpointError:
            refused += 1
        except Exception as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {error}")
        else:
            assert training.is_done() in (True, False)
            training.epoch()
            training.save_checkpoint(path)
    assert refused > len(SEEDS) / 3
