"""Measure the report on many images: the time to make the page, its size, and the speed of its gallery.

    python scripts/bench_report.py [--json FILE] [--repeat N]

Needs Playwright and a Chromium. A filter is timed in the page: from the event until the layout is done, and
until the images are decoded and the next frame is painted.
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

from xpnet.pipelines.images import workers_for
from xpnet.pipelines.messages import Messages
from xpnet.pipelines.models import RowOptions
from xpnet.pipelines.predictions import PredictJob, run_prediction
from xpnet.pipelines.report import ReportJob, write_report

SIZE = "400 x 534"
"""Size of the images."""

COUNTS = (1000, 10_000)
"""How many images the pages have."""

CHANGES = {
    "by-label": "0", "by-status": "unsure", "by-low": "0.5", "by-name": "99", "sort": "high",
}  # fmt: skip
"""Fields of the gallery that are set, one after the other, and their values."""

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
"""JavaScript that sets a field, and returns the milliseconds until the layout and until the next frame."""


def many(repeat: int) -> list[dict[str, Any]]:
    """Make pages of many scored images, and open them in a browser."""
    rows = []
    for count in COUNTS:
        with photos(SIZES[SIZE], count) as folder, tempfile.TemporaryDirectory() as made:
            model = str(model_for(Path(made), RECIPES["pillow"]))
            predictions, page = Path(made, "rows.csv"), Path(made, "report.html")
            workers, options = workers_for(None), RowOptions(min_confidence=0.6)
            job = PredictJob(
                model=model,
                inputs=(str(folder),),
                output=str(predictions),
                options=options,
                device="cpu",
                workers=workers,
            )
            run_prediction(job, sys.stdout.buffer, Messages())
            began = time.perf_counter()
            report = ReportJob(model, str(page), predictions=str(predictions), device="cpu", workers=workers)
            write_report(report, Messages())
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
