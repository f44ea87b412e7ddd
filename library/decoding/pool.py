"""Decoder processes at work: each task is answered, also when its process dies of it."""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from library import cpus

logger = logging.getLogger("synthorax.decoding")

MEMORY_MB = 4096  # of addresses, a process: several times what the largest allowed picture takes
SECONDS = 60.0  # a file
_TOGETHER = 32  # tasks that a process is given at once; their answers come one by one
_PIPE = 32_768  # bytes, half of what a pipe holds
_ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Answer:
    """facts and blobs of a task that was done, or the reason why its file is refused."""

    facts: Mapping[str, Any]
    blobs: tuple[bytes, ...]
    refused: str | None = None


class _Ended(Exception):
    """The process is gone, or does not answer; the message says how."""


class _Process:
    """One decoder process, started when it is first asked."""

    def __init__(self, program: str, memory_mb: int, seconds: float) -> None:
        self._program, self._memory_mb, self._seconds = program, memory_mb, seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = bytearray()

    def run(self, tasks: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Answers in the order of the tasks.  Raises OSError of a disk that takes no more."""
        answers: list[Answer] = []
        while len(answers) < len(tasks):
            try:
                for _ in range(self._send(tasks[len(answers) :])):
                    answers.append(self._receive())
            except _Ended as end:
                # The first task without an answer is the one that it was at.
                self.close()
                logger.warning("a decoder ended: its file %s", end)
                answers.append(Answer({}, (), str(end)))
        return answers

    def _send(self, tasks: Sequence[Mapping[str, Any]]) -> int:
        """Send some tasks, one at least; how many.  All go into the pipe at once: were it full, and
        that of the answers, too, both sides would wait for ever."""
        if self._process is not None and self._process.poll() is not None:
            self.close()  # it ended while it had nothing to do: no file is to blame
        if self._process is None:
            self._process = self._started()
            self._selector = selectors.DefaultSelector()
            assert self._process.stdout is not None
            self._selector.register(self._process.stdout, selectors.EVENT_READ)
        assert self._process.stdin is not None
        try:
            text, count = b"", 0
            for task in tasks:
                line = _written(task)
                if count and len(text) + len(line) > _PIPE:
                    break
                text, count = text + line, count + 1
            self._process.stdin.write(text)
            self._process.stdin.flush()
            return count
        except OSError:
            raise _Ended(self._how()) from None

    def _receive(self) -> Answer:
        deadline = time.monotonic() + self._seconds
        head = json.loads(self._line(deadline))
        blobs = tuple(self._bytes(size, deadline) for size in head["sizes"])
        if "errno" in head:
            raise OSError(head["errno"], os.strerror(head["errno"] or 0), head["at"])
        return Answer(head.get("found", {}), blobs, head.get("refused"))

    def _line(self, deadline: float) -> bytes:
        while (end := self._unread.find(b"\n")) < 0:
            self._more(deadline)
        return self._bytes(end + 1, deadline)

    def _bytes(self, size: int, deadline: float) -> bytes:
        while len(self._unread) < size:
            self._more(deadline)
        found = bytes(self._unread[:size])
        del self._unread[:size]
        return found

    def _more(self, deadline: float) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        if not self._selector.select(max(0.0, deadline - time.monotonic())):
            raise _Ended(f"takes longer than {self._seconds:g} s to decode")
        part = os.read(self._process.stdout.fileno(), 1 << 20)
        if not part:
            raise _Ended(self._how())
        self._unread += part

    def _how(self) -> str:
        assert self._process is not None
        code = self._process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"crashes its decoder ({signal.Signals(-code).name})"
        return f"crashes its decoder (status {code})"

    def _started(self) -> subprocess.Popen[bytes]:
        # No settings, keys or secrets: the process sees hostile bytes.
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": str(_ROOT),
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", self._program]
        command += [str(self._memory_mb), str(self._seconds)]
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def close(self) -> None:
        process, self._process = self._process, None
        self._unread.clear()
        if process is None:
            return
        self._selector.close()
        process.kill()
        with contextlib.suppress(OSError):
            process.communicate()


def _written(task: Mapping[str, Any]) -> bytes:
    """A line; `content`, which is bytes, behind it."""
    content = task.get("content")
    if content is None:
        return json.dumps(task).encode() + b"\n"
    return json.dumps({**task, "content": len(content)}).encode() + b"\n" + bytes(content)


class Decoders:
    """Decoder processes, as many as there are CPUs, started when they are needed; a context
    manager.  `program`: the module that they run, which calls library.decoding.answering."""

    def __init__(
        self,
        processes: int | None = None,
        memory_mb: int = MEMORY_MB,
        seconds: float = SECONDS,
        program: str = "library.decoding",
    ) -> None:
        self._count = processes or cpus.available()
        self._bounds = (program, memory_mb, seconds)
        self._own = threading.local()
        self._all: list[_Process] = []
        self._pool = ThreadPoolExecutor(self._count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        for process in self._all:
            process.close()

    def map(self, tasks: Iterable[Mapping[str, Any]]) -> Iterator[Answer]:
        """Answers in the order of the tasks, which are taken as they are needed.

        A file that ends its decoder, or takes too long, is refused, and the next is read by a new
        process.  Raises OSError of a disk that takes no more.
        """
        waiting: deque[Future[list[Answer]]] = deque()
        left = iter(tasks)
        while True:
            while len(waiting) < 2 * self._count + 1 and (part := list(islice(left, _TOGETHER))):
                waiting.append(self._submit(part))
            if not waiting:
                return
            yield from waiting.popleft().result()

    def one(self, task: Mapping[str, Any]) -> Answer:
        """As `map`, of one task."""
        (answer,) = self._submit([task]).result()
        return answer

    def _submit(self, part: Sequence[Mapping[str, Any]]) -> Future[list[Answer]]:
        # With the ids of request and job, which its thread's lines carry.
        return self._pool.submit(contextvars.copy_context().run, self._run, part)

    def _run(self, tasks: Sequence[Mapping[str, Any]]) -> list[Answer]:
        process: _Process | None = getattr(self._own, "process", None)
        if process is None:
            process = self._own.process = _Process(*self._bounds)
            self._all.append(process)
        return process.run(tasks)
