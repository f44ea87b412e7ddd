"""What means harm is refused by name with its reason; the good files beside it are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from library.errors import InvalidValue
from library.picture import read_picture
from tests.hostile import archives, dicoms, images
from tests.sets import packed, picture, validated

GOOD = ("A/g0.png", "A/g1.png", "B/g2.png", "B/g3.png")
FILES = {**images.cases(), **dicoms.cases()}
ARCHIVES = archives.archives()


def good_files(folder: Path) -> dict[str, bytes]:
    return {name: picture(folder / name, i).read_bytes() for i, name in enumerate(GOOD)}


def test_there_are_at_least_forty_kinds() -> None:
    assert len(FILES) + len(ARCHIVES) >= 40


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_bad_files_are_refused_and_good_ones_kept(form: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    good_files(root)
    for name, (content, _) in FILES.items():
        (root / "A" / f"jones-{name}").write_bytes(content)
    source = root if form == "folder" else packed(root, tmp_path / "set.zip")
    found = validated(source, tmp_path / "out")
    assert found.accepted() == set(GOOD)
    reasons = {file["file"]: file["reason"] for file in found["refused"]}
    assert set(reasons) == {f"A/jones-{name}" for name in FILES}
    for name, (_, word) in FILES.items():
        assert word in reasons[f"A/jones-{name}"], name
        assert "jones" not in reasons[f"A/jones-{name}"].lower(), "it goes to logs"
    if form == "archive":
        assert len(list((found.content / "images").iterdir())) == len(GOOD)


def test_a_tiff_whose_pages_never_end_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(images.looping(images.encoded("TIFF")))
    assert read_picture(tmp_path / "x.tif").levels.shape == (64, 64)


@pytest.mark.parametrize("name", [n for n, a in ARCHIVES.items() if a.bad is not None])
def test_bad_members_are_refused_and_good_ones_kept(name: str, tmp_path: Path) -> None:
    case, good = ARCHIVES[name], good_files(tmp_path / "good")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.zip").write_bytes(case.build(good))
    found = validated(tmp_path / "in" / "x.zip", tmp_path / "out")
    assert set(GOOD) <= found.accepted()
    reasons = {file["file"]: file["reason"] for file in found["refused"]}
    assert case.bad in reasons
    assert case.word in reasons[case.bad], reasons
    # Nothing was written beside what is ours.
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"good", "in", "out"}
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["x.zip"]
    assert {path.name for path in found.content.iterdir()} == {
        "index.sqlite", "images", "sheet.png"
    }  # fmt: skip


@pytest.mark.parametrize("name", [n for n, a in ARCHIVES.items() if a.bad is None])
def test_what_is_no_archive_is_refused_as_a_whole(name: str, tmp_path: Path) -> None:
    case = ARCHIVES[name]
    (tmp_path / "x.zip").write_bytes(case.build(good_files(tmp_path / "good")))
    with pytest.raises(InvalidValue, match=case.word) as caught:
        validated(tmp_path / "x.zip", tmp_path / "out")
    assert caught.value.field == "file"
    assert caught.value.remedy
    assert not list((tmp_path / "out").glob("c-*"))
    assert not list((tmp_path / "out").glob(".*"))
