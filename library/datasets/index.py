"""The index of a dataset: one row a file, in one SQLite file, so that memory stays flat.

Written in a folder of its own by one validation, then read by many; see library.datasets.records
for the commit.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

NAME = "index.sqlite"
ACCEPTED, REFUSED, LEFT_OUT = "accepted", "refused", "left_out"

_FILES = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    bytes INTEGER NOT NULL,
    status TEXT,             -- accepted, refused (cannot be read), left_out (good, but not used)
    reason TEXT,             -- of what is not accepted
    label TEXT,
    given TEXT,              -- the split that its folder or table gives
    split TEXT,              -- train, validation, held_out: of what is accepted
    patient TEXT,            -- HMAC of the patient's id
    sop TEXT, accession TEXT,-- HMACs, which a table may join by
    grp INTEGER,             -- what must not be parted: a patient's images and near-duplicates
    position INTEGER,        -- order of what is accepted
    sha256 TEXT,             -- of the file
    stored TEXT,             -- of an upload: the picture's own file, in the index's folder
    kind TEXT, depth INTEGER, width INTEGER, height INTEGER, colour REAL, inverted INTEGER,
    mean REAL, low INTEGER, median INTEGER, high INTEGER, black REAL, white REAL,
    intent TEXT, portable INTEGER, burned_in INTEGER,
    covariates TEXT,         -- JSON
    flags TEXT NOT NULL DEFAULT ''  -- of an outlier, between spaces
);
CREATE TABLE pictures (      -- apart, so that scans of the rest stay short
    id INTEGER PRIMARY KEY,  -- of the file, once it was read
    histogram BLOB NOT NULL, -- 32 thousandths, uint16
    hash BLOB NOT NULL,      -- 256 bits
    signature BLOB NOT NULL, -- 32 x 32 means
    thumbnail BLOB           -- JPEG; NULL where it must not be shown
);
CREATE TABLE near (one INTEGER NOT NULL, other INTEGER NOT NULL, correlation REAL NOT NULL);
"""
BY_SHA256 = "CREATE INDEX by_sha256 ON files (sha256)"  # made once all are read
_INDEXES = """
CREATE INDEX by_status ON files (status, id);
CREATE INDEX by_position ON files (position);
CREATE INDEX by_patient ON files (patient);
"""
_FACTS = (
    "sha256", "kind", "depth", "width", "height", "colour", "inverted", "mean", "low", "median",
    "high", "black", "white", "patient", "sop", "accession", "intent", "portable", "burned_in",
)  # fmt: skip


# Statements are put together of names in this code alone; what was given comes as parameters.
_SEEN = (
    f"UPDATE files SET {' = ?, '.join(_FACTS)} = ?, status = ?, covariates = ?, "  # nosec B608  # noqa: S608
    "stored = ? WHERE id = ?"
)


@dataclass(frozen=True)
class Seen:
    """What a decoder saw of a file: facts, the blobs of a picture's row, where it is stored."""

    file: int
    facts: Mapping[str, Any]
    blobs: tuple[bytes, ...]
    stored: str | None


class Index:
    """Rows as dictionaries.  A context manager."""

    def __init__(self, path: Path, write: bool = False) -> None:
        address = f"{path.absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
        if not write:
            address += "&immutable=1"  # never changed once it is in place: no locks
        self._db = sqlite3.connect(address, uri=True, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # A file's name may hold bytes that are no UTF-8.
        self._db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")

    @classmethod
    def new(cls, path: Path) -> Self:
        """An empty index to be filled.  What is half written is never seen, so nothing is synced
        until `finish`."""
        index = cls(path, write=True)
        index._db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + _FILES)
        return index

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def finish(self) -> None:
        self._db.executescript(_INDEXES)
        self._db.commit()

    def commit(self) -> None:
        self._db.commit()

    # Filling

    def add(self, files: Iterable[tuple[str, int, str | None]]) -> None:
        """Files as (path, bytes, why it is refused unread or None)."""
        self._db.executemany(
            "INSERT INTO files (path, bytes, status, reason) VALUES (CAST(? AS TEXT), ?, ?, ?)",
            ((as_bytes(p), n, reason and REFUSED, reason) for p, n, reason in files),
        )

    def facts(self, seen: Sequence[Seen]) -> None:
        """What decoders saw of files."""
        self._db.executemany(
            _SEEN,
            (
                (
                    *map(each.facts.get, _FACTS),
                    ACCEPTED,
                    json.dumps(each.facts.get("covariates", {})),
                    each.stored,
                    each.file,
                )
                for each in seen
            ),
        )
        self._db.executemany(
            "INSERT INTO pictures (id, histogram, hash, signature, thumbnail) "
            "VALUES (?, ?, ?, ?, ?)",
            ((each.file, *each.blobs) for each in seen),
        )

    def set_status(self, status: str, reasons: Iterable[tuple[str, int]]) -> None:
        """Give files a status, as (reason, id)."""
        self._db.executemany(
            "UPDATE files SET status = ?, reason = ? WHERE id = ?",
            ((status, reason, identity) for reason, identity in reasons),
        )

    def change(self, statement: str, values: Iterable[tuple[Any, ...]]) -> None:
        self._db.executemany(statement, values)

    def execute(self, statement: str, *values: Any) -> None:
        self._db.execute(statement, values)

    # Reading

    def rows(self, columns: str, rest: str = "", *values: Any) -> Iterator[sqlite3.Row]:
        """SELECT columns FROM files, with whatever follows."""
        statement = f"SELECT {columns} FROM files {rest}"  # nosec B608  # noqa: S608  code's names
        return iter(self._db.execute(statement, values))

    def pictures(self, columns: str, rest: str = "", *values: Any) -> Iterator[sqlite3.Row]:
        """The same of files with their pictures."""
        whole = f"files JOIN pictures USING (id) {rest}"
        statement = f"SELECT {columns} FROM {whole}"  # nosec B608  # noqa: S608  code's names
        return iter(self._db.execute(statement, values))

    def query(self, statement: str, *values: Any) -> Iterator[sqlite3.Row]:
        return iter(self._db.execute(statement, values))

    def one(self, statement: str, *values: Any) -> Any:
        """The first column of the first row; None where there is none."""
        row = self._db.execute(statement, values).fetchone()
        return None if row is None else row[0]


def as_bytes(path: str) -> bytes:
    """A path to bind, with CAST(? AS TEXT): SQLite takes no lone surrogates."""
    return path.encode("utf-8", "surrogateescape")


def shown_path(path: str) -> str:
    """A name that is not UTF-8 must not break the JSON that shows it."""
    return path.encode("utf-8", "backslashreplace").decode()
