"""How the names of data files end, by their kind."""

from ..images import PARQUET_SUFFIXES as PARQUET_SUFFIXES  # noqa: PLC0414  (others import it from here)

TABLE_SUFFIXES = (".csv", ".tsv")
"""The endings of files that are read as tables."""


EMBEDDING_SUFFIXES = (".npy", ".npz", *PARQUET_SUFFIXES)
"""The endings of files that are read as features. HDF5 files are known by their contents."""

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
"""The endings of HDF5 files."""

FEATURE_INPUT_SUFFIXES = (*EMBEDDING_SUFFIXES, *HDF5_SUFFIXES)
"""The endings of files of features that are inputs of a prediction."""

USUAL_LABELS = ("labels", "targets", "y", "Y")
"""Usual names of the array of labels in a file of features."""
