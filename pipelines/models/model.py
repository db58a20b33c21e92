"""A model file as the pipeline uses it: its recipe, its classes, its scorer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xpnet.errors import DataError, UsageError
from xpnet.io import SavedModel, Scorer, read_model_file

from ..images import Recipe

if TYPE_CHECKING:
    import numpy as np

    from xpnet.backend import Backend

    from ..datasets import Dataset


@dataclass(frozen=True)
class Model:
    """A model, opened for use.

    Attributes:
        path: of its file.
        saved: what the file holds.
        recipe: how an image becomes a column; None if the model is of a table.
    """

    path: str
    saved: SavedModel
    recipe: Recipe | None

    def scorer(self, backend: Backend) -> Scorer:
        """Return what scores raw examples."""
        saved = self.saved
        dtype = str(saved.parameters["W1"].dtype)
        return Scorer(saved.model, saved.parameters, saved.standardizer, backend, dtype)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes; their indices where the model knows none; empty for regression."""
        model = self.saved.model
        count = {"sigmoid": 2, "softmax": model.n_out}.get(model.output, 0)
        return self.saved.classes or tuple(map(str, range(count)))


def load(path: str) -> Model:
    """Open a model file.

    Raises:
        ModelFileError: it cannot be read.
        DataError: its recipe is of a newer version.
    """
    saved = read_model_file(path)
    try:
        recipe = Recipe.from_dict(saved.recipe) if "decoder" in saved.recipe else None
    except DataError as error:
        msg = f"{path}: {error}"
        raise DataError(msg) from error
    if recipe is not None and recipe.n_x != saved.model.n_x:
        msg = f"{path}: its recipe gives {recipe.n_x} features, and its weights expect {saved.model.n_x}"
        raise DataError(msg)
    return Model(path, saved, recipe)


def probabilities(opened: Model, answers: np.ndarray) -> np.ndarray:
    """Return the probability of each class, (n_classes, k), from a classifier's answers (n_out, k)."""
    import numpy as np

    if opened.saved.model.output == "sigmoid":
        return np.concatenate([1.0 - answers, answers])
    return answers


def require_same_recipe(opened: Model, dataset: Dataset, path: str) -> None:
    """Refuse data that was made otherwise than the model's training data.

    Raises:
        UsageError: size, colours, decoder or features differ.
    """
    if dataset.recipe is None and opened.recipe is not None:
        msg = f"{path}: is a table, and the model expects images"
        raise UsageError(msg)
    if dataset.data.n_x != opened.saved.model.n_x:
        msg = f"{path}: has {dataset.data.n_x} features, and the model expects {opened.saved.model.n_x}"
        raise UsageError(msg)
    if opened.recipe is not None and dataset.recipe is not None and dataset.recipe != opened.recipe:
        msg = f"{path}: was made by {dataset.recipe}, and the model expects {opened.recipe}"
        raise UsageError(msg)
    features = opened.saved.recipe.get("features")
    if features and list(dataset.features) != features:
        msg = (
            f"{path}: has the columns {', '.join(dataset.features)}; the model expects {', '.join(features)}"
        )
        raise UsageError(msg)
