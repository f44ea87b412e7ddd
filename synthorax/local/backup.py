"""synthorax backup: the data folder and Redis into one file, while the service runs or not."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from redis.exceptions import RedisError

from library import __version__
from library.atomic import sync_folder
from library.backup.archive import REDIS, Writer
from library.backup.archive import read as read_archive
from library.backup.contents import Contents, in_place
from library.backup.guard import refuse_half_restored
from library.errors import Conflict, NotFound, SynthoraxError, Unavailable
from library.locks import hold
from library.settings import Settings, from_environment
from synthorax.local.repair import reached
from worker.connection import client
from worker.dump import dump

Told = Callable[[int, int | None], None]  # bytes done, about how many there are
PIPE = "-"
_SPOOL = 64 * 2**20  # bytes of Redis' keys held in memory


def backup(target: str, with_caches: bool, told: Told) -> dict[str, Any]:
    """Write an archive to a file, into a folder or (`-`) to stdout; what it holds.

    Raises SynthoraxError; nothing is left under the archive's name then.
    """
    settings = from_environment()
    if not settings.data_dir.is_dir():
        raise NotFound(
            f"There is no data folder {str(settings.data_dir)!r}.",
            field="SYNTHORAX_DATA_DIR",
            value=str(settings.data_dir),
            remedy="Set SYNTHORAX_DATA_DIR as the service has it.",
        )
    refuse_half_restored(settings.data_dir)
    try:
        with _opened(target, settings.data_dir) as (file, path):
            facts = _write(settings, file, with_caches, told)
    except RedisError as error:
        raise Unavailable(
            f"Redis does not answer ({error}), and a backup without its jobs is none.",
            field="SYNTHORAX_REDIS_URL",
            remedy="Start it, or correct the setting; `synthorax doctor` says more.",
        ) from None
    except OSError as error:
        raise SynthoraxError(
            f"The backup could not be made: {error.filename or target}: {error.strerror}.",
            remedy="Nothing is left of it. Mend that, or name another target.",
        ) from None
    return {**facts, "file": None if path is None else str(path)}


def verify(source: str, told: Told) -> dict[str, Any]:
    """Read an archive through; what it holds.  Raises SynthoraxError."""
    with opened_archive(source) as (file, size):
        found = read_archive(file, told=lambda done: told(done, size))
    return summary(found.identity, found.head, found.files)


@contextlib.contextmanager
def opened_archive(source: str) -> Iterator[tuple[IO[bytes], int | None]]:
    """An archive to be read, and its bytes where they are known.  Raises NotFound."""
    if source == PIPE:
        yield sys.stdin.buffer, None
        return
    try:
        file = open(source, "rb")
    except OSError as error:
        raise NotFound(
            f"The archive {source!r} cannot be read ({error.strerror}).", field="archive"
        ) from None
    with file:
        yield file, os.fstat(file.fileno()).st_size


def summary(
    identity: str, head: dict[str, Any], files: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What an archive holds, for people."""
    counts = {"versions": 0, "reports": 0, "datasets": 0, "runs": 0, "studies": 0}
    for name in files:
        parts = name.split("/")[1:]
        counts["versions"] += parts[:1] == ["models"] and parts[-1] == "model.json"
        counts["reports"] += parts[:1] == ["reports"] and parts[-1] == "report.json"
        counts["datasets"] += parts[:1] == ["datasets"] and len(parts) == 2
        counts["runs"] += parts[:1] == ["runs"] and parts[-1] == "job.json"
        counts["studies"] += parts[:1] == ["studies"] and parts[-1] == "study.json"
    return {
        "identity": identity,
        "created": head["created"],
        "files": len(files),
        "bytes": sum(facts["bytes"] for facts in files.values()),
        **counts,
        "keys": head["keys"],
    }


def _write(settings: Settings, file: IO[bytes], with_caches: bool, told: Told) -> dict[str, Any]:
    """Redis first: what its records speak of is on the disk already, or further on."""
    contents = Contents(settings.data_dir, with_caches)
    with tempfile.SpooledTemporaryFile(_SPOOL) as spool:
        with reached(settings) as url:
            keys = 0
            for entry in dump(client(url)):
                spool.write(json.dumps(entry).encode() + b"\n")
                keys += 1
        size = spool.tell()
        spool.seek(0)
        total = size + contents.bytes()
        head = {
            "synthorax": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "keys": keys,
        }
        archive = Writer(file, head, lambda done: told(done, max(done, total)))
        archive.add_stream(REDIS, spool, size)
    contents.copy(archive)
    identity = archive.finish()
    return {
        **summary(identity, head, archive.files),
        "links_left_out": contents.links,
        "folders_in_place": in_place(settings.data_dir),
    }


@contextlib.contextmanager
def _opened(target: str, data_dir: Path) -> Iterator[tuple[IO[bytes], Path | None]]:
    """A file that gets its name when it is whole."""
    if target == PIPE:
        yield sys.stdout.buffer, None
        sys.stdout.buffer.flush()
        return
    path = Path(target).absolute()
    if path.is_dir():
        path /= f"synthorax-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.tar"
    _check(path, data_dir)
    for left in path.parent.glob(".*.tar.part"):  # of a backup that was killed
        if (handle := hold(left)) is not None:
            left.unlink(missing_ok=True)
            os.close(handle)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tar.part")
    handle = hold(part)
    assert handle is not None  # nobody else has this name
    try:
        with open(handle, "wb") as file:
            yield file, path
            file.flush()
            os.fsync(handle)
            _check(path, data_dir)
            os.rename(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def _check(path: Path, data_dir: Path) -> None:
    if path.exists():
        raise Conflict(
            f"{str(path)!r} is there already.",
            field="target",
            remedy="Name a new file, or a folder: the file is named after the time then.",
        )
    if path.resolve().is_relative_to(data_dir.resolve()):
        raise Conflict(
            f"{str(path)!r} lies in the data folder: it would be lost with it.",
            field="target",
            remedy="Name a place on another disk.",
        )
