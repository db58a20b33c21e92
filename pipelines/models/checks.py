"""Checks of what a model file says about the data and the training: all of it may be damaged or forged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xpnet.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

TEXTS = ("method", "stopped", "device")
"""Entries of a training's summary that are texts."""

COUNTS = ("m", "best_epoch", "metric_examples", "judged_examples")
"""Entries of a training's summary that are whole numbers. `judged_examples` is of older files."""

TABLES = ("last", "metrics", "judged", "sweep")
"""Entries of a training's summary that have entries themselves. `judged` is of older files."""

LISTS = ("counts", "costs")
"""Entries of a training's summary that are lists of numbers. `costs` is of older files."""


def require_table_recipe(recipe: Mapping[str, Any], n_x: int, name: str) -> None:
    """Check how a model of a table names its columns.

    Args:
        recipe: the recipe in the model file.
        n_x: number of features of the model.
        name: the model's file, for messages.

    Raises:
        DataError: the names do not fit the model.
    """
    features, target = recipe.get("features") or [], recipe.get("target")
    if not _is_list(features, str) or len(features) not in (0, n_x):
        msg = f"{name}: its features are {_short(features)}, expected the names of {n_x} columns"
        raise DataError(msg)
    if target is not None and not isinstance(target, str):
        msg = f"{name}: its target is {_short(target)}, expected the name of a column"
        raise DataError(msg)


def require_history(history: Mapping[str, Any], name: str) -> None:
    """Check the types of the entries of a training's summary. Each of them may be missing, or None.

    Args:
        history: the summary in the model file.
        name: the model's file, for messages.

    Raises:
        DataError: an entry has another type.
    """
    for key, value in history.items():
        if (
            value is None
            or (key in TEXTS and isinstance(value, str))
            or (key in COUNTS and type(value) is int and value >= 0)
            or (key in TABLES and isinstance(value, dict))
            or (key in LISTS and _is_list(value, int | float))
            or key not in TEXTS + COUNTS + TABLES + LISTS
        ):
            continue
        msg = f"{name}: its summary of the training is damaged: {key} is {_short(value)}"
        raise DataError(msg)


def _is_list(value: Any, kind: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, kind) for each in value)


def _short(value: Any) -> str:
    return repr(value)[:100]
