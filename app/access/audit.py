"""Who changed what and who was refused: one durable line each, below the data folder."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from app.access.callers import Caller
from library.atomic import append_json
from library.disk import DiskFull, refusal
from library.logs import request_id

logger = logging.getLogger("synthorax.app")

FILE = "audit.jsonl"
_SAFE = ("GET", "HEAD", "OPTIONS")
_MANY = ("/generate", "/verify")  # change nothing, and there are thousands of them


class Audit:
    """Lines name keys by their ids; no secret, no image and no body is in them."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE

    @staticmethod
    def wants(method: str, path: str) -> bool:
        """Whether a request is written down: what may change something."""
        return method not in _SAFE and path not in _MANY

    def asked(self, caller: Caller, method: str, path: str) -> None:
        """Before it is done.  Raises DiskFull, NotWritable: then nothing is done.

        But on a full disk what makes room is done, and told in the service's log instead.
        """
        about = _about(caller, method, path)
        try:
            self._line(about)
        except OSError as error:
            problem = refusal(error, self._path, "so nothing is changed")
            if method != "DELETE" or not isinstance(problem, DiskFull):
                raise problem from error
            self._not_written(about, error)

    def answered(self, caller: Caller | None, status: int) -> None:
        """How the request that was asked ended."""
        self._try({"key": (caller and caller.key) or None, "status": status})

    def done(self, caller: Caller, method: str, path: str, status: int) -> None:
        """In one line what was done by somebody who was not known before."""
        self._try({**_about(caller, method, path), "status": status})

    def forbidden(self, key: str, address: str, method: str, path: str) -> None:
        """A key asked for more than its scope."""
        about = {"key": key, "address": address, "method": method, "path": path[:500]}
        self._try({**about, "status": 403})

    def refused(self, address: str, method: str, path: str, count: int) -> None:
        """`count` wrong keys of an address since its last line."""
        about = {"address": address, "method": method, "path": path[:500], "status": 401}
        self._try({**about, "wrong_keys": count})

    def _try(self, about: dict[str, Any]) -> None:
        """What is so already: a disk that is full changes nothing of it."""
        try:
            self._line(about)
        except OSError as error:
            self._not_written(about, error)

    def _line(self, about: dict[str, Any]) -> None:
        append_json(self._path, {"time": time.time(), "request": request_id.get(), **about})

    def _not_written(self, about: dict[str, Any], error: OSError) -> None:
        logger.error("%s cannot be written (%s): %s", FILE, error.strerror, json.dumps(about))


def _about(caller: Caller, method: str, path: str) -> dict[str, Any]:
    return {
        "key": caller.key or None,
        "name": caller.name or None,
        "by": caller.by,
        "address": caller.address,
        "method": method,
        "path": path[:500],
    }
