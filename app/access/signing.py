"""Short texts that this service has signed: who has a session, who may read a job's events."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from library.errors import Unusable

FILE = "signing.key"  # below the data folder; replicas on one data folder share it
_BYTES = 32


class Signer:
    """HMAC-SHA-256 over JSON with an end; the purpose is signed, too."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE
        self._key: bytes | None = None

    def sign(self, purpose: str, about: dict[str, Any], seconds: float) -> str:
        content = json.dumps({**about, "until": time.time() + seconds}, separators=(",", ":"))
        body = _text(content.encode())
        return f"{body}.{_text(self._mac(purpose, body))}"

    def read(self, purpose: str, text: str) -> dict[str, Any] | None:
        """What was signed for this purpose, unless it is another's or its time is over."""
        body, _, mac = text.partition(".")
        try:
            if not hmac.compare_digest(_bytes(mac), self._mac(purpose, body)):
                return None
            about: dict[str, Any] = json.loads(_bytes(body))
        except (binascii.Error, ValueError):
            return None
        return about if about["until"] > time.time() else None

    def _mac(self, purpose: str, body: str) -> bytes:
        if self._key is None:
            self._key = self._made()
        return hmac.digest(self._key, f"{purpose}\n{body}".encode(), "sha256")

    def _made(self) -> bytes:
        """The key on the disk, made by whoever comes first: linked into place whole."""
        try:
            found = self._path.read_bytes()
        except FileNotFoundError:
            mine = self._path.with_name(f".{FILE}.{secrets.token_hex(4)}.tmp")
            handle = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:
                file.write(secrets.token_bytes(_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(mine, self._path)
            except FileExistsError:
                pass
            finally:
                mine.unlink()
            found = self._path.read_bytes()
        if len(found) != _BYTES:
            raise Unusable(
                f"{str(self._path)!r} has {len(found)} bytes instead of {_BYTES}.",
                remedy="Remove it: a new one is made, and all sessions end.",
            )
        return found


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
