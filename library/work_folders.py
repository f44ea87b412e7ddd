"""Folders of long pieces of work, each the truth about its own: found, listed, removed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from library.atomic import read_json
from library.errors import Conflict, NotFound, Unusable

ENDED = frozenset({"succeeded", "failed", "cancelled"})


class Work(Protocol):
    """record: what was asked for, with `schema` and `created_at`; status: read anew."""

    @property
    def path(self) -> Path: ...
    @property
    def id(self) -> str: ...
    @property
    def record(self) -> dict[str, Any]: ...
    @property
    def status(self) -> str: ...


W = TypeVar("W", bound=Work)


@dataclass(frozen=True)
class WorkFolders(Generic[W]):
    """name: for people; folder: below the data folder; file: what makes a folder one of these;
    address: of the list; open: a folder as what it is."""

    name: str
    folder: str
    prefix: str
    identity: re.Pattern[str]
    file: str
    schema: int
    address: str
    open: Callable[[Path], W]

    def root(self, data_dir: Path) -> Path:
        return data_dir / self.folder

    def find(self, data_dir: Path, identity: str) -> W:
        """Raises NotFound; Unusable for what another version of the program has made."""
        path = self.root(data_dir) / identity
        if not self.identity.fullmatch(identity) or not (path / self.file).is_file():
            raise self.missing(identity)
        found = self.open(path)
        if found.record.get("schema") != self.schema:
            raise Unusable(
                f"The {self.name} {identity!r} was made by another version of Synthorax."
            )
        return found

    def all(self, data_dir: Path) -> list[W]:
        """All that can be read, newest first."""
        return self._read(data_dir, self._paths(data_dir))

    def unfinished(self, data_dir: Path) -> list[W]:
        """What workers should be at.  Asked for often: what has ended is not read."""
        left = (path for path in self._paths(data_dir) if self.open(path).status not in ENDED)
        return self._read(data_dir, left)

    def remove(self, data_dir: Path, identity: str) -> None:
        """Really delete what has ended.  Raises NotFound; Conflict before its end."""
        found = self.find(data_dir, identity)
        if found.status not in ENDED:
            raise Conflict(
                f"The {self.name} {identity!r} is {found.status}.",
                field="id",
                value=identity,
                remedy=f"Cancel it first: only ended {_plural(self.name)} can be deleted.",
            )
        gone = found.path.with_name(f".deleted-{identity}")
        os.rename(found.path, gone)
        shutil.rmtree(gone, ignore_errors=True)

    def remove_deleted(self, data_dir: Path) -> None:
        """Remove what is left of those whose deletion was interrupted."""
        for folder in self.root(data_dir).glob(".deleted-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def missing(self, identity: str) -> NotFound:
        return NotFound(
            f"There is no {self.name} {identity!r}.",
            field="id",
            value=identity,
            remedy=f"GET {self.address} lists them.",
        )

    def _paths(self, data_dir: Path) -> Iterable[Path]:
        return self.root(data_dir).glob(f"{self.prefix}-*")

    def _read(self, data_dir: Path, paths: Iterable[Path]) -> list[W]:
        found = []
        for path in paths:
            try:
                found.append(self.find(data_dir, path.name))
            except (NotFound, Unusable, OSError, ValueError):
                continue
        return sorted(found, key=lambda each: (each.record["created_at"], each.id), reverse=True)


def _plural(name: str) -> str:
    last = name.rsplit(" ", 1)[-1]  # "only ended jobs", "only ended studies"
    return f"{last[:-1]}ies" if last.endswith("y") else f"{last}s"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_if_there(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        return None
    return found
