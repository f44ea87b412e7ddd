"""What of a data folder a backup holds, and in which order it is read while a service writes it.

Nothing is stopped or locked.  Files that never change or are replaced by a rename are whole
whenever they are read, so order is all that matters: what names a thing (a run its version, a
record its report, a study's unit what it made) is read before the thing, which was there by then.
Within a run it is the other way round: a checkpoint, then the numbers that were written up to it
and beyond.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from library.atomic import read_json
from library.backup.archive import DATA, Writer
from library.errors import Conflict

CACHES = frozenset({"decoded", "features"})  # made again from what is there
# Redis is copied by its keys; `exports` are on their way to somebody; sessions end at a restore.
LEFT_OUT = frozenset(
    {"redis", "exports", "serve.lock", "signing.key", "sessions-ended", ".restore"}
)
_FIRST, _LAST = ("runs", "reports", "models", "datasets"), ("keys.json",)
_RUNS = frozenset({"runs", "generators"})  # folders of runs; a study's are in its `generators`
_UNITS = "units"  # of a study: before all that they name
_LOCKS = frozenset({"lock", ".lock", "job.lock"})
_TRIES = 5


class Contents:
    """The files of a data folder; `links` are those that were not followed."""

    def __init__(self, data_dir: Path, with_caches: bool = False) -> None:
        self._data_dir = data_dir
        self._left_out = LEFT_OUT if with_caches else LEFT_OUT | CACHES
        self._links: set[str] = set()

    @property
    def links(self) -> list[str]:
        return sorted(self._links)

    def bytes(self) -> int:
        """About how many there are."""
        return sum(self._sizes(path) for _, path in self._tops())

    def copy(self, archive: Writer) -> None:
        """Add every file.  Raises OSError, Conflict."""
        for top, path in self._tops():
            name = DATA + top
            if path.is_file():
                archive.add_file(path, name)
            elif top == "datasets":
                self._datasets(path, name, archive)
            else:
                self._folder(path, name, archive, children_first=top in _RUNS)

    def _tops(self) -> Iterator[tuple[str, Path]]:
        """Names and paths, in order.  A link here leads to another disk, and is followed."""
        there = {
            path.name: path
            for path in sorted(self._data_dir.iterdir())
            if path.name not in self._left_out and not _is_passing(path.name)
        }
        first = [name for name in _FIRST if name in there]
        last = [name for name in there if name in _LAST or name.endswith(".jsonl")]
        between = [name for name in there if name not in first and name not in last]
        for name in (*first, *between, *last):
            path = there[name]
            yield name, path.resolve() if path.is_symlink() else path

    def _sizes(self, path: Path) -> int:
        if path.is_file():
            return path.stat().st_size
        total = 0
        for folder, folders, files in os.walk(path):
            folders[:] = [name for name in folders if not _is_passing(name)]
            for name in files:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size
                except OSError:  # it is gone by now
                    continue
        return total

    def _folder(
        self, folder: Path, name: str, archive: Writer, *, children_first: bool
    ) -> list[str]:
        """Copy a folder until nothing in it is new; what it was when it is gone is dropped."""
        copied: list[str] = []
        seen: set[str] = set()
        for _ in range(_TRIES):
            files, folders = self._list(folder, name)
            new = [path for path in files if path.name not in seen]
            inner = [path for path in folders if path.name not in seen]
            if not new and not inner:
                break
            seen |= {path.name for path in (*new, *inner)}
            if not children_first:
                copied += _add(new, name, archive)
            for path in inner:
                below = f"{name}/{path.name}"
                is_runs = children_first or path.name in _RUNS
                copied += self._folder(path, below, archive, children_first=is_runs)
            if children_first:
                copied += _add(new, name, archive)
        if not folder.is_dir():
            archive.drop(copied)
            return []
        return copied

    def _list(self, folder: Path, name: str) -> tuple[list[Path], list[Path]]:
        """Files and folders in it; the newest checkpoint first, which is kept longest."""
        files, folders = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if _is_passing(entry.name):
                        continue
                    if entry.is_symlink():
                        self._links.add(f"{name}/{entry.name}".removeprefix(DATA))
                    elif entry.is_dir():
                        folders.append(folder / entry.name)
                    elif entry.is_file():  # a socket or a pipe is no content
                        files.append(folder / entry.name)
        except FileNotFoundError:
            return [], []
        files.sort(reverse=folder.name == "checkpoints")
        return files, sorted(folders, key=lambda path: (path.name != _UNITS, path))

    def _datasets(self, folder: Path, name: str, archive: Writer) -> None:
        """Each record with the content that it names, which a validation may replace meanwhile."""
        records = sorted(folder.glob("ds-*.json"))
        for record in records:
            for _ in range(_TRIES):
                before = _read(record)
                if before is None:
                    break
                inner = f"{name}/{record.stem}"
                copied = self._folder(folder / record.stem, inner, archive, children_first=False)
                after = _read(record)
                if after is not None and _names(after) == _names(before):
                    archive.add_bytes(f"{name}/{record.name}", before)
                    break
                archive.drop(copied)
            else:
                raise Conflict(
                    f"The dataset {record.stem} changed each time it was copied.",
                    remedy="Run the backup again when its validation has ended.",
                )


def in_place(data_dir: Path) -> list[str]:
    """Folders that datasets name, outside the data folder: no backup of ours holds them."""
    found = set()
    for path in (data_dir / "datasets").glob("ds-*.json"):
        try:
            root = read_json(path)["path"]
        except (OSError, ValueError, KeyError):
            continue
        if root is not None and not Path(root).is_relative_to(data_dir):
            found.add(root)
    return sorted(found)


def _add(files: list[Path], name: str, archive: Writer) -> list[str]:
    return [
        f"{name}/{path.name}" for path in files if archive.add_file(path, f"{name}/{path.name}")
    ]


def _is_passing(name: str) -> bool:
    """Locks, what is half written, and what is being removed."""
    return (
        name in _LOCKS
        or (name.startswith(".") and name.endswith((".tmp", ".lock")))
        or name.startswith((".incoming", ".deleted-"))
    )


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _names(record: bytes) -> tuple[object, ...]:
    """What a dataset's record says is there: its content, or an upload to be validated."""
    found = json.loads(record)
    return tuple(found.get(name) for name in ("content", "status", "fingerprint"))
