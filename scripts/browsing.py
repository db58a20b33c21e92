"""Shared by the scripts that open pages: a browser."""

import os
import shutil
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""Names of browsers that may be installed."""


def launch(playwright: Any) -> Any:
    """Return a browser: the installed one, or else that of Playwright."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    # For root, Chromium runs only without its sandbox.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    flags = ["--disable-gpu", "--disable-dev-shm-usage", *(["--no-sandbox"] if root else [])]
    return playwright.chromium.launch(executable_path=program, args=flags)
