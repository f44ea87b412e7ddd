"""Records of datasets: one small file each, which commits what a validation found.

{data dir}/datasets/{id}.json   the record: status, choices, numbers, reasons, the name of `content`
{data dir}/datasets/{id}/       salt; upload.zip until it is validated; c-*/, the content: an index
                                and, of an upload, the pictures
{data dir}/datasets/.incoming/  uploads on their way; no dataset yet
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.datasets.choices import WHOLE, Choices
from library.errors import NotFound
from library.locks import waiting
from library.logs import request_id
from library.revisions import revised

_EMPTY: dict[str, Any] = {
    "status": "validating",
    "path": None,  # of a folder in place
    "choices": None,
    "content": None,  # folder of what was found at last
    "fingerprint": None,
    "images": 0,
    "patients": None,
    "labels": {},
    "splits": {},
    "refused": [],
    "left_out": [],
    "changed": [],  # files that are not what a run began with, when it was to go on
    "progress": None,
    "error": None,
    "request_id": None,  # under which its validation is logged, whoever takes it up
}


def dataset_id(path: Path) -> str:
    """The id of a folder in place: the same folder has the same id."""
    return "ds-" + hashlib.sha256(str(path).encode(errors="surrogateescape")).hexdigest()[:12]


def new_id() -> str:
    """The id of an upload."""
    return "ds-" + secrets.token_hex(6)


def folder_of(data_dir: Path, identity: str) -> Path:
    return data_dir / "datasets" / identity


def upload_of(data_dir: Path, identity: str) -> Path:
    """Where the archive of an upload lies until it is validated."""
    return folder_of(data_dir, identity) / "upload.zip"


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
            before = {"created_at": round(time.time(), 3)}
        record = revised({**_EMPTY, **before}, {**fields, "id": identity})
        write_json(folder / f"{identity}.json", record)
    return record


def change_record(data_dir: Path, identity: str, fields: Mapping[str, Any]) -> bool:
    """Change some fields of a record that is there; False when it was deleted meanwhile."""
    folder = data_dir / "datasets"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with waiting(folder / ".lock"):
        try:
            before = read_record(data_dir, identity)
        except NotFound:
            return False
        write_json(folder / f"{identity}.json", revised(before, fields))
    return True


def register(data_dir: Path, root: Path) -> dict[str, Any]:
    """The record of a folder that a job trains on; made, if there is none, to use all of it."""
    identity = dataset_id(root)
    try:
        return read_record(data_dir, identity)
    except NotFound:
        return begin(data_dir, root, WHOLE)


def begin(data_dir: Path, root: Path, choices: Choices, name: str | None = None) -> dict[str, Any]:
    """Say that a folder in place is to be validated, as if for the first time."""
    identity = dataset_id(root)
    try:
        before = read_record(data_dir, identity)
    except NotFound:
        before = {"name": root.name}
    fields = {
        **_EMPTY,
        "content": before.get("content"),
        "name": name or before["name"],
        "path": str(root),
        "choices": choices.as_dict(),
        "request_id": request_id.get(),
    }
    return update_record(data_dir, identity, fields)


def begin_upload(
    data_dir: Path, identity: str, choices: Choices, name: str, size: int = 0
) -> dict[str, Any]:
    """Say that an upload, whose archive of `size` bytes is in place, is to be validated."""
    fields = {
        "name": name,
        "choices": choices.as_dict(),
        "request_id": request_id.get(),
        "stored_bytes": size,  # until its pictures are
    }
    return update_record(data_dir, identity, fields)


def commit(data_dir: Path, identity: str, fields: Mapping[str, Any]) -> bool:
    """What a validation found becomes what the dataset is; what it was before is removed.

    False, and nothing is left, when the dataset was deleted meanwhile.
    """
    folder = folder_of(data_dir, identity)
    if not change_record(data_dir, identity, {**fields, "progress": None}):
        shutil.rmtree(folder, ignore_errors=True)
        return False
    current = read_record(data_dir, identity)["content"]
    for content in folder.glob("c-*"):
        if content.name != current:
            shutil.rmtree(content, ignore_errors=True)
    upload_of(data_dir, identity).unlink(missing_ok=True)
    return True


def remove(data_dir: Path, identity: str) -> None:
    """Really delete a dataset: record, index, pictures, salt.  A folder in place stays."""
    with waiting(data_dir / "datasets" / ".lock"):
        (data_dir / "datasets" / f"{identity}.json").unlink(missing_ok=True)
    shutil.rmtree(folder_of(data_dir, identity), ignore_errors=True)


def read_record(data_dir: Path, identity: str) -> dict[str, Any]:
    path = data_dir / "datasets" / f"{identity}.json"
    if not identity.replace("-", "").isalnum() or not path.is_file():
        raise NotFound(f"There is no dataset {identity!r}.", field="dataset", value=identity)
    record: dict[str, Any] = read_json(path)
    return record


def list_records(data_dir: Path) -> list[dict[str, Any]]:
    return [read_json(path) for path in sorted((data_dir / "datasets").glob("ds-*.json"))]
