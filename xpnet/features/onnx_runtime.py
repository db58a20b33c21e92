"""onnxruntime, which runs networks in ONNX files: an optional package, loaded only when it is needed."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from xpnet.errors import ModelFileError, UsageError


def load_onnxruntime(purpose: str) -> Any:
    """Return the module. purpose: what it is needed for, as the beginning of a message.

    Raises:
        UsageError: it is not installed, or cannot be loaded.
    """
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError as error:
        msg = f"{purpose} onnxruntime, which is not installed: pip install 'xpnet[onnx]' ({error})"
        raise UsageError(msg) from error
    runtime.set_default_logger_severity(4)
    if hasattr(runtime, "disable_telemetry_events"):
        runtime.disable_telemetry_events()
    return runtime


def run_onnx(content: bytes, examples: np.ndarray, batch: int) -> np.ndarray:
    """Return the first output of a network that takes one input, computed on the CPU.

    Args:
        content: the bytes of an ONNX file.
        examples: the input, (k, ...).
        batch: how many examples are given at a time.

    Raises:
        UsageError: onnxruntime is not installed.
        ModelFileError: onnxruntime cannot use the network.
    """
    runtime = load_onnxruntime("an ONNX file is run by")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        parts = [
            session.run(None, {name: examples[start : start + batch]})[0]
            for start in range(0, len(examples), batch)
        ]
    except Exception as error:
        msg = f"onnxruntime {runtime.__version__} cannot use the network: {error_line(error)}"
        raise ModelFileError(msg) from error
    return np.concatenate(parts)


def error_line(error: Exception) -> str:
    """Return the message of an error in one line of a readable length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
