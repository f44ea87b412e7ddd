"""A child's log lines, passed on to this process's stderr, where an operator collects logs.

A child writes into a file, not into a pipe of ours: it outlives us, and a full pipe would stop it.
Only whole JSON lines are passed on.  What else is in the file (a traceback, words of a driver) may
name a file, and stays there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from library import logs

_PART = 2**20  # bytes read at once


class Echo:
    """Follows a log from its end of now.  With SYNTHORAX_LOG=text it does nothing."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._wanted = logs.form() == "json"
        self._at = log.stat().st_size if log.exists() else 0

    def more(self) -> None:
        """Pass on the lines that were finished since the last call."""
        if not self._wanted:
            return
        with open(self._log, "rb") as file:
            file.seek(self._at)
            text = file.read(_PART)
        whole = text[: text.rfind(b"\n") + 1] if len(text) < _PART or b"\n" in text else text
        self._at += len(whole)
        lines = [line.decode() + "\n" for line in whole.splitlines() if _is_ours(line)]
        if lines:
            sys.stderr.write("".join(lines))
            sys.stderr.flush()


def _is_ours(line: bytes) -> bool:
    if not line.startswith(b"{"):
        return False
    try:
        about = json.loads(line)
    except ValueError:
        return False
    return isinstance(about, dict) and {"time", "level", "logger", "message"} <= about.keys()
