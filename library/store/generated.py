"""Generate jobs in the store: the small files of each on every machine, shards where they are read.

state/generated/{id}          that there is the job, and how it ended before its last shard
state/deleted/generated/{id}  that it was deleted
files/generated/{id}/{name}   job.json, engine.json, manifest.json: as in its folder
files/generated/{id}/shards/{block}/{name}   a thousand shards and their records each

A shard's record is put after its file, so that whoever sees a record can have the file.
Shards are begun in order, so that a look at what others have made is a look at a block or two,
however many shards a job has.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from library import generate_jobs
from library.atomic import read_json, sync_folder, write_bytes
from library.digest import digest_file
from library.generate_jobs import ENDED, IDENTITY, GenerateJob
from library.store.folders import damaged
from library.store.objects import Missing, Objects

_STATE, _DELETED = "state/generated/", "state/deleted/generated/"
_BLOCK = 1000  # shards
_RECORD = re.compile(r".*/(shard-\d{6}\.json)")


class SharedGenerateJobs:
    """The generate jobs of a data folder and those of the store.  Methods raise StoreAway."""

    def __init__(self, objects: Objects, data_dir: Path) -> None:
        self._objects, self._data_dir = objects, data_dir
        self._seen: dict[str, str] = {}  # by job: which state of it is here

    # In

    def pull(self, listing: Mapping[str, str]) -> None:
        """Follow what others have begun, ended, taken up again and deleted."""
        for key, stamp in listing.items():
            identity = key.rpartition("/")[2]
            if not IDENTITY.fullmatch(identity):
                continue
            if key.startswith(_DELETED):
                self._forget(identity)
            elif key.startswith(_STATE) and self._seen.get(identity) != stamp:
                if f"{_DELETED}{identity}" not in listing:
                    self._follow(identity)
                self._seen[identity] = stamp
        for job in generate_jobs.unfinished(self._data_dir):
            self.look(job)

    def look(self, job: GenerateJob) -> None:
        """Bring the records of shards that others have made, the engine, the manifest."""
        with contextlib.suppress(FileNotFoundError):  # deleted here meanwhile
            self._have(job.path / "engine.json", f"files/generated/{job.id}/engine.json")
            for block in sorted({number // _BLOCK for number in job.missing()}):
                there = self._objects.list(f"files/generated/{job.id}/shards/{block:03d}/")
                for record in filter(None, map(_RECORD.fullmatch, there)):
                    self._have(job.path / "shards" / record[1], record[0])
                if not there:
                    break  # nor is there any further on
            if not job.missing():
                self._have(job.manifest_path, f"files/generated/{job.id}/manifest.json")

    def _have(self, path: Path, key: str) -> None:
        if not path.exists():
            with contextlib.suppress(Missing):  # not there yet, or deleted
                write_bytes(path, self._objects.read(key))

    def bring(self, job: GenerateJob, number: int, sha256: str) -> Path:
        """A shard's file.  Raises Damaged for one that is not as its record says."""
        path = job.shard(number)
        if not path.is_file():
            key = _shard_key(job, number, path.name)
            temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
            try:
                self._objects.download(key, temporary)
                if digest_file(temporary) != sha256:
                    raise damaged(key, "its SHA-256 differs")
                os.replace(temporary, path)
            except Missing:
                raise damaged(key, "it is gone") from None
            finally:
                temporary.unlink(missing_ok=True)
            sync_folder(path.parent)
        return path

    # Out

    def give(self, job: GenerateJob) -> None:
        """A new job, for all machines."""
        self._write(job, "job.json")
        self.tell(job)

    def give_missing(self, listing: Mapping[str, str]) -> None:
        """What only this machine knows of: it was made while the store was away."""
        for job in generate_jobs.unfinished(self._data_dir):
            if not {f"{_STATE}{job.id}", f"{_DELETED}{job.id}"} & listing.keys():
                if (engine := job.engine) is not None:  # begun before there was a store
                    self.claim_engine(job, engine)
                for number in filter(lambda number: job.shard(number).is_file(), job.done()):
                    self.put(job, number, read_json(job.shard_record(number)))
                self.give(job)

    def tell(self, job: GenerateJob) -> None:
        """How it ended, or that it goes on."""
        self._objects.write(f"{_STATE}{job.id}", json.dumps({"end": job.end}).encode())

    def claim_engine(self, job: GenerateJob, engine: Mapping[str, Any]) -> dict[str, Any]:
        """As GenerateJob's, between all machines."""
        key = f"files/generated/{job.id}/engine.json"
        if not self._objects.create(key, json.dumps(dict(engine)).encode()):
            engine = json.loads(self._objects.read(key))
        return job.claim_engine(engine)

    def put(self, job: GenerateJob, number: int, record: Mapping[str, Any]) -> None:
        """A shard that was made here: its file, whose copy then goes, and its record."""
        path = job.shard(number)
        self._objects.upload(path, _shard_key(job, number, path.name))
        key = _shard_key(job, number, job.shard_record(number).name)
        self._objects.write(key, json.dumps(dict(record)).encode())
        path.unlink(missing_ok=True)

    def put_manifest(self, job: GenerateJob) -> None:
        self._write(job, "manifest.json")

    def remove(self, identity: str) -> None:
        """Delete a job on all machines."""
        self._objects.write(f"{_DELETED}{identity}", b"{}")
        self._objects.remove([f"{_STATE}{identity}"])
        self._objects.remove(list(self._objects.list(f"files/generated/{identity}/")))

    def _write(self, job: GenerateJob, name: str) -> None:
        self._objects.write(f"files/generated/{job.id}/{name}", (job.path / name).read_bytes())

    def _follow(self, identity: str) -> None:
        job = GenerateJob(generate_jobs.root(self._data_dir) / identity)
        try:
            end = json.loads(self._objects.read(f"{_STATE}{identity}"))["end"]
            if not job.path.is_dir():
                record = json.loads(self._objects.read(f"files/generated/{identity}/job.json"))
                generate_jobs.create(self._data_dir, identity, record)
                self.look(job)
        except Missing:
            return
        if end is None:
            job.unfinish()
        elif job.status not in ENDED:
            job.finish(end["status"], end["error"])

    def _forget(self, identity: str) -> None:
        path = generate_jobs.root(self._data_dir) / identity
        if path.is_dir():
            gone = path.with_name(f".deleted-{identity}-{secrets.token_hex(4)}")
            os.rename(path, gone)
            shutil.rmtree(gone, ignore_errors=True)


def _shard_key(job: GenerateJob, number: int, name: str) -> str:
    return f"files/generated/{job.id}/shards/{number // _BLOCK:03d}/{name}"
