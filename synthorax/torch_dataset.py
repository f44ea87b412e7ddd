"""A SampleSet for torch's DataLoader.  Importing this imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from synthorax.samples import SampleSet


class SyntheticDataset(Dataset[tuple[Any, int]]):
    """Map-style: item i is (image, target), the same in any order and number of workers.

    A DataLoader asks for a whole batch at once (`__getitems__`): one request, or none where the
    set has a cache.  Images are float32 (1, H, W) in [0, 1], or what `transform` makes of a grey
    Pillow image, as torchvision's datasets have it.
    """

    def __init__(
        self,
        samples: SampleSet,
        transform: Callable[[Image.Image], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.samples = samples
        self.transform = transform
        self.target_transform = target_transform
        self.classes = samples.classes
        self.class_to_idx = {name: place for place, name in enumerate(samples.classes)}

    @property
    def targets(self) -> list[int]:
        """The target of each item."""
        return self.samples.targets

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Any, Any]]:
        images, targets = self.samples.fetch(indices)
        shown: Any
        if self.transform is None:
            shown = torch.from_numpy(np.ascontiguousarray(images)).unsqueeze(1).float().div_(255)
        else:
            shown = [self.transform(Image.fromarray(image)) for image in images]
        told = targets.tolist()
        if self.target_transform is not None:
            told = [self.target_transform(target) for target in told]
        return list(zip(shown, told, strict=True))
