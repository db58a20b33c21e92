"""A model with its page, and a browser to open the page in."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import HOSTILE, Seen, World, draw, page, predicted, save, trained

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--disable-gpu", "--disable-dev-shm-usage"]


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return the files of a model of two classes. Some of its new images have hostile names or are damaged."""
    folder = tmp_path_factory.mktemp("two")
    data = draw(folder / "data", ["<img src=x onerror=alert(2)>", "a&b"], 40)
    model = trained(folder, data, epochs=20, learning_rate=0.01)
    new = folder / "new"
    generator = np.random.default_rng(1)
    for name in [*HOSTILE, *(f"{i:03}.jpg" for i in range(150))]:
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, generator.normal(generator.uniform(60, 180), 30, (30, 40, 3)))
    (new / "empty <b>.jpg").write_bytes(b"")
    (new / "text.jpg").write_text("no image")
    (data / "a&b" / "broken.jpg").write_bytes((new / "000.jpg").read_bytes()[:300])
    rows = predicted(model, new, folder / "rows.csv")
    (new / "001.jpg").unlink()  # after the prediction
    report = page(folder / "report.html", model, data=data, predictions=rows)
    return World(data, model, new, rows, report)


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a browser, or skip with the reason. With `--require browser` it fails instead."""

    def missing(reason: str) -> None:
        if request.config.getoption("--require") == "browser":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)

    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("no browser: playwright, of the dependency group browser, is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        if program is None and not Path(playwright.chromium.executable_path).exists():
            missing(f"no browser: none of {', '.join(BROWSERS)} is on the PATH, nor Playwright's own")
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # for which Chromium refuses its sandbox
        flags = [*FLAGS, *(["--no-sandbox"] if root else [])]
        launched = playwright.chromium.launch(executable_path=program, args=flags)
        yield launched
        launched.close()


@pytest.fixture
def look(browser: Any) -> Iterator[Callable[..., Seen]]:
    """Return a function that opens a page. In the end no page may have written, asked or requested anything."""
    opened: list[tuple[Any, Seen]] = []

    def open_page(path: Path, **options: Any) -> Seen:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        seen = Seen(context.new_page())
        opened.append((context, seen))
        network = context.new_cdp_session(seen.page)
        network.send("Network.enable")
        network.on("Network.requestWillBeSent", lambda event: asked(event["request"]["url"], seen))
        seen.page.on("console", lambda message: seen.console.append(message.text))
        seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
        seen.page.on("dialog", lambda dialog: (seen.dialogs.append(dialog.message), dialog.dismiss()))
        seen.page.goto(path.as_uri())
        return seen

    def asked(address: str, seen: Seen) -> None:
        if not address.startswith("data:"):
            seen.requests.append(address)

    yield open_page
    for context, seen in opened:
        context.close()
        assert seen.console == []
        assert seen.dialogs == []
        assert [address for address in seen.requests if not address.startswith("file:")] == []
        assert len(seen.requests) <= 1
