"""Files for POST /verify: decoded in a process of their own, so many bytes at once."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from starlette.requests import Request
from starlette.types import Message

from app.verify import pictures as module
from app.verify.pictures import Pictures
from app.verify.reading import read
from library.errors import Busy, InvalidValue
from tests.test_verify_reading import NAMES, file_of, noise, told


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    found = Pictures()
    yield found
    found.close()


def decoders() -> Iterator[Path]:
    """Those of this process, in /proc."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"app.verify.decoder" in command and parent == os.getpid():
            yield entry


def test_files_are_read_elsewhere_as_they_would_be_here(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHORAX_WEBHOOK_SECRET", "whsec_x")
    assert not list(decoders())  # before the first file

    async def compare() -> None:
        for name in NAMES:
            content = file_of(name, noise(9, 7))
            here = read(content)
            for sent in (False, True):
                there = await pictures.read(base64.b64encode(content) if sent else content, sent)
                assert np.array_equal(there.levels, here.levels)
                assert there.facts is not None
                assert there.facts.items() <= (here.facts or {}).items()
                assert {"version_digest", "seed", "label", "truncation"} <= there.facts.keys()
                assert there.lossy == here.lossy
        nested = await pictures.read(told(b'{"seed": [[[]]], "more": {}, "label": "A"}'))
        assert nested.facts == {"seed": [], "label": "A"}
        (decoder,) = decoders()
        assert b"SYNTHORAX" not in (decoder / "environ").read_bytes()
        for wrong, is_base64, words in (
            (b"no picture", False, "no PNG, JPEG, WebP or DICOM"),
            (b"####", True, "no base64"),
        ):
            with pytest.raises(InvalidValue, match=words) as refused:
                await pictures.read(wrong, is_base64)
            assert refused.value.field == "image"

    asyncio.run(compare())
    pictures.close()
    assert not list(decoders())


def test_what_takes_too_long_is_refused_and_who_waits_too_long_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 1e-3)  # less than a decoder takes to start
    pictures = Pictures()

    async def ask() -> None:
        with pytest.raises(InvalidValue, match=r"The image takes longer than 0.001 s to decode"):
            await pictures.read(file_of("png", noise(9, 7)))
        for _ in range(module._PROCESSES):
            await pictures._free.acquire()
        with pytest.raises(Busy):
            await pictures.read(b"")

    asyncio.run(ask())
    pictures.close()


def test_bodies_are_bounded_together(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELD_MAX", 100)

    def body(size: int) -> Request:
        parts = [bytes(10)] * (size // 10)

        async def receive() -> Message:
            part = parts.pop()
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        return Request({"type": "http", "method": "POST", "headers": []}, receive)

    async def ask() -> None:
        async with pictures.received(body(60)) as first:
            assert len(first) == 60
            with pytest.raises(Busy):
                async with pictures.received(body(50)):
                    raise AssertionError("there was no room")
            async with pictures.received(body(40)) as second:
                assert len(second) == 40
        async with pictures.received(body(100)) as alone:
            assert len(alone) == 100

    asyncio.run(ask())


def test_a_decoder_that_ended_while_idle_is_no_fault_of_the_next_file(pictures: Pictures) -> None:
    content = file_of(NAMES[0], noise(9, 7))

    async def twice() -> None:
        first = await pictures.read(content)
        killed = list(decoders())
        for entry in killed:
            os.kill(int(entry.name), signal.SIGKILL)
        assert killed
        for entry in killed:
            os.waitid(os.P_PID, int(entry.name), os.WEXITED | os.WNOWAIT)
        again = await pictures.read(content)
        assert np.array_equal(again.levels, first.levels)

    asyncio.run(twice())


IDLE = """
from library.decoding import answering

answering.GRACE = 0
answering.answer(lambda task: (task, ()))
"""


def test_a_decoder_may_be_idle_for_longer_than_a_file_may_take() -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", IDLE, "2048", "1"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write('{"a": 1}\n')
            process.stdin.flush()
            assert '"a": 1' in process.stdout.readline()
            time.sleep(1.3)
        process.stdin.close()
    assert process.returncode == 0
