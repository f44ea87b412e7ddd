"""Idempotency keys: a request that is sent again makes no second job.

The first request with a key reserves it, with the id that its job will have; the record is made
together with the note that it was.  Whoever is killed in between, the same key makes that same job.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from library.digest import digest_json
from library.errors import Conflict, InvalidValue
from worker import keys
from worker.jobs import new_id


@dataclass(frozen=True)
class Reservation:
    """The job of a key, and the key's value once that job is recorded."""

    key: str
    job: str
    value: str

    @property
    def pair(self) -> tuple[str, str]:
        return self.key, self.value


def digest_of(body: Any) -> str:
    """By which a request is known for the same.  Raises InvalidValue naming a number that JSON does
    not have, and Python reads nevertheless."""
    waiting = [("", body)]
    while waiting:
        at, value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            remedy = "Give a number: JSON has neither NaN nor infinity."
            raise InvalidValue(f"{at} is {value!r}.", field=at, value=value, remedy=remedy)
        if isinstance(value, Mapping | list | tuple):
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(f"{at}.{name}".removeprefix("."), part) for name, part in parts]
    return digest_json(body)


def used_for_another(key: str) -> InvalidValue:
    """The refusal of a key that has made the job of another request."""
    return InvalidValue(
        f"The Idempotency-Key {key!r} was used for another request.",
        field="Idempotency-Key",
        value=key,
        remedy="Use a new key for each job; the same key repeats the same request alone.",
    )


class Idempotency:
    """One request of `who` with its key.  Methods raise redis.exceptions.RedisError.

    Raises InvalidValue as `digest_of`.
    """

    def __init__(self, connection: redis.Redis, key: str, who: str, path: str, body: Any) -> None:
        self._redis: Any = connection  # typed loosely: redis-py's answers are unions
        self._given = key
        self._key = keys.idempotency(digest_json([path, who, key]))
        self._digest = digest_of(body)

    def made(self) -> str | None:
        """The job that this request has made before.

        Raises InvalidValue when the key was used for another request.
        """
        text = self._redis.get(self._key)
        if text is None:
            return None
        value = self._checked(text)
        return str(value["job"]) if value["made"] else None

    def reserve(self) -> Reservation:
        """The id that this request's job has, whichever of several sends comes first.

        Raises InvalidValue as `made` does.
        """
        reserved = json.dumps({"digest": self._digest, "job": new_id(), "made": False})
        life = keys.IDEMPOTENCY_SECONDS
        if not self._redis.set(self._key, reserved, nx=True, ex=life):
            reserved = self._redis.get(self._key) or reserved
        value = self._checked(reserved)
        return Reservation(self._key, value["job"], json.dumps({**value, "made": True}))

    def _checked(self, text: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(text)
        if value["digest"] != self._digest:
            raise used_for_another(self._given)
        return value

    def deleted(self, job: str) -> Conflict:
        return Conflict(
            f"The Idempotency-Key {self._given!r} made {job!r}, which has been deleted.",
            field="Idempotency-Key",
            value=self._given,
            remedy="Use a new key for a new job.",
        )
