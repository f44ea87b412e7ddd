"""Datasets, reports and withdrawals of two machines over one store."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest

from library import generate_jobs
from library.atomic import read_json, write_json
from library.datasets.choices import resolve
from library.datasets.opened import Opened
from library.datasets.records import (
    begin_upload,
    change_record,
    commit,
    folder_of,
    read_record,
    upload_of,
)
from library.datasets.tracing import by_patient
from library.datasets.validation import validate
from library.datasets.withdrawal import receipts, withdraw, withdrawn_files
from library.digest import digest_file
from library.errors import NotFound
from library.reports import begin_report, change_report, find_report, reports_root
from library.runs import run_folder
from library.settings import Settings
from library.store.folders import Damaged, files_of
from library.store.objects import FolderObjects, Missing, StoreAway
from library.store.shared import Store, open_store
from library.versions import Version
from tests.sets import packed, picture

ID = "ds-0123456789ab"
Machine = Callable[[str], Store]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "store").mkdir()

    def made(name: str) -> Store:
        store = open_store(Settings(data_dir=tmp_path / name, store=f"file://{tmp_path}/store"))
        assert store is not None
        return store

    return made


def _generated(store: Store, job: str) -> Path:
    """A shard that a version of this run has made; the version is retired."""
    digest = "cd" * 32
    retired = store.data_dir / "models" / "mine" / "1"
    retired.mkdir(parents=True)
    write_json(retired / "model.json", {"digest": digest, "job": job})
    write_json(retired / "retired.json", {"reason": "old", "digest": digest})
    write_json(run_folder(store.data_dir, job).published, {"digest": digest})
    store.runs.push(job, 1)
    record = {
        "created_at": generate_jobs.now(), "model": "mine@1", "digest": digest, "count": 1,
        "shard_images": 1, "seed": 0, "container": "zip",
    }  # fmt: skip
    made, _ = generate_jobs.create(store.data_dir, generate_jobs.new_identity(), record)
    made.shard(0).write_bytes(b"images")
    shard = {"file": made.shard(0).name, "sha256": digest_file(made.shard(0))}
    store.generated.give(made)
    store.generated.put(made, 0, shard)
    write_json(made.shard_record(0), shard)
    return store.generated.bring(made, 0, shard["sha256"])


def received(store: Store, folder: Path) -> None:
    """As the API takes an archive in."""
    for i in range(12):
        picture(folder / "AB"[i % 2] / f"person{i % 6}_virus_{i}.png", i)
    archive = upload_of(store.data_dir, ID)
    archive.parent.mkdir(parents=True)
    packed(folder, archive)
    begin_upload(store.data_dir, ID, resolve({}), "up")
    store.datasets.push(ID, new=True)


def validated(store: Store) -> None:
    """As the light worker does it."""
    store.datasets.bring(ID)
    folder, upload = folder_of(store.data_dir, ID), upload_of(store.data_dir, ID)
    commit(store.data_dir, ID, validate(folder, upload, resolve({})))
    store.datasets.push(ID)


def test_a_dataset_is_received_validated_and_read_on_three_machines(
    machine: Machine, tmp_path: Path, synced: set[int]
) -> None:
    api, light, trainer = machine("api"), machine("light"), machine("trainer")
    received(api, tmp_path / "set")
    validated(light)
    api.refresh()
    assert read_record(api.data_dir, ID)["status"] == "ready"
    assert not upload_of(api.data_dir, ID).exists()  # what was withdrawn must not stay in it
    trainer.datasets.bring(ID)
    brought = folder_of(trainer.data_dir, ID)
    assert {path.stat().st_ino for path in (brought, *brought.rglob("*"))} <= synced
    with (
        Opened(trainer.data_dir, read_record(trainer.data_dir, ID)) as there,
        Opened(light.data_dir, read_record(light.data_dir, ID)) as here,
    ):
        assert there.manifest() == here.manifest()
        assert all(file.location.is_file() for file in there.files(None))
    # A dozen pictures are one object, and none is named after a file.
    assert len(api.objects.list(f"files/datasets/{ID}/")) == 2


def test_the_newer_record_counts_wherever_it_comes_from(machine: Machine, tmp_path: Path) -> None:
    api, light = machine("api"), machine("light")
    received(api, tmp_path / "set")
    light.refresh()
    for name in ("one", "two"):
        change_record(light.data_dir, ID, {"name": name})
        light.datasets.push(ID, folder=False)
    api.refresh()
    assert read_record(api.data_dir, ID)["name"] == "two"
    change_record(light.data_dir, ID, {"name": "not yet pushed"})
    light.refresh()
    assert read_record(light.data_dir, ID)["name"] == "not yet pushed"
    light.datasets.push(ID, folder=False)
    api.datasets.push(ID, folder=False)  # an older one does not take its place
    late = machine("late")
    late.refresh()
    assert read_record(late.data_dir, ID)["name"] == "not yet pushed"


def test_two_pushes_at_once_leave_a_whole_dataset(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an API that withdraws, and of its light worker, that finishes what was begun."""
    api, trainer = machine("api"), machine("trainer")
    received(api, tmp_path / "set")
    validated(api)
    light = Store(FolderObjects(tmp_path / "store"), api.data_dir)
    other = threading.Thread(target=api.datasets.push, args=(ID,))

    def write(key: str, content: bytes) -> None:
        if other.ident is None:  # just before the new folder is named
            other.start()
            other.join(0.5)
        FolderObjects.write(cast(FolderObjects, light.objects), key, content)

    monkeypatch.setattr(light.objects, "write", write)
    light.datasets.push(ID)
    other.join()
    trainer.datasets.bring(ID)
    assert len(list(folder_of(trainer.data_dir, ID).glob("c-*"))) == 1


def test_one_that_was_killed_while_it_brought_leaves_no_picture(
    machine: Machine, tmp_path: Path
) -> None:
    api, trainer = machine("api"), machine("trainer")
    received(api, tmp_path / "set")
    validated(api)
    left = folder_of(trainer.data_dir, ID).with_name(f".{ID}.0123456789ab.tmp")
    (left / "c-1").mkdir(parents=True)
    trainer.datasets.bring(ID)
    assert not left.exists()


def test_what_is_deleted_is_not_put_back_by_who_is_late(machine: Machine, tmp_path: Path) -> None:
    api, light = machine("api"), machine("light")
    received(api, tmp_path / "set")
    light.datasets.bring(ID)
    api.datasets.remove(ID)
    with pytest.raises(Missing):
        light.datasets.push(ID)
    light.refresh(give=True)
    with pytest.raises(NotFound):
        read_record(light.data_dir, ID)
    assert not folder_of(light.data_dir, ID).exists()
    assert not [key for key in api.objects.list("files/") if ID in key]
    # The same archive may be sent again.
    shutil.rmtree(folder_of(api.data_dir, ID))
    received(api, tmp_path / "set")
    light.refresh(give=True)
    validated(light)
    assert read_record(light.data_dir, ID)["status"] == "ready"


def test_a_damaged_dataset_is_not_trained_on(machine: Machine, tmp_path: Path) -> None:
    api, trainer = machine("api"), machine("trainer")
    received(api, tmp_path / "set")
    validated(api)
    pack = max(api.objects.list(f"files/datasets/{ID}/"), key=len)
    content = api.objects.read(pack)
    api.objects.write(pack, content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(Damaged, match=pack):
        trainer.datasets.bring(ID)
    assert not list(folder_of(trainer.data_dir, ID).glob("c-*"))


def test_a_report_made_on_one_machine_is_read_on_the_other(machine: Machine) -> None:
    light, api = machine("light"), machine("api")
    digest = "ab" * 32
    version = Version("tiny", 1, Path("none"), {"digest": digest})
    record = begin_report(api.data_dir, version, {"dataset": None, "count": 200, "seed": 0})
    name = f"{digest}/{record['id']}"
    api.reports.push(name, new=True)
    light.refresh()
    folder = reports_root(light.data_dir) / name
    folder.mkdir()
    write_json(folder / "report.json", {"id": record["id"]})
    change_report(light.data_dir, digest, str(record["id"]), {"status": "complete"})
    light.reports.push(name)
    api.refresh()
    api.reports.bring(name)
    _, found = find_report(api.data_dir, digest, "latest", bundled=None)
    assert read_json(found / "report.json") == {"id": record["id"]}
    light.reports.remove(name)
    api.refresh()
    assert not found.exists()


def test_a_withdrawal_reaches_every_machine_and_the_store(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api, worker = machine("api"), machine("worker")
    received(api, tmp_path / "set")
    validated(worker)
    job = "job-1"
    run = run_folder(worker.data_dir, job)
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "0000000001.safetensors").write_bytes(b"\0" * 64)
    with Opened(worker.data_dir, read_record(worker.data_dir, ID)) as opened:
        files = {file.path: [file.label, file.sha256] for file in opened.files(None)}
    write_json(run.files, files)
    worker.runs.begin(job, 1)
    worker.runs.push(job, 1)
    shard = _generated(worker, job)
    before = set(worker.objects.list("files/"))

    api.refresh()
    api.withdrawals.gather()
    found = by_patient(api.data_dir, "person3")
    receipt = withdraw(api.data_dir, found)
    assert receipt["runs"] == (job,) or receipt["runs"] == [job]
    with monkeypatch.context() as patch:  # the store goes away at this moment
        patch.setattr(api.runs, "strip", _away)
        with pytest.raises(StoreAway):
            api.withdrawals.push(receipt)
    api.refresh(give=True)  # as the light worker's looks do

    gone = {digest for each in found for digest in each.digests}
    worker.refresh()
    assert not run.checkpoints.exists()
    assert withdrawn_files(worker.data_dir) == gone
    assert [each["id"] for each in receipts(worker.data_dir)] == [receipt["id"]]
    worker.datasets.bring(ID)
    with Opened(worker.data_dir, read_record(worker.data_dir, ID)) as opened:
        assert len(list(opened.files(None))) == 10
        assert not {file.sha256 for file in opened.files(None)} & gone
    # Nothing that held them is left in the store: what lies there is what is there now.
    after = set(worker.objects.list("files/"))
    assert not {key for key in before & after if "/datasets/" in key}
    assert not [key for key in after if "checkpoints" in key]
    assert list(receipt["generated"]) == [shard.parent.parent.name]
    assert not shard.exists()
    assert not [key for key in (*after, *worker.objects.list("state/generated/")) if "gj-" in key]
    late = machine("late")
    late.refresh()
    late.runs.bring(job)
    assert "files.json" in files_of(run_folder(late.data_dir, job).path)
    assert not run_folder(late.data_dir, job).checkpoints.exists()


def test_a_dataset_that_was_written_elsewhere_meanwhile_forgets_too(
    machine: Machine, tmp_path: Path
) -> None:
    api, worker = machine("api"), machine("worker")
    received(api, tmp_path / "set")
    validated(worker)
    api.refresh()
    api.withdrawals.gather()
    receipt = withdraw(api.data_dir, by_patient(api.data_dir, "person3"))
    change_record(worker.data_dir, ID, {"name": "new"})  # its images are those of before
    worker.datasets.push(ID)
    api.withdrawals.push(receipt)

    late = machine("late")
    late.refresh()
    late.datasets.bring(ID)
    record = read_record(late.data_dir, ID)
    assert (record["name"], record["images"]) == ("new", 10)
    with Opened(late.data_dir, record) as opened:
        shown = {file.sha256 for file in opened.files(None)}
    assert len(shown) == 10
    assert not shown & withdrawn_files(late.data_dir)
    # One whose dataset was deleted since comes to its end, too.
    api.datasets.remove(ID)
    late.objects.remove([f"state/withdrawals/{receipt['id']}.json"])
    api.withdrawals.push_missing({})
    assert list(late.objects.list("state/withdrawals/"))


def test_one_at_a_time_goes_on_with_a_withdrawal(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API that was asked for it, and the light worker, that finds it not finished."""
    api = machine("api")
    (api.data_dir / "withdrawals").mkdir(parents=True)
    receipt: dict[str, Any] = {name: [] for name in ("datasets", "versions", "reports")}
    receipt |= {"id": "w-0123456789ab", "runs": ["job-1"]}
    at_it: list[int] = []

    def strip(*_: object) -> None:
        at_it.append(+1)
        time.sleep(0.1)
        assert sum(at_it) == 1
        at_it.append(-1)

    monkeypatch.setattr(api.runs, "strip", strip)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(api.withdrawals.push, receipt) for _ in range(2)]:
            done.result()
    assert len(at_it) == 4


def _away(*_: object) -> None:
    raise StoreAway("The store is away.")
