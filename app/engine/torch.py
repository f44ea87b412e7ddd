"""torch in float32 on CUDA.  The only file of the app that imports torch and the networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from library.errors import Unavailable
from library.versions import Version
from training.networks import build_generator


class TorchBackend:
    """A version's model.safetensors on a device."""

    name = "torch"
    precision = "float32"

    def __init__(self, version: Version, device: str) -> None:
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise Unavailable(
                "There is an NVIDIA driver, or a GPU is asked for, but torch cannot use it.",
                field="SYNTHORAX_DEVICE",
                value=device,
                remedy="Run `synthorax doctor`; or set SYNTHORAX_DEVICE=cpu.",
            )
        self._device = torch.device(device)
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        generator = build_generator(version.card["architecture"])
        tensors = load_file(version.path / "model.safetensors")
        # Counts of batches are training's alone and are not stored.
        generator.load_state_dict({k: t.float() for k, t in tensors.items()}, strict=False)
        self._generator = generator.eval().to(self._device)
        name = torch.cuda.get_device_name(self._device) if self._device.type == "cuda" else "cpu"
        self.software: dict[str, Any] = {
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "numpy": np.__version__,
            "device": name,
        }

    @torch.no_grad()
    def run(self, z: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float32]:
        images = self._generator(
            torch.from_numpy(z).to(self._device), torch.from_numpy(label).to(self._device)
        )
        result: NDArray[np.float32] = images[:, 0].cpu().numpy()
        return result
