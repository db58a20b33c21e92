"""Checkpoints: a killed training can resume after its last saved epoch, and ends with the same bytes."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.errors import CheckpointError, ModelFileError
from xpnet.io import read_tensors, write_tensors
from xpnet.nn import Cosine, History

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from xpnet.data import ColumnMatrix
    from xpnet.nn import Network, Settings

FINGERPRINT_EXAMPLES = 2048
"""Approximate number of examples to hash. To hash all of them would take as long as an epoch."""

MAY_CHANGE = ("resident_bytes", "metric_examples")
"""Settings that may differ when a training resumes: they do not change the weights."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training between two epochs.

    Attributes:
        key: everything that must be the same to resume, as plain data; see `training_key`.
        step: number of steps done.
        history: the epochs done.
        arrays: parameters and state of the optimizer by name, in host memory.
    """

    key: dict[str, Any]
    step: int
    history: History
    arrays: dict[str, np.ndarray]


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint, completely or not at all.

    Raises:
        ModelFileError: the file cannot be written.
    """
    description = {
        "kind": "checkpoint",
        "about": checkpoint.key,
        "step": checkpoint.step,
        "history": checkpoint.history.to_dict(),
    }
    write_tensors(path, description, checkpoint.arrays)


def read_checkpoint(
    path: str | os.PathLike[str], key: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> Checkpoint:
    """Read the checkpoint of a training.

    Args:
        path: path of the file.
        key: key of the training that resumes.
        shapes: shapes of its arrays, by name.

    Raises:
        CheckpointError: the file cannot be read, or belongs to another training; the message says which
            settings differ.
    """
    try:
        description, arrays = read_tensors(path, "checkpoint")
    except ModelFileError as error:
        raise CheckpointError(str(error), is_intact=False) from error
    found = description.get("about")
    then = found if isinstance(found, dict) else {}
    if differing := [name for name in key if key[name] != then.get(name)]:
        name = differing[0]
        msg = f"{path}: was made with {name} {then.get(name)!r}, and this training has {key[name]!r}"
        more = f" (also {', '.join(differing[1:])} differ)" if differing[1:] else ""
        raise CheckpointError(msg + more, is_intact=isinstance(found, dict))
    try:
        history, step = History.from_dict(description["history"]), description["step"]
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{path}: is not a complete checkpoint: {type(error).__name__}: {error}"
        raise CheckpointError(msg, is_intact=False) from error
    found_shapes = {name: array.shape for name, array in arrays.items()}
    if type(step) is not int or step < 0 or found_shapes != dict(shapes):
        msg = f"{path}: has {step!r} steps and arrays {found_shapes}, expected a number and {dict(shapes)}"
        raise CheckpointError(msg, is_intact=False)
    return Checkpoint(then, step, history, arrays)


def training_key(
    model: Network, settings: Settings, data: Sequence[tuple[Any, ...]], run: int = 1
) -> dict[str, Any]:
    """Return everything that must be the same for a training to resume, as plain data.

    Args:
        model: the network.
        settings: the settings of the training.
        data: arguments of `fingerprint`: the training data, and the validation data if there is any.
        run: how many neighbours stay near each other in the shuffled order; see `xpnet.data.Batches`.
    """
    plain = {name: _plain(value) for name, value in asdict(settings).items() if name not in MAY_CHANGE}
    plain["optimizer"] = [type(settings.optimizer).__name__, plain["optimizer"]]
    plain["schedule"] = [type(settings.schedule).__name__, plain["schedule"]]
    if not isinstance(settings.schedule, Cosine):
        del plain["epochs"]  # may differ, unless the learning rates depend on it
    plain["run"] = run if run > 1 else None  # None is what older checkpoints have
    return {**plain, "model": model.to_dict(), "data": [fingerprint(*part) for part in data]}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def fingerprint(data: ColumnMatrix, Y: np.ndarray, weights: np.ndarray | None = None) -> str:
    """Return a hash of the labels, weights and standardization, and of examples at equal distances."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((data.m, data.n_x, str(data.examples.dtype), data.standardizer.kind)).encode())
    sample = data.part(slice(None, None, max(1, data.m // FINGERPRINT_EXAMPLES))).in_host_memory().examples
    given = () if weights is None else (weights,)
    for part in (Y, data.standardizer.mean, data.standardizer.scale, sample, *given):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()
