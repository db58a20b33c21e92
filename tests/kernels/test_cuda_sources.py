"""All CUDA sources compile with NVRTC, which needs no device, and use no more registers than there are."""

import re
from pathlib import Path
from typing import Any

import hostcupy
import numpy as np
import pytest

from xpnet import kernels

FOLDER = Path(kernels.__file__).parent
ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "sm_100"]

pytestmark = [pytest.mark.cuda, pytest.mark.parametrize("architecture", ARCHITECTURES)]


@pytest.fixture
def nvrtc(request: pytest.FixtureRequest) -> Any:
    found = pytest.importorskip("cupy").cuda.nvrtc
    try:
        found.getVersion()
    except RuntimeError:
        if request.config.getoption("--require"):
            raise
        pytest.skip("NVRTC is not installed")
    return found


def compiled(nvrtc: Any, text: str, architecture: str, **macros: int) -> dict[str, tuple[int, int]]:
    """Compile a source; return the number of registers and of spilled bytes of each kernel."""
    program = nvrtc.createProgram(text, "source.cu", (), ())
    include = Path(pytest.importorskip("cupy").__file__).parent / "_core" / "include"
    options = (
        f"-arch={architecture}",
        "--ptxas-options=-v",
        "--std=c++17",
        f"-I{include}",
        "-default-device",
    )
    try:
        nvrtc.compileProgram(program, (*options, *(f"-D{name}={value}" for name, value in macros.items())))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    found = re.findall(
        r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers",
        nvrtc.getProgramLog(program),
        re.DOTALL,
    )
    return {name: (int(registers), int(spilled)) for name, spilled, registers in found}


def elementwise() -> dict[str, hostcupy.ElementwiseKernel]:
    hostcupy.module()
    (on_cupy,) = kernels.modules("kernelcupy")
    made = vars(on_cupy.fused).values()
    found = [*made, *on_cupy.fused.WITH_BIAS.values()]
    return {kernel.name: kernel for kernel in found if isinstance(kernel, hostcupy.ElementwiseKernel)}


@pytest.mark.parametrize("contiguous", [True, False], ids=["contiguous", "strided"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_formulas_compile_with_cupys_arrays(
    architecture: str, dtype: str, contiguous: bool, nvrtc: Any
) -> None:
    found = elementwise()
    assert "xpnet_adam_kernel" in found
    letters = {"T": np.dtype(dtype), "U": np.dtype("int64"), "S": np.dtype("uint8")}
    parts = ["#include <cupy/carray.cuh>", (FOLDER / "stable.cu").read_text()]
    text = "\n".join([*parts, *(kernel.cuda(letters, contiguous) for kernel in found.values())])
    results = compiled(nvrtc, text, architecture)
    assert set(results) == set(found)
    assert {spilled for _, spilled in results.values()} == {0}


@pytest.mark.parametrize("n_x", [16, 784, 3072, 3267, 12288, 16384])
def test_one_pass_keeps_to_its_registers(architecture: str, n_x: int, nvrtc: Any) -> None:
    xp = hostcupy.module()
    (on_cupy,) = kernels.modules("kernelcupy")
    passes = on_cupy.cuda_passes
    build = passes.build_for(xp.zeros((1, n_x), dtype="uint8"))
    text = (FOLDER / "one_pass.cu").read_text()
    registers, spilled = compiled(nvrtc, text, architecture, **build._asdict())["one_pass"]
    assert spilled == 0
    assert registers * build.THREADS * build.BLOCKS <= 65536


@pytest.mark.parametrize("aligned", [1, 4, 16])
@pytest.mark.parametrize("rows", [1, 2, 4, 8])
def test_the_two_passes_compile(architecture: str, rows: int, aligned: int, nvrtc: Any) -> None:
    text = (FOLDER / "one_pass.cu").read_text()
    found = compiled(nvrtc, text, architecture, ROWS=rows, ALIGNED=aligned)
    assert set(found) == {"add_up", "gradient", "logits"}
    few = 16 if aligned == 1 else 0  # reading byte by byte is slow anyway
    assert all(spilled <= few for _, spilled in found.values())


@pytest.mark.parametrize("tiles", [2, 4])
def test_the_passes_by_tensor_cores_compile(architecture: str, tiles: int, nvrtc: Any) -> None:
    if architecture == "sm_75":
        pytest.skip("its tensor cores are others, and it goes without")
    found = compiled(nvrtc, (FOLDER / "tensor.cu").read_text(), architecture, TILES=tiles)
    assert set(found) == {"tensor_gradient", "tensor_logits"}
    assert {spilled for _, spilled in found.values()} == {0}
