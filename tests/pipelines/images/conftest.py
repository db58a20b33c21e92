"""The decoders, as a fixture."""

from pathlib import Path

import pytest


@pytest.fixture(params=["pillow", "simplejpeg"])
def decoder(request: pytest.FixtureRequest) -> str:
    """Return the name of a decoder. The test runs for each of them that is installed."""
    if request.param != "pillow":
        pytest.importorskip(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for tests of many examples, which overwrite each other's file."""
    return tmp_path_factory.mktemp("images")
