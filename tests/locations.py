"""Where things are that tests need, from wherever a test lies."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent

DATA = ROOT.parent / "shared" / "data"
"""Real data, beside the repository where there is some; what needs it is skipped elsewhere."""

CATS = DATA / "cats"
