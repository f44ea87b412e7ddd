"""Records of datasets: one small file each, which commits what a validation found.

{data dir}/datasets/{id}.json   the record: status, choices, numbers, reasons, the name of `content`
{data dir}/datasets/{id}/       salt; upload.zip until it is validated; c-*/, the content: an index
                                and, of an upload, the pictures
{data dir}/datasets/.incoming/  uploads on their way; no dataset yet
{data dir}/datasets/.deleted-*  what is being removed
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from library.atomic import read_json, write_json
from library.datasets.choices import WHOLE, Choices
from library.errors import NotFound
from library.locks import hold, waiting
from library.logs import request_id
from library.revisions import revised

_DELETED = ".deleted-"  # begins the name of what is being removed
_OLD_SECONDS = 86_400  # after which what is half written is nobody's

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


@contextmanager
def one_at_a_time(data_dir: Path, identity: str) -> Iterator[None]:
    """A trainer and a worker may come to the same dataset at once: one after the other."""
    folder = folder_of(data_dir, identity)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with waiting(folder / "lock"):
        yield


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
        shutil.rmtree(_set_aside(folder), ignore_errors=True)
        return False
    _remove(_other_contents(folder, read_record(data_dir, identity)))
    upload_of(data_dir, identity).unlink(missing_ok=True)
    return True


def remove(data_dir: Path, identity: str) -> None:
    """Really delete a dataset: record, index, pictures, salt.  A folder in place stays."""
    with waiting(data_dir / "datasets" / ".lock"):
        aside = _set_aside(folder_of(data_dir, identity))
        _remove(aside.parent.glob(f".{identity}.*.tmp"))  # what a killed process was bringing
        (data_dir / "datasets" / f"{identity}.json").unlink(missing_ok=True)
    shutil.rmtree(aside, ignore_errors=True)


def tidy(data_dir: Path) -> None:
    """Remove what processes that were killed have left: it may show patients, and nobody asks
    for it any more."""
    root = data_dir / "datasets"
    _remove([*root.glob(f"{_DELETED}*"), *filter(_is_old, root.glob(".*.tmp"))])
    for folder in root.glob("ds-*/"):
        try:
            if not _left(folder, read_record(data_dir, folder.name)):
                continue
            handle = hold(folder / "lock")
            if handle is None:  # it is validated
                continue
            try:
                _remove(_left(folder, read_record(data_dir, folder.name)))
            finally:
                os.close(handle)
        except NotFound:  # of an upload the archive is there before its record
            if _is_old(folder):
                shutil.rmtree(_set_aside(folder), ignore_errors=True)


def _left(folder: Path, record: Mapping[str, Any]) -> list[Path]:
    """What lies in the folder of a dataset that was validated, and is none of it."""
    if record["status"] == "validating":
        return []
    upload = folder / "upload.zip"
    # Where it has failed, the same archive may just have come again.
    gone = upload.is_file() and (record["status"] == "ready" or _is_old(upload))
    return [
        *filter(_is_old, folder.glob(".*.tmp")),
        *_other_contents(folder, record),
        *([upload] if gone else []),
    ]


def _other_contents(folder: Path, record: Mapping[str, Any]) -> list[Path]:
    return [content for content in folder.glob("c-*") if content.name != record["content"]]


def _set_aside(folder: Path) -> Path:
    """Give a folder a name that says that it goes; whoever is killed then leaves it to `tidy`."""
    aside = folder.with_name(f"{_DELETED}{folder.name}-{secrets.token_hex(4)}")
    with suppress(FileNotFoundError):
        os.rename(folder, aside)
    return aside


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > _OLD_SECONDS
    except FileNotFoundError:
        return False


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def read_record(data_dir: Path, identity: str) -> dict[str, Any]:
    path = data_dir / "datasets" / f"{identity}.json"
    missing = NotFound(f"There is no dataset {identity!r}.", field="dataset", value=identity)
    if not identity.replace("-", "").isalnum():
        raise missing
    try:
        record: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        raise missing from None
    return record


def list_records(data_dir: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted((data_dir / "datasets").glob("ds-*.json")):
        with suppress(FileNotFoundError):  # deleted since it was listed
            found.append(read_json(path))
    return found
