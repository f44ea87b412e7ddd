"""A file that is there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from synthorax.errors import SynthoraxError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, beside `path`: on the disk under its name once the block has ended well.

    The folder is made; what was written is removed where the block raises.  Raises SynthoraxError
    at once where `path` is a folder.
    """
    if path.is_dir():
        raise SynthoraxError(f"{str(path)!r} is a folder.", "Name a file.")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
