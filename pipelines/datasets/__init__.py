"""Datasets: labelled examples from an image folder, a data file, a file of the course, a table, or features.

`open_data` reads any of them into memory; `write_data` converts any of them to a data file.
"""

from typing import TYPE_CHECKING

from xpnet.lazy import lazy_door

if TYPE_CHECKING:
    from .arrays import dataset_from_arrays as dataset_from_arrays
    from .data_file import describe_data_file as describe_data_file
    from .data_file import is_data_file as is_data_file
    from .data_file import read_data_file as read_data_file
    from .data_file import read_example_rows as read_example_rows
    from .data_file import write_data_file as write_data_file
    from .dataset import Dataset as Dataset
    from .dataset import class_counts as class_counts
    from .dataset import refuse_features as refuse_features
    from .dataset import require_images as require_images
    from .dataset import with_features as with_features
    from .dataset import with_labels_for as with_labels_for
    from .doubts import doubt_about_targets as doubt_about_targets
    from .doubts import doubts_about_images as doubts_about_images
    from .endings import EMBEDDING_SUFFIXES as EMBEDDING_SUFFIXES
    from .endings import FEATURE_INPUT_SUFFIXES as FEATURE_INPUT_SUFFIXES
    from .endings import PARQUET_SUFFIXES as PARQUET_SUFFIXES
    from .endings import TABLE_SUFFIXES as TABLE_SUFFIXES
    from .endings import USUAL_LABELS as USUAL_LABELS
    from .feature_extractor import Extraction as Extraction
    from .feature_extractor import FeatureExtractor as FeatureExtractor
    from .feature_extractor import features_standardizer as features_standardizer
    from .file_rows import FileRows as FileRows
    from .sources import DataOptions as DataOptions
    from .sources import open_data as open_data
    from .sources import open_some_images as open_some_images
    from .sources import with_classes as with_classes
    from .sources import write_data as write_data
    from .table import TableRows as TableRows
    from .table import read_table_rows as read_table_rows

__getattr__, __dir__, __all__ = lazy_door(
    __name__,
    {
        "arrays": "dataset_from_arrays",
        "dataset": "Dataset class_counts refuse_features require_images with_features with_labels_for",
        "data_file": "describe_data_file is_data_file read_data_file read_example_rows write_data_file",
        "doubts": "doubt_about_targets doubts_about_images",
        "endings": "EMBEDDING_SUFFIXES FEATURE_INPUT_SUFFIXES PARQUET_SUFFIXES TABLE_SUFFIXES USUAL_LABELS",
        "feature_extractor": "Extraction FeatureExtractor features_standardizer",
        "file_rows": "FileRows",
        "sources": "DataOptions open_data open_some_images with_classes write_data",
        "table": "TableRows read_table_rows",
    },
)
