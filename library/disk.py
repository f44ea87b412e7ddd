"""Disks that take no more: what an OSError means for someone who can act on it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from library.errors import SynthoraxError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFull(SynthoraxError):
    slug, title, status = "disk-full", "The disk is full", 507


class NotWritable(SynthoraxError):
    slug, title, status = "not-writable", "A folder cannot be written", 500


def as_problem(error: OSError, folder: Path) -> SynthoraxError | None:
    """The problem behind a write below `folder` that failed; None for another kind of error."""
    if error.errno in _FULL:
        return DiskFull(
            f"The disk of {str(folder)!r} is full ({_free(folder)} MiB free).",
            field="SYNTHORAX_DATA_DIR",
            value=str(folder),
            remedy="Free some space, then resume the job: its newest checkpoint is good.",
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return NotWritable(
            f"{str(error.filename or folder)!r} cannot be written ({os.strerror(error.errno)}).",
            field="SYNTHORAX_DATA_DIR",
            value=str(folder),
            remedy="Give the service's user the right to write there, then resume the job.",
        )
    return None


def refusal(error: OSError, path: Path, what: str) -> SynthoraxError:
    """The problem of a request that has to write `path` first; `what` follows from that."""
    is_full = error.errno in _FULL
    kind = DiskFull if is_full else NotWritable
    return kind(
        f"{path.name!r} cannot be written ({os.strerror(error.errno or 0)}), {what}.",
        field="SYNTHORAX_DATA_DIR",
        value=str(path.parent),
        remedy="Free some space there."
        if is_full
        else "Give the service's user the right to write there.",
    )


def _free(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free // 2**20
