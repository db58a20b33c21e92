"""What the scripts that look at pages share: a browser."""

import os
import shutil
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def launch(playwright: Any) -> Any:
    """Return a browser: the system's, or Playwright's own where that has none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    # As root, Chromium refuses its sandbox.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if root else [])]
    return playwright.chromium.launch(executable_path=program, args=flags)
