"""Which modules are imported at start-up, each tested in a new process."""

import subprocess
import sys

import pytest


def loaded_by(code: str) -> set[str]:
    """Return the names of all modules loaded after running `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('MODULES', *sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.rpartition("MODULES")[2].split())


@pytest.mark.parametrize(
    "code", ["import xpnet; xpnet.Node", "import xpnet.testing", "import xpnet; xpnet.select('cpu')"]
)
def test_importing_xpnet_loads_only_numpy(code: str) -> None:
    loaded = loaded_by(code)
    assert "numpy" in loaded
    assert not loaded & {"cupy", "h5py", "PIL", "typer", "array_api_compat", "torch", "scipy", "sklearn"}


@pytest.mark.parametrize(
    "code",
    [
        "import xpnet",
        "import xpnet.pipelines.images.decode_many, xpnet.pipelines.images.decode",
    ],
)
def test_numpy_is_loaded_where_it_is_needed(code: str) -> None:
    assert not loaded_by(code) & {"numpy", "typer"}


def test_onnxruntime_is_loaded_for_a_backbone_only() -> None:
    loaded = loaded_by(
        "import xpnet.features, xpnet.pipelines.models.model, xpnet.pipelines.training.trainer"
    )
    assert "xpnet.features.backbone" in loaded
    assert not loaded & {"onnx", "onnxruntime"}


def test_the_script_of_the_command_loads_nothing_until_it_runs() -> None:
    """A process of a user's own pool runs this script again, under another name."""
    assert not loaded_by("from xpnet.pipelines.cli import main") & {"numpy", "typer"}


def test_names_that_are_not_there_are_said() -> None:
    import xpnet

    assert set(xpnet.__all__) <= set(dir(xpnet))
    with pytest.raises(AttributeError, match="module 'xpnet' has no attribute 'nothing'"):
        xpnet.nothing  # noqa: B018


def test_importing_the_command_line_loads_no_numpy() -> None:
    assert not loaded_by("import xpnet.pipelines.cli") & {"numpy", "cupy", "h5py", "PIL"}


def test_the_help_text_loads_no_numpy() -> None:
    code = """
from xpnet.pipelines.cli.app import app
try:
    app(["--help"])
except SystemExit as exit:
    assert exit.code == 0
"""
    assert not loaded_by(code) & {"numpy", "cupy", "h5py", "PIL"}


def test_the_public_names_are_there() -> None:
    import xpnet

    for name in xpnet.__all__:
        assert getattr(xpnet, name) is not None


def test_images_are_decoded_before_numpy_is_loaded() -> None:
    """What `xpnet predict` needs to begin. NumPy, the model and a GPU's libraries are loaded meanwhile."""
    code = """
from xpnet.pipelines.images import Workers, begin_decoding, expand_inputs
from xpnet.pipelines.models import RowOptions, read_recipe
from xpnet.pipelines.predictions import PredictJob, format_for, run_prediction
"""
    assert not loaded_by(code) & {"numpy", "safetensors", "PIL"}
