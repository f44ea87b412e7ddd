"""What a folder seems to hold, before anything in it is read: enough to refuse a wrong one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from library.datasets.layout import UNLABELLED, recognise
from library.datasets.sources import FolderSource
from library.errors import InvalidValue

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom", ".dic", ""}
)


@dataclass(frozen=True)
class Listing:
    """labels: files by class, of those that would be trained on; table: a CSV may say otherwise."""

    root: Path
    labels: dict[str, int]
    table: bool

    @property
    def images(self) -> int:
        return sum(self.labels.values())


def listing(root: Path, field: str = "dataset.path") -> Listing:
    """List a folder.  Raises InvalidValue (naming `field`) when it holds nothing to train on."""
    paths, table = [], False
    for entry in FolderSource(root, field).entries():
        suffix = Path(entry.path).suffix.lower()
        table = table or suffix == ".csv"
        if suffix in SUFFIXES or suffix[1:].isdecimal():  # a DICOM named by its UID
            paths.append(entry.path)
    if not paths:
        raise InvalidValue(
            f"The folder {str(root)!r} holds no image (JPEG, PNG, TIFF, BMP, WebP or DICOM).",
            field=field,
            value=str(root),
            remedy="Put images into one sub-folder per class, for example NORMAL/ and PNEUMONIA/.",
        )
    layout = recognise(paths)
    labels: Counter[str] = Counter()
    for path in paths:
        label, split = layout.place(path)
        if table:
            labels[label or UNLABELLED] += 1
        elif label is not None and split in (None, "train"):
            labels[label] += 1
    return Listing(root, dict(sorted(labels.items())), table)
