"""Decoder processes: whatever a file does to one, it is that file that is refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from library.decoding.identifiers import hashed
from library.decoding.look import age_band
from library.decoding.pool import Answer, Decoders
from library.images import load_grey
from tests.sets import REAL, picture

FILES = sorted(REAL.rglob("*.jpeg"))


def square(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "do": "square", "path": str(path), "resolution": 64, "fit": "pad", "window": "file",
        "mask": {"border": 0.0, "corner": 0.0}, **more,
    }  # fmt: skip


def levels(answer: Answer) -> np.ndarray[Any, Any]:
    return np.frombuffer(answer.blobs[0], np.uint8).reshape(64, 64)


def large(path: Path) -> Path:
    """The largest picture that is allowed: seconds of work, and memory."""
    Image.fromarray(np.zeros((8192, 8192), np.uint16)).save(path, compress_level=1)
    return path


def children() -> Iterator[int]:
    """Decoders of this process."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text()
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if "library.decoding" in command and parent == os.getpid():
            yield int(entry.name)


def test_answers_come_in_the_order_of_the_tasks() -> None:
    with Decoders(2) as decoders:
        answers = list(decoders.map(square(path) for path in FILES * 3))
    assert len(answers) == 72
    for path, answer in zip(FILES * 3, answers, strict=True):
        assert np.array_equal(levels(answer), load_grey(path, 64, "pad"))
    assert not list(children())


def test_a_file_that_has_changed_is_not_decoded() -> None:
    with Decoders(1) as decoders:
        (answer,) = decoders.map([square(FILES[0], sha256="0" * 64)])
    assert answer.blobs == ()
    assert len(answer.facts["sha256"]) == 64


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL])
def test_a_crash_costs_one_file(number: int, tmp_path: Path) -> None:
    slow = large(tmp_path / "slow.png")
    tasks = [square(path) for path in FILES[:3]] + [square(slow, window="range")]
    tasks += [square(path) for path in FILES[3:6]]

    def strike() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for child in children():
                # It has the slow file open, or its pixels in memory: it is at work on it.
                pages = int(Path(f"/proc/{child}/statm").read_text().split()[1])
                if pages * 4096 > 200 * 2**20:
                    os.kill(child, number)
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=strike)
    thread.start()
    with Decoders(1) as decoders:
        answers = list(decoders.map(tasks))
    thread.join()
    refused = [answer.refused for answer in answers]
    assert refused[3] == f"crashes its decoder ({signal.Signals(number).name})"
    assert [*refused[:3], *refused[4:]] == [None] * 6


def test_what_takes_too_long_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it never ends
    with Decoders(1, seconds=2) as decoders:
        answers = list(decoders.map([square(tmp_path / "pipe"), square(FILES[0])]))
    assert answers[0].refused == "takes longer than 2 s to decode"
    assert answers[1].refused is None
    assert not list(children())


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")
def test_what_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    with Decoders(1, memory_mb=500) as decoders:
        answers = list(decoders.map([square(large(tmp_path / "x.png")), square(FILES[0])]))
    assert answers[0].refused == "needs more than 500 MiB of memory to be decoded"
    assert answers[1].refused is None


def test_decoders_end_with_whoever_started_them() -> None:
    program = (
        "import os, signal\n"
        "from library.decoding.pool import Decoders\n"
        "from tests.test_decoding import FILES, square\n"
        "with Decoders(1) as decoders:\n"
        "    next(decoders.map([square(FILES[0])]))\n"
        "    print([*__import__('tests.test_decoding').test_decoding.children()][0], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    child = Path(f"/proc/{int(ended.stdout)}")
    deadline = time.monotonic() + 60
    while child.exists() and "Z" not in (child / "stat").read_text().rpartition(")")[2][:3]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_decoders_see_no_settings_and_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHORAX_WEBHOOK_SECRET", "whsec_x")
    monkeypatch.setenv("PASSWORD", "x")
    with Decoders(1) as decoders:
        next(decoders.map([square(FILES[0])]))
        (child,) = children()
        seen = Path(f"/proc/{child}/environ").read_bytes()
    assert b"SYNTHORAX" not in seen
    assert b"PASSWORD" not in seen


def test_a_disk_that_is_full_is_an_error_and_no_refusal(tmp_path: Path) -> None:
    path = picture(tmp_path / "x.png")
    look = {
        "do": "look", "path": str(path), "window": "file", "fit": "pad", "salt": "00",
        "mask": {"border": 0, "corner": 0}, "store": str(tmp_path / "nowhere" / "x.png"),
    }  # fmt: skip
    with Decoders(1) as decoders, pytest.raises(FileNotFoundError):
        list(decoders.map([look]))


def test_identifiers_cannot_be_told_without_the_salt() -> None:
    assert hashed(b"a", "patient", " 77 ") == hashed(b"a", "patient", "77")
    others = {
        hashed(b"b", "patient", "77"),
        hashed(b"a", "sop", "77"),
        hashed(b"a", "patient", "7"),
    }
    assert len({hashed(b"a", "patient", "77"), *others}) == 4


@pytest.mark.parametrize(
    ("age", "band"),
    [("062Y", "60-69"), ("62", "60-69"), ("006M", "0-9"), ("090Y", "90+"), ("104", "90+"),
     ("9", "0-9"), ("010D", "0-9"), ("x", ""), ("", "")],
)  # fmt: skip
def test_ages_are_bands(age: str, band: str) -> None:
    assert age_band(age) == band
