"""Run folders of two machines over one store: fenced by the attempt, whole or not there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from library.atomic import read_json, write_bytes, write_json
from library.runs import CHECKPOINTS_LISTED, FolderBusy, run_folder
from library.settings import Settings
from library.store.folders import Damaged, files_of
from library.store.runs import Place, Superseded
from library.store.shared import Store, open_store

JOB = "job-0123456789abcdef"


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[str], Store]:
    (tmp_path / "store").mkdir()

    def made(name: str) -> Store:
        store = open_store(Settings(data_dir=tmp_path / name, store=f"file://{tmp_path}/store"))
        assert store is not None
        return store

    return made


def trained(store: Store, step: int, kept: int = 2) -> None:
    """What a trainer would have written by a step."""
    run = run_folder(store.data_dir, JOB)
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    header = json.dumps({"__metadata__": {"counters": json.dumps({"step": step})}}).encode()
    whole = len(header).to_bytes(8, "little") + header + os.urandom(64)
    write_bytes(run.checkpoints / f"{step:010d}.safetensors", whole)
    for old in sorted(run.checkpoints.glob("*"))[:-kept]:
        old.unlink()
    with open(run.metrics, "ab") as file:
        file.write(b'{"step": %d}\n' % step)
    (run.path / "trainer.log").write_text("words")
    run.request.write_text(f'{{"run": "{run.path}"}}')


def content(store: Store) -> dict[str, bytes]:
    local = ("request.json", "trainer.log", "store.json", "lock", CHECKPOINTS_LISTED)
    files = files_of(run_folder(store.data_dir, JOB).path)
    return {name: path.read_bytes() for name, path in files.items() if name not in local}


def test_another_machine_goes_on_with_what_was_pushed(
    machine: Callable[[str], Store], synced: set[int]
) -> None:
    here, there = machine("here"), machine("there")
    here.runs.begin(JOB, 1)
    for step in (1, 2, 3):
        trained(here, step)
        assert here.runs.push(JOB, 1) == Place(1, step)
    was = content(here)
    trained(here, 4)  # and it dies before it can push that
    assert there.runs.bring(JOB) == Place(1, 3)
    brought = run_folder(there.data_dir, JOB).path
    whole = (brought.parent, brought, *brought.rglob("*"))
    assert {path.stat().st_ino for path in whole if path.name != "lock"} <= synced
    assert content(there) == was
    assert set(content(there)) == {
        "checkpoints/0000000002.safetensors", "checkpoints/0000000003.safetensors", "metrics.jsonl"
    }  # fmt: skip
    there.runs.begin(JOB, 2)
    trained(there, 4)
    there.runs.push(JOB, 2)
    # What earlier attempts left is tidied away.
    assert not there.objects.list(f"files/runs/{JOB}/000001/")
    # Where it began, the folder of the first attempt counts no more.
    assert here.runs.bring(JOB) == Place(2, 1)
    assert content(here) == content(there)


def test_a_worker_that_lost_its_lease_changes_nothing(machine: Callable[[str], Store]) -> None:
    here, there = machine("here"), machine("there")
    here.runs.begin(JOB, 1)
    trained(here, 1)
    here.runs.push(JOB, 1)
    there.runs.bring(JOB)
    there.runs.begin(JOB, 2)
    trained(there, 2)
    trained(here, 9)
    # The later attempt has not pushed yet: the earlier one still may, and is then overtaken.
    here.runs.push(JOB, 1)
    there.runs.push(JOB, 2)
    was = content(there)
    trained(here, 10)
    with pytest.raises(Superseded):
        here.runs.push(JOB, 1)
    late = machine("late")
    assert late.runs.bring(JOB) == Place(2, 1)
    assert content(late) == was


def test_a_push_between_two_looks_of_a_later_attempt_is_never_seen(
    machine: Callable[[str], Store],
) -> None:
    """The fence holds even where both push at the same moment."""
    here, there = machine("here"), machine("there")
    for store, attempt in ((here, 1), (there, 2)):
        store.runs.begin(JOB, attempt)
        trained(store, attempt)
    together = threading.Barrier(2)

    def early() -> None:
        together.wait()
        for _ in range(20):
            try:
                here.runs.push(JOB, 1)
            except Superseded:
                return

    thread = threading.Thread(target=early)
    thread.start()
    together.wait()
    for _ in range(5):
        there.runs.push(JOB, 2)
    thread.join()
    late = machine("late")
    place = late.runs.bring(JOB)
    assert place is not None
    assert place.attempt == 2
    assert content(late) == content(there)


def test_the_folder_of_an_attempt_that_ran_here_is_kept(machine: Callable[[str], Store]) -> None:
    here = machine("here")
    here.runs.begin(JOB, 1)
    trained(here, 1)
    here.runs.push(JOB, 1)
    trained(here, 2)  # never pushed: the store was away
    was = content(here)
    here.runs.bring(JOB)
    assert content(here) == was


def test_a_snapshot_holds_what_belongs_together(machine: Callable[[str], Store]) -> None:
    """While the trainer replaces checkpoints, and writes half a line of numbers."""
    here, there = machine("here"), machine("there")
    here.runs.begin(JOB, 1)
    trained(here, 0)
    ended = threading.Event()

    def train() -> None:
        step = 0
        while not ended.is_set():
            step += 1
            run = run_folder(here.data_dir, JOB)
            with open(run.metrics, "ab") as file:
                file.write(b'{"step": %d}\n' % step)
            trained(here, step)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for attempt in range(1, 6):
            here.runs.push(JOB, attempt)
            there.runs.bring(JOB)
            run = run_folder(there.data_dir, JOB)
            steps = [int(path.stem) for path in run.checkpoints.glob("*")]
            measured = [line["step"] for line in run.read_metrics()]
            assert steps
            assert max(steps) <= max(measured, default=0)
    finally:
        ended.set()
        thread.join()


@pytest.mark.parametrize("length", range(27))
def test_numbers_go_in_whole_lines(machine: Callable[[str], Store], length: int) -> None:
    """None, half of the first, one, …: wherever a trainer is in its writing."""
    here, there = machine("here"), machine("there")
    here.runs.begin(JOB, 1)
    trained(here, 1)
    written = b'{"step": 1}\n{"step": 2}\n  '[:length]
    run_folder(here.data_dir, JOB).metrics.write_bytes(written)
    here.runs.push(JOB, 1)
    there.runs.bring(JOB)
    run = run_folder(there.data_dir, JOB)
    assert [line["step"] for line in run.read_metrics()] == [1, 2][: written.count(b"\n")]
    assert run.metrics.read_bytes() == written[: 12 * written.count(b"\n")]


def test_a_damaged_run_is_refused_and_leaves_what_is_here(machine: Callable[[str], Store]) -> None:
    here, there = machine("here"), machine("there")
    here.runs.begin(JOB, 2)
    trained(here, 1)
    here.runs.push(JOB, 2)
    there.runs.begin(JOB, 1)
    trained(there, 7)
    was = content(there)
    blob = next(key for key in here.objects.list(f"files/runs/{JOB}/") if len(key) > 70)
    here.objects.write(blob, b"?")
    with pytest.raises(Damaged, match=blob):
        there.runs.bring(JOB)
    assert content(there) == was


def test_a_folder_in_which_a_trainer_is_at_work_is_left_alone(
    machine: Callable[[str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("library.store.runs.LOCK_SECONDS", 0.1)
    here, there = machine("here"), machine("there")
    here.runs.begin(JOB, 2)
    trained(here, 5)
    here.runs.push(JOB, 2)
    there.runs.begin(JOB, 1)
    trained(there, 1)
    with run_folder(there.data_dir, JOB).lock(), pytest.raises(FolderBusy):
        there.runs.bring(JOB)
    there.runs.bring(JOB)
    assert content(there) == content(here)


def test_what_is_shown_of_a_run_elsewhere(machine: Callable[[str], Store]) -> None:
    here, api = machine("here"), machine("api")
    run = run_folder(api.data_dir, JOB)
    run.path.mkdir(parents=True)
    write_json(run.path / "job.json", {"id": JOB, "status": "queued now"})
    here.runs.begin(JOB, 1)
    trained(here, 1)
    here.runs.push(JOB, 1)
    api.runs.show(JOB)
    assert run.read_metrics() == [{"step": 1}]
    assert not run.checkpoints.exists()
    assert read_json(run.path / "job.json")["status"] == "queued now"  # it is the record's copy
    trained(here, 2)
    here.runs.push(JOB, 1)
    api.runs.show(JOB)
    assert len(run.read_metrics()) == 2
    # A worker on the same disk then has all of it.
    api.runs.bring(JOB)
    assert len(list(run.checkpoints.iterdir())) == 2
    here.remove_run(JOB)
    with pytest.raises(Superseded):
        api.runs.push(JOB, 2)
    api.refresh()
    assert not run.path.exists()
