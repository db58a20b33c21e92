"""Tables for notebooks: all text is escaped, whatever it is."""

from xml.etree import ElementTree as ET

from xpnet.charts import html_table


def test_a_table_has_its_head_and_its_rows() -> None:
    root = ET.fromstring(html_table(["", "cost", "m"], [["a", 0.123456789, 3], ["b", None, 4]], "What it is"))
    assert root.findtext("caption/bdi") == "What it is"
    assert ["".join(cell.itertext()) for cell in root.findall("thead/tr/*")] == ["", "cost", "m"]
    assert [cell.get("scope") for cell in root.findall("thead/tr/th")] == ["col", "col"]
    rows = [["".join(cell.itertext()) for cell in row] for row in root.findall("tbody/tr")]
    assert rows == [["a", "0.123457", "3"], ["b", "-", "4"]]
    assert [row[0].get("scope") for row in root.findall("tbody/tr")] == ["row", "row"]


def test_names_are_data() -> None:
    hostile = '<script>alert("&")</script>'
    root = ET.fromstring(html_table(["", hostile], [[hostile, hostile]], hostile))
    assert [bdi.text for bdi in root.iter("bdi")] == [hostile] * 4
    assert not list(root.iter("script"))


def test_what_is_no_character_can_be_written() -> None:
    assert "a\\udc80" in html_table(["name"], [["a\udc80"]]).encode().decode()
