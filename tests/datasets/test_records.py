"""Records of datasets: each writer keeps the others' fields, a commit replaces what was."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from library.datasets.choices import WHOLE, resolve
from library.datasets.opened import Opened
from library.datasets.records import (
    begin,
    change_record,
    commit,
    dataset_id,
    folder_of,
    list_records,
    one_at_a_time,
    read_record,
    register,
    remove,
    tidy,
    update_record,
)
from library.datasets.validation import validate
from library.errors import Conflict, NotFound
from tests.sets import REAL


def test_a_record_is_kept_when_the_folder_is_registered_again(tmp_path: Path) -> None:
    record = register(tmp_path, REAL)
    assert record["status"] == "validating"
    assert resolve(record["choices"]) == WHOLE
    update_record(tmp_path, record["id"], {"status": "ready"})
    assert register(tmp_path, REAL)["status"] == "ready"
    assert read_record(tmp_path, dataset_id(REAL))["status"] == "ready"
    assert [r["id"] for r in list_records(tmp_path)] == [dataset_id(REAL)]


def test_writers_of_a_record_keep_each_others_fields(tmp_path: Path) -> None:
    identity = register(tmp_path, REAL)["id"]

    def write(number: int) -> None:
        update_record(tmp_path, identity, {f"field-{number}": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    record = read_record(tmp_path, identity)
    assert [record[f"field-{number}"] for number in range(40)] == list(range(40))


def test_a_dataset_keeps_its_name_when_it_is_validated_again(tmp_path: Path) -> None:
    assert begin(tmp_path, REAL, WHOLE, "mine")["name"] == "mine"
    update_record(tmp_path, dataset_id(REAL), {"status": "ready", "refused": [{"file": "x"}]})
    again = begin(tmp_path, REAL, resolve({"fit": "crop"}))
    assert (again["name"], again["status"], again["refused"]) == ("mine", "validating", [])
    assert again["choices"]["fit"] == "crop"


def test_a_commit_replaces_what_was_found_before(tmp_path: Path) -> None:
    record = register(tmp_path, REAL)
    folder = folder_of(tmp_path, record["id"])
    for _ in range(2):
        assert commit(tmp_path, record["id"], validate(folder, REAL, WHOLE))
        with Opened(tmp_path, read_record(tmp_path, record["id"])) as opened:
            assert len(list(opened.files())) == 24
    assert len(list(folder.glob("c-*"))) == 1


def test_what_is_deleted_while_it_is_validated_stays_deleted(tmp_path: Path) -> None:
    record = register(tmp_path, REAL)
    folder = folder_of(tmp_path, record["id"])
    fields = validate(folder, REAL, WHOLE)
    remove(tmp_path, record["id"])
    assert not change_record(tmp_path, record["id"], {"status": "ready"})
    assert not commit(tmp_path, record["id"], fields)
    assert not folder.exists()
    assert list_records(tmp_path) == []


def test_what_is_not_ready_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="is validating"):
        Opened(tmp_path, register(tmp_path, REAL))


def test_what_killed_processes_have_left_is_removed(tmp_path: Path) -> None:
    root, days = tmp_path / "datasets", 2 * 86_400
    record = register(tmp_path, REAL)
    folder = folder_of(tmp_path, record["id"])
    commit(tmp_path, record["id"], validate(folder, REAL, WHOLE, processes=1))
    kept = {path.name for path in folder.iterdir()}
    old = [root / ".deleted-ds-0123456789ab-1", folder / "c-000000000000"]  # at once
    aged = [root / ".0011.tmp", folder / ".0022.tmp", root / "ds-ffffffffffff"]  # without a record
    for path in (*old, *aged):
        path.mkdir()
        (path / "0000001.png").write_bytes(b"a picture")
    upload = folder / "upload.zip"
    upload.write_bytes(b"an archive")
    with one_at_a_time(tmp_path, record["id"]):
        tidy(tmp_path)
        assert (folder / "c-000000000000").exists()  # somebody may be making it
    update_record(tmp_path, record["id"], {"status": "failed"})
    tidy(tmp_path)
    assert upload.exists()  # it may just have come again
    update_record(tmp_path, record["id"], {"status": "ready"})
    tidy(tmp_path)
    assert not upload.exists()
    assert not [path for path in old if path.exists()]
    assert all(path.exists() for path in aged)
    for path in aged:
        os.utime(path, (time.time() - days,) * 2)
    tidy(tmp_path)
    assert not [path for path in aged if path.exists()]
    assert {path.name for path in folder.iterdir()} == kept | {"lock"}


def test_a_deletion_that_is_killed_leaves_nothing_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = register(tmp_path, REAL)
    folder_of(tmp_path, record["id"]).mkdir()
    brought = tmp_path / "datasets" / f".{record['id']}.0011.tmp"
    brought.mkdir()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("library.datasets.records.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove(tmp_path, record["id"])
    assert not folder_of(tmp_path, record["id"]).exists()
    remove(tmp_path, record["id"])  # once more, since the record may still be there
    assert list_records(tmp_path) == []
    tidy(tmp_path)
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [".lock"]


@pytest.mark.parametrize("identity", ["ds-0", "", "../runs/x", "ds/../../x", "."])
def test_an_id_that_is_none_finds_nothing(identity: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_record(tmp_path, identity)
