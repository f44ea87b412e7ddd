"""Writes that either happened or did not: temporary file, fsync, rename."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (the rename itself lives in the folder)."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Make a folder durable with all that lies in it, before it gets its name."""
    for parent, _, files in os.walk(folder):
        for path in (os.path.join(parent, name) for name in files):
            if os.path.isfile(path):
                with open(path, "rb") as handle:
                    os.fsync(handle.fileno())
        sync_folder(Path(parent))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace path by content; a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_left(path: Path) -> None:
    """Remove what a process that was killed while it wrote path has left beside it."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # A file name may hold bytes that are not UTF-8; JSON has an escape for what Python makes of it.
    write_bytes(path, text.encode(errors="backslashreplace"))


def append_json(path: Path, content: Any) -> None:
    """One line, whole: appended, and on the disk when this returns.

    Raises OSError when the disk is full; of a line that was not written to its end nothing stays.
    """
    line = json.dumps(content).encode() + b"\n"
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # between a torn line and its removal nobody appends
        size = os.fstat(handle).st_size
        if size == 0:
            sync_folder(path.parent)
        elif os.pread(handle, 1, size - 1) != b"\n":  # a machine went down within the line before
            line = b"\n" + line
        try:
            _write_all(handle, line)
        except BaseException:
            os.ftruncate(handle, size)
            raise
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_all(handle: int, content: bytes) -> None:
    """A disk that is nearly full takes a part, and tells so by its length alone."""
    while content:
        written = os.write(handle, content)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        content = content[written:]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@contextlib.contextmanager
def new_folder(parent: Path, owner: str = "") -> Iterator[Path]:
    """A temporary folder beside its future name; the caller renames it (`claim`).

    Whatever is left of it when the block ends is removed, and so is what a process that was killed
    has left under the same owner: a name that one process at a time uses.
    """
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if owner:
        for left in parent.glob(f".{owner}.*.tmp"):
            shutil.rmtree(left, ignore_errors=True)
    temporary = parent / f".{f'{owner}.' if owner else ''}{secrets.token_hex(6)}.tmp"
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def claim(temporary: Path, final: Path) -> bool:
    """Rename a finished folder to its final name; False when another took the name first."""
    sync_tree(temporary)
    try:
        os.rename(temporary, final)
    except OSError:
        if final.exists():
            return False
        raise
    sync_folder(final.parent)
    return True
