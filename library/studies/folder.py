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
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from library.atomic import claim, new_folder, read_json, remove_left, write_json
from library.errors import NotFound
from library.studies.config import StudyConfig
from library.studies.resolving import resolve
from library.studies.units import RESULTS, Unit, units
from library.work_folders import ENDED as ENDED
from library.work_folders import WorkFolders, read_if_there
from library.work_folders import now as now

SCHEMA = 1
IDENTITY = re.compile(r"st-[0-9a-f]{16}")


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
            raise _FOLDERS.missing(self.id) from None
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

    def clear(self, unit: Unit) -> None:
        """Remove what a process that was killed has left half-written of a unit, before it is done.

        Before the last one of all: a process may be killed late, when another has done its unit.
        """
        remove_left(self.partitions)
        for each in self.units if unit.name == RESULTS else [unit]:
            for path in (self.unit_record(each.name), self.unit_arrays(each.name)):
                remove_left(path)
        if unit.name == RESULTS:
            shutil.rmtree(self.parts(""), ignore_errors=True)  # of all units

    def parts(self, unit: str) -> Path:
        """Of a unit of runs under way: its synthetic images, and the predictions of each run."""
        return self.work / "partial" / unit

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
        return read_if_there(self.path / "end.json")

    def begin(self) -> None:
        """Say that a worker has taken it up."""
        if not (self.path / "begun.json").is_file():
            write_json(self.path / "begun.json", {"started_at": now()})

    @property
    def started_at(self) -> str | None:
        begun = read_if_there(self.path / "begun.json")
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


_FOLDERS = WorkFolders("study", "studies", "st", IDENTITY, "study.json", SCHEMA, "/studies", Study)
root, find, studies = _FOLDERS.root, _FOLDERS.find, _FOLDERS.all
unfinished, remove, remove_deleted = _FOLDERS.unfinished, _FOLDERS.remove, _FOLDERS.remove_deleted


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
