"""The page is one file, and data in it is never HTML."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import World

from xpnet.pipelines.report.page import content_security_policy, number, percent, to_json


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_embedded_data_comes_back_and_ends_no_element(data: object) -> None:
    text = to_json(data)
    assert json.loads(text) == data
    assert not set(text) & set("<>&\u2028\u2029")
    assert text.isascii()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_has_no_word_for_is_null(value: float) -> None:
    assert to_json({"a": [value, 1.0]}) == '{"a":[null,1.0]}'


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "-"), (float("nan"), "-"), (1234567, "1,234,567"), (0.123456789, "0.12346"), ("<b>", "<b>")],
)
def test_numbers_are_readable(value: object, expected: str) -> None:
    assert number(value) == expected


def test_shares_are_in_percent() -> None:
    assert (percent(0.12345), percent(float("nan"))) == ("12.3 %", "-")


def test_the_policy_allows_one_style_and_one_script() -> None:
    said = content_security_policy("a{}", "1")
    assert said.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in said
    assert content_security_policy("a{}", "2") != said


def test_one_file_with_nothing_outside(two: World) -> None:
    text = two.report.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", text)
    assert "@import" not in text
    assert not re.findall(r"url\((?!data:)", text)
    assert not re.findall(r"\sstyle=|\son\w+=\"", text)
    elements = re.findall(r"<script[^>]*>", text)
    assert elements.count("<script>") == 1
    assert elements.count('<script type="application/json" id="gallery-data">') == 1
    assert len(elements) == 3


def test_the_same_files_make_the_same_page(two: World, tmp_path) -> None:
    from pages import page

    again = page(tmp_path / "again.html", two.model, data=two.data, predictions=two.rows)
    assert again.read_bytes() == two.report.read_bytes()
