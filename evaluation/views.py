"""Images as everything here looks at them: pixels, features, thumbnails, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Images, Rows
from evaluation.thumbnails import thumbnails, unit

Features = NDArray[np.float32]


@dataclass(frozen=True)
class Views:
    images: Images
    features: Features
    small: NDArray[np.float32]  # thumbnails, unit

    @classmethod
    def of(cls, images: Images, features: Features) -> Views:
        return cls(images, features, unit(thumbnails(images.levels)))

    def taken(self, rows: Rows) -> Views:
        return Views(self.images.taken(rows), self.features[rows], self.small[rows])
