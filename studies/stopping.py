"""When a unit is to end early: a signal, or under a lifeline the end of stdin or a line on it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable

from library.studies.units import TURN

RESUMABLE = 75  # exit status: what is done is kept, do the unit again to go on
ALONE_SECONDS = 90.0  # without a supervisor, after which whatever hangs is ended


class Stopped(Exception):
    """The unit was told to end before it was done."""


class Stopping:
    """Becomes set once; `check` raises it.  `also`: what else is to be told then.

    signals: which of them set it; a second Ctrl-C is a KeyboardInterrupt.
    turn_over: others wait; end at the next moment at which nothing is lost.
    """

    def __init__(self, lifeline: bool = False, signals: Iterable[signal.Signals] = ()) -> None:
        self._set, self._turn = threading.Event(), threading.Event()
        self._told: list[Callable[[], object]] = []
        for number in signals:
            self._listen_to(number)
        if lifeline:
            threading.Thread(target=self._live_by, args=(0,), daemon=True).start()

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

    def _listen_to(self, number: signal.Signals) -> None:
        def stop(*_: object) -> None:
            if number == signal.SIGINT:  # whoever presses Ctrl-C twice does not want to wait
                signal.signal(number, signal.default_int_handler)
            self.stop()

        signal.signal(number, stop)

    def listen(self, stdin: int) -> None:
        """Take lines until there are no more."""
        said = b""
        while more := os.read(stdin, 4096):
            *lines, said = (said + more).split(b"\n")
            if TURN.encode() in lines:
                self._turn.set()

    @property
    def turn_over(self) -> bool:
        return self._turn.is_set()

    def _live_by(self, stdin: int) -> None:
        self.listen(stdin)
        guard = threading.Timer(ALONE_SECONDS, _end_group)
        guard.daemon = True
        guard.start()
        self.stop()


def _end_group() -> None:
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
