"""synthorax restore: an archive into an empty data folder and an empty Redis.

Everything is unpacked and checked beside where it belongs (`.restore` in the data folder, on the
same disk, for a data folder is often a mount) and then renamed into place.  From the first step to
the last `.restore` is there and no service starts, so that nobody sees half of it.  Broken off and
called again, it goes on where its checks had ended, or begins anew before that.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from library.atomic import read_json, write_json
from library.backup.archive import REDIS
from library.backup.archive import read as read_archive
from library.backup.guard import STAGING
from library.errors import Conflict, SynthoraxError, Unavailable
from library.locks import hold
from library.settings import Settings, from_environment
from synthorax.local.backup import PIPE, Told, opened_archive, summary
from synthorax.local.repair import reached
from worker.connection import client
from worker.dump import load, refuse_what_is_not_empty, settle
from worker.jobs import JobStore
from worker.queue import celery_app, enqueue
from worker.records import keep_copy
from worker.repair import repair

_CHECKED = "checked.json"  # in the staging folder: all is unpacked, and as it was written
_DONE = ".restored.tmp"  # what the staging folder is renamed to at the end
_LOCK = "serve.lock"
_NO_MATTER = frozenset({_LOCK, _DONE, STAGING, "lost+found"})


def restore(source: str, told: Told) -> dict[str, Any]:
    """Restore; what was.  Raises SynthoraxError."""
    settings = from_environment()
    data_dir = settings.data_dir
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with contextlib.suppress(PermissionError):  # a mount of somebody else's
        data_dir.chmod(0o700)
    handle = hold(data_dir / _LOCK)  # as `serve` does, for as long as we live
    if handle is None:
        raise Conflict(
            f"Synthorax serves {str(data_dir)!r}, or is being restored there.",
            field="SYNTHORAX_DATA_DIR",
            value=str(data_dir),
            remedy="Stop it, or set SYNTHORAX_DATA_DIR to an empty folder.",
        )
    try:
        return _restore(settings, source, told)
    except RedisError as error:
        raise Unavailable(
            f"Redis does not answer ({error}).",
            field="SYNTHORAX_REDIS_URL",
            remedy="Start it, or correct the setting; then run this again.",
        ) from None
    except OSError as error:
        raise SynthoraxError(
            f"The restore stopped: {error.filename or data_dir}: {error.strerror}.",
            remedy="Mend that, then run the same command again: it goes on.",
        ) from None
    finally:
        os.close(handle)


def _restore(settings: Settings, source: str, told: Told) -> dict[str, Any]:
    data_dir = settings.data_dir
    staging = data_dir / STAGING
    if (staging / _CHECKED).exists():
        facts = read_json(staging / _CHECKED)
        _is_the_same(source, facts, told)
    else:
        _is_empty(settings)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o700)
        with opened_archive(source) as (file, size):
            try:
                found = read_archive(file, staging, lambda done: told(done, size))
            except SynthoraxError:
                shutil.rmtree(staging)
                raise
        os.sync()  # all of it on the disk before anything says so
        facts = summary(found.identity, found.head, found.files)
        write_json(staging / _CHECKED, facts)
    if (staging / "data").is_dir():
        for entry in sorted((staging / "data").iterdir()):
            os.rename(entry, data_dir / entry.name)
    with reached(settings) as url:
        again = _fill_redis(replace(settings, redis_url=url), staging, facts["identity"])
    shutil.rmtree(data_dir / _DONE, ignore_errors=True)
    os.rename(staging, data_dir / _DONE)
    shutil.rmtree(data_dir / _DONE)
    return {**facts, "jobs_queued_again": again}


def _fill_redis(settings: Settings, staging: Path, identity: str) -> list[str]:
    """Ids of the jobs that wait for a worker now."""
    store = JobStore(client(settings.redis_url))
    with open(staging / REDIS, encoding="utf-8") as lines:
        load(store.redis, lines, identity)
    waiting = settle(store)
    for record in store.several(waiting):
        keep_copy(settings.data_dir, record)
    app = celery_app(settings)
    # Jobs that came while the backup was made have a run folder alone; and all are sent.
    rebuilt = repair(store, settings.data_dir, lambda record: enqueue(app, record))
    return sorted({*waiting, *(each.job for each in rebuilt if each.status == "queued")})


def _is_empty(settings: Settings) -> None:
    data_dir = settings.data_dir
    there = sorted(path.name for path in data_dir.iterdir() if path.name not in _NO_MATTER)
    if there:
        shown = ", ".join(there[:3]) + (", …" if len(there) > 3 else "")
        raise Conflict(
            f"The data folder {str(data_dir)!r} is not empty ({shown}).",
            field="SYNTHORAX_DATA_DIR",
            value=str(data_dir),
            remedy="Set SYNTHORAX_DATA_DIR to an empty folder; nothing is overwritten.",
        )
    if settings.redis_url:
        refuse_what_is_not_empty(client(settings.redis_url))


def _is_the_same(source: str, facts: dict[str, Any], told: Told) -> None:
    """Only the archive that was begun with goes on; what came of a pipe is not asked for again."""
    if source == PIPE:
        return
    with opened_archive(source) as (file, size):
        found = read_archive(file, told=lambda done: told(done, size))
    if found.identity != facts["identity"]:
        raise Conflict(
            "Another archive was being restored here when it was broken off "
            f"(of {facts['created']}).",
            field="archive",
            remedy="Give that one; or remove the data folder and begin anew.",
        )
