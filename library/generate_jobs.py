"""Generate jobs on the disk: one request for many samples, made in shards by the workers.

{data dir}/generated/{id}/
    job.json                what was asked for, every field resolved; never changed
    engine.json             the engine that makes all shards: claimed by whoever begins
    shards/shard-000000.tar a shard (or .zip), renamed into place when it is whole
    shards/shard-000000.json  its record: the shard is done once this is there
    end.json                why the job ended before its last shard; a resume removes it
    manifest.json           of all shards: the job has succeeded once this is there

A shard is a pure function of job.json, engine.json and its number, so that making it twice is
harmless, and what is on the disk is the truth: a resume makes what is missing.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder, read_json, write_json
from library.work_folders import ENDED as ENDED
from library.work_folders import WorkFolders, read_if_there
from library.work_folders import now as now

SCHEMA = 1
IDENTITY = re.compile(r"gj-[0-9a-f]{16}")
CONTAINERS = {"webdataset": "tar", "zip": "zip"}
COUNT_MAX = 10_000_000
SHARD_IMAGES = 10_000  # of 64 x 64 pixels: about 60 MB
SHARD_IMAGES_MIN, SHARD_IMAGES_MAX = 100, 100_000
_RECORD = re.compile(r"shard-(\d{6})\.json")


def new_identity() -> str:
    return f"gj-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class GenerateJob:
    """A job's folder.  Properties read the disk anew, but for what never changes."""

    path: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """What was asked for.  Raises NotFound when the job was deleted."""
        try:
            found: dict[str, Any] = read_json(self.path / "job.json")
        except FileNotFoundError:
            raise _FOLDERS.missing(self.id) from None
        return found

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def shards(self) -> int:
        """How many the whole has."""
        return -(-int(self.record["count"]) // int(self.record["shard_images"]))

    def span(self, shard: int) -> tuple[int, int]:
        """The first image of a shard, and how many it has: image i has seed `seed + i`."""
        size = int(self.record["shard_images"])
        first = shard * size
        return first, min(size, int(self.record["count"]) - first)

    def shard(self, number: int) -> Path:
        suffix = CONTAINERS[self.record["container"]]
        return self.path / "shards" / f"shard-{number:06d}.{suffix}"

    def shard_record(self, number: int) -> Path:
        return self.path / "shards" / f"shard-{number:06d}.json"

    def done(self) -> set[int]:
        """Numbers of the shards that are there."""
        try:
            names = os.listdir(self.path / "shards")
        except FileNotFoundError:
            return set()
        found = (_RECORD.fullmatch(name) for name in names)
        return {int(match[1]) for match in found if match}

    def missing(self) -> list[int]:
        done = self.done()
        return [number for number in range(self.shards) if number not in done]

    @property
    def engine(self) -> dict[str, Any] | None:
        """digest, backend and precision of the engine that makes all shards."""
        return read_if_there(self.path / "engine.json")

    def claim_engine(self, engine: Mapping[str, Any]) -> dict[str, Any]:
        """The engine of this job: the one given, unless another came first."""
        mine = self.path / f".engine.{secrets.token_hex(4)}.tmp"
        write_json(mine, dict(engine))
        try:
            os.link(mine, self.path / "engine.json")
        except FileExistsError:
            pass
        finally:
            mine.unlink()
        return dict(read_json(self.path / "engine.json"))

    @property
    def end(self) -> dict[str, Any] | None:
        """Why it ended before its last shard: status, error, finished_at."""
        return read_if_there(self.path / "end.json")

    def finish(self, status: str, error: Mapping[str, Any] | None = None) -> None:
        """End it before its last shard."""
        write_json(self.path / "end.json", {"status": status, "error": error, "finished_at": now()})

    def unfinish(self) -> None:
        """Take a cancelled or failed job up again."""
        (self.path / "end.json").unlink(missing_ok=True)

    @property
    def manifest_path(self) -> Path:
        return self.path / "manifest.json"

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        if self.manifest_path.is_file():
            return "succeeded"
        if (end := self.end) is not None:
            return str(end["status"])
        return "running" if (self.path / "engine.json").is_file() else "queued"

    def complete(self, elsewhere: bool = False) -> bool:
        """Write the manifest if every shard is there; may be done twice, to the same bytes.

        A shard whose file does not fit its record is made again: its record goes.  elsewhere:
        files lie in a store, where each was put before its record.
        """
        if self.missing():
            return False
        shards, images = [], 0
        for number in range(self.shards):
            record = read_json(self.shard_record(number))
            first, count = self.span(number)
            path = self.shard(number)
            fits = (
                record["first_seed"] == self.record["seed"] + first
                and record["images"] == count
                and (elsewhere or (path.is_file() and path.stat().st_size == record["bytes"]))
            )
            if not fits:
                self.shard_record(number).unlink(missing_ok=True)
                return False
            shards.append(record)
            images += count
        engine = self.engine
        assert engine is not None  # a shard is made by one
        names = ("model", "digest", "seed", "count", "truncation", "format", "container")
        labels: dict[str, int] = {}
        for record in shards:
            for label, count in record["labels"].items():
                labels[label] = labels.get(label, 0) + count
        manifest = {
            "schema": SCHEMA,
            "synthetic": True,
            "job": self.id,
            **{name: self.record[name] for name in names},
            "labels_in_turn": self.record["labels"],
            "engine": engine,
            "images": images,
            "labels": dict(sorted(labels.items())),
            "bytes": sum(record["bytes"] for record in shards),
            "shards": shards,
        }
        write_json(self.manifest_path, manifest)
        return True


def moment(seconds: float) -> str:
    """Seconds since 1970, as records write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


_FOLDERS = WorkFolders(
    "generate job", "generated", "gj", IDENTITY, "job.json", SCHEMA, "/generate-jobs", GenerateJob
)
root, find, jobs = _FOLDERS.root, _FOLDERS.find, _FOLDERS.all
unfinished, remove, remove_deleted = _FOLDERS.unfinished, _FOLDERS.remove, _FOLDERS.remove_deleted


def create(data_dir: Path, identity: str, record: Mapping[str, Any]) -> tuple[GenerateJob, bool]:
    """A new job's folder, and whether it is new: when the id is taken, the one that is there."""
    final, new = root(data_dir) / identity, False
    if not final.exists():
        with new_folder(root(data_dir)) as temporary:
            (temporary / "shards").mkdir(mode=0o700)
            write_json(temporary / "job.json", {"schema": SCHEMA, "id": identity, **record})
            new = claim(temporary, final)
    return GenerateJob(final), new
