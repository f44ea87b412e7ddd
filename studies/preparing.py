"""The first unit: the dataset is read, its patients are divided, and both are written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.images import Rows
from library.datasets.opened import Opened, open_dataset
from library.errors import Conflict
from library.studies.folder import Study
from library.versions import ModelLibrary
from studies.arrays import write_array, write_arrays
from studies.images import SPLITS, Table, read_table
from studies.partitions import Parts, draw, set_aside

Tell = Callable[[str, float], None]


def open_parent(study: Study, tell: Tell) -> Opened:
    """The study's dataset, which must still be what the study was made for."""
    named = study.record["dataset"]
    opened = open_dataset(study.data_dir, str(named), _reading(tell))
    if study.record["fingerprint"] not in (None, opened.record["fingerprint"]):
        with opened:
            raise Conflict(
                f"The dataset {named} is no longer what this study was made for.",
                field="dataset",
                value=named,
                remedy="Its files or its choices were changed: begin a new study.",
            )
    return opened


def _reading(tell: Tell) -> Callable[[str, int, int], None]:
    """Tells how far the reading of a dataset is, as the first half of a unit."""
    return lambda words, done, total: tell(words, 0.5 * done / max(total, 1))


def prepare(study: Study, tell: Tell) -> dict[str, Any]:
    """Write the partitions; what the unit's record is to say."""
    with open_parent(study, tell) as dataset:
        tell("Decoding", 0.5)
        table = read_table(dataset, study.config, study.data_dir / "decoded")
        parts, large = draw(table, study.config)
        record = dataset.record
    folder = study.config.generator.images
    images = table.images
    study.work.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_array(levels_path(study), images.levels)
    write_arrays(
        study.partitions,
        {
            "classes": images.classes,
            "groups": images.groups,
            "split": table.split,
            "sha256": np.array(images.sha256, "S64"),
            "large": large,
            **{f"train/{name}": part.train for name, part in parts.items()},
            **{f"test/{name}": part.test for name, part in parts.items()},
            **{f"choosing/{name}": part.choosing for name, part in parts.items()},
        },
    )
    return {
        "labels": list(table.labels),
        "positive": table.positive,
        "images": len(images),
        "patients_known": table.patients_known,
        "dataset": {
            **{name: record[name] for name in ("id", "name", "fingerprint", "patients_by")},
            "attribution": _attribution(study),
        },
        "partitions": {
            name: {"train": _counted(table, part.train), "test": _counted(table, part.test)}
            for name, part in parts.items()
        },
        "large": {**_counted(table, large), "set_aside": set_aside(table, large)},
        "folder": None if folder is None else _folder(study, Path(folder), tell),
    }


def _folder(study: Study, path: Path, tell: Tell) -> dict[str, Any]:
    """The user's own synthetic images as they are now: every unit is to draw from the same."""
    with open_dataset(study.data_dir, path, _reading(tell)) as dataset:
        return {name: dataset.record[name] for name in ("fingerprint", "labels")}


def _attribution(study: Study) -> str | None:
    """Whom the images are owed to, as a version says that was trained on these very ones."""
    if study.config.generator.model is None:
        return None
    card = ModelLibrary(study.data_dir / "models").find(study.config.generator.model).card
    same = card["dataset"].get("fingerprint") == study.record["fingerprint"]
    return str(card["attribution"]) if same and card.get("attribution") else None


def _counted(table: Table, rows: Rows) -> dict[str, Any]:
    counts = np.bincount(table.images.classes[rows], minlength=len(table.labels))
    return {
        "images": len(rows),
        "patients": len(np.unique(table.images.groups[rows])) if table.patients_known else None,
        "labels": dict(zip(table.labels, map(int, counts), strict=True)),
    }


def levels_path(study: Study) -> Path:
    """The pixels of all images that take part, (N, r, r) uint8, in the order of the table."""
    return study.work / "images.npy"


def read_parts(study: Study, partition: str) -> Parts:
    with np.load(study.partitions) as kept:
        return Parts(*(kept[f"{name}/{partition}"] for name in ("train", "test", "choosing")))


def split_of(study: Study, partition: str) -> Mapping[str, str]:
    """SHA-256 of a file -> its split in the dataset that a partition's generator is trained on."""
    parts, small = read_parts(study, partition), study.config.kind == "small_class"
    with np.load(study.partitions) as kept:
        digests = [digest.decode() for digest in kept["sha256"]]
    found = {digests[row]: SPLITS[0] for row in parts.train}
    # Of a fold they are among the training images: the classifiers have them, too.
    found |= {digests[row]: SPLITS[1] for row in parts.choosing}
    assert small or not set(parts.train) & set(parts.choosing)
    return found
