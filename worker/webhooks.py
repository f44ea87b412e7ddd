"""Tell of jobs' ends: an outbox in Redis, delivered by the light workers, at least once.

The transition that ends a job puts it into the outbox in the same script.  A worker that is killed
between sending and noting so sends again, with the same webhook-id.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
from typing import Any

import httpx
from redis.exceptions import RedisError

from library.settings import Settings
from library.webhooks import sign
from worker import counts, keys
from worker.jobs import JobStore
from worker.records import TERMINAL, decoded

logger = logging.getLogger("synthorax.worker")

# Seconds before each further attempt; the tenth and last comes about a day after the first.
RETRY_SECONDS = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 43_200)
JITTER = 0.2  # of them, either way: many hooks of one host do not come at once
CLAIM_SECONDS = 60  # after which a claimed delivery is another worker's
TIMEOUT_SECONDS = 10.0
LOOK_SECONDS = 1.0  # between two looks at the outbox
GONE = 410  # the receiver wants no more
_A_LOOK = 20  # deliveries

# One of several workers takes a due delivery: it is due again after the claim.
# KEYS webhooks   ARGV job, its score, its score while claimed
_CLAIM = """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if tonumber(score or '-1') ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
"""

# What became of it, unless the job was deleted or has ended anew meanwhile.
# KEYS record, webhooks   ARGV job, finished_at, state (JSON), score of the next attempt or ""
_NOTE = """
if redis.call('HGET', KEYS[1], 'finished_at') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'webhook', ARGV[3])
if ARGV[4] == '' then redis.call('ZREM', KEYS[2], ARGV[1])
else redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1]) end
return 1
"""


class Outbox:
    """Methods raise redis.exceptions.RedisError."""

    def __init__(self, store: JobStore, settings: Settings, http: httpx.Client) -> None:
        self._redis, self._settings, self._http = store.redis, settings, http
        self._claim = self._redis.register_script(_CLAIM)
        self._note = self._redis.register_script(_NOTE)

    def deliver(self, now: float | None = None) -> int:
        """Send what is due (now: s since 1970); returns how many were sent, well or in vain."""
        moment = time.time() if now is None else now
        due = self._redis.zrangebyscore(
            keys.WEBHOOKS, "-inf", moment, start=0, num=_A_LOOK, withscores=True
        )
        sent = 0
        for job, score in due:
            claimed = [job, repr(score), repr(moment + CLAIM_SECONDS)]
            if self._claim(keys=[keys.WEBHOOKS], args=claimed):
                sent += self._deliver(job, moment)
        return sent

    def _deliver(self, job: str, moment: float) -> int:
        fields = self._redis.hgetall(keys.record(job))
        record = decoded(fields) if fields else {}
        state = record.get("webhook")
        if not state or record["status"] not in TERMINAL:
            # Deleted; or resumed, and its next end is told.
            self._redis.zrem(keys.WEBHOOKS, job)
            return 0
        status, trouble = self._send(record)
        counts.add("synthorax_tasks_total", task="webhook", outcome=status)
        attempts = state["attempts"] + 1
        state = {**state, "attempts": attempts, "status": status, "last_error": trouble}
        next_at = ""
        if status == "pending":
            spread = random.uniform(1 - JITTER, 1 + JITTER)  # nosec B311  # noqa: S311  no secret
            pause = RETRY_SECONDS[attempts - 1] * spread
            next_at = repr(moment + pause)
            logger.warning("%s: its webhook failed (%s); again in %.0f s", job, trouble, pause)
        names, values = [keys.record(job), keys.WEBHOOKS], [job, record["finished_at"]]
        self._note(keys=names, args=[*values, json.dumps(state), next_at])
        return 1

    def _send(self, record: dict[str, Any]) -> tuple[str, str | None]:
        """The state after one attempt, and what went wrong."""
        told = {
            "type": "train_job.ended",
            "timestamp": record["finished_at"],
            "data": {"id": record["id"], "status": record["status"]},
        }
        body = json.dumps(told).encode()
        identity = f"{record['id']}.{record['finished_at']}"
        headers = sign(self._settings.webhook_secret, identity, int(time.time()), body)
        headers["Content-Type"] = "application/json"
        try:
            # A redirect is an answer like any other: it may lead to a host that is not allowed.
            with self._http.stream(
                "POST", record["webhook"]["url"], content=body, headers=headers,
                follow_redirects=False, timeout=TIMEOUT_SECONDS,
            ) as answer:  # fmt: skip
                code = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            trouble = type(error).__name__
        else:
            if 200 <= code < 300:
                return "delivered", None
            trouble = f"it answered {code}"
            if code == GONE:
                return "failed", trouble
        last = record["webhook"]["attempts"] >= len(RETRY_SECONDS)
        return ("failed" if last else "pending"), trouble


def deliver_forever(store: JobStore, settings: Settings, ended: threading.Event) -> None:
    """Deliver until `ended` is set; Redis may be away."""
    with httpx.Client() as http:
        outbox = Outbox(store, settings, http)
        while not ended.wait(LOOK_SECONDS):
            try:
                outbox.deliver()
            except RedisError as error:
                logger.warning("Redis is away (%s); webhooks wait", error)
            except Exception:
                logger.exception("webhooks could not be delivered")
