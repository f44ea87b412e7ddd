"""ONNX Runtime in float32 on the CPU: the default, and no torch in the process."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.engine.processor import cpu_class
from library import cpus
from library.images import to_uint8
from library.versions import Version


class OnnxBackend:
    """A version's model.onnx; a batch is cut into one slice a thread.

    The runtime goes through a batch image by image, so that its own threads share the work of one
    image and wait for each other (1.0 to 1.3 times one thread's speed on two cores); a slice each
    gives 1.8 times, and each image is computed as if it were alone.
    """

    name = "onnxruntime"
    precision = "float32"
    sizes: tuple[int, ...] = (1, 2, 4, 8, 16)

    def __init__(self, version: Version, threads: int = 0) -> None:
        self._threads = threads or cpus.available()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.software: dict[str, Any] = {
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
            "device": cpu_class(),
        }
        self._session = onnxruntime.InferenceSession(
            version.path / "model.onnx", options, providers=["CPUExecutionProvider"]
        )
        self._conditional = bool(version.labels)
        self._others = ThreadPoolExecutor(max(1, self._threads - 1), "onnx")

    def warm(self) -> None:
        """Nothing is prepared for a size."""

    def outputs(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        slices = min(self._threads, len(z))
        if slices == 1:
            return self._run(z, label)
        edges = [len(z) * i // slices for i in range(slices + 1)]
        bounds = list(pairwise(edges))
        futures = [self._others.submit(self._run, z[a:b], label[a:b]) for a, b in bounds[:-1]]
        a, b = bounds[-1]
        mine = self._run(z[a:b], label[a:b])
        return np.concatenate([*(future.result() for future in futures), mine])

    def levels(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.uint8]:
        return to_uint8(self.outputs(z, label))

    def _run(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"z": z, "label": label} if self._conditional else {"z": z}
        images: NDArray[np.float32] = self._session.run(["images"], feed)[0][:, 0]
        return images
