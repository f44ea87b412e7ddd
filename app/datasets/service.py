"""Making, showing and removing datasets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from celery import Celery

from app.datasets.receiving import upload_id
from app.datasets.schemas import FolderRequest
from library.atomic import sync_folder
from library.datasets.choices import Choices, resolve
from library.datasets.index import ACCEPTED, NAME, Index, shown_path
from library.datasets.listing import listing
from library.datasets.records import (
    begin,
    begin_upload,
    dataset_id,
    folder_of,
    list_records,
    read_record,
    remove,
    upload_of,
)
from library.datasets.roots import within_roots
from library.errors import Conflict, NotFound
from library.reader_studies import folder as reader_studies
from library.settings import Settings
from library.store.shared import open_store
from library.studies.folder import studies
from worker.jobs import JobStore, reaching_redis
from worker.queue import enqueue_validation

_SHOWN = "id, path, status, reason, label, split, grp, kind, width, height, depth, flags, " + (
    "covariates, sha256"
)


class DatasetService:
    """Methods raise NotFound for a dataset that does not exist."""

    def __init__(self, settings: Settings, jobs: JobStore | None, celery: Celery | None) -> None:
        self._settings, self._jobs, self._celery = settings, jobs, celery
        self._data_dir = settings.data_dir
        self._store = open_store(settings)

    def from_folder(self, request: FolderRequest) -> dict[str, Any]:
        """Register a folder in place, to be validated.  Raises InvalidValue."""
        root = within_roots(request.path, self._settings.roots, "path")
        choices = resolve(request.choices)
        listing(root, "path")
        with reaching_redis():
            self._reachable()
            self._look(dataset_id(root))
            record = begin(self._data_dir, root, choices, request.name)
            self._share(record["id"])
            self._send(record["id"])
        return shown(record)

    def from_archive(
        self, archive: Path, digest: str, choices: Choices, name: str
    ) -> dict[str, Any]:
        """A whole archive becomes a dataset, to be validated.

        The same one again is the dataset that it is already, unless that one failed.
        """
        identity = upload_id(digest, choices)
        self._look(identity)
        try:
            known = read_record(self._data_dir, identity)
            if known["status"] != "failed":
                return shown(known)
        except NotFound:
            pass
        with reaching_redis():
            self._reachable()
            folder = folder_of(self._data_dir, identity)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            size = archive.stat().st_size
            os.replace(archive, upload_of(self._data_dir, identity))
            sync_folder(folder)
            record = begin_upload(self._data_dir, identity, choices, name, size)
            try:
                self._share(identity)
            except BaseException:
                remove(self._data_dir, identity)  # nothing is registered that no worker can have
                raise
            self._send(identity)
        return shown(record)

    def _reachable(self) -> None:
        assert self._jobs is not None
        self._jobs.ping()  # nothing is registered that cannot be validated

    def _send(self, identity: str) -> None:
        assert self._celery is not None
        enqueue_validation(self._celery, identity)

    def _look(self, identity: str) -> None:
        """Whether another machine has it, or knows more of it by now."""
        if self._store is not None:
            self._store.know_dataset(identity)

    def _share(self, identity: str) -> None:
        if self._store is not None:
            self._store.datasets.push(identity, new=True)

    def get(self, identity: str) -> dict[str, Any]:
        self._look(identity)
        return shown(read_record(self._data_dir, identity))

    def all(self) -> list[dict[str, Any]]:
        """Every dataset, without the names of files, which each one's own address has."""
        listed = []
        for record in list_records(self._data_dir):
            found = shown(record)
            for name in ("refused", "left_out", "changed"):
                found[name] = []
            if found.get("duplicates"):
                found["duplicates"] = {**found["duplicates"], "near": []}
            listed.append(found)
        return listed

    def content(self, identity: str) -> tuple[dict[str, Any], Path]:
        """The record and the folder of what was found.  Raises Conflict before there is any."""
        self._look(identity)
        record = read_record(self._data_dir, identity)
        if not record["content"] or record["status"] != "ready":
            raise Conflict(
                f"The dataset {identity!r} is {record['status']}.",
                field="dataset",
                value=identity,
                remedy="Wait until it is ready."
                if record["status"] == "validating"
                else f"GET /datasets/{identity} says what is wrong with it.",
            )
        content = folder_of(self._data_dir, identity) / record["content"]
        if self._store is not None and not content.is_dir():
            self._store.datasets.bring(identity)
        return record, content

    def files(
        self, identity: str, wanted: dict[str, str | None], after: int, limit: int
    ) -> dict[str, Any]:
        """A page of files, in the order of their ids; wanted: status, label, split, flag."""
        _, content = self.content(identity)
        conditions, values = ["id > ?"], [after]
        found: list[Any] = values
        for name in ("status", "label", "split"):
            if wanted.get(name) is not None:
                conditions.append(f"{name} = ?")
                found.append(wanted[name])
        if wanted.get("flag") is not None:
            conditions.append("flags LIKE ?")
            found.append(f"% {wanted['flag']} %")
        where = f"WHERE {' AND '.join(conditions)} ORDER BY id LIMIT ?"
        with Index(content / NAME) as index:
            rows = list(index.rows(_SHOWN, where, *found, limit + 1))
        data = [_file(row) for row in rows[:limit]]
        return {"data": data, "next": data[-1]["id"] if len(rows) > limit else None}

    def thumbnail(self, identity: str, file: int) -> bytes:
        _, content = self.content(identity)
        with Index(content / NAME) as index:
            blob: bytes | None = index.one("SELECT thumbnail FROM pictures WHERE id = ?", file)
        if blob is None:
            raise NotFound(f"The dataset {identity!r} has no picture {file}.", field="file")
        return blob

    def thumbnails(
        self, identity: str, label: str | None, flag: str | None, count: int
    ) -> list[bytes]:
        _, content = self.content(identity)
        where, values = "WHERE status = ?", [ACCEPTED]
        if label is not None:
            where, values = f"{where} AND label = ?", [*values, label]
        if flag is not None:
            where, values = f"{where} AND flags LIKE ?", [*values, f"% {flag} %"]
        with Index(content / NAME) as index:
            rows = index.pictures(
                "thumbnail", f"{where} ORDER BY sha256 LIMIT {int(count)}", *values
            )
            return [row["thumbnail"] for row in rows]

    def delete(self, identity: str) -> None:
        """Really delete it.  Raises Conflict while a job, a study or a reader study needs it."""
        self._look(identity)
        read_record(self._data_dir, identity)
        if self._jobs is not None:
            with reaching_redis():
                for job in self._jobs.unfinished():
                    if job["request"]["dataset"]["id"] == identity:
                        raise Conflict(
                            f"The job {job['id']} trains on {identity!r}.",
                            field="dataset",
                            value=identity,
                            remedy="Cancel it, or wait for its end.",
                        )
        # A study that has ended keeps pixels, which a withdrawal finds by the dataset alone.
        holding = [
            f"The study {study.id} was made of"
            for study in studies(self._data_dir)
            if study.record["dataset"] == identity
        ] + [
            f"The reader study {study.id} shows"
            for study in reader_studies.studies(self._data_dir)
            if study.record["dataset"]["id"] == identity
        ]
        if holding:
            raise Conflict(
                f"{holding[0]} images of {identity!r}.",
                field="dataset",
                value=identity,
                remedy="Delete the study first.",
            )
        if self._store is not None:
            self._store.datasets.remove(identity)
        remove(self._data_dir, identity)


def shown(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the API shows it."""
    base = f"/datasets/{record['id']}"
    names = ("files", "sheet.png", "thumbnails.png", "augmentation.png", "report.html")
    links = {"self": base}
    if record["status"] == "ready":
        links |= {name.partition(".")[0]: f"{base}/{name}" for name in names}
    return {**record, "links": links}


def _file(row: Any) -> dict[str, Any]:
    return {
        **{name: row[name] for name in row.keys() if name not in ("path", "grp")},
        "file": shown_path(row["path"]),
        "group": row["grp"],
        "flags": row["flags"].split(),
        "covariates": json.loads(row["covariates"] or "{}"),
    }
