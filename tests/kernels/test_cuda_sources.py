"""All CUDA sources compile with NVRTC, which needs no device, and use no more registers than there are."""

import re
from pathlib import Path
from typing import Any

import hostcupy
import numpy as np
import pytest

from xpnet import kernels

FOLDER = Path(kernels.__file__).parent
ARCHITECTURES = ["sm_75", "sm_80", "sm_90", "sm_90a", "sm_100"]
"""sm_90a is sm_90 with what only compute capability 9.0 has, and later ones have not."""


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
    preambles = ((FOLDER / name).read_text() for name in ("stable.cu", "patches.cu"))
    parts = ["#include <cupy/carray.cuh>", *preambles]
    text = "\n".join([*parts, *(kernel.cuda(letters, contiguous) for kernel in found.values())])
    results = compiled(nvrtc, text, architecture)
    assert set(results) == set(found)
    assert {spilled for _, spilled in results.values()} == {0}


FEW = 32
"""Spilled bytes that do not show in the times: one_pass uses all registers on purpose."""


@pytest.fixture
def passes(architecture: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the module that launches integer_passes.cu, for a device of this architecture."""
    hostcupy.module()
    (on_cupy,) = kernels.modules("kernelcupy")
    capability = int(architecture.removeprefix("sm_").rstrip("a"))
    if capability < 80:
        pytest.skip("its tensor cores are others, and the portable function runs")
    monkeypatch.setattr(on_cupy.cuda_passes, "_capability", lambda: capability)
    has_all = architecture.endswith("a")
    monkeypatch.setattr(on_cupy.cuda_passes, "_has_products_of_four_warps", lambda: has_all)
    shared = (163 if capability == 80 else 227) << 10
    monkeypatch.setattr(on_cupy.cuda_passes, "_attribute", lambda name: shared)
    return on_cupy.cuda_passes


@pytest.mark.parametrize("n_x", [16, 784, 2048, 3072, 6144, 12288])
def test_one_pass_keeps_to_its_registers(architecture: str, n_x: int, nvrtc: Any, passes: Any) -> None:
    build = passes.one_pass_build(n_x)
    if build is None:
        assert architecture == "sm_80"
        assert n_x >= 3072
        return
    text = (FOLDER / "integer_passes.cu").read_text()
    macros = build._asdict() | {"SHARED_BYTES": build.shared_bytes}
    registers, spilled = compiled(nvrtc, text, architecture, **macros)["one_pass"]
    assert spilled <= FEW
    assert registers * 32 * build.WARPS * build.BLOCKS <= 65536


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("rows", [1, 10, 24, 32])
def test_the_two_passes_keep_to_their_registers(
    architecture: str, rows: int, wide: bool, nvrtc: Any, passes: Any
) -> None:
    build = passes.two_passes_build(rows, 1 << 20 if wide else 784)
    text = (FOLDER / "integer_passes.cu").read_text()
    for kernel, shape in (("logits", build.logits), ("gradient", build.gradient)):
        macros = {"TRIPLES": build.triples, "WIDE": build.wide, **shape._asdict()}
        found = compiled(nvrtc, text, architecture, **macros)
        names = {"weight_digits", "logits", "logistic_digits", "softmax_digits", "gradient", "finish"}
        assert set(found) == names
        assert all(
            spilled <= FEW
            for name, (_, spilled) in found.items()
            if name in {*names} - {"logits", "gradient"}
        )
        assert found[kernel][1] <= FEW
