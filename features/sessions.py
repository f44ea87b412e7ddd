"""ONNX Runtime on all of the CPU, quiet, and no burden to others there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime

from library import cpus


def session(model: bytes | str | Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cpus.available()
    # Threads that wait for one another sleep: spinning gains nothing alone, and beside a trainer
    # or an API it takes the CPU from the very thread that is waited for (docs/evaluation.md).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
