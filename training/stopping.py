"""When to stop early: SIGTERM, Ctrl-C, or the end of stdin when stdin is a lifeline."""

from __future__ import annotations

import os
import signal
import threading

RESUMABLE = 75  # exit status (EX_TEMPFAIL): a checkpoint is written, run again to go on


class StopRequest:
    """Becomes true once; the loop looks at it between steps."""

    def __init__(self, lifeline: bool) -> None:
        self._requested = threading.Event()
        self.reason = ""
        signal.signal(signal.SIGTERM, lambda *_: self._ask("SIGTERM"))
        signal.signal(signal.SIGINT, lambda *_: self._ask("interrupt"))
        if lifeline:
            threading.Thread(target=self._watch_stdin, daemon=True).start()

    def __bool__(self) -> bool:
        return self._requested.is_set()

    def _ask(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._requested.set()

    def _watch_stdin(self) -> None:
        while os.read(0, 4096):
            pass
        self._ask("the supervisor is gone")
