"""Checkpoints: a training that is killed goes on from its last epoch, to the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import ModelFileError
from xpnet.io import tensor_file
from xpnet.nn import Cosine, History

if TYPE_CHECKING:
    import os

    from xpnet.data import ColumnMatrix
    from xpnet.training.trainer import Training

SAMPLE = 2048
"""Examples, about, by which data is recognized: reading all of them again would take as long as an epoch."""

FREE = ("resident_bytes", "judged_examples")
"""Settings that change no weight: a training may go on with others."""


def save_checkpoint(path: str | os.PathLike[str], training: Training) -> None:
    """Write all that `load` needs to go on, whole or not at all. To be called between epochs.

    Raises:
        ModelFileError: the file cannot be written.
    """
    description = {
        "kind": "checkpoint",
        "about": resume_key(training),
        "step": training.t,
        "history": training.history.to_dict(),
    }
    fetch = training.backend.fetch
    tensor_file.write_tensors(
        path, description, {name: fetch(array) for name, array in training.state.items()}
    )


def load_checkpoint(path: str | os.PathLike[str], training: Training) -> None:
    """Bring a new training to where a saved one was.

    Args:
        path: of the checkpoint.
        training: made with the same model, settings and data.

    Raises:
        ModelFileError: the file cannot be read, or is of another training: the message says what differs.
    """
    description, arrays = tensor_file.read_tensors(path, "checkpoint")
    now, then = resume_key(training), description.get("about")
    then = then if isinstance(then, dict) else {}
    if differing := [name for name in now if now[name] != then.get(name)]:
        name = differing[0]
        msg = f"{path}: was made with {name} {then.get(name)!r}, and this training has {now[name]!r}"
        more = f" (also {', '.join(differing[1:])} differ)" if differing[1:] else ""
        raise ModelFileError(msg + more)
    try:
        history, step = History.from_dict(description["history"]), int(description["step"])
        for name, array in training.state.items():
            if arrays[name].shape != array.shape:
                msg = f"{path}: {name} has shape {arrays[name].shape}, expected {array.shape}"
                raise ModelFileError(msg)
            array[...] = training.backend.send(arrays[name], dtype=training.settings.dtype)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path}: is no whole checkpoint: {type(error).__name__}: {error}"
        raise ModelFileError(msg) from error
    done, wanted = len(history.epochs), training.settings.epochs
    if done > wanted:
        msg = f"{path}: has {done} epochs done, and this training is to have {wanted}"
        raise ModelFileError(msg)
    training.history, training.t = history, step


def resume_key(training: Training) -> dict[str, Any]:
    """Return what must be the same for a training to go on, as plain data."""
    settings = training.settings
    plain = {name: _plain(value) for name, value in asdict(settings).items() if name not in FREE}
    plain["optimizer"] = [type(settings.optimizer).__name__, plain["optimizer"]]
    plain["schedule"] = [type(settings.schedule).__name__, plain["schedule"]]
    if not isinstance(settings.schedule, Cosine):
        del plain["epochs"]  # more of them may be asked for, unless the rate of each depends on their number
    data = [fingerprint(*part) for part in (training.data, training.validation_data) if part]
    return {**plain, "model": training.model.to_dict(), "data": data}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def fingerprint(data: ColumnMatrix, Y: np.ndarray) -> str:
    """Return a hash of labels, standardization, and a few thousand examples spread over all."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((data.m, data.n_x, str(data.examples.dtype), data.standardizer.kind)).encode())
    sample = data.examples[:: max(1, data.m // SAMPLE)]
    for part in (Y, data.standardizer.mean, data.standardizer.scale, sample):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
