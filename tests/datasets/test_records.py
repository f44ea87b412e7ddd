"""Records of datasets: each writer keeps the others' fields, a commit replaces what was."""

from __future__ import annotations

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
    read_record,
    register,
    remove,
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


@pytest.mark.parametrize("identity", ["ds-0", "", "../runs/x", "ds/../../x", "."])
def test_an_id_that_is_none_finds_nothing(identity: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_record(tmp_path, identity)
