"""Withdrawals that a process was killed in are finished here, where nobody waits for them."""

from __future__ import annotations

import logging
import threading
import time

from library.datasets.withdrawal import finish, pending
from library.settings import Settings

logger = logging.getLogger("synthorax.worker")

AGAIN_SECONDS = 60.0  # after one that failed, of a full disk for example


class WithdrawalSweeper:
    """`sweep` never waits: one that is going on in the API has its lock, and may take minutes."""

    def __init__(self, settings: Settings) -> None:
        self._data_dir = settings.data_dir
        self._thread: threading.Thread | None = None
        self._next = 0.0

    def sweep(self) -> None:
        busy = self._thread is not None and self._thread.is_alive()
        if busy or time.monotonic() < self._next or not pending(self._data_dir):
            return
        self._thread = threading.Thread(target=self._finish, name="withdrawals", daemon=True)
        self._thread.start()

    def _finish(self) -> None:
        try:
            for receipt in finish(self._data_dir):
                logger.warning("the withdrawal %s was left behind and is done", receipt["id"])
        except Exception:
            self._next = time.monotonic() + AGAIN_SECONDS
            logger.exception("a withdrawal could not be finished")
