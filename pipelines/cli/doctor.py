"""`xpnet doctor`: examine this machine, and say what could be better."""

import os
import platform
from typing import Any, NamedTuple

import typer

from xpnet.version import __version__

from . import options as o
from .console import Console

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Environment variables that limit the threads of BLAS."""

EXTRAS = {
    "onnxruntime": "for backbones, and to check exported models: pip install 'xpnet[onnx]'",
    "pyarrow": "for Parquet files: pip install 'xpnet[parquet]'",
    "obstore": "for images in buckets (s3://, gs://): pip install 'xpnet[cloud]'",
    "jinja2": "for xpnet report: pip install 'xpnet[report]'",
}
"""Packages that are optional, and what to do to get them."""


class Finding(NamedTuple):
    """One thing that was examined.

    Attributes:
        name: what was examined.
        found: what was found.
        remedy: what to do, if it could be better; else "".
    """

    name: str
    found: str
    remedy: str = ""


def doctor(console: Console, as_json: o.AsJson = False) -> None:
    """Examine this machine: what xpnet can use, and what is missing.

    Looks at the GPU and its driver, the processor, BLAS and its threads, and the decoders of images. Where
    something could be better, it says what to do.
    """
    from .text import to_json

    del console
    findings = examine()
    typer.echo(to_json([finding._asdict() for finding in findings]) if as_json else findings_text(findings))


def findings_text(findings: list[Finding]) -> str:
    """Return findings as text: one line for each, and below it what to do."""
    from .text import text_table

    rows = []
    for finding in findings:
        rows.append([finding.name, finding.found])
        if finding.remedy:
            rows.append(["", f"-> {finding.remedy}"])
    return text_table(rows, left=2, has_head=False)


def examine() -> list[Finding]:
    """Examine Python and its packages, the processor, BLAS, the GPU, and the decoders of images."""
    return [
        Finding("xpnet", f"{__version__}, Python {platform.python_version()}, {platform.platform()}"),
        *_gpu(),
        *_processor(),
        *_decoders(),
        *_packages(),
    ]


def _gpu() -> list[Finding]:
    from xpnet.backend import installed_wheels, select
    from xpnet.errors import DeviceError

    wheels = ", ".join(f"{name} {number}" for name, number in installed_wheels().items()) or "not installed"
    findings = [Finding("CuPy", wheels)]
    try:
        gpu = select("gpu")
    except DeviceError as error:
        found = f"none that can be used ({error.problem}): {error.reason}"
        findings.append(Finding("GPU", found, error.remedy))
    else:
        findings.append(Finding("GPU", f"{gpu.device} works"))
    try:
        chosen = select(None)
        findings.append(Finding("Device", f"{chosen.device} is what --device auto takes here"))
    except DeviceError as error:
        findings.append(
            Finding("Device", f"cannot be used: {error}", "set XPNET_DEVICE to auto, or unset it")
        )
    return findings


def _processor() -> list[Finding]:
    import numpy as np
    from threadpoolctl import threadpool_info

    from xpnet.kernels import has_native_loops

    from ..images import workers_for

    config: Any = np.show_config(mode="dicts")
    simd = config["SIMD Extensions"].get("found", [])
    blas = config["Build Dependencies"]["blas"]
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    threads = max((int(pool["num_threads"]) for pool in pools), default=1)
    cores = workers_for(None)
    limits = [f"{name}={os.environ[name]}" for name in THREAD_VARIABLES if name in os.environ]
    remedy = f"unset {', '.join(limits)} to use all cores" if limits and threads < cores else ""
    compiled = Finding("Loops in C", "compiled")
    if not has_native_loops():
        compiled = Finding(
            "Loops in C",
            "not compiled: NumPy is used instead, which is slower",
            "install a C compiler (gcc or clang), then install again from the clone: "
            "pip install --force-reinstall .",
        )
    return [
        Finding("Cores", f"{cores} may be used by this process"),
        Finding("NumPy", f"{np.__version__}, SIMD found: {' '.join(simd) or 'none beyond the baseline'}"),
        compiled,
        Finding("BLAS", f"{blas.get('name')} {blas.get('version')}, {threads} threads", remedy),
    ]


def _decoders() -> list[Finding]:
    from ..images import codec_versions

    decoders = codec_versions()
    simplejpeg = _version("simplejpeg")
    missing = [name for name, number in decoders.items() if not number]
    present = [f"{name} {number}" for name, number in decoders.items() if number]
    return [
        Finding(
            "Pillow",
            f"{_version('pillow')}: {', '.join(present)}",
            f"cannot decode {', '.join(missing)}: install Pillow's own wheel" if missing else "",
        ),
        *_pixels(),
        Finding(
            "simplejpeg",
            simplejpeg or "not installed",
            "" if simplejpeg else "for faster JPEGs: pip install 'xpnet[fast]', and --decoder simplejpeg",
        ),
    ]


def _pixels() -> list[Finding]:
    """Return what decodes JPEGs, and a checksum of its pixels, which models store too: see `xpnet info`."""
    from ..images import DECODERS, decoding_libraries, versions_text

    return [
        Finding("Pixels", f"{found.get('pixels', 'none')} by {versions_text(found)}")
        for found in map(decoding_libraries, filter(_version, DECODERS))
    ]


def _packages() -> list[Finding]:
    versions = {name: _version(name) for name in ("h5py", "safetensors", *EXTRAS)}
    return [
        Finding(name, number or "not installed", "" if number else EXTRAS.get(name, ""))
        for name, number in versions.items()
    ]


def _version(package: str) -> str:
    """Return the version of an installed package; "" if it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return ""
