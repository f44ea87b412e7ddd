"""Generate jobs on the generation queue: one message makes one shard, by a child that stays loaded.

A message names a job, not a shard: whoever takes it takes the first shard that nobody holds, and
sends the job again while shards are free.  So there is about one message a job, jobs take turns
shard by shard, and a worker that dies takes no message with it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import redis
from celery import Celery, Task
from redis.exceptions import RedisError

from library import generate_jobs
from library.errors import NotFound, SynthoraxError
from library.generate_jobs import ENDED, GenerateJob
from library.logs import request_id
from library.settings import Settings
from library.store.objects import StoreAway
from library.store.shared import open_store
from worker import counts, keys
from worker.child import ChildProcess
from worker.connection import client
from worker.leases import Lease, Lost, renewed
from worker.queue import GENERATE, GENERATION, enqueue_generation, messages

logger = logging.getLogger("synthorax.worker")

TICK_SECONDS = 0.2
SILENCE_SECONDS = 600.0  # without a sign, after which a child counts as hung
REFUSED_SECONDS = 5.0  # before a job is offered again that needs another engine

Send = Callable[[Mapping[str, Any]], None]  # a job's record


class PoisonShard(SynthoraxError):
    slug, title, status = "poison", "The shard ends whoever makes it", 500


COMMAND = (sys.executable, "-m", "app.generate_jobs")


class ShardProcess(ChildProcess):
    """`python -m app.generate_jobs`: keeps a version loaded between shards."""

    kind = "generator"

    def __init__(self, command: Sequence[str], log: Path, data_dir: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(command, log, {"SYNTHORAX_DATA_DIR": str(data_dir)})

    def make(self, job: str, shard: int) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has just ended: that is seen at the next look
            asked = {"job": job, "shard": shard, "request": request_id.get()}
            self._process.stdin.write(json.dumps(asked).encode() + b"\n")
            self._process.stdin.flush()


class Makers:
    """The child of a worker's process: started when it is needed, kept from shard to shard."""

    def __init__(self, settings: Settings, name: str, command: Sequence[str] = COMMAND) -> None:
        self._command, self._data_dir = command, settings.data_dir
        self._log = generate_jobs.root(settings.data_dir) / ".logs" / f"{name}.log"
        self._child: ShardProcess | None = None

    def begin(self, job: str, shard: int) -> ShardProcess:
        if self._child is None or self._child.ended() is not None:
            self.end()
            self._child = ShardProcess(self._command, self._log, self._data_dir)
        self._child.make(job, shard)
        return self._child

    def end(self) -> None:
        """Now, whatever it is at."""
        if self._child is not None:
            self._child.close()
            self._child = None


def register(app: Celery, settings: Settings, drain: threading.Event) -> None:
    """Add the generation queue's task to a worker's application."""
    makers: dict[str, Makers] = {}

    @app.task(name=GENERATE, bind=True)
    def run(self: Task[Any, Any], job: str) -> None:
        name = str(self.request.hostname).partition("@")[0]
        mine = makers.setdefault(name, Makers(settings, name))
        connection = client(settings.redis_url)
        send = partial(enqueue_generation, app)
        make_next(job, connection, settings, drain, send, mine)


def make_next(
    identity: str,
    connection: redis.Redis,
    settings: Settings,
    drain: threading.Event,
    send: Send,
    makers: Makers,
) -> None:
    """Make the next shard of a job that nobody holds, if there is one.

    Raises redis.exceptions.RedisError at the start.
    """
    try:
        job = generate_jobs.find(settings.data_dir, identity)
        _look(job, settings)
        if job.status in ENDED or drain.is_set() or complete(job, settings):
            return
        claimed = _claim(job, connection, settings)
        if claimed is None:
            return
        number, lease = claimed
        making = _Making(job, number, connection, settings, drain, makers)
        try:
            send_again(job, connection, send)
            with renewed(lease, settings.lease_seconds) as check:
                making.run(check)
        except Lost:
            makers.end()
            logger.warning("%s: shard %d is another worker's now", identity, number)
        except BaseException:
            makers.end()  # its answer would be taken for that of the next shard
            raise
        finally:
            with suppress(RedisError):  # it will run out
                lease.release()
        if making.refused:
            drain.wait(REFUSED_SECONDS)
        if not complete(job, settings):
            send_again(job, connection, send)
    except NotFound:
        makers.end()
        logger.warning("%s is not here, or deleted", identity)
    except StoreAway as error:  # the sweep comes back to it
        logger.warning("%s: %s", identity, error)


def _look(job: GenerateJob, settings: Settings) -> None:
    """What other machines have made of it."""
    if (store := open_store(settings)) is not None:
        store.generated.look(job)


def complete(job: GenerateJob, settings: Settings) -> bool:
    """Write the manifest once every shard is there, here and in the store.  Raises StoreAway."""
    store = open_store(settings)
    if not job.complete(elsewhere=store is not None):
        return False
    if store is not None:
        store.generated.put_manifest(job)
    return True


def has_free_shards(job: GenerateJob, connection: redis.Redis) -> bool:
    """Whether there is a shard to make that nobody makes: one question for each that is held."""
    held = map(connection.exists, (keys.shard_lease(job.id, n) for n in job.missing()))
    return not all(held)


def send_again(job: GenerateJob, connection: redis.Redis, send: Send) -> None:
    """Put a job into the queue if it has free shards and no message there."""
    if job.status in ENDED or not has_free_shards(job, connection):
        return
    if not messages(connection, GENERATION)[job.id]:
        send(job.record)


def _claim(
    job: GenerateJob, connection: redis.Redis, settings: Settings
) -> tuple[int, Lease] | None:
    """The first shard that nobody makes: those before it are held, one by each worker."""
    token = secrets.token_hex(8)
    for number in job.missing():
        key = keys.shard_lease(job.id, number)
        lease = Lease(connection, key, token, settings.lease_seconds)
        if not lease.take():
            continue
        if not job.shard_record(number).exists():
            return number, lease
        lease.release()  # made between the two looks
    return None


class _Making:
    """One attempt at a shard."""

    def __init__(
        self,
        job: GenerateJob,
        number: int,
        connection: redis.Redis,
        settings: Settings,
        drain: threading.Event,
        makers: Makers,
    ) -> None:
        self.job, self.number = job, number
        self.redis: Any = connection  # redis-py's answers are unions
        self.settings, self.drain, self.makers = settings, drain, makers
        self.parent = os.getppid()
        self.refused = False

    def run(self, check: Callable[[], None]) -> None:
        began = keys.shard_attempts(self.job.id, self.number)
        attempts = self.redis.incr(began)
        self.redis.expire(began, keys.SHARD_ATTEMPTS_SECONDS)
        if attempts > self.settings.attempts_max:
            self._poison(attempts - 1, "its worker")
            return
        child = self.makers.begin(self.job.id, self.number)
        heard, last = time.monotonic(), None
        while last is None:
            for told in child.events(TICK_SECONDS):
                heard = time.monotonic()
                if told["type"] == "progress":
                    self._note(int(told["images"]))
                else:
                    last = told
            check()
            if last is not None:
                break
            if self._stopping() or self.job.status in ENDED:
                self.makers.end()
                break
            if time.monotonic() - heard > SILENCE_SECONDS:
                child.kill()
            code = child.ended()
            if code is not None:
                self._died(code, child.last_words()[-500:], attempts)
                return
        if last is not None:
            self._take(last)
        with suppress(RedisError):
            self.redis.delete(began)
            self._forget()

    def _take(self, told: Mapping[str, Any]) -> None:
        counts.add("synthorax_tasks_total", task="shard", outcome=told["type"])
        if told["type"] == "shard":
            counts.add("synthorax_shard_images_total", told["images"])
        elif told["type"] == "failed":
            self._fail(told["error"])
        elif told["type"] == "refused":
            self.refused = True
            logger.warning(
                "%s is made by the engine %s, and this worker has %s",
                self.job.id, told["wanted"], told["engine"],
            )  # fmt: skip

    def _died(self, code: int, words: str, attempts: int) -> None:
        self.makers.end()
        logger.warning("%s: shard %d: its process ended with %d", self.job.id, self.number, code)
        if attempts >= self.settings.attempts_max:
            self._poison(attempts, "its process", words)

    def _poison(self, attempts: int, whom: str, words: str = "") -> None:
        problem = PoisonShard(
            f"Shard {self.number} ended {whom} {attempts} times in a row. {words}".strip(),
            remedy="Mend the cause (memory, the card's driver), then POST "
            f"/generate-jobs/{self.job.id}/resume: what is made is kept.",
        ).as_problem()
        self._fail(problem)
        self.redis.delete(keys.shard_attempts(self.job.id, self.number))

    def _fail(self, problem: Mapping[str, Any]) -> None:
        if self.job.path.is_dir():  # not deleted meanwhile
            self.job.finish("failed", problem)
            if (store := open_store(self.settings)) is not None:
                store.generated.tell(self.job)

    def _note(self, images: int) -> None:
        """For people who look at the job; it goes by itself."""
        name = keys.shard_progress(self.job.id)
        with suppress(RedisError):
            self.redis.hset(name, str(self.number), images)
            self.redis.expire(name, keys.SHARD_PROGRESS_SECONDS)

    def _forget(self) -> None:
        self.redis.hdel(keys.shard_progress(self.job.id), str(self.number))

    def _stopping(self) -> bool:
        """This worker is being stopped, or its main process is gone."""
        return self.drain.is_set() or os.getppid() != self.parent


class GenerationSweeper:
    """Sends again the jobs that have free shards and no message: a worker died with the last."""

    def __init__(self, connection: redis.Redis, settings: Settings, send: Send) -> None:
        self._connection, self._settings, self._send = connection, settings, send

    def sweep(self) -> None:
        generate_jobs.remove_deleted(self._settings.data_dir)
        for job in generate_jobs.unfinished(self._settings.data_dir):
            try:
                if not complete(job, self._settings):
                    send_again(job, self._connection, self._send)
            except StoreAway as error:
                logger.warning("%s: %s", job.id, error)
