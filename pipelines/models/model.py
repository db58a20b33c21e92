"""A trained model as users meet it: load it, predict with it, evaluate it, save it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnet.backend import Backend, select
from xpnet.data import ColumnMatrix
from xpnet.errors import (
    ArrayTypeError,
    ConfigurationError,
    DataError,
    DtypeError,
    ShapeError,
    UsageError,
)
from xpnet.io import SavedModel, Scorer, read_model_file, write_model_file

from ..datasets import (
    PARQUET_SUFFIXES,
    TABLE_SUFFIXES,
    USUAL_LABELS,
    DataOptions,
    Dataset,
    Extraction,
    FeatureExtractor,
    dataset_from_arrays,
    open_data,
    with_classes,
    with_features,
    with_labels_for,
)
from ..images import Recipe, decoders_for, expand_inputs, holds_images, open_decoders, workers_for
from ..outputs import locked_outputs, require_ending, require_writable
from .checks import require_history, require_table_recipe
from .evaluation import Evaluation, Metrics, evaluate_classes, evaluate_regression, thresholds
from .prediction import CHUNKS_IN_FLIGHT, Predictor, class_probabilities
from .row_options import RowOptions
from .rows import Predictions, columns_for
from .stored_recipe import image_recipe
from .table_inputs import TableInputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from xpnet.features import Backbone, PatchFeatures

    from ..images import Decoders
    from .onnx_export import OnnxExport
    from .prediction import Prediction

StrPath = str | os.PathLike[str]
"""The path of a file or folder."""

Device = str | Backend | None
"""The name of a device as for `xpnet.select`, a backend that it returned, or None for its default."""

LABELS_OF_OUTPUT = {"sigmoid": "logistic", "softmax": "softmax"}
"""The kind of labels, as for `with_labels_for`, by the output activation. All others are for regression."""


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained model: `load` reads it from a file.

    Attributes:
        saved: what the model file holds: the network, its parameters, and how it was trained.
        recipe: how an image becomes a column; None for a model of a table.
        path: the file that the model was loaded from, or None.
        extractor: what turns the pixels of an image into features; None if the network takes the pixels. The
            file of a backbone is not needed before the first prediction.
        folders: folders that may hold the file of the backbone, beside those where it is looked for anyway.
    """

    saved: SavedModel
    recipe: Recipe | None = None
    path: str | None = None
    extractor: FeatureExtractor | None = None
    folders: tuple[str, ...] = ()
    _extractions: dict[str, Extraction] = field(default_factory=dict)

    @classmethod
    def from_saved(cls, saved: SavedModel, path: str | None = None, folders: tuple[str, ...] = ()) -> Model:
        """Make a model from the contents of a model file. folders: where its backbone may be.

        Raises:
            DataError: its recipe is from a newer version, or does not fit the weights; or its summary of the
                training is damaged.
        """
        name = path or "the model"
        try:
            recipe = image_recipe(saved.recipe)
            extractor = (
                None if recipe is None else FeatureExtractor.of(saved.recipe, saved.features, recipe.shape)
            )
        except (DataError, ConfigurationError, ShapeError, DtypeError) as error:
            msg = f"{name}: {error}"
            raise DataError(msg) from error
        n_x = None if recipe is None else extractor.count if extractor else recipe.n_x
        if n_x is not None and n_x != saved.model.n_x:
            msg = f"{name}: its recipe gives {n_x} features, but its weights expect {saved.model.n_x}"
            raise DataError(msg)
        if recipe is None:
            require_table_recipe(saved.recipe, saved.model.n_x, name)
        require_history(saved.history, name)
        return cls(saved, recipe, path, extractor, folders)

    def __repr__(self) -> str:
        about = f"{len(self.classes)} classes" if self.classes else "regression"
        name = f"Model {self.path}" if self.path else "Model"
        return f"<{name}: {about}, {self.saved.model.n_x} features>"

    @property
    def name(self) -> str:
        """How messages name the model: its path, if it has one."""
        return self.path or "the model"

    @property
    def n_x(self) -> int:
        """How many numbers an input has: bytes of an image, or columns of a table."""
        return self.saved.model.n_x if self.recipe is None else self.recipe.n_x

    @property
    def patches(self) -> PatchFeatures | None:
        """The patches that turn images into features; None if something else does, or nothing."""
        return self.extractor.patches if self.extractor else None

    @property
    def backbone(self) -> Backbone | None:
        """The network whose embeddings of images are the features; None if there is none."""
        return self.extractor.backbone if self.extractor else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, or their indices if the model has no names. Empty for regression."""
        network = self.saved.model
        count = {"sigmoid": 2, "softmax": network.n_out}.get(network.output, 0)
        return self.saved.classes or tuple(map(str, range(count)))

    @property
    def history(self) -> dict[str, Any]:
        """A summary of the training, as plain data."""
        return self.saved.history

    def reading(self, frame: int | None = None, max_pixels: int | None = None) -> Model:
        """Return the model, but reading images in another way.

        Args:
            frame: which frame or page of a file, counted from 1; None for the one it was trained on.
            max_pixels: the largest image that is decoded, in pixels; None for the usual limit.

        Raises:
            UsageError: the model was trained on a table, or a value is not possible.
        """
        changed = {"frame": frame, "max_pixels": max_pixels}
        given = [name for name, value in changed.items() if value is not None]
        if not given:
            return self
        if self.recipe is None:
            names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
            msg = f"{names}: for images, and the model was trained on a table: leave it out"
            raise UsageError(msg)
        return replace(self, recipe=self.recipe.reading(frame, max_pixels))

    def save(self, path: StrPath) -> None:
        """Write the model file: completely, or not at all.

        Raises:
            ModelFileError: the file cannot be written.
            UsageError: the name promises another format, such as that of an image.
        """
        require_ending(os.fspath(path), "a model file", "safetensors")
        write_model_file(path, self.saved)

    def export(self, path: StrPath) -> OnnxExport:
        """Write the model as an ONNX file: completely, or not at all.

        A model of images takes uint8 images (batch, height, width, channels) of the size in `recipe`; how an
        image is resized to it is not in the file. Other models take rows of features (batch, n_x) in the
        dtype of the model. The network gives the probability of every class, (batch, n_classes), or for
        regression the predicted numbers. The file's metadata hold the names of the classes and the recipe, as
        JSON, and the version of xpnet.

        A backbone becomes a part of the file. If onnxruntime is installed, its predictions for random
        examples are compared with xpnet's own.

        Args:
            path: the file.

        Returns:
            What the network takes and gives, and what the comparison found.

        Raises:
            UsageError: the path is the model's own file, or a name for another format; or the model's
                backbone takes one image at a time, or onnxruntime is missing, which examines a backbone.
            ModelFileError: the network is too large for an ONNX file, or onnxruntime predicts something else;
                or the file of its backbone is missing or damaged, or another one.
            OutputError: the file cannot be written.
        """
        from .onnx_export import export_onnx

        path = os.fspath(path)
        require_ending(path, "an ONNX file", "onnx")
        require_writable([path], [self.path])
        with locked_outputs(path):
            backbone = self.extractor.backbone_file(self.path, self.folders) if self.extractor else None
            return export_onnx(
                path, self.saved, self.recipe, self.extractor, self.classes, self._scored_on_cpu, backbone
            )

    def predict(
        self,
        inputs: StrPath | Iterable[StrPath],
        *,
        workers: int | None = None,
        cluster: str | None = None,
        device: Device = None,
        batch_size: int | None = None,
        topk: int = 0,
        proba: bool = False,
        min_confidence: float = 0.0,
        frame: int | None = None,
        max_pixels: int | None = None,
    ) -> Predictions:
        """Return an iterator of one prediction for each input, in order, which is a table, too.

        Inputs are images; or, for a model that was trained on a table or on features, the rows of such files.
        An input that cannot be used gives a prediction with the status "error": no exception is raised.

        Args:
            inputs: one path or several: images, folders and archives (with all images in them) and glob
                patterns; or tables
                and files of features.
            workers: how many processes decode; None for one per core. This process decodes a few images.
            cluster: the address of a Dask cluster that decodes in their place, or "local:N". It is left when
                the iterator ends.
            device: where to score: "auto", "cpu", "gpu", "gpu:1", ..., or a backend.
            batch_size: how many images are scored at a time; None for 64, or 1024 on a GPU. It changes no
                prediction.
            topk: how many of the most probable classes each prediction names.
            proba: whether each prediction holds the probability of every class.
            min_confidence: predictions with a lower score have the status "unsure".
            frame: which frame or page of a file to read, as for `reading`.
            max_pixels: the largest image that is decoded, as for `reading`.

        Raises:
            UsageError: an option or an input does not fit the model.
            DataError: a table or a file of features cannot be read, or lacks a column.
            DeviceError: the device cannot be used.
        """
        options = RowOptions(topk, proba, min_confidence)
        reading = self.reading(frame, max_pixels)
        predictor = reading.predictor(backend_of(device), options, takes_tables=True)
        several = [inputs] if isinstance(inputs, str | bytes | os.PathLike) else inputs
        if isinstance(several, np.ndarray) or not isinstance(several, Iterable):
            msg = f"predict: inputs is {type(inputs).__name__}, expected paths; arrays are for predict_array"
            raise UsageError(msg)
        named = map(os.fsdecode, several)
        if self.recipe is None:
            table = self.table_inputs(named)
            batches = predictor.predict_decoded(table.chunks(0, batch_size or predictor.batch_size))
        elif cluster is None:
            batches = predictor.predict(expand_inputs(named), workers_for(workers), batch_size)
        else:
            decoders = open_decoders(workers, cluster)
            batches = _predicted_with(decoders, predictor, expand_inputs(named), batch_size)
        columns = columns_for(self.classes, options, of_images=self.recipe is not None)
        return Predictions((prediction for batch in batches for prediction in batch), columns)

    def predict_array(self, X: np.ndarray, *, device: Device = None) -> np.ndarray:
        """Return the predictions for examples in memory.

        Args and errors as for `predict_proba`, except that every model can do this.

        Returns:
            (1, m): the names of the predicted classes. For regression (n_out, m): the predicted values.
        """
        outputs = self._outputs("predict_array", X, device)
        if not self.classes:
            return outputs
        probabilities = class_probabilities(outputs, self.classes)
        labels: np.ndarray = np.asarray(self.classes)[np.argmax(probabilities, axis=0)]
        return labels[None]

    def predict_proba(self, X: np.ndarray, *, device: Device = None) -> np.ndarray:
        """Return the probability of every class, (n_classes, m), for examples in memory.

        Args:
            X: raw values: the model standardizes them itself. For a model of images: uint8 images
                (m, height, width, channels) of the size in `recipe`, or one image without the first axis.
                For every model: columns (n_x, m).
            device: where to score, as for `predict`.

        Raises:
            UsageError: the model predicts numbers, and so has no classes.
            ArrayTypeError: X is not a NumPy array.
            ShapeError: X has another shape, or holds a NaN or an infinity.
            DtypeError: X does not hold uint8, for a model of images, or real numbers, for other models.
        """
        if not self.classes:
            msg = f"predict_proba: {self.name} predicts numbers and has no classes: use predict_array"
            raise UsageError(msg)
        return class_probabilities(self._outputs("predict_proba", X, device), self.classes)

    def evaluate(
        self,
        data: StrPath | np.ndarray | ColumnMatrix | Dataset,
        Y: Sequence[Any] | np.ndarray | None = None,
        *,
        labels: StrPath | None = None,
        target: str | None = None,
        workers: int | None = None,
        cluster: str | None = None,
        device: Device = None,
        frame: int | None = None,
        max_pixels: int | None = None,
        wanted_precision: float | None = None,
    ) -> Metrics:
        """Return metrics of the predictions for labelled data, a dict, which a notebook shows as tables.

        Args:
            data: a path as for `xpnet train` (a folder, a data file or a table); or arrays as for
                `predict_proba`, with Y; or a dataset.
            Y: m labels for arrays: names of classes, or for regression numbers.
            labels: a file with the columns path,label (CSV, JSON lines, Parquet), for a folder without one
                subfolder per class.
            target: the column to predict, for a table; by default the one the model was trained on.
            workers: how many processes decode; None for one per core.
            cluster: the address of a Dask cluster that decodes in their place, or "local:N".
            device: where to score, as for `predict`.
            frame: for a folder, which frame or page of a file to read, as for `reading`.
            max_pixels: for a folder, the largest image that is decoded, as for `reading`.
            wanted_precision: for two classes: return from which probability on so many predictions are right.

        Returns:
            Plain data. "m": the number of examples; "skipped": the number of inputs that cannot be used. For
            a classifier "accuracy"; "log_loss"; "calibration_error"; "macro_f1", the mean over the classes
            that are in the data or predicted; "macro_f1_classes", their number; "confusion" (row: true class,
            column: predicted class); "classes" (one entry for each); "roc_auc" for two classes; and with
            `wanted_precision` "thresholds" (for each class "threshold", "precision" and "recall"; None if
            there is none). For regression "rmse" and "r_squared".

        Raises:
            DataError: the data cannot be read, or has a class that the model does not know.
            NoInputError: none of the data can be used.
            UsageError: the data was prepared in another way than the model's training data; or arrays come
                without Y, or a path or a dataset with Y.
            ShapeError, DtypeError: arrays that do not fit the model, as for `predict_proba`.
            DeviceError: the device cannot be used.
        """
        backend = backend_of(device)
        if isinstance(data, np.ndarray | ColumnMatrix):
            if Y is None:
                msg = "arrays need labels: evaluate(X, Y)"
                raise UsageError(msg)
            dataset = self._fitting(self._labelled(data, Y), "the arrays")
        elif Y is not None:
            msg = "evaluate: Y is only for arrays: files and datasets have their own labels"
            raise UsageError(msg)
        elif isinstance(data, Dataset):
            dataset = self._fitting(data, "the dataset")
        else:
            csv = None if labels is None else os.fspath(labels)
            reading = self.reading(frame, max_pixels)
            with decoders_for(workers, cluster) as decoders:
                dataset = reading.open_data(data, labels=csv, target=target, workers=decoders)
        return self.evaluate_dataset(dataset, backend, wanted_precision).metrics

    def open_data(
        self,
        path: StrPath,
        *,
        labels: str | None = None,
        target: str | None = None,
        workers: Decoders = 1,
        on_error: str = "skip",
        on_progress: Callable[[int, int], object] = lambda done, total: None,  # noqa: ARG005
        on_warning: Callable[[str], object] = warnings.warn,
    ) -> Dataset:
        """Return labelled data as the model takes it: made by its recipe, with its classes.

        Args and errors as for `evaluate`, and:
            on_error: "skip" leaves out inputs that cannot be used, "fail" raises `DataError`.
            on_progress: called with the number of images that are decoded, and of all images.
            on_warning: called with a sentence about each thing in the data that is doubtful.
        """
        path = os.fspath(path)
        recipe, columns = self.recipe if holds_images(path) else None, None
        if recipe is None and path.lower().endswith(TABLE_SUFFIXES + PARQUET_SUFFIXES):
            columns = tuple(self.saved.recipe.get("features") or ()) or None
            trained = self.saved.recipe.get("target") or None
            # The name of an array of labels is not the name of a column.
            target = target or (None if columns is None and trained in USUAL_LABELS else trained)
        options = DataOptions(recipe, None, labels, target, workers, on_error, columns)
        dataset = self._fitting(open_data(path, options, on_progress, on_warning), path)
        if self.recipe and dataset.recipe and dataset.recipe.libraries:
            told = self.recipe.difference_to(dataset.recipe.libraries)
            if told:
                on_warning(told)
        return dataset

    def evaluate_dataset(
        self, dataset: Dataset, backend: Backend, wanted_precision: float | None = None
    ) -> Evaluation:
        """Return the evaluation of the model by a dataset that `open_data` or `with_features` returned.

        Args:
            dataset: the data.
            backend: the device.
            wanted_precision: as for `evaluate`.

        Raises:
            ShapeError: an example holds a NaN or an infinity.
            UsageError: a precision is wanted that is not possible, or of a model without two classes.
        """
        dataset.data.refuse_nonfinite()
        scorer = self.scorer(backend, takes_features=dataset.extractor is not None)
        outputs = scorer(dataset.data.examples).astype(np.float64)
        if self.classes:
            found = evaluate_classes(dataset.Y, class_probabilities(outputs, self.classes), self.classes)
        else:
            found = evaluate_regression(dataset.Y, outputs)
        counts: dict[str, Any] = {"m": dataset.data.m, "skipped": len(dataset.skipped)}
        if wanted_precision is not None:
            found.metrics["thresholds"] = thresholds(
                dataset.Y, found.probabilities, self.classes, wanted_precision
            )
        return Evaluation(Metrics(counts | found.metrics), found.predicted, found.probabilities)

    def scorer(self, backend: Backend, *, takes_features: bool = False) -> Scorer:
        """Return the network on a device, ready for raw examples; or for features, if these were made before.

        Raises:
            ModelFileError: the file of its backbone is missing or damaged, or another one.
            UsageError, DeviceError: onnxruntime is not installed, or cannot use the device.
        """
        saved = self.saved
        dtype = str(saved.parameters["W1"].dtype)
        extraction = None if takes_features else self.extraction(backend)
        transform = None if extraction is None else extraction.transform
        return Scorer(saved.model, saved.parameters, saved.standardizer, backend, dtype, transform)

    def extraction(self, backend: Backend) -> Extraction | None:
        """Return what turns images into features, on a device; None if the network takes the pixels.

        Raises:
            ModelFileError, UsageError, DeviceError: as for `scorer`.
        """
        if self.extractor is None:
            return None
        if backend.device not in self._extractions:  # opening a backbone takes time
            self._extractions[backend.device] = self.extractor.on(backend, self.path, self.folders)
        return self._extractions[backend.device]

    def with_features(self, dataset: Dataset, backend: Backend) -> Dataset:
        """Return a dataset of images with the features that the network takes, in memory.

        Raises:
            DataError: the data has features by another extractor.
            ModelFileError, UsageError, DeviceError: as for `scorer`.
        """
        extraction = None if dataset.extractor is not None else self.extraction(backend)
        if extraction is None:
            return dataset
        return with_features(dataset, extraction, self.name, standardizer=self.saved.standardizer)

    def table_inputs(self, paths: Iterable[str]) -> TableInputs:
        """Return the rows of tables and of files of features, for a model that was trained on such data.

        Raises:
            UsageError, DataError, NoInputError: see `TableInputs`.
        """
        return TableInputs(paths, self.saved.recipe.get("features") or (), self.n_x, self.name)

    def predictor(self, backend: Backend, options: RowOptions, *, takes_tables: bool = False) -> Predictor:
        """Return the model on a device, ready for images; or for rows of tables, if these may be its inputs.

        Raises:
            UsageError: the model was trained on a table, and takes images only; or the options do not fit it.
        """
        if self.recipe is None and not takes_tables:
            msg = (
                f"{self.name}: was trained on a table, and takes no images: use the commands xpnet predict "
                "and xpnet evaluate for a table"
            )
            raise UsageError(msg)
        in_flight = 0 if self.recipe is None else CHUNKS_IN_FLIGHT[backend.name]
        return Predictor(self.scorer(backend), self.recipe, self.classes, options, in_flight)

    def _outputs(self, caller: str, X: np.ndarray, device: Device) -> np.ndarray:
        """Return the network's outputs (n_out, m) for examples in memory."""
        return self.scorer(backend_of(device))(self._rows(caller, X))

    def _scored_on_cpu(self, examples: np.ndarray) -> np.ndarray:
        """Return the network's outputs (n_out, k) for raw examples (k, n_x)."""
        return self.scorer(backend_of("cpu"))(examples)

    def _rows(self, caller: str, X: np.ndarray) -> np.ndarray:
        """Return images, one image, or columns as rows of raw values (m, n_x), or refuse them."""
        n_x, recipe = self.n_x, self.recipe
        if not isinstance(X, np.ndarray):
            msg = f"{caller}: X is {type(X).__name__}, expected a NumPy array"
            raise ArrayTypeError(msg)
        is_matrix = X.ndim == 2 and X.shape[0] == n_x
        is_image = recipe is not None and X.ndim in (3, 4) and X.shape[-3:] == recipe.shape
        if not is_matrix and not is_image:
            expected = f"columns ({n_x}, m)"
            if recipe is not None:
                size = ", ".join(map(str, recipe.shape))
                expected = f"images (m, {size}), one image ({size}), or {expected}"
            msg = f"{caller}: X has shape {X.shape}, expected {expected}"
            raise ShapeError(msg)
        if recipe is not None and X.dtype != np.uint8:
            msg = f"{caller}: X holds {X.dtype}, expected uint8: the raw values of the pixels, 0 to 255"
            raise DtypeError(msg)
        if X.dtype.kind not in "uif":
            msg = f"{caller}: X holds {X.dtype}, expected real numbers"
            raise DtypeError(msg)
        rows = X.T if is_matrix else X.reshape(-1, n_x)
        keep = X.dtype in (np.uint8, np.float32, np.float64)
        found = np.ascontiguousarray(rows, None if keep else np.float64)
        if len(found):
            ColumnMatrix(found).refuse_nonfinite()
        return found

    def _labelled(self, X: np.ndarray | ColumnMatrix, Y: Sequence[Any] | np.ndarray) -> Dataset:
        """Return arrays with their labels as a dataset."""
        X = X.X if isinstance(X, ColumnMatrix) else X
        dataset = dataset_from_arrays(ColumnMatrix(self._rows("evaluate", X)), Y)
        features = tuple(self.saved.recipe.get("features", ()))
        return replace(dataset, recipe=self.recipe, features=features)

    def _fitting(self, dataset: Dataset, name: str) -> Dataset:
        """Return a dataset with labels as the model takes them, or refuse it. name: for messages."""
        dataset = with_labels_for(LABELS_OF_OUTPUT.get(self.saved.model.output, "regression"), dataset)
        self._require_same_columns(dataset, name)
        return with_classes(dataset, self.classes, name)

    def _require_same_columns(self, dataset: Dataset, name: str) -> None:
        """Raise `UsageError` if the columns mean something else than those of the training data.

        Raises:
            DataError: they are features by another extractor.
        """
        n_x, features = self.n_x, self.saved.recipe.get("features")
        if dataset.extractor is not None and self.recipe is not None:
            if self.extractor is None:
                msg = f"{name}: holds features by {dataset.extractor.name}, and the model expects pixels"
                raise UsageError(msg)
            self.extractor.require_same(dataset.extractor, name)
            n_x = self.saved.model.n_x
        if dataset.recipe is None and self.recipe is not None:
            msg = f"{name}: is a table, but the model expects images"
        elif dataset.data.n_x != n_x:
            msg = f"{name}: has {dataset.data.n_x} features, and the model expects {n_x}"
        elif self.recipe is not None and dataset.recipe is not None and dataset.recipe != self.recipe:
            msg = f"{name}: was made by {dataset.recipe}, and the model expects {self.recipe}"
        elif features and list(dataset.features) != features:
            found, expected = ", ".join(dataset.features) or "without names", ", ".join(features)
            msg = f"{name}: has the columns {found}; the model expects {expected}"
        else:
            return
        raise UsageError(msg)


def load(path: StrPath) -> Model:
    """Return the model of a model file.

    Raises:
        ModelFileError: the file cannot be read, or is not a model file.
        DataError: its recipe is from a newer version, or does not fit the weights.
        UsageError: the path is no path.
    """
    if not isinstance(path, str | os.PathLike):
        msg = f"load: path is {type(path).__name__}, expected the path of a model file as str or Path"
        raise UsageError(msg)
    return Model.from_saved(read_model_file(path), os.fspath(path))


def _predicted_with(
    decoders: AbstractContextManager[Decoders],
    predictor: Predictor,
    paths: Iterator[str],
    batch_size: int | None,
) -> Iterator[list[Prediction]]:
    """Yield batches of predictions for images, which are decoded meanwhile."""
    with decoders as entered:
        yield from predictor.predict(paths, entered, batch_size)


def backend_of(device: Device) -> Backend:
    """Return the backend of a device.

    Raises:
        DeviceError: the device cannot be used.
    """
    return device if isinstance(device, Backend) else select(device)
