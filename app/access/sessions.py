"""Sessions of the page: begun with a key, over with it, after twelve hours, or by logging out.

A session is a signed text in a cookie.  Those that were ended are remembered where the key that
signs them lies, by an empty file each: every replica on a data folder knows, with Redis away, too.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

from app.access.signing import Signer
from library.atomic import sync_folder
from library.disk import refusal

SECONDS = 12 * 3600
FOLDER = "sessions-ended"  # below the data folder
_PURPOSE = "page session"


class Sessions:
    """Of a data folder."""

    def __init__(self, data_dir: Path, signer: Signer) -> None:
        self._signer, self._ended = signer, data_dir / FOLDER

    def begin(self, key: str) -> str:
        """The text of a new session of a key."""
        return self._signer.sign(_PURPOSE, {"key": key, "id": secrets.token_hex(16)}, SECONDS)

    def key_of(self, text: str) -> str | None:
        """The id of the key that a session began with; None where it is over or was none."""
        about = self._signer.read(_PURPOSE, text)
        if about is None or (self._ended / about["id"]).exists():
            return None
        key: str = about["key"]
        return key

    def end(self, text: str) -> None:
        """Let nobody in with it any more.  Raises DiskFull, NotWritable."""
        about = self._signer.read(_PURPOSE, text)
        if about is None:
            return
        try:
            self._ended.mkdir(mode=0o700, exist_ok=True)
            self._forget()
            (self._ended / about["id"]).touch(mode=0o600)
            sync_folder(self._ended)
        except OSError as error:
            raise refusal(error, self._ended, "so the session goes on") from error

    def _forget(self) -> None:
        """Those that would be over by now."""
        with os.scandir(self._ended) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # another replica was faster
                    if entry.stat().st_mtime < time.time() - SECONDS:
                        os.unlink(entry.path)
