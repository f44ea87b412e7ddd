"""From a folder or a ZIP to a dataset: what is found, named, joined, left out and counted."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from library.datasets.choices import Choices, described, resolve
from library.datasets.validation import EmptyDataset
from library.errors import InvalidValue
from library.images import read_picture
from tests.dicoms import dicom, saved
from tests.sets import REAL, packed, picture, validated


def classes(root: Path, count: int = 12, start: int = 0) -> Path:
    """Two classes of pictures that are all different."""
    for i in range(count):
        picture(root / "NORMAL" / f"n{i}.png", start + 2 * i)
        picture(root / "PNEUMONIA" / f"p{i}.png", start + 2 * i + 1)
    return root


# The numbers


def test_the_real_images_are_found_counted_and_split(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    found = validated(REAL, tmp_path, progress=lambda *how_far: told.append(how_far))
    assert found["status"] == "ready"
    assert found["images"] == 24
    assert found["patients_by"] == "kermany"
    assert found["split_by"] == "random"
    assert {label: n["images"] for label, n in found["labels"].items()} == {
        "NORMAL": 12,
        "PNEUMONIA": 12,
    }
    assert sum(split["images"] for split in found["splits"].values()) == 24
    assert all(
        set(split["labels"]) == {"NORMAL", "PNEUMONIA"} for split in found["splits"].values()
    )
    assert (found["refused"], found["left_out"]) == ([], [])
    assert found["statistics"]["formats"] == {"JPEG": 24}
    assert found["statistics"]["widths"] == {n: 96.0 for n in ("min", "q1", "median", "q3", "max")}
    histograms = found["statistics"]["histograms"]
    assert all(abs(sum(heights) - 1000) < 20 for heights in histograms.values())
    assert told[0][0] == "listing"
    assert ("reading", 24, 24) in told
    with Image.open(found.content / "sheet.png") as sheet:
        assert sheet.width > 900


def test_every_kind_of_file_is_accepted_or_refused_with_a_reason(tmp_path: Path) -> None:
    root = tmp_path / "set"
    grey = Image.fromarray((np.arange(64 * 80).reshape(64, 80) % 251).astype(np.uint8))
    kinds = {"a.jpg": "JPEG", "b.png": "PNG", "c.tif": "TIFF", "d.bmp": "BMP", "e.webp": "WEBP"}
    (root / "A").mkdir(parents=True)
    for i, (name, kind) in enumerate(kinds.items()):
        turned = grey.rotate(40 * i)
        turned.save(root / "A" / name, kind)
    saved(root / "A" / "f.dcm", dicom())
    saved(root / "A" / "1.2.840.99", dicom(dicom().pixel_array.T[::-1].copy()))
    for name, content in {
        "notes.txt": b"a report", "empty.png": b"", "report.pdf": b"%PDF-1.7 ", "x.gif": b"GIF89a"
    }.items():  # fmt: skip
        (root / "A" / name).write_bytes(content)
    picture(root / "stray.png", 5)
    (root / "B").mkdir()
    picture(root / "B" / "x.png", 6)
    found = validated(root, tmp_path / "out")
    assert found.accepted() == {f"A/{n}" for n in (*kinds, "f.dcm", "1.2.840.99")} | {"B/x.png"}
    assert found["statistics"]["formats"]["DICOM"] == 2
    reasons = {file["file"]: file["reason"] for file in found["refused"]}
    assert reasons["A/empty.png"] == "is empty"
    assert "PDF" in reasons["A/report.pdf"]
    assert "GIF" in reasons["A/x.gif"]
    assert "not an image" in reasons["A/notes.txt"]
    assert found["refused_count"] == 4
    assert "no label" in str(found.reason("stray.png"))


def test_nothing_that_can_be_used_is_told_with_every_reason(tmp_path: Path) -> None:
    (tmp_path / "set" / "A").mkdir(parents=True)
    (tmp_path / "set" / "A" / "x.png").write_text("no picture")
    with pytest.raises(EmptyDataset, match="No file of the dataset can be used") as caught:
        validated(tmp_path / "set", tmp_path / "out")
    assert [file["file"] for file in caught.value.told["refused"]] == ["A/x.png"]
    assert not list((tmp_path / "out").glob("c-*"))


def test_names_that_are_not_utf8_are_names(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", 3)
    odd = Path(os.fsdecode(bytes(root / "NORMAL") + b"/caf\xe9.png"))
    picture(tmp_path / "one.png", 77)
    shutil.copy(tmp_path / "one.png", odd)
    with open(bytes(root / "NORMAL") + b"/\xe8.png", "wb") as file:
        file.write(b"no picture")
    found = validated(root, tmp_path / "out")
    assert found["images"] == 7
    # Shown in JSON, where a lone surrogate would break the answer.
    assert [r["file"] for r in found["refused"]] == ["NORMAL/\\udce8.png"]


# The same dataset, however it comes


def test_order_archive_and_names_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    root = classes(tmp_path / "set")
    plain = validated(root, tmp_path / "plain")
    again = tmp_path / "again"
    for path in sorted(root.rglob("*.png"), reverse=True):
        (again / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, again / path.parent.name / path.name)
    forms = {
        "order": again,
        "stored": packed(root, tmp_path / "stored.zip"),
        "deflated": packed(root, tmp_path / "x.zip", compression=zipfile.ZIP_DEFLATED),
        "wrapped": packed(root, tmp_path / "w.zip", prefix="a/chest xray/"),
    }
    for name, source in forms.items():
        found = validated(source, tmp_path / name)
        assert found["fingerprint"] == plain["fingerprint"], name
        for split in ("train", "validation", "held_out"):
            mine = {path.rpartition("/")[2] for path in found.split(split)}
            assert mine == {path.rpartition("/")[2] for path in plain.split(split)}, name


def test_content_labels_and_choices_are_in_the_fingerprint(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", 4)
    first = validated(root, tmp_path / "1")["fingerprint"]
    seen = {first}
    others: list[dict[str, Any]] = [
        {"fit": "crop"},
        {"seed": 1},
        {"border": 0.1},
        {"split": "none"},
    ]
    for i, choices in enumerate(others):
        seen.add(validated(root, tmp_path / f"c{i}", choices)["fingerprint"])
    picture(root / "NORMAL" / "n0.png", 500)
    seen.add(validated(root, tmp_path / "2")["fingerprint"])
    (root / "NORMAL" / "n0.png").rename(root / "PNEUMONIA" / "n0.png")
    seen.add(validated(root, tmp_path / "3")["fingerprint"])
    assert len(seen) == 7


def test_an_upload_keeps_pictures_without_what_their_files_told(tmp_path: Path) -> None:
    root = tmp_path / "set"
    made = dicom(WindowCenter=2000, WindowWidth=3000)
    saved(root / "A" / "x.dcm", made)
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "Jones^Ann 1950", 6
    picture(root / "A" / "y.png", 3)
    with Image.open(root / "A" / "y.png") as image:
        image.save(root / "A" / "y.jpg", exif=exif, comment=b"Jones")
    (root / "A" / "y.png").unlink()
    found = validated(packed(root, tmp_path / "set.zip"), tmp_path / "out")
    in_place = validated(root, tmp_path / "in-place")
    assert found["fingerprint"] == in_place["fingerprint"]
    for path in ("A/x.dcm", "A/y.jpg"):
        kept = found.content / found.rows[path]["stored"]
        assert np.array_equal(read_picture(kept).levels, read_picture(root / path).levels)
        with Image.open(kept) as image:
            assert not image.info
    for file in (tmp_path / "out").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            for told in (b"Jones", b"JONES-77", b"ACC-9", b"2.25.1", b"20190312", b"Model 3"):
                assert told not in content, (file, told)
    assert not list(found.content.glob("staging*"))


# Duplicates and patients


def test_identical_files_are_one_and_contradictions_none(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", 6)
    shutil.copy(root / "NORMAL" / "n0.png", root / "NORMAL" / "again.png")
    shutil.copy(root / "NORMAL" / "n1.png", root / "PNEUMONIA" / "n1.png")
    found = validated(root, tmp_path / "out")
    assert found["images"] == 11
    assert found["duplicates"]["identical"] == 3
    assert found.reason("NORMAL/n0.png") == "is the same file as another one"
    for path in ("NORMAL/n1.png", "PNEUMONIA/n1.png"):
        assert found.reason(path) == "the same file stands under several labels (NORMAL, PNEUMONIA)"


def test_altered_copies_are_found_and_stay_in_one_split(tmp_path: Path) -> None:
    root = classes(tmp_path / "set", 40)
    originals = sorted((root / "NORMAL").iterdir())[:8]
    for path in originals:
        with Image.open(path) as image:
            image.resize((60, 72), Image.Resampling.BICUBIC).save(path.with_name(f"s-{path.name}"))
            image.point(lambda v: int(255 * (v / 255) ** 0.8)).save(
                path.with_name(f"g-{path.stem}.jpg"), quality=60
            )
            ImageOps.mirror(image).save(path.with_name(f"m-{path.name}"))
    found = validated(root, tmp_path / "out", {"validation": 0.3, "held_out": 0.3})
    assert found["duplicates"]["near_images"] == 32
    for path in originals:
        copies = (path.name, f"s-{path.name}", f"g-{path.stem}.jpg", f"m-{path.name}")
        rows = [found.rows[f"NORMAL/{name}"] for name in copies]
        assert len({row["grp"] for row in rows}) == 1
        assert len({row["split"] for row in rows}) == 1
    groups = {row["grp"] for row in found.rows.values()}
    assert len(groups) == 80  # no two others were taken for one


@pytest.mark.parametrize("source", ["pattern", "expression", "table", "dicom"])
def test_patients_are_never_parted_nor_kept_in_clear(source: str, tmp_path: Path) -> None:
    root, choices = tmp_path / "set", {"validation": 0.2, "held_out": 0.2}
    who: dict[str, str] = {}
    lines = ["file,PatientID"]
    for i in range(60):
        person, label = f"person{i % 17}", "AB"[i % 2]
        name = f"{label}/{person}_virus_{i}.png" if source == "pattern" else f"{label}/{i}-x.png"
        if source == "expression":
            name = f"{label}/{person}~{i}.png"
        if source == "dicom":
            name = f"{label}/{i}.dcm"
            pixels = np.random.default_rng(i).integers(0, 4096, (12, 12)).repeat(8, 0).repeat(8, 1)
            saved(root / name, dicom(pixels.astype(np.uint16), PatientID=person))
        else:
            picture(root / name, i)
        who[name] = person
        lines.append(f"{name},{person}")
    if source == "table":
        (root / "patients.csv").write_text("\n".join(lines))
    if source == "expression":
        choices["patient"] = r"(person\d+)~"  # type: ignore[assignment]
    found = validated(root, tmp_path / "out", choices)
    assert found["patients"] == 17
    assert found["patients_by"] == {
        "pattern": "kermany", "expression": r"(person\d+)~", "table": "table", "dicom": "dicom"
    }[source]  # fmt: skip
    splits: dict[str, set[str]] = {}
    for path in found.accepted():
        splits.setdefault(who[path], set()).add(found.rows[path]["split"])
    assert all(len(split) == 1 for split in splits.values())
    assert {split for one in splits.values() for split in one} == {
        "train", "validation", "held_out"
    }  # fmt: skip
    hashes = {row["patient"] for row in found.rows.values()}
    assert len(hashes) == 17
    other = validated(root, tmp_path / "other", choices)
    assert other["fingerprint"] == found["fingerprint"]
    assert not hashes & {row["patient"] for row in other.rows.values()}  # another salt


def test_a_given_split_is_kept_and_what_leaks_is_left_out(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for split, names in {
        "train": ["person1_virus_1", "person2_virus_2", "person3_virus_3"],
        "val": ["person2_virus_4", "person4_virus_5"],
        "test": ["person1_virus_6", "person5_virus_7"],
    }.items():
        for name in names:
            picture(root / split / "A" / f"{name}.png", int(name[-1]))
    shutil.copy(root / "test/A/person5_virus_7.png", root / "train/A/person9_virus_8.png")
    found = validated(root, tmp_path / "out")
    assert found["split_by"] == "given"
    assert found.split("train") == {"train/A/person3_virus_3.png"}
    assert found.split("validation") == {"val/A/person2_virus_4.png", "val/A/person4_virus_5.png"}
    assert len(found.split("held_out")) == 2
    assert "in the held-out split" in str(found.reason("train/A/person1_virus_1.png"))
    assert "in the validation split" in str(found.reason("train/A/person2_virus_2.png"))
    assert found.reason("train/A/person9_virus_8.png") == "is the same file as another one"


def test_an_expression_that_never_ends_is_an_error(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture(root / "A" / ("a" * 60 + "!.png"), 1)
    with pytest.raises(InvalidValue, match="takes too long") as caught:
        validated(root, tmp_path / "out", {"patient": r"((?:a+)+)\d"}, seconds=3)
    assert caught.value.field == "choices.patient"


# DICOM filters


@pytest.mark.parametrize(
    ("choices", "kept"),
    [
        ({}, {"pa", "ap", "said-nothing", "processing", "portable"}),
        ({"views": ["PA"]}, {"pa", "said-nothing", "processing", "portable"}),
        ({"views": None}, {"pa", "ap", "lateral", "said-nothing", "processing", "portable"}),
        ({"intent": "for presentation"}, {"pa", "ap", "said-nothing", "portable"}),
        ({"portable": "without"}, {"pa", "ap", "said-nothing", "processing"}),
        ({"portable": "only"}, {"portable"}),
        ({"burned_in": True}, {"pa", "ap", "said-nothing", "processing", "portable", "letters"}),
    ],
)
def test_filters(choices: dict[str, Any], kept: set[str], tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {
        "pa": {}, "ap": {"ViewPosition": "AP"}, "lateral": {"ViewPosition": "LATERAL"},
        "said-nothing": {"ViewPosition": None},
        "processing": {"PresentationIntentType": "FOR PROCESSING"},
        "portable": {"StudyDescription": "Chest portable 1 view"},
        "letters": {"BurnedInAnnotation": "YES"},
    }  # fmt: skip
    for i, (name, change) in enumerate(changes.items()):
        pixels = np.random.default_rng(i).integers(0, 4096, (64, 64)).astype(np.uint16)
        saved(tmp_path / "set" / "A" / f"{name}.dcm", dicom(pixels, PatientID=name, **change))
    found = validated(tmp_path / "set", tmp_path / "out", choices)
    assert found.accepted() == {f"A/{name}.dcm" for name in kept}
    assert all(row["reason"] for row in found.rows.values() if row["status"] == "left_out")


def test_covariates_are_coarse_and_confounders_are_counted(tmp_path: Path) -> None:
    for i in range(6):
        pixels = np.random.default_rng(i).integers(0, 4096, (64, 64)).astype(np.uint16)
        label, age = ("A", "062Y") if i < 4 else ("B", "093Y")
        made = dicom(pixels, PatientAge=age, PatientID=str(i))
        saved(tmp_path / "set" / label / f"{i}.dcm", made)
    found = validated(tmp_path / "set", tmp_path / "out")
    covariates = found["statistics"]["covariates"]
    assert covariates["age"] == {"60-69": {"A": 4}, "90+": {"B": 2}}
    assert covariates["sex"] == {"F": {"A": 4, "B": 2}}
    assert covariates["year"] == {"2019": {"A": 4, "B": 2}}
    assert next(iter(covariates["device"])).startswith("device-")


# Outliers and choices


def test_outliers_are_flagged_and_left_out_where_that_is_chosen(tmp_path: Path) -> None:
    root = tmp_path / "set" / "A"
    for i, path in enumerate(sorted((REAL / "NORMAL").iterdir())):
        root.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.name)
        if i == 0:
            with Image.open(path) as image:
                grey = image.convert("L")
                grey.point(lambda v: 255 - v).save(root / "inverted.png")
                grey.resize((40, 40)).rotate(180).save(root / "tiny.png")
                Image.merge("RGB", (grey, grey.point(lambda v: v // 2), grey)).save(
                    root / "colour.png"
                )
    Image.new("L", (96, 96), 90).save(root / "blank.png")
    white = Image.new("L", (96, 96), 255)
    white.paste(20, (0, 0, 96, 40))
    white.save(root / "white.png")
    found = validated(tmp_path / "set", tmp_path / "out")
    flags = {path[2:]: row["flags"].split() for path, row in found.rows.items() if row["flags"]}
    assert "inverted" in flags["inverted.png"]
    assert "tiny" in flags["tiny.png"]
    assert flags["blank.png"] == ["blank"]
    assert "saturated" in flags["white.png"]
    assert "colour" in flags["colour.png"]
    assert not [name for name in flags if name.endswith(".jpeg")]
    assert found["outliers"]["blank"] == 1
    without = validated(tmp_path / "set", tmp_path / "without", {"outliers": "leave_out"})
    assert without["images"] == 12
    assert without.reason("A/blank.png") == "is an outlier (blank)"


def test_masks_and_fits_reach_the_thumbnails(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "A").mkdir(parents=True)
    Image.new("L", (120, 120), 200).save(root / "A" / "x.png")
    found = validated(root, tmp_path / "out", {"border": 0.1, "corner": 0.25})
    (tmp_path / "thumbnail.jpg").write_bytes(found.rows["A/x.png"]["thumbnail"])
    with Image.open(tmp_path / "thumbnail.jpg") as image:
        levels = np.asarray(image)
    assert levels[:8].max() < 20  # the frame
    assert levels[20, 20] < 20  # a corner
    assert abs(int(levels[48, 48]) - 200) < 5


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"fit": "round"}, "choices.fit"),
        ({"validation": 1.5}, "choices.validation"),
        ({"validation": 0.6, "held_out": 0.6}, "choices.held_out"),
        ({"patient": "("}, "choices.patient"),
        ({"patient": "no group"}, "choices.patient"),
        ({"views": ["UPSIDE"]}, "choices.views"),
        ({"seed": -1}, "choices.seed"),
        ({"seed": True}, "choices.seed"),
        ({"covariates": "sex"}, "choices.covariates"),
        ({"colour": 1}, "choices.colour"),
        ([1], "choices"),
    ],
)
def test_a_wrong_choice_is_named(given: Any, field: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        resolve(given)
    assert caught.value.field == field
    assert caught.value.remedy


def test_all_wrong_choices_are_told_at_once() -> None:
    with pytest.raises(InvalidValue) as caught:
        resolve({"fit": 1, "window": 2, "colour": 3})
    assert {part.field for part in caught.value.parts} == {
        "choices.fit", "choices.window", "choices.colour"
    }  # fmt: skip


def test_choices_are_described_and_come_back_from_their_form() -> None:
    assert {each["name"] for each in described()} == {f.name for f in fields(Choices)}
    made = resolve({"views": ["AP"], "patient": "kermany", "covariates": ["ward"]})
    assert resolve(made.as_dict()) == made


def test_labels_in_file_names_come_before_the_folder_s(tmp_path: Path) -> None:
    root = tmp_path / "set"
    names = ["NORMAL/IM-0001-0001.png", "NORMAL/IM-0003-0001.png", "PNEUMONIA/person1_virus_6.png",
             "PNEUMONIA/person2_bacteria_3.png", "PNEUMONIA/person3_bacteria_10.png",
             "PNEUMONIA/unknown.png"]  # fmt: skip
    for number, name in enumerate(names):
        picture(root / name, number)
    found = validated(root, tmp_path / "data", {"label": "kermany", "split": "none"})
    labels = {path: row["label"] for path, row in found.rows.items()}
    assert labels == dict(
        zip(names, ["NORMAL", "NORMAL", "VIRUS", "BACTERIA", "BACTERIA", "PNEUMONIA"], strict=True)
    )
    plain = validated(root, tmp_path / "plain", {"split": "none"})
    assert set(plain["labels"]) == {"NORMAL", "PNEUMONIA"}
    assert plain["fingerprint"] != found["fingerprint"]
    by_group = validated(root, tmp_path / "regex", {"label": r"_(virus)_", "split": "none"})
    assert by_group.rows[names[2]]["label"] == "VIRUS"
    assert by_group.rows[names[3]]["label"] == "PNEUMONIA"


def test_labels_asked_of_file_names_are_not_overruled_by_a_table(tmp_path: Path) -> None:
    root = tmp_path / "set"
    names = ["train/NORMAL/IM-0001-0001.png", "train/PNEUMONIA/person1_virus_6.png"]
    for number, name in enumerate(names):
        picture(root / name, number)
    rows = [f"{name},{name.split('/')[1]}" for name in names]
    (root / "manifest.csv").write_text("\n".join(["file,label", *rows]))
    found = validated(root, tmp_path / "data", {"label": "kermany"})
    assert {row["label"] for row in found.rows.values()} == {"NORMAL", "VIRUS"}
    named = validated(root, tmp_path / "named", {"label": "kermany", "label_column": "label"})
    assert {row["label"] for row in named.rows.values()} == {"NORMAL", "PNEUMONIA"}


def test_fingerprints_from_before_there_was_a_label_choice_stay() -> None:
    assert "label" not in Choices().as_dict()
    assert resolve(Choices(label="kermany").as_dict()).label == "kermany"
    for wrong in ("(", "nothing", "(a)(b)"):
        with pytest.raises(InvalidValue) as caught:
            resolve({"label": wrong})
        assert caught.value.field == "choices.label"
