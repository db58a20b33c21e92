"""The formats of prediction files: every format gives back what was written."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.errors import DataError, UsageError
from xpnet.pipelines.images.inputs import path_text
from xpnet.pipelines.predictions.formats import (
    FORMATS,
    PARQUET_GROUP_ROWS,
    Csv,
    Jsonl,
    Parquet,
    first_line,
    new_format,
    read_predictions,
)

COLUMNS = ["path", "status", "label", "score", "p_a", "error"]
ROWS: list[dict[str, Any]] = [
    {"path": "a,b.jpg", "status": "ok", "label": 'a "quoted" one', "score": 0.5, "p_a": 1e-9},
    {"path": "c\nd\r.jpg", "status": "error", "error": "truncated, alas"},
    {"path": "é.jpg", "status": "unsure", "label": "b", "score": 0.25, "p_a": 0.125},
]
FILE_NAMES = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(',"\r\n\t \udc80\udcff'))


def file_of(format_: Csv | Jsonl, rows: list[dict[str, Any]], path: Path) -> str:
    """Write rows in two parts; return the path of the file."""
    part = path.with_suffix(".part")
    part.write_bytes(format_.head() + format_.rows(rows[:1]) + format_.rows(rows[1:]))
    if format_.conversion is None:
        part.rename(path)
    else:
        format_.conversion(str(part), str(path))
    return str(path)


@pytest.mark.parametrize("name", FORMATS)
def test_rows_come_back(name: str, tmp_path: Path) -> None:
    format_ = FORMATS[name](COLUMNS)
    read = list(format_.read(file_of(format_, ROWS, tmp_path / "p")))
    expected = [{n: str(v) for n, v in row.items()} for row in ROWS] if name == "csv" else ROWS
    assert read == expected


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows_come_back_as_none(name: str, tmp_path: Path) -> None:
    format_ = FORMATS[name](COLUMNS)
    assert list(format_.read(file_of(format_, [], tmp_path / "p"))) == []


@given(st.lists(st.tuples(FILE_NAMES, FILE_NAMES), max_size=5))
def test_csv_cells_survive_the_csv_module(pairs: list[tuple[str, str]]) -> None:
    rows = [(os.fsencode(a).decode("utf-8", "backslashreplace"), path_text(b)) for a, b in pairs]
    format_ = Csv(["path", "error"])
    written = format_.head() + format_.rows({"path": a, "error": b} for a, b in rows)
    read = list(csv.reader(io.StringIO(written.decode(), newline=""), strict=True))
    assert read == [["path", "error"], *map(list, rows)]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4, unique=True))
def test_csv_heads_survive_too(columns: list[str]) -> None:
    assert list(csv.reader(io.StringIO(Csv(columns).head().decode(), newline=""))) == [columns]


@given(FILE_NAMES, FILE_NAMES, st.floats(allow_nan=False, allow_infinity=False))
def test_a_jsonl_line_is_json(path: str, error: str, score: float) -> None:
    row = {"path": path_text(path), "score": score, "error": error}
    lines = Jsonl(list(row)).rows([row, {}, row]).split(b"\n")
    assert list(map(json.loads, lines[:-1])) == [row, {}, row]
    assert lines[-1] == b""


def test_columns_that_are_empty_are_left_out_of_jsonl() -> None:
    assert (
        Jsonl(COLUMNS).rows([{"status": "ok", "path": "é", "other": 1}])
        == '{"path": "é", "status": "ok"}\n'.encode()
    )


@given(st.lists(st.tuples(FILE_NAMES, st.floats(0, 1)), max_size=4))
@settings(max_examples=20, deadline=None)
def test_parquet_gives_back_any_text(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, float]]
) -> None:
    rows = [{"path": path_text(path), "score": score} for path, score in pairs]
    path = file_of(Parquet(["path", "score"]), rows, tmp_path_factory.mktemp("p") / "p.parquet")
    assert pq.read_table(path).to_pylist() == rows


def test_parquet_columns_have_types(tmp_path: Path) -> None:
    columns = ["path", "status", "label", "score", "label1", "score1", "p_cat", "error"]
    path = file_of(Parquet(columns), [{"path": "a", "score1": 1, "p_cat": 0.5}], tmp_path / "p")
    schema = pq.read_schema(path)
    assert schema.names == columns
    numbers = {field.name for field in schema if field.type == pa.float64()}
    assert numbers == {"score", "score1", "p_cat"}
    assert {field.type for field in schema if field.name not in numbers} == {pa.string()}
    assert pq.read_table(path).to_pylist() == [
        dict.fromkeys(columns) | {"path": "a", "score1": 1.0, "p_cat": 0.5}
    ]


@pytest.mark.parametrize("count", [PARQUET_GROUP_ROWS, 2 * PARQUET_GROUP_ROWS + 1])
def test_parquet_of_many_rows_is_whole(count: int, tmp_path: Path) -> None:
    rows = [{"path": str(i), "score": i / 8} for i in range(count)]
    path = file_of(Parquet(["path", "score"]), rows, tmp_path / "p")
    assert pq.read_table(path)["path"].to_pylist() == list(map(str, range(count)))
    assert pq.ParquetFile(path).metadata.row_group(0).num_rows == PARQUET_GROUP_ROWS


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_a_class_whose_name_is_no_utf8_can_be_written(name: str, tmp_path: Path) -> None:
    """A folder's name may be any bytes, of which Python makes surrogates."""
    columns = ["path", "label", "p_\udcff"]
    format_ = FORMATS[name](columns)
    file_of(format_, [{"path": "a", "label": "\udcff", "p_\udcff": 0.5}], tmp_path / "p")


@pytest.mark.parametrize("name", FORMATS)
def test_other_columns_are_refused(name: str, tmp_path: Path) -> None:
    path = file_of(FORMATS[name](COLUMNS), ROWS, tmp_path / "p")
    with pytest.raises(DataError, match=r"p: "):
        list(FORMATS[name](["path", "status", "label", "error"]).read(path))


DAMAGED: dict[str, list[Callable[[bytes], bytes]]] = {
    "csv": [
        lambda content: content + b"a,b\n",
        lambda content: content + b"\n",
        lambda content: content + b'"' + b"x" * 200_000,
        lambda content: content.replace(b"ok", b"\xff\xfe"),
        lambda content: content[:-12],
        lambda content: b"",
        lambda content: content[20:],
    ],
    "jsonl": [
        lambda content: content[:-5],
        lambda content: content + b"\n",
        lambda content: content + b"[1]\n",
        lambda content: content + b"3\n",
        lambda content: content + b"[" * 100_000 + b"\n",
        lambda content: content + b"1" * 10_000 + b"\n",
        lambda content: content.replace(b"ok", b"\xff\xfe"),
        lambda content: content[3:],
    ],
    "parquet": [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b"unsure", b"\xff\xffsure"),
        lambda content: b"",
        lambda content: b"PAR1" + b"x" * 100 + b"PAR1",
        lambda content: content[:4] + b"\xff" * 200 + content[204:],
    ],
}


@pytest.mark.parametrize(
    ("name", "damage"), [(n, d) for n, damages in DAMAGED.items() for d in damages]
)  # fmt: skip
def test_a_damaged_file_is_refused(name: str, damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = Path(file_of(FORMATS[name](COLUMNS), ROWS, tmp_path / "p"))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError) as caught:
        list(FORMATS[name](COLUMNS).read(str(path)))
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            list(FORMATS[name](COLUMNS).read(str(path)))


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match="--format is 'xml', expected one of csv, jsonl, parquet"):
        new_format("xml", COLUMNS)


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = Path(file_of(FORMATS["csv"](COLUMNS), ROWS, tmp_path / "p"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = read_predictions(str(path), first_line(str(path)))
    assert found is not None
    assert found[0] == COLUMNS
    assert [row["path"] for row in found[1]] == [row["path"] for row in ROWS]
