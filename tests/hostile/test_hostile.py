"""What means harm is refused by name with its reason; the good files beside it are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from library.errors import InvalidValue
from tests.hostile.archives import ARCHIVES, Archive
from tests.hostile.dicoms import DICOMS
from tests.hostile.images import IMAGES
from tests.sets import packed, picture, validated

GOOD = ("NORMAL/g0.png", "NORMAL/g1.png", "PNEUMONIA/g2.png", "PNEUMONIA/g3.png")
FILES = (*IMAGES, *DICOMS)


def good_files(folder: Path) -> dict[str, bytes]:
    return {name: picture(folder / name, i).read_bytes() for i, name in enumerate(GOOD)}


def test_there_are_at_least_forty_kinds() -> None:
    assert len({*(case.name for case in FILES), *(case.name for case in ARCHIVES)}) >= 40


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_bad_files_are_refused_and_good_ones_kept(form: str, tmp_path: Path) -> None:
    root = tmp_path / "set"
    good_files(root)
    members = {}
    for case in FILES:
        label, _, name = case.member.partition("/")
        members[f"{label}/jones-{name}"] = case
        (root / label / f"jones-{name}").write_bytes(case.build())
    source = root if form == "folder" else packed(root, tmp_path / "set.zip")
    found = validated(source, tmp_path / "out")
    assert found.accepted() == set(GOOD)
    reasons = {file["file"]: file["reason"] for file in (*found["refused"], *found["left_out"])}
    assert set(reasons) == set(members)
    for member, case in members.items():
        reason = reasons[member].lower()
        assert any(word in reason for word in case.words), (case.name, reason)
        assert "jones" not in reason, "it goes to logs"
    if form == "archive":
        assert len(list((found.content / "images").iterdir())) == len(GOOD)


@pytest.mark.parametrize("case", [a for a in ARCHIVES if not a.whole], ids=lambda a: a.name)
def test_bad_members_are_refused_and_good_ones_kept(case: Archive, tmp_path: Path) -> None:
    good = good_files(tmp_path / "good")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.zip").write_bytes(case.build(good))
    found = validated(tmp_path / "in" / "x.zip", tmp_path / "out")
    assert set(GOOD) <= found.accepted()
    reasons = {file["file"]: file["reason"] for file in found["refused"]}
    assert case.bad in reasons
    reason = reasons[case.bad].lower()
    assert any(word in reason for word in case.words), reason
    # Nothing was written beside what is ours.
    assert {path.name for path in tmp_path.iterdir()} == {"good", "in", "out"}
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["x.zip"]
    assert {path.name for path in found.content.iterdir()} == {
        "index.sqlite", "images", "sheet.png"
    }  # fmt: skip


@pytest.mark.parametrize("case", [a for a in ARCHIVES if a.whole], ids=lambda a: a.name)
def test_what_is_no_archive_is_refused_as_a_whole(case: Archive, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(case.build(good_files(tmp_path / "good")))
    with pytest.raises(InvalidValue) as caught:
        validated(tmp_path / "x.zip", tmp_path / "out")
    assert any(word in str(caught.value).lower() for word in case.words)
    assert caught.value.field == "file"
    assert caught.value.remedy
    assert not list((tmp_path / "out").glob("c-*"))
    assert not list((tmp_path / "out").glob(".*"))
