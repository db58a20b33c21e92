"""Models, predictions and pages to look at, and a browser to look at them with."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.console import Console
from pipelines.models import open_model
from pipelines.plan import Plan
from pipelines.recipe import Recipe
from pipelines.report import Job, run
from pipelines.rows import Options
from pipelines.runs import Job as Training
from pipelines.runs import run_training
from pipelines.scoring import Job as Scoring
from pipelines.scoring import run as score
from pipelines.sources import Reading

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--disable-gpu", "--disable-dev-shm-usage"]

HOSTILE = [
    "<script>alert(1)<" + os.sep + "script>.jpg",
    "<img src=x onerror=alert(1)>.jpg",
    "\"double\" 'single' `back`.jpg",
    "two\nlines.jpg",
    "&lt;b&gt;&amp;.jpg",
    "{{7*7}} ${7*7} {% raw %}.jpg",
    "]]> --> <!--.jpg",
    "\u202egpj.exe\u2028\u2029.jpg",
    os.fsdecode(b"no-utf-8-\xff\xfe.jpg"),
]
"""Names of files; the first has a folder, because names hold no slash."""


def draw(folder: Path, names: list[str], count: int, seed: int = 0) -> Path:
    """Draw pictures whose brightness tells their class, not always; a subfolder for each class."""
    generator = np.random.default_rng(seed)
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = generator.normal(90 + 60 * k, 60, (1, 1, 3)) + generator.normal(0, 30, (24, 32, 3))
            save(folder / name / f"{i:03}.jpg", pixels)
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


def trained(folder: Path, data: Path, **plan: Any) -> Path:
    """Train on a folder; return the model's path."""
    path = folder / "model.safetensors"
    reading = Reading(Recipe(8, 8))
    run_training(
        Training(str(data), reading, Plan(**plan), "cpu", val_split=0.25, output=str(path)), False, Console(0)
    )
    return path


def predicted(model: Path, inputs: Path, output: Path, threshold: float = 0.6) -> Path:
    """Score a folder; return the path of the rows."""
    options = Options(output.suffix[1:], threshold=threshold)
    job = Scoring(str(model), (str(inputs),), None, str(output), options, "cpu", 1, 64, False, False)
    score(job, None, Console(0))  # type: ignore[arg-type]  (nothing goes to standard output)
    return output


def page(output: Path, model: Path, **job: Any) -> Path:
    """Make a page; return its path."""
    run(Job(str(model), str(output), device="cpu", **{n: str(v) for n, v in job.items()}), Console(0))
    return output


@dataclass
class World:
    """Files of one problem.

    Attributes:
        data: labelled pictures.
        model: a model of them.
        new: pictures that are scored.
        rows: what was predicted of those.
        report: a page of it all.
    """

    data: Path
    model: Path
    new: Path
    rows: Path
    report: Path

    def open(self) -> Any:
        return open_model(str(self.model))


@pytest.fixture(scope="session")
def two(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A problem of two classes, whose scored pictures have bad names and are partly damaged."""
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
    (new / "001.jpg").unlink()  # after it was scored
    report = page(folder / "report.html", model, data=data, predictions=rows)
    return World(data, model, new, rows, report)


@dataclass
class Seen:
    """A page in a browser, with what it said and asked for.

    Attributes:
        page: of Playwright.
        console: what was written, and errors.
        requests: addresses that were asked for, but data.
        dialogs: what popped up.
    """

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)


@pytest.fixture(scope="session")
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Return a browser, or skip and say why; `--require browser` fails instead."""

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
    """Return what opens a page, with options of a context. At the end it must have been silent."""
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
