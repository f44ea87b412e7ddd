"""A withdrawal that is killed after any of its steps is finished by whoever comes next."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from library import generate_jobs
from library.atomic import read_json, write_json
from library.datasets.choices import resolve
from library.datasets.opened import Opened, commit_found, open_dataset, validated
from library.datasets.records import (
    begin,
    begin_upload,
    commit,
    folder_of,
    one_at_a_time,
    read_record,
)
from library.datasets.tracing import Found, affected, by_patient
from library.datasets.validation import validate
from library.datasets.withdrawal import finish, pending, receipts, withdraw, withdrawn_files
from library.runs import RunFolder
from library.settings import Settings
from library.version_states import retire
from library.versions import BUNDLED, ModelLibrary, Version
from tests.sets import packed, picture
from worker.withdrawals import WithdrawalSweeper

ID = "ds-0123456789ab"
CHANGES = ("rename", "replace", "unlink", "rmdir")


class Killed(BaseException):
    """Nobody catches it, and nothing changes on the disk from then on."""


@contextmanager
def killed_before(change: int) -> Iterator[list[str]]:
    """The process ends before it renames or removes for the nth time; yields what it was at."""
    seen: list[str] = []

    def bound(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def instead(*arguments: Any, **named: Any) -> Any:
            seen.append(f"{name} {arguments[0]}")
            if len(seen) > change:
                raise Killed
            return real(*arguments, **named)

        return instead

    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGES:
            patch.setattr(os, name, bound(name, getattr(os, name)))
        yield seen


def people(root: Path, count: int = 12) -> Path:
    for i in range(count):
        picture(root / "AB"[i % 2] / f"person{i % 6}_virus_{i}.png", i)
    return root


def version(data_dir: Path, name: str, job: str) -> Version:
    """A version that a job has made: a bundled one under another name."""
    path = data_dir / "models" / name / "1"
    shutil.copytree(BUNDLED / "chest-xray-dcgan" / "2", path)
    card = {**read_json(path / "model.json"), "name": name, "version": 1, "job": job}
    write_json(path / "model.json", card)
    return ModelLibrary(data_dir / "models", bundled=None).find(f"{name}@1")


def generated(data_dir: Path, made_by: Version) -> str:
    record = {
        "created_at": generate_jobs.now(), "model": made_by.reference, "digest": made_by.digest,
        "labels": None, "seed": 1, "count": 10, "shard_images": 10, "container": "zip",
    }  # fmt: skip
    job, _ = generate_jobs.create(data_dir, generate_jobs.new_identity(), record)
    job.shard(0).write_bytes(b"images")
    return job.id


def uploaded(data_dir: Path, archive: Path) -> None:
    begin_upload(data_dir, ID, resolve({}), "up")
    commit(data_dir, ID, validate(folder_of(data_dir, ID), archive, resolve({}), processes=1))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a dataset, decoded arrays, a run, its version and a generate job."""
    root = tmp_path_factory.mktemp("whole")
    data_dir = root / "data"
    uploaded(data_dir, packed(people(root / "set"), root / "x.zip"))
    with Opened(data_dir, read_record(data_dir, ID)) as opened:
        files = {file.path: [file.label, file.sha256] for file in opened.files(None)}
    run = RunFolder(data_dir / "runs" / "job-1")
    run.checkpoints.mkdir(parents=True)
    (run.checkpoints / "0000000001.safetensors").write_bytes(b"weights")
    write_json(run.files, files)
    (data_dir / "decoded").mkdir()
    write_json(data_dir / "decoded" / "aa.json", {"files": [one[1] for one in files.values()]})
    (data_dir / "decoded" / "aa.npy").write_bytes(b"pixels")
    generated(data_dir, version(data_dir, "mine", "job-1"))
    return data_dir


def nothing_is_left(data_dir: Path, found: list[Found], pictures: list[Path]) -> None:
    digests = {digest for each in found for digest in each.digests}
    assert by_patient(data_dir, "person3") == []
    assert not [path for path in pictures if path.exists()]
    record = read_record(data_dir, ID)
    assert record["images"] == 10
    with Opened(data_dir, record) as opened:
        assert not {file.sha256 for file in opened.files(None)} & digests
        assert all(file.location.is_file() for file in opened.files(None))
    content = folder_of(data_dir, ID) / record["content"]
    # What is half written, and holds what the patient's rows were.
    for left in (*content.glob(".*"), *content.parent.glob(".*")):
        assert not list(left.rglob("*")) if left.is_dir() else "sqlite" not in left.name
    assert withdrawn_files(data_dir) == digests
    assert not list((data_dir / "decoded").iterdir())
    assert not (data_dir / "runs" / "job-1" / "checkpoints").exists()
    left = {path.name for path in (data_dir / "models" / "mine" / "1").iterdir()}
    assert left >= {"retired.json", "model.json"}
    assert not [path for path in left if path.startswith(("model.safe", "model.onnx"))]
    generate_jobs.remove_deleted(data_dir)  # as the sweep of generation workers does
    assert not list((data_dir / "generated").iterdir())
    (receipt,) = receipts(data_dir)
    assert receipt["datasets"] == {ID: 2}
    assert receipt["runs"] == ["job-1"]
    assert receipt["checkpoints"] == 1
    assert receipt["versions"] == ["mine@1"]
    assert len(receipt["generated"]) == 1
    assert receipt["caches"] == ["aa"]
    assert receipt["fingerprints"][ID]["after"] == record["fingerprint"]
    assert receipt["fingerprints"][ID]["before"] not in (None, record["fingerprint"])
    assert b"person3" not in json.dumps(receipt).encode()
    assert not pending(data_dir)


def test_it_is_finished_wherever_it_is_killed(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("library.datasets.forgetting.before_after", lambda *_: b"a sheet")
    monkeypatch.setattr(os, "fsync", lambda _: None)
    found = by_patient(whole, "person3")
    with Opened(whole, read_record(whole, ID)) as opened:
        theirs = [
            opened.location(row).relative_to(whole)
            for row in opened.index.rows("path, stored, sha256")
            if row["sha256"] in found[0].digests
        ]
    assert len(theirs) == 2
    for change in range(1000):
        data_dir = tmp_path / str(change)
        # Whatever changes a file replaces it.
        shutil.copytree(whole, data_dir, copy_function=os.link)
        try:
            with killed_before(change) as seen:
                withdraw(data_dir, by_patient(data_dir, "person3"), "delete")
        except Killed:
            assert not receipts(data_dir) or pending(data_dir)
            if change:  # before the first one nothing was begun
                finish(data_dir)
                nothing_is_left(data_dir, found, [data_dir / path for path in theirs])
            shutil.rmtree(data_dir)
        else:
            break
    assert change > 20, seen
    nothing_is_left(data_dir, found, [data_dir / path for path in theirs])


def test_a_sweep_finishes_it(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "data", copy_function=os.link)
    found = by_patient(tmp_path / "data", "person3")
    with pytest.raises(Killed), killed_before(3):
        withdraw(tmp_path / "data", found, "delete")
    sweeper = WithdrawalSweeper(Settings(data_dir=tmp_path / "data"))
    deadline = time.monotonic() + 60
    while not receipts(tmp_path / "data"):
        assert time.monotonic() < deadline
        sweeper.sweep()
        time.sleep(0.05)
    sheet = folder_of(tmp_path / "data", ID) / read_record(tmp_path / "data", ID)["content"]
    assert (sheet / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_patient_finds_what_a_retired_version_has_made(
    whole: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(whole, data_dir, copy_function=os.link)
    mine = ModelLibrary(data_dir / "models", bundled=None).find("mine@1")
    retire(mine, "no longer wanted", "delete")
    other = generated(data_dir, Version("other", 1, tmp_path, {"digest": "e" * 64}))
    listed = affected(data_dir, by_patient(data_dir, "person3"))
    assert listed.versions == ()
    assert len(listed.generated) == 1
    assert other not in listed.generated


@pytest.mark.parametrize("where", ["light", "trainer"])
def test_a_patient_who_withdraws_while_it_is_validated_does_not_come_back(
    tmp_path: Path, where: str
) -> None:
    root, data_dir = people(tmp_path / "set"), tmp_path / "data"
    record = begin(data_dir, root, resolve({"split": "none"}))
    commit(data_dir, record["id"], validated(data_dir, record, lambda *_: None))
    found = by_patient(data_dir, "person3")
    withdrawing = threading.Thread(target=withdraw, args=(data_dir, found))
    phases: list[str] = []

    def progress(phase: str, *_: int) -> None:
        phases.append(phase)
        if phase == "writing" and not withdrawing.ident:
            withdrawing.start()
            while not withdrawn_files(data_dir):
                time.sleep(0.01)

    if where == "light":
        record = begin(data_dir, root, resolve({"split": "none", "fit": "crop"}))
        find = partial(validated, data_dir, record, progress)
        with one_at_a_time(data_dir, record["id"]):
            commit_found(data_dir, record["id"], find, partial(commit, data_dir, record["id"]))
    else:
        picture(root / "A" / "person9_virus_99.png", 99)
        open_dataset(data_dir, root, progress).__exit__()
    withdrawing.join(60)
    assert phases.count("writing") == 2
    assert by_patient(data_dir, "person3") == []
    assert read_record(data_dir, record["id"])["images"] == (10 if where == "light" else 11)
    assert len(list(folder_of(data_dir, record["id"]).glob("c-*"))) == 1
    (receipt,) = receipts(data_dir)
    assert list(receipt["datasets"]) == [record["id"]]
