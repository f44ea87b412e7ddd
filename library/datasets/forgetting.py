"""A dataset forgets files: of its index, pictures, record and sheet; the index is changed last."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from library.atomic import new_folder, remove_left, sync_folder, write_bytes
from library.datasets import statistics
from library.datasets.choices import resolve
from library.datasets.fingerprints import fingerprint
from library.datasets.index import LEFT_OUT, NAME, Index
from library.datasets.reading import WITHDRAWN
from library.datasets.records import change_record, folder_of, one_at_a_time, read_record
from library.datasets.sheets import View, before_after, chosen
from library.datasets.validation import SHEET, SHEET_RESOLUTION, SHOWN
from library.decoding.pool import Decoders
from library.errors import NotFound

_OF_FILES = "WHERE sha256 IN (SELECT value FROM json_each(?))"


def forget_files(data_dir: Path, identity: str, digests: frozenset[str]) -> str | None:
    """Leave files out of a dataset as it is then, and keep nothing of them; its fingerprint.

    None when the dataset was deleted.  May be done again, by whoever was killed in it: the index,
    by which the rest is found, gets its place last.  Waits for a validation that is going on.
    """
    try:
        read_record(data_dir, identity)
        with one_at_a_time(data_dir, identity):
            return _forget(data_dir, read_record(data_dir, identity), digests)
    except NotFound:
        return None


def _forget(data_dir: Path, record: dict[str, Any], digests: frozenset[str]) -> str | None:
    identity = record["id"]
    content = folder_of(data_dir, identity) / str(record["content"])
    before: str | None = record["fingerprint"]
    if not (content / NAME).is_file():
        return before
    with Index(content / NAME) as index:
        found = list(index.pictures("id, stored", _OF_FILES, json.dumps(sorted(digests))))
    if not found:
        return before
    # A copy is changed and put in place, since readers take an index as unchanging.
    with new_folder(folder_of(data_dir, identity), "withdrawal") as temporary:
        fresh = temporary / NAME
        shutil.copyfile(content / NAME, fresh)
        fields = _leave_out(fresh, [row["id"] for row in found], record)
        for row in found:
            if row["stored"]:
                (content / row["stored"]).unlink(missing_ok=True)
        if record["status"] != "validating":  # it is to be another record soon
            change_record(data_dir, identity, fields)
        _draw(content, fresh, record)
        os.replace(fresh, content / NAME)
        sync_folder(content)
    return str(fields["fingerprint"])


def _leave_out(path: Path, found: list[int], record: dict[str, Any]) -> dict[str, Any]:
    """Take rows out of an index; what its record is to say then."""
    index = Index(path, write=True)
    with index:
        rows = json.dumps(found)  # one parameter, however many they are
        index.execute("PRAGMA secure_delete = ON")
        index.execute("DELETE FROM near WHERE one IN (SELECT value FROM json_each(?))", rows)
        index.execute("DELETE FROM near WHERE other IN (SELECT value FROM json_each(?))", rows)
        index.execute(
            "UPDATE files SET status = ?, reason = ?, split = NULL, position = NULL, "
            "patient = NULL, sop = NULL, accession = NULL, covariates = '{}', stored = NULL, "
            "flags = '' WHERE id IN (SELECT value FROM json_each(?))",
            LEFT_OUT, WITHDRAWN, rows,
        )  # fmt: skip
        index.execute("DELETE FROM pictures WHERE id IN (SELECT value FROM json_each(?))", rows)
        index.commit()
        index.execute("VACUUM")
        counted = statistics.counts(index)
        return {
            **counted,
            "fingerprint": fingerprint(index, resolve(record["choices"])),
            "duplicates": statistics.duplicates(index),
            **statistics.reasons(index),
            "statistics": statistics.shapes(index),
            "status": "ready" if counted["images"] else "failed",
        }


def _draw(content: Path, fresh: Path, record: dict[str, Any]) -> None:
    """The sheet anew, by the index that is to be: the one that was may show the patient."""
    choices = resolve(record["choices"])
    root = None if record["path"] is None else Path(record["path"])

    def locate(row: Any) -> Path:
        return content / str(row["stored"]) if row["stored"] else (root or content) / row["path"]

    window, before = (choices.window, "stored") if root is not None else ("file", "file")
    view = View(SHEET_RESOLUTION, choices.fit, window, choices.mask)
    (content / SHEET).unlink(missing_ok=True)
    remove_left(content / SHEET)
    with Index(fresh) as index, Decoders(1) as decoders:
        rows = chosen(index, SHOWN)
        write_bytes(content / SHEET, before_after(rows, locate, view, decoders, before))
