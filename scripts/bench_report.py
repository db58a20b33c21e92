"""Measure the report: how long a page of many images takes to make, how large it is, how fast it filters.

    python scripts/bench_report.py [--json FILE] [--repeat N]

Needs Playwright and a Chromium. A filter is timed in the page itself, from the event until the page is laid
out again, and until the pictures it shows are decoded and a frame is painted.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench_pipeline import RECIPES, SIZES, model_for, photos
from benching import Parts, run
from browsing import launch
from playwright.sync_api import sync_playwright

from xpnet.pipelines.cli.console import Console
from xpnet.pipelines.images.decode_many import workers_for
from xpnet.pipelines.models.rows import RowOptions
from xpnet.pipelines.predictions.jobs import PredictJob as Scoring
from xpnet.pipelines.predictions.jobs import run_prediction as score
from xpnet.pipelines.report.build import ReportJob
from xpnet.pipelines.report.build import write_report as report

SIZE = "400 x 534"
CHANGES = {
    "by-label": "0", "by-status": "unsure", "by-low": "0.5", "by-name": "99", "sort": "high",
}  # fmt: skip
"""What is set in the gallery, one after the other, each beside those before it."""

FILTER = """async ([id, value]) => {
    const field = document.getElementById(id), began = performance.now();
    field.value = value;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight;
    const laidOut = performance.now() - began;
    await Promise.all([...document.querySelectorAll("#pictures img")].map((picture) => picture.decode()));
    await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    return [laidOut, performance.now() - began];
}"""


def many(repeat: int) -> list[dict[str, Any]]:
    """Pages of 1,000 and 10,000 scored images."""
    rows = []
    for count in (1000, 10_000):
        with photos(SIZES[SIZE], count) as folder, tempfile.TemporaryDirectory() as made:
            model = str(model_for(Path(made), RECIPES["pillow"]))
            predictions, page = Path(made, "rows.csv"), Path(made, "report.html")
            workers, options = workers_for(None), RowOptions(threshold=0.6)
            job = Scoring(
                model, (str(folder),), None, str(predictions), options, "cpu", workers, 64, False, False
            )  # fmt: skip
            score(job, sys.stdout.buffer, Console(0))
            began = time.perf_counter()
            made_of = ReportJob(model, str(page), predictions=str(predictions), device="cpu", workers=workers)
            report(made_of, Console(0))
            rows.append(
                {
                    "images": count,
                    "make: s": time.perf_counter() - began,
                    "page: MB": page.stat().st_size / 1e6,
                    **in_browser(page, repeat),
                }
            )
    return rows


def in_browser(page: Path, repeat: int) -> dict[str, float]:
    """Return how long a page takes to load and to filter, in milliseconds."""
    loads, laid_out, painted = [], [], []
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for _ in range(repeat):
            opened = browser.new_page(viewport={"width": 1280, "height": 900})
            began = time.perf_counter()
            opened.goto(page.as_uri())
            loads.append(1000 * (time.perf_counter() - began))
            for change in CHANGES.items():
                first, last = opened.evaluate(FILTER, list(change))
                laid_out.append(first)
                painted.append(last)
            opened.close()
        browser.close()
    return {
        "load: ms": median(loads),
        "filter, laid out: ms": median(laid_out),
        "filter, painted: ms": median(painted),
        "slowest: ms": max(painted),
    }


PARTS: Parts = {"report": (f"Reports of scored JPEGs of {SIZE}, without other parts", many)}


if __name__ == "__main__":
    run(__doc__, PARTS, ["jinja2", "pillow", "playwright"])
