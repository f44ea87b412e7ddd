"""When to end early: SIGTERM, Ctrl-C, or what the supervisor says by stdin.

Under a lifeline a line `finish` asks for an end after the epoch, and the end of stdin means that
the supervisor is gone.
"""

from __future__ import annotations

import os
import signal
import threading

RESUMABLE = 75  # exit status (EX_TEMPFAIL): a checkpoint is written, run again to go on
FOLDER_BUSY = 76  # exit status: another trainer is still at work in the run folder
ALONE_SECONDS = 60.0  # without a supervisor, after which an unfinished checkpoint is given up


class StopRequest:
    """Becomes true once; the loop looks at it between steps.  `finishing`: after the epoch."""

    def __init__(self, lifeline: bool) -> None:
        self._requested, self._finish = threading.Event(), threading.Event()
        self.reason = ""
        signal.signal(signal.SIGTERM, lambda *_: self._ask("SIGTERM"))
        signal.signal(signal.SIGINT, lambda *_: self._ask("interrupt"))
        if lifeline:
            threading.Thread(target=self._watch_stdin, daemon=True).start()

    def __bool__(self) -> bool:
        return self._requested.is_set()

    @property
    def finishing(self) -> bool:
        return self._finish.is_set()

    def _ask(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._requested.set()

    def _watch_stdin(self) -> None:
        said = b""
        while part := os.read(0, 4096):
            *lines, said = (said + part).split(b"\n")
            if b"finish" in lines:
                self._finish.set()
        self._ask("the supervisor is gone")
        # Whatever hangs (a card, a network disk), no orphan stays behind.
        guard = threading.Timer(ALONE_SECONDS, _end_group)
        guard.daemon = True
        guard.start()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
