"""Rows of mapped files: their order, their values, what is asked of the system, and copies in temporary files."""

import errno
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpnet.backend import select
from xpnet.data import ColumnMatrix, DeviceMatrix, Resident, Streamed, make_batches, mapped_rows, scratch
from xpnet.data.mapped_rows import MappedRows, mapping_of, run_rows, shuffled_in_runs
from xpnet.errors import CheckpointError, OutputError
from xpnet.linear import descend
from xpnet.nn import Layer, LogisticRegression, Network, Settings, SoftmaxRegression
from xpnet.training import Trainer, fit

CPU = select("cpu")
M, N = 5000, 300


def example_file(folder: Path, offset: int = 0) -> np.ndarray:
    """Return a matrix of random bytes in a mapped file, from an offset on."""
    path = folder / "rows"
    values = np.random.default_rng(0).integers(0, 256, M * N + offset, dtype=np.uint8)
    values.tofile(path)
    return np.asarray(np.memmap(path, np.uint8, "r", offset, (M, N)))


class Pages:
    """Records what is asked of the system."""

    def __init__(self, pages: mmap.mmap) -> None:
        self._pages, self.asked = pages, []  # type: ignore[var-annotated]

    def madvise(self, advice: int, start: int, length: int) -> None:
        assert start % mmap.PAGESIZE == 0
        self.asked.append((advice, start, start + length))
        self._pages.madvise(advice, start, length)


@pytest.mark.parametrize("offset", [0, 2048, 70_000])
@pytest.mark.parametrize("part", [slice(None), slice(1000, 4000)])
def test_rows_are_those_of_the_file(offset: int, part: slice, tmp_path: Path) -> None:
    examples = example_file(tmp_path, offset)[part]
    rows = MappedRows.of(examples)
    assert rows is not None
    pages = Pages(rows._pages)
    rows._pages = pages
    indices = np.array([5, 2999, 6, 7, 0, 1500])
    rows.read_ahead(indices)
    np.testing.assert_array_equal(rows.take(indices), examples[indices])
    np.testing.assert_array_equal(rows.take(indices), examples[indices])  # after its pages were given back
    if not hasattr(mmap, "MADV_WILLNEED"):
        return
    skipped = offset % mmap.ALLOCATIONGRANULARITY
    for index in indices + (part.start or 0):  # the pages of each row are asked for
        first, last = skipped + index * N, skipped + (index + 1) * N
        assert any(
            advice == mmap.MADV_WILLNEED and start <= first and last <= stop
            for advice, start, stop in pages.asked
        )


def test_arrays_in_memory_are_not_mapped(tmp_path: Path) -> None:
    assert MappedRows.of(np.zeros((3, 4))) is None
    assert mapping_of(example_file(tmp_path).copy()) is None
    assert MappedRows.of(example_file(tmp_path)[:, ::2]) is None


def test_changes_of_a_private_copy_of_a_file_are_kept(tmp_path: Path) -> None:
    example_file(tmp_path)
    private = np.memmap(tmp_path / "rows", np.uint8, "c", 0, (M, N))
    private[7] = 9
    assert MappedRows.of(private) is None
    assert (ColumnMatrix(private).part(np.array([7, 8])).examples[0] == 9).all()
    assert (private[7] == 9).all()


@pytest.mark.parametrize("m", [1, 63, 5000, 10_001])
@pytest.mark.parametrize("window", [1, 100, 4096, 20_000])
def test_an_order_has_each_example_once_and_depends_on_seed_and_epoch(m: int, window: int) -> None:
    order = shuffled_in_runs(3, 7, m, window)
    np.testing.assert_array_equal(np.sort(order), np.arange(m))
    np.testing.assert_array_equal(order, shuffled_in_runs(3, 7, m, window))
    if m > 1:
        assert any(order.tolist() != shuffled_in_runs(3, e, m, window).tolist() for e in range(8, 20))


def test_a_window_takes_few_runs_and_mixes_them() -> None:
    order, window = shuffled_in_runs(0, 0, 100_000, 8192), 8192
    assert run_rows(window) == 64
    first = order[:window]
    assert len(np.unique(first // 64)) <= window // 64 + 1
    assert np.mean(np.diff(first) == 1) < 0.05  # neighbours are no longer side by side
    assert abs(np.corrcoef(np.arange(100_000), order)[0, 1]) < 0.1
    assert run_rows(640) == 10
    assert run_rows(5) == 1


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with half a megabyte for raw examples."""
    monkeypatch.setattr(mapped_rows, "memory_bytes", lambda: 1 << 20)


@pytest.mark.usefixtures("little_memory")
def test_large_files_are_streamed_and_small_ones_stay(tmp_path: Path) -> None:
    examples, Y = example_file(tmp_path), np.zeros((1, M))
    assert isinstance(make_batches(DeviceMatrix(ColumnMatrix(examples), CPU), Y, None, "float32"), Streamed)
    small = DeviceMatrix(ColumnMatrix(examples[:1000]), CPU)
    assert isinstance(make_batches(small, Y[:, :1000], None, "float32"), Resident)
    in_memory = DeviceMatrix(ColumnMatrix(examples.copy()), CPU)
    assert in_memory.is_resident
    assert in_memory.mapped is None
    allowed = DeviceMatrix(ColumnMatrix(examples), CPU, resident_bytes=2 << 20)
    assert allowed.is_resident
    assert allowed.mapped is None


@pytest.mark.usefixtures("little_memory")
def test_each_epoch_has_each_example_once_with_its_label(tmp_path: Path) -> None:
    examples = example_file(tmp_path)
    Y = np.arange(float(M))[None]
    batches = Streamed(DeviceMatrix(ColumnMatrix(examples), CPU, chunk_bytes=N * 1000), Y, Y, "float64")
    order = batches.shuffled(0, 0, 128)
    assert order is not None
    assert batches.run(128) == 14  # chunks of 7 batches, 896 rows
    seen = []
    for batch in batches.epoch(order, 128):
        which = batch.Y[0].astype(int)
        np.testing.assert_array_equal(batch.X.T, examples[which])
        assert batch.weights is not None
        np.testing.assert_array_equal(batch.weights, batch.Y)
        seen += which.tolist()
    np.testing.assert_array_equal(seen, order)
    assert len(seen) == M
    assert batches.shuffled(0, 0, M) is None


def training(folder: Path, **options: Any) -> Trainer:
    model = Network(N, 1, "sigmoid", (Layer.parse("4:tanh"),))
    settings = Settings(**{"epochs": 3, "batch_size": 200, **options})
    data = ColumnMatrix(example_file(folder))
    return Trainer(model, data, (np.arange(M) % 2)[None], CPU, settings)


@pytest.mark.usefixtures("little_memory")
def test_a_killed_training_of_a_large_file_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = training(tmp_path), training(tmp_path)
    for _ in range(3):
        whole.epoch()
    killed.epoch()
    killed.save_checkpoint(tmp_path / "c")
    resumed = training(tmp_path)
    resumed.load_checkpoint(tmp_path / "c")
    resumed.epoch()
    resumed.epoch()
    assert resumed.parameters.buffer.tobytes() == whole.parameters.buffer.tobytes()
    with pytest.raises(CheckpointError):  # in memory the order is another one
        training(tmp_path, resident_bytes=1 << 30).load_checkpoint(tmp_path / "c")


@pytest.mark.usefixtures("little_memory")
def test_full_batch_training_of_a_large_file_has_the_same_costs(tmp_path: Path) -> None:
    model, Y = Network(N, 1, "sigmoid", (Layer.parse("4:tanh"),)), (np.arange(M) % 2)[None]
    examples, settings = example_file(tmp_path), Settings(epochs=3, batch_size=None)
    found = [
        fit(model, ColumnMatrix(each), Y, CPU, settings).history.costs for each in (examples, examples.copy())
    ]
    assert found[0] == found[1]


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_descent_on_a_large_file_has_the_same_costs_to_the_last_digit(n_classes: int, tmp_path: Path) -> None:
    model = LogisticRegression(N) if n_classes == 2 else SoftmaxRegression(N, 3)
    examples, Y = example_file(tmp_path), (np.arange(M) % n_classes)[None]
    found = [
        descend(
            model, DeviceMatrix(ColumnMatrix(each), CPU, chunk_bytes=N * 700), Y, CPU,
            iterations=3, learning_rate=1e-6, method="fused",
        ).history.costs
        for each in (examples, examples.copy())
    ]  # fmt: skip
    assert found[0] == found[1]


@pytest.mark.usefixtures("little_memory")
def test_parts_of_large_files_are_copied_to_temporary_files(tmp_path: Path) -> None:
    data = ColumnMatrix(example_file(tmp_path))
    rows = np.flatnonzero(np.arange(M) % 10)
    part = data.part(rows)
    assert mapping_of(part.examples) is not None
    np.testing.assert_array_equal(part.examples, data.examples[rows])
    few = data.part(np.array([7, 3]))
    assert mapping_of(few.examples) is None
    np.testing.assert_array_equal(few.examples, data.examples[[7, 3]])
    np.testing.assert_array_equal(data.part(np.arange(M) == 9).examples, data.examples[9:10])


def test_large_scratch_arrays_are_files_without_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    large = scratch((100, 50), np.float32, limit=1000)
    large[...] = 1.5
    assert mapping_of(large) is not None
    assert large.sum() == 7500
    assert not list(tmp_path.iterdir())
    assert mapping_of(scratch((100, 50), np.float32)) is None


def test_a_full_disk_is_found_at_once_and_not_by_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    message = r"has no room for a temporary file of 0\.0 GB: No space left on device; name a folder with room"
    with pytest.raises(OutputError, match=message):
        scratch((100, 50), np.float32, limit=1000)


def test_columns_keep_the_limit_of_the_memory_and_obey_it(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((100, 50), np.uint8))
    data = ColumnMatrix(np.load(tmp_path / "x.npy", mmap_mode="r")).limited_to(4999)
    assert DeviceMatrix(data, CPU).mapped is not None
    assert DeviceMatrix(data.limited_to(5000), CPU).mapped is None
    part = data.standardized_as(data.standardizer).part(np.arange(100) != 3)
    assert part.memory == 4999
    assert mapping_of(part.examples) is None  # 4950 bytes
    assert mapping_of(data.limited_to(4949).part(np.arange(100) != 3).examples) is not None
