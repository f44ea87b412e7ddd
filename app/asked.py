"""A request that is sent again with its Idempotency-Key makes no second piece of work.

For work that is a folder: its id follows from the key, and its record tells what was asked for.
Train jobs and datasets, which Redis knows: app/train_jobs/idempotency.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from app.train_jobs.idempotency import digest_of, used_for_another
from library.errors import NotFound


class Recorded(Protocol):
    """record: `asked` is the digest of the request that it was made of."""

    @property
    def record(self) -> dict[str, Any]: ...


W = TypeVar("W", bound=Recorded)


@dataclass(frozen=True)
class Asked:
    """digest: of the request; identity: of the work; key: that it was sent with."""

    digest: str
    identity: str
    key: str | None

    @classmethod
    def of(cls, request: BaseModel, fresh: str, key: str | None, who: str) -> Asked:
        """fresh: an id that nothing has; with a key, of `who`, what is behind its prefix follows
        from both.  Raises InvalidValue for what is no JSON."""
        digest = digest_of(request.model_dump())
        if key is not None:
            prefix = fresh.partition("-")[0]
            fresh = f"{prefix}-{hashlib.sha256(f'{who} {key}'.encode()).hexdigest()[:16]}"
        return cls(digest, fresh, key)

    def before(self, find: Callable[[str], W]) -> W | None:
        """What an earlier send has made; find: by an id, raises NotFound.  Raises as `same`."""
        if self.key is None:
            return None
        try:
            return self.same(find(self.identity))
        except NotFound:
            return None

    def same(self, work: W) -> W:
        """Raises InvalidValue when the key has made it of another request."""
        if work.record.get("asked") != self.digest:
            assert self.key is not None  # else its id is new
            raise used_for_another(self.key)
        return work
