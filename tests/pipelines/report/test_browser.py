"""Pages in a real browser: no requests, accessible, usable by keyboard, and safe against hostile names."""

import csv
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, Seen, World, draw, page, predicted, trained

from xpnet.backend.backend import select
from xpnet.charts.colors import DARK, LIGHT
from xpnet.nn.history import Epoch, History
from xpnet.pipelines.images.inputs import path_text
from xpnet.pipelines.report.plots import plot_training

pytestmark = pytest.mark.browser

Look = Callable[..., Seen]
PHONE = {"viewport": {"width": 360, "height": 740}}
WAYS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {**PHONE, "color_scheme": "light"},
    "dark phone": {**PHONE, "color_scheme": "dark"},
}


def rows_of(world: World) -> list[dict[str, str]]:
    with world.rows.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def listed(seen: Seen) -> list[str]:
    return seen.page.eval_on_selector_all("#pictures .path", "all => all.map(e => e.textContent)")


def count(seen: Seen) -> str:
    return seen.page.text_content("#count")


@pytest.mark.parametrize("way", WAYS)
def test_it_is_accessible_and_fits_the_screen(two: World, look: Look, way: str) -> None:
    import axe_playwright_python

    seen = look(two.report, **WAYS[way])
    seen.page.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8"))
    violations = seen.page.evaluate("axe.run().then(found => found.violations)")
    assert [(v["impact"], v["id"], v["nodes"][0]["html"]) for v in violations] == []
    width = WAYS[way].get("viewport", {"width": 1280})["width"]
    assert seen.page.evaluate("document.documentElement.scrollWidth") == width


def test_names_stay_text(two: World, look: Look) -> None:
    seen = look(two.report)
    expected = [row["path"].removeprefix(f"{two.new}{os.sep}") for row in rows_of(two)]
    assert listed(seen) == expected[:60]
    for name in HOSTILE:
        seen.page.fill("#by-name", "")
        seen.page.fill("#by-name", path_text(name).strip().splitlines()[0])  # a field holds one line
        assert path_text(name) in listed(seen)
    # Not one element was made of a name, of a class or of a reason.
    assert seen.page.evaluate("document.querySelectorAll('script').length") == 3
    assert seen.page.locator("img:not([src^='data:'])").count() == 0
    assert seen.page.locator("[onerror], #pictures b").count() == 0
    assert "empty <b>.jpg" in seen.page.text_content("#skipped")


def test_it_filters_by_class_status_score_and_name(two: World, look: Look) -> None:
    rows, seen = rows_of(two), look(two.report)
    total = len(rows)
    assert count(seen) == f"1 to 60 of {total} images"

    def shown_of(kept: list[dict[str, str]]) -> None:
        last = min(60, len(kept))
        expected = f"1 to {last} of {len(kept)} images" if kept else "No image matches."
        assert count(seen) == expected
        assert listed(seen) == [row["path"].removeprefix(f"{two.new}{os.sep}") for row in kept[:60]]

    seen.page.select_option("#by-label", label="a&b")
    kept = [row for row in rows if row["label"] == "a&b"]
    shown_of(kept)
    seen.page.select_option("#by-status", "unsure")
    kept = [row for row in kept if row["status"] == "unsure"]
    assert 0 < len(kept) < total
    shown_of(kept)
    seen.page.fill("#by-low", "0.52")
    seen.page.fill("#by-high", "0.57")
    kept = [row for row in kept if 0.52 <= float(row["score"]) <= 0.57]
    shown_of(kept)
    seen.page.fill("#by-name", "no such name")
    shown_of([])
    seen.page.get_by_role("button", name="Show all").click()
    shown_of(rows)
    seen.page.select_option("#by-status", "error")
    shown_of([row for row in rows if row["status"] == "error"])


def test_it_sorts_and_turns_pages(two: World, look: Look) -> None:
    rows, seen = rows_of(two), look(two.report)
    scores = sorted((float(row["score"]) for row in rows if row["score"]), reverse=True)

    def score_of(place: int) -> float:
        return float(
            seen.page.locator("#pictures .predicted").nth(place).inner_text().split()[-1].strip("()")
        )

    seen.page.select_option("#sort", "high")
    assert score_of(0) == pytest.approx(scores[0], abs=1e-4)
    seen.page.fill("#page", "99")
    seen.page.keyboard.press("Enter")
    assert seen.page.locator("#pictures .predicted").last.inner_text() == "error"  # without a score, so last
    seen.page.select_option("#by-status", "ok")
    seen.page.select_option("#sort", "low")
    assert score_of(0) == pytest.approx(min(s for s in scores if s >= 0.6), abs=1e-4)
    seen.page.select_option("#by-status", "")
    seen.page.select_option("#sort", "file")
    expected = [row["path"].removeprefix(f"{two.new}{os.sep}") for row in rows]
    pages = -(-len(rows) // 60)
    # By keyboard alone: the button keeps the focus at the last page, too.
    seen.page.focus("#next")
    for _ in range(pages + 1):
        seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "next"
    assert seen.page.get_attribute("#next", "aria-disabled") == "true"
    assert listed(seen) == expected[60 * (pages - 1) :]
    seen.page.focus("#page")
    seen.page.keyboard.press("Control+A")
    seen.page.keyboard.type("2")
    seen.page.keyboard.press("Enter")
    assert listed(seen) == expected[60:120]
    seen.page.focus("#previous")
    seen.page.keyboard.press("Space")
    assert listed(seen) == expected[:60]


def test_a_picture_that_is_missing_is_shown_as_missing(two: World, look: Look) -> None:
    seen = look(two.report)
    seen.page.fill("#by-name", "001.jpg")
    assert seen.page.locator("#pictures img").count() == 0
    assert seen.page.text_content("#pictures .none").startswith("no picture: cannot be read: No such file")
    seen.page.fill("#by-name", "000.jpg")
    assert seen.page.evaluate("document.querySelector('#pictures img').decode().then(() => true)")
    assert "missing or cannot be shown: 1." in seen.page.text_content("#gallery .notice")


def test_the_slider_says_what_a_threshold_would_give(two: World, look: Look) -> None:
    opened = two.open()
    dataset = opened.open_data(str(two.data))
    probabilities, Y = opened.evaluate_dataset(dataset, select("cpu")).probabilities[1], dataset.Y[0]
    seen = look(two.report)
    seen.page.focus("#threshold")
    place = [seen.page.get_attribute("#roc-point", name) for name in ("cx", "cy")]
    for threshold in (0.5, 0.505, 0.51):
        positive = probabilities > threshold
        for name, expected in {
            "tp": positive & (Y == 1), "fp": positive & (Y == 0), "fn": ~positive & (Y == 1), "tn": ~positive & (Y == 0),
        }.items():  # fmt: skip
            assert seen.page.text_content(f"#{name}") == str(int(np.sum(expected)))
        assert seen.page.text_content("#threshold-value") == f"{threshold:.3f}"
        seen.page.keyboard.press("ArrowRight")
    seen.page.keyboard.press("End")
    assert [seen.page.text_content(f"#{name}") for name in ("tp", "fp")] == ["0", "0"]
    assert [seen.page.get_attribute("#roc-point", name) for name in ("cx", "cy")] != place


def test_the_keyboard_reaches_everything(two: World, look: Look) -> None:
    seen = look(two.report)
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "main"
    reached = set()
    for _ in range(60):
        seen.page.keyboard.press("Tab")
        name = seen.page.evaluate("document.activeElement.id || document.activeElement.tagName")
        outline = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or name == "BODY"  # where the browser itself has the focus
        reached.add(name)
    controls = {"by-name", "by-label", "by-status", "by-low", "by-high", "sort", "page", "previous", "next"}
    assert reached >= controls | {"threshold", "SUMMARY"}


def test_nothing_can_be_asked_for(two: World, browser: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, browser.new_context() as context:
        server.settimeout(0.5)
        opened = context.new_page()
        opened.goto(two.report.as_uri())
        opened.evaluate(
            """port => {
                const picture = new Image(), script = document.createElement('script');
                picture.src = `http://127.0.0.1:${port}/x.png`;
                script.textContent = 'window.ran = 1';
                document.body.append(picture, script);
                return fetch(`http://127.0.0.1:${port}/`).catch(() => 0);
            }""",
            server.getsockname()[1],
        )
        assert opened.evaluate("window.ran") is None
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_javascript_it_says_what_is_missing(two: World, look: Look) -> None:
    seen = look(two.report, java_script_enabled=False)
    assert "needs JavaScript" in seen.page.locator("#gallery noscript").inner_text()
    assert seen.page.locator("#mistakes img").count() > 10


def test_many_images_stay_few_elements(two: World, look: Look, tmp_path: Path) -> None:
    rows = [f"nowhere/{i:05}.jpg,ok,a&b,{0.5 + i / 30000:.6f},\n" for i in range(12_000)]
    (tmp_path / "rows.csv").write_text("path,status,label,score,error\n" + "".join(rows))
    seen = look(page(tmp_path / "report.html", two.model, predictions=tmp_path / "rows.csv"))
    assert count(seen) == "1 to 60 of 10,000 images"
    assert "10,000 rows, a random sample" in seen.page.text_content("#predictions")
    seen.page.select_option("#sort", "high")
    seen.page.fill("#by-name", "1199")
    assert seen.page.locator("#pictures li").count() <= 60
    names = listed(seen)
    assert names == sorted(names, reverse=True)


def test_a_gallery_of_numbers_and_of_failures(two: World, look: Look, tmp_path: Path) -> None:
    data = draw(tmp_path / "data", ["1", "2.5"], 8)
    model = trained(tmp_path, data, model="regression", epochs=2)
    rows = predicted(model, data, tmp_path / "rows.jsonl", min_confidence=0)
    seen = look(page(tmp_path / "numbers.html", model, data=data, predictions=rows))
    assert count(seen) == "1 to 16 of 16 images"
    assert seen.page.locator("#by-label").count() == 0
    assert seen.page.locator("#pictures .predicted").first.inner_text().startswith("score ")
    (tmp_path / "failed.csv").write_text("path,status,label,score,error\nx.jpg,error,,,<b>bad</b>\n")
    seen = look(page(tmp_path / "failed.html", two.model, predictions=tmp_path / "failed.csv"))
    assert seen.page.text_content("#pictures .none") == "<b>bad</b>"
    seen.page.fill("#by-low", "0")
    assert count(seen) == "No image matches."


def test_a_plot_is_light_or_dark_as_the_user_prefers(look: Look, tmp_path: Path) -> None:
    history = History([Epoch(i, 1 / i, 0.1, 1.0, val_cost=2 / i, val_metric=0.5) for i in (1, 2, 3)])
    plot_training(str(tmp_path / "plot.svg"), history, "accuracy")
    for scheme, colors in (("light", LIGHT), ("dark", DARK)):
        seen = look(tmp_path / "plot.svg", color_scheme=scheme)
        for selector, kind, name in (
            (".background", "fill", "surface"),
            ("text", "fill", "text"),
            (".muted text", "fill", "muted"),
            (".grid path", "stroke", "line"),
            (".look-1 .line", "stroke", "c1"),
        ):
            color = seen.page.evaluate(
                "([selector, kind]) => getComputedStyle(document.querySelector(selector))[kind]",
                [selector, kind],
            )
            assert color == f"rgb{tuple(bytes.fromhex(colors[name][1:]))}", selector
