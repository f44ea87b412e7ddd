"""synthorax repair: rebuild job records from run folders, after Redis has lost them."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from redis.exceptions import RedisError
from rich.console import Console

from library.errors import Conflict, SynthoraxError, Unavailable
from library.settings import Settings, from_environment
from library.store.shared import open_store
from synthorax.cli.output import refuse
from synthorax.local import valkey
from worker.admission import refuse_without_access
from worker.connection import client
from worker.jobs import JobStore
from worker.queue import celery_app, enqueue
from worker.repair import lost
from worker.repair import repair as rebuild

START_SECONDS = 30.0  # for the embedded server to read its file


def repair(out: Console, only_look: bool, as_json: bool = False) -> int:
    """Returns the exit status: 0 when every run folder has its record (now)."""
    try:
        settings = from_environment()
        with reached(settings) as url:
            return _repair(settings, url, out, only_look, as_json)
    except SynthoraxError as error:
        refuse(out, error)
    except RedisError as error:
        refuse(out, f"Redis does not answer ({error}).")
    return 1


def _repair(settings: Settings, url: str, out: Console, only_look: bool, as_json: bool) -> int:
    store, shared = JobStore(client(url)), open_store(settings)
    if shared is not None:  # runs of other machines count, too
        for job in shared.runs.jobs():
            shared.runs.show(job)
    if only_look:
        missing = lost(store, settings.data_dir)
        if as_json:
            out.print_json(data=[{"job": job, "status": None} for job in missing], indent=None)
            return 1 if missing else 0
        for job in missing:
            out.print(f"{job} has a run folder and no record")
        out.print(f"{len(missing)} records to rebuild")
        return 1 if missing else 0
    app = celery_app(replace(settings, redis_url=url))
    repaired = rebuild(store, settings.data_dir, lambda record: enqueue(app, record))
    if as_json:
        told = [{"job": each.job, "status": each.status} for each in repaired]
        out.print_json(data=told, indent=None)
        return 0
    for each in repaired:
        out.print(f"{each.job} is {each.status}")
    out.print(f"{len(repaired)} records rebuilt")
    return 0


@contextlib.contextmanager
def reached(settings: Settings) -> Iterator[str]:
    """Address of the service's Redis; the embedded one is started if `serve` does not run."""
    if settings.redis_url:
        refuse_without_access(settings.redis_url)
        yield settings.redis_url
        return
    folder = settings.data_dir / "redis"
    try:
        handle = valkey.lock(folder)
    except Conflict:
        yield _address(folder)
        return
    with tempfile.TemporaryDirectory(prefix="synthorax-") as sockets:
        socket = Path(sockets) / "valkey.sock"
        server = subprocess.Popen(
            valkey.command(folder, socket),
            pass_fds=(handle,),
            start_new_session=True,  # Ctrl-C is for us; it is stopped in its turn
            preexec_fn=valkey.die_with_parent if sys.platform == "linux" else None,
        )
        os.close(handle)
        try:
            url = f"unix://{socket}"
            _wait(url, server)
            yield url
        finally:
            server.terminate()
            server.wait()


def _address(folder: Path) -> str:
    """Where the embedded server that runs listens, as `serve` has written it down."""
    try:
        return (folder / "address").read_text()
    except OSError as error:
        raise Unavailable(
            f"The embedded server runs, but its address cannot be read ({error.strerror}).",
            field="SYNTHORAX_DATA_DIR",
            value=str(folder.parent),
            remedy="Stop `synthorax serve` and run this again.",
        ) from None


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client(url).ping()
            return
        except RedisError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
