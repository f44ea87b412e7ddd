"""ONNX Runtime on all of the CPU, quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from library import cpus


def session(model: bytes | str | Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus.available()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
