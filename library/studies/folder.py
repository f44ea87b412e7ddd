"""Studies on the disk: the folder is the truth, and what is in it is never changed.

{data dir}/studies/{id}/
    study.json             what was asked for, every field resolved
    begun.json             once a worker has taken it up
    partitions.npz         who is trained and tested on in which partition (studies.partitions)
    units/{unit}.json      a unit is done once this is there: what it has to say
    units/{unit}.npz       predictions of a unit of runs
    generators/{unit}/     run folder of a training; its version in prepared/
    work/                  data folder of the trainings: data sets of their own, below no listing
    scores/{name}.csv      predictions of a model of the user's own
    results-{n}/           results.json, results.html, tables/, figures/, methods.md: with n scores
    end.json               why it ended before its results; a resume removes it

A unit is a pure function of study.json and the units before it, so that doing it twice is harmless.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder, read_json, write_json
from library.errors import Conflict, NotFound, Unusable
from library.studies.config import StudyConfig
from library.studies.resolving import resolve
from library.studies.units import RESULTS, Unit, units

SCHEMA = 1
IDENTITY = re.compile(r"st-[0-9a-f]{16}")
ENDED = frozenset({"succeeded", "failed", "cancelled"})


def new_identity() -> str:
    return f"st-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Study:
    """A study's folder.  Properties read the disk anew, but for what never changes."""

    path: Path

    @cached_property
    def record(self) -> dict[str, Any]:
        """What was asked for: id, created_at, dataset (id), fingerprint, config, request.

        Raises NotFound when the study was deleted.
        """
        try:
            found: dict[str, Any] = read_json(self.path / "study.json")
        except FileNotFoundError:
            raise _missing(self.id) from None
        return found

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def data_dir(self) -> Path:
        """Of the service, where its data set and the versions lie."""
        return self.path.parent.parent

    @cached_property
    def config(self) -> StudyConfig:
        return resolve(self.record["config"])

    @cached_property
    def units(self) -> list[Unit]:
        return units(self.config)

    def unit(self, name: str) -> Unit:
        """Raises NotFound."""
        for unit in self.units:
            if unit.name == name:
                return unit
        raise NotFound(f"The study {self.id!r} has no unit {name!r}.", field="unit", value=name)

    def unit_record(self, name: str) -> Path:
        return self.path / "units" / f"{name}.json"

    def unit_arrays(self, name: str) -> Path:
        return self.path / "units" / f"{name}.npz"

    def unit_log(self, name: str) -> Path:
        return self.path / "logs" / f"{name}.log"

    def generator(self, unit: str) -> Path:
        """Run folder of a unit that trains a generator."""
        return self.path / "generators" / unit

    @property
    def work(self) -> Path:
        return self.path / "work"

    @property
    def partitions(self) -> Path:
        return self.path / "partitions.npz"

    def done(self) -> set[str]:
        """Names of the units that are done; the results' too, once they have all scores."""
        try:
            names = os.listdir(self.path / "units")
        except FileNotFoundError:
            names = []
        found = {name[:-5] for name in names if name.endswith(".json") and name[0] != "."}
        return (found - {RESULTS}) | ({RESULTS} if self.results is not None else set())

    def ready(self) -> list[Unit]:
        """Units that can be done now: not done, and all before them are."""
        done = self.done()
        return [u for u in self.units if u.name not in done and done.issuperset(u.after)]

    @property
    def scores(self) -> list[Path]:
        """Predictions of the user's own models, in the order of their names."""
        return sorted((self.path / "scores").glob("[!.]*.csv"))

    @property
    def results_path(self) -> Path:
        """Where the results with all scores go, or are."""
        return self.path / f"results-{len(self.scores)}"

    @property
    def results(self) -> Path | None:
        """The folder of the results with all scores, once they are there."""
        path = self.results_path
        return path if (path / "results.json").is_file() else None

    @property
    def end(self) -> dict[str, Any] | None:
        """Why it ended before its results: status, error, finished_at."""
        return _read(self.path / "end.json")

    def begin(self) -> None:
        """Say that a worker has taken it up."""
        if not (self.path / "begun.json").is_file():
            write_json(self.path / "begun.json", {"started_at": now()})

    @property
    def started_at(self) -> str | None:
        begun = _read(self.path / "begun.json")
        return None if begun is None else str(begun["started_at"])

    def finish(self, status: str, error: Mapping[str, Any] | None = None) -> None:
        """End it before its results."""
        write_json(self.path / "end.json", {"status": status, "error": error, "finished_at": now()})

    def unfinish(self) -> None:
        """Take a cancelled or failed study up again."""
        (self.path / "end.json").unlink(missing_ok=True)

    @property
    def status(self) -> str:
        """queued, running, succeeded, failed or cancelled."""
        if self.results is not None:
            return "succeeded"
        if (end := self.end) is not None:
            return str(end["status"])
        return "running" if (self.path / "begun.json").is_file() else "queued"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def root(data_dir: Path) -> Path:
    return data_dir / "studies"


def create(data_dir: Path, identity: str, record: Mapping[str, Any]) -> Study:
    """A new study's folder; the one that is there, when the id is taken (see its record).

    record: dataset (id), fingerprint, config (resolved), and whatever else is to be kept.
    """
    final = root(data_dir) / identity
    if not final.exists():
        with new_folder(root(data_dir)) as temporary:
            for name in ("units", "logs", "generators", "scores"):
                (temporary / name).mkdir(mode=0o700)
            content = {"schema": SCHEMA, "id": identity, "created_at": now(), **record}
            write_json(temporary / "study.json", content)
            claim(temporary, final)
    return Study(final)


def find(data_dir: Path, identity: str) -> Study:
    """Raises NotFound; Unusable for a study of another version of the program."""
    path = root(data_dir) / identity
    if not IDENTITY.fullmatch(identity) or not (path / "study.json").is_file():
        raise _missing(identity)
    study = Study(path)
    if study.record.get("schema") != SCHEMA:
        raise Unusable(f"The study {identity!r} was made by another version of Synthorax.")
    return study


def studies(data_dir: Path) -> list[Study]:
    """All that can be read, newest first."""
    return _read_all(data_dir, (path.name for path in root(data_dir).glob("st-*")))


def unfinished(data_dir: Path) -> list[Study]:
    """Studies that workers should be at.  Asked for often: what has ended is not read."""
    left = [path.name for path in root(data_dir).glob("st-*") if Study(path).status not in ENDED]
    return _read_all(data_dir, left)


def _read_all(data_dir: Path, names: Iterable[str]) -> list[Study]:
    found = []
    for name in names:
        try:
            found.append(find(data_dir, name))
        except (NotFound, Unusable, OSError, ValueError):
            continue
    return sorted(found, key=lambda study: (study.record["created_at"], study.id), reverse=True)


def remove(data_dir: Path, identity: str) -> None:
    """Really delete an ended study.  Raises NotFound; Conflict before its end."""
    study = find(data_dir, identity)
    if study.status not in ENDED:
        raise Conflict(
            f"The study {identity!r} is {study.status}.",
            field="id",
            value=identity,
            remedy="Cancel it first: only ended studies can be deleted.",
        )
    gone = study.path.with_name(f".deleted-{identity}")
    os.rename(study.path, gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove_deleted(data_dir: Path) -> None:
    """Remove what is left of studies whose deletion was interrupted."""
    for folder in root(data_dir).glob(".deleted-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _missing(identity: str) -> NotFound:
    return NotFound(
        f"There is no study {identity!r}.",
        field="id",
        value=identity,
        remedy="GET /studies lists them.",
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return None
    return found
