"""A dataset that is ready, open to be read: its files by split, and whether they are still it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from library import cpus
from library.datasets.choices import Choices, resolve
from library.datasets.index import ACCEPTED, NAME, Index, as_bytes
from library.datasets.layout import recognise
from library.datasets.reading import Progress
from library.datasets.records import (
    commit,
    folder_of,
    one_at_a_time,
    read_record,
    register,
    upload_of,
)
from library.datasets.sources import FolderSource
from library.datasets.validation import failed, table_of, validate
from library.datasets.withdrawal import nobody_withdraws, withdrawn_files
from library.digest import digest_file
from library.errors import Conflict, InvalidValue, SynthoraxError
from library.manifests import Manifest


@dataclass(frozen=True)
class File:
    """One accepted image: where it can be read, its name in the dataset, class and digest.

    patient: a name of theirs within the dataset; None where patients are not known.
    """

    location: Path
    path: str
    label: str
    sha256: str
    patient: str | None = None


class Opened:
    """A context manager.  Raises Conflict when the dataset is not ready.

    `as_it_was`: while it is validated again, what was found before will do.
    """

    def __init__(self, data_dir: Path, record: dict[str, Any], as_it_was: bool = False) -> None:
        self.record = record
        self.identity = str(record["id"])
        if not record["content"] or not (as_it_was or record["status"] == "ready"):
            raise Conflict(
                f"The dataset {self.identity} is {record['status']}.",
                field="dataset",
                value=self.identity,
                remedy=f"GET /datasets/{self.identity} says how far it is, or what is wrong.",
            )
        self.content = folder_of(data_dir, self.identity) / record["content"]
        self.choices: Choices = resolve(record["choices"])
        self.root = None if record["path"] is None else Path(record["path"])
        self._derived: dict[str, str] | None = record.get("derived")
        self.index = Index(self.content / NAME)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.index.__exit__()

    def location(self, row: Any) -> Path:
        """Where a file (path, stored) can be read."""
        return self.content / row["stored"] if row["stored"] else self._in_place(row["path"])

    def _in_place(self, path: str) -> Path:
        assert self.root is not None
        return self.root / path

    @property
    def window(self) -> str:
        """How a file's greys are read: what is stored of an upload went through its window."""
        if self._derived is not None:
            return self._derived["window"]
        return self.choices.window if self.root is not None else "file"

    @property
    def may_change(self) -> bool:
        """Whether its pictures are the user's own files."""
        return self.root is not None or self._derived is not None

    def files(self, split: str | None = "train") -> Iterator[File]:
        """Accepted images of a split (None: of all), in the dataset's order."""
        rest, values = "WHERE status = ?", [ACCEPTED]
        if split is not None:
            rest, values = f"{rest} AND split = ?", [*values, split]
        for row in self.index.rows(
            "path, label, sha256, stored, patient", f"{rest} ORDER BY position", *values
        ):
            yield File(self.location(row), row["path"], row["label"], row["sha256"], row["patient"])

    def manifest(self, split: str | None = "train") -> Manifest:
        """Path -> class and digest, as they were validated."""
        return {file.path: (file.label, file.sha256) for file in self.files(split)}

    def current(self, split: str | None = "train") -> Manifest:
        """The same as the files are now: of a folder in place, which may have changed."""
        if self.root is None:
            return self.manifest(split)
        with ThreadPoolExecutor(cpus.available()) as pool:
            files = list(self.files(split))
            digests = pool.map(_digest, (file.location for file in files))
            found = {
                file.path: (file.label, digest)
                for file, digest in zip(files, digests, strict=True)
                if digest
            }
            # Whatever has come since: it would be part of the dataset, were it validated now.
            new = [p for p in self._listed() if not _is_table(p) and not self._knows(p)]
            layout = recognise(new)
            for path, digest in zip(new, pool.map(_digest, map(self._in_place, new)), strict=True):
                found[path] = (layout.place(path)[0] or "", digest)
        return found

    def same_table(self) -> bool:
        """Whether the table beside the images of a folder in place is still the one it was."""
        assert self.root is not None
        known = self.record.get("table")
        there = list(self._listed())
        tables = [path for path in there if _is_table(path)]
        try:
            layout = recognise(path for path in there if not _is_table(path))
            table = table_of(tables, self.choices, layout)
        except InvalidValue:  # a validation says what is wrong with it
            return False
        if table is None or known is None:
            return table is None and known is None
        return (table, _digest(self._in_place(table))) == (known["name"], known.get("sha256"))

    def _listed(self) -> Iterator[str]:
        """Paths of the folder's images and tables, as they are now."""
        assert self.root is not None
        try:
            for entry in FolderSource(self.root).entries():
                if entry.refused is None:
                    yield entry.path
        except InvalidValue:  # the folder is gone, and all of its files
            return

    def _knows(self, path: str) -> bool:
        found = self.index.one(
            "SELECT COUNT(*) FROM files WHERE path = CAST(? AS TEXT)", as_bytes(path)
        )
        return bool(found)


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError:
        return ""


def open_dataset(data_dir: Path, dataset: str | Path, progress: Progress) -> Opened:
    """Open a dataset by its id, or a folder in place: validated first, when it was not or changed.

    Raises NotFound, Conflict for an upload that is not ready, InvalidValue for what is no dataset.
    """
    if isinstance(dataset, Path):
        FolderSource(dataset, "dataset.path")
        record = register(data_dir, dataset)
    else:
        record = read_record(data_dir, dataset)
    if record["path"] is None or (opened := _unchanged(data_dir, record)) is None:
        if record["path"] is not None:
            _validated_in_place(data_dir, str(record["id"]), progress)
        return Opened(data_dir, read_record(data_dir, record["id"]))
    return opened


def _is_table(path: str) -> bool:
    return path.lower().endswith(".csv")


def _unchanged(data_dir: Path, record: dict[str, Any]) -> Opened | None:
    """A folder that is ready, and still what it was when it was validated."""
    if record["status"] != "ready" or not record["content"]:
        return None
    opened = Opened(data_dir, record)
    if opened.same_table() and opened.manifest(None) == opened.current(None):
        return opened
    opened.__exit__()
    return None


def _validated_in_place(data_dir: Path, identity: str, progress: Progress) -> None:
    with one_at_a_time(data_dir, identity):
        record = read_record(data_dir, identity)
        if (opened := _unchanged(data_dir, record)) is not None:
            opened.__exit__()  # another process has validated it meanwhile
            return
        try:
            find = partial(validated, data_dir, record, progress)
            commit_found(data_dir, identity, find, partial(commit, data_dir, identity))
        except SynthoraxError as error:
            if error.field == "path":
                error.field = "dataset.path"
            commit(data_dir, identity, failed(error))
            raise


def commit_found(
    data_dir: Path,
    identity: str,
    find: Callable[[], dict[str, Any]],
    put: Callable[[dict[str, Any]], object],
) -> None:
    """Validate by `find` and commit by `put`; again, where a patient has withdrawn meanwhile."""
    while True:
        before = withdrawn_files(data_dir)
        found = find()
        with nobody_withdraws(data_dir):
            if withdrawn_files(data_dir) <= before:
                put(found)
                return
        if "content" in found:
            shutil.rmtree(folder_of(data_dir, identity) / found["content"], ignore_errors=True)


def validated(data_dir: Path, record: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Validate what a record names; what it is to say.  Raises InvalidValue, OSError."""
    identity = str(record["id"])
    source = Path(record["path"]) if record["path"] else upload_of(data_dir, identity)
    folder, choices = folder_of(data_dir, identity), resolve(record["choices"])
    return validate(folder, source, choices, progress, withdrawn_files(data_dir))
