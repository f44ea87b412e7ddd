"""From a dataset, a folder of pictures or a version to the images that are compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.images import Images
from features.sessions import session
from library.datasets.index import ACCEPTED
from library.datasets.opened import Opened
from library.decoded import decode
from library.errors import InvalidValue
from library.images import Fit, to_uint8
from library.latents import latents
from library.versions import Version

Progress = Callable[[int, int], None]
_BATCH = 32


def split_images(
    dataset: Opened,
    split: str,
    labels: Sequence[str],
    resolution: int,
    fit: Fit,
    cache: Path,
    progress: Progress = lambda _done, _total: None,
) -> Images:
    """A split's images of these labels (none given: all images are of one class)."""
    decoded = decode(dataset, resolution, fit, cache, progress, split)
    groups = np.array(
        [
            row["grp"]
            for row in dataset.index.rows(
                "grp", "WHERE status = ? AND split = ? ORDER BY position", ACCEPTED, split
            )
        ],
        np.int64,
    )
    sha256 = tuple(digest for _, digest in decoded.files.values())
    images = Images(decoded.images, decoded.classes, groups, sha256)
    if not labels:
        return Images(images.levels, np.zeros(len(images), np.int64), groups, sha256)
    number = np.array([labels.index(n) if n in labels else -1 for n in decoded.labels], np.int64)
    classes = number[decoded.classes] if len(images) else images.classes
    kept = np.flatnonzero(classes >= 0)
    everything = Images(decoded.images, classes, groups, sha256)
    return everything if len(kept) == len(classes) else everything.taken(kept)


def generated(
    version: Version,
    count: int,
    seed: int,
    progress: Progress = lambda _done, _total: None,
    truncation: float = 1.0,
) -> Images:
    """`count` samples of each label, seeds from `seed` on, nothing picked: (labels * count, r, r).

    The published ONNX file on the CPU, so any machine can make them again.
    """
    version.verify()
    generator = session(version.path / "model.onnx")
    inputs = {value.name for value in generator.get_inputs()}
    side, classes = version.resolution, max(1, len(version.labels))
    levels = np.empty((classes * count, side, side), np.uint8)
    for start in range(0, len(levels), _BATCH):
        places = np.arange(start, min(start + _BATCH, len(levels)))
        fed: dict[str, NDArray[Any]] = {
            "z": latents((seed + places % count).astype(np.uint64), version.latent_dim, truncation),
            "label": places // count,
        }
        fed = {name: value for name, value in fed.items() if name in inputs}
        levels[places] = to_uint8(generator.run(None, fed)[0][:, 0])
        progress(int(places[-1]) + 1, len(levels))
    return Images.of(levels, np.repeat(np.arange(classes), count))


def largest_square(dataset: Opened, splits: Sequence[str]) -> int:
    """The one size of all pictures.  Raises InvalidValue where sizes are mixed."""
    sizes = {
        (row["width"], row["height"])
        for split in splits
        for row in dataset.index.rows(
            "DISTINCT width, height", "WHERE status = ? AND split = ?", ACCEPTED, split
        )
    }
    if len(sizes) != 1 or len(set(next(iter(sizes)))) != 1:
        shown = ", ".join(f"{w}x{h}" for w, h in sorted(sizes)[:5])
        raise InvalidValue(
            f"The pictures in {str(dataset.root or dataset.identity)!r} have {len(sizes)} sizes: "
            f"{shown}{', …' if len(sizes) > 5 else ''}.",
            field="resolution",
            value=len(sizes),
            remedy="Say how they become one: --resolution N --fit crop, pad or stretch.",
        )
    return int(next(iter(sizes))[0])
