"""ONNX Runtime in float32 on the CPU: the default, and no torch in the process."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.engine.processor import cpu_class
from library import cpus
from library.versions import Version


class OnnxBackend:
    """A version's model.onnx."""

    name = "onnxruntime"
    precision = "float32"

    def __init__(self, version: Version) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cpus.available()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle is idle
        self.software: dict[str, Any] = {
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "device": cpu_class(),
        }
        self._session = onnxruntime.InferenceSession(
            version.path / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._conditional = bool(version.labels)

    def run(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"z": z, "label": label} if self._conditional else {"z": z}
        images: NDArray[np.float32] = self._session.run(["images"], feed)[0][:, 0]
        return images
