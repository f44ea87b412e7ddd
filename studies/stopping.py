"""When a unit is to end early: SIGTERM, or the end of stdin under a lifeline."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

RESUMABLE = 75  # exit status: what is done is kept, do the unit again to go on
ALONE_SECONDS = 90.0  # without a supervisor, after which whatever hangs is ended


class Stopped(Exception):
    """The unit was told to end before it was done."""


class Stopping:
    """Becomes set once; `check` raises it.  `also`: what else is to be told then."""

    def __init__(self, lifeline: bool = False) -> None:
        self._set = threading.Event()
        self._told: list[Callable[[], object]] = []
        if lifeline:
            signal.signal(signal.SIGTERM, lambda *_: self.stop())
            threading.Thread(target=self._watch_stdin, daemon=True).start()

    def also(self, action: Callable[[], object]) -> None:
        self._told.append(action)
        if self._set.is_set():
            action()

    def stop(self) -> None:
        self._set.set()
        for action in self._told:
            with contextlib.suppress(OSError):  # it has ended
                action()

    def check(self) -> None:
        if self._set.is_set():
            raise Stopped

    def _watch_stdin(self) -> None:
        while os.read(0, 4096):
            pass
        guard = threading.Timer(ALONE_SECONDS, _end_group)
        guard.daemon = True
        guard.start()
        self.stop()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
