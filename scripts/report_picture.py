"""Make the picture of the report for the README: the page of the demo, light and dark, side by side.

    python scripts/report_picture.py [docs/report.webp]

Needs xpnet[report], Playwright and a Chromium.
"""

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from browsing import launch
from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 960, 760
"""Size of the browser window, in pixels."""

MOST_BYTES = 150_000
"""Largest size of the picture."""


def main(output: Path) -> None:
    """Run the demo, open its page in a browser, and save screenshots of it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "xpnet", "demo", "xpnet-demo", "--device", "cpu"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run(command, check=True, cwd=folder, env=environment, capture_output=True)  # noqa: S603
        page = Path(folder, "xpnet-demo", "report.html")
        with sync_playwright() as playwright:
            browser = launch(playwright)
            views = []
            for scheme, place in (("light", "training"), ("dark", "mistakes")):
                opened = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
                opened.goto(page.as_uri())
                opened.evaluate("place => { location.hash = place }", place)
                opened.wait_for_timeout(1000)
                views.append(Image.open(io.BytesIO(opened.screenshot())).convert("RGB"))
            browser.close()
    both = Image.new("RGB", (2 * WIDTH, HEIGHT))
    for i, view in enumerate(views):
        both.paste(view, (i * WIDTH, 0))
    output.parent.mkdir(exist_ok=True)
    both.save(output, "WEBP", quality=70, method=6)
    size = output.stat().st_size
    print(f"{output}: {both.width} x {both.height}, {size / 1000:.0f} kB")
    if size > MOST_BYTES:
        sys.exit(f"larger than {MOST_BYTES // 1000} kB")


if __name__ == "__main__":
    main(Path(*sys.argv[1:2] or ["docs/report.webp"]))
