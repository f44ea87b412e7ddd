"""A dataset that is ready, open to be read: its files by split, and whether they are still it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from library import cpus
from library.datasets.choices import Choices, resolve
from library.datasets.index import ACCEPTED, NAME, Index, as_bytes
from library.datasets.layout import recognise
from library.datasets.reading import Progress
from library.datasets.records import commit, folder_of, read_record, register, upload_of
from library.datasets.sources import FolderSource
from library.datasets.validation import failed, validate
from library.datasets.withdrawal import withdrawn_files
from library.digest import digest_file
from library.errors import Conflict, InvalidValue
from library.locks import waiting
from library.manifests import Manifest


@dataclass(frozen=True)
class File:
    """One accepted image: where it can be read, its name in the dataset, class and digest."""

    location: Path
    path: str
    label: str
    sha256: str


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
            "path, label, sha256, stored", f"{rest} ORDER BY position", *values
        ):
            yield File(self.location(row), row["path"], row["label"], row["sha256"])

    def manifest(self, split: str = "train") -> Manifest:
        """Path -> class and digest, as they were validated."""
        return {file.path: (file.label, file.sha256) for file in self.files(split)}

    def current(self, split: str = "train") -> Manifest:
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
            new = [path for path in self._listed() if not self._knows(path)]
            layout = recognise(new)
            for path, digest in zip(new, pool.map(_digest, map(self._in_place, new)), strict=True):
                found[path] = (layout.place(path)[0] or "", digest)
        return found

    def _listed(self) -> Iterator[str]:
        assert self.root is not None
        try:
            for entry in FolderSource(self.root).entries():
                if not entry.path.lower().endswith(".csv"):
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


def _unchanged(data_dir: Path, record: dict[str, Any]) -> Opened | None:
    """A folder that is ready, and still what it was when it was validated."""
    if record["status"] != "ready" or not record["content"]:
        return None
    opened = Opened(data_dir, record)
    if opened.manifest() == opened.current():
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
            fields = validated(data_dir, record, progress)
        except InvalidValue as error:
            if error.field == "path":
                error.field = "dataset.path"
            commit(data_dir, identity, failed(error))
            raise
        commit(data_dir, identity, fields)


@contextmanager
def one_at_a_time(data_dir: Path, identity: str) -> Iterator[None]:
    """A trainer and a worker may come to the same dataset at once: one after the other."""
    folder = folder_of(data_dir, identity)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with waiting(folder / "lock"):
        yield


def validated(data_dir: Path, record: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Validate what a record names; what it is to say.  Raises InvalidValue, OSError."""
    identity = str(record["id"])
    source = Path(record["path"]) if record["path"] else upload_of(data_dir, identity)
    folder, choices = folder_of(data_dir, identity), resolve(record["choices"])
    return validate(folder, source, choices, progress, withdrawn_files(data_dir))
