"""python -m app.generate_jobs: makes shards, for the worker that starts it and holds its stdin.

A request on stdin is a line of JSON: job, shard (its number), request (the id of the HTTP request
whose message it was, for the log).  The answers on stdout are lines of JSON with a type: progress
(images so far), shard (it is there), refused (the job is made by another engine), failed (a problem
that would come again).  It ends with its stdin, and after a minute without a request: a card's
memory is then free.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
import time
from functools import partial
from typing import Any

from app.engine.backend import backend_loader, devices
from app.engine.loaded import Loaded, load
from app.generate_jobs.making import make_shard
from library import disk
from library.errors import Conflict, SynthoraxError
from library.generate_jobs import GenerateJob, find
from library.logs import configure, job_id, request_id
from library.settings import Settings, from_environment
from library.store.objects import StoreAway
from library.store.shared import open_store
from library.versions import ModelLibrary

IDLE_SECONDS = 60.0
TELL_SECONDS = 1.0
AWAY_SECONDS = 2.0  # before the store is tried again

logger = logging.getLogger("synthorax.generate_jobs")


def main() -> int:
    settings = from_environment()
    configure(settings.log)
    asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(asked,), daemon=True).start()
    maker = Maker(settings)
    while True:
        try:
            request = asked.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            return 0
        job_id.set(request["job"])
        request_id.set(request["request"])
        maker.answer(request["job"], int(request["shard"]))


def _read(asked: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        asked.put(json.loads(line))
    os._exit(75)  # the worker is gone: what is half made stays under its temporary name


class Maker:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: Loaded | None = None
        store = open_store(settings)
        self._shared = store.generated if store else None
        self._library = store.library() if store else ModelLibrary(settings.models)
        self._told = 0.0

    def answer(self, identity: str, number: int) -> None:
        try:
            job = find(self._settings.data_dir, identity)
            loaded = self._load(job.record)
            origin = loaded.origin(float(job.record["truncation"]))
            mine = {
                "digest": origin.engine_digest,
                "backend": origin.backend,
                "precision": origin.precision,
            }
            shared = self._shared
            claimed = shared.claim_engine(job, mine) if shared else job.claim_engine(mine)
            if claimed["digest"] != mine["digest"]:
                _say("refused", engine=mine["digest"], wanted=claimed["digest"])
                return
            began = time.monotonic()
            record = make_shard(
                job, number, loaded, self._progress, partial(self._put, job, number)
            )
            _say("shard", shard=number, seconds=round(time.monotonic() - began, 3), **record)
        except SynthoraxError as error:
            _say("failed", error=error.as_problem())
        except OSError as error:
            problem = disk.as_problem(error, self._settings.data_dir)
            if problem is None:
                raise
            _say("failed", error=problem.as_problem())

    def _load(self, record: dict[str, Any]) -> Loaded:
        loaded = self._loaded
        if loaded is not None and loaded.version.digest == record["digest"]:
            return loaded
        self._loaded = None  # its memory goes before the next comes
        version = self._library.find(record["model"])
        if version.digest != record["digest"]:
            raise Conflict(
                f"{record['model']} is not the version that the job was made for any more.",
                field="model",
                value=record["model"],
                remedy="Make a new job.",
            )
        # One device: each card has a worker of its own.
        device = devices(self._settings)[:1]
        self._loaded = load(version, device, backend_loader(self._settings))
        return self._loaded

    def _put(self, job: GenerateJob, number: int, record: dict[str, Any]) -> None:
        """As long as it takes: what is made is not made again because the store is away."""
        while self._shared is not None:
            try:
                self._shared.put(job, number, record)
                return
            except StoreAway as error:
                logger.warning("%s", error)
                _say("progress", images=job.span(number)[1])
                time.sleep(AWAY_SECONDS)

    def _progress(self, images: int) -> None:
        now = time.monotonic()
        if now - self._told >= TELL_SECONDS:
            self._told = now
            _say("progress", images=images)


def _say(kind: str, **fields: Any) -> None:
    print(json.dumps({"type": kind, **fields}), flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
