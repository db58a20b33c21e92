"""Examine what xpnet finds on this machine, and say what to do about what it lacks."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

import xpnet
from xpnet.backend import installed_wheels, select
from xpnet.errors import DeviceError
from xpnet.kernels import has_native_loops

from ..images import codecs, workers_for

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        found: what it is.
        remedy: what to do, if it could be better; else nothing.
    """

    name: str
    found: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at Python and its packages, the processor, BLAS, the GPU, and what decodes images."""
    return [
        Finding("xpnet", f"{xpnet.__version__}, Python {platform.python_version()}, {platform.platform()}"),
        *_gpu(),
        *_processor(),
        *_decoders(),
        *_packages(),
    ]


def to_text(findings: list[Finding]) -> str:
    """Return findings as text: a line for each, below it the remedy."""
    width = max(len(finding.name) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.name:<{width}}  {finding.found}")
        if finding.remedy:
            lines.append(f"{'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def to_dict(findings: list[Finding]) -> list[dict[str, Any]]:
    """Return findings as plain data."""
    return [asdict(finding) for finding in findings]


def _gpu() -> list[Finding]:
    wheels = ", ".join(f"{name} {number}" for name, number in installed_wheels().items()) or "not installed"
    found = [Finding("CuPy", wheels)]
    try:
        gpu = select("gpu")
    except DeviceError as error:
        problem, _, remedy = str(error).partition(": ")
        found.append(Finding("GPU", f"none that can be used ({error.problem}): {problem}", remedy))
    else:
        found.append(Finding("GPU", f"{gpu.device} works"))
    try:
        chosen = select(None)
        found.append(Finding("Device", f"{chosen.device} is what --device auto takes here"))
    except DeviceError as error:
        found.append(Finding("Device", f"cannot be used: {error}", "set XPNET_DEVICE to auto, or unset it"))
    return found


def _processor() -> list[Finding]:
    config: Any = np.show_config(mode="dicts")
    simd = config["SIMD Extensions"].get("found", [])
    blas = config["Build Dependencies"]["blas"]
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = max((int(pool["num_threads"]) for pool in pools), default=1)
    cores = workers_for(None)
    limited = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    remedy = f"unset {', '.join(limited)}, if the cores are for this" if limited and threads < cores else ""
    return [
        Finding("Cores", f"{cores} may be used by this process"),
        Finding("NumPy", f"{np.__version__}, SIMD found: {' '.join(simd) or 'none beyond the baseline'}"),
        Finding(
            "Loops in C",
            "compiled" if has_native_loops() else "not compiled: NumPy does it all, slower",
            ""
            if has_native_loops()
            else "install a C compiler (gcc or clang), then xpnet again, by pip install --force-reinstall",
        ),
        Finding("BLAS", f"{blas.get('name')} {blas.get('version')}, {threads} threads", remedy),
    ]


def _decoders() -> list[Finding]:
    found = codecs()
    simplejpeg = _version("simplejpeg")
    missing = [name for name, number in found.items() if not number]
    named = [f"{name} {number}" for name, number in found.items() if number]
    return [
        Finding(
            "Pillow",
            f"{_version('pillow')}: {', '.join(named)}",
            f"cannot decode {', '.join(missing)}: install Pillow's own wheel" if missing else "",
        ),
        Finding(
            "simplejpeg",
            simplejpeg or "not installed",
            "" if simplejpeg else "for faster JPEGs: pip install 'xpnet[fast]', and --decoder simplejpeg",
        ),
    ]


def _packages() -> list[Finding]:
    extras = {
        "pyarrow": "for --format parquet: pip install 'xpnet[parquet]'",
        "jinja2": "for xpnet report: pip install 'xpnet[report]'",
        "matplotlib": "for --plot: pip install 'xpnet[report]'",
    }
    found = {name: _version(name) for name in ("h5py", "safetensors", *extras)}
    return [
        Finding(name, number or "not installed", "" if number else extras.get(name, ""))
        for name, number in found.items()
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
