"""A patient withdraws: everything that holds, or was made from, their images goes."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageOps

from library.datasets.choices import resolve
from library.datasets.index import NAME
from library.datasets.opened import Opened
from library.datasets.records import (
    begin,
    begin_upload,
    commit,
    folder_of,
    list_records,
    read_record,
    remove,
)
from library.datasets.tracing import affected, by_file, by_patient
from library.datasets.validation import validate
from library.datasets.withdrawal import receipts, withdraw, withdrawn_files
from library.errors import InvalidValue
from library.runs import RunFolder
from library.versions import Broken, ModelLibrary
from tests.fake_study import finished
from tests.sets import REAL, decoded, packed, picture
from tests.trainer import Trainer, write_request


def in_place(data_dir: Path, root: Path, **choices: Any) -> dict[str, Any]:
    record = begin(data_dir, root, resolve({"split": "none", **choices}))
    fields = validate(
        folder_of(data_dir, record["id"]), root, resolve(record["choices"]),
        withdrawn=withdrawn_files(data_dir),
    )  # fmt: skip
    commit(data_dir, record["id"], fields)
    return read_record(data_dir, record["id"])


def uploaded(data_dir: Path, archive: Path) -> dict[str, Any]:
    identity = "ds-0123456789ab"
    choices = resolve({})
    begin_upload(data_dir, identity, choices, "up")
    fields = validate(folder_of(data_dir, identity), archive, choices)
    commit(data_dir, identity, fields)
    return read_record(data_dir, identity)


def people(root: Path, count: int = 20) -> Path:
    for i in range(count):
        picture(root / "AB"[i % 2] / f"person{i % 10}_virus_{i}.png", i)
    return root


def test_the_images_of_a_patient_go_from_every_dataset_and_cache(tmp_path: Path) -> None:
    root, data_dir = people(tmp_path / "set"), tmp_path / "data"
    here = in_place(data_dir, root)
    up = uploaded(data_dir, packed(root, tmp_path / "x.zip"))
    decoded(root, data_dir)
    found = by_patient(data_dir, "person3")
    listed = affected(data_dir, found)
    assert listed.datasets == {here["id"]: 2, up["id"]: 2}
    assert listed.in_place == {here["id"]: 2}
    assert len(listed.caches) == 1
    assert len(list((data_dir / "decoded").iterdir())) == 2  # nothing has changed yet
    gone = [each for one in found for each in one.digests]

    receipt = withdraw(data_dir, found)
    assert by_patient(data_dir, "person3") == []
    assert not list((data_dir / "decoded").iterdir())
    for identity, before in ((here["id"], here), (up["id"], up)):
        record = read_record(data_dir, identity)
        assert record["images"] == 18
        assert record["patients"] == 9
        assert record["fingerprint"] != before["fingerprint"]
        assert receipt["fingerprints"][identity]["after"] == record["fingerprint"]
        assert [file["reason"] for file in record["left_out"]] == ["was withdrawn"] * 2
        with Opened(data_dir, record) as opened:
            assert not {file.sha256 for file in opened.files(None)} & set(gone)
            assert all(file.location.is_file() for file in opened.files(None))
            assert not list(opened.index.pictures("id", "WHERE reason = 'was withdrawn'"))
    assert len(list((data_dir / "datasets" / up["id"]).rglob("images/*.png"))) == 18
    assert b"person3" not in json.dumps(receipt).encode()
    assert receipts(data_dir) == [json.loads(json.dumps(receipt))]
    # And they do not come back.
    assert in_place(data_dir, root)["images"] == 18
    assert len(decoded(root, data_dir).images) == 18


def test_runs_and_versions_made_of_them_go_too(tmp_path: Path) -> None:
    request = write_request(tmp_path, model="mine", epochs=1)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    run, library = RunFolder(tmp_path / "runs" / "tiny"), ModelLibrary(tmp_path / "models")
    version = library.find("mine@1")
    report = tmp_path / "reports" / version.digest / "r-1"
    report.mkdir(parents=True)
    (report / "report.json").write_text("{}")
    # Another version's report, made with the same dataset, holds its thumbnails too.
    dataset = version.card["dataset"]["id"]
    other = tmp_path / "reports" / "other"
    (other / "rp-1").mkdir(parents=True)
    (other / "rp-1.json").write_text(json.dumps({"request": {"dataset": dataset}}))
    (other / "rp-2.json").write_text(json.dumps({"request": {"dataset": "ds-else"}}))
    (tmp_path / "features").mkdir()
    study, kept = (finished(tmp_path, each) for each in (dataset, "ds-else"))
    path = next(REAL.rglob("*.jpeg")).relative_to(REAL).as_posix()
    found = by_file(tmp_path, dataset, path)
    listed = affected(tmp_path, found)
    assert listed.runs == ("tiny",)
    assert listed.checkpoints >= 1
    assert listed.versions == ("mine@1",)
    assert set(listed.reports) == {f"{version.digest}/r-1", "other/rp-1", "other/rp-1.json"}
    assert listed.studies == (study.id,)
    assert "features" in listed.caches
    withdraw(tmp_path, found)
    assert (study.path.exists(), kept.path.exists()) == (False, True)
    assert not run.checkpoints.exists()
    assert not report.exists()
    assert [path.name for path in other.iterdir()] == ["rp-2.json"]
    assert not (tmp_path / "features").exists()
    (broken,) = [v for v in library.versions() if v.name == "mine"]
    assert isinstance(broken, Broken)
    assert "retired" in broken.reason
    assert "withdrew" in broken.reason
    # A run that stands for other data stays as it is.
    assert affected(tmp_path, by_patient(tmp_path, "nobody")).runs == ()


def test_a_version_may_be_deleted_and_its_number_is_not_given_again(tmp_path: Path) -> None:
    request = write_request(tmp_path, model="mine", epochs=1)
    with Trainer(request) as trainer:
        assert trainer.end() == 0
    version = ModelLibrary(tmp_path / "models").find("mine@1")
    path = next(REAL.rglob("*.jpeg")).relative_to(REAL).as_posix()
    withdraw(tmp_path, by_file(tmp_path, version.card["dataset"]["id"], path), "delete")
    left = {file.name for file in version.path.iterdir()}
    assert left == {"retired.json", "model.json"}


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    record = in_place(tmp_path, people(tmp_path / "set"))
    with pytest.raises(InvalidValue, match="holds no image"):
        by_file(tmp_path, record["id"], "A/other.png")


def test_a_file_takes_its_patient_s_others_with_it(tmp_path: Path) -> None:
    record = in_place(tmp_path, people(tmp_path / "set"))
    found = by_file(tmp_path, record["id"], "A/person4_virus_4.png")
    assert affected(tmp_path, found).datasets == {record["id"]: 2}


def test_copies_under_other_names_go_too(tmp_path: Path) -> None:
    root = people(tmp_path / "set")
    theirs = root / "B" / "person3_virus_3.png"
    shutil.copy(theirs, root / "B" / "person77_virus_1.png")  # the same bytes
    with Image.open(theirs) as image:
        ImageOps.mirror(image).resize((64, 70)).save(root / "B" / "person78_virus_2.png")
    record = in_place(tmp_path / "data", root)
    found = by_patient(tmp_path / "data", "person3")
    assert affected(tmp_path / "data", found).datasets == {record["id"]: 4}
    withdraw(tmp_path / "data", found)
    with Opened(tmp_path / "data", read_record(tmp_path / "data", record["id"])) as opened:
        left = {file.path for file in opened.files(None)}
    assert len(left) == 18
    assert not [
        path for path in left if any(name in path for name in ("person3_", "person77", "person78"))
    ]


def test_a_withdrawal_that_is_killed_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data_dir = people(tmp_path / "set"), tmp_path / "data"
    record = in_place(data_dir, root)
    decoded(root, data_dir)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("library.datasets.withdrawal.forget_files", killed)
    with pytest.raises(KeyboardInterrupt):
        withdraw(data_dir, by_patient(data_dir, "person3"))
    monkeypatch.undo()
    found = by_patient(data_dir, "person3")
    assert affected(data_dir, found).datasets == {record["id"]: 2}
    withdraw(data_dir, found)
    assert by_patient(data_dir, "person3") == []
    assert len(receipts(data_dir)) == 1


def test_a_dataset_that_is_validated_anew_while_patients_are_looked_for_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, data_dir = people(tmp_path / "set"), tmp_path / "data"
    in_place(data_dir, root)
    before = list_records(data_dir)
    again = in_place(data_dir, root, fit="crop")
    monkeypatch.setattr("library.datasets.tracing.list_records", lambda _: before)
    (found,) = by_patient(data_dir, "person3")
    assert found.record["content"] == again["content"] != before[0]["content"]
    remove(data_dir, again["id"])
    assert by_patient(data_dir, "person3") == []


def test_an_index_that_is_no_index_is_not_taken_for_nothing_found(tmp_path: Path) -> None:
    record = in_place(tmp_path, people(tmp_path / "set"))
    index = folder_of(tmp_path, record["id"]) / record["content"] / NAME
    index.write_bytes(b"no database" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        by_patient(tmp_path, "person3")
