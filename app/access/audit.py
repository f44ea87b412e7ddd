"""Who changed what and who was refused: one durable line each, below the data folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from app.access.callers import Caller
from library.atomic import append_json
from library.logs import request_id

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
        """Before it is done."""
        self._line(
            {
                "key": caller.key or None,
                "name": caller.name or None,
                "by": caller.by,
                "address": caller.address,
                "method": method,
                "path": path[:500],
            }
        )

    def answered(self, caller: Caller | None, status: int) -> None:
        """How the request that was asked ended; a login has made its caller known."""
        self._line({"key": (caller and caller.key) or None, "status": status})

    def forbidden(self, key: str, address: str, method: str, path: str) -> None:
        """A key asked for more than its scope."""
        about = {"key": key, "address": address, "method": method, "path": path[:500]}
        self._line({**about, "status": 403})

    def refused(self, address: str, method: str, path: str, count: int) -> None:
        """`count` wrong keys of an address since its last line."""
        about = {"address": address, "method": method, "path": path[:500], "status": 401}
        self._line({**about, "wrong_keys": count})

    def _line(self, about: dict[str, Any]) -> None:
        append_json(self._path, {"time": time.time(), "request": request_id.get(), **about})
