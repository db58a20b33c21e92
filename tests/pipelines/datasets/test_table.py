"""Tables: numbers are targets, words are classes, and a line that cannot be used is reported by its number."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.errors import DataError, NoInputError
from xpnet.pipelines.datasets.dataset import Dataset
from xpnet.pipelines.datasets.table import read_table, read_table_rows


def table(folder: Path, text: str | bytes, target: str = "y", **options: str) -> Dataset:
    path = folder / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(str(path), target, **options)


def lines_of(dataset: Dataset) -> list[int]:
    return [int(where.rpartition("line ")[2]) for where, _ in dataset.skipped]


def test_numbers_are_for_regression(tmp_path: Path) -> None:
    dataset = table(tmp_path, "a,y,b\n1,2.5,3\n-4e2, 5 ,.5\n")
    np.testing.assert_array_equal(dataset.data.examples, [[1, 3], [-400, 0.5]])
    assert dataset.data.examples.dtype == dataset.Y.dtype == np.float64
    assert dataset.Y.tolist() == [[2.5, 5.0]]
    assert (dataset.classes, dataset.features, dataset.target) == ((), ("a", "b"), "y")
    assert dataset.recipe is None


def test_words_are_classes_sorted(tmp_path: Path) -> None:
    dataset = table(tmp_path, "a,y\n1,dog\n2, cat\n3,10\n4,dog \n")
    assert dataset.classes == ("10", "cat", "dog")
    assert dataset.Y.tolist() == [[2, 1, 0, 2]]
    assert dataset.Y.dtype == np.int64


def test_standardization_is_numpys_by_feature(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1e4, 3, (50, 3))
    text = "a,b,c,y\n" + "".join(",".join(map(repr, row)) + ",1\n" for row in values.tolist())
    standardizer = table(tmp_path, text).data.standardizer
    assert standardizer.kind == "feature"
    np.testing.assert_allclose(standardizer.mean[:, 0], values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(1 / standardizer.scale[:, 0], values.std(axis=0), rtol=1e-9)
    assert table(tmp_path, text, standardize="none").data.standardizer.kind == "none"


BAD = {
    "word": "x,1,2",
    "empty": ",1,2",
    "blank": "1,  ,2",
    "nan": "nan,1,2",
    "inf": "1,-inf,2",
    "too large": "1e999,1,2",
    "short": "1,2",
    "long": "1,2,3,4",
    "quoted comma": '"1,5",1,2',
    "empty target": "1,2, ",
    "hexadecimal": "0x10,1,2",
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_a_line_that_cannot_be_used_is_skipped_by_number_or_fails(line: str, tmp_path: Path) -> None:
    text = f"a,b,y\n1,2,3\n{line}\n4,5,6\n"
    dataset = table(tmp_path, text)
    np.testing.assert_array_equal(dataset.data.examples, [[1, 2], [4, 5]])
    assert dataset.Y.tolist() == [[3, 6]]
    assert lines_of(dataset) == [3]
    with pytest.raises(DataError, match=r"t\.csv: line 3: "):
        table(tmp_path, text, on_error="fail")


def test_the_column_is_named(tmp_path: Path) -> None:
    dataset = table(tmp_path, "a,b,y\n1,oops,3\n1,2\n1,2,\n4,5,6\n")
    reasons = [reason for _, reason in dataset.skipped]
    assert reasons == ["b is 'oops', expected a finite number", "has 2 cells, expected 3", "y is empty"]


@pytest.mark.parametrize("cell", ["nan", "NaN", "inf", "-Infinity", "1e999"])
def test_a_target_that_is_not_finite_does_not_make_classes_of_numbers(cell: str, tmp_path: Path) -> None:
    dataset = table(tmp_path, f"a,y\n1,2.5\n2,{cell}\n3,4.5\n")
    assert dataset.classes == ()
    assert dataset.Y.tolist() == [[2.5, 4.5]]
    assert lines_of(dataset) == [3]


def test_underscores_make_no_number(tmp_path: Path) -> None:
    assert lines_of(table(tmp_path, "a,y\n1_000,2\n3,4\n")) == [2]
    assert table(tmp_path, "a,y\n1,1_0\n3,1_1\n").classes == ("1_0", "1_1")


def test_commas_and_lines_within_quotes_are_part_of_a_cell(tmp_path: Path) -> None:
    dataset = table(tmp_path, '"a, b",y\n"1","x, y"\n2,"p\nq"\noops,z\n3,"x, y"\n')
    assert dataset.features == ("a, b",)
    assert dataset.classes == ("p\nq", "x, y")
    assert dataset.Y.tolist() == [[1, 0, 1]]
    assert lines_of(dataset) == [5]


@pytest.mark.parametrize(
    "text", ["\ufeffy,a\n1,2\n", " y ,a\n1,2\n", "y,a\r\n1,2\r\n", "y,a\n\n1,2\n\n", "y,a\n1,2"]
)
def test_what_spreadsheets_add_is_no_matter(text: str, tmp_path: Path) -> None:
    dataset = table(tmp_path, text)
    assert (dataset.features, dataset.Y.tolist(), dataset.skipped) == (("a",), [[1]], ())


def test_a_target_that_is_not_one_column_is_refused(tmp_path: Path) -> None:
    for text, target in (
        ("a,b\n1,2\n", "y"),
        ("a,y,y\n1,2,3\n", "y"),
        ("a,b\n1,2\n", "A"),
        ("", "y"),
        ("\n1,2\n", "y"),
    ):
        with pytest.raises(
            DataError, match=rf"t\.csv: has (no column '{target}'|2 columns named '{target}')"
        ):
            table(tmp_path, text, target)
    with pytest.raises(DataError, match=r"its columns are a, b$"):
        table(tmp_path, "a,b\n1,2\n")
    with pytest.raises(DataError, match="its columns are none"):
        table(tmp_path, "")


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    for content in (b"a,y\n1,\xff\n", b"\xff\xfea\0,", b"a,y\n" + b"1" * 200_000 + b",2\n"):
        with pytest.raises(DataError, match=r"t\.csv: cannot be read"):
            table(tmp_path, content)
    with pytest.raises(DataError, match="missing: cannot be read"):
        read_table(str(tmp_path / "missing"), "y")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(str(tmp_path), "y")


@pytest.mark.parametrize("text", ["a,y\n", "a,y\nx,1\n"])
def test_no_line_that_can_be_used_is_no_input(text: str, tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"t\.csv: has no line that can be used"):
        table(tmp_path, text)


def test_a_table_without_a_feature_is_no_input(tmp_path: Path) -> None:
    with pytest.raises(NoInputError, match=r"t\.csv: has only the column y, expected at least one more"):
        table(tmp_path, "y\n1\n2\n")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.sampled_from(["u", "v,w", 'x"', "ü\n"])),
        min_size=1,
        max_size=8,
    )
)
def test_what_the_csv_module_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float, str]]
) -> None:
    path = tmp_path_factory.mktemp("t") / "t.CSV"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("a", "b", "y"), *rows])
    dataset = read_table(str(path), "y", "none")
    np.testing.assert_array_equal(dataset.data.examples, [row[:2] for row in rows])
    assert [dataset.classes[k] for k in dataset.Y[0]] == [row[2].strip() for row in rows]
    assert list(dataset.classes) == sorted({row[2].strip() for row in rows})


READ_ALIKE = {
    "a mark": "a,y\n1,p\n2,q\n".encode("utf-8-sig"),
    "UTF-16": "a,y\n1,p\n2,q\n".encode("utf-16"),
    "UTF-16 without a mark": "a,y\n1,p\n2,q\n".encode("utf-16-le"),
    "UTF-32": "a,y\n1,p\n2,q\n".encode("utf-32"),
    "semicolons": b"a;y\r\n1;p\r\n2;q\r\n",
    "tabs": b"a\ty\n1\tp\n2\tq\n",
    "spaces and quotes": b'"a", "y"\n1 , "p"\n 2,q \n',
    "old line ends": b"a,y\r1,p\r2,q\r",
    "empty lines": b"\n a,y\n,\n1,p\n \n2,q",
}


@pytest.mark.parametrize("content", READ_ALIKE.values(), ids=READ_ALIKE)
def test_usual_ways_to_write_a_table_are_read_alike(content: bytes, tmp_path: Path) -> None:
    dataset = table(tmp_path, content)
    assert dataset.data.examples.tolist() == [[1], [2]]
    assert (dataset.features, dataset.classes, dataset.Y.tolist()) == (("a",), ("p", "q"), [[0, 1]])
    assert not dataset.skipped


def test_the_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 3 is not utf-8: save the file in the encoding UTF-8"):
        table(tmp_path, b"a,y\n1,2\n1,\xe9\n")
    with pytest.raises(DataError, match=r"line 2: .*: check the quotation marks"):
        table(tmp_path, 'a,y\n1,"2\n')


def test_letters_that_look_alike_are_the_same(tmp_path: Path) -> None:
    dataset = table(tmp_path, "e\u0301,a\n1,\u00fc\n2,u\u0308\n3,x\n", "a")
    assert (dataset.features, dataset.classes) == (("\u00e9",), ("x", "\u00fc"))
    assert table(tmp_path, "a,e\u0301\n1,2\n", "\u00e9").target == "\u00e9"


def test_a_column_of_words_is_named_with_line_and_cell_and_can_be_ignored(tmp_path: Path) -> None:
    text = "name,a,y\nann,1,p\nbob,2,q\n"
    with pytest.raises(NoInputError, match=r"line 2, column name: is 'ann', .*--ignore-columns name"):
        table(tmp_path, text)
    dataset = read_table(str(tmp_path / "t.csv"), "y", ignored=["name"])
    assert (dataset.features, dataset.data.examples.tolist()) == (("a",), [[1], [2]])
    dataset = read_table(str(tmp_path / "t.csv"), "y", columns=["a"])
    assert (dataset.features, dataset.data.examples.tolist()) == (("a",), [[1], [2]])
    for unknown in ({"ignored": ["b"]}, {"columns": ["b"]}):
        with pytest.raises(DataError, match="has no column 'b'; its columns are name, a, y"):
            read_table(str(tmp_path / "t.csv"), "y", **unknown)
    with pytest.raises(NoInputError, match="has no column left"):
        read_table(str(tmp_path / "t.csv"), "y", ignored=["name", "a"])


def test_a_decimal_comma_is_named(tmp_path: Path) -> None:
    dataset = table(tmp_path, "a;y\n1,5;2\n1;2\n")
    assert dataset.skipped[0][1] == "a is '1,5', expected a finite number, with a decimal point"


def test_a_feature_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 2 columns named 'a'"):
        table(tmp_path, "a,a,y\n1,2,3\n")


def test_a_long_cell_is_cut_off(tmp_path: Path) -> None:
    dataset = table(tmp_path, f"a,y\n{'x' * 5000},1\n1,2\n")
    assert len(dataset.skipped[0][1]) < 120


def test_the_lines_to_predict_for_need_no_target(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("b,name,a\n1,x,2\noops,y,3\n4\n5,z,6\n")
    rows = read_table_rows(str(path), ["a", "b"])
    assert rows.names == ["line 2", "line 3", "line 4", "line 5"]
    assert rows.examples.tolist() == [[2, 1], [0, 0], [0, 0], [6, 5]]
    assert rows.errors == ["", "b is 'oops', expected a finite number", "has 1 cells, expected 3", ""]
    with pytest.raises(DataError, match="has no column 'c'"):
        read_table_rows(str(path), ["c"])
    with pytest.raises(DataError, match="without names of columns"):
        read_table_rows(str(path), [])
    path.write_text("a,b\n")
    with pytest.raises(NoInputError, match="has no lines"):
        read_table_rows(str(path), ["a"])
