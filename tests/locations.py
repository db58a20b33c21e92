"""Paths that tests in any folder need."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent

DATA = ROOT.parent / "shared" / "data"
"""Real data next to the repository. Tests that need it are skipped where it is missing."""

CATS = DATA / "cats"
