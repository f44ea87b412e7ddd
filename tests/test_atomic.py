"""Writes that happened or did not, also when the writer is killed or another takes the name."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from library import atomic
from library.atomic import append_json, claim, new_folder, read_json, write_bytes, write_json

ROOT = Path(__file__).parent.parent

KILLED_BEFORE_RENAME = """
import os, signal, sys
from pathlib import Path
from library.atomic import write_bytes

os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(Path(sys.argv[1]), b"new" * 1000)
"""

WRITES_FOREVER = """
import sys
from pathlib import Path
from library.atomic import write_bytes

print("ready", flush=True)
while True:
    for letter in (b"a", b"b"):
        write_bytes(Path(sys.argv[1]), letter * 300_000)
"""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_bytes(path, b"a long first content")
    write_bytes(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=40)
@given(content=json_values)
def test_json_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, content: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "x.json"
    write_json(path, content)
    assert read_json(path) == content


def test_a_name_that_is_not_utf8_is_kept_in_json(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_json(tmp_path / "x.json", {"file": name})
    assert os.fsencode(read_json(tmp_path / "x.json")["file"]) == b"caf\xe9.png"
    assert json.loads((tmp_path / "x.json").read_bytes()) == {"file": name}


@pytest.mark.parametrize("old", [None, b"old"])
def test_a_writer_killed_before_the_rename_changes_nothing(
    old: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    if old is not None:
        path.write_bytes(old)
    command = [sys.executable, "-c", KILLED_BEFORE_RENAME, str(path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == old
    assert len(list(tmp_path.glob(".x.*.tmp"))) == 1  # it was killed after it had written
    write_bytes(path, b"next")
    assert path.read_bytes() == b"next"


def test_a_reader_sees_one_content_or_the_other_and_a_kill_leaves_one(tmp_path: Path) -> None:
    path = tmp_path / "x"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOREVER, str(path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        seen: set[bytes] = set()
        reads = 0
        deadline = time.monotonic() + 30
        while (reads < 200 or len(seen) < 2) and time.monotonic() < deadline:
            if path.exists():
                seen.add(path.read_bytes())
                reads += 1
        writer.kill()
    assert seen == {b"a" * 300_000, b"b" * 300_000}
    assert path.read_bytes() in seen


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "folder"
    target.mkdir()
    (target / "kept").write_bytes(b"kept")
    with pytest.raises(OSError, match="folder"):  # a file cannot replace a folder
        write_bytes(target, b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (target / "kept").read_bytes() == b"kept"


def short_writes(monkeypatch: pytest.MonkeyPatch, room: float = float("inf")) -> None:
    """A disk that takes three bytes at once, and after `room` of them no more."""
    write, taken = os.write, 0

    def some(handle: int, content: bytes) -> int:
        nonlocal taken
        part = content[: int(min(3, room - taken))]
        if not part:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken += len(part)
        return write(handle, part)

    monkeypatch.setattr(os, "write", some)


def lines_of(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_line_that_is_taken_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    short_writes(monkeypatch)

    def append(who: int) -> None:
        for number in range(20):
            append_json(path, {"who": who, "number": number})

    threads = [threading.Thread(target=append, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [line["number"] for line in lines_of(path) if isinstance(line, dict)]
    assert sorted(found) == sorted([*range(20)] * 4)
    assert path.stat().st_mode & 0o777 == 0o600


def test_of_a_line_that_the_disk_has_no_room_for_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.jsonl"
    append_json(path, {"n": 1})
    with monkeypatch.context() as full:
        short_writes(full, room=5)
        with pytest.raises(OSError, match="space") as raised:
            append_json(path, {"n": 2})
        assert raised.value.errno == errno.ENOSPC
        assert lines_of(path) == [{"n": 1}]
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda *_: 0)
        with pytest.raises(OSError, match="space"):
            append_json(path, {"n": 3})
    append_json(path, {"n": 4})
    assert lines_of(path) == [{"n": 1}, {"n": 4}]


def test_a_line_that_a_machine_went_down_in_swallows_none(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"n": 1}\n{"n": ')
    append_json(path, {"n": 2})
    assert path.read_bytes() == b'{"n": 1}\n{"n": \n{"n": 2}\n'


def test_the_name_of_a_new_log_is_on_the_disk_with_its_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(atomic, "sync_folder", synced.append)
    for number in range(3):
        append_json(tmp_path / "log.jsonl", number)
    assert synced == [tmp_path]


def test_a_new_folder_is_private_and_vanishes_unless_it_is_claimed(tmp_path: Path) -> None:
    parent = tmp_path / "deep" / "parent"
    with new_folder(parent) as folder:
        (folder / "x").write_bytes(b"x")
        assert folder.parent == parent
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(parent.iterdir()) == []
    with new_folder(parent) as folder:
        (folder / "x").write_bytes(b"x")
        assert claim(folder, parent / "1")
    assert [path.name for path in parent.iterdir()] == ["1"]


def test_a_new_folder_vanishes_when_its_block_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with new_folder(tmp_path) as folder:
            (folder / "x").write_bytes(b"x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_is_claimed_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, synced = os.fsync, set[int]()

    def fsync(handle: int) -> None:
        synced.add(os.fstat(handle).st_ino)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with new_folder(tmp_path) as folder:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "x").write_bytes(b"x")
        (folder / "deep" / "dangling").symlink_to("nowhere")
        assert claim(folder, tmp_path / "1")
    there = [tmp_path / "1" / name for name in (".", "deep", "deep/er", "deep/x")]
    assert {path.stat().st_ino for path in (tmp_path, *there)} <= synced


def test_a_claim_does_not_touch_what_has_the_name(tmp_path: Path) -> None:
    taken = tmp_path / "1"
    taken.mkdir()
    (taken / "x").write_bytes(b"first")
    with new_folder(tmp_path) as folder:
        (folder / "x").write_bytes(b"second")
        assert not claim(folder, taken)
        assert (folder / "x").read_bytes() == b"second"  # the caller may claim another name
    assert (taken / "x").read_bytes() == b"first"


def test_a_claim_into_a_missing_parent_is_an_error(tmp_path: Path) -> None:
    with new_folder(tmp_path) as folder, pytest.raises(FileNotFoundError):
        claim(folder, tmp_path / "nowhere" / "1")


def test_of_many_claims_at_once_exactly_one_wins(tmp_path: Path) -> None:
    for round_ in range(10):
        final, count = tmp_path / str(round_), 8
        start = threading.Barrier(count)
        winners: list[int] = []

        def race(number: int, final: Path = final, start: threading.Barrier = start,
                 winners: list[int] = winners) -> None:  # fmt: skip
            with new_folder(tmp_path) as folder:
                (folder / "owner").write_text(str(number))
                start.wait()
                if claim(folder, final):
                    winners.append(number)

        threads = [threading.Thread(target=race, args=(i,)) for i in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(winners) == 1
        assert (final / "owner").read_text() == str(winners[0])
    assert len(list(tmp_path.iterdir())) == 10


def test_a_folder_that_a_killed_process_left_goes_with_the_next_of_its_owner(
    tmp_path: Path,
) -> None:
    left, others = (tmp_path / f".{owner}.0123.tmp" for owner in ("job-1", "job-2"))
    for folder in (left, others):
        folder.mkdir()
    with new_folder(tmp_path, "job-1") as folder:
        assert folder.is_dir()
        assert not left.exists()
    assert [path.name for path in tmp_path.iterdir()] == [others.name]
