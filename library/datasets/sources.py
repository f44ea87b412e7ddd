"""Where the files of a dataset lie: a folder in place, or a ZIP."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from library.datasets.layout import is_junk
from library.errors import InvalidValue

FILES_MAX = 1_000_000


@dataclass(frozen=True)
class Entry:
    """One file: its path below the root, with slashes; why it is refused unread, if it is."""

    path: str
    size: int
    refused: str | None = None


class Source(Protocol):
    def entries(self) -> Iterator[Entry]:
        """Every file that is no junk, in any order."""

    def fetch(self, path: str, staging: Path) -> Path:
        """Where a file can be read now; copied below `staging`, if need be.  Raises Refused."""


class FolderSource:
    """A folder in place.  Raises InvalidValue (naming `field`) when there is none."""

    def __init__(self, root: Path, field: str = "path") -> None:
        if not os.path.isdir(root):  # unlike Path.is_dir, never raises for what is no name
            raise InvalidValue(
                f"There is no folder {str(root)!r}.",
                field=field,
                value=str(root),
                remedy="Give the path of an existing folder with one sub-folder of images per "
                "class, or train, val and test with such sub-folders.",
            )
        self.root = root

    def entries(self) -> Iterator[Entry]:
        for parent, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not is_junk(name))
            below = os.path.relpath(parent, self.root)
            for name in sorted(files):
                if not is_junk(name):
                    yield self._entry(name if below == "." else f"{below}/{name}")

    def _entry(self, path: str) -> Entry:
        try:
            found = os.stat(self.root / path)
        except OSError as error:
            return Entry(path, 0, f"cannot be read ({error.strerror})")
        if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
            return Entry(path, 0, "is no file (a pipe, socket or device)")
        return Entry(path, found.st_size)

    def fetch(self, path: str, staging: Path) -> Path:  # noqa: ARG002
        return self.root / path
