"""What the doctor finds, and what to do about it."""

import re
from importlib.metadata import PackageNotFoundError, version

import pytest

from xpnet.errors import DeviceError
from xpnet.pipelines.cli import doctor


def found() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.examine()}


def test_it_names_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPNET_DEVICE", "cpu")
    findings = found()
    assert version("numpy") in findings["NumPy"].found
    assert version("pillow") in findings["Pillow"].found
    assert re.match(r"[0-9a-f]{8} by Pillow [0-9.]+, ", findings["Pixels"].found)
    assert "threads" in findings["BLAS"].found
    assert findings["Device"].found.startswith("cpu")
    assert not findings["Device"].remedy


def test_a_gpu_that_cannot_be_used_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def select(device: str | None) -> None:
        raise DeviceError("there is no driver", problem="no-driver", remedy="install it")

    monkeypatch.setattr("xpnet.backend.select", select)
    findings = found()
    assert findings["GPU"] == doctor.Finding(
        "GPU", "none that can be used (no-driver): there is no driver", "install it"
    )
    assert findings["Device"].remedy


def test_what_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr("importlib.metadata.version", nothing)
    findings = found()
    assert "pip install 'xpnet[fast]'" in findings["simplejpeg"].remedy
    assert "pip install 'xpnet[parquet]'" in findings["pyarrow"].remedy
    assert "pip install 'xpnet[report]'" in findings["jinja2"].remedy
    assert not findings["h5py"].remedy
    text = doctor.findings_text(list(findings.values()))
    assert text.count("->") == len([f for f in findings.values() if f.remedy])


def test_limited_threads_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [{"user_api": "blas", "num_threads": 1}])
    monkeypatch.setattr("xpnet.pipelines.images.workers_for", lambda asked: 8)
    assert found()["BLAS"].remedy.startswith("unset OMP_NUM_THREADS=1")


def test_loops_that_were_not_compiled_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpnet.kernels.has_native_loops", lambda: False)
    assert "C compiler" in found()["Loops in C"].remedy
    monkeypatch.setattr("xpnet.kernels.has_native_loops", lambda: True)
    assert not found()["Loops in C"].remedy
