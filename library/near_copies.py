"""Near-copies of training images, told by normalised correlation of 32 x 32 thumbnails.

Thumbnails are bytes, and their inner products are whole numbers below 2^53: float64 adds them
exactly, in any order, so that the answer for a picture is the same alone, in a batch and anywhere.
"""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from library.atomic import write_bytes
from library.errors import Unusable

SIDE = 32
_COUNT = SIDE * SIDE
Levels = NDArray[np.uint8]


def thumbnail(levels: Levels) -> Levels:
    """(r, r) -> (32, 32): means of what each pixel covers."""
    image = Image.fromarray(np.ascontiguousarray(levels))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


class NearCopies:
    """Training images' thumbnails (n, 32, 32) uint8, and the correlation above which a picture is
    too near to one of them.

    unseen: the highest correlations of real images that were not trained on, (m,), any order; what
    was written before they were kept has none.
    """

    def __init__(
        self, thumbnails: Levels, threshold: float, unseen: NDArray[np.float64] | None = None
    ) -> None:
        rows = thumbnails.reshape(len(thumbnails), _COUNT).astype(np.float64)
        self._rows, self.threshold, self.thumbnails = rows, threshold, thumbnails
        self._unseen = np.sort(np.zeros(0) if unseen is None else unseen)
        self._sums = rows.sum(1)
        self._lengths = _lengths((rows * rows).sum(1), self._sums)

    def nearest(self, levels: Levels) -> NDArray[np.float64]:
        """The highest correlation of each (n, r, r) uint8 with a training image, (n,)."""
        found: NDArray[np.float64] = self._correlations(levels).max(1, initial=-1.0)
        return found

    def closest(self, levels: Levels) -> tuple[float, int]:
        """Of one picture (r, r): its highest correlation, and which training image it is with."""
        (row,) = self._correlations(levels[None])
        index = int(row.argmax())
        return float(row[index]), index

    def percentile(self, correlation: float) -> float | None:
        """Share, in percent, of unseen real images that are less near to a training image."""
        if not len(self._unseen):
            return None
        return 100 * float(np.searchsorted(self._unseen, correlation)) / len(self._unseen)

    def _correlations(self, levels: Levels) -> NDArray[np.float64]:
        small = np.stack([thumbnail(each).reshape(_COUNT) for each in levels]).astype(np.float64)
        sums = small.sum(1)
        lengths = _lengths((small * small).sum(1), sums)
        # Whole numbers until here; the rest is done for each alone.
        products = _COUNT * (small @ self._rows.T) - sums[:, None] * self._sums
        found: NDArray[np.float64] = products / (lengths[:, None] * self._lengths)
        return found

    def flagged(self, levels: Levels) -> NDArray[np.bool_]:
        """Which of (n, r, r) lie too near to a training image."""
        return self.nearest(levels) > self.threshold


def _lengths(squares: NDArray[np.float64], sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths of the rows without their means, times sqrt(1024); endless for flat ones."""
    length = np.sqrt(_COUNT * squares - sums * sums)
    found: NDArray[np.float64] = np.where(length > 0, length, np.inf)
    return found


def write(
    path: Path,
    thumbnails: Levels,
    threshold: float,
    resolution: int,
    unseen: NDArray[np.float64] | None = None,
) -> None:
    """The same bytes for the same content.  unseen: as NearCopies has them."""
    out = io.BytesIO()
    np.savez(
        out,
        thumbnails=thumbnails,
        threshold=np.float64(threshold),
        resolution=np.int64(resolution),
        unseen=np.zeros(0) if unseen is None else unseen,
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_bytes(path, out.getvalue())


def read(path: Path) -> NearCopies:
    """Raises Unusable for what is damaged; OSError where there is none."""
    with open(path, "rb") as file:
        try:
            with np.load(file) as found:
                unseen = found["unseen"] if "unseen" in found else None
                return NearCopies(found["thumbnails"], float(found["threshold"]), unseen)
        except (ValueError, KeyError, EOFError, BadZipFile) as error:
            raise Unusable(f"{path.name} cannot be read ({error}).", field="report") from None
