"""A dataset in place: a folder with one sub-folder per class, found, fingerprinted, recorded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.errors import InvalidValue, NotFound
from library.images import SUFFIXES
from library.locks import waiting

SPLIT_NAMES = frozenset({"train", "val", "valid", "validation", "test"})
UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class File:
    """One candidate image: its path below the root and its class name."""

    path: str
    label: str


@dataclass(frozen=True)
class Folder:
    """Where the candidates of a dataset lie.  Nothing is decoded yet."""

    root: Path
    files: tuple[File, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(sorted({file.label for file in self.files}))

    def counts(self) -> dict[str, int]:
        counts = dict.fromkeys(self.labels, 0)
        for file in self.files:
            counts[file.label] += 1
        return counts


def scan(root: Path, field: str = "dataset.path") -> Folder:
    """Find the images below a folder: one class per sub-folder, or no classes at all.

    Raises InvalidValue (naming `field`) for a folder that is missing, empty, or a set of splits.
    """
    if not os.path.isdir(root):  # unlike Path.is_dir, never raises for what cannot be a name
        raise InvalidValue(
            f"There is no folder {str(root)!r}.",
            field=field,
            value=str(root),
            remedy="Give the path of an existing folder with one sub-folder of images per class.",
        )
    visible = [entry for entry in os.scandir(root) if not entry.name.startswith(".")]
    folders = sorted(entry.name for entry in visible if entry.is_dir())
    if folders and all(name.lower() in SPLIT_NAMES for name in folders):
        raise InvalidValue(
            f"The folder {str(root)!r} holds splits ({', '.join(folders)}), not classes.",
            field=field,
            value=str(root),
            remedy=f"Train on one split: {str(root / folders[-1])!r}."
            if "train" not in folders
            else f"Train on {str(root / 'train')!r}.",
        )
    files = [File(name, UNLABELLED) for name in _images(root)] if not folders else []
    for label in folders:
        files += [File(f"{label}/{name}", label) for name in _images(root / label)]
    if not files:
        raise InvalidValue(
            f"The folder {str(root)!r} holds no PNG or JPEG file.",
            field=field,
            value=str(root),
            remedy="Put images into one sub-folder per class, for example NORMAL/ and PNEUMONIA/.",
        )
    return Folder(root, tuple(files))


def _images(folder: Path) -> list[str]:
    found = []
    for parent, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith("."))
        below = os.path.relpath(parent, folder)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append(name if below == "." else f"{below}/{name}")
    return sorted(found)


def within_roots(path: str, roots: Sequence[Path], field: str = "dataset.path") -> Path:
    """The real path of a folder that lies under one of the configured roots."""
    given = Path(path)
    candidates = [given] if given.is_absolute() else [root / given for root in roots]
    for candidate in candidates:
        try:
            real = Path(os.path.realpath(candidate))
        except ValueError:  # a NUL or a lone surrogate, which no file name holds
            continue
        if any(real.is_relative_to(os.path.realpath(root)) for root in roots):
            if os.path.isdir(real) or given.is_absolute() or candidate is candidates[-1]:
                return real
    allowed = ", ".join(str(root) for root in roots) or "none is configured"
    raise InvalidValue(
        f"The folder {path!r} is not under a dataset root.",
        field=field,
        value=path,
        remedy=f"Use a folder under one of the roots ({allowed}), "
        "or add its parent to SYNTHORAX_DATASET_ROOTS and start the service again.",
    )


# Records: one small file a dataset, so that what was refused, and why, can be shown.

_EMPTY: dict[str, Any] = {
    "status": "validating",
    "fingerprint": None,
    "images": 0,
    "labels": {},
    "refused": [],
    "changed": [],  # files that are not what a run began with, when it was to go on
    "progress": None,
    "error": None,
}


def dataset_id(path: Path) -> str:
    """The id of a folder in place: the same folder has the same id."""
    return "ds-" + hashlib.sha256(str(path).encode()).hexdigest()[:12]


def update_record(data_dir: Path, identity: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Change some fields of a record (made, if there is none); returns it whole.

    Trainer, validation and API write records: a lock keeps each one's fields.
    """
    folder = data_dir / "datasets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with waiting(folder / ".lock"):
        try:
            before = read_record(data_dir, identity)
        except NotFound:
            before = {}
        record = {**_EMPTY, **before, **fields, "id": identity}
        write_json(folder / f"{identity}.json", record)
    return record


def register(data_dir: Path, folder: Folder, name: str | None = None) -> dict[str, Any]:
    """The record of a folder in place, made if there is none: it is to be validated then."""
    identity = dataset_id(folder.root)
    try:
        return read_record(data_dir, identity)
    except NotFound:
        return validate_again(data_dir, folder, name)


def validate_again(data_dir: Path, folder: Folder, name: str | None = None) -> dict[str, Any]:
    """Say that a folder is to be validated, as if for the first time."""
    identity = dataset_id(folder.root)
    try:
        known = str(read_record(data_dir, identity)["name"])
    except NotFound:
        known = folder.root.name
    fields = {
        **_EMPTY,
        "name": name or known,
        "path": str(folder.root),
        "images": len(folder.files),
        "labels": {label: {"images": n} for label, n in folder.counts().items()},
    }
    return update_record(data_dir, identity, fields)


def read_record(data_dir: Path, identity: str) -> dict[str, Any]:
    path = data_dir / "datasets" / f"{identity}.json"
    if not identity.replace("-", "").isalnum() or not path.is_file():
        raise NotFound(f"There is no dataset {identity!r}.", field="dataset", value=identity)
    record: dict[str, Any] = read_json(path)
    return record


def list_records(data_dir: Path) -> list[dict[str, Any]]:
    return [read_json(path) for path in sorted((data_dir / "datasets").glob("ds-*.json"))]
