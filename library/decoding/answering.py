"""One decoder: tasks as JSON lines on stdin, some with bytes behind them; answers on stdout.

Ends with its stdin.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

from library.picture import Refused

GRACE = 10  # seconds more than whoever asks waits
Blobs = Sequence[bytes]
Run = Callable[[dict[str, Any]], tuple[dict[str, Any], Blobs]]


def answer(run: Run) -> None:
    """Answer each task by what `run` makes of it: facts as JSON, and bytes.

    It raises Refused, OSError, MemoryError.
    """
    memory_mb, seconds = int(sys.argv[1]), float(sys.argv[2])
    _confine(memory_mb)
    tasks, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a decoder's C library prints must not end up among the answers
    for line in tasks:
        # Whoever asks kills a decoder that takes too long; this ends one whose asker is gone.
        signal.alarm(int(seconds) + GRACE)
        try:
            task = json.loads(line)
            if "content" in task:
                task["content"] = tasks.read(task["content"])
            found, blobs = run(task)
            _answer(answers, {"found": found}, blobs)
        except Refused as error:
            _answer(answers, {"refused": str(error)})
        except MemoryError:
            reason = f"needs more than {memory_mb} MiB of memory to be decoded"
            _answer(answers, {"refused": reason})
        except OSError as error:
            # Of the place where the picture is kept: reading errors are Refused.
            _answer(answers, {"errno": error.errno, "at": error.filename})
        signal.alarm(0)  # the next task may be hours away


def _answer(out: BinaryIO, head: dict[str, Any], blobs: Blobs = ()) -> None:
    head["sizes"] = [len(blob) for blob in blobs]
    out.write(json.dumps(head).encode() + b"\n")
    for blob in blobs:
        out.write(blob)
    out.flush()


def _confine(memory_mb: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # macOS takes the call and bounds nothing
        with contextlib.suppress(ValueError, OSError):  # a stricter bound is set already
            size = memory_mb * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (size, size))
