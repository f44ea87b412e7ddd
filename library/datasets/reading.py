"""The first steps of a validation: every file listed, placed, and looked at by a decoder."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from library.datasets.choices import Choices
from library.datasets.index import ACCEPTED, BY_SHA256, LEFT_OUT, REFUSED, Index, Seen
from library.datasets.layout import Layout, check_label, recognise
from library.datasets.patterns import label_in
from library.datasets.sources import FILES_MAX, Source
from library.decoding.pool import Decoders
from library.errors import InvalidValue
from library.picture import Refused

IMAGES, STAGING = "images", "staging"  # in the folder of a validation
WITHDRAWN = "was withdrawn"
_ROWS = 2000  # between two notes of how far a listing is
_TOGETHER = 64  # files, written together

Progress = Callable[[str, int, int], None]


def list_files(
    index: Index, source: Source, progress: Progress, label: str | None = None
) -> tuple[Layout, list[str]]:
    """Write every file into the index, with the label and split of its folder.

    label: a pattern of labels in file names, which then come before the folder's.

    Returns the layout, and the paths of tables.  Raises InvalidValue for too many files.
    """
    tables: list[str] = []

    def listed() -> Iterator[tuple[str, int, str | None]]:
        for count, entry in enumerate(source.entries(), 1):
            if count > FILES_MAX:
                raise InvalidValue(
                    f"There are more than {FILES_MAX} files.",
                    field="path",
                    remedy="Make several datasets of them.",
                )
            if entry.path.lower().endswith(".csv") and entry.refused is None:
                tables.append(entry.path)
                continue
            if count % _ROWS == 0:
                progress("listing", count, 0)
            yield entry.path, entry.size, entry.refused

    progress("listing", 0, 0)
    index.add(listed())
    layout = recognise(row["path"] for row in index.rows("path", "WHERE status IS NULL"))

    def placed() -> Iterator[tuple[str | None, str | None, int]]:
        for row in list(index.rows("id, path", "WHERE status IS NULL")):
            folder, split = layout.place(row["path"])
            named = label_in(label, row["path"]) if label is not None else None
            yield named or folder, split, row["id"]

    index.change("UPDATE files SET label = ?, given = ? WHERE id = ?", placed())
    return layout, tables


@dataclass(frozen=True)
class Reader:
    """Looks at files.  folder: of the validation; keep: store each picture in it."""

    index: Index
    source: Source
    choices: Choices
    salt: bytes
    folder: Path
    keep: bool

    def read(self, decoders: Decoders, progress: Progress) -> None:
        """Write what is seen of every file into the index, or why it is refused."""
        (self.folder / STAGING).mkdir()
        if self.keep:
            (self.folder / IMAGES).mkdir()
        index = self.index
        total = index.one("SELECT COUNT(*) FROM files WHERE status IS NULL")
        asked: deque[tuple[int, str | None, Path]] = deque()
        refused: list[tuple[str, int]] = []
        seen: list[Seen] = []
        for done, answer in enumerate(decoders.map(self._tasks(asked, refused)), 1):
            identity, stored, path = asked.popleft()
            if self.keep:
                path.unlink(missing_ok=True)
            if answer.refused is None:
                seen.append(Seen(identity, answer.facts, answer.blobs, stored))
                if len(seen) == _TOGETHER:
                    index.facts(seen)
                    seen.clear()
            else:
                refused.append((answer.refused, identity))
                if stored:
                    (self.folder / stored).unlink(missing_ok=True)
            if done % 16 == 0:
                progress("reading", done, total)
        index.facts(seen)
        index.set_status(REFUSED, refused)
        index.execute(BY_SHA256)
        progress("reading", total, total)

    def _tasks(
        self, asked: deque[tuple[int, str | None, Path]], refused: list[tuple[str, int]]
    ) -> Iterator[dict[str, Any]]:
        choices = self.choices
        for row in self.index.rows("id, path", "WHERE status IS NULL ORDER BY id"):
            try:
                path = self.source.fetch(row["path"], self.folder / STAGING)
            except Refused as error:
                refused.append((str(error), row["id"]))
                continue
            stored = f"{IMAGES}/{row['id']:07d}.png" if self.keep else None
            asked.append((row["id"], stored, path))
            yield {
                "do": "look",
                "path": os.fspath(path),
                "window": choices.window,
                "fit": choices.fit,
                "mask": {"border": choices.border, "corner": choices.corner},
                "salt": self.salt.hex(),
                "store": str(self.folder / stored) if stored else None,
            }

    def keep_accepted(self) -> int:
        """Keep no picture that is not used; bytes of what is kept."""
        if not self.keep:
            return 0
        index = self.index
        for row in index.rows("stored", "WHERE status != ? AND stored IS NOT NULL", ACCEPTED):
            (self.folder / row["stored"]).unlink(missing_ok=True)
        index.execute("UPDATE files SET stored = NULL WHERE status != ?", ACCEPTED)
        return sum(entry.stat().st_size for entry in os.scandir(self.folder / IMAGES))


def leave_out_withdrawn(index: Index, withdrawn: frozenset[str]) -> None:
    """Leave out files by their digests, and forget what was seen of them."""
    rows = index.rows("id, sha256", "WHERE status = ?", ACCEPTED)
    gone = [row["id"] for row in rows if row["sha256"] in withdrawn]
    index.set_status(LEFT_OUT, ((WITHDRAWN, identity) for identity in gone))
    index.change(
        "UPDATE files SET patient = NULL, covariates = '{}' WHERE id = ?",
        [(identity,) for identity in gone],
    )
    index.change("DELETE FROM pictures WHERE id = ?", [(identity,) for identity in gone])


def leave_out_unlabelled(index: Index) -> None:
    """Leave out what has no label, or one that cannot be one."""
    reasons = []
    for row in index.rows("id, label", "WHERE status = ?", ACCEPTED):
        if row["label"] is None:
            reasons.append(("stands beside the class folders: it has no label", row["id"]))
        elif (reason := check_label(row["label"])) is not None:
            reasons.append((reason, row["id"]))
    index.set_status(LEFT_OUT, reasons)
