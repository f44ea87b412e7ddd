"""A CSV beside the images: joined by file name, SOPInstanceUID or accession number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from library.datasets.opened import open_dataset
from library.datasets.records import dataset_id, read_record, update_record
from library.errors import InvalidValue
from tests.dicoms import dicom, saved
from tests.sets import held_out, packed, picture, validated


def flat(root: Path, count: int = 8) -> Path:
    for i in range(count):
        picture(root / "images" / f"x{i}.png", i)
    return root


def table(root: Path, text: str, name: str = "labels.csv") -> Path:
    (root / name).write_text(text, encoding="utf-8")
    return root


def lines(header: str, *rows: str) -> str:
    return "\n".join((header, *rows)) + "\n"


ROWS = [
    f"x{i}.png,{'AB'[i % 2]},p{i // 2},{['train', 'val', 'test'][i // 2 % 3]},F,{40 + i}"
    for i in range(8)
]


def test_labels_patients_splits_and_covariates_come_from_it(tmp_path: Path) -> None:
    header = "Image Index,Finding Labels,Patient ID,split,Patient Gender,Patient Age"
    root = table(flat(tmp_path / "set"), lines(header, *ROWS, "gone.png,A,p9,train,F,1"))
    (root / "images" / "unknown.png").write_bytes(picture(tmp_path / "u.png", 99).read_bytes())
    found = validated(root, tmp_path / "out")
    joined = found["table"]
    assert joined["key"] == {"column": "Image Index", "by": "file"}
    assert (joined["rows"], joined["matched"], joined["unmatched_rows"]) == (9, 8, 1)
    assert joined["unmatched"] == ["gone.png"]
    assert joined["files_without_row"] == 1
    assert found["patients_by"] == "table"
    assert found.rows["images/x3.png"]["label"] == "B"
    assert found.split("held_out") == {"images/x4.png", "images/x5.png"}
    assert found["statistics"]["covariates"]["age"] == {"40-49": {"A": 4, "B": 4}}
    assert found["patients"] == 4
    archive = packed(root, tmp_path / "set.zip", prefix="wrapped/")
    assert validated(archive, tmp_path / "zip")["fingerprint"] == found["fingerprint"]


@pytest.mark.parametrize("by", ["SOPInstanceUID", "AccessionNumber"])
def test_it_is_joined_by_numbers_that_are_never_kept(by: str, tmp_path: Path) -> None:
    root, rows = tmp_path / "set", []
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 4096, (64, 64)).astype(np.uint16)
        saved(root / "any" / f"{i}.dcm", dicom(pixels, **{by: f"1.2.99{i}"}))
        rows.append(f"1.2.99{i},{'AB'[i % 2]}")
    table(root, lines(f"{by};label".replace(";", ","), *rows, "1.2.777,A"))
    found = validated(packed(root, tmp_path / "x.zip"), tmp_path / "out")
    assert {label: n["images"] for label, n in found["labels"].items()} == {"A": 3, "B": 3}
    assert found["table"]["unmatched"] == ["row 8"]
    for file in found.content.rglob("*"):
        if file.is_file():
            assert b"1.2.99" not in file.read_bytes()


def test_names_are_matched_with_and_without_folders_and_suffix(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for i, label in enumerate("AB"):
        picture(root / label / "same.png", i)
        picture(root / label / f"own{i}.png", 10 + i)
    text = lines("file;group", "A/same.png;1", "B\\same.png;2", "own0;3", "own1.png;4")
    found = validated(table(root, text), tmp_path / "out")
    assert found["table"]["matched"] == 4
    assert len({row["patient"] for row in found.rows.values()}) == 4


def test_further_columns_are_kept_where_they_are_named(tmp_path: Path) -> None:
    root = table(
        flat(tmp_path / "set"),
        lines("file,ward,note", *(f"x{i}.png,W{i % 2},n{i}" for i in range(8))),
    )
    found = validated(root, tmp_path / "out", {"covariates": ["ward"]})
    assert set(found["statistics"]["covariates"]) == {"ward"}
    assert validated(root, tmp_path / "2")["statistics"]["covariates"] == {}


@pytest.mark.parametrize(
    ("text", "choices", "field", "words"),
    [
        ("label,age\nA,3\n", {}, "choices.key_column", "no column that names files"),
        ("file,label\nx0.png,A\nx0.png,B\n", {}, "choices.csv", "two rows for 'x0.png'"),
        ("file,split\nx0.png,later\n", {}, "choices.csv", "gives the split 'later'"),
        (
            "file,label\nx0.png,A\n",
            {"label_column": "finding"},
            "choices.label_column",
            "no column",
        ),
        ("file,label\nx0.png,A\n", {"csv": "other.csv"}, "choices.csv", "no table 'other.csv'"),
        ("", {"covariates": ["mood"]}, "choices.key_column", "no column that names"),
        ("file,a\0b\n", {}, "choices.csv", "is no text"),
    ],
)
def test_a_wrong_table_is_told(
    text: str, choices: dict[str, Any], field: str, words: str, tmp_path: Path
) -> None:
    root = table(flat(tmp_path / "set"), text)
    with pytest.raises(InvalidValue, match=words) as caught:
        validated(root, tmp_path / "out", choices)
    assert caught.value.field == field


def test_a_covariate_that_identifies_is_refused(tmp_path: Path) -> None:
    root = flat(tmp_path / "set")
    rows = (f"y{i}.png,name{i}" for i in range(300))
    table(root, lines("file,nurse", *rows))
    with pytest.raises(InvalidValue, match="more than 200 different values"):
        validated(root, tmp_path / "out", {"covariates": ["nurse"]})


def test_two_tables_need_a_choice(tmp_path: Path) -> None:
    root = table(flat(tmp_path / "set"), lines("file,label", *(f"x{i}.png,A" for i in range(8))))
    table(root, lines("file,label", *(f"x{i}.png,B" for i in range(8))), "second.csv")
    with pytest.raises(InvalidValue, match="2 tables") as caught:
        validated(root, tmp_path / "out")
    assert "second.csv" in str(caught.value.remedy)
    found = validated(root, tmp_path / "2", {"csv": "second.csv"})
    assert set(found["labels"]) == {"B"}


def test_a_label_that_cannot_be_one_leaves_its_file_out(tmp_path: Path) -> None:
    root = table(flat(tmp_path / "set"), lines("file,label", "x0.png,a/b", "x1.png," + "y" * 200))
    found = validated(root, tmp_path / "out")
    assert "slash" in str(found.reason("images/x0.png"))
    assert "200 characters" in str(found.reason("images/x1.png"))
    assert found["images"] == 6


def test_a_folder_in_place_is_validated_again_when_its_table_has_changed(tmp_path: Path) -> None:
    root, data_dir = flat(tmp_path / "set"), tmp_path / "data"
    phases: list[str] = []

    def opened() -> tuple[dict[str, str], int]:
        phases.clear()
        with open_dataset(data_dir, root, lambda phase, *_: phases.append(phase)) as dataset:
            labels = {Path(file.path).stem: file.label for file in dataset.files(None)}
            return labels, dataset.record["patients"]

    table(root, lines("file,label,patient", *(f"x{i}.png,{'AB'[i % 2]},{i}" for i in range(8))))
    labels, patients = opened()
    assert (labels["x0"], labels["x1"], patients) == ("A", "B", 8)
    assert opened() == (labels, patients)
    assert not phases  # as it was
    table(
        root, lines("file,label,patient", *(f"x{i}.png,{'BA'[i % 2]},{i // 2}" for i in range(8)))
    )
    labels, patients = opened()
    assert (labels["x0"], labels["x1"], patients) == ("B", "A", 4)
    # A record of before: it does not say which table it was.
    record = read_record(data_dir, dataset_id(root))
    del record["table"]["sha256"]
    update_record(data_dir, record["id"], {"table": record["table"]})
    opened()
    assert "reading" in phases
    (root / "labels.csv").rename(root / "other.csv")
    assert (opened()[0], "reading" in phases) == (labels, True)
    (root / "other.csv").unlink()
    assert set(opened()[0].values()) == {"images"}
    table(root, "", "one.csv")
    table(root, "", "two.csv")
    with pytest.raises(InvalidValue, match="2 tables"):
        opened()


def test_a_folder_in_place_is_validated_again_when_a_held_out_file_has_changed(
    tmp_path: Path,
) -> None:
    root, data_dir = tmp_path / "set", tmp_path / "data"
    identity = held_out(root, data_dir, 4)
    before = read_record(data_dir, identity)["fingerprint"]
    with open_dataset(data_dir, root, lambda *_: None) as dataset:
        assert dataset.record["fingerprint"] == before
    picture(root / "test" / "NORMAL" / "p0000_0.png", 77)
    with open_dataset(data_dir, root, lambda *_: None) as dataset:
        assert dataset.record["fingerprint"] != before
        assert dataset.manifest("held_out") == dataset.current("held_out")
