"""One attempt at a unit of a study: `python -m studies work` as a child of a worker.

A unit is done when its record is on the disk.  One that ended its process or its worker too often
in a row fails the study; a training that comes further than any attempt before, because it goes on
from its checkpoints, is counted anew.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.exceptions import RedisError

from library.errors import NotFound, SynthoraxError
from library.settings import Settings
from library.studies.folder import ENDED, Study
from library.studies.units import RUNS, TURN, Unit
from worker import counts, keys
from worker.child import RESUMABLE, ChildProcess
from worker.queue import LIGHT, messages

logger = logging.getLogger("synthorax.worker")

TICK_SECONDS = 0.2
NOTE_SECONDS = 1.0  # between two notes of how far a unit is
NOTE_AGAIN_SECONDS = 10.0  # the same once more, for it goes by itself
GRACE_SECONDS = 20.0  # to end in; Celery's soft shutdown waits longer
STEP = 0.01  # of a unit, that counts as further
TURN_SECONDS = 120.0  # of a unit of runs, after which it gives way to what waits on its queue
LOOK_SECONDS = 5.0  # between two looks at that
SILENCE_SECONDS = 3600.0  # without an event, after which a unit counts as hung

Command = Callable[[Study, Unit], list[str]]


class PoisonUnit(SynthoraxError):
    slug, title, status = "poison", "The unit ends whoever does it", 500


class UnitProcess(ChildProcess):
    kind = "study"


def work(study: Study, unit: Unit) -> list[str]:
    """The command that does a unit."""
    return [sys.executable, "-m", "studies", "work", str(study.path), unit.name, "--lifeline"]


class Attempts:
    """Those that have begun and not ended, in a row, without getting further."""

    def __init__(self, connection: redis.Redis, study: str, unit: str) -> None:
        self._redis: Any = connection  # redis-py's answers are unions
        self._key = keys.unit_attempts(study, unit)

    def begin(self) -> int:
        """How many there are with this one."""
        found = int(self._redis.hincrby(self._key, "count", 1))
        self._redis.expire(self._key, keys.STUDY_ATTEMPTS_SECONDS)
        return found

    @property
    def furthest(self) -> float:
        """Fraction of the unit to which one of them came."""
        return float(self._redis.hget(self._key, "furthest") or 0.0)

    def got_further(self, fraction: float) -> None:
        """Count this one as the first."""
        self._redis.hset(self._key, mapping={"count": 1, "furthest": fraction})

    def end(self) -> None:
        self._redis.delete(self._key)


class Attempt:
    """One attempt at a unit that this worker holds."""

    def __init__(
        self,
        study: Study,
        unit: Unit,
        connection: redis.Redis,
        settings: Settings,
        drain: threading.Event,
    ) -> None:
        self.study, self.unit, self.settings, self.drain = study, unit, settings, drain
        self._redis: Any = connection
        self._attempts = Attempts(connection, study.id, unit.name)
        self._count, self._furthest = 0, 0.0
        self._parent = os.getppid()
        self._last: dict[str, Any] = {}  # the child's last word about its end
        self._told: str | None = None
        self._heard = time.monotonic()
        self._noted = -NOTE_AGAIN_SECONDS
        self._stopped = self._gave_way = False  # by us
        self._look_at = time.monotonic() + TURN_SECONDS

    def run(self, command: Command, check: Callable[[], None]) -> None:
        """Raises Lost; NotFound when the study was deleted; RedisError at the start."""
        self._count, self._furthest = self._attempts.begin(), self._attempts.furthest
        if self._count > self.settings.attempts_max:
            self._poison(self._count - 1, "its worker")
            return
        self._begin()
        code, words = self._follow(command(self.study, self.unit), check)
        if self._gone():  # what the child has made since goes, too
            shutil.rmtree(self.study.path, ignore_errors=True)
        elif self.unit.name in self.study.done():
            self._ended("done")
        elif self._last.get("type") == "failed":
            self._fail(self._last["error"])
        elif self._stopped or (self._gave_way and code == RESUMABLE):
            logger.info("%s: %s was stopped (%d)", self.study.id, self.unit.name, code)
        else:
            said = RESUMABLE if code == RESUMABLE else f"{code}: {words}"
            logger.warning("%s: %s ended with %s", self.study.id, self.unit.name, said)
            if self._count >= self.settings.attempts_max:
                self._poison(self._count, "its process", words)
            self._forget()
            return
        with_redis(self._attempts.end)
        self._forget()

    def _begin(self) -> None:
        try:
            self.study.begin()
            self.study.unit_log(self.unit.name).parent.mkdir(exist_ok=True, mode=0o700)
        except FileNotFoundError:
            raise NotFound(f"{self.study.id} was deleted.") from None

    def _follow(self, command: list[str], check: Callable[[], None]) -> tuple[int, str]:
        """Until the child has ended.  Returns its exit status and the end of its stderr."""
        environment = {
            "SYNTHORAX_DATA_DIR": str(self.settings.data_dir),
            "SYNTHORAX_TRAIN_DEVICE": self.settings.train_device,
        }
        child = UnitProcess(command, self.study.unit_log(self.unit.name), environment)
        code = None
        logger.info("%s: %s is begun by %d", self.study.id, self.unit.name, child.pid)
        try:
            while code is None:
                for told in child.events(TICK_SECONDS):
                    self._take(told)
                self._note()
                self._watch(child, check)
                code = child.ended()
        finally:
            child.close()  # also when this process is ending by an exception: no orphan
        try:
            return code, child.last_words()[-500:]
        except FileNotFoundError:  # with the study
            return code, ""

    def _take(self, told: Mapping[str, Any]) -> None:
        self._heard = time.monotonic()
        if told["type"] in ("done", "failed"):
            self._last = dict(told)
        elif told["type"] == "progress":
            fraction = min(1.0, max(0.0, float(told["fraction"])))
            if self.unit.on_training_queue and fraction >= self._furthest + STEP:
                self._count, self._furthest = 1, fraction
                with_redis(lambda: self._attempts.got_further(fraction))
            self._told = json.dumps({"phase": str(told["phase"]), "fraction": fraction})

    def _watch(self, child: UnitProcess, check: Callable[[], None]) -> None:
        check()
        if self._gone():
            child.kill()
        elif time.monotonic() - self._heard > SILENCE_SECONDS:
            child.kill()
        elif self._stopping() or self.study.status in ENDED:
            self._stopped = True
            child.stop(GRACE_SECONDS)
        elif self._others_wait():
            self._gave_way = True
            child.wish(TURN)

    def _others_wait(self) -> bool:
        """Whether this unit, of an hour perhaps, has had its turn, and somebody is behind it."""
        now = time.monotonic()
        if self.unit.kind != RUNS or now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        waiting = with_redis(lambda: messages(self._redis, LIGHT)) or {}
        return any(each != self.study.id for each in waiting)

    def _gone(self) -> bool:
        return not (self.study.path / "study.json").is_file()

    def _stopping(self) -> bool:
        """This worker is being stopped, or its main process is gone."""
        return self.drain.is_set() or os.getppid() != self._parent

    def _ended(self, outcome: str) -> None:
        counts.add("synthorax_tasks_total", task=f"study_{self.unit.kind}", outcome=outcome)
        logger.info("%s: %s is %s", self.study.id, self.unit.name, outcome)

    def _poison(self, attempts: int, whom: str, words: str = "") -> None:
        problem = PoisonUnit(
            f"The unit {self.unit.name} ended {whom} {attempts} times in a row. {words}".strip(),
            remedy=f"Mend the cause (its words are in logs/{self.unit.name}.log in the study's "
            f"folder), then POST /studies/{self.study.id}/resume: what is done is kept.",
        ).as_problem()
        self._fail(problem)
        with_redis(self._attempts.end)

    def _fail(self, problem: Mapping[str, Any]) -> None:
        self._ended("failed")
        if self.study.status not in ENDED and not self._gone():
            self.study.finish("failed", problem)

    def _note(self) -> None:
        """For people who look at the study; it goes by itself."""
        now, told = time.monotonic(), self._told
        pause = NOTE_SECONDS if self._heard > self._noted else NOTE_AGAIN_SECONDS
        if told is None or now - self._noted < pause:
            return
        self._noted = now
        name = keys.study_progress(self.study.id)
        with_redis(lambda: self._redis.hset(name, self.unit.name, told))
        with_redis(lambda: self._redis.expire(name, keys.STUDY_PROGRESS_SECONDS))

    def _forget(self) -> None:
        with_redis(lambda: self._redis.hdel(keys.study_progress(self.study.id), self.unit.name))


def with_redis(action: Callable[[], Any]) -> Any:
    """What is lost, without harm, while Redis is away."""
    try:
        return action()
    except RedisError:
        return None
