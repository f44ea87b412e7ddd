"""Datasets of a few images for tests: made, validated, decoded."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from library.datasets.choices import resolve
from library.datasets.index import NAME, Index
from library.datasets.opened import open_dataset
from library.datasets.opened import validated as ready
from library.datasets.records import begin, commit
from library.datasets.validation import validate
from library.decoded import Decoded, decode
from library.images import Fit

REAL = Path(__file__).parent / "data" / "chest_xray"


def picture(path: Path, number: int = 0, size: tuple[int, int] = (80, 96)) -> Path:
    """A smooth picture of its own for each number: no two are near-duplicates."""
    random = np.random.default_rng(number)
    coarse = Image.fromarray(random.integers(0, 256, (12, 12), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def held_out(root: Path, data_dir: Path, patients: int = 60) -> str:
    """A validated dataset of two classes with held-out images, two of each patient; its id."""
    for split, first, count in (("train", 0, 3), ("test", 1000, patients)):
        for k, label in enumerate(("NORMAL", "PNEUMONIA")):
            for i in range(count):
                for again in range(2):
                    number = first + 10_000 * k + 10 * i + again
                    picture(root / split / label / f"p{k}{i:03d}_{again}.png", number)
    record = begin(data_dir, root, resolve({"patient": r"p(\d+)_"}))
    commit(data_dir, record["id"], ready(data_dir, record, lambda *_: None))
    return str(record["id"])


def packed(folder: Path, target: Path, prefix: str = "", **options: Any) -> Path:
    """A folder as a ZIP."""
    with zipfile.ZipFile(target, "w", **options) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, f"{prefix}{path.relative_to(folder).as_posix()}")
    return target


class Found:
    """What a validation found: its fields, and the rows of its index by path."""

    def __init__(self, folder: Path, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.content = folder / fields["content"]
        with Index(self.content / NAME) as index:
            self.rows = {
                row["path"]: dict(row)
                for row in index.query("SELECT * FROM files LEFT JOIN pictures USING (id)")
            }

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def reason(self, path: str) -> str | None:
        reason: str | None = self.rows[path]["reason"]
        return reason

    def split(self, split: str) -> set[str]:
        return {path for path, row in self.rows.items() if row["split"] == split}

    def accepted(self) -> set[str]:
        return {path for path, row in self.rows.items() if row["status"] == "accepted"}


def validated(
    source: Path, folder: Path, choices: Mapping[str, Any] | None = None, **options: Any
) -> Found:
    """Validate a folder or a ZIP, its content below `folder`."""
    fields = validate(folder, source, resolve(choices), **options)
    json.dumps(fields)  # it is to be a record
    return Found(folder, fields)


def decoded(
    root: Path, data_dir: Path, resolution: int = 64, fit: Fit = "crop", **options: Any
) -> Decoded:
    """A folder as a run decodes it: all of it is for training."""
    with open_dataset(data_dir, root, lambda *_: None) as dataset:
        return decode(dataset, resolution, fit, data_dir / "decoded", **options)
